//! How much content a tree has and where it is, for the message that a slot is too small.

use std::collections::BTreeMap;

use super::{Kind, Tree, path};
use formats::Bytes;

impl Tree {
    /// Bytes of all regular files together, each hard-linked file once.
    pub fn content_size(&self) -> Bytes {
        Bytes(self.nodes.values().map(|node| file_size(&node.kind)).fold(0, u64::saturating_add))
    }
}

/// The `n` directories that hold most of the content, largest first, as disjoint as is useful: a directory that owes more than half
/// of its size to one subdirectory is replaced by its parts.
pub fn largest(tree: &Tree, n: usize) -> Vec<(String, Bytes)> {
    let totals = totals(tree);
    let mut open = vec![""];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        let total = totals.get(directory).copied().unwrap_or(0);
        let children: Vec<&str> =
            totals.keys().copied().filter(|child| !child.is_empty() && path::parent(child) == directory).collect();
        let dominant = children.iter().any(|child| totals.get(child).copied().unwrap_or(0) > total / 2);
        if directory.is_empty() || dominant {
            open.extend(children);
        } else if total > 0 {
            found.push((directory.to_owned(), Bytes(total)));
        }
    }
    found.sort_by(|(a_path, a), (b_path, b)| b.cmp(a).then_with(|| a_path.cmp(b_path)));
    found.truncate(n);
    found
}

/// Content at and below each directory.
fn totals(tree: &Tree) -> BTreeMap<&str, u64> {
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for (path, node) in &tree.nodes {
        let size = file_size(&node.kind);
        for directory in path::ancestors(path) {
            let total = totals.entry(directory).or_default();
            *total = total.saturating_add(size);
        }
    }
    totals
}

fn file_size(kind: &Kind) -> u64 {
    match kind {
        Kind::File(content) => content.length(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    #[test]
    fn names_the_directories_worth_looking_at() {
        let mut tree = Tree::new(0);
        for (path, size) in
            [("usr/lib/modules/6.1/big.ko", 900), ("usr/lib/x.so", 50), ("usr/share/doc/a", 300), ("etc/b", 1)]
        {
            tree.insert(path, Node::file(vec![0; size], 0o644, 0));
        }
        let names: Vec<_> = largest(&tree, 3).into_iter().map(|(path, size)| (path, size.0)).collect();
        let expected = [("usr/lib/modules/6.1", 900), ("usr/share/doc", 300), ("etc", 1)];
        assert_eq!(names, expected.map(|(path, size)| (path.to_owned(), size)));
        assert_eq!(tree.content_size(), Bytes(1251));
    }
}
