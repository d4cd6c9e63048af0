//! The receiving end: a release from frames nobody vouches for.

use std::io::{self, Read, Write};

use formats::Bytes;
use formats::Digest;
use formats::manifest::Manifest;
use formats::package::{self, Chunk, ChunkIndex};
use formats::signature::VerifiedManifest;
use formats::trust::{Role, TrustStore};

use super::frame::{self, Kind};
use crate::error::{At, Error, Result};
use crate::source::Source;

/// A release handed over by a reader. Nothing it gives out is unverified.
pub struct Delivery<S> {
    stream: S,
    name: String,
    /// What the reader could not give away, a sentence each.
    pub unconfined: Vec<String>,
    /// The manifest and who signed it.
    pub verified: VerifiedManifest,
    /// What is new, in the words of its makers.
    pub notes: String,
    /// Licence terms.
    pub eula: Option<String>,
    manifest: Vec<u8>,
    signatures: Vec<u8>,
    index: std::vec::IntoIter<Chunk>,
    /// Signs of the first pass that have not come yet.
    unchecked: usize,
    ended: bool,
}

impl<S: Read + Write> Delivery<S> {
    /// Receives everything in front of the image of the package `name`, which is `length` long, and waits until the reader has checked the
    /// rest. Whatever an honest reader finds wrong is found here, before a byte of a slot changes.
    pub fn open(stream: S, trust: &TrustStore, length: Bytes, name: &str) -> Result<Self> {
        let mut delivery = Self::glance(stream, trust, length, name)?;
        delivery.check()?;
        Ok(delivery)
    }

    /// The same without waiting: good for whoever only wants to know what it is.
    pub fn glance(mut stream: S, trust: &TrustStore, length: Bytes, name: &str) -> Result<Self> {
        let next = |stream: &mut S, kind: Kind| {
            let mut content = Vec::new();
            frame::receive(stream, &[kind], &mut content).map(|_| content).map_err(|problem| sorted(problem, name))
        };
        let unconfined = lines(&next(&mut stream, Kind::Confined)?);
        let manifest = next(&mut stream, Kind::Manifest)?;
        let signatures = next(&mut stream, Kind::Signatures)?;
        let verified = package::verify(&manifest, &signatures, trust, &[Role::Base, Role::Site, Role::Licence]);
        let verified = verified.at(|| name.to_owned())?;
        let said = verified.manifest();
        check_length(said, manifest.len(), signatures.len(), length).at(|| name.to_owned())?;
        let trust = trust.encode().at(|| "the trust store".into())?;
        frame::send(&mut stream, Kind::Trust, &trust).map_err(|cause| sorted(cause.into(), name))?;

        let notes = text(package::NOTES, next(&mut stream, Kind::Notes)?, said, name)?.unwrap_or_default();
        let eula = text(package::EULA, next(&mut stream, Kind::Eula)?, said, name)?;
        let index = next(&mut stream, Kind::Index)?;
        let index = if said.members.contains_key(package::CHUNKS) {
            check_digest(package::CHUNKS, &index, said)?;
            ChunkIndex::parse(&index).at(|| name.to_owned())?
        } else {
            // A licence has no image; what a reader says about one is not even looked at.
            ChunkIndex::default()
        };
        if let (Some(image), Some(frames)) = (&said.image, said.members.get(package::IMAGE)) {
            index.check_covers(image.size, *frames).at(|| name.to_owned())?;
        }
        let unchecked = index.chunks().len().saturating_add(1);
        let index = index.chunks().to_vec().into_iter();
        Ok(Self {
            stream,
            name: name.into(),
            unconfined,
            verified,
            notes,
            eula,
            manifest,
            signatures,
            index,
            unchecked,
            ended: false,
        })
    }
}

impl<S: Read> Delivery<S> {
    /// Waits until the reader has checked the package to its end.
    fn check(&mut self) -> Result<()> {
        let mut nothing = Vec::new();
        while self.unchecked > 0 {
            let received = frame::receive(&mut self.stream, &[Kind::Checked], &mut nothing);
            received.map_err(|problem| sorted(problem, &self.name))?;
            self.unchecked = self.unchecked.saturating_sub(1);
        }
        Ok(())
    }

    /// A frame of the second pass.
    fn receive(&mut self, kind: Kind, content: &mut Vec<u8>) -> Result<()> {
        let received = frame::receive(&mut self.stream, &[kind], content);
        received.map(drop).map_err(|problem| changed(sorted(problem, &self.name)))
    }
}

impl<S: Read + Write + Send> Source for Delivery<S> {
    fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    fn signatures(&self) -> &[u8] {
        &self.signatures
    }

    fn next_piece(&mut self, piece: &mut Vec<u8>) -> Result<Option<Digest>> {
        self.check()?;
        let Some(chunk) = self.index.next() else {
            piece.clear();
            if !self.ended {
                self.receive(Kind::End, piece)?;
                self.ended = true;
            }
            return Ok(None);
        };
        self.receive(Kind::Piece, piece)?;
        if u64::from(chunk.length) != piece.len() as u64 || Digest::of(piece) != chunk.digest {
            return Err(not_signed(&format!("the piece of {} bytes at {}", piece.len(), chunk.offset.0)));
        }
        Ok(Some(chunk.digest))
    }
}

/// The lines of a text, each safe to print.
fn lines(text: &[u8]) -> Vec<String> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(frame::printable).collect()
}

/// What it means when the second pass finds what the first one did not.
fn changed(problem: Error) -> Error {
    use formats::Damage::{DigestMismatch, TrailingData, Truncated};
    match problem {
        Error::Content {
            place,
            cause: cause @ formats::Error::Corrupt { why: DigestMismatch | TrailingData | Truncated, .. },
        } => Error::Changed { place, cause },
        other => other,
    }
}

fn check_length(manifest: &Manifest, length: usize, signatures: usize, actual: Bytes) -> formats::Result<()> {
    package::check_archive_size(Bytes(length as u64), Bytes(signatures as u64), manifest, actual)
}

/// A text member: exactly the signed one, and nothing where the manifest lists none.
fn text(member: &'static str, bytes: Vec<u8>, manifest: &Manifest, name: &str) -> Result<Option<String>> {
    if !manifest.members.contains_key(member) && bytes.is_empty() {
        return Ok(None);
    }
    check_digest(member, &bytes, manifest)?;
    package::check_text(member, bytes).at(|| name.to_owned()).map(Some)
}

fn check_digest(member: &'static str, bytes: &[u8], manifest: &Manifest) -> Result<()> {
    let signed = manifest.members.get(member).is_some_and(|signed| signed.digest == Digest::of(bytes));
    if signed { Ok(()) } else { Err(not_signed(&format!("\"{member}\""))) }
}

fn not_signed(what: &str) -> Error {
    Error::Reader(format!("it handed out {what}, which is not what was signed"))
}

/// Sorts what went wrong by who must act.
fn sorted(problem: frame::Error, name: &str) -> Error {
    match problem {
        frame::Error::Problem(problem) => bad(name, problem),
        frame::Error::Protocol(problem) => Error::Reader(format!("it sent {problem}")),
        frame::Error::Io(cause) => Error::Reader(match cause.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                "it ended in the middle".into()
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it was silent for too long and was stopped".into(),
            _ => cause.to_string(),
        }),
    }
}

fn bad(name: &str, problem: package::Error) -> Error {
    match problem {
        package::Error::Io(cause) => Error::System { action: format!("read {name}"), cause },
        package::Error::Format(cause) => Error::Content { place: name.to_owned(), cause },
    }
}
