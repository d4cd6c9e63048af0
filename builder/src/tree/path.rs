//! Names inside a root file system: which are acceptable, and where links lead without leaving the root.

use super::{Kind, Tree};

/// Longest path in bytes, as Linux's `PATH_MAX` without the terminator.
pub const MAX_PATH: usize = 4095;
/// Longest name of one entry in bytes (ext4).
pub const MAX_NAME: usize = 255;

/// Turns the name of an archive member into a path of a tree: one leading `./` and trailing slashes are dropped. The error is the
/// sentence why the name is not acceptable.
pub fn clean(raw: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(raw).map_err(|_| "its name is not UTF-8; rename it".to_owned())?;
    if text.starts_with('/') {
        return Err("its name is absolute; names must be relative to the root of the archive".to_owned());
    }
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err("its name contains \"..\" and could leave the root of the archive".to_owned()),
            part => parts.push(check_name(part)?),
        }
    }
    let path = parts.join("/");
    if path.len() > MAX_PATH {
        return Err(format!("its name has {} bytes, the limit is {MAX_PATH}", path.len()));
    }
    Ok(path)
}

/// Accepts the name of one entry, or says why not.
pub fn check_name(name: &str) -> Result<&str, String> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') || name.contains('\0') {
        return Err(format!("\"{}\" is not a file name", name.escape_debug()));
    }
    if name.len() > MAX_NAME {
        return Err(format!("the name \"{name}\" has {} bytes, the limit is {MAX_NAME}", name.len()));
    }
    Ok(name)
}

/// The directory of an entry; the root's is the root.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The last component.
pub fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// `name` in the directory `parent`.
pub fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}

/// Every directory above `path`, the root first.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let root = (!path.is_empty()).then_some("");
    root.into_iter().chain(path.match_indices('/').map(|(at, _)| &path[..at]))
}

/// Where a path leads after following every symbolic link inside the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// An entry that exists and is no symbolic link.
    Found(String),
    /// Nothing is there; the path it would have.
    Missing(String),
    /// The links lead back to themselves; the link at which that was noticed.
    Loop(String),
    /// Something on the way is not a directory.
    NotDirectory(String),
}

/// Follows `path` as the kernel would with the tree as its root: absolute targets start at the root, `..` stops there.
pub fn resolve(tree: &Tree, path: &str) -> Resolution {
    let mut todo: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
    let mut at = String::new();
    let mut followed = 0;
    while let Some(part) = todo.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                at = parent(&at).to_owned();
                continue;
            }
            _ => {}
        }
        let next = join(&at, &part);
        match tree.nodes.get(&next).map(|node| &node.kind) {
            None => {
                let rest = todo.into_iter().rev().filter(|part| !part.is_empty() && part != ".");
                return Resolution::Missing(rest.fold(next, |path, part| join(&path, &part)));
            }
            Some(Kind::Symlink(target)) => {
                followed += 1;
                if followed > MAX_LINKS {
                    return Resolution::Loop(next);
                }
                if target.starts_with('/') {
                    at.clear();
                }
                todo.extend(target.rsplit('/').map(str::to_owned));
            }
            Some(Kind::Directory) => at = next,
            Some(_) if todo.iter().all(String::is_empty) => at = next,
            Some(_) => return Resolution::NotDirectory(next),
        }
    }
    Resolution::Found(at)
}

/// Links followed before a path counts as looping, as in Linux.
const MAX_LINKS: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    #[test]
    fn cleans_names_of_archives() {
        for (raw, path) in [("./", ""), ("./a/b/", "a/b"), ("a//b", "a/b"), ("a/./b", "a/b"), ("..a/b..", "..a/b..")] {
            assert_eq!(clean(raw.as_bytes()).as_deref(), Ok(path));
        }
    }

    #[test]
    fn refuses_names_that_leave_the_root() {
        let long = "a".repeat(256);
        for raw in ["/etc/passwd", "../x", "a/../../x", "a/..", "a\0b", &long] {
            assert!(clean(raw.as_bytes()).is_err(), "{raw}");
        }
        assert!(clean(b"caf\xe9").is_err());
    }

    #[test]
    fn follows_links_without_leaving_the_root() {
        let mut tree = Tree::new(0);
        tree.insert("usr/bin/sh", Node::file("x", 0o755, 0));
        tree.insert("bin", Node::symlink("usr/bin", 0));
        tree.insert("abs", Node::symlink("/../../bin/sh", 0));
        tree.insert("loop", Node::symlink("./loop", 0));
        assert_eq!(resolve(&tree, "bin/sh"), Resolution::Found("usr/bin/sh".into()));
        assert_eq!(resolve(&tree, "abs"), Resolution::Found("usr/bin/sh".into()));
        assert_eq!(resolve(&tree, "bin/new/deep"), Resolution::Missing("usr/bin/new/deep".into()));
        assert_eq!(resolve(&tree, "loop"), Resolution::Loop("loop".into()));
        assert_eq!(resolve(&tree, "abs/x"), Resolution::NotDirectory("usr/bin/sh".into()));
        assert_eq!(ancestors("a/b/c").collect::<Vec<_>>(), ["", "a", "a/b"]);
    }
}
