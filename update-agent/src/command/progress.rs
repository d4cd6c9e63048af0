//! How far something is, for whoever watches.

use std::cell::RefCell;
use std::io::{IsTerminal as _, Write as _};

use formats::Bytes;

/// Progress on standard error: a line that moves on a terminal, one line every tenth elsewhere.
pub struct Bar {
    terminal: bool,
    last: RefCell<Option<(String, u64)>>,
}

impl Bar {
    /// Nothing shown yet.
    #[expect(clippy::new_without_default, reason = "it asks whether there is a terminal")]
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: RefCell::new(None) }
    }

    /// Shows `phase`, for example `writing`, when there is something new to show.
    pub fn show(&self, phase: &str, done: Bytes, all: Bytes) {
        let percent = done.0.saturating_mul(100).checked_div(all.0).unwrap_or(100);
        let step = if self.terminal { percent } else { percent.saturating_sub(percent % 10) };
        let new = Some((phase.to_owned(), step));
        if self.last.replace(new.clone()) == new {
            return;
        }
        let line = format!("update-agent: {phase} {percent:3} %");
        // A progress nobody can see is no reason to stop.
        drop(if self.terminal {
            write!(std::io::stderr(), "\r{line:40}")
        } else {
            writeln!(std::io::stderr(), "{line}")
        });
    }

    /// Leaves the line.
    pub fn end(&self) {
        if self.terminal && self.last.borrow().is_some() {
            eprintln!();
        }
    }
}
