//! Changes to a raw disk image that a test makes on purpose: find a partition, flip a byte, copy a slot, destroy the boot state.
//!
//! Finds partitions by their GPT labels with `formats`. Writes in place and keeps holes; never repairs anything.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use formats::Bytes;

use crate::{Error, Result};

/// A raw image opened for reading and writing.
#[derive(Debug)]
pub struct RawImage {
    file: File,
    path: PathBuf,
}

impl RawImage {
    /// Opens an existing raw image.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(Error::io("open", &path))?;
        Ok(Self { file, path })
    }

    /// Size of the image.
    pub fn size(&self) -> Result<Bytes> {
        Ok(Bytes(self.file.metadata().map_err(Error::io("examine", &self.path))?.len()))
    }

    /// `length` bytes at byte `offset`.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).map_err(Error::io("read", &self.path))?;
        Ok(bytes)
    }

    /// Writes `bytes` at byte `offset`. Refuses to go beyond the end: a disk has one.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let size = self.size()?;
        let end = offset.checked_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if end.is_none_or(|end| end > size.0) {
            return Err(Error::Input(format!(
                "cannot write {} bytes at byte {offset}: \"{}\" ends at byte {}",
                bytes.len(),
                self.path.display(),
                size.0
            )));
        }
        self.file.write_all_at(bytes, offset).map_err(Error::io("write", &self.path))
    }

    /// Inverts the lowest bit of the byte at `offset`.
    pub fn flip(&mut self, offset: u64) -> Result<()> {
        let byte = self.read(offset, 1)?;
        self.write(offset, &[byte[0] ^ 1])
    }

    /// Sets the image's size; what is new is a hole. Cuts off the end when `size` is smaller.
    pub fn resize(&mut self, size: Bytes) -> Result<()> {
        self.file.set_len(size.0).map_err(Error::io("resize", &self.path))
    }
}
