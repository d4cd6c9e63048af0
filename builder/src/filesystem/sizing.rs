//! How large a file system must be, and what to tell when it is too large.

use std::collections::BTreeMap;

use formats::{Bytes, ext4};

use super::{Options, declare};
use crate::tree::{Kind, Tree};
use crate::{Error, Result};

/// The smallest size, a multiple of 4 KiB, of an ext4 file system that holds `tree`; exact. Content is not read.
///
/// The options matter: the hash seed decides how full the blocks of large directories are.
pub fn minimum(tree: &Tree, options: &Options) -> Result<Bytes> {
    let content: u64 = tree.nodes.values().filter_map(|node| file_length(&node.kind)).map(|n| n.div_ceil(4096)).sum();
    let context = || format!("file system \"{}\"", options.label);
    let attempt = |size| declare::declare(tree, options, size)?.volume.seal().map_err(Error::format(context()));
    ext4::smallest_size(declare::inodes(tree, options)?, ext4::MIN_JOURNAL_BLOCKS, content, attempt)?
        .ok_or_else(|| Error::input(format!("{} would be larger than {}", context(), ext4::MAX_SIZE)))
}

/// The refusal that `what` needs `needed` where only `available` is, with the directories worth looking at.
pub fn too_large(tree: &Tree, what: &str, needed: Bytes, available: Bytes) -> Error {
    let excess = Bytes(needed.0.saturating_sub(available.0));
    let directories: Vec<String> =
        largest(tree, 5).into_iter().map(|(path, size)| format!("\"/{path}\" {}", readable(size))).collect();
    let directories = if directories.is_empty() { "nothing".to_owned() } else { directories.join(", ") };
    Error::input(format!(
        "{what} needs {}, but there is room for {}: {} too much; enlarge the partition in the recipe or remove content; largest directories: {directories}",
        readable(needed),
        readable(available),
        readable(excess)
    ))
}

fn file_length(kind: &Kind) -> Option<u64> {
    match kind {
        Kind::File(content) => Some(content.length()),
        _ => None,
    }
}

/// The `n` directories with most content, seen two levels deep.
fn largest(tree: &Tree, n: usize) -> Vec<(String, Bytes)> {
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for (path, node) in &tree.nodes {
        let Some(length) = file_length(&node.kind) else { continue };
        let directory = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let end = directory.match_indices('/').nth(1).map_or(directory.len(), |(slash, _)| slash);
        let total = totals.entry(&directory[..end]).or_default();
        *total = total.saturating_add(length);
    }
    let mut sorted: Vec<(String, Bytes)> = totals.into_iter().map(|(path, n)| (path.to_owned(), Bytes(n))).collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sorted.truncate(n);
    sorted
}

/// In MiB with one digit, rounded up: the sizes of file systems are rarely whole units.
fn readable(size: Bytes) -> String {
    let tenths = u128::from(size.0).saturating_mul(10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
