//! dm-verity: a hash tree that lets the kernel check every block of a read-only filesystem when it is read.
//!
//! Format: superblock version 1, hash type 1, SHA-256, 4096-byte data and hash blocks, salt in front of each block (kernel
//! `Documentation/admin-guide/device-mapper/verity.rst`; cryptsetup wiki `DMVerity`). The bytes are exactly those of
//! `veritysetup format`. Image layout: data blocks `0..n`, superblock at block `n`, tree from block `n + 1`, top level first.
//!
//! The root hash and all parameters come from a signed manifest; the superblock is for people and other tools and is never believed.

mod check;
mod layout;
mod superblock;
mod tree;

pub use check::{Checker, Fault};
pub use layout::{Layout, MAX_DATA_BLOCKS, Parameters, tree_blocks};
pub use superblock::Superblock;
pub use tree::{BlockHasher, Tree, TreeBuilder, hash_block, zero_leaf};

/// Bytes in a data block and in a hash block.
pub const BLOCK_SIZE: usize = 4096;

/// One data or hash block.
pub type Block = [u8; BLOCK_SIZE];

/// Digests in one hash block.
const FANOUT: u64 = 128;
