//! A file system as data: what every source produces and what the ext4 writer consumes.
//!
//! Paths are UTF-8, relative to the root, without leading or trailing slash and without `.` or `..` components; the root directory
//! is the empty path. A `BTreeMap` keeps entries in one order everywhere, parents before children.
//!
//! [`path`] has the rules for names and the resolution of links inside the root, [`merge`] lays trees over each other,
//! [`Tree::validate`] says what a tree must satisfy before it is written. Sources make trees, the ext4 writer consumes them.

use std::collections::{BTreeMap, BTreeSet};

mod check;
mod content;
mod digest;
mod merge;
pub mod path;
mod size;

pub use content::{Content, Reader};
pub use merge::{Layer, OnConflict, lay, merge};
pub use size::largest;

/// The entries of a file system by path.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Every entry, the root (`""`) included.
    pub nodes: BTreeMap<String, Node>,
    /// Directories that exist only because something below them does: laid over a directory of a lower layer, they leave its mode and
    /// owner alone (an overlay with `root/.profile` must not open `/root` to everybody).
    pub implied: BTreeSet<String>,
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

impl Tree {
    /// A tree with nothing but its root directory.
    pub fn new(mtime: i64) -> Self {
        let mut tree = Self::default();
        tree.nodes.insert(String::new(), Node::directory(mtime));
        tree.implied.insert(String::new());
        tree
    }

    /// Creates the directories above `path` that are missing, as implied ones.
    pub fn make_parents(&mut self, path: &str, mtime: i64) {
        for parent in path::ancestors(path) {
            if !self.nodes.contains_key(parent) {
                self.nodes.insert(parent.to_owned(), Node::directory(mtime));
                self.implied.insert(parent.to_owned());
            }
        }
    }

    /// Puts an entry at `path`, replacing what was there, and creates missing parents with its time.
    pub fn insert(&mut self, path: impl Into<String>, node: Node) {
        let path = path.into();
        self.make_parents(&path, node.mtime);
        self.implied.remove(&path);
        self.nodes.insert(path, node);
    }

    /// The entry at `path` after following symbolic links inside the root, with its real path.
    pub fn lookup(&self, path: &str) -> Option<(String, &Node)> {
        let path::Resolution::Found(real) = path::resolve(self, path) else { return None };
        let node = self.nodes.get(&real)?;
        Some((real, node))
    }

    /// The content of the regular file at `path`, following symbolic and hard links.
    pub fn file(&self, path: &str) -> Option<&Content> {
        let (_, node) = self.lookup(path)?;
        match &node.kind {
            Kind::File(content) => Some(content),
            Kind::HardLink(target) => match &self.nodes.get(target)?.kind {
                Kind::File(content) => Some(content),
                _ => None,
            },
            _ => None,
        }
    }

    /// The paths below the directory `path`, itself not included.
    pub fn below<'a>(&'a self, path: &str) -> Box<dyn Iterator<Item = (&'a String, &'a Node)> + 'a> {
        if path.is_empty() {
            return Box::new(self.nodes.iter().filter(|(path, _)| !path.is_empty()));
        }
        // '0' is the character after '/', so this is exactly everything that starts with "path/".
        Box::new(self.nodes.range(format!("{path}/")..format!("{path}0")))
    }

    /// Removes these entries. A file that other names link to lives on under the first of them.
    pub fn remove_all(&mut self, paths: &BTreeSet<String>) {
        let mut homes: BTreeMap<String, String> = BTreeMap::new();
        let orphans: Vec<(String, String)> = self
            .nodes
            .iter()
            .filter(|(path, _)| !paths.contains(*path))
            .filter_map(|(path, node)| match &node.kind {
                Kind::HardLink(target) if paths.contains(target) => Some((path.clone(), target.clone())),
                _ => None,
            })
            .collect();
        for (path, target) in orphans {
            let kind = match homes.get(&target) {
                Some(home) => Kind::HardLink(home.clone()),
                None => match self.nodes.get(&target) {
                    Some(node) => node.kind.clone(),
                    None => continue,
                },
            };
            homes.entry(target).or_insert_with(|| path.clone());
            if let Some(node) = self.nodes.get_mut(&path) {
                node.kind = kind;
            }
        }
        self.nodes.retain(|path, _| !paths.contains(path));
        self.implied.retain(|path| !paths.contains(path));
    }

    /// Removes every entry that is one of `prefixes` or below one. Returns the prefixes that matched nothing.
    pub fn exclude(&mut self, prefixes: &[String]) -> Vec<String> {
        let mut gone = BTreeSet::new();
        let mut unused = Vec::new();
        for prefix in prefixes {
            let path = prefix.trim_matches('/');
            let before = gone.len();
            if !path.is_empty() && self.nodes.contains_key(path) {
                gone.insert(path.to_owned());
            }
            if !path.is_empty() {
                gone.extend(self.below(path).map(|(path, _)| path.clone()));
            }
            if gone.len() == before && !gone.contains(path) {
                unused.push(prefix.clone());
            }
        }
        self.remove_all(&gone);
        unused
    }
}

impl Node {
    /// An entry owned by root without extended attributes.
    pub const fn new(kind: Kind, mode: u16, mtime: i64) -> Self {
        Self { kind, mode, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new() }
    }

    /// A directory with mode 0755 owned by root.
    pub const fn directory(mtime: i64) -> Self {
        Self::new(Kind::Directory, 0o755, mtime)
    }

    /// A regular file with these bytes, owned by root.
    pub fn file(bytes: impl AsRef<[u8]>, mode: u16, mtime: i64) -> Self {
        Self::new(Kind::File(Content::Bytes(bytes.as_ref().into())), mode, mtime)
    }

    /// A symbolic link owned by root.
    pub fn symlink(target: impl Into<String>, mtime: i64) -> Self {
        Self::new(Kind::Symlink(target.into()), 0o777, mtime)
    }

    /// True for a directory.
    pub const fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }
}

impl Kind {
    /// The word for this kind in messages, with its article.
    pub const fn noun(&self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::File(_) => "a file",
            Self::Symlink(_) => "a symbolic link",
            Self::HardLink(_) => "a hard link",
            Self::CharDevice(..) => "a character device",
            Self::BlockDevice(..) => "a block device",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
        }
    }
}
