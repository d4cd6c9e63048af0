//! What is in a slot, and whether every block of it is what was signed.

mod proof;
mod writer;

use std::fmt;

use formats::SlotId;
use formats::footer::{self, FOOTER_SIZE, Footer};
use formats::manifest::Manifest;
use formats::signature::VerifiedManifest;
use formats::trust::{Role, TrustStore};

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
    match proof::check(disk, part, image, None, progress)? {
        None => Ok(()),
        Some(fault) => Err(Error::Rotten(format!("{part} is damaged: {fault}; install a release into it again"))),
    }
}
