//! Building the tree from leaves that arrive in any order.
//!
//! Memory is 32 bytes per data block (4 GiB of data: 32 MiB) plus one bit: leaves are put where they belong in the finished bytes.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::layout::{Level, block_bytes};
use super::{BLOCK_SIZE, Layout, Parameters, Superblock};
use crate::{Digest, Error, Result};

/// Hashes blocks under one salt; the salted prefix is hashed once and its state cloned. Cheap to clone for other threads.
#[derive(Clone)]
pub struct BlockHasher(Sha256);

impl BlockHasher {
    /// A hasher for this salt.
    pub fn new(salt: &[u8; 32]) -> Self {
        let mut prefix = Sha256::new();
        prefix.update(salt);
        Self(prefix)
    }

    /// The digest of one block (4096 bytes; the length is not checked).
    pub fn hash(&self, block: &[u8]) -> Digest {
        let mut hasher = self.0.clone();
        hasher.update(block);
        Digest(hasher.finalize().into())
    }
}

/// The digest of one block under `salt`. For many blocks keep a [`BlockHasher`].
pub fn hash_block(salt: &[u8; 32], block: &[u8]) -> Digest {
    BlockHasher::new(salt).hash(block)
}

/// The leaf of a block of zeros: holes of a sparse image need no reading and no hashing.
pub fn zero_leaf(salt: &[u8; 32]) -> Digest {
    hash_block(salt, &[0; BLOCK_SIZE])
}

/// A finished tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// What a reader must be told through a trusted way.
    pub root: Digest,
    /// The superblock block and the tree blocks, to be written from block [`Layout::superblock`] on.
    pub bytes: Vec<u8>,
}

/// Collects leaves in any order.
pub struct TreeBuilder {
    params: Parameters,
    layout: Layout,
    /// Superblock and tree as they will be written; level 0 is filled by `set_leaf`.
    bytes: Vec<u8>,
    /// For an image of one block, which has no tree block to keep its leaf in.
    only_leaf: Digest,
    /// One bit per data block: its leaf is set.
    set: Vec<u64>,
}

impl TreeBuilder {
    /// A builder without leaves. Refuses what [`Layout::new`] refuses.
    pub fn new(params: Parameters) -> Result<Self> {
        let layout = Layout::new(params.data_blocks)?;
        let too_big = || Error::invalid("hash tree", format!("{} data blocks do not fit memory", params.data_blocks));
        let tree_bytes = layout.size().0.saturating_sub(layout.data_blocks().saturating_mul(block_bytes()));
        let mut bytes = vec![0; usize::try_from(tree_bytes).map_err(|_| too_big())?];
        bytes[..BLOCK_SIZE].copy_from_slice(&Superblock::from(params).encode());
        let words = usize::try_from(params.data_blocks.div_ceil(64)).map_err(|_| too_big())?;
        Ok(Self { params, layout, bytes, only_leaf: Digest([0; 32]), set: vec![0; words] })
    }

    /// Where the blocks of the image are.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Sets the digest of data block `index`. Refuses an index outside the data and a second, different digest.
    pub fn set_leaf(&mut self, index: u64, leaf: Digest) -> Result<()> {
        let outside = || {
            let data_blocks = self.params.data_blocks;
            Error::invalid("hash tree", format!("block {index} is outside the data ({data_blocks} blocks)"))
        };
        if index >= self.params.data_blocks {
            return Err(outside());
        }
        let bit = 1_u64 << (index & 63);
        let word = self.set.get_mut(usize::try_from(index >> 6).unwrap_or(usize::MAX)).ok_or_else(outside)?;
        let known = *word & bit != 0;
        *word |= bit;
        let place = match self.layout.levels().first() {
            None => &mut self.only_leaf.0,
            Some(level) => leaf_place(&mut self.bytes, &self.layout, level.first_block, index).ok_or_else(outside)?,
        };
        if known && *place != leaf.0 {
            return Err(Error::invalid("hash tree", format!("block {index} was given two different digests")));
        }
        *place = leaf.0;
        Ok(())
    }

    /// Sets the same digest for all data blocks of `range`; with [`zero_leaf`], for holes.
    pub fn set_leaves(&mut self, range: Range<u64>, leaf: Digest) -> Result<()> {
        for index in range {
            self.set_leaf(index, leaf)?;
        }
        Ok(())
    }

    /// The first data block without a digest.
    pub fn first_missing(&self) -> Option<u64> {
        let (word, bits) = self.set.iter().enumerate().find(|(_, bits)| **bits != u64::MAX)?;
        let index = u64::try_from(word).ok()?.checked_mul(64)?.checked_add(u64::from(bits.trailing_ones()))?;
        (index < self.params.data_blocks).then_some(index)
    }

