//! Checking an image against its root hash, and saying which block is wrong.
//!
//! The tree is walked depth first: each block is compared with a digest that was itself proved by the root hash, so the blame falls
//! on the right block, be it data or tree. Memory is one block per level, reads go forward through the data. The superblock is
//! compared last: no boot depends on it.

use std::fmt;

use super::{BLOCK_SIZE, Block, BlockHasher, FANOUT, Layout, Parameters, Superblock};
use crate::{Bytes, Digest, Result};

/// The first block found wrong. Block numbers count 4096-byte blocks from the start of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A data block differs from its digest in the tree.
    Data {
        /// The block.
        block: u64,
    },
    /// A block of the tree differs from the digest above it; the top block from the root hash.
    Tree {
        /// Level of the block; level 0 holds the digests of data blocks.
        level: usize,
        /// The block.
        block: u64,
        /// True for the block at the top: the root hash itself may be the wrong one.
        top: bool,
    },
    /// The superblock does not say what the manifest says.
    Superblock {
        /// The block.
        block: u64,
        /// What it says instead.
        problem: String,
    },
}

/// Checks images with one set of parameters and one root hash, both from a trusted place.
pub struct Checker {
    params: Parameters,
    layout: Layout,
    root: Digest,
    hasher: BlockHasher,
}

impl Checker {
    /// A checker. Refuses what [`Layout::new`] refuses.
    pub fn new(params: &Parameters, root: Digest) -> Result<Self> {
        let layout = Layout::new(params.data_blocks)?;
        Ok(Self { params: *params, layout, root, hasher: BlockHasher::new(&params.salt) })
    }

    /// Where the blocks are; the reader is asked for each of them once, the data blocks in order.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Reads the whole image through `read(block number, buffer)`. `None`: every block is right. Stops at the first fault, and
    /// with the reader's error when it has one.
    pub fn run<E>(
        &self,
        mut read: impl FnMut(u64, &mut Block) -> std::result::Result<(), E>,
    ) -> std::result::Result<Option<Fault>, E> {
        let mut path = Path::new(self);
        let mut block = [0; BLOCK_SIZE];
        for index in 0..self.params.data_blocks {
            if let Some(fault) = path.descend(index, &mut read)? {
                return Ok(Some(fault));
            }
            read(index, &mut block)?;
            if self.hasher.hash(&block) != path.expected(0, index) {
                return Ok(Some(Fault::Data { block: index }));
            }
        }
        read(self.layout.superblock(), &mut block)?;
        Ok(self.superblock_fault(&block))
    }

    fn superblock_fault(&self, block: &Block) -> Option<Fault> {
        let wanted = Superblock::from(self.params);
        if *block == wanted.encode() {
            return None;
        }
        let problem = match Superblock::parse(block) {
            Ok(found) if found == wanted => "its padding is not zero".into(),
            Ok(_) => "its block count, salt or UUID is not the manifest's".into(),
            Err(error) => error.to_string(),
        };
        Some(Fault::Superblock { block: self.layout.superblock(), problem })
    }
}

/// The proved tree blocks from the top down to the current place: one per level, level 0 first.
struct Path<'a> {
    checker: &'a Checker,
    blocks: Vec<Block>,
}

impl<'a> Path<'a> {
    fn new(checker: &'a Checker) -> Self {
        Self { checker, blocks: vec![[0; BLOCK_SIZE]; checker.layout.depth()] }
    }

    /// Loads and proves, top first, every tree block that begins at data block `index`.
    fn descend<E>(
        &mut self,
        index: u64,
        read: &mut impl FnMut(u64, &mut Block) -> std::result::Result<(), E>,
    ) -> std::result::Result<Option<Fault>, E> {
        for (number, level) in self.checker.layout.levels().iter().enumerate().rev() {
            let Some(within) = first_at(index, number) else { continue };
            let block = level.first_block.saturating_add(within);
            let above = number.saturating_add(1);
            let expected = self.expected(above, within);
            let Some(buffer) = self.blocks.get_mut(number) else { continue };
            read(block, buffer)?;
            if self.checker.hasher.hash(buffer) != expected {
                let top = above == self.checker.layout.depth();
                return Ok(Some(Fault::Tree { level: number, block, top }));
            }
        }
        Ok(None)
    }

    /// The digest that level `level` holds for its child `child`; above the top that is the root hash.
    fn expected(&self, level: usize, child: u64) -> Digest {
        let Some(block) = self.blocks.get(level) else { return self.checker.root };
        let entry = usize::try_from(child & (FANOUT - 1)).unwrap_or(0); // OK: below 128
        Digest(block.as_chunks::<32>().0.get(entry).copied().unwrap_or([0; 32])) // OK: a block has 128
    }
}

