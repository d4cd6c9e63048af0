//! Where the blocks of an image with its hash tree are. Pure arithmetic, shared by writing, checking and the manifest.

use std::fmt;

use super::{BLOCK_SIZE, FANOUT};
use crate::{Bytes, Error, Guid, Result};

/// What determines a tree besides the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Number of 4096-byte data blocks, `1..=`[`MAX_DATA_BLOCKS`].
    pub data_blocks: u64,
    /// Put in front of every block before hashing.
    pub salt: [u8; 32],
    /// Identifies the tree in the superblock; not part of any hash.
    pub uuid: Guid,
}

/// The blocks of one image: where the superblock and each level of the tree are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    data_blocks: u64,
    /// Level 0 holds the hashes of data blocks; the last level is one block. Empty for an image of one data block.
    levels: Vec<Level>,
}

/// One level of the tree: `blocks` blocks from block `first_block` of the image on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    pub first_block: u64,
    pub blocks: u64,
}

impl Layout {
    /// The layout for this many data blocks, or an error outside `1..=`[`MAX_DATA_BLOCKS`].
    pub fn new(data_blocks: u64) -> Result<Self> {
        if !(1..=MAX_DATA_BLOCKS).contains(&data_blocks) {
            return Err(Error::invalid(
                "hash tree",
                format!("{data_blocks} data blocks of 4096 bytes; 1 to {MAX_DATA_BLOCKS} are possible"),
            ));
        }
        let mut sizes = Vec::new();
        let mut covered = data_blocks;
        while covered > 1 {
            covered = covered.div_ceil(FANOUT);
            sizes.push(covered);
        }
        let mut levels = Vec::new();
        let mut first_block = data_blocks.saturating_add(1);
        for blocks in sizes.into_iter().rev() {
            levels.push(Level { first_block, blocks });
            first_block = first_block.saturating_add(blocks);
        }
        levels.reverse();
        Ok(Self { data_blocks, levels })
    }

    /// Number of data blocks.
    pub const fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// The block of the superblock: the first one after the data.
    pub const fn superblock(&self) -> u64 {
        self.data_blocks
    }

    /// First block of the tree, the `hash_start` of a device-mapper table.
    pub const fn hash_start(&self) -> u64 {
        self.data_blocks.saturating_add(1)
    }

    /// Blocks of the tree without the superblock.
    pub fn tree_blocks(&self) -> u64 {
        self.levels.iter().fold(0, |sum, level| sum.saturating_add(level.blocks))
    }

    /// Blocks of data, superblock and tree together.
    pub fn total_blocks(&self) -> u64 {
        self.hash_start().saturating_add(self.tree_blocks())
    }

    /// Size of data, superblock and tree together.
    pub fn size(&self) -> Bytes {
        Bytes(self.total_blocks().saturating_mul(block_bytes()))
    }

    /// Number of tree levels: 0 for one data block, 1 up to 128, 2 up to 16384.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    pub(super) fn levels(&self) -> &[Level] {
        &self.levels
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "data        blocks 0 to {}", self.data_blocks.saturating_sub(1))?;
        writeln!(f, "superblock  block {}", self.superblock())?;
        for (number, level) in self.levels.iter().enumerate().rev() {
            let last = level.first_block.saturating_add(level.blocks).saturating_sub(1);
            writeln!(f, "level {number}     blocks {} to {last}", level.first_block)?;
        }
        Ok(())
    }
}

/// Blocks of the tree over `data_blocks` blocks, without the superblock; 0 for 0 or 1 block.
pub fn tree_blocks(data_blocks: u64) -> u64 {
    let mut covered = data_blocks;
    let mut sum: u64 = 0;
    while covered > 1 {
        covered = covered.div_ceil(FANOUT);
        sum = sum.saturating_add(covered);
    }
    sum
}

/// [`BLOCK_SIZE`] as a file offset unit.
pub(super) fn block_bytes() -> u64 {
    u64::try_from(BLOCK_SIZE).unwrap_or(u64::MAX) // OK: 4096 fits
}

/// One TiB of data: far above any slot, and a bound on what a manifest can make a reader allocate.
pub const MAX_DATA_BLOCKS: u64 = 1 << 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_lie_top_first_after_the_superblock() {
        let layout = Layout::new(128 * 128 + 1).unwrap();
        assert_eq!((layout.hash_start(), layout.tree_blocks(), layout.depth()), (16386, 129 + 2 + 1, 3));
        assert_eq!(
            layout.to_string(),
            "data        blocks 0 to 16384\nsuperblock  block 16385\nlevel 2     blocks 16386 to 16386\n\
             level 1     blocks 16387 to 16388\nlevel 0     blocks 16389 to 16517\n"
        );
    }

    #[test]
    fn small_images_have_the_levels_the_kernel_expects() {
        for (data, tree, depth) in [(1, 0, 0), (2, 1, 1), (128, 1, 1), (129, 3, 2), (16384, 129, 2), (16385, 132, 3)] {
            let layout = Layout::new(data).unwrap();
            assert_eq!((layout.tree_blocks(), layout.depth()), (tree, depth), "{data} blocks");
            assert_eq!(tree_blocks(data), tree);
            assert_eq!(layout.size(), Bytes((data + 1 + tree) * 4096));
        }
    }

    #[test]
    fn refuses_no_data_and_too_much_data() {
        for data_blocks in [0, MAX_DATA_BLOCKS + 1, u64::MAX] {
            assert!(Layout::new(data_blocks).unwrap_err().to_string().contains("are possible"));
        }
    }
}
