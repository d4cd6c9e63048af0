use std::collections::BTreeMap;
use std::io::Read;

use ed25519_dalek::SigningKey;

use super::*;
use crate::Digest;
use crate::manifest::tests::sample;
use crate::manifest::{ImageInfo, Member};
use crate::trust::{Role, TrustStore, TrustedKey};
use crate::verity::Parameters;

pub(super) fn key(role: Role) -> SigningKey {
    SigningKey::from_bytes(&[role as u8 + 1; 32])
}

pub(super) fn trust() -> TrustStore {
    let roles = [Role::Base, Role::Site, Role::Licence];
    let trusted = |role| TrustedKey {
        role,
        public: key(role).verifying_key(),
        development: false,
        expires: None,
        name: format!("{role} key"),
    };
    TrustStore::new("demo", roles.map(trusted).into(), BTreeMap::from(roles.map(|role| (role, 1))), false).unwrap()
}

pub(super) const ROLES: [Role; 3] = [Role::Base, Role::Site, Role::Licence];

/// A package in parts, so that a test can change any of them before it is put together.
#[derive(Clone)]
pub(super) struct Parts {
    pub manifest: Manifest,
    pub image: Vec<u8>,
    /// Every member behind the signatures, in order.
    pub members: Vec<(String, Vec<u8>)>,
}

