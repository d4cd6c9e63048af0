//! Where the journal lies.
//!
//! On an appliance it is a file on the data partition. While an image file is worked on offline it is only in memory: the data
//! partition in the image is an ext4 we do not mount, and a second journal beside the image would contradict the appliance's own
//! once that image runs. Nothing is lost by it: slots and boot state alone say what is installed and what happens next, and whoever
//! can write the image file does not need to be stopped by a sequence floor.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::ROOM;
use crate::plain_file;

/// Something that keeps the bytes of the journal.
pub trait Store {
    /// All of them; empty when there is no journal yet.
    fn load(&self) -> io::Result<Vec<u8>>;
    /// Adds bytes at the end, durable on return.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// Replaces everything: after a crash either the old or the new bytes are there. Durable on return.
    fn replace(&self, bytes: &[u8]) -> io::Result<()>;
    /// Keeps room for [`ROOM`] bytes altogether, so that `append` does not fail for lack of it, however full everything around is.
    fn reserve(&self) -> io::Result<()> {
        Ok(())
    }
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
        match plain_file::read(&self.file(), ROOM) {
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
        // The new file needs room of its own before it takes the place of the one that has it.
        plain_file::replace_with(&self.file(), &self.0.join("journal.new"), bytes, 0o666, keep_room)
    }

    fn reserve(&self) -> io::Result<()> {
        self.make_directory()?;
        let new = !self.file().exists();
        let file = plain_file::open(&self.file(), OpenOptions::new().append(true).create(true))?;
        keep_room(&file)?;
        if new { self.flush_directory() } else { Ok(()) }
    }
}

/// Blocks beyond the end of the file. They are this file's whatever happens, and writing to them needs no others: the extents of so
/// small a file have their place in its inode. A file system that cannot do this promises nothing.
fn keep_room(file: &File) -> io::Result<()> {
    let room = u64::try_from(ROOM).unwrap_or(u64::MAX);
    if file.metadata()?.blocks().saturating_mul(BLOCK_UNIT) >= room {
        return Ok(());
    }
    let length = i64::try_from(room).map_err(io::Error::other)?;
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length) {
        Ok(()) | Err(Errno::EOPNOTSUPP) => file.sync_all(),
        Err(problem) => Err(problem.into()),
    }
}

/// What `st_blocks` counts.
const BLOCK_UNIT: u64 = 512;

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
