//! Where the journal lies.
//!
//! On an appliance it is a file on the data partition. While an image file is worked on offline it is only in memory: the data
//! partition in the image is an ext4 we do not mount, and a second journal beside the image would contradict the appliance's own
//! once that image runs. Nothing is lost by it: slots and boot state alone say what is installed and what happens next, and whoever
//! can write the image file does not need to be stopped by a sequence floor.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::LIMIT;
use crate::plain_file;

/// Something that keeps the bytes of the journal.
pub trait Store {
    /// All of them; empty when there is no journal yet.
    fn load(&self) -> io::Result<Vec<u8>>;
    /// Adds bytes at the end, durable on return.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// Replaces everything: after a crash either the old or the new bytes are there. Durable on return.
    fn replace(&self, bytes: &[u8]) -> io::Result<()>;
}

/// The file `journal` in a directory of the data partition.
pub struct Directory(PathBuf);

impl Directory {
    /// The journal in `directory`, which is made when it is first written.
    pub fn new(directory: &Path) -> Self {
        Self(directory.into())
    }

    fn file(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// Makes the directory, and its entry durable when it is new.
    fn make_directory(&self) -> io::Result<()> {
        if self.0.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.0)?;
        self.0.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }

    fn flush_directory(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

impl Store for Directory {
    fn load(&self) -> io::Result<Vec<u8>> {
        match plain_file::read(&self.file(), LIMIT.saturating_mul(2)) {
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.make_directory()?;
        let new = !self.file().exists();
        let mut file = plain_file::open(&self.file(), OpenOptions::new().append(true).create(true))?;
        file.write_all(bytes)?;
        // The length of the file is part of what must survive.
        file.sync_all()?;
        if new { self.flush_directory() } else { Ok(()) }
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        self.make_directory()?;
        plain_file::replace(&self.file(), &self.0.join("journal.new"), bytes, 0o666)
    }
}

/// A journal that ends with the program.
#[derive(Debug, Default)]
pub struct Memory(RefCell<Vec<u8>>);

impl Store for Memory {
    fn load(&self) -> io::Result<Vec<u8>> {
        Ok(self.0.borrow().clone())
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(())
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        *self.0.borrow_mut() = bytes.to_vec();
        Ok(())
    }
}
