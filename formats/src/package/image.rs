//! Chunks of a slot image to zstd frames and back.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};
use zstd::zstd_safe;

use super::chunks::{Chunk, ChunkIndex, MAX_CHUNK};
use crate::error::Damage;
use crate::manifest::Member;
use crate::{Bytes, Digest, Error, Result};

/// Takes frames apart, each into the one chunk it must be. Needs one chunk of memory and no window: a frame is decompressed in one
/// step into a buffer of the chunk's length, so it cannot make more.
pub struct Decoder {
    zstd: zstd::bulk::Decompressor<'static>,
    content: Vec<u8>,
}

impl Decoder {
    /// A decoder. `Err` only when there is no memory for one.
    pub fn new() -> io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Decompressor::new()?, content: vec![0; MAX_CHUNK] })
    }

    /// The content of `frame`, which must be the frame of `chunk`, wherever it came from: the frame's digest is checked before it is
    /// decompressed, the content's digest before it is returned.
    pub fn decode(&mut self, chunk: &Chunk, frame: &[u8]) -> Result<&[u8]> {
        let content = self.unpack(chunk, frame)?;
        if Digest::of(content) != chunk.digest {
            // Signed so: the index contradicts itself.
            return Err(wrong(chunk, Damage::Malformed, "its content does not match its digest"));
        }
        Ok(content)
    }

    /// The same without looking at the content's digest.
    pub(super) fn unpack(&mut self, chunk: &Chunk, frame: &[u8]) -> Result<&[u8]> {
        check_frame(chunk, frame)?;
        let length = chunk.length;
        let bomb = |problem: String| wrong(chunk, Damage::TooLong, &problem);
        let content = usize::try_from(length).ok().and_then(|length| self.content.get_mut(..length));
        let content = content.ok_or_else(|| bomb(format!("{length} bytes are more than a chunk may have")))?;
        match self.zstd.decompress_to_buffer(frame, content) {
            Ok(written) if written == content.len() => {}
            Ok(written) => return Err(bomb(format!("its frame has {written} bytes instead of {length}"))),
            Err(_) => return Err(bomb(format!("its frame does not decompress to {length} bytes"))),
        }
        Ok(content)
    }
}

/// Everything that can be said about a frame without decompressing it: it has its digest, is exactly one frame, and states the length
/// of its chunk.
pub(super) fn check_frame(chunk: &Chunk, frame: &[u8]) -> Result<()> {
    if Digest::of(frame) != chunk.frame_digest {
        return Err(wrong(chunk, Damage::DigestMismatch, "its frame does not match its digest"));
    }
    let whole = zstd_safe::find_frame_compressed_size(frame).is_ok_and(|size| size == frame.len());
    if !whole || !frame.starts_with(&ZSTD_MAGIC) {
        return Err(wrong(chunk, Damage::Malformed, "its data is not exactly one zstd frame"));
    }
    let length = chunk.length;
    match zstd_safe::get_frame_content_size(frame) {
        Ok(Some(size)) if size == u64::from(length) => Ok(()),
        _ => {
            let problem = format!("its frame does not state the {length} bytes it must have");
            Err(wrong(chunk, Damage::TooLong, &problem))
        }
    }
}

fn wrong(chunk: &Chunk, why: Damage, problem: &str) -> Error {
    Error::damaged(WHAT, why, format!("chunk at {}: {problem}", chunk.offset.0))
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

/// One chunk as a zstd frame, ready to take its place in `image.zst`.
#[derive(Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    length: u32,
    digest: Digest,
    own_digest: Digest,
}

/// Compresses chunks. Frames do not depend on one another: several of these may share the work and the result stays the same.
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// `level` is zstd's, 1 to 22.
    pub fn new(level: i32) -> io::Result<Self> {
        Ok(Self(zstd::bulk::Compressor::new(level)?))
    }

    /// The frame of a chunk of 1 to [`MAX_CHUNK`] bytes; [`ImageEncoder::finish`] refuses others.
    pub fn compress(&mut self, content: &[u8]) -> io::Result<Frame> {
        let bytes = self.0.compress(content)?;
        let length = u32::try_from(content.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(Frame { own_digest: Digest::of(&bytes), bytes, length, digest: Digest::of(content) })
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// Makes `image.zst` and its index from the frames of an image, in order. The same chunks and level give the same bytes with the
/// same version of zstd.
pub struct ImageEncoder<W> {
    output: W,
    chunks: Vec<Chunk>,
    offset: u64,
    written: u64,
    hasher: Sha256,
}

impl<W: Write> ImageEncoder<W> {
    /// Frames go to `output`.
    pub fn new(output: W) -> Self {
        Self { output, chunks: Vec::new(), offset: 0, written: 0, hasher: Sha256::new() }
    }

    /// The next frame.
    pub fn push(&mut self, frame: &Frame) -> io::Result<()> {
        self.output.write_all(&frame.bytes)?;
        self.hasher.update(&frame.bytes);
        let frame_length =
            u32::try_from(frame.bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let chunk = Chunk {
            offset: Bytes(self.offset),
            length: frame.length,
            frame_offset: Bytes(self.written),
            frame_length,
            digest: frame.digest,
            frame_digest: frame.own_digest,
        };
        self.offset = self.offset.saturating_add(chunk.length.into());
        self.written = self.written.saturating_add(chunk.frame_length.into());
        self.chunks.push(chunk);
        Ok(())
    }

    /// The output, the index, and what the manifest says about `image.zst`.
    pub fn finish(self) -> Result<(W, ChunkIndex, Member)> {
        let index = ChunkIndex::new(self.chunks)?;
        let member = Member { size: Bytes(self.written), digest: Digest(self.hasher.finalize().into()) };
        Ok((self.output, index, member))
    }
}

impl<W> std::fmt::Debug for ImageEncoder<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageEncoder").field("offset", &self.offset).finish_non_exhaustive()
    }
}

const WHAT: &str = "package image";
/// RFC 8878, section 3.1.1: not a skippable frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
