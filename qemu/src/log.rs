//! Where serial logs are kept: in a given file, in the directory `BULKHEAD_LOG_DIR` names, or in a temporary file that stays only
//! when a test failed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Error, Result};

/// Numbers the logs of this process.
static BOOTS: AtomicU32 = AtomicU32::new(1);

/// The file of one boot's serial log.
#[derive(Debug)]
pub(crate) struct SerialLog {
    path: PathBuf,
    keep: bool,
}

impl SerialLog {
    /// Chooses the file; a given one is always kept.
    pub fn create(given: Option<&Path>) -> Result<Self> {
        if let Some(path) = given {
            return Ok(Self { path: path.to_owned(), keep: true });
        }
        let (directory, keep) = match std::env::var_os("BULKHEAD_LOG_DIR") {
            Some(directory) => (PathBuf::from(directory), true),
            None => (std::env::temp_dir().join("bulkhead-vm-logs"), false),
        };
        std::fs::create_dir_all(&directory).map_err(Error::io("create", &directory))?;
        let boot = BOOTS.fetch_add(1, Ordering::Relaxed);
        Ok(Self { path: directory.join(format!("serial-{}-{boot}.log", std::process::id())), keep })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error names this file: it stays.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for SerialLog {
    fn drop(&mut self) {
        if !self.keep && !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
