//! The one way out when a start fails: say why, write down why, restart. GRUB then counts the slot down and takes the other.
//!
//! Panics end here too. Should even this fail, the kernel panics because PID 1 ended, and restarts by `panic=5`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use formats::boot_report::{BootFailure, FAILURES_LIMIT, FAILURES_PATH};
use formats::{Digest, SlotId};

use crate::console::{say, say_fatal};
use crate::error::{Doing, Error, Result};
use crate::machine;

/// What is known so far, for the record of a failure.
#[derive(Debug, Default)]
pub struct Known {
    /// The slot that was to start.
    pub slot: Option<SlotId>,
    /// The version of this base.
    pub version: String,
    /// Its build.
    pub build_id: Option<Digest>,
    /// The data partition, once the disk is found.
    pub data_device: Option<PathBuf>,
    /// Where it is mounted, once it is.
    pub data_directory: Option<PathBuf>,
}

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
static ENDING: AtomicBool = AtomicBool::new(false);
const MOUNT_POINT: &str = "/failed";

/// Changes what is known.
pub fn note(change: impl FnOnce(&mut Known)) {
    if let Ok(mut known) = KNOWN.lock() {
        change(known.get_or_insert_default());
    }
}

/// Sends panics the same way as errors.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| restart(&format!("this program has a bug: {panic}"))));
}

/// Ends this start.
pub fn restart(reason: &str) -> ! {
    // A failure while failing, such as a panic below: nothing more to try.
    if !ENDING.swap(true, Ordering::SeqCst) {
        say_fatal(reason);
        if let Err(problem) = record(reason) {
            say(&format!("the reason is not kept: {problem}"));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    machine::restart()
}

fn record(reason: &str) -> Result<()> {
    // try_lock: a panic may have happened inside `note`.
    let known = KNOWN.try_lock().ok().and_then(|mut known| known.take()).unwrap_or_default();
    let directory = match (known.data_directory, known.data_device) {
        (Some(directory), _) => directory,
        (None, Some(device)) => {
            fs::create_dir_all(MOUNT_POINT).doing(|| format!("create \"{MOUNT_POINT}\""))?;
            machine::mount_data(&device, Path::new(MOUNT_POINT))?;
            MOUNT_POINT.into()
        }
        (None, None) => return Err(Error::Refused("the data partition is not known yet".into())),
    };
    let failure = BootFailure {
        format: 1,
        time: now(),
        slot: known.slot,
        version: known.version,
        build_id: known.build_id,
        reason: reason.into(),
    };
    let line = failure.encode().map_err(|cause| Error::Refused(cause.to_string()))?;
    let path = directory.join(FAILURES_PATH);
    append(&path, &line).doing(|| format!("write {path:?}"))
}

/// Replaces the log by itself plus `line`: written beside and renamed, so that a power cut leaves the old one or the new one.
fn append(path: &Path, line: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let mut log = Vec::new();
    if let Ok(file) = File::open(path) {
        file.take(FAILURES_LIMIT as u64).read_to_end(&mut log)?;
    }
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(&BootFailure::append(&log, line))?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}

#[expect(clippy::disallowed_methods, reason = "this is where the time of a failure enters; nothing is decided by it")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_accumulate_and_leave_no_temporary_file() {
        let directory = std::env::temp_dir().join(format!("bulkhead-failure-{}", std::process::id()));
        let path = directory.join(FAILURES_PATH);
        append(&path, b"{\"one\":1}\n").unwrap();
        append(&path, b"{\"two\":2}\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{\"one\":1}\n{\"two\":2}\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::remove_dir_all(&directory).unwrap();
    }
}
