//! What is in a slot, and whether every block of it is what was signed.

mod writer;

use std::fmt;

use formats::footer::{self, FOOTER_SIZE, Footer};
use formats::manifest::{ImageInfo, Manifest};
use formats::signature::VerifiedManifest;
use formats::trust::{Role, TrustStore};
use formats::verity::{BLOCK_SIZE, Block, Checker};
use formats::{Bytes, SlotId};

pub use writer::{Phase, Progress, erase, write};

use crate::certain::{Reading, answers, certain};
use crate::disk::{Disk, Part, StatePartition};
use crate::error::{At, Doing, Error, Result};

/// What a slot's footer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing was written, or a writer did not finish.
    Empty,
    /// A footer signed by keys this appliance trusts. The image behind it is proved by [`prove`], or by the kernel when it is read.
    Whole(Box<VerifiedManifest>),
    /// Something that may not be started, and why.
    Unusable(String),
}

/// One thing for each of the two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Pair<T> {
    /// Of slot A.
    pub a: T,
    /// Of slot B.
    pub b: T,
}

impl<T> Pair<T> {
    /// From a function of the slot.
    pub fn of(mut make: impl FnMut(SlotId) -> T) -> Self {
        Self { a: make(SlotId::A), b: make(SlotId::B) }
    }

    /// From a function of the slot that may fail.
    pub fn try_of<E>(mut make: impl FnMut(SlotId) -> std::result::Result<T, E>) -> std::result::Result<Self, E> {
        Ok(Self { a: make(SlotId::A)?, b: make(SlotId::B)? })
    }

    /// The one of `slot`.
    pub const fn get(&self, slot: SlotId) -> &T {
        match slot {
            SlotId::A => &self.a,
            SlotId::B => &self.b,
        }
    }
}

impl Content {
    /// The manifest of a whole slot.
    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Whole(verified) => Some(verified.manifest()),
            Self::Empty | Self::Unusable(_) => None,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::Whole(verified) => write!(f, "{} {}", verified.manifest().name, verified.manifest().version),
            Self::Unusable(problem) => write!(f, "unusable: {problem}"),
        }
    }
}

/// Reads and checks the footer of a slot. An error when the disk does not answer: that the slot is unusable would be a guess.
pub fn content(disk: &dyn Disk, part: Part, trust: &TrustStore) -> Result<Content> {
    let role = if matches!(part, Part::Site(_)) { Role::Site } else { Role::Base };
    let read = || {
        let mut bytes = vec![0; FOOTER_SIZE];
        let offset = footer::offset(disk.size(part)?).map_err(std::io::Error::other)?;
        disk.read(part, offset.0, &mut bytes).map(|()| bytes)
    };
    let bytes = match certain(read, || answers(&StatePartition(disk))).doing(|| format!("read the footer of {part}"))? {
        Reading::Done(bytes) => bytes,
        Reading::Lost(problem) => return Ok(Content::Unusable(format!("its footer cannot be read: {problem}"))),
    };
    if footer::is_erased(&bytes) {
        return Ok(Content::Empty);
    }
    Ok(match Footer::parse(&bytes).and_then(|footer| footer.verify(trust, role)) {
        Ok(verified) => Content::Whole(Box::new(verified)),
        Err(problem) => Content::Unusable(problem.to_string()),
    })
}

/// Reads the whole image of a slot and compares it with the root hash of its signed manifest.
pub fn prove(disk: &dyn Disk, part: Part, manifest: &Manifest, progress: Progress<'_>) -> Result<()> {
    let image = manifest.image().at(|| part.to_string())?;
    match check(disk, part, image, None, progress)? {
        None => Ok(()),
        Some(fault) => Err(Error::Rotten(format!("{part} is damaged: {fault}; install a release into it again"))),
    }
}

/// As the initramfs program and the kernel would: each block against the tree, the tree against the root hash. `head` stands in for
/// the first block while that is not on the disk yet.
fn check(
    disk: &dyn Disk,
    part: Part,
    image: &ImageInfo,
    head: Option<&Block>,
    progress: Progress<'_>,
) -> Result<Option<formats::verity::Fault>> {
    let checker = Checker::new(&image.parameters(), image.root_hash).at(|| part.to_string())?;
    let mut data = Window::new(1 << 20, image.data_blocks);
    let mut tree = Window::new(64 << 10, checker.layout().total_blocks());
    checker.run(|block, buffer: &mut Block| {
        if let (0, Some(head)) = (block, head) {
            *buffer = *head;
            return Ok(());
        }
        let in_data = block < image.data_blocks;
        if in_data && block.is_multiple_of(256) {
            progress(
                Phase::Proving,
                Bytes(block.saturating_mul(BLOCK)),
                Bytes(image.data_blocks.saturating_mul(BLOCK)),
            );
        }
        let window = if in_data { &mut data } else { &mut tree };
        window.block(disk, part, block, buffer).doing(|| format!("read back {part}"))
    })
}

/// Consecutive blocks read ahead in one piece.
struct Window {
    first: u64,
    end: u64,
    bytes: Vec<u8>,
    /// Blocks that exist.
    limit: u64,
}

impl Window {
    fn new(bytes: usize, limit: u64) -> Self {
        Self { first: 0, end: 0, bytes: vec![0; bytes], limit }
    }

    fn block(&mut self, disk: &dyn Disk, part: Part, block: u64, buffer: &mut Block) -> std::io::Result<()> {
        if !(self.first..self.end).contains(&block) {
            let room = (self.bytes.len() as u64).checked_div(BLOCK).unwrap_or(0);
            let number = self.limit.saturating_sub(block).min(room);
            let length = usize::try_from(number.saturating_mul(BLOCK)).map_err(std::io::Error::other)?;
            let bytes = self.bytes.get_mut(..length).ok_or(std::io::ErrorKind::InvalidInput)?;
            self.end = self.first;
            disk.read(part, block.saturating_mul(BLOCK), bytes)?;
            (self.first, self.end) = (block, block.saturating_add(number));
        }
        let at =
            usize::try_from(block.saturating_sub(self.first).saturating_mul(BLOCK)).map_err(std::io::Error::other)?;
        let found = self.bytes.get(at..).and_then(<[u8]>::first_chunk::<BLOCK_SIZE>);
        *buffer = *found.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        Ok(())
    }
}

const BLOCK: u64 = BLOCK_SIZE as u64;
