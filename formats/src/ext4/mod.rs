//! Writing ext4 file systems from a declaration, in one pass, the same bytes every time.
//!
//! [`Volume`] takes the names and attributes, [`Volume::seal`] decides every block, [`Sealed::write`] emits all metadata and
//! [`Writer::fill`] streams the content of one file after the other. Block size 4096, inode size 256, features `has_journal ext_attr
//! dir_index filetype extent flex_bg sparse_super large_file huge_file dir_nlink extra_isize metadata_csum` (kernel documentation,
//! "ext4 data structures and algorithms"). Everything the format cannot hold is refused before the engine sees it.
//!
//! This module is the only place that names the engine, `mkext4`; its bytes are stable within one version, so that version is pinned.
//! Which size to take is [`smallest_size`]'s answer; where the blocks go is the [`Sink`]'s business.

mod acl;
mod geometry;
mod sizing;
mod volume;
mod xattr;

use std::io;

use crate::{Bytes, Guid, Result};

pub use geometry::{FIRST_INODES, MAX_SIZE, MIN_JOURNAL_BLOCKS};
pub use sizing::smallest_size;
pub use volume::{Device, Inode, ROOT, Sealed, Volume, Writer};

/// The unit of allocation, in bytes.
pub const BLOCK_SIZE: usize = 4096;

/// What a file system is apart from its content. Together with the order of the declarations it determines every byte.
#[derive(Debug, Clone)]
pub struct Options {
    /// Size of the file system, a multiple of 4 KiB, at least four times its journal, at most [`MAX_SIZE`].
    pub size: Bytes,
    /// The file system's UUID; also seeds its checksums, so it cannot be changed later.
    pub uuid: Guid,
    /// Volume label, at most 16 bytes.
    pub label: String,
    /// Seed of the directory hash.
    pub hash_seed: Guid,
    /// Creation time in seconds since 1970 (to 2106), also of `lost+found`.
    pub timestamp: i64,
    /// Length of the journal in blocks, at least [`MIN_JOURNAL_BLOCKS`]: a journal is always written.
    pub journal_blocks: u32,
    /// At least this many inodes, the [`FIRST_INODES`] of the file system itself included; rounded up per group.
    pub inodes: u32,
}

/// Owner, permissions and time of one inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits with setuid, setgid and sticky (`0o7777`).
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in seconds since 1970, from 1901-12-13 (negative) to 2446-05-10; all other times are set to it.
    pub mtime: i64,
}

/// Where the blocks go. Every block of the file system arrives exactly once, final, whole, in an order of the writer's choosing.
pub trait Sink {
    /// `bytes` belong at `offset`; both are multiples of [`BLOCK_SIZE`].
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// `length` zero bytes belong at `offset`; both are multiples of [`BLOCK_SIZE`].
    fn zeros(&mut self, offset: u64, length: u64) -> io::Result<()>;
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).data(offset, bytes)
    }
    fn zeros(&mut self, offset: u64, length: u64) -> io::Result<()> {
        (**self).zeros(offset, length)
    }
}

/// The options of an empty file system which the kernel will grow online to many times its `size` (`EXT4_IOC_RESIZE_FS` needs no
/// reserved descriptor blocks: Linux switches to `meta_bg`).
///
/// What cannot grow later is chosen for the large size now: 8192 inodes per group of 128 MiB (one per 16 KiB) and a journal of a
/// quarter of `size`, between 4 MiB and 64 MiB.
pub fn growable(size: Bytes, uuid: Guid, label: &str, timestamp: i64) -> Options {
    let blocks = geometry::blocks(size);
    let quarter = u32::try_from(blocks.div_ceil(4)).unwrap_or(u32::MAX);
    let journal_blocks =
        if u64::from(quarter).saturating_mul(4) > blocks { quarter.saturating_sub(1) } else { quarter };
    Options {
        size,
        uuid,
        label: label.to_owned(),
        hash_seed: uuid,
        timestamp,
        journal_blocks: journal_blocks.clamp(MIN_JOURNAL_BLOCKS, GROWABLE_JOURNAL_BLOCKS),
        inodes: geometry::groups(blocks).saturating_mul(GROWABLE_INODES_PER_GROUP),
    }
}

/// The largest size up to `size` a [`growable`] file system can have. Less when the last block group would be too short for what must
/// be in it; the kernel leaves such a rest out too when it grows a file system.
pub fn growable_within(size: Bytes) -> Bytes {
    let blocks = geometry::blocks(Bytes(size.0.min(MAX_SIZE.0)));
    let of = |blocks: u64| Bytes(blocks.saturating_mul(u64::try_from(BLOCK_SIZE).unwrap_or(u64::MAX)));
    let whole = of(blocks);
    if geometry::check(&growable(whole, Guid::ZERO, "", 0)).is_ok() {
        return whole;
    }
    let full = of(geometry::full_blocks(geometry::groups(blocks).saturating_sub(1)));
    if full.0 == 0 { whole } else { full }
}

/// An empty file system with [`growable`] options: the data partition, in the image and after a factory reset. Root belongs to
/// 0:0 with mode 0755. Write it with `.write(sink)?.finish()?`.
pub fn empty(size: Bytes, uuid: Guid, label: &str, timestamp: i64) -> Result<Sealed> {
    let options = growable(size, uuid, label, timestamp);
    Volume::new(&options)?.seal()?.ok_or_else(|| {
        crate::Error::invalid(
            "ext4 file system",
            format!("{size} does not hold its own structures; give at least 16 MiB"),
        )
    })
}

const GROWABLE_JOURNAL_BLOCKS: u32 = 16384;
const GROWABLE_INODES_PER_GROUP: u32 = 8192;

#[cfg(test)]
mod tests;
