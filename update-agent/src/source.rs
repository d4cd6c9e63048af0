//! Where the bytes of a release come from: a package, once it is opened and its signatures are checked.

use std::fs::File;
use std::path::Path;

use formats::signature::VerifiedManifest;
use formats::trust::TrustStore;
use formats::{Bytes, Digest};

use crate::error::{Doing, Error, Result};
use crate::named_file;
use crate::reader::{Delivery, Patient, Process, Program};

/// A release being read, once, from front to back. Its pieces are made in another thread than the one that writes them.
pub trait Source: Send {
    /// The exact bytes of its manifest.
    fn manifest(&self) -> &[u8];
    /// Its signature set.
    fn signatures(&self) -> &[u8];
    /// The next piece of the slot image into `piece`, at least one block long and a multiple of 4096 bytes, checked against the
    /// package's signed index. Returns its digest in that index; nothing at the end of the image.
    fn next_piece(&mut self, piece: &mut Vec<u8>) -> Result<Option<Digest>>;
}

/// A package file, read by a process that may do nothing else. It was checked once to its end, and is checked again while it is used,
/// because a file can change.
pub struct PackageFile {
    delivery: Delivery<Patient>,
    reader: Process,
}

impl PackageFile {
    /// Opens a base or site package and checks all of it: signatures, every member, every frame of the image, the length of the file.
    /// Whatever is wrong with it is found here, before a byte of a slot or of the boot state changes. Left to the second pass is
    /// what only shows once a frame is decompressed; a frame that lies about itself was signed so.
    pub fn open(path: &Path, trust: &TrustStore, program: &Program) -> Result<Self> {
        let name = format!("package \"{}\"", path.display());
        let file = named_file::open(path, &name)?;
        Self::read(file, &name, trust, program)
    }

    /// The same with a file that is open, at its beginning.
    pub fn read(file: File, name: &str, trust: &TrustStore, program: &Program) -> Result<Self> {
        Self::with(file, name, program, |stream, length| Delivery::open(stream, trust, length, name))
    }

    /// Checks signatures, length and small members only: enough to say what it is and what its makers say about it.
    pub fn glance(file: File, name: &str, trust: &TrustStore, program: &Program) -> Result<Self> {
        Self::with(file, name, program, |stream, length| Delivery::glance(stream, trust, length, name))
    }

    fn with(
        file: File,
        name: &str,
        program: &Program,
        open: impl FnOnce(Patient, Bytes) -> Result<Delivery<Patient>>,
    ) -> Result<Self> {
        let length = Bytes(file.metadata().doing(|| format!("measure {name}"))?.len());
        let (mut reader, stream) = program.start(file)?;
        match open(stream, length) {
            Ok(delivery) => Ok(Self { delivery, reader }),
            Err(problem) => Err(explained(problem, &mut reader)),
        }
    }

    /// The manifest and who signed it.
    pub const fn verified(&self) -> &VerifiedManifest {
        &self.delivery.verified
    }

    /// What is new, in the words of its makers.
    pub fn notes(&self) -> &str {
        &self.delivery.notes
    }

    /// Licence terms.
    pub fn eula(&self) -> Option<&str> {
        self.delivery.eula.as_deref()
    }

    /// What the reading process could not give away of its rights, a sentence each; none on an appliance.
    pub fn unconfined(&self) -> impl Iterator<Item = String> {
        let kept = self.delivery.unconfined.iter();
        kept.map(|kept| format!("the process that reads the package is not confined as on an appliance: {kept}"))
    }
}

impl Source for PackageFile {
    fn manifest(&self) -> &[u8] {
        self.delivery.manifest()
    }

    fn signatures(&self) -> &[u8] {
        self.delivery.signatures()
    }

    fn next_piece(&mut self, piece: &mut Vec<u8>) -> Result<Option<Digest>> {
        self.delivery.next_piece(piece).map_err(|problem| explained(problem, &mut self.reader))
    }
}

/// Adds how the reader ended to what it did.
fn explained(problem: Error, reader: &mut Process) -> Error {
    match problem {
        Error::Reader(what) => Error::Reader(match reader.stop() {
            Some(how) => format!("{what} ({how})"),
            None => what,
        }),
        other => other,
    }
}

/// A release in memory, for tests.
#[derive(Debug, Clone)]
pub struct InMemory {
    /// Manifest.
    pub manifest: Vec<u8>,
    /// Signatures.
    pub signatures: Vec<u8>,
    /// Image.
    pub image: Vec<u8>,
    /// Bytes in a piece.
    pub piece: usize,
    /// Bytes handed out so far.
    pub position: usize,
}

impl Source for InMemory {
    fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    fn signatures(&self) -> &[u8] {
        &self.signatures
    }

    fn next_piece(&mut self, piece: &mut Vec<u8>) -> Result<Option<Digest>> {
        let rest = self.image.get(self.position..).unwrap_or_default();
        let next = rest.get(..self.piece).unwrap_or(rest);
        piece.clear();
        piece.extend_from_slice(next);
        self.position = self.position.saturating_add(next.len());
        Ok((!piece.is_empty()).then(|| Digest::of(piece)))
    }
}
