//! The one way out when a start fails: say why, write down why, restart. GRUB then counts the slot down and takes the other.
//!
//! Panics end here too. Should even this fail, the kernel panics because PID 1 ended, and restarts by `panic=5`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use appliance::{Doing, Error, Result};
use formats::boot_report::{BootFailure, FAILURES_LIMIT, FAILURES_PATH};
use formats::{Digest, SlotId};

use crate::console::{say, say_fatal};
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

/// Tells that [`machine::NEW_ROOT`] is the root now: a base that cannot be started is the failure worth keeping most.
pub fn root_changed() {
    note(|known| known.data_directory = known.data_directory.take().map(|directory| in_new_root(&directory)));
}

fn in_new_root(directory: &Path) -> PathBuf {
    directory.strip_prefix(machine::NEW_ROOT).map_or_else(|_| directory.into(), |rest| Path::new("/").join(rest))
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
///
/// The data partition may be hostile, and this runs with every disk in reach: no symbolic link is followed (`boot-failures.new`
/// could lead to a disk), and nothing but a regular file is opened (a FIFO would wait for ever).
fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    match fs::symlink_metadata(directory) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
        Err(_) => fs::create_dir(directory)?,
    }
    let mut log = Vec::new();
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        File::open(path)?.take(FAILURES_LIMIT as u64).read_to_end(&mut log)?;
    }
    let beside = path.with_extension("new");
    if fs::symlink_metadata(&beside).is_ok() {
        fs::remove_file(&beside)?;
    }
    // Fails on whatever is there, also on a link to nothing.
    let mut file = File::create_new(&beside)?;
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
    fn after_the_change_of_root_the_log_is_where_the_base_sees_it() {
        assert_eq!(in_new_root(Path::new("/new/data")), Path::new("/data"));
        assert_eq!(in_new_root(Path::new("/failed")), Path::new("/failed"));
    }

    /// An empty directory of this test.
    fn empty(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("bulkhead-failure-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn no_link_on_the_data_partition_is_followed() {
        let directory = empty("links");
        let (path, victim) = (directory.join(FAILURES_PATH), directory.join("disk"));
        fs::write(&victim, "precious").unwrap();
        fs::create_dir(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&victim, path.with_extension("new")).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        append(&path, b"{}\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{}\n");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read(&victim).unwrap(), b"precious");

        fs::rename(path.parent().unwrap(), directory.join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(directory.join("elsewhere"), path.parent().unwrap()).unwrap();
        assert!(append(&path, b"{}\n").is_err());
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_fifo_in_place_of_the_log_does_not_stop_the_restart() {
        let directory = empty("fifo");
        let path = directory.join(FAILURES_PATH);
        fs::create_dir(path.parent().unwrap()).unwrap();
        for fifo in [path.clone(), path.with_extension("new")] {
            assert!(std::process::Command::new("mkfifo").arg(fifo).status().unwrap().success());
        }
        append(&path, b"{}\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{}\n");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn failures_accumulate_and_leave_no_temporary_file() {
        let directory = empty("log");
        let path = directory.join(FAILURES_PATH);
        append(&path, b"{\"one\":1}\n").unwrap();
        append(&path, b"{\"two\":2}\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{\"one\":1}\n{\"two\":2}\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::remove_dir_all(&directory).unwrap();
    }
}
