//! Where certificates lie: a folder of the data partition in which each file is replaced as a whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::plain_file;

/// A folder of small files.
pub trait Folder: Send + Sync {
    /// The names of all files, sorted, without those that are not complete.
    fn names(&self) -> io::Result<Vec<String>>;
    /// The content of one.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Puts a file in the place of the one of this name: after a power cut one of the two is there, whole. Durable on return.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Removes one; none is there afterwards. Durable on return.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// The folder on the data partition.
pub struct Directory(PathBuf);

impl Directory {
    /// That of the data partition mounted at `data`.
    pub fn new(data: &Path) -> Self {
        Self(data.join("bulkhead/certificates"))
    }

    /// Makes the folder, which only root may look into, and its name durable.
    fn make(&self) -> io::Result<()> {
        match fs::symlink_metadata(&self.0) {
            Ok(metadata) if metadata.is_dir() => return Ok(()),
            Ok(_) => return Err(io::Error::other("it is no directory")),
            Err(_) => {}
        }
        let parent = self.0.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(parent)?;
        std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(&self.0)?;
        File::open(parent)?.sync_all()
    }
}

impl Folder for Directory {
    fn names(&self) -> io::Result<Vec<String>> {
        let names = plain_file::names(&self.0)?.into_iter().filter_map(|name| name.into_string().ok());
        Ok(names.filter(|name| !name.ends_with(NEW)).collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        plain_file::read(&self.0.join(name), MAX_FILE)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.make()?;
        // What an earlier cut left may hold a key and has another file's name, so nobody would ever replace it.
        plain_file::remove_unfinished(&self.0)?;
        plain_file::replace(&self.0.join(name), &self.0.join(format!("{name}{NEW}")), bytes, 0o600)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        plain_file::remove_if_there(&self.0.join(name))?;
        match File::open(&self.0) {
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(()),
            folder => folder?.sync_all(),
        }
    }
}

/// Longest file in bytes: what may be imported, as text.
pub const MAX_FILE: usize = 2 << 20;
const NEW: &str = ".new";

#[cfg(test)]
pub(super) mod simulated {
    //! A folder in memory on which the power fails when a test says so.

    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Files, and how many more changes reach the medium.
    #[derive(Clone, Default)]
    pub struct Memory(Arc<Mutex<(Files, Option<usize>)>>);

    type Files = BTreeMap<String, Vec<u8>>;

    impl Memory {
        /// The power fails after so many changes; nothing: it does not.
        pub fn cut_after(&self, changes: Option<usize>) {
            self.0.lock().unwrap().1 = changes;
        }

        /// The same files on a medium of their own, with power.
        pub fn copy(&self) -> Self {
            Self(Arc::new(Mutex::new((self.0.lock().unwrap().0.clone(), None))))
        }

        fn change(&self, change: impl FnOnce(&mut Files)) -> io::Result<()> {
            let mut inner = self.0.lock().unwrap();
            match &mut inner.1 {
                Some(0) => return Err(io::Error::other("the power is gone")),
                Some(left) => *left -= 1,
                None => {}
            }
            change(&mut inner.0);
            Ok(())
        }
    }

    impl Folder for Memory {
        fn names(&self) -> io::Result<Vec<String>> {
            Ok(self.0.lock().unwrap().0.keys().cloned().collect())
        }

        fn read(&self, name: &str) -> io::Result<Vec<u8>> {
            let inner = self.0.lock().unwrap();
            inner.0.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
            self.change(|files| drop(files.insert(name.into(), bytes.to_vec())))
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            self.change(|files| drop(files.remove(name)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_root_looks_in_and_what_a_cut_left_goes_with_the_next_change() {
        let data = tempfile::tempdir().unwrap();
        let folder = Directory::new(data.path());
        assert!(folder.names().unwrap().is_empty());
        folder.remove("a").unwrap();
        folder.replace("a", b"1").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder.0), mode(&folder.0.join("a"))), (0o700, 0o600));
        fs::write(folder.0.join("b.new"), "half a key").unwrap();
        assert_eq!(folder.names().unwrap(), ["a"]);
        folder.replace("a", b"2").unwrap();
        assert!(!folder.0.join("b.new").exists());
        assert_eq!(folder.read("a").unwrap(), b"2");
        folder.remove("a").unwrap();
        assert!(folder.names().unwrap().is_empty());
    }
}
