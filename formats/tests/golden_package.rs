//! One small package, committed: what today's writer makes, and what every later reader must still accept.
//!
//! `UPDATE_GOLDEN=1` writes it again; a changed digest is a changed format, or a changed zstd.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use formats::manifest::{ImageInfo, Manifest, Member};
use formats::package::{self, CHUNKS, Compressor, EULA, IMAGE, ImageEncoder, MAX_CHUNK, NOTES, Package, SBOM};
use formats::trust::{Role, TrustStore, TrustedKey};
use formats::verity::Parameters;
use formats::{Bytes, Digest, Guid, signature};

/// SHA-256 of the file.
const DIGEST: &str = "b3438ae4f79f29ece4d1dfba8cabbccf621567d0e7ce86265f97650bccb2665d";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

/// Three chunks: a pattern, zeros, and a short last one.
fn image() -> Vec<u8> {
    let length = 600 * 4096 + 7 * 4096;
    let mut image: Vec<u8> = (0..length).map(|at: u32| (at / 509 % 253).to_le_bytes()[0]).collect();
    image[MAX_CHUNK..2 * MAX_CHUNK].fill(0);
    image
}

fn written() -> Vec<u8> {
    let mut compressor = Compressor::new(12).unwrap();
    let mut encoder = ImageEncoder::new(Vec::new());
    image().chunks(MAX_CHUNK).for_each(|chunk| encoder.push(&compressor.compress(chunk).unwrap()).unwrap());
    let (frames, index, _) = encoder.finish().unwrap();
    let index = index.encode();
    let mut members = BTreeMap::from([
        (NOTES, b"# demo-package 2.1.0\n\nBetter.\n".as_slice()),
        (EULA, b"You agree.\n"),
        (SBOM, b"{\"bomFormat\": \"CycloneDX\", \"specVersion\": \"1.5\"}\n"),
        (CHUNKS, &index),
        (IMAGE, &frames),
    ]);
    let member = |bytes: &[u8]| Member { size: Bytes(bytes.len() as u64), digest: Digest::of(bytes) };
    let mut manifest = Manifest::parse(include_bytes!("../src/manifest/golden.json")).unwrap();
    let params = Parameters { data_blocks: 600, salt: [0xab; 32], uuid: Guid::new(7) };
    manifest.image = Some(ImageInfo::new(&params, Digest([0x11; 32])).unwrap());
    manifest.members = members.iter().map(|(name, bytes)| ((*name).to_owned(), member(bytes))).collect();
    let manifest = manifest.encode().unwrap();
    let signatures = signature::sign(&manifest, &[key()]).unwrap();
    let mut readers = members.iter_mut().map(|(name, bytes)| (*name, bytes as &mut dyn std::io::Read)).collect();
    let mut archive = Vec::new();
    package::write(&mut archive, &manifest, &signatures, &mut readers).unwrap();
    archive
}

fn committed() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/site.pkg")
}

#[test]
fn the_committed_package_is_what_the_writer_makes() {
    let written = written();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(committed(), &written).unwrap();
    }
    assert_eq!(Digest::of(&written).to_string(), DIGEST);
    assert!(std::fs::read(committed()).unwrap() == written, "run with UPDATE_GOLDEN=1 and review the change");
}

#[test]
fn the_committed_package_is_accepted_and_holds_its_image() {
    let bytes = std::fs::read(committed()).unwrap();
    let public = key().verifying_key();
    let trusted = TrustedKey { role: Role::Site, public, development: false, expires: None, name: "golden".into() };
    let trust = TrustStore::new("demo", vec![trusted], BTreeMap::from([(Role::Site, 1)]), false).unwrap();
    let package = Package::open(bytes.as_slice(), &trust, &[Role::Site]).unwrap();
    assert_eq!(package.check_length(Bytes(bytes.len() as u64)), Ok(()));
    let mut chunks = package.details().unwrap().image().unwrap();
    let mut found: Vec<u8> = Vec::new();
    while let Some(data) = chunks.next_chunk().unwrap() {
        found.extend(data.bytes);
    }
    assert!(found == image());
}
