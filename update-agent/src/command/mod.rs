//! The commands that change what is installed, one file each, and what they print.

pub mod factory_reset;
pub mod health;
pub mod history;
pub mod install;
pub mod simple;

use crate::lifecycle::Done;
use crate::serve::log;
use crate::workplace::Workplace;

/// Says what was done and what happens next.
fn conclude(workplace: &Workplace, done: &Done) {
    for step in &done.steps {
        log(step);
    }
    if done.steps.is_empty() {
        log("nothing to do");
    }
    let where_ = if workplace.is_image() { "image" } else { "appliance" };
    log(&format!("{where_}: {}", done.state));
    log(&format!("site: {}", done.site));
}
