//! Reading a package in one pass, from anybody.
//!
//! Known attacks and our defence, each with a test of the same number in `hostile_tests.rs`:
//!
//! 1. An unsigned or wrongly signed manifest: it is verified before anything behind it is read, and before it is parsed.
//! 2. Names: members are known by exact names; paths, upper case and the unknown are refused.
//! 3. Order, duplicates, missing members: there is one order; every member comes once.
//! 4. Sizes: each member has a named limit, and from the third on exactly the signed length; none is allocated for beforehand.
//! 5. Huge lengths in headers or in the manifest: refused before a byte of them is read.
//! 6. Trailing data behind the last member, in paddings, behind the archive: refused.
//! 7. Pax and GNU headers, links, devices, directories: only plain files; a header is canonical in every bit.
//! 8. A wrong checksum in a header: refused.
//! 9. A truncated archive: refused wherever it is cut, and never taken for its end.
//! 10. A swapped or changed member: its digest is checked before it is handed out.
//! 11. Text that steers a console: notes and licence terms are UTF-8 without control characters.
//! 12. Chunk records that overlap, leave gaps, go backwards, or do not cover image and member: the index is refused whole.
//! 13. A bomb, a frame that makes more or less than its record: decompressed into a buffer of the recorded length.
//! 14. Frames nobody signed: a frame's digest is checked before the decompressor sees it.
//! 15. Two frames, skippable frames or rubbish inside one record: a record is exactly one frame.
//! 16. A member that does not match its signed digest although each chunk does: refused at the end.
//!
//! Chunks are handed out before the end is seen: a writer makes a slot valid only after [`Image::next_chunk`] returned `None`. When
//! the length of the file is known, [`Package::check_length`] finds cut and extended files before anything is written.

use std::io::Read;

use sha2::{Digest as _, Sha256};

use super::chunks::{Chunk, ChunkIndex};
use super::image::Decoder;
use super::members::{Members, check_digest};
use super::verify::verify;
use super::{IMAGE, MANIFEST, Result, SIGNATURES, check_members};
use crate::manifest::{Manifest, Member};
use crate::signature::{SignatureSet, VerifiedManifest};
use crate::trust::{Role, TrustStore};
use crate::{Bytes, Digest};

/// Manifest and signatures of a package as they arrived: nobody has judged them, and nothing of them is parsed.
#[derive(Debug)]
pub struct Unverified<R> {
    input: Members<R>,
    manifest: Vec<u8>,
    signatures: Vec<u8>,
}

/// A package whose manifest is verified and of which nothing else has been read.
#[derive(Debug)]
pub struct Package<R> {
    input: Members<R>,
    verified: VerifiedManifest,
    manifest: Vec<u8>,
    signatures: Vec<u8>,
}

/// The members in front of the image, each with the digest its manifest lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    /// Release notes. Markdown without control characters, but otherwise whatever its author wrote.
    pub notes: String,
    /// Licence terms.
    pub eula: Option<String>,
    /// The bill of materials; a licence package has none.
    pub sbom: Option<Vec<u8>>,
    /// The chunks of the image, covering it exactly; empty for a licence package.
    pub index: ChunkIndex,
}

/// A package whose small members are read and checked.
#[derive(Debug)]
pub struct Details<R> {
    package: Package<R>,
    documents: Documents,
}

/// What a package says about itself, **not verified**: to be shown, never to be acted on. See [`peek`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// What it claims to be.
    pub manifest: Manifest,
    /// The exact bytes of the manifest.
    pub manifest_bytes: Vec<u8>,
    /// The keys said to have signed it.
    pub signatures: SignatureSet,
    /// Its documents.
    pub documents: Documents,
}

/// The slot image of a package, chunk by chunk.
#[derive(Debug)]
pub struct Image<R> {
    pub(super) input: Members<R>,
    index: ChunkIndex,
    pub(super) next: usize,
    expected: Option<Member>,
    /// Over the member as far as it was read; nothing once the whole member was found to be the signed one.
    hasher: Option<Sha256>,
    pub(super) frame: Vec<u8>,
    decoder: Decoder,
    done: bool,
}

/// A verified piece of the slot image.
#[derive(Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// Where it belongs in the slot, from its first byte.
    pub offset: Bytes,
    /// What belongs there, at most [`MAX_CHUNK`](super::MAX_CHUNK) bytes.
    pub bytes: &'a [u8],
}

impl<R: Read> Package<R> {
    /// Reads manifest and signatures and verifies them for one of `roles`. Nothing behind them is read.
    pub fn open(input: R, trust: &TrustStore, roles: &[Role]) -> Result<Self> {
        Unverified::read(input)?.verify(trust, roles)
    }
}

impl<R: Read> Unverified<R> {
    /// Reads manifest and signatures, each up to its limit, and nothing behind them.
    pub fn read(input: R) -> Result<Self> {
        let mut input = Members { input };
        let manifest = input.read_small(MANIFEST, None)?;
        let signatures = input.read_small(SIGNATURES, None)?;
        Ok(Self { input, manifest, signatures })
    }

