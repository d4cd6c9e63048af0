//! A file that is written beside its final name and takes that name only when it is whole and on the disk.
//!
//! Guarantees: a reader of the final name sees either what was there before or the complete new file, even after a power cut; an
//! error or a panic leaves no `.partial` file behind.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use super::Existing;
use crate::{Error, Result};

/// An unfinished file; dropped without [`Partial::commit`], it is removed.
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl Partial {
    /// Starts `TARGET.partial`, replacing what an interrupted run may have left there.
    pub(super) fn create(target: &Path, existing: Existing) -> Result<Self> {
        if target.is_dir() {
            return Err(Error::input(format!("\"{}\" is a directory; name a file in it", target.display())));
        }
        if existing == Existing::Refuse && target.symlink_metadata().is_ok() {
            return Err(Error::Refused(format!(
                "\"{}\" exists already; remove it, choose another name or use --force",
                target.display()
            )));
        }
        let path = beside(target, ".partial");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).map_err(Error::io("create", &path))?;
        Ok(Self { file, path, target: target.to_owned(), committed: false })
    }

    /// Starts a companion of this file that is never committed: scratch space on the same file system.
    pub(super) fn scratch(&self, suffix: &str) -> Result<Self> {
        Self::create(&beside(&self.target, suffix), Existing::Replace)
    }

    /// The open file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Where the file is while it is unfinished.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// `map_err` adapter for a failed write.
    pub(super) fn write_error(&self) -> impl FnOnce(std::io::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error::Io { action: "write", path, source }
    }

    /// Data first, then the name, then the directory: in any other order a power cut could leave a torn file under the final name.
    pub(super) fn commit(mut self) -> Result<()> {
        // Another program may have replaced the file behind our handle (qemu-img truncates in place, others rename): sync by name.
        let whole = File::open(&self.path).map_err(Error::io("open", &self.path))?;
        whole.sync_all().map_err(Error::io("sync", &self.path))?;
        fs::rename(&self.path, &self.target).map_err(Error::io("rename to", &self.target))?;
        self.committed = true;
        let directory = match self.target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let handle = File::open(directory).map_err(Error::io("open", directory))?;
        handle.sync_all().map_err(Error::io("sync", directory))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.committed {
            // The error that led here is the one to report; a file that cannot be removed says so by its name.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn beside(target: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(target);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn appears_only_when_committed_and_vanishes_otherwise() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("disk.raw");
        let partial = Partial::create(&target, Existing::Refuse).unwrap();
        partial.file().write_all(b"half").unwrap();
        assert_eq!(names(directory.path()), ["disk.raw.partial"]);
        drop(partial);
        assert!(names(directory.path()).is_empty());

        let partial = Partial::create(&target, Existing::Refuse).unwrap();
        partial.file().write_all(b"whole").unwrap();
        partial.commit().unwrap();
        assert_eq!(names(directory.path()), ["disk.raw"]);
        assert_eq!(fs::read(&target).unwrap(), b"whole");
    }

    #[test]
    fn refuses_an_existing_target_unless_told_to_replace_it() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("disk.raw");
        fs::write(&target, b"old").unwrap();
        let error = Partial::create(&target, Existing::Refuse).err().unwrap();
        assert_eq!(error.exit_code(), 5);
        assert!(error.to_string().contains("exists already"), "{error}");
        drop(Partial::create(&target, Existing::Replace).unwrap());
        assert_eq!(fs::read(&target).unwrap(), b"old", "an abandoned replacement leaves the old file");
        Partial::create(&target, Existing::Replace).unwrap().commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"");
    }

    #[test]
    fn refuses_a_directory_as_target() {
        let directory = tempfile::tempdir().unwrap();
        let error = Partial::create(directory.path(), Existing::Replace).err().unwrap();
        assert!(error.to_string().contains("is a directory"), "{error}");
    }
}
