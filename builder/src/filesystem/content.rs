//! Streaming the content of one file, and telling afterwards what went wrong.

use std::io::{self, Read};
use std::path::PathBuf;

use crate::tree::{Content, Reader};
use crate::{Error, Result};

/// Reads a [`Content`] and keeps what went wrong, because the writer it feeds only knows that something did.
pub(super) struct ContentReader<'a> {
    reader: Reader,
    content: &'a Content,
    tree_path: &'a str,
    failure: Option<io::Error>,
}

impl<'a> ContentReader<'a> {
    /// Opens `content`, which is stored as `tree_path`.
    pub fn open(tree_path: &'a str, content: &'a Content) -> Result<Self> {
        Ok(Self { reader: content.reader()?, content, tree_path, failure: None })
    }

    /// Ends reading: tells a failed read, or that a file of the host changed its length while it was read.
    pub fn finish(self) -> Result<()> {
        if let Content::HostFile { .. } = self.content {
            // Opening compares the length with the one announced.
            self.content.reader()?;
        }
        let Some(failure) = self.failure else { return Ok(()) };
        if failure.kind() == io::ErrorKind::UnexpectedEof {
            let length = self.content.length();
            return Err(Error::input(format!(
                "the source of \"/{}\" ends before its {length} bytes do",
                self.tree_path
            )));
        }
        let path = match self.content {
            Content::HostFile { path, .. } => path.clone(),
            _ => PathBuf::from(format!("source of /{}", self.tree_path)),
        };
        Err(Error::Io { action: "read", path, source: failure })
    }
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| {
            let kind = error.kind();
            self.failure = Some(error);
            kind.into()
        })
    }
}
