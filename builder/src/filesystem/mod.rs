//! From a [`Tree`] to the bytes of an ext4 file system.
//!
//! The same tree and options give the same bytes, whatever host, directory order or thread count: entries are declared in path order
//! (hard links after everything they can point to) and content is copied in that order, one file at a time, in pieces, so that memory
//! grows with the number of entries and never with their content.
//!
//! Where the bytes go is the [`Output`]'s business; a slot with its hash tree is made in [`crate::slot_image`].

mod content;
mod declare;
pub mod sizing;
mod sparse;

use std::path::Path;

use formats::{Bytes, Guid, ext4};

use crate::tree::Tree;
use crate::{Error, Result};

pub use sparse::SparseFile;
pub(crate) use sparse::is_zero;

/// What the file system is apart from its tree.
#[derive(Debug, Clone)]
pub struct Options {
    /// Volume label, at most 16 bytes.
    pub label: String,
    /// UUID of the file system.
    pub uuid: Guid,
    /// Seed of the directory hash.
    pub hash_seed: Guid,
    /// Creation time in seconds since 1970.
    pub timestamp: i64,
    /// The size; `None` takes the smallest which holds the tree.
    pub size: Option<Bytes>,
    /// Free inodes beyond those of the tree, for file systems that will be written to.
    pub spare_inodes: u32,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Size of the file system, a multiple of 4 KiB.
    pub size: Bytes,
    /// Entries of the tree, the root included.
    pub entries: u64,
    /// Content of all regular files together.
    pub content: Bytes,
}

/// A [`ext4::Sink`] with a name for messages.
pub trait Output: ext4::Sink {
    /// The file written to.
    fn path(&self) -> &Path;
}

impl Options {
    /// For a file system named `label` in a build with this `seed`: UUID and hash seed follow from both.
    pub fn derived(seed: &str, label: &str, timestamp: i64) -> Self {
        Self {
            label: label.to_owned(),
            uuid: Guid::derive(seed, &format!("ext4:{label}")),
            hash_seed: Guid::derive(seed, &format!("ext4-hash:{label}")),
            timestamp,
            size: None,
            spare_inodes: 0,
        }
    }
}

/// Writes `tree` to `output`.
///
/// # Errors
/// [`Error::Input`] for a tree that does not fit into a fixed size or holds what ext4 cannot; [`Error::Io`] names the file that could
/// not be read or written. After an error the output is useless.
pub fn write(tree: &Tree, options: &Options, output: &mut dyn Output) -> Result<Written> {
    let size = match options.size {
        Some(size) => size,
        None => sizing::minimum(tree, options)?,
    };
    let declared = declare::declare(tree, options, size)?;
    let Some(sealed) = declared.volume.seal().map_err(Error::format(format!("file system \"{}\"", options.label)))?
    else {
        let needed = sizing::minimum(tree, options)?;
        return Err(sizing::too_large(tree, &format!("file system \"{}\"", options.label), needed, size));
    };
    let path = output.path().to_owned();
    let mut writer = sealed.write(&mut *output).map_err(Error::io("write", &path))?;
    let mut total = 0;
    for file in &declared.files {
        let mut reader = content::ContentReader::open(file.path, file.content)?;
        let filled = writer.fill(file.inode, &mut reader);
        // A failure to read is told by the reader, which knows what it read; any other one is the output's.
        reader.finish()?;
        filled.map_err(Error::io("write", &path))?;
        total += file.content.length();
    }
    writer.finish().map_err(Error::io("write", &path))?;
    Ok(Written { size, entries: tree.nodes.len() as u64, content: Bytes(total) })
}

#[cfg(test)]
mod tests;
