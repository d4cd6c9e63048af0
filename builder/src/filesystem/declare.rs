//! Declaring a tree to the ext4 writer, in the one order that makes the bytes reproducible.

use std::collections::BTreeMap;

use formats::Bytes;
use formats::ext4::{self, Attributes, Device, Inode, Volume};

use super::Options;
use crate::tree::{Content, Kind, Node, Tree};
use crate::{Error, Result};

/// A declared tree with the files still to be filled, in order of declaration.
pub(super) struct Declared<'a> {
    pub volume: Volume,
    pub files: Vec<File<'a>>,
}

/// A regular file and where its content comes from.
pub(super) struct File<'a> {
    pub path: &'a str,
    pub inode: Inode,
    pub content: &'a Content,
}

/// Declares `tree` for a file system of `size`.
pub(super) fn declare<'a>(tree: &'a Tree, options: &Options, size: Bytes) -> Result<Declared<'a>> {
    let volume = Volume::new(&engine_options(tree, options, size)?)
        .map_err(Error::format(format!("file system \"{}\"", options.label)))?;
    let mut this = Declaring { volume, directories: BTreeMap::new(), inodes: BTreeMap::new(), files: Vec::new() };
    if !tree.nodes.get("").is_some_and(|root| matches!(root.kind, Kind::Directory)) {
        return Err(Error::Bug("a tree without a root directory".into()));
    }
    let links = |node: &Node| matches!(node.kind, Kind::HardLink(_));
    for (path, node) in tree.nodes.iter().filter(|(_, node)| !links(node)) {
        this.node(path, node)?;
    }
    for (path, node) in tree.nodes.iter().filter(|(_, node)| links(node)) {
        this.node(path, node)?;
    }
    Ok(Declared { volume: this.volume, files: this.files })
}

/// The inodes `tree` needs, those of the file system itself included.
pub(super) fn inodes(tree: &Tree, options: &Options) -> Result<u32> {
    let own =
        tree.nodes.iter().filter(|(path, node)| !path.is_empty() && !matches!(node.kind, Kind::HardLink(_))).count();
    u32::try_from(own)
        .ok()
        .and_then(|own| own.checked_add(ext4::FIRST_INODES)?.checked_add(options.spare_inodes))
        .ok_or_else(|| Error::input(format!("file system \"{}\" has too many entries ({own})", options.label)))
}

fn engine_options(tree: &Tree, options: &Options, size: Bytes) -> Result<ext4::Options> {
    Ok(ext4::Options {
        size,
        uuid: options.uuid,
        label: options.label.clone(),
        hash_seed: options.hash_seed,
        timestamp: options.timestamp,
        // Read-only file systems never use their journal, and those written to here are small.
        journal_blocks: ext4::MIN_JOURNAL_BLOCKS,
        inodes: inodes(tree, options)?,
    })
}

struct Declaring<'a> {
    volume: Volume,
    directories: BTreeMap<&'a str, Inode>,
    /// Everything that can have another name.
    inodes: BTreeMap<&'a str, Inode>,
    files: Vec<File<'a>>,
}

impl<'a> Declaring<'a> {
    fn node(&mut self, path: &'a str, node: &'a Node) -> Result<()> {
        let here = |error| Error::format(format!("\"/{path}\" cannot be stored"))(error);
        let attributes = Attributes { mode: node.mode, uid: node.uid, gid: node.gid, mtime: node.mtime };
        if path.is_empty() {
            self.volume.set_attributes(ext4::ROOT, &attributes).map_err(here)?;
            self.directories.insert("", ext4::ROOT);
            return self.volume.xattrs(ext4::ROOT, &node.xattrs).map_err(here);
        }
        if is_lost_and_found(path, node)? {
            return Ok(());
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = *self.directories.get(parent).ok_or_else(|| {
            Error::input(format!(
                "\"/{path}\" cannot be stored: its parent \"/{parent}\" is not a directory of the tree"
            ))
        })?;
        let volume = &mut self.volume;
        let inode = match &node.kind {
            Kind::Directory => volume.directory(parent, name, &attributes),
            Kind::File(content) => volume.file(parent, name, &attributes, Bytes(content.length())),
            Kind::Symlink(target) => volume.symlink(parent, name, target, &attributes),
            Kind::CharDevice(major, minor) => volume.special(parent, name, Device::Char(*major, *minor), &attributes),
            Kind::BlockDevice(major, minor) => volume.special(parent, name, Device::Block(*major, *minor), &attributes),
            Kind::Fifo => volume.special(parent, name, Device::Fifo, &attributes),
            Kind::Socket => volume.special(parent, name, Device::Socket, &attributes),
            Kind::HardLink(target) => {
                let inode = *self.inodes.get(target.as_str()).ok_or_else(|| {
                    Error::input(format!(
                        "\"/{path}\" is a hard link to \"/{target}\", which is not a file of the tree"
                    ))
                })?;
                return volume.hard_link(parent, name, inode).map_err(here);
            }
        }
        .map_err(here)?;
        volume.xattrs(inode, &node.xattrs).map_err(here)?;
        match &node.kind {
            Kind::Directory => drop(self.directories.insert(path, inode)),
            Kind::File(content) => {
                self.inodes.insert(path, inode);
                self.files.push(File { path, inode, content });
            }
            _ => drop(self.inodes.insert(path, inode)),
        }
        Ok(())
    }
}

/// The file system makes its own `lost+found`: one that comes with the tree is left out when it is an empty directory, which is what
/// copying another file system's root brings along. Anything in it has no parent then and is refused as such.
fn is_lost_and_found(path: &str, node: &Node) -> Result<bool> {
    match (path, &node.kind) {
        ("lost+found", Kind::Directory) => Ok(true),
        ("lost+found", _) => Err(Error::input(
            "\"/lost+found\" cannot be stored: ext4 keeps this name for a directory of its own; leave it out",
        )),
        _ => Ok(false),
    }
}
