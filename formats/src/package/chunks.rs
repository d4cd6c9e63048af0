//! `chunks.idx`: where each piece of the slot image is inside `image.zst`, and what it must be.
//!
//! Layout (integers little-endian):
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 16 | magic `bulkhead-chunks\0` |
//! | 16 | 4 | version, 1 |
//! | 20 | 4 | number of records n, at most [`MAX_CHUNKS`] |
//! | 24 | 88 n | records |
//!
//! A record is: offset in the slot image (8), length there (4), offset in `image.zst` (8), length of the frame there (4), SHA-256 of
//! the content (32), SHA-256 of the frame (32). The offsets follow from the lengths and are checked against them: records ascend
//! and cover image and member exactly once. The frame's digest lets a reader refuse bytes before the decompressor sees them; the
//! content's digest names a chunk that a device may already have.

use crate::manifest::Member;
use crate::{Bytes, Digest, Error, Result, le};

/// The longest chunk, uncompressed: 1 MiB. All but the last chunk of an image are multiples of 4096 bytes.
pub const MAX_CHUNK: usize = 1 << 20;

/// The most chunks an index may list: 32 GiB in chunks of 1 MiB.
pub const MAX_CHUNKS: usize = 32_768;

/// The longest index in bytes.
pub const MAX_SIZE: usize = HEADER + MAX_CHUNKS * RECORD;

/// One piece of the slot image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Where it begins in the slot image.
    pub offset: Bytes,
    /// Its length, 1 to [`MAX_CHUNK`].
    pub length: u32,
    /// Where its frame begins in `image.zst`.
    pub frame_offset: Bytes,
    /// Length of its frame.
    pub frame_length: u32,
    /// SHA-256 of its content.
    pub digest: Digest,
    /// SHA-256 of its frame.
    pub frame_digest: Digest,
}

/// All chunks of an image, ascending and without gaps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkIndex(Vec<Chunk>);

impl ChunkIndex {
    /// An index of these chunks. `Invalid` when they do not follow each other, or one is empty or too long.
    pub fn new(chunks: Vec<Chunk>) -> Result<Self> {
        if chunks.len() > MAX_CHUNKS {
            return Err(Error::invalid(WHAT, format!("{} chunks; at most {MAX_CHUNKS} are allowed", chunks.len())));
        }
        let index = Self(chunks);
        index.check().map_err(|problem| Error::invalid(WHAT, problem))?;
        Ok(index)
    }

