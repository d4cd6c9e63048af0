//! Which sizes and inode counts a file system can have, decided before the engine is asked.
//!
//! Mirrors the engine's placement rules: groups of 32768 blocks, metadata of 16 groups packed into the first of them (`flex_bg`),
//! backup superblocks in groups 1 and powers of 3, 5 and 7 (`sparse_super`). The engine does not check that the last, short group has
//! room for what must be in it; this module does.

use super::{BLOCK_SIZE, Options};
use crate::{Bytes, Error, Result};

/// Inodes the file system needs for itself: ten reserved ones (the root is among them) and `lost+found`.
pub const FIRST_INODES: u32 = 11;
/// The shortest journal Linux accepts, in blocks (4 MiB); a fourth of the smallest file system.
pub const MIN_JOURNAL_BLOCKS: u32 = 1024;
/// The largest file system written: the kernel grows it further, while bitmaps made here are held in memory.
pub const MAX_SIZE: Bytes = Bytes(1 << 40);

/// What follows from a size and an inode count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Block groups.
    pub groups: u32,
    /// Blocks of the inode table of each group.
    pub table_blocks: u64,
    /// Blocks of the group descriptors behind each superblock.
    pub descriptor_blocks: u64,
}

/// Whole blocks in `size`.
pub(super) fn blocks(size: Bytes) -> u64 {
    size.0.checked_div(BLOCK_BYTES).unwrap_or(0)
}

/// Block groups of a file system of `blocks`; sizes above [`MAX_SIZE`] saturate.
pub(super) fn groups(blocks: u64) -> u32 {
    u32::try_from(blocks.div_ceil(GROUP_BLOCKS)).unwrap_or(u32::MAX)
}

impl Geometry {
    /// For `groups` groups with at least `inodes` inodes; `None` when that many do not fit.
    pub fn new(groups: u32, inodes: u32) -> Option<Self> {
        let per_group = u64::from(inodes).div_ceil(u64::from(groups.max(1)));
        let table_blocks = per_group.div_ceil(INODES_PER_BLOCK).max(1);
        let descriptor_blocks = u64::from(groups).saturating_mul(DESCRIPTOR_SIZE).div_ceil(BLOCK_BYTES);
        let this = Self { groups, table_blocks, descriptor_blocks };
        let packed = this.flex_blocks(groups.min(FLEX_GROUPS)).saturating_add(this.superblock_blocks());
        // Metadata that spills over its group would collide with the backup superblock in the next one.
        (table_blocks.saturating_mul(INODES_PER_BLOCK) <= GROUP_BLOCKS && packed <= GROUP_BLOCKS).then_some(this)
    }

    /// The blocks the last group needs at least.
    pub fn last_group_minimum(&self) -> u64 {
        let last = self.groups.saturating_sub(1);
        let backup = if has_superblock(last) { self.superblock_blocks() } else { 0 };
        let packed = if last.is_multiple_of(FLEX_GROUPS) { self.flex_blocks(1) } else { 0 };
        backup.saturating_add(packed).max(1)
    }

    /// The fewest blocks with this many groups.
    pub fn minimum_blocks(&self) -> u64 {
        full_blocks(self.groups.saturating_sub(1)).saturating_add(self.last_group_minimum())
    }

    /// A superblock with its group descriptors.
    fn superblock_blocks(&self) -> u64 {
        self.descriptor_blocks.saturating_add(1)
    }

    /// Bitmaps and inode tables of `groups` groups.
    fn flex_blocks(&self, groups: u32) -> u64 {
        self.table_blocks.saturating_add(2).saturating_mul(u64::from(groups))
    }
}

/// The blocks of `groups` full groups.
pub(super) fn full_blocks(groups: u32) -> u64 {
    u64::from(groups).saturating_mul(GROUP_BLOCKS)
}

