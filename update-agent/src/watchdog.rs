//! Feeding every watchdog the initramfs program started.
//!
//! A device is fed by writing any byte except `V`, which would mean "stop when I close". It is never closed so: when this program ends,
//! for whatever reason, the timers go on and restart a machine that nobody looks after.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use crate::serve::log;

/// All watchdogs that could be opened.
pub struct Watchdogs(Vec<(PathBuf, File)>);

impl Watchdogs {
    /// Opens them, which also starts those that did not run yet.
    pub fn open() -> Self {
        let entries = fs::read_dir("/dev").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let mut opened = Vec::new();
        for path in entries.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_watchdog)) {
            match OpenOptions::new().write(true).open(&path) {
                Ok(file) => opened.push((path, file)),
                Err(problem) => {
                    log(&format!("cannot open {}: {problem}; it is fed by someone else or not at all", path.display()));
                }
            }
        }
        log(&format!("feeding {} watchdog(s)", opened.len()));
        Self(opened)
    }

    /// Gives each its full time again.
    pub fn feed(&mut self) {
        for (path, file) in &mut self.0 {
            if let Err(problem) = file.write_all(b"\0") {
                log(&format!("cannot feed {}: {problem}", path.display()));
            }
        }
    }
}

/// `watchdog0`; plain `watchdog` is the first of them once more.
fn is_watchdog(name: &str) -> bool {
    name.strip_prefix("watchdog").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbered_devices_are_opened() {
        assert!(is_watchdog("watchdog0") && is_watchdog("watchdog12"));
        assert!(!is_watchdog("watchdog") && !is_watchdog("watchdogs") && !is_watchdog("rtc0"));
    }
}
