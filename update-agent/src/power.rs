//! The orderly end of what runs: the machine starts again, or turns itself off.
//!
//! The base's own programs do it, which stop everything else first. Whoever calls this holds the lock of the appliance, so that nothing
//! changes the disk meanwhile ([`crate::serve::desk`]).

use std::fmt;
use std::io;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use formats::reset_record::Then;

use crate::error::{Doing, Result};

/// What can end a machine.
pub trait Power: fmt::Debug + Send + Sync {
    /// Begins to go down. The machine goes on for a moment.
    fn go_down(&self, then: Then) -> Result<()>;
}

/// The machine this runs on.
#[derive(Debug, Clone, Copy)]
pub struct Appliance;

/// One that stays up and remembers what it was told.
#[derive(Debug, Default)]
pub struct Simulated {
    told: Mutex<Vec<Then>>,
}

impl Power for Appliance {
    fn go_down(&self, then: Then) -> Result<()> {
        let (program, by_hand) = program(then);
        let done = Command::new(program).status().doing(|| format!("start \"{program}\""))?;
        if done.success() {
            return Ok(());
        }
        let cause = io::Error::other(format!("\"{program}\" ended with {done}; {by_hand} by hand"));
        Err(cause).doing(|| by_hand.into())
    }
}

impl Power for Simulated {
    fn go_down(&self, then: Then) -> Result<()> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(then);
        Ok(())
    }
}

/// Restarts the machine this runs on.
pub(crate) fn restart() -> Result<()> {
    Appliance.go_down(Then::Start)
}

/// The base's program, and what it does in words.
const fn program(then: Then) -> (&'static str, &'static str) {
    match then {
        Then::Start => ("reboot", "restart"),
        Then::PowerOff => ("poweroff", "turn it off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_own_program() {
        assert_eq!(program(Then::Start).0, "reboot");
        assert_eq!(program(Then::PowerOff).0, "poweroff");
    }
}
