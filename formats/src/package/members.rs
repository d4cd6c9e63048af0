//! The archive of a package as a row of members: names, order, lengths, paddings and digests.
//!
//! The attacks this stands against are numbers 2 to 11 of the list in `read.rs`, where members are put together to a package.

use std::io::{self, Read};

use super::chunks::ChunkIndex;
use super::read::Documents;
use super::{CHUNKS, EULA, IMAGE, NOTES, Result, SBOM, WHAT, check_text, limit, ustar};
use crate::error::Damage;
use crate::manifest::{Manifest, Member};
use crate::{Bytes, Digest, Error};

/// The archive as a row of members.
#[derive(Debug)]
pub(super) struct Members<R> {
    pub(super) input: R,
}

impl<R: Read> Members<R> {
    /// Every member in front of the image.
    pub(super) fn documents(&mut self, manifest: &Manifest) -> Result<Documents> {
        let notes = self.small(NOTES, manifest)?.unwrap_or_default();
        let notes = check_text(NOTES, notes)?;
        let eula = self.small(EULA, manifest)?.map(|text| check_text(EULA, text)).transpose()?;
        let sbom = self.small(SBOM, manifest)?;
        let index = match self.small(CHUNKS, manifest)? {
            Some(bytes) => ChunkIndex::parse(&bytes)?,
            None => ChunkIndex::default(),
        };
        if let (Some(image), Some(frames)) = (&manifest.image, manifest.members.get(IMAGE)) {
            index.check_covers(image.size, *frames)?;
        }
        Ok(Documents { notes, eula, sbom, index })
    }

    /// The next member, when the manifest lists it.
    fn small(&mut self, name: &str, manifest: &Manifest) -> Result<Option<Vec<u8>>> {
        manifest.members.get(name).map(|member| self.read_small(name, Some(*member))).transpose()
    }

    /// A member that fits memory; with `expected`, exactly the one the manifest lists.
    pub(super) fn read_small(&mut self, name: &str, expected: Option<Member>) -> Result<Vec<u8>> {
        let size = self.header(name, expected.map(|member| member.size))?;
        // Grows with what arrives: a length in a header costs its sender as much as us.
        let mut bytes = Vec::new();
        self.input.by_ref().take(size.0).read_to_end(&mut bytes).map_err(super::Error::Io)?;
        if super::length(&bytes) != size {
            return Err(cut_off().into());
        }
        if let Some(member) = expected {
            check_digest(name, Digest::of(&bytes), member)?;
        }
        self.padding(size)?;
        Ok(bytes)
    }

    /// The header of the member that must come now; its length.
    pub(super) fn header(&mut self, name: &str, expected: Option<Bytes>) -> Result<Bytes> {
        let mut block = [0; 512];
        self.fill(&mut block)?;
        let (found, size) = ustar::parse(&block)?;
        if found != name {
            let found = crate::json::shown(&found);
            let problem = format!("\"{found}\" where \"{name}\" must be");
            return Err(Error::damaged(WHAT, Damage::WrongMember, problem).into());
        }
        match expected {
            Some(expected) if expected != size => {
                let problem = format!("\"{name}\" has {} bytes; its manifest says {}", size.0, expected.0);
                Err(Error::corrupt(WHAT, problem).into())
            }
            None if size > limit(name) => {
                let problem = format!("\"{name}\" of {} bytes; at most {} are allowed", size.0, limit(name).0);
                Err(Error::damaged(WHAT, Damage::TooLong, problem).into())
            }
            _ => Ok(size),
        }
    }

    /// Fills the buffer; the end of the input is a cut archive.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.input.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => cut_off().into(),
            _ => super::Error::Io(error),
        })
    }

    /// The zeros behind a member of this length.
    pub(super) fn padding(&mut self, size: Bytes) -> Result<()> {
        let mut block = [0; 512];
        let length = usize::try_from(ustar::padding(size).0).unwrap_or(0);
        let padding = block.get_mut(..length).unwrap_or_default();
        self.fill(padding)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(Error::damaged(WHAT, Damage::TrailingData, "something is hidden behind a member").into());
        }
        Ok(())
    }

    /// The end of the archive, and nothing behind it.
    pub(super) fn end(&mut self) -> Result<()> {
        let mut trailer = ustar::TRAILER;
        self.fill(&mut trailer)?;
        let mut more = [0];
        let extended = trailer != ustar::TRAILER || self.fill_some(&mut more)?;
        if extended {
            return Err(Error::damaged(WHAT, Damage::TrailingData, "something follows its last member").into());
        }
        Ok(())
    }

    /// True when there was another byte.
    fn fill_some(&mut self, byte: &mut [u8; 1]) -> Result<bool> {
        match self.fill(byte) {
            Ok(()) => Ok(true),
            Err(super::Error::Format(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn check_digest(name: &str, found: Digest, member: Member) -> crate::Result<()> {
    if found == member.digest {
        return Ok(());
    }
    let problem = format!("\"{name}\" does not match the digest in its manifest");
    Err(Error::damaged(WHAT, Damage::DigestMismatch, problem))
}

fn cut_off() -> Error {
    Error::damaged(WHAT, Damage::Truncated, "it is cut off")
}
