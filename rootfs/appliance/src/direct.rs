//! Reading and writing past the page cache, which demands aligned memory.
//!
//! Direct, because a read-back that comes from memory proves nothing, because a buffered read of one sector fetches a whole page and
//! fails when any sector of it is bad (the boot state must survive a bad neighbour), and because an update must not push the running
//! site out of the page cache. One buffer of one MiB is all the memory it takes, and of that only what is used.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The most bytes per system call.
const PIECE: usize = 1 << 20;
/// Enough for every disk's direct I/O.
const ALIGNMENT: usize = 4096;

/// A file or block device opened for direct I/O.
pub struct Direct {
    file: File,
    buffer: RefCell<Vec<u8>>,
}

/// How to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading; others may use it as they like.
    Read,
    /// Writing, and nobody else uses it: the kernel refuses while a file system or device-mapper holds the device.
    ExclusiveWrite,
    /// Writing with every write durable on return.
    DurableWrite,
}

impl Direct {
    /// Opens `path`.
    pub fn open(path: &Path, access: Access) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let flags = match access {
            Access::Read => 0,
            Access::ExclusiveWrite => libc::O_EXCL,
            Access::DurableWrite => libc::O_DSYNC,
        };
        options.read(true).write(access != Access::Read).custom_flags(libc::O_DIRECT | flags);
        let file = options.open(path)?;
        Ok(Self { file, buffer: RefCell::new(vec![0; PIECE + ALIGNMENT]) })
    }

    /// Fills `bytes` from `offset`.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.with_buffer(|file, buffer| {
            let mut at = offset;
            for piece in bytes.chunks_mut(PIECE) {
                let aligned = buffer.get_mut(..piece.len()).ok_or(io::ErrorKind::InvalidInput)?;
                file.read_exact_at(aligned, at)?;
                piece.copy_from_slice(aligned);
                at = at.saturating_add(piece.len() as u64);
            }
            Ok(())
        })
    }

    /// Writes `bytes` at `offset`. Up to 1 MiB goes in one call, so that one sector is one write; a call that writes less
    /// than it was given is an error.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with_buffer(|file, buffer| {
            let mut at = offset;
            for piece in bytes.chunks(PIECE) {
                let aligned = buffer.get_mut(..piece.len()).ok_or(io::ErrorKind::InvalidInput)?;
                aligned.copy_from_slice(piece);
                if file.write_at(aligned, at)? != piece.len() {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                at = at.saturating_add(piece.len() as u64);
            }
            Ok(())
        })
    }

    /// Empties the write cache of the medium.
    pub fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn with_buffer(&self, work: impl FnOnce(&File, &mut [u8]) -> io::Result<()>) -> io::Result<()> {
        let mut buffer = self.buffer.try_borrow_mut().map_err(|_| io::ErrorKind::ResourceBusy)?;
        let skip = buffer.as_ptr().align_offset(ALIGNMENT);
        let aligned = buffer.get_mut(skip..).ok_or(io::ErrorKind::OutOfMemory)?;
        work(&self.file, aligned)
    }
}
