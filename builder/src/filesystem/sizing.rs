//! How large a file system must be, and what to tell when it is too large.

use formats::{Bytes, ext4};

use super::{Options, declare};
use crate::tree::{Kind, Tree, largest};
use crate::{Error, Result};

/// The smallest size, a multiple of 4 KiB, of an ext4 file system that holds `tree`; exact. Content is not read.
///
/// The options matter: the hash seed decides how full the blocks of large directories are.
pub fn minimum(tree: &Tree, options: &Options) -> Result<Bytes> {
    let blocks: u64 = tree.nodes.values().filter_map(|node| file_length(&node.kind)).map(|n| n.div_ceil(4096)).sum();
    let what = format!("file system \"{}\"", options.label);
    let attempt = |size| declare::declare(tree, options, size)?.volume.seal().map_err(Error::format(what.as_str()));
    ext4::smallest_size(declare::inodes(tree, options)?, ext4::MIN_JOURNAL_BLOCKS, blocks, attempt)?
        .ok_or_else(|| Error::input(format!("{what} would be larger than {}", ext4::MAX_SIZE)))
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

/// In MiB with one digit, rounded up: the sizes of file systems are rarely whole units.
fn readable(size: Bytes) -> String {
    let tenths = u128::from(size.0).saturating_mul(10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