    /// The bytes said to be the manifest.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest
    }

    /// The bytes said to be its signatures.
    pub fn signature_bytes(&self) -> &[u8] {
        &self.signatures
    }

    /// Verifies them, see [`verify`].
    pub fn verify(self, trust: &TrustStore, roles: &[Role]) -> Result<Package<R>> {
        let verified = verify(&self.manifest, &self.signatures, trust, roles)?;
        Ok(Package { input: self.input, verified, manifest: self.manifest, signatures: self.signatures })
    }
}

impl<R> Package<R> {
    /// The manifest and who signed it.
    pub const fn verified(&self) -> &VerifiedManifest {
        &self.verified
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Manifest {
        self.verified.manifest()
    }

    /// The exact bytes of the manifest, for the slot's footer.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest
    }

    /// The exact bytes of the signature set, for the slot's footer.
    pub fn signature_bytes(&self) -> &[u8] {
        &self.signatures
    }

    /// The length the whole archive must have.
    pub fn archive_size(&self) -> Bytes {
        super::archive_size(super::length(&self.manifest), super::length(&self.signatures), self.manifest())
    }

    /// Compares the length of the file with what the manifest implies, before more of it is read.
    pub fn check_length(&self, actual: Bytes) -> crate::Result<()> {
        super::check_archive_size(
            super::length(&self.manifest),
            super::length(&self.signatures),
            self.manifest(),
            actual,
        )
    }
}

impl<R: Read> Package<R> {
    /// Reads every member in front of the image and checks it against the manifest.
    pub fn details(mut self) -> Result<Details<R>> {
        let documents = self.input.documents(self.verified.manifest())?;
        Ok(Details { package: self, documents })
    }
}

/// The manifest without asking who signed it, for people who want to look.
pub fn peek_manifest(input: impl Read) -> Result<Manifest> {
    Ok(Manifest::parse(&Members { input }.read_small(MANIFEST, None)?)?)
}

/// Reads everything in front of the image without asking who signed it, for people who want to look.
pub fn peek(input: impl Read) -> Result<Claims> {
    let mut input = Members { input };
    let manifest_bytes = input.read_small(MANIFEST, None)?;
    let signatures = SignatureSet::parse(&input.read_small(SIGNATURES, None)?)?;
    let manifest = Manifest::parse(&manifest_bytes)?;
    check_members(&manifest)?;
    let documents = input.documents(&manifest)?;
    Ok(Claims { manifest, manifest_bytes, signatures, documents })
}

impl<R> Details<R> {
    /// The package: manifest, signers, exact bytes.
    pub const fn package(&self) -> &Package<R> {
        &self.package
    }

    /// What was in front of the image.
    pub const fn documents(&self) -> &Documents {
        &self.documents
    }
}

impl<R: Read> Details<R> {
    /// Goes on to the image. A licence package has none: its first chunk is `None` once the end of the archive is seen.
    pub fn image(mut self) -> Result<Image<R>> {
        let expected = self.package.manifest().members.get(IMAGE).copied();
        if let Some(member) = expected {
            self.package.input.header(IMAGE, Some(member.size))?;
        }
        let decoder = Decoder::new().map_err(super::Error::Io)?;
        Ok(Image {
            input: self.package.input,
            index: self.documents.index,
            next: 0,
            expected,
            hasher: Some(Sha256::new()),
            frame: Vec::new(),
            decoder,
            done: false,
        })
    }
}

impl<R: Read> Image<R> {
    /// The next piece of the image, ascending and without gaps. `None`: all of it was handed out and the archive ended as it must;
    /// only then the package as a whole is verified.
    pub fn next_chunk(&mut self) -> Result<Option<Data<'_>>> {
        let Some(chunk) = self.next_or_end()? else { return Ok(None) };
        let bytes = self.decoder.decode(&chunk, &self.frame)?;
        Ok(Some(Data { offset: chunk.offset, bytes }))
    }

    /// The same without comparing the content with its digest: for a reader whose listener does that, because he believes nobody.
    pub fn next_content(&mut self) -> Result<Option<Data<'_>>> {
        let Some(chunk) = self.next_or_end()? else { return Ok(None) };
        let bytes = self.decoder.unpack(&chunk, &self.frame)?;
        Ok(Some(Data { offset: chunk.offset, bytes }))
    }

    /// The next frame, unchecked, in `frame`, or what must follow the last one.
    fn next_or_end(&mut self) -> Result<Option<Chunk>> {
        let chunk = self.next_frame()?;
        if chunk.is_none() && !self.done {
            self.end()?;
            self.done = true;
        }
        Ok(chunk)
    }

    /// Reads the next frame, unchecked, into `frame`.
    pub(super) fn next_frame(&mut self) -> Result<Option<Chunk>> {
        let Some(chunk) = self.index.chunks().get(self.next).copied() else { return Ok(None) };
        let length = usize::try_from(chunk.frame_length).unwrap_or(usize::MAX); // OK: bounded by the index
        self.frame.resize(length, 0);
        self.input.fill(&mut self.frame)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&self.frame);
        }
        self.next = self.next.saturating_add(1);
        Ok(Some(chunk))
    }

    /// What must follow the last frame, and nothing behind it.
    pub(super) fn end(&mut self) -> Result<()> {
        if let Some(member) = self.expected {
            if let Some(hasher) = self.hasher.take() {
                check_digest(IMAGE, Digest(hasher.finalize().into()), member)?;
            }
            self.input.padding(member.size)?;
        }
        self.input.end()
    }
}