    /// Reads an index; the checks of [`ChunkIndex::new`] hold for the result.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (header, records) = bytes
            .split_at_checked(HEADER)
            .ok_or_else(|| Error::corrupt(WHAT, format!("{} bytes; its header has {HEADER}", bytes.len())))?;
        if !header.starts_with(MAGIC) {
            return Err(Error::corrupt(WHAT, "it does not begin with its magic"));
        }
        let version = le::u32_at(header, 16).unwrap_or(0);
        if version != VERSION {
            return Err(Error::unsupported(WHAT, format!("it has version {version}; {VERSION} is understood")));
        }
        let count = le::u32_at(header, 20).unwrap_or(0);
        let number = usize::try_from(count).ok().filter(|number| *number <= MAX_CHUNKS);
        let number =
            number.ok_or_else(|| Error::corrupt(WHAT, format!("{count} chunks; at most {MAX_CHUNKS} are allowed")))?;
        if number.checked_mul(RECORD) != Some(records.len()) {
            let problem = format!("{} bytes of records; {count} records have {RECORD} bytes each", records.len());
            return Err(Error::corrupt(WHAT, problem));
        }
        let damaged = || Error::corrupt(WHAT, "a record is cut off");
        let chunks = records.chunks_exact(RECORD).map(|record| parse_record(record).ok_or_else(damaged));
        let index = Self(chunks.collect::<Result<_>>()?);
        index.check().map_err(|problem| Error::corrupt(WHAT, problem))?;
        Ok(index)
    }

    /// The bytes of this index.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len().saturating_mul(RECORD).saturating_add(HEADER));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(self.0.len()).unwrap_or(u32::MAX).to_le_bytes()); // OK: checked in new
        for chunk in &self.0 {
            bytes.extend_from_slice(&chunk.offset.0.to_le_bytes());
            bytes.extend_from_slice(&chunk.length.to_le_bytes());
            bytes.extend_from_slice(&chunk.frame_offset.0.to_le_bytes());
            bytes.extend_from_slice(&chunk.frame_length.to_le_bytes());
            bytes.extend_from_slice(&chunk.digest.0);
            bytes.extend_from_slice(&chunk.frame_digest.0);
        }
        bytes
    }

    /// The chunks, ascending.
    pub fn chunks(&self) -> &[Chunk] {
        &self.0
    }

    /// Length of the slot image.
    pub fn image_size(&self) -> Bytes {
        self.0.last().map_or(Bytes(0), |last| Bytes(last.offset.0.saturating_add(u64::from(last.length))))
    }

    /// Length of `image.zst`.
    pub fn frames_size(&self) -> Bytes {
        self.0.last().map_or(Bytes(0), |last| Bytes(last.frame_offset.0.saturating_add(u64::from(last.frame_length))))
    }

    /// Whether this index describes exactly an image of this size inside this member.
    pub fn check_covers(&self, image: Bytes, frames: Member) -> Result<()> {
        if self.image_size() != image {
            let ends = self.image_size();
            return Err(Error::corrupt(WHAT, format!("its chunks end at {} of an image of {} bytes", ends.0, image.0)));
        }
        if self.frames_size() != frames.size {
            let (ends, size) = (self.frames_size().0, frames.size.0);
            return Err(Error::corrupt(WHAT, format!("its frames end at {ends} of the {size} bytes of image.zst")));
        }
        Ok(())
    }

    fn check(&self) -> std::result::Result<(), String> {
        let (mut offset, mut frame_offset) = (0_u64, 0_u64);
        let last = self.0.len().saturating_sub(1);
        for (number, chunk) in self.0.iter().enumerate() {
            let Chunk { length, frame_length, .. } = *chunk;
            if length == 0 || !usize::try_from(length).is_ok_and(|length| length <= MAX_CHUNK) {
                return Err(format!("chunk {number} has {length} bytes; 1 to {MAX_CHUNK} are allowed"));
            }
            if !length.is_multiple_of(ALIGNMENT) && number != last {
                return Err(format!("chunk {number} has {length} bytes, not a multiple of {ALIGNMENT}"));
            }
            if frame_length == 0 || frame_length > frame_bound(length) {
                let bound = frame_bound(length);
                return Err(format!("the frame of chunk {number} has {frame_length} bytes; 1 to {bound} are possible"));
            }
            if chunk.offset.0 != offset {
                let fault = if chunk.offset.0 < offset { "overlaps the one before" } else { "leaves a gap" };
                return Err(format!("chunk {number} at {} {fault}; it must begin at {offset}", chunk.offset.0));
            }
            if chunk.frame_offset.0 != frame_offset {
                let begins = chunk.frame_offset.0;
                return Err(format!("the frame of chunk {number} is at {begins}; it must begin at {frame_offset}"));
            }
            let too_long = || "its lengths are beyond 64 bits".to_owned();
            offset = offset.checked_add(length.into()).ok_or_else(too_long)?;
            frame_offset = frame_offset.checked_add(frame_length.into()).ok_or_else(too_long)?;
        }
        Ok(())
    }
}

/// The longest frame zstd makes of this many bytes (`ZSTD_COMPRESSBOUND`, rounded up).
pub const fn frame_bound(length: u32) -> u32 {
    length.saturating_add(length >> 8).saturating_add(64)
}

/// An index as an attacker would write it.
#[cfg(test)]
pub(super) const fn unchecked(chunks: Vec<Chunk>) -> ChunkIndex {
    ChunkIndex(chunks)
}

fn parse_record(record: &[u8]) -> Option<Chunk> {
    Some(Chunk {
        offset: Bytes(le::u64_at(record, 0)?),
        length: le::u32_at(record, 8)?,
        frame_offset: Bytes(le::u64_at(record, 12)?),
        frame_length: le::u32_at(record, 20)?,
        digest: Digest(le::bytes_at(record, 24)?),
        frame_digest: Digest(le::bytes_at(record, 56)?),
    })
}

const WHAT: &str = "chunk index";
const MAGIC: &[u8; 16] = b"bulkhead-chunks\0";
const VERSION: u32 = 1;
const HEADER: usize = 24;
const RECORD: usize = 88;
const ALIGNMENT: u32 = 4096;
