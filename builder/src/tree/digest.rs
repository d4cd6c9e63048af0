//! The canonical digest of a tree: every path, attribute and byte of content, in path order, in one unambiguous encoding.

use sha2::{Digest as _, Sha256};

use super::{Kind, Node, Tree};
use crate::Result;
use formats::Digest;

impl Tree {
    /// SHA-256 over the whole tree. Reads every file once; equal trees have equal digests wherever their bytes are stored.
    pub fn digest(&self) -> Result<Digest> {
        let mut hasher = Sha256::new();
        hasher.update(DOMAIN);
        for (path, node) in &self.nodes {
            text(&mut hasher, path.as_bytes());
            entry(&mut hasher, node)?;
        }
        Ok(Digest(hasher.finalize().into()))
    }
}

fn entry(hasher: &mut Sha256, node: &Node) -> Result<()> {
    if let Kind::HardLink(target) = &node.kind {
        // The attributes are those of the file it names.
        hasher.update(b"h");
        text(hasher, target.as_bytes());
        return Ok(());
    }
    hasher.update(node.mode.to_le_bytes());
    hasher.update(node.uid.to_le_bytes());
    hasher.update(node.gid.to_le_bytes());
    hasher.update(node.mtime.to_le_bytes());
    hasher.update((node.xattrs.len() as u64).to_le_bytes());
    for (name, value) in &node.xattrs {
        text(hasher, name.as_bytes());
        text(hasher, value);
    }
    match &node.kind {
        Kind::Directory => hasher.update(b"d"),
        Kind::File(content) => {
            hasher.update(b"f");
            hasher.update(content.length().to_le_bytes());
            content.for_each_piece(|piece| {
                hasher.update(piece);
                Ok(())
            })?;
        }
        Kind::Symlink(target) => {
            hasher.update(b"l");
            text(hasher, target.as_bytes());
        }
        Kind::CharDevice(major, minor) => device(hasher, b"c", *major, *minor),
        Kind::BlockDevice(major, minor) => device(hasher, b"b", *major, *minor),
        Kind::Fifo => hasher.update(b"p"),
        Kind::Socket => hasher.update(b"s"),
        Kind::HardLink(_) => {}
    }
    Ok(())
}

/// Length first, so that no two sequences of texts look alike.
fn text(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn device(hasher: &mut Sha256, tag: &[u8], major: u32, minor: u32) {
    hasher.update(tag);
    hasher.update(major.to_le_bytes());
    hasher.update(minor.to_le_bytes());
}

const DOMAIN: &[u8] = b"bulkhead-tree-v1\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_changes_the_digest() {
        let base = || {
            let mut tree = Tree::new(1);
            tree.insert("a", Node::file("x", 0o644, 1));
            tree
        };
        let mut seen = vec![base().digest().unwrap()];
        let edits: [fn(&mut Node); 6] = [
            |node| node.mode = 0o600,
            |node| node.uid = 1,
            |node| node.gid = 1,
            |node| node.mtime = 2,
            |node| drop(node.xattrs.insert("user.a".into(), vec![1])),
            |node| node.kind = Kind::Symlink("x".into()),
        ];
        for edit in edits {
            let mut tree = base();
            edit(tree.nodes.get_mut("a").unwrap());
            seen.push(tree.digest().unwrap());
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
        assert_eq!(base().digest().unwrap(), base().digest().unwrap());
    }
}
