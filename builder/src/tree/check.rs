//! What a tree must satisfy before it becomes a file system.

use std::ops::Range;

use super::path::{self, Resolution};
use super::{Kind, Node, Tree};
use crate::{Error, Result};

impl Tree {
    /// Refuses names, links and attributes that cannot be stored or can never work; the error names the entry.
    pub fn validate(&self) -> Result<()> {
        if !self.nodes.get("").is_some_and(Node::is_directory) {
            return Err(Error::Bug("a tree without root directory".into()));
        }
        for (path, node) in &self.nodes {
            self.check(path, node).map_err(|why| Error::Input(format!("\"/{path}\" cannot be stored: {why}")))?;
        }
        Ok(())
    }

    fn check(&self, path: &str, node: &Node) -> Result<(), String> {
        if !path.is_empty() {
            path::check_name(path::name(path))?;
            if path.len() > path::MAX_PATH {
                return Err(format!("its path has {} bytes, the limit is {}", path.len(), path::MAX_PATH));
            }
            let parent = path::parent(path);
            match self.nodes.get(parent) {
                Some(node) if node.is_directory() => {}
                Some(node) => return Err(format!("\"/{parent}\" is {}, not a directory", node.kind.noun())),
                None => return Err(format!("its directory \"/{parent}\" is missing")),
            }
        }
        check_attributes(node)?;
        self.check_links(path, node)
    }

    /// Refuses links that loop and hard links to anything but a regular file of this tree.
    pub(crate) fn check_links(&self, path: &str, node: &Node) -> Result<(), String> {
        match &node.kind {
            Kind::HardLink(target) => match self.nodes.get(target).map(|node| &node.kind) {
                Some(Kind::File(_)) => Ok(()),
                Some(Kind::HardLink(_)) => Err(format!("it is a hard link to \"/{target}\", itself a hard link")),
                Some(kind) => Err(format!("it is a hard link to \"/{target}\", which is {}", kind.noun())),
                None => Err(format!("it is a hard link to \"/{target}\", which does not exist")),
            },
            Kind::Symlink(target) => {
                if target.is_empty() || target.len() > path::MAX_PATH || target.contains('\0') {
                    return Err(format!(
                        "a link target of {} bytes (1 to {} without NUL)",
                        target.len(),
                        path::MAX_PATH
                    ));
                }
                match path::resolve(self, path) {
                    Resolution::Loop(_) => Err(format!("the symbolic link to \"{target}\" leads back to itself")),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

fn check_attributes(node: &Node) -> Result<(), String> {
    if node.mode > 0o7777 {
        return Err(format!("mode {:o} is not a permission mode", node.mode));
    }
    if !TIMES.contains(&node.mtime) {
        return Err(format!("its time {} s is outside of 1901 to 2446", node.mtime));
    }
    for (name, value) in &node.xattrs {
        if !name.split_once('.').is_some_and(|(class, rest)| CLASSES.contains(&class) && !rest.is_empty()) {
            return Err(format!("the extended attribute \"{name}\" has no known class ({})", CLASSES.join(", ")));
        }
        if name.len() > path::MAX_NAME || value.len() > MAX_VALUE {
            let size = value.len();
            return Err(format!("the extended attribute \"{name}\" has {size} bytes, the limit is {MAX_VALUE}"));
        }
    }
    Ok(())
}

/// What ext4 can store in 34 bits of seconds.
const TIMES: Range<i64> = -(1 << 31)..(1 << 34) - (1 << 31);
/// Classes of extended attributes Linux knows.
const CLASSES: [&str; 4] = ["security", "system", "trusted", "user"];
/// Largest value of an extended attribute Linux accepts.
const MAX_VALUE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &str, node: Node) -> String {
        let mut tree = Tree::new(0);
        tree.insert("file", Node::file("x", 0o644, 0));
        tree.insert("other", Node::symlink("loop", 0));
        tree.nodes.insert(path.to_owned(), node);
        tree.validate().unwrap_err().to_string()
    }

    #[test]
    fn refuses_looping_symbolic_links() {
        let text = refusal("loop", Node::symlink("other", 0));
        assert!(text.contains("leads back to itself"), "{text}");
    }

    #[test]
    fn refuses_hard_links_to_nothing_and_to_directories() {
        let link = |target: &str| Node::new(Kind::HardLink(target.into()), 0o644, 0);
        assert!(refusal("link", link("missing")).contains("does not exist"));
        assert!(refusal("link", link("")).contains("a directory"));
        assert!(refusal("link", link("link")).contains("itself a hard link"));
    }

    #[test]
    fn refuses_entries_below_files_and_below_nothing() {
        assert!(refusal("file/x", Node::directory(0)).contains("is a file, not a directory"));
        assert!(refusal("gone/x", Node::directory(0)).contains("is missing"));
    }

    #[test]
    fn refuses_attributes_ext4_cannot_store() {
        assert!(refusal("x", Node::directory(1 << 40)).contains("outside of 1901 to 2446"));
        assert!(refusal("x", Node::new(Kind::Fifo, 0o10000, 0)).contains("not a permission mode"));
        let mut node = Node::directory(0);
        node.xattrs.insert("nonsense".into(), vec![]);
        assert!(refusal("x", node).contains("no known class"));
    }

    #[test]
    fn dangling_links_are_fine() {
        let mut tree = Tree::new(0);
        tree.insert("etc/mtab", Node::symlink("../proc/self/mounts", 0));
        tree.validate().unwrap();
    }
}
