//! Running a program of the base's own that was promised to return soon, and ending it when it does not.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Itself(ExitStatus),
    /// Not in time.
    TooLate {
        /// Whether it could be ended, with everything it had started in its own group.
        stopped: bool,
    },
}

/// Starts it, without input, and waits for its end, no longer than `limit`.
///
/// # Errors
/// When it cannot be started or waited for.
pub fn run(command: &mut Command, limit: Duration) -> io::Result<Ended> {
    // A group of its own, so that all of it can be ended.
    let mut child = command.stdin(Stdio::null()).process_group(0).spawn()?;
    let started = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Ended::Itself(status)),
            None if started.elapsed() < limit => sleep(POLL),
            None => break,
        }
    }
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    let stopped = group.is_ok_and(|group| killpg(group, Signal::SIGKILL).is_ok()) && child.wait().is_ok();
    Ok(Ended::TooLate { stopped })
}

const POLL: Duration = Duration::from_millis(20);
