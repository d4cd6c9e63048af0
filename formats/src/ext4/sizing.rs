//! The smallest file system which holds a declaration.

use super::geometry::{self, Geometry};
use super::{BLOCK_SIZE, MAX_SIZE, Sealed};
use crate::Bytes;

/// The smallest size, a multiple of 4 KiB, at which `attempt` succeeds; exact, and the same for the same declaration.
///
/// `attempt` declares everything for a size and seals; it is called once or twice. `inodes` and `journal_blocks` are those of its
/// options; `content_blocks` is a lower bound of the blocks of all files together. `None`: it needs more than [`MAX_SIZE`].
///
/// Exact because the engine allocates monotonously: with the same number of groups the end of the last allocated block does not
/// depend on the length of the last group.
pub fn smallest_size<E>(
    inodes: u32,
    journal_blocks: u32,
    content_blocks: u64,
    mut attempt: impl FnMut(Bytes) -> std::result::Result<Option<Sealed>, E>,
) -> std::result::Result<Option<Bytes>, E> {
    let floor = content_blocks.saturating_add(journal_blocks.into()).saturating_add(u64::from(inodes).div_ceil(16));
    let floor = floor.max(geometry::minimum_for_journal(journal_blocks));
    let most = geometry::groups(geometry::blocks(MAX_SIZE));
    for groups in geometry::groups(floor)..=most {
        let Some(geometry) = Geometry::new(groups, inodes) else { continue };
        let Some(sealed) = attempt(size_of(geometry::full_blocks(groups)))? else { continue };
        let end = geometry::blocks(sealed.end());
        let least = geometry.minimum_blocks().max(geometry::minimum_for_journal(journal_blocks));
        return Ok(Some(size_of(end.max(least))));
    }
    Ok(None)
}

fn size_of(blocks: u64) -> Bytes {
    Bytes(blocks.saturating_mul(u64::try_from(BLOCK_SIZE).unwrap_or(u64::MAX)))
}
