//! Where the bytes of regular files are, and reading them in bounded pieces.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Error, Result};

/// Where the bytes of a regular file are. Never held in memory for large files: memory stays flat whatever the size of the tree.
#[derive(Debug, Clone)]
pub enum Content {
    /// Small, in memory.
    Bytes(Arc<[u8]>),
    /// A range of an open file: a plain tar archive or the spool of a compressed one.
    Range {
        /// The open file, read with `read_at`.
        file: Arc<File>,
        /// First byte.
        offset: u64,
        /// Length in bytes.
        length: u64,
    },
    /// A file of the build host, opened when it is copied (a directory source may have more files than descriptors).
    HostFile {
        /// Its path.
        path: PathBuf,
        /// Its length when it was listed; a different length at copy time is an error.
        length: u64,
    },
}

impl Content {
    /// Length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Range { length, .. } | Self::HostFile { length, .. } => *length,
        }
    }

    /// Opens the content for one pass from its first byte.
    pub fn reader(&self) -> Result<Reader> {
        let source = match self {
            Self::Bytes(bytes) => Place::Memory(Arc::clone(bytes)),
            Self::Range { file, offset, .. } => Place::File { file: Arc::clone(file), base: *offset },
            Self::HostFile { path, length } => {
                let file = File::open(path).map_err(Error::io("read", path))?;
                let now = file.metadata().map_err(Error::io("read", path))?.len();
                if now != *length {
                    return Err(Error::Input(format!(
                        "\"{}\" changed during the build: it had {length} bytes and now has {now}",
                        path.display()
                    )));
                }
                Place::File { file: Arc::new(file), base: 0 }
            }
        };
        Ok(Reader { place: source, position: 0, length: self.length() })
    }

    /// Reads `length` bytes (less only at the end of the content) from `offset`.
    pub fn read_range(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let available = self.length().saturating_sub(offset);
        let length = usize::try_from(available).map_or(length, |available| available.min(length));
        let mut bytes = vec![0; length];
        let reader = self.reader()?;
        reader.place.read_exact_at(&mut bytes, offset).map_err(Error::io("read", self.whereabouts()))?;
        Ok(bytes)
    }

    /// The whole content, which may not be longer than `limit` bytes.
    pub fn read_all(&self, what: &str, limit: u64) -> Result<Vec<u8>> {
        let length = self.length();
        if length > limit {
            return Err(Error::Input(format!("{what} has {length} bytes, more than the limit of {limit}")));
        }
        let length = usize::try_from(length).map_err(|_| Error::Input(format!("{what} is too large")))?;
        self.read_range(0, length)
    }

    /// Calls `sink` with consecutive pieces of the content.
    pub fn for_each_piece(&self, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if let Self::Bytes(bytes) = self {
            return sink(bytes);
        }
        let mut reader = self.reader()?;
        let mut buffer = vec![0; PIECE];
        loop {
            let n = reader.read(&mut buffer).map_err(Error::io("read", self.whereabouts()))?;
            if n == 0 {
                return Ok(());
            }
            sink(&buffer[..n])?;
        }
    }

    /// For messages: the file of the host, or what else holds the bytes.
    fn whereabouts(&self) -> PathBuf {
        match self {
            Self::HostFile { path, .. } => path.clone(),
            Self::Range { .. } => "unpacked archive".into(),
            Self::Bytes(_) => "memory".into(),
        }
    }
}

/// One pass over a [`Content`]. Ends exactly at its length; a file that became shorter is an error, never a short read.
#[derive(Debug)]
pub struct Reader {
    place: Place,
    position: u64,
    length: u64,
}

#[derive(Debug)]
enum Place {
    Memory(Arc<[u8]>),
    File { file: Arc<File>, base: u64 },
}

impl Place {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        match self {
            Self::File { file, base } => file.read_exact_at(buffer, base.saturating_add(offset)),
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let end = start.saturating_add(buffer.len());
                let part = bytes.get(start..end).ok_or(std::io::ErrorKind::UnexpectedEof)?;
                buffer.copy_from_slice(part);
                Ok(())
            }
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.length - self.position).unwrap_or(usize::MAX);
        let n = left.min(buffer.len());
        self.place.read_exact_at(&mut buffer[..n], self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}

const PIECE: usize = 256 * 1024;
