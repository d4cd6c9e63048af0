//! Where the bytes of a release come from: a package, once it is opened and its signatures are checked.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use formats::Bytes;
use formats::package::{self, Image, Package};
use formats::signature::VerifiedManifest;
use formats::trust::{Role, TrustStore};

use crate::error::{At, Doing, Error, Result};

/// A release being read, once, from front to back.
pub trait Source {
    /// The exact bytes of its manifest.
    fn manifest(&self) -> &[u8];
    /// Its signature set.
    fn signatures(&self) -> &[u8];
    /// The next piece of the slot image into `piece`, at least one block long and a multiple of 4096 bytes, checked against the
    /// package's signed index. False at the end of the image.
    fn next_piece(&mut self, piece: &mut Vec<u8>) -> Result<bool>;
}

/// A package file, whose signatures and small members are checked and of whose image nothing is read yet.
pub struct PackageFile {
    /// The manifest.
    pub verified: VerifiedManifest,
    /// What is new, in the words of its makers.
    pub notes: String,
    manifest: Vec<u8>,
    signatures: Vec<u8>,
    image: Image<BufReader<File>>,
    name: String,
}

impl PackageFile {
    /// Opens a base or site package. Whatever is wrong with it in front of the image, its length included, is found here, before a
    /// byte of a slot changes.
    pub fn open(path: &Path, trust: &TrustStore) -> Result<Self> {
        let name = format!("package \"{}\"", path.display());
        let file = File::open(path).doing(|| format!("open {name}"))?;
        let length = Bytes(file.metadata().doing(|| format!("measure {name}"))?.len());
        let package = Package::open(BufReader::new(file), trust, &[Role::Base, Role::Site]).map_err(bad(&name))?;
        package.check_length(length).at(|| name.clone())?;
        let verified = package.verified().clone();
        let (manifest, signatures) = (package.manifest_bytes().to_vec(), package.signature_bytes().to_vec());
        let details = package.details().map_err(bad(&name))?;
        let notes = details.documents().notes.clone();
        let image = details.image().map_err(bad(&name))?;
        Ok(Self { verified, notes, manifest, signatures, image, name })
    }
}

impl Source for PackageFile {
    fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    fn signatures(&self) -> &[u8] {
        &self.signatures
    }

    fn next_piece(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        piece.clear();
        let chunk = self.image.next_chunk().map_err(bad(&self.name))?;
        Ok(chunk.is_some_and(|chunk| {
            piece.extend_from_slice(chunk.bytes);
            true
        }))
    }
}

/// Sorts what is wrong with a package by who must act.
fn bad(name: &str) -> impl Fn(package::Error) -> Error + use<> {
    let name = name.to_owned();
    move |problem| match problem {
        package::Error::Io(cause) => Error::System { action: format!("read {name}"), cause },
        package::Error::Format(cause) => Error::Content { place: name.clone(), cause },
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

    fn next_piece(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        let rest = self.image.get(self.position..).unwrap_or_default();
        let next = rest.get(..self.piece).unwrap_or(rest);
        piece.clear();
        piece.extend_from_slice(next);
        self.position = self.position.saturating_add(next.len());
        Ok(!piece.is_empty())
    }
}
