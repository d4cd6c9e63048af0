use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;

use super::*;
use crate::manifest::Kind;
use crate::manifest::tests::sample;
use crate::trust::TrustedKey;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

/// Believes what [`key`] signed.
fn trust() -> TrustStore {
    let trusted = TrustedKey {
        role: Role::Base,
        public: key().verifying_key(),
        development: false,
        expires: None,
        name: "k".into(),
    };
    TrustStore::new("demo", vec![trusted], BTreeMap::from([(Role::Base, 1)]), false).unwrap()
}

fn sample_footer() -> Vec<u8> {
    let manifest = sample(Kind::Base).encode().unwrap();
    encode(&manifest, &signature::sign(&manifest, &[key()]).unwrap()).unwrap()
}

/// The footer with some bytes replaced and a matching checksum: what an attacker or a newer writer could make.
fn resealed(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut footer = sample_footer();
    footer[at..at + bytes.len()].copy_from_slice(bytes);
    let checksum = Digest::of(&footer[..CHECKSUM]);
    footer[CHECKSUM..].copy_from_slice(&checksum.0);
    footer
}

fn refusal(bytes: &[u8]) -> String {
    Footer::parse(bytes).unwrap_err().to_string()
}

#[test]
fn gives_back_the_exact_signed_bytes_and_verifies() {
    let manifest = sample(Kind::Base).encode().unwrap();
    let footer = Footer::parse(&sample_footer()).unwrap();
    assert_eq!(footer.manifest, manifest);
    assert_eq!(footer.verify(&trust(), Role::Base).unwrap().manifest(), &sample(Kind::Base));
    assert!(footer.verify(&trust(), Role::Site).is_err());
}

#[test]
fn an_erased_footer_is_an_empty_slot() {
    assert_eq!(refusal(&erased()), "slot is not trusted: no footer: the slot is empty");
    assert!(is_erased(&erased()) && !is_erased(&sample_footer()));
}

#[test]
fn a_torn_write_never_parses() {
    let (whole, empty) = (sample_footer(), erased());
    for sectors in 1..FOOTER_SIZE / 512 {
        let cut = sectors * 512;
        let front = [&whole[..cut], &empty[cut..]].concat();
        assert!(refusal(&front).contains("checksum does not match"), "first {sectors} sectors written");
        let back = [&empty[..cut], &whole[cut..]].concat();
        assert!(refusal(&back).contains("magic"), "first {sectors} sectors missing");
    }
}

#[test]
fn every_single_flipped_byte_is_detected() {
    let mut footer = sample_footer();
    for at in 0..FOOTER_SIZE {
        footer[at] ^= 0x20;
        assert!(Footer::parse(&footer).is_err(), "byte {at}");
        footer[at] ^= 0x20;
    }
    assert!(Footer::parse(&footer).is_ok());
}

#[test]
fn refuses_lengths_beyond_their_limits_even_with_a_good_checksum() {
    for (at, length, part) in [
        (20, 49_153, "a manifest of 49153 bytes; at most 49152 fit"),
        (20, u32::MAX, "a manifest of 4294967295 bytes"),
        (24, 12_289, "signatures of 12289 bytes; at most 12288 fit"),
        (24, u32::MAX, "signatures of 4294967295 bytes"),
        (24, 0, "its padding is not zero"),
        (28, 1, "its padding is not zero"),
    ] {
        let message = refusal(&resealed(at, &length.to_le_bytes()));
        assert!(message.contains(part), "{message}");
    }
    assert!(refusal(&resealed(CHECKSUM - 1, b"x")).contains("padding"));
}

#[test]
fn refuses_another_magic_version_or_size() {
    assert!(refusal(&resealed(0, b"B")).contains("magic"));
    assert_eq!(
        refusal(&resealed(16, &[2])),
        "slot footer cannot be read by this version: it has version 2; 1 is understood"
    );
    assert!(refusal(&sample_footer()[1..]).contains("65535 bytes; a footer has 65536"));
    assert!(refusal(&[]).contains("0 bytes"));
}

#[test]
fn a_resealed_footer_parses_but_is_not_believed() {
    let footer = Footer::parse(&resealed(HEADER + 30, b"X")).unwrap();
    let message = footer.verify(&trust(), Role::Base).unwrap_err().to_string();
    assert!(message.contains("did not sign these bytes"), "{message}");
}

#[test]
fn refuses_to_write_what_does_not_fit() {
    let long = |n| vec![b'x'; n];
    assert!(encode(&long(49_152), &long(12_288)).is_ok_and(|bytes| bytes.len() == FOOTER_SIZE));
    assert!(encode(&long(49_153), &[]).unwrap_err().to_string().contains("at most 49152"));
    assert!(encode(&[], &long(12_289)).unwrap_err().to_string().contains("at most 12288"));
}

#[test]
fn lies_in_the_last_64_kib_of_its_partition() {
    assert_eq!(offset(Bytes::mib(64)), Ok(Bytes((64 << 20) - 65536)));
    assert!(offset(Bytes(65535)).unwrap_err().to_string().contains("no room for 64 KiB"));
}

#[test]
fn prints_for_people_without_believing_anything() {
    let text = Footer::parse(&sample_footer()).unwrap().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "footer version 1 (not verified)");
    assert!(lines[1].starts_with("  manifest     "), "{}", lines[1]);
    assert_eq!(lines[2], format!("  signed by    {}", crate::trust::key_id(&key().verifying_key())));
    assert_eq!(lines[3], "base package demo-package 2.1.0");
    let hostile = Footer { manifest: b"\x1b[2J".to_vec(), signatures: b"\x1b[2J".to_vec() }.to_string();
    assert!(hostile.bytes().all(|b| b == b'\n' || b == b' ' || b.is_ascii_graphic()), "{hostile:?}");
}
