//! Writing a release into a slot that nothing runs from.
//!
//! The boot state has given the slot away before (it is neither good nor first), and the intent is in the journal: `write` demands
//! the [`Open`] that proves it. Each step below ends with a flush, because the order is what makes every power cut harmless:
//!
//! 1. **The footer is erased**, and the first block with it. From here on the slot is empty for everyone who asks: the initramfs
//!    program and the agent find no footer; GRUB, which knows nothing of footers, finds no file system. Without this step a
//!    half-overwritten slot would still carry the old footer, and its new blocks would be believed to be the old release.
//! 2. **The image is written** except for its first block. A cut leaves an empty slot; these writes may land in any order.
//! 3. **It is read back and proved** against the signed root hash, the first block taken from memory. Before the slot becomes
//!    loadable, so that a disk that lost or changed a block is found while the other slot is still the only choice.
//! 4. **The first block is written** and read back. Now GRUB could load the slot, and what it would load is proved.
//! 5. **The footer is written** and read back, last of all. Written earlier, it would vouch for blocks still in a cache.
//!
//! Putting the slot on trial follows, and is not this module's business.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use formats::footer;
use formats::manifest::ImageInfo;
use formats::signature::VerifiedManifest;
use formats::verity::{BLOCK_SIZE, Block, Fault};
use formats::{Bytes, Digest};

use super::proof::check;
use crate::disk::{Disk, Part};
use crate::error::{At, Doing, Error, Result};
use crate::journal::Open;
use crate::source::Source;

/// What a long step is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Writing the image.
    Writing,
    /// Reading it back.
    Proving,
    /// Fetching a package.
    Fetching,
}

impl Phase {
    /// For people, completing "the agent is …".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Writing => "writing",
            Self::Proving => "reading back",
            Self::Fetching => "fetching",
        }
    }
}

/// Told how far a long step is: done, of how many bytes.
pub type Progress<'a> = &'a dyn Fn(Phase, Bytes, Bytes);

/// Replaces what is in `part` by the release `manifest` describes and `source` delivers. `_open` is the intent to do so.
pub fn write(
    disk: &dyn Disk,
    part: Part,
    _open: &Open,
    manifest: &VerifiedManifest,
    source: &mut dyn Source,
    progress: Progress<'_>,
) -> Result<()> {
    let place = || part.to_string();
    let size = disk.size(part).doing(|| format!("measure {part}"))?;
    let image = manifest.manifest().image().at(place)?;
    image.check_fits(size).at(place)?;
    let footer_at = footer::offset(size).at(place)?;
    let footer = footer::encode(source.manifest(), source.signatures()).at(place)?;

    erase(disk, part)?;
    let Filled { head, pieces } = fill(disk, part, image, source, progress)?;
    if let Some(fault) = check(disk, part, image, Some(&head), progress)? {
        return Err(blame(disk, part, image, &head, &pieces, &fault));
    }
    keep(disk, part, Bytes(0), &head, "first block")?;
    keep(disk, part, footer_at, &footer, "footer")
}

/// Step 1; on its own it makes a slot empty for everyone who asks.
pub fn erase(disk: &dyn Disk, part: Part) -> Result<()> {
    let doing = || format!("erase {part}");
    let size = disk.size(part).doing(|| format!("measure {part}"))?;
    let footer_at = footer::offset(size).at(|| part.to_string())?;
    disk.write(part, footer_at.0, &footer::erased()).doing(doing)?;
    // Before the first block goes: whoever believes a footer shall not find rubbish behind it.
    disk.flush(part).doing(doing)?;
    disk.write(part, 0, &[0; BLOCK_SIZE]).doing(doing)?;
    disk.flush(part).doing(doing)
}

/// What step 2 leaves: the first block, which is not on the disk yet, and what was written.
struct Filled {
    head: Block,
    pieces: Vec<Written>,
}

/// One piece, the first block included.
struct Written {
    at: u64,
    length: usize,
    digest: Digest,
}

/// Step 2. The next pieces are unpacked in a thread of their own while one is being written: neither the disk
/// nor the processor waits for the other.
fn fill(
    disk: &dyn Disk,
    part: Part,
    image: &ImageInfo,
    source: &mut dyn Source,
    progress: Progress<'_>,
) -> Result<Filled> {
    thread::scope(|scope| {
        let (filled, pieces) = sync_channel(PIECES);
        let (empty, used) = sync_channel(PIECES);
        for _ in 0..PIECES {
            // OK to drop: the other end is here, and there is room for all of them.
            drop(empty.send(Vec::new()));
        }
        let unpack = move || unpack(source, &used, &filled);
        thread::Builder::new()
            .name("unpack".into())
            .spawn_scoped(scope, unpack)
            .doing(|| "start the thread that unpacks the package".into())?;
        fill_from(disk, part, image, &pieces, &empty, progress)
    })
}