impl Parts {
    /// An image of more than one chunk, one of them all zeros.
    pub fn new(kind: Kind) -> Self {
        let mut manifest = sample(kind);
        let params = Parameters { data_blocks: 600, salt: [0xab; 32], uuid: crate::Guid::new(7) };
        manifest.image = (kind != Kind::Licence).then(|| ImageInfo::new(&params, Digest([0x11; 32])).unwrap());
        let size = manifest.image.as_ref().map_or(0, |image| index(image.size));
        let mut image: Vec<u8> = (0..size).map(|at| (at / 7 % 251).to_le_bytes()[0]).collect();
        if let Some(second) = image.get_mut(MAX_CHUNK..2 * MAX_CHUNK) {
            second.fill(0);
        }
        let mut members = vec![(NOTES.to_owned(), b"demo 2.1.0: **better**\n".to_vec())];
        if kind == Kind::Site {
            members.push((EULA.to_owned(), b"You agree.\n".to_vec()));
        }
        if kind != Kind::Licence {
            let (frames, index) = frames(&image);
            members.push((SBOM.to_owned(), br#"{"bomFormat":"CycloneDX"}"#.to_vec()));
            members.push((CHUNKS.to_owned(), index.encode()));
            members.push((IMAGE.to_owned(), frames));
        }
        let mut parts = Self { manifest, image, members };
        parts.list();
        parts
    }

    /// Replaces a member without touching the manifest.
    pub fn with(mut self, name: &str, content: &[u8]) -> Self {
        self.members.iter_mut().find(|(other, _)| other == name).unwrap().1 = content.to_vec();
        self
    }

    /// Lists the members in the manifest as they are now.
    pub fn list(&mut self) {
        let member = |bytes: &[u8]| Member { size: length(bytes), digest: Digest::of(bytes) };
        self.manifest.members = self.members.iter().map(|(name, bytes)| (name.clone(), member(bytes))).collect();
    }

    pub fn listed(mut self) -> Self {
        self.list();
        self
    }

    pub fn member(&self, name: &str) -> &[u8] {
        &self.members.iter().find(|(other, _)| other == name).unwrap().1
    }

    pub fn manifest_bytes(&self) -> Vec<u8> {
        self.manifest.encode().unwrap()
    }

    pub fn signature_bytes(&self) -> Vec<u8> {
        signature::sign(&self.manifest_bytes(), &[key(self.manifest.kind.into())]).unwrap()
    }

    /// All entries of the archive.
    pub fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let head = [(MANIFEST.to_owned(), self.manifest_bytes()), (SIGNATURES.to_owned(), self.signature_bytes())];
        head.into_iter().chain(self.members.clone()).collect()
    }

    /// The archive, without the checks of [`write()`].
    pub fn archive(&self) -> Vec<u8> {
        archive(&self.entries())
    }
}

pub(super) fn archive(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in entries {
        bytes.extend(encode_header(name, length(content)).unwrap());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend(TRAILER);
    bytes
}

pub(super) fn frames(image: &[u8]) -> (Vec<u8>, ChunkIndex) {
    let mut compressor = super::Compressor::new(3).unwrap();
    let mut encoder = super::ImageEncoder::new(Vec::new());
    for chunk in image.chunks(MAX_CHUNK) {
        encoder.push(&compressor.compress(chunk).unwrap()).unwrap();
    }
    let (frames, index, member) = encoder.finish().unwrap();
    assert_eq!(member, Member { size: length(&frames), digest: Digest::of(&frames) });
    (frames, index)
}

fn index(offset: Bytes) -> usize {
    usize::try_from(offset.0).unwrap()
}

/// Reads a whole package; what was handed out of the image, and the outcome.
pub(super) fn read(archive: &[u8]) -> (Vec<u8>, Result<Manifest>) {
    let mut image = Vec::new();
    let result = read_into(archive, &mut image);
    (image, result)
}

/// The first pass over a whole package, then the second.
pub(super) fn read_twice(archive: &[u8]) -> Result<Vec<u8>> {
    let mut chunks = Package::open(io::Cursor::new(archive), &trust(), &ROLES)?.details()?.image()?;
    let mut told = Vec::new();
    chunks.check_ahead(&mut |done| {
        told.push(done);
        Ok(())
    })?;
    let mut image = Vec::new();
    while let Some(data) = chunks.next_chunk()? {
        image.extend(data.bytes);
    }
    assert_eq!(told.last().copied().unwrap_or_default(), length(&image));
    Ok(image)
}

fn read_into(archive: impl Read, image: &mut Vec<u8>) -> Result<Manifest> {
    let details = Package::open(archive, &trust(), &ROLES)?.details()?;
    let manifest = details.package().manifest().clone();
    let mut chunks = details.image()?;
    while let Some(data) = chunks.next_chunk()? {
        assert_eq!(data.offset, length(image));
        image.extend(data.bytes);
    }
    assert!(chunks.next_chunk()?.is_none(), "the end stays the end");
    Ok(manifest)
}

#[test]
fn reads_what_was_written_for_every_kind() {
    for kind in [Kind::Base, Kind::Site, Kind::Licence] {
        let parts = Parts::new(kind);
        let mut written = Vec::new();
        let mut readers: Vec<(&str, &[u8])> = parts.members.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
        let mut members = readers.iter_mut().map(|(name, bytes)| (*name, bytes as &mut dyn Read)).collect();
        write(&mut written, &parts.manifest_bytes(), &parts.signature_bytes(), &mut members).unwrap();
        assert!(written == parts.archive(), "{kind}");
        let (image, manifest) = read(&written);
        assert_eq!(manifest.unwrap(), parts.manifest);
        assert!(image == parts.image, "{kind}");
    }
}

#[test]
fn hands_out_the_exact_signed_bytes_and_documents() {
    let parts = Parts::new(Kind::Site);
    let archive = parts.archive();
    let package = Package::open(archive.as_slice(), &trust(), &[Role::Site]).unwrap();
    assert_eq!(package.manifest_bytes(), parts.manifest_bytes());
    assert_eq!(package.signature_bytes(), parts.signature_bytes());
    assert_eq!(package.verified().signers()[0].name, "site key");
    assert_eq!(package.archive_size(), length(&archive));
    let details = package.details().unwrap();
    let documents = details.documents().clone();
    assert_eq!(
        (documents.notes.as_str(), documents.eula.as_deref()),
        ("demo 2.1.0: **better**\n", Some("You agree.\n"))
    );
    assert_eq!(documents.sbom.as_deref(), Some(parts.member(SBOM)));
    assert_eq!(documents.index.chunks().len(), 3);
    let claims = peek(archive.as_slice()).unwrap();
    assert_eq!(
        (claims.documents, claims.manifest, claims.manifest_bytes),
        (documents, parts.manifest.clone(), parts.manifest_bytes())
    );
    let base = Package::open(Parts::new(Kind::Base).archive().as_slice(), &trust(), &ROLES).map(drop);
    assert!(base.is_ok());
}

#[test]
fn reads_nothing_behind_the_signatures_before_they_are_verified() {
    let parts = Parts::new(Kind::Base);
    let head = archive(&parts.entries()[..2]);
    let mut rest = &head[..];
    assert!(Package::open(&mut rest, &trust(), &ROLES).is_ok());
    assert_eq!(rest.len(), TRAILER.len());
}

#[test]
fn knows_a_cut_or_extended_file_by_its_length_alone() {
    let archive = Parts::new(Kind::Base).archive();
    let package = Package::open(archive.as_slice(), &trust(), &ROLES).unwrap();
    assert!(package.check_length(length(&archive)).is_ok());
    let problem = |bytes: u64| package.check_length(Bytes(bytes)).unwrap_err().to_string();
    assert!(problem(archive.len() as u64 - 1).contains("cut off"));
    assert!(problem(archive.len() as u64 + 512).contains("something follows"));
}

#[test]
fn the_first_failure_to_read_is_told_as_one_to_try_again() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("cable"))
        }
    }
    let archive = Parts::new(Kind::Base).archive();
    for good in [0, 700, 4000, archive.len() - 600, archive.len()] {
        let result = read_into(archive[..good].chain(Broken), &mut Vec::new());
        assert!(matches!(result, Err(Error::Io(_))), "after {good} bytes: {result:?}");
    }
}

