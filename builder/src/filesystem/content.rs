//! Reading the content of one file exactly as long as it was announced.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::tree::Content;
use crate::{Error, Result};

/// Streams a [`Content`]; keeps what went wrong, because the writer it feeds only knows that something did.
pub(super) struct ContentReader<'a> {
    source: Source<'a>,
    /// For messages about content that has no file of its own.
    tree_path: &'a str,
    left: u64,
    failure: Option<Error>,
}

enum Source<'a> {
    Bytes(&'a [u8]),
    Range { file: &'a File, offset: u64 },
    HostFile { file: File, offset: u64, path: &'a Path, length: u64 },
}

impl<'a> ContentReader<'a> {
    /// Opens `content`, which will be at `tree_path`.
    pub fn open(tree_path: &'a str, content: &'a Content) -> Result<Self> {
        let source = match content {
            Content::Bytes(bytes) => Source::Bytes(bytes),
            Content::Range { file, offset, .. } => Source::Range { file, offset: *offset },
            Content::HostFile { path, length } => {
                // Neither follow a link nor wait for a pipe which took the file's place since it was listed.
                let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
                let file =
                    OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(Error::io("read", path))?;
                let source = Source::HostFile { file, offset: 0, path, length: *length };
                source.check_length()?;
                source
            }
        };
        Ok(Self { source, tree_path, left: content.length(), failure: None })
    }

    /// Ends reading: the failure of a read, or a change of the file while it was read.
    pub fn finish(self) -> Result<()> {
        match self.failure {
            Some(failure) => Err(failure),
            None => self.source.check_length(),
        }
    }
}

impl Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes(bytes) => bytes.read(buffer),
            Self::Range { file, offset } => read_at(file, buffer, offset),
            Self::HostFile { file, offset, .. } => read_at(file, buffer, offset),
        }
    }

    fn check_length(&self) -> Result<()> {
        let Self::HostFile { file, path, length, .. } = self else { return Ok(()) };
        let metadata = file.metadata().map_err(Error::io("read", path))?;
        if metadata.is_file() && metadata.len() == *length {
            return Ok(());
        }
        Err(Error::input(format!(
            "\"{}\" changed while it was used: a file of {length} bytes when it was listed, now of {}; build from files nobody writes",
            path.display(),
            metadata.len()
        )))
    }
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        match self.source.read(&mut buffer[..most]) {
            Ok(0) if most > 0 => {
                self.failure = Some(match self.source.check_length() {
                    Err(changed) => changed,
                    Ok(()) => {
                        Error::input(format!("the source of \"/{}\" ends {} bytes early", self.tree_path, self.left))
                    }
                });
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(n) => {
                self.left -= n as u64;
                Ok(n)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let path = match &self.source {
                    Source::HostFile { path, .. } => path,
                    _ => Path::new(self.tree_path),
                };
                self.failure = Some(Error::Io { action: "read", path: path.to_owned(), source: error });
                Err(io::ErrorKind::Other.into())
            }
        }
    }
}

fn read_at(file: &File, buffer: &mut [u8], offset: &mut u64) -> io::Result<usize> {
    let n = file.read_at(buffer, *offset)?;
    *offset += n as u64;
    Ok(n)
}
