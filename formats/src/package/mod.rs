//! The package: one file that carries a base, a site or a licence (design section 6).
//!
//! A plain tar archive with members in a fixed order: [`MANIFEST`], [`SIGNATURES`], [`NOTES`], [`EULA`] (optional), and, unless it is
//! a licence, [`SBOM`], [`CHUNKS`], [`IMAGE`]. Every byte of it follows from the members: `tar` reads it, and GNU tar with the
//! options in `docs/package-format.md` writes the same bytes. The image is a row of independent zstd frames, so `zstd -d` unpacks it
//! and a range of a download is useful on its own.
//!
//! [`Package::open`] reads one in a single pass with bounded memory and hands out nothing whose signature or digest it has not
//! checked. [`write()`] makes one. Which roles are acceptable, whether the version is, and where chunks go is left to the caller.

mod ahead;
mod chunks;
mod image;
mod members;
mod read;
pub(crate) mod ustar;
mod verify;
mod write;

pub use chunks::{Chunk, ChunkIndex, MAX_CHUNK, MAX_CHUNKS, MAX_SIZE as MAX_INDEX};
pub use image::{Compressor, Decoder, Frame, ImageEncoder};
pub use read::{Claims, Data, Details, Documents, Image, Package, Unverified, peek, peek_manifest};
pub use ustar::{Block, MAX_MEMBER, TRAILER, encode as encode_header, padding};
pub use verify::verify;
pub use write::write;

use std::io;

use crate::error::Damage;
use crate::manifest::{self, Kind, Manifest};
use crate::{Bytes, signature};

/// What the package is: [`Manifest`], at most [`manifest::MAX_SIZE`] bytes.
pub const MANIFEST: &str = "manifest.json";
/// Who says so: a [`signature::SignatureSet`], at most [`signature::MAX_SIZE`] bytes.
pub const SIGNATURES: &str = "manifest.sig";
/// Release notes for people: UTF-8, at most [`MAX_TEXT`] bytes.
pub const NOTES: &str = "notes.md";
/// Licence terms to be accepted: UTF-8, at most [`MAX_TEXT`] bytes.
pub const EULA: &str = "eula.txt";
/// Bill of materials: `CycloneDX` JSON, at most [`MAX_SBOM`] bytes. Carried, not interpreted.
pub const SBOM: &str = "sbom.cdx.json";
/// Where the chunks are: [`ChunkIndex`].
pub const CHUNKS: &str = "chunks.idx";
/// The slot image as zstd frames.
pub const IMAGE: &str = "image.zst";

/// Longest notes and licence terms in bytes.
pub const MAX_TEXT: usize = 256 << 10;
/// Longest bill of materials in bytes.
pub const MAX_SBOM: usize = 4 << 20;

/// Why a package cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read at all; trying again may help.
    #[error("cannot read the package")]
    Io(#[source] io::Error),
    /// It was read, and is damaged, not trusted or too new; trying again does not help.
    #[error(transparent)]
    Format(#[from] crate::Error),
}

/// Result of reading a package.
pub type Result<T> = std::result::Result<T, Error>;

/// The members of a package of this kind behind manifest and signatures, in their order; `true`: must be there.
pub const fn members(kind: Kind) -> &'static [(&'static str, bool)] {
    match kind {
        Kind::Licence => &[(NOTES, true), (EULA, false)],
        Kind::Base | Kind::Site => &[(NOTES, true), (EULA, false), (SBOM, true), (CHUNKS, true), (IMAGE, true)],
    }
}

/// Whether the manifest lists exactly the members its kind has, none longer than its limit. Returns their names in order.
pub fn check_members(manifest: &Manifest) -> crate::Result<Vec<&'static str>> {
    let known = members(manifest.kind);
    if let Some(name) = manifest.members.keys().find(|name| !known.iter().any(|(known, _)| known == name)) {
        let problem = format!("a {} package has no member \"{name}\"", manifest.kind);
        return Err(crate::Error::damaged(WHAT, Damage::WrongMember, problem));
    }
    let mut present = Vec::new();
    for (name, needed) in known {
        match manifest.members.get(*name) {
            None if *needed => {
                let problem = format!("its manifest lists no \"{name}\"");
                return Err(crate::Error::damaged(WHAT, Damage::WrongMember, problem));
            }
            None => {}
            Some(member) if member.size > limit(name) => {
                let (size, limit) = (member.size.0, limit(name).0);
                return Err(crate::Error::damaged(
                    WHAT,
                    Damage::TooLong,
                    format!("\"{name}\" of {size} bytes; at most {limit} are allowed"),
                ));
            }
            Some(_) => present.push(*name),
        }
    }
    Ok(present)
}

/// The text of notes or licence terms: UTF-8 without control characters other than line feed and tab, at most [`MAX_TEXT`] bytes.
pub fn check_text(name: &str, bytes: Vec<u8>) -> crate::Result<String> {
    let refused = |problem: String| crate::Error::corrupt(WHAT, format!("\"{name}\" {problem}"));
    if bytes.len() > MAX_TEXT {
        return Err(refused(format!("has {} bytes; at most {MAX_TEXT} are allowed", bytes.len())));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("is not UTF-8".into()))?;
    match text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        Some(c) => Err(refused(format!("contains the control character {}", c.escape_unicode()))),
        None => Ok(text),
    }
}

/// The length of the whole archive: it follows from its manifest, its signatures and the members listed.
pub fn archive_size(manifest_length: Bytes, signatures_length: Bytes, manifest: &Manifest) -> Bytes {
    let parts =
        [manifest_length, signatures_length].into_iter().chain(manifest.members.values().map(|member| member.size));
    let members = parts.fold(0_u64, |sum, size| sum.saturating_add(ustar::stored(size).0));
    Bytes(members.saturating_add(length(&TRAILER).0))
}

/// Compares the length of a file with [`archive_size`].
pub fn check_archive_size(
    manifest_length: Bytes,
    signatures_length: Bytes,
    manifest: &Manifest,
    actual: Bytes,
) -> crate::Result<()> {
    let expected = archive_size(manifest_length, signatures_length, manifest);
    if actual == expected {
        return Ok(());
    }
    let (why, fault) = if actual < expected {
        (Damage::Truncated, "it is cut off")
    } else {
        (Damage::TrailingData, "something follows it")
    };
    Err(crate::Error::damaged(WHAT, why, format!("{fault}: {} bytes instead of {}", actual.0, expected.0)))
}

/// True for the first block of a file that is a package, whatever its name.
pub fn is_package(start: &[u8]) -> bool {
    start.first_chunk().is_some_and(|block| ustar::parse(block).is_ok_and(|(name, _)| name == MANIFEST))
}

/// Longest content of a member.
fn limit(name: &str) -> Bytes {
    let limit = match name {
        MANIFEST => manifest::MAX_SIZE,
        SIGNATURES => signature::MAX_SIZE,
        NOTES | EULA => MAX_TEXT,
        SBOM => MAX_SBOM,
        CHUNKS => chunks::MAX_SIZE,
        _ => return MAX_MEMBER,
    };
    Bytes(u64::try_from(limit).unwrap_or(u64::MAX)) // OK: they are constants below 2^32
}

fn length(bytes: &[u8]) -> Bytes {
    Bytes(u64::try_from(bytes.len()).unwrap_or(u64::MAX)) // OK: no address space has 2^64 bytes
}

const WHAT: &str = "package";

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
