//! The footer: the signed manifest at the end of a slot partition. No valid footer, no slot.
//!
//! Layout (integers little-endian), [`FOOTER_SIZE`] bytes at the end of the partition:
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 16 | magic `bulkhead-footer\0` |
//! | 16 | 4 | version, 1 |
//! | 20 | 4 | manifest length m |
//! | 24 | 4 | signatures length s |
//! | 28 | 4 | zero |
//! | 32 | m + s | manifest, then signatures |
//! | | | zeros |
//! | 65504 | 32 | SHA-256 of everything before it |
//!
//! Magic and checksum keep their place in every version. The checksum tells a torn or rotten footer from a forged one; it gives no
//! trust. Trust comes from [`Footer::verify`]. A writer erases the footer first and writes it last, after reading back the image.

use std::fmt;

use crate::error::Distrust;
use crate::signature::{self, SignatureSet, VerifiedManifest};
use crate::trust::{Role, TrustStore};
use crate::{Bytes, Digest, Error, Result, json, le, manifest};

/// Bytes reserved for the footer at the end of a slot partition.
pub const FOOTER_SIZE: usize = 65536;

/// The two signed documents of a footer, not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// The exact bytes of the manifest.
    pub manifest: Vec<u8>,
    /// The signature set, see [`crate::signature`].
    pub signatures: Vec<u8>,
}

/// Where the footer of a partition of this size begins, counted from the partition's start.
pub fn offset(partition: Bytes) -> Result<Bytes> {
    let size = u64::try_from(FOOTER_SIZE).unwrap_or(u64::MAX); // OK: 65536 fits
    let too_small = || Error::invalid(WHAT, format!("a partition of {partition} has no room for {}", Bytes(size)));
    partition.0.checked_sub(size).map(Bytes).ok_or_else(too_small)
}

/// The [`FOOTER_SIZE`] bytes for a manifest and its signatures. `Invalid` when one is above its limit.
pub fn encode(manifest: &[u8], signatures: &[u8]) -> Result<Vec<u8>> {
    let length = |what: &str, bytes: &[u8], limit: usize| {
        let too_long = || Error::invalid(WHAT, format!("{what} of {} bytes; at most {limit} are allowed", bytes.len()));
        u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= limit).ok_or_else(too_long)
    };
    let manifest_length = length("a manifest", manifest, manifest::MAX_SIZE)?;
    let signatures_length = length("signatures", signatures, signature::MAX_SIZE)?;
    let mut footer = Vec::with_capacity(FOOTER_SIZE);
    footer.extend_from_slice(MAGIC);
    for number in [VERSION, manifest_length, signatures_length, 0] {
        footer.extend_from_slice(&number.to_le_bytes());
    }
    footer.extend_from_slice(manifest);
    footer.extend_from_slice(signatures);
    footer.resize(CHECKSUM, 0);
    let checksum = Digest::of(&footer);
    footer.extend_from_slice(&checksum.0);
    Ok(footer)
}

/// What a writer puts in place of a footer before it touches the slot.
pub fn erased() -> Vec<u8> {
    vec![0; FOOTER_SIZE]
}

/// True when there is no footer: the slot was never written, or a writer did not finish.
pub fn is_erased(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

impl Footer {
    /// Takes a footer area apart and checks its checksum; believes nothing.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let bytes: &[u8; FOOTER_SIZE] = bytes
            .try_into()
            .map_err(|_| Error::corrupt(WHAT, format!("{} bytes; a footer has {FOOTER_SIZE}", bytes.len())))?;
        if is_erased(bytes) {
            return Err(Error::untrusted("slot", Distrust::Unsigned, "no footer: the slot is empty"));
        }
        let (content, checksum) = bytes.split_at(CHECKSUM);
        if !content.starts_with(MAGIC) {
            return Err(Error::corrupt(WHAT, "it does not begin with its magic; it was partly erased or overwritten"));
        }
        if Digest::of(content).0 != checksum {
            return Err(Error::corrupt(
                WHAT,
                "its checksum does not match; the last write was cut off, or the disk rots",
            ));
        }
        let number = |at| le::u32_at(content, at).unwrap_or(u32::MAX); // OK: the content is longer
        if number(16) != VERSION {
            return Err(Error::unsupported(WHAT, format!("it has version {}; {VERSION} is understood", number(16))));
        }
        let length = |at, limit: usize, what: &str| {
            let length = usize::try_from(number(at)).ok().filter(|length| *length <= limit);
            length.ok_or_else(|| Error::corrupt(WHAT, format!("{what} of {} bytes; at most {limit} fit", number(at))))
        };
        let manifest = length(20, manifest::MAX_SIZE, "a manifest")?;
        let signatures = length(24, signature::MAX_SIZE, "signatures")?;
        Self::split(content.get(28..).unwrap_or_default(), manifest, signatures)
    }

    /// From a content that begins with the zero number before the manifest.
    fn split(content: &[u8], manifest: usize, signatures: usize) -> Result<Self> {
        let beyond = || Error::corrupt(WHAT, "its lengths go beyond its area");
        let (zero, rest) = content.split_at_checked(4).ok_or_else(beyond)?;
        let (manifest, rest) = rest.split_at_checked(manifest).ok_or_else(beyond)?;
        let (signatures, padding) = rest.split_at_checked(signatures).ok_or_else(beyond)?;
        if !is_erased(zero) || !is_erased(padding) {
            return Err(Error::corrupt(WHAT, "its padding is not zero"));
        }
        Ok(Self { manifest: manifest.into(), signatures: signatures.into() })
    }

    /// The manifest, when enough keys of `role` signed it; see [`signature::verify`].
    pub fn verify(&self, trust: &TrustStore, role: Role) -> Result<VerifiedManifest> {
        signature::verify(&self.manifest, &self.signatures, trust, role)
    }
}

impl fmt::Display for Footer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "footer version {VERSION} (not verified)")?;
        writeln!(f, "  manifest     {} bytes, sha256 {}", self.manifest.len(), Digest::of(&self.manifest))?;
        match SignatureSet::parse(&self.signatures) {
            Ok(set) => set.signatures().iter().try_for_each(|one| writeln!(f, "  signed by    {}", one.key_id))?,
            Err(error) => writeln!(f, "  signatures   {}", json::shown(&error.to_string()))?,
        }
        match manifest::Manifest::parse(&self.manifest) {
            Ok(manifest) => manifest.fmt(f),
            Err(error) => writeln!(f, "  {error}"),
        }
    }
}

const WHAT: &str = "slot footer";
const MAGIC: &[u8; 16] = b"bulkhead-footer\0";
const VERSION: u32 = 1;
const HEADER: usize = 32;
const CHECKSUM: usize = FOOTER_SIZE - 32;
const _: () = assert!(HEADER + manifest::MAX_SIZE + signature::MAX_SIZE <= CHECKSUM);

#[cfg(test)]
#[path = "footer_tests.rs"]
mod tests;