/// Refuses options the engine would refuse late, get wrong, or panic on.
pub(super) fn check(options: &Options) -> Result<Geometry> {
    let bad = |problem: String| Error::invalid("ext4 file system", problem);
    let size = options.size;
    if !size.is_multiple_of(Bytes(BLOCK_BYTES)) || size > MAX_SIZE {
        return Err(bad(format!("the size {size} is not a multiple of 4 KiB up to {MAX_SIZE}")));
    }
    if options.journal_blocks < MIN_JOURNAL_BLOCKS {
        return Err(bad(format!(
            "a journal of {} blocks; at least {MIN_JOURNAL_BLOCKS} are needed",
            options.journal_blocks
        )));
    }
    let needed = minimum_for_journal(options.journal_blocks);
    if blocks(size) < needed {
        let needed = Bytes(needed.saturating_mul(BLOCK_BYTES));
        return Err(bad(format!("the size {size} is less than four times its journal; give at least {needed}")));
    }
    if options.label.len() > MAX_LABEL || options.label.contains('\0') {
        return Err(bad(format!("the label \"{}\" is not at most 16 bytes", options.label.escape_debug())));
    }
    if u32::try_from(options.timestamp).is_err() {
        return Err(bad(format!("the creation time {} s is not between 1970 and 2106", options.timestamp)));
    }
    let geometry = Geometry::new(groups(blocks(size)), options.inodes)
        .ok_or_else(|| bad(format!("{} inodes are too many for {size}", options.inodes)))?;
    if blocks(size) < geometry.minimum_blocks() {
        let smaller = Bytes(full_blocks(geometry.groups.saturating_sub(1)).saturating_mul(BLOCK_BYTES));
        let larger = Bytes(geometry.minimum_blocks().saturating_mul(BLOCK_BYTES));
        return Err(bad(format!(
            "{size} ends inside the metadata of its last block group; take {smaller} or {larger}"
        )));
    }
    Ok(geometry)
}

/// The fewest blocks of a file system with this journal.
pub(super) fn minimum_for_journal(journal_blocks: u32) -> u64 {
    u64::from(journal_blocks).saturating_mul(4)
}

/// True for groups with a superblock: 0, 1 and powers of 3, 5 and 7 (`sparse_super`).
fn has_superblock(group: u32) -> bool {
    let power_of = |base: u32| std::iter::successors(Some(base), |n| n.checked_mul(base)).any(|n| n == group);
    group <= 1 || power_of(3) || power_of(5) || power_of(7)
}

const BLOCK_BYTES: u64 = 4096;
const GROUP_BLOCKS: u64 = 32768;
const INODES_PER_BLOCK: u64 = 16;
const DESCRIPTOR_SIZE: u64 = 32;
const FLEX_GROUPS: u32 = 16;
const MAX_LABEL: usize = 16;
const _: () = assert!(BLOCK_SIZE == 4096);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Guid;

    fn options(size: Bytes, inodes: u32) -> Options {
        let uuid = Guid::derive("test", "ext4");
        let label = "test".to_owned();
        Options { size, uuid, label, hash_seed: uuid, timestamp: 0, journal_blocks: MIN_JOURNAL_BLOCKS, inodes }
    }

    #[test]
    fn superblocks_are_where_sparse_super_puts_them() {
        let groups: Vec<u32> = (0..350).filter(|g| has_superblock(*g)).collect();
        assert_eq!(groups, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343]);
    }

    #[test]
    fn a_last_group_without_room_for_its_metadata_is_refused_with_both_ways_out() {
        let problem = check(&options(Bytes(4096 * 32769), 64)).unwrap_err().to_string();
        assert!(problem.contains("take 128 MiB or 131080 KiB"), "{problem}");
        assert!(check(&options(Bytes(4096 * 32770), 64)).is_ok());
        assert!(check(&options(Bytes(4096 * (2 * 32768 + 1)), 64)).is_ok(), "group 2 has no backup");
        assert!(check(&options(Bytes(4096 * (16 * 32768 + 2)), 64)).is_err(), "group 16 leads a flex group");
    }

    #[test]
    fn refuses_what_cannot_be_represented() {
        for (size, inodes) in [
            (Bytes(0), 16),
            (Bytes(4095), 16),
            (Bytes(4096 * 4095), 16),
            (Bytes(MAX_SIZE.0 + 4096), 16),
            (Bytes::mib(16), 32769),
            (Bytes::mib(2048), u32::MAX),
        ] {
            assert!(check(&options(size, inodes)).is_err(), "{size} {inodes}");
        }
        assert!(check(&Options { journal_blocks: 0, ..options(Bytes::mib(16), 16) }).is_err());
        assert!(check(&Options { label: "seventeen letters".into(), ..options(Bytes::mib(16), 16) }).is_err());
        assert!(check(&Options { timestamp: -1, ..options(Bytes::mib(16), 16) }).is_err());
        assert!(check(&Options { timestamp: 1 << 32, ..options(Bytes::mib(16), 16) }).is_err());
    }
}
