//! A file system as data: what every source produces and what the ext4 writer consumes.
//!
//! Paths are UTF-8, relative to the root, without leading or trailing slash and without `.` or `..` components; the root directory
//! is the empty path. A `BTreeMap` keeps entries in one order everywhere, parents before children.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The entries of a file system by path.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Every entry, the root (`""`) included.
    pub nodes: BTreeMap<String, Node>,
}

/// One entry: its attributes and what it is.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky (`0o7777`).
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in seconds since 1970.
    pub mtime: i64,
    /// Extended attributes by full name (`security.capability`), values as `getxattr` returns them.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// What an entry is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file with its content.
    File(Content),
    /// A symbolic link and its target, stored as it is.
    Symlink(String),
    /// Another name of the regular file at this path, which exists in the tree and is not itself a hard link.
    HardLink(String),
    /// A character device: major, minor.
    CharDevice(u32, u32),
    /// A block device: major, minor.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Where the bytes of a regular file are. Never held in memory for large files: memory stays flat whatever the size of the tree.
#[derive(Debug, Clone)]
pub enum Content {
    /// Small, in memory.
    Bytes(Arc<[u8]>),
    /// A range of an open file: a plain tar archive or the spool of a compressed one.
    Range {
        /// The open file, read with `read_at`.
        file: Arc<std::fs::File>,
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
}
