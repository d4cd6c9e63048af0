//! The folder of a running build, inside the output folder so that a finished disk gets its name without being copied.
//!
//! It is gone when the build ends, however it fails. A build that was killed cannot tidy up: its folder is known by a lock that nobody
//! holds any more, and the next build into the same place removes it.

use std::fs::{self, File};
use std::path::Path;

use crate::{Error, Result};

/// An empty folder that lasts as long as this value.
pub struct Scratch {
    folder: tempfile::TempDir,
    /// Open for its lock: tells other builds that this one lives.
    _lock: Option<File>,
}

impl Scratch {
    /// Makes one in `output`, after removing those of dead builds. Where the file system has no locks, nothing is removed.
    pub fn new(output: &Path) -> Result<Self> {
        // One build at a time, or one could take the other's folder for dead before it is locked.
        let guard = File::open(output).ok().filter(|folder| folder.lock().is_ok());
        if guard.is_some() {
            remove_dead(output);
        }
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .rand_bytes(RANDOM)
            .tempdir_in(output)
            .map_err(Error::io("create a scratch folder in", output))?;
        let lock = File::open(folder.path()).ok().filter(|folder| folder.lock().is_ok());
        Ok(Self { folder, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Best effort: what cannot be removed is only room on a disk.
fn remove_dead(output: &Path) {
    let Ok(entries) = fs::read_dir(output) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.len() == PREFIX.len() + RANDOM);
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok()) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Hidden, and nobody else's.
const PREFIX: &str = ".bulkhead-";
/// Random characters behind it.
const RANDOM: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_dead_builds_are_removed_and_nothing_else() {
        let output = tempfile::tempdir().unwrap();
        let path = |name: &str| output.path().join(name);
        let living = Scratch::new(output.path()).unwrap();
        for name in [".bulkhead-dead00", ".bulkhead-a-longer-name", "bulkhead-dead00"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("disk.img"), "x").unwrap();
        }
        fs::write(path(".bulkhead-file00"), "x").unwrap();
        std::os::unix::fs::symlink("bulkhead-dead00", path(".bulkhead-link00")).unwrap();
        let another = Scratch::new(output.path()).unwrap();
        assert!(living.path().is_dir() && another.path().is_dir());
        assert!(!path(".bulkhead-dead00").exists());
        for name in [".bulkhead-a-longer-name", "bulkhead-dead00", ".bulkhead-file00", ".bulkhead-link00"] {
            assert!(path(name).exists(), "{name}");
        }
        let was = living.path().to_owned();
        drop(living);
        assert!(!was.exists());
    }
}
