//! Where unpacked content waits: one temporary file without a name, so memory stays flat and nothing is left behind after a crash.
//!
//! Guarantees that a cut-off or damaged compressed file is an error with its name, and that a small file cannot unpack without end.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Error, Result};

/// A growing temporary file that [`crate::tree::Content::Range`] points into.
#[derive(Debug)]
pub struct Spool {
    file: Arc<File>,
    length: u64,
    directory: PathBuf,
}

/// Part of an open file: an archive, a member of one, or what was unpacked from one.
#[derive(Debug, Clone)]
pub struct Window {
    /// The open file.
    pub file: Arc<File>,
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
}

/// How a file is compressed, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all, as far as known.
    Plain,
    /// gzip (RFC 1952).
    Gzip,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Window {
    /// The whole of a file of the build host.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let metadata = file.metadata().map_err(Error::io("read", path))?;
        if !metadata.is_file() {
            return Err(Error::Input(format!("\"{}\" is not a regular file", path.display())));
        }
        Ok(Self { file: Arc::new(file), offset: 0, length: metadata.len() })
    }

    /// A part of this window, if it lies inside.
    pub fn part(&self, offset: u64, length: u64) -> Option<Self> {
        let end = offset.checked_add(length)?;
        (end <= self.length).then(|| Self { file: Arc::clone(&self.file), offset: self.offset + offset, length })
    }

    /// Fills `buffer` from `offset`.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_exact_at(buffer, self.offset + offset)
    }

    /// The first `n` bytes, or fewer when there are not as many.
    pub fn head(&self, n: usize) -> std::io::Result<Vec<u8>> {
        let mut head = vec![0; usize::try_from(self.length).unwrap_or(n).min(n)];
        self.read_exact_at(&mut head, 0)?;
        Ok(head)
    }

    /// A sequential reader over the window.
    pub fn reader(&self) -> impl Read {
        WindowReader { window: self.clone(), position: 0 }
    }
}

struct WindowReader {
    window: Window,
    position: u64,
}

impl Read for WindowReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.window.length - self.position).unwrap_or(usize::MAX);
        let n = left.min(buffer.len());
        self.window.read_exact_at(&mut buffer[..n], self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}

impl Compression {
    /// Recognises the compression from the first six bytes; names compressions that are not supported.
    pub fn detect(head: &[u8]) -> Result<Self, String> {
        if head.starts_with(&[0x1f, 0x8b]) {
            Ok(Self::Gzip)
        } else if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
            Ok(Self::Xz)
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Ok(Self::Zstd)
        } else if head.starts_with(b"BZh") {
            Err("it is compressed with bzip2; supported are gzip, xz and zstd".to_owned())
        } else if head.starts_with(&[0x5d, 0, 0]) {
            Err("it is compressed with lzma; supported are gzip, xz and zstd".to_owned())
        } else {
            Ok(Self::Plain)
        }
    }
}

/// The unpacked bytes of a compressed stream.
pub fn unpacker<'a>(packed: impl Read + 'a, compression: Compression) -> std::io::Result<Box<dyn Read + 'a>> {
    let packed = BufReader::with_capacity(PIECE, packed);
    Ok(match compression {
        Compression::Plain => Box::new(packed),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(MAX_XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

impl Spool {
    /// An empty spool in `directory`, which must exist; its space is free again when the last content is dropped.
    pub fn new(directory: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(directory).map_err(Error::io("create a temporary file in", directory))?;
        Ok(Self { file: Arc::new(file), length: 0, directory: directory.to_owned() })
    }

    /// Copies everything `packed` unpacks to into the spool. `what` names it in messages.
    pub fn unpack(&mut self, packed: impl Read, compression: Compression, what: &str) -> Result<Window> {
        let offset = self.length;
        let mut unpacked = unpacker(packed, compression).map_err(|cause| damaged(what, 0, &cause))?;
        let mut buffer = vec![0; PIECE];
        loop {
            let done = self.length - offset;
            let n = match unpacked.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(damaged(what, done, &cause)),
            };
            if done + n as u64 > MAX_UNPACKED {
                return Err(Error::Input(format!("{what} unpacks to more than {} GiB", MAX_UNPACKED >> 30)));
            }
            self.file
                .write_all_at(&buffer[..n], self.length)
                .map_err(Error::io("write unpacked content to", &self.directory))?;
            self.length += n as u64;
        }
        Ok(Window { file: Arc::clone(&self.file), offset, length: self.length - offset })
    }
}

/// The message for a stream that cannot be unpacked.
fn damaged(what: &str, done: u64, cause: &std::io::Error) -> Error {
    let truncated = cause.kind() == std::io::ErrorKind::UnexpectedEof || cause.to_string().contains("incomplete frame");
    Error::Input(if truncated {
        format!("{what} is truncated: its compressed data ends after {done} unpacked bytes; fetch it again")
    } else {
        format!("{what} is damaged after {done} unpacked bytes: {cause}")
    })
}

const PIECE: usize = 256 * 1024;
/// Most bytes one archive may unpack to.
const MAX_UNPACKED: u64 = 64 << 30;
/// Memory limit of the xz decoder: level 9 needs 65 MiB.
const MAX_XZ_MEMORY: u64 = 128 << 20;
/// Largest window of a zstd frame, 128 MiB: what `zstd -d` accepts by default.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;