/// The number within level `level` of the tree block whose first data block is `index`; `None` when none begins there.
fn first_at(index: u64, level: usize) -> Option<u64> {
    let covers = FANOUT.checked_pow(u32::try_from(level).ok()?.checked_add(1)?)?;
    index.is_multiple_of(covers).then(|| index.checked_div(covers))?
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |block: &u64| Bytes(block.saturating_mul(super::layout::block_bytes()));
        match self {
            Self::Data { block } => write!(f, "data block {block} (at {}) is not what was signed", at(block)),
            Self::Tree { level, block, top: false } => {
                write!(f, "block {block} (at {}), level {level} of the hash tree, is not what was signed", at(block))
            }
            Self::Tree { block, .. } => {
                write!(f, "block {block} (at {}), the top of the hash tree, does not match the root hash", at(block))
            }
            Self::Superblock { block, problem } => {
                write!(f, "dm-verity superblock in block {block} (at {}): {problem}", at(block))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{TreeBuilder, zero_leaf};
    use super::*;
    use crate::Guid;

    /// An image whose every data block is different, with its tree, and its checker.
    fn image(data_blocks: u64) -> (Vec<u8>, Checker) {
        let params = Parameters { data_blocks, salt: [3; 32], uuid: Guid::new(5) };
        let hasher = BlockHasher::new(&params.salt);
        let mut builder = TreeBuilder::new(params).unwrap();
        let mut image = vec![0; usize::try_from(data_blocks).unwrap() * BLOCK_SIZE];
        for (index, block) in image.as_chunks_mut::<BLOCK_SIZE>().0.iter_mut().enumerate() {
            block[..8].copy_from_slice(&(index as u64 + 1).to_le_bytes());
            builder.set_leaf(index as u64, hasher.hash(block)).unwrap();
        }
        let tree = builder.finish().unwrap();
        image.extend_from_slice(&tree.bytes);
        (image, Checker::new(&params, tree.root).unwrap())
    }

    fn run(image: &[u8], checker: &Checker) -> Option<Fault> {
        let read = |block: u64, buffer: &mut Block| {
            let blocks = image.as_chunks::<BLOCK_SIZE>().0;
            buffer.copy_from_slice(blocks.get(usize::try_from(block).unwrap()).ok_or(format!("no block {block}"))?);
            Ok::<(), String>(())
        };
        checker.run(read).unwrap()
    }

    #[test]
    fn finds_nothing_in_a_whole_image() {
        for data_blocks in [1, 2, 127, 128, 129, 128 * 128, 128 * 128 + 1] {
            let (image, checker) = image(data_blocks);
            assert_eq!(Bytes(image.len() as u64), checker.layout().size());
            assert_eq!(run(&image, &checker), None, "{data_blocks} blocks");
        }
    }

    #[test]
    fn one_flipped_bit_in_any_block_is_found_in_that_block() {
        let (mut image, checker) = image(300);
        for block in 0..checker.layout().total_blocks() {
            for within in [0, 100, BLOCK_SIZE - 1] {
                let place = usize::try_from(block).unwrap() * BLOCK_SIZE + within;
                image[place] ^= 0x10;
                let fault = run(&image, &checker).unwrap();
                let (Fault::Data { block: found }
                | Fault::Tree { block: found, .. }
                | Fault::Superblock { block: found, .. }) = fault;
                assert_eq!(found, block, "byte {within}");
                image[place] ^= 0x10;
            }
        }
    }

    #[test]
    fn names_level_and_place_for_people() {
        let (mut image, checker) = image(300);
        for (block, text) in [
            (299, "data block 299 (at 1196 KiB) is not what was signed"),
            (
                300,
                "dm-verity superblock in block 300 (at 1200 KiB): dm-verity superblock is damaged: it does not begin with \"verity\"",
            ),
            (301, "block 301 (at 1204 KiB), the top of the hash tree, does not match the root hash"),
            (304, "block 304 (at 1216 KiB), level 0 of the hash tree, is not what was signed"),
        ] {
            image[block * BLOCK_SIZE] ^= 1;
            assert_eq!(run(&image, &checker).unwrap().to_string(), text);
            image[block * BLOCK_SIZE] ^= 1;
        }
    }

    #[test]
    fn a_superblock_that_contradicts_the_manifest_is_a_fault() {
        let (mut image, checker) = image(2);
        for (offset, part) in
            [(0x10, "UUID"), (0x48, "block count"), (0x58, "salt"), (0x60, "salt"), (0x200, "padding")]
        {
            image[2 * BLOCK_SIZE + offset] ^= 1;
            assert!(run(&image, &checker).unwrap().to_string().contains(part));
            image[2 * BLOCK_SIZE + offset] ^= 1;
        }
    }

    #[test]
    fn another_root_or_salt_is_refused_at_the_top() {
        let (image, checker) = image(129);
        let other = Checker::new(&checker.params, Digest([0; 32])).unwrap();
        assert_eq!(run(&image, &other), Some(Fault::Tree { level: 1, block: 130, top: true }));
        let other = Checker::new(&Parameters { salt: [4; 32], ..checker.params }, checker.root).unwrap();
        assert_eq!(run(&image, &other), Some(Fault::Tree { level: 1, block: 130, top: true }));
    }

    #[test]
    fn holes_need_no_reading_to_be_hashed() {
        let params = Parameters { data_blocks: 200, salt: [3; 32], uuid: Guid::new(5) };
        let mut builder = TreeBuilder::new(params).unwrap();
        builder.set_leaves(0..200, zero_leaf(&params.salt)).unwrap();
        let tree = builder.finish().unwrap();
        let mut image = vec![0; 200 * BLOCK_SIZE];
        image.extend_from_slice(&tree.bytes);
        assert_eq!(run(&image, &Checker::new(&params, tree.root).unwrap()), None);
    }

    #[test]
    fn an_error_of_the_reader_ends_the_check() {
        let (_, checker) = image(129);
        assert_eq!(checker.run(|block, _| if block < 131 { Err("no disk") } else { Ok(()) }), Err("no disk"));
    }
}