#[test]
fn survives_input_in_small_pieces() {
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(self.0.len()).min(97);
            self.0.read(&mut buffer[..length])
        }
    }
    let parts = Parts::new(Kind::Base);
    let mut image = Vec::new();
    read_into(Drip(&parts.archive()), &mut image).unwrap();
    assert!(image == parts.image);
}

#[test]
fn a_package_that_was_checked_whole_reads_as_any_other() {
    for kind in [Kind::Base, Kind::Site, Kind::Licence] {
        let parts = Parts::new(kind);
        let image = if kind == Kind::Licence { Vec::new() } else { parts.image.clone() };
        assert!(read_twice(&parts.archive()).unwrap() == image, "{kind}");
    }
}

#[test]
fn whoever_is_told_about_the_first_pass_can_end_it() {
    let archive = Parts::new(Kind::Base).archive();
    let mut chunks =
        Package::open(io::Cursor::new(archive), &trust(), &ROLES).unwrap().details().unwrap().image().unwrap();
    let result = chunks.check_ahead(&mut |_| Err(io::ErrorKind::BrokenPipe.into()));
    assert!(matches!(result, Err(Error::Io(cause)) if cause.kind() == io::ErrorKind::BrokenPipe));
}

#[test]
fn refuses_to_write_what_the_manifest_does_not_list() {
    let parts = Parts::new(Kind::Licence);
    let attempt = |name: &str, content: &[u8]| {
        let mut content = content;
        let mut members = BTreeMap::from([(name, &mut content as &mut dyn Read)]);
        write(&mut Vec::new(), &parts.manifest_bytes(), &parts.signature_bytes(), &mut members).unwrap_err().to_string()
    };
    let notes = parts.member(NOTES);
    assert!(attempt(EULA, notes).contains("does not list \"eula.txt\""));
    assert!(attempt(NOTES, b"other").contains("not the one its manifest lists"));
    assert!(attempt(NOTES, &[notes, b"more"].concat()).contains("not the one its manifest lists"));
    let none = write(&mut Vec::new(), &parts.manifest_bytes(), &parts.signature_bytes(), &mut BTreeMap::new());
    assert!(none.unwrap_err().to_string().contains("\"notes.md\" is missing"));
}

#[test]
fn a_package_is_known_by_its_content() {
    assert!(is_package(&Parts::new(Kind::Base).archive()));
    assert!(!is_package(&[0; 512]));
    assert!(!is_package(b"manifest.json"));
    assert!(!is_package(&encode_header("notes.md", Bytes(3)).unwrap()));
}

#[test]
fn a_chunk_can_be_decoded_from_anywhere() {
    let parts = Parts::new(Kind::Base);
    let chunks = ChunkIndex::parse(parts.member(CHUNKS)).unwrap();
    let mut decoder = Decoder::new().unwrap();
    for chunk in chunks.chunks().iter().rev() {
        let start = index(chunk.frame_offset);
        let frame = &parts.member(IMAGE)[start..start + chunk.frame_length as usize];
        let at = index(chunk.offset);
        assert_eq!(decoder.decode(chunk, frame), Ok(&parts.image[at..at + chunk.length as usize]));
    }
    let (first, last) = (&chunks.chunks()[0], &chunks.chunks()[2]);
    let frame = &parts.member(IMAGE)[..first.frame_length as usize];
    assert!(decoder.decode(last, frame).unwrap_err().to_string().contains("does not match its digest"));
}