/// Turns a source into pieces, until it ends, fails, or the writer has gone.
fn unpack(source: &mut dyn Source, used: &Receiver<Vec<u8>>, filled: &SyncSender<Result<Piece>>) {
    while let Ok(mut piece) = used.recv() {
        let next = match source.next_piece(&mut piece) {
            Ok(Some(digest)) => Ok((piece, digest)),
            Ok(None) => return,
            Err(problem) => Err(problem),
        };
        let last = next.is_err();
        if filled.send(next).is_err() || last {
            return;
        }
    }
}

fn fill_from(
    disk: &dyn Disk,
    part: Part,
    image: &ImageInfo,
    pieces: &Receiver<Result<Piece>>,
    empty: &SyncSender<Vec<u8>>,
    progress: Progress<'_>,
) -> Result<Filled> {
    let doing = || format!("write {part}");
    let mut head = None;
    let mut written = Vec::new();
    let mut at = 0_u64;
    while let Ok(piece) = pieces.recv() {
        let (piece, digest) = piece?;
        let end = at.saturating_add(piece.len() as u64);
        if end > image.size.0 {
            return Err(Error::Source(format!("the image goes on after the {} its manifest says", image.size)));
        }
        let (skip, rest) = match (at, piece.split_first_chunk::<BLOCK_SIZE>()) {
            (0, Some((first, rest))) => {
                head = Some(*first);
                (BLOCK_SIZE as u64, rest)
            }
            _ => (0, piece.as_slice()),
        };
        if !rest.is_empty() {
            disk.write(part, at.saturating_add(skip), rest).doing(doing)?;
        }
        written.push(Written { at, length: piece.len(), digest });
        at = end;
        progress(Phase::Writing, Bytes(at), image.size);
        // Nobody wants it any more once the source has ended.
        drop(empty.send(piece));
    }
    if at != image.size.0 {
        return Err(Error::Source(format!("the image ends after {} of {}", Bytes(at), image.size)));
    }
    disk.flush(part).doing(doing)?;
    let head = head.ok_or_else(|| Error::Source("the image begins with a piece shorter than one block".into()))?;
    Ok(Filled { head, pieces: written })
}

/// Whose fault it is that the slot is not what its manifest says. Each piece was the signed one when it was written; if each still is,
/// and the same fault is found again, the disk is well, and the root hash was never that of this image.
fn blame(disk: &dyn Disk, part: Part, image: &ImageInfo, head: &Block, pieces: &[Written], fault: &Fault) -> Error {
    let kept = pieces.iter().try_fold(true, |kept, piece| Ok(kept && is_kept(disk, part, head, piece)?));
    let again = || check(disk, part, image, Some(head), &|_, _, _| {});
    match kept.and_then(|kept| Ok(kept && again()?.as_ref() == Some(fault))) {
        Ok(true) => Error::WrongRootHash(format!(
            "the image is the one in the package, but {fault}; {part} is empty and what runs keeps running: get a package that was made \
             correctly"
        )),
        Ok(false) => Error::NotKept(format!(
            "{part} does not hold what was written: {fault}; try again, and replace the disk if it happens again"
        )),
        Err(problem) => problem,
    }
}

fn is_kept(disk: &dyn Disk, part: Part, head: &Block, piece: &Written) -> Result<bool> {
    let mut back = vec![0; piece.length];
    disk.read(part, piece.at, &mut back).doing(|| format!("read back {part}"))?;
    if let (0, Some(first)) = (piece.at, back.first_chunk_mut::<BLOCK_SIZE>()) {
        *first = *head;
    }
    Ok(Digest::of(&back) == piece.digest)
}

/// Steps 4 and 5: writes bytes and believes the disk only when it gives them back.
fn keep(disk: &dyn Disk, part: Part, at: Bytes, bytes: &[u8], what: &str) -> Result<()> {
    let doing = || format!("write the {what} of {part}");
    disk.write(part, at.0, bytes).doing(doing)?;
    disk.flush(part).doing(doing)?;
    let mut back = vec![0; bytes.len()];
    disk.read(part, at.0, &mut back).doing(|| format!("read back the {what} of {part}"))?;
    if back == bytes {
        Ok(())
    } else {
        Err(Error::NotKept(format!("the disk does not keep the {what} of {part}; replace the disk")))
    }
}

/// With its digest in the signed index.
type Piece = (Vec<u8>, Digest);

/// Pieces of at most [`MAX_CHUNK`](formats::package::MAX_CHUNK) bytes between source and disk: one being unpacked, one waiting, one being
/// written.
const PIECES: usize = 3;