    /// Hashes the upper levels. Refuses when a leaf is missing, naming the first.
    pub fn finish(mut self) -> Result<Tree> {
        if let Some(index) = self.first_missing() {
            return Err(Error::invalid("hash tree", format!("the digest of data block {index} is missing")));
        }
        let broken = || Error::invalid("hash tree", "its levels do not fit its bytes");
        let hasher = BlockHasher::new(&self.params.salt);
        for pair in self.layout.levels().windows(2) {
            let [child, parent] = pair else { continue };
            let (parents, children) =
                split_levels(&mut self.bytes, &self.layout, *child, *parent).ok_or_else(broken)?;
            for (block, place) in children.chunks_exact(BLOCK_SIZE).zip(parents.as_chunks_mut::<32>().0) {
                *place = hasher.hash(block).0;
            }
        }
        let root = match self.layout.levels().last() {
            None => self.only_leaf,
            Some(top) => {
                let start = offset(&self.layout, top.first_block).ok_or_else(broken)?;
                let block = self.bytes.get(start..).and_then(<[u8]>::first_chunk::<BLOCK_SIZE>).ok_or_else(broken)?;
                hasher.hash(block)
            }
        };
        Ok(Tree { root, bytes: self.bytes })
    }
}

/// Byte offset of an image block within superblock + tree.
fn offset(layout: &Layout, block: u64) -> Option<usize> {
    usize::try_from(block.checked_sub(layout.superblock())?.checked_mul(block_bytes())?).ok()
}

fn leaf_place<'a>(bytes: &'a mut [u8], layout: &Layout, first_block: u64, index: u64) -> Option<&'a mut [u8; 32]> {
    let within = usize::try_from(index.checked_mul(32)?).ok()?;
    let start = offset(layout, first_block)?.checked_add(within)?;
    bytes.get_mut(start..)?.first_chunk_mut()
}

/// The bytes of a parent level and of its children: a parent level lies directly before its children.
fn split_levels<'a>(
    bytes: &'a mut [u8],
    layout: &Layout,
    child: Level,
    parent: Level,
) -> Option<(&'a mut [u8], &'a mut [u8])> {
    let end = offset(layout, child.first_block.checked_add(child.blocks)?)?;
    let (front, children) = bytes.get_mut(..end)?.split_at_mut_checked(offset(layout, child.first_block)?)?;
    Some((front.get_mut(offset(layout, parent.first_block)?..)?, children))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Guid;

    fn params(data_blocks: u64) -> Parameters {
        Parameters { data_blocks, salt: [7; 32], uuid: Guid::new(1) }
    }

    fn leaf(index: u64) -> Digest {
        Digest::of(&index.to_le_bytes())
    }

    #[test]
    fn the_order_of_leaves_does_not_matter() {
        let tree = |order: &mut dyn Iterator<Item = u64>| {
            let mut builder = TreeBuilder::new(params(300)).unwrap();
            order.for_each(|index| builder.set_leaf(index, leaf(index)).unwrap());
            builder.finish().unwrap()
        };
        let forward = tree(&mut (0..300));
        assert_eq!(forward, tree(&mut (0..300).rev()));
        assert_eq!(forward, tree(&mut (0..300).map(|n| n * 77 % 300)));
        assert_eq!(forward.bytes.len(), 5 * BLOCK_SIZE);
    }

    #[test]
    fn refuses_to_finish_while_a_leaf_is_missing_and_names_the_first() {
        for missing in [0, 1, 63, 64, 128, 299] {
            let mut builder = TreeBuilder::new(params(300)).unwrap();
            builder.set_leaves(0..missing, leaf(0)).unwrap();
            builder.set_leaves((missing + 2).min(300)..300, leaf(0)).unwrap();
            assert_eq!(builder.first_missing(), Some(missing));
            let message = builder.finish().unwrap_err().to_string();
            assert_eq!(message, format!("hash tree is impossible: the digest of data block {missing} is missing"));
        }
        assert!(TreeBuilder::new(params(1)).unwrap().finish().is_err());
    }

    #[test]
    fn refuses_leaves_outside_the_data_and_contradicting_ones() {
        for data_blocks in [1, 64, 300] {
            let mut builder = TreeBuilder::new(params(data_blocks)).unwrap();
            for index in [data_blocks, u64::MAX] {
                assert!(builder.set_leaf(index, leaf(0)).unwrap_err().to_string().contains("outside the data"));
            }
            builder.set_leaf(0, leaf(0)).unwrap();
            builder.set_leaf(0, leaf(0)).unwrap();
            assert!(builder.set_leaf(0, leaf(1)).unwrap_err().to_string().contains("two different digests"));
        }
    }

    #[test]
    fn a_cloned_prefix_gives_the_hash_of_salt_and_block() {
        let (salt, block) = ([9; 32], [1; BLOCK_SIZE]);
        let whole = Digest::of_parts([salt.as_slice(), block.as_slice()]);
        let hasher = BlockHasher::new(&salt);
        assert_eq!((hasher.hash(&block), hasher.hash(&block), hash_block(&salt, &block)), (whole, whole, whole));
        assert_eq!(zero_leaf(&salt), hash_block(&salt, &[0; 4096]));
    }
}
