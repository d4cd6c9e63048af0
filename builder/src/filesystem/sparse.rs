//! Writing blocks into a range of a file, blocks of zeros left out.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use formats::ext4;

use super::Output;

/// A range of an open file that reads as zeros, such as a new file after `set_len`: zeros are not written, so they take no space.
///
/// The file must reach to the end of what is written; see [`SparseFile::new`].
#[derive(Debug)]
pub struct SparseFile<'a> {
    file: &'a File,
    path: PathBuf,
    offset: u64,
}

impl<'a> SparseFile<'a> {
    /// The range of `file` (at `path`, for messages) from byte `offset` on.
    pub fn new(file: &'a File, path: impl Into<PathBuf>, offset: u64) -> Self {
        Self { file, path: path.into(), offset }
    }

    /// Writes `bytes` at `offset` of the range, whole 4096-byte blocks of zeros left out.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let base = self.offset.checked_add(offset).ok_or(io::ErrorKind::InvalidInput)?;
        let mut start = 0;
        while start < bytes.len() {
            let end = end_of_run(bytes, start);
            let run = &bytes[start..end];
            if !is_zero(&run[..run.len().min(ext4::BLOCK_SIZE)]) {
                self.file.write_all_at(run, base + start as u64)?;
            }
            start = end;
        }
        Ok(())
    }
}

/// Where the run of blocks that are all zero, or all not, ends which begins at `start`.
fn end_of_run(bytes: &[u8], start: usize) -> usize {
    let mut blocks = bytes[start..].chunks(ext4::BLOCK_SIZE).map(|block| (block.len(), is_zero(block)));
    let Some((first, zero)) = blocks.next() else { return bytes.len() };
    blocks.take_while(|(_, z)| *z == zero).fold(start + first, |end, (length, _)| end + length)
}

impl ext4::Sink for SparseFile<'_> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_at(offset, bytes)
    }

    fn zeros(&mut self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Output for SparseFile<'_> {
    fn path(&self) -> &Path {
        &self.path
    }
}

/// True for bytes that are all zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<64>();
    words.iter().all(|word| word == &[0; 64]) && rest.iter().all(|byte| *byte == 0)
}
