use std::collections::BTreeMap;

use super::*;
use crate::manifest::Kind;
use crate::manifest::tests::sample;
use crate::trust::TrustedKey;

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn trusted(number: u8, role: Role, development: bool) -> TrustedKey {
    TrustedKey { role, public: key(number).verifying_key(), development, expires: None, name: format!("key {number}") }
}

/// Keys 1 and 2 sign bases (both needed when `base` is 2), 3 signs sites, 4 is a development key for bases.
fn store(base: u32, development_allowed: bool) -> TrustStore {
    let keys = vec![
        trusted(1, Role::Base, false),
        trusted(2, Role::Base, false),
        trusted(3, Role::Site, false),
        trusted(4, Role::Base, true),
    ];
    TrustStore::new("demo", keys, BTreeMap::from([(Role::Base, base), (Role::Site, 1)]), development_allowed).unwrap()
}

#[test]
fn accepts_a_manifest_signed_by_a_key_of_the_role() {
    let bytes = sample(Kind::Base).encode().unwrap();
    let verified = verify(&bytes, &sign(&bytes, &[key(1)]).unwrap(), &store(1, false), Role::Base).unwrap();
    assert_eq!(verified.manifest(), &sample(Kind::Base));
    assert_eq!(verified.signers()[0].name, "key 1");
    assert_eq!(verified.digest(), Digest::of(&bytes));
}

fn base() -> Vec<u8> {
    sample(Kind::Base).encode().unwrap()
}

/// Why `sigs` do not make `manifest` a trusted base.
fn refusal(manifest: &[u8], sigs: &[u8], trust: &TrustStore) -> String {
    let error = verify(manifest, sigs, trust, Role::Base).unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }), "{error}");
    error.to_string()
}

#[test]
fn the_signed_message_is_the_documented_one() {
    let message = message(b"abc");
    assert_eq!(message[..21], *b"bulkhead-manifest-v1\0");
    assert_eq!(hex::encode(&message[21..]), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn refuses_signatures_that_do_not_count_and_says_why() {
    let bytes = base();
    for (signers, trust, part) in [
        (
            vec![key(9)],
            store(1, false),
            "0 of 1 needed signature(s) for role base; key dbc298251c51321b is unknown here",
        ),
        (vec![key(3)], store(1, false), "(\"key 3\") is for role site"),
        (vec![key(4)], store(1, false), "(\"key 4\") is a development key, which is not accepted here"),
        (vec![key(1)], store(2, false), "1 of 2 needed signature(s) for role base"),
        (vec![key(1), key(3), key(4)], store(2, false), "1 of 2 needed"),
    ] {
        let message = refusal(&bytes, &sign(&bytes, &signers).unwrap(), &trust);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn counts_a_key_once_however_often_it_signed() {
    let bytes = base();
    let one = OneSignature { key_id: key_id(&key(1).verifying_key()), signature: key(1).sign(&message(&bytes)) };
    let text = String::from_utf8(SignatureSet::new(vec![one.clone()]).unwrap().encode().unwrap()).unwrap();
    let (start, end) = (text.find("    {").unwrap(), text.find("\n  ]").unwrap());
    let twice = format!("{},\n{}{}", &text[..end], &text[start..end], &text[end..]);
    assert!(refusal(&bytes, twice.as_bytes(), &store(2, false)).contains("1 of 2 needed"));
    assert_eq!(verify(&bytes, twice.as_bytes(), &store(1, false), Role::Base).unwrap().signers().len(), 1);
    assert_eq!(SignatureSet::new(vec![one.clone(), one]).unwrap().signatures().len(), 1);
}

#[test]
fn two_distinct_keys_meet_a_threshold_of_two_in_any_order() {
    let bytes = base();
    let set = sign(&bytes, &[key(2), key(1)]).unwrap();
    assert_eq!(set, sign(&bytes, &[key(1), key(2), key(1)]).unwrap());
    assert_eq!(verify(&bytes, &set, &store(2, false), Role::Base).unwrap().signers().len(), 2);
    let [first, second] = [1, 2].map(|n| SignatureSet::parse(&sign(&bytes, &[key(n)]).unwrap()).unwrap());
    assert_eq!(first.merged(second).unwrap().encode().unwrap(), set);
}

#[test]
fn foreign_signatures_beside_enough_good_ones_do_no_harm() {
    let bytes = base();
    let set = sign(&bytes, &[key(9), key(3), key(1)]).unwrap();
    assert_eq!(verify(&bytes, &set, &store(1, false), Role::Base).unwrap().signers().len(), 1);
}

#[test]
fn a_signature_under_the_id_of_another_key_does_not_count() {
    let bytes = base();
    let one = OneSignature { key_id: key_id(&key(1).verifying_key()), signature: key(2).sign(&message(&bytes)) };
    let set = SignatureSet::new(vec![one]).unwrap().encode().unwrap();
    assert!(refusal(&bytes, &set, &store(1, false)).contains("(\"key 1\") did not sign these bytes"));
}

#[test]
fn refuses_every_single_altered_byte_of_the_manifest() {
    let bytes = base();
    let set = sign(&bytes, &[key(1)]).unwrap();
    let trust = store(1, false);
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert!(refusal(&altered, &set, &trust).contains("did not sign these bytes"), "byte {at}");
    }
    for altered in [&bytes[..bytes.len() - 1], &[bytes.as_slice(), b" "].concat(), b""] {
        assert!(refusal(altered, &set, &trust).contains("did not sign these bytes"));
    }
}

#[test]
fn a_signature_over_the_bare_manifest_or_its_digest_does_not_count() {
    let bytes = base();
    for wrong in [bytes.clone(), Digest::of(&bytes).0.to_vec(), [b"other-domain-v1\0", bytes.as_slice()].concat()] {
        let one = OneSignature { key_id: key_id(&key(1).verifying_key()), signature: key(1).sign(&wrong) };
        let set = SignatureSet::new(vec![one]).unwrap().encode().unwrap();
        assert!(refusal(&bytes, &set, &store(1, false)).contains("did not sign"));
    }
}

#[test]
fn refuses_the_second_form_of_a_signature() {
    // Adding the group order to s gives a signature that lax verifiers take as well.
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let bytes = base();
    let mut raw = key(1).sign(&message(&bytes)).to_bytes();
    let mut carry = 0;
    for (byte, add) in raw[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    let one = OneSignature { key_id: key_id(&key(1).verifying_key()), signature: Signature::from_bytes(&raw) };
    let set = SignatureSet::new(vec![one]).unwrap().encode().unwrap();
    assert!(refusal(&bytes, &set, &store(1, false)).contains("did not sign"));
}

#[test]
fn refuses_manifests_of_another_kind_product_or_stage() {
    let sign_one = |manifest: &Manifest, n| {
        let bytes = manifest.encode().unwrap();
        (sign(&bytes, &[key(n)]).unwrap(), bytes)
    };
    let (set, bytes) = sign_one(&sample(Kind::Site), 1);
    assert_eq!(
        refusal(&bytes, &set, &store(1, false)),
        "manifest is not trusted: it is for a site package; base was expected"
    );
    let (set, bytes) = sign_one(&Manifest { product: "other".into(), ..sample(Kind::Base) }, 1);
    assert!(refusal(&bytes, &set, &store(1, false)).contains("it is for product \"other\"; this is \"demo\""));
    let (set, bytes) = sign_one(&Manifest { development: true, ..sample(Kind::Base) }, 1);
    assert!(refusal(&bytes, &set, &store(1, false)).contains("it is a development build"));
    assert!(verify(&bytes, &set, &store(1, true), Role::Base).is_ok());
    let (set, bytes) = sign_one(&sample(Kind::Base), 4);
    assert!(verify(&bytes, &set, &store(1, true), Role::Base).unwrap().signers()[0].development);
}

#[test]
fn a_role_without_a_threshold_accepts_nothing() {
    let bytes = sample(Kind::Licence).encode().unwrap();
    let error = verify(&bytes, &sign(&bytes, &[key(1)]).unwrap(), &store(1, false), Role::Licence).unwrap_err();
    assert!(error.to_string().contains("accepts nothing signed for role licence"));
}

#[test]
fn a_signed_manifest_must_still_be_a_manifest() {
    let trust = store(1, false);
    let text = String::from_utf8(base()).unwrap();
    for (bytes, part) in [
        (b"{}".to_vec(), "no \"format\""),
        (text.replacen("\"kind\"", "\"kind\": \"site\", \"kind\"", 1).into_bytes(), "appears twice"),
        (text.replacen("\"health\"\n", "\"new\"\n", 1).into_bytes(), "requires the feature"),
        (
            text.replacen("\"kind\"", &format!("\"x\": {}{}, \"kind\"", "[".repeat(99), "]".repeat(99)), 1)
                .into_bytes(),
            "deeper",
        ),
        (text.as_bytes()[..text.len() / 2].to_vec(), "EOF"),
    ] {
        assert!(sign(&bytes, &[key(1)]).is_err(), "signs only manifests");
        let one = OneSignature { key_id: key_id(&key(1).verifying_key()), signature: key(1).sign(&message(&bytes)) };
        let set = SignatureSet::new(vec![one]).unwrap().encode().unwrap();
        let message = verify(&bytes, &set, &trust, Role::Base).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    let long = vec![b' '; manifest::MAX_SIZE + 1];
    let error = verify(&long, &sign(&base(), &[key(1)]).unwrap(), &trust, Role::Base).unwrap_err();
    assert!(error.to_string().contains("49153 bytes; at most 49152"));
}

#[test]
fn refuses_malformed_signature_sets() {
    let good = String::from_utf8(sign(&base(), &[key(1)]).unwrap()).unwrap();
    let signature = BASE64.encode(key(1).sign(&message(&base())).to_bytes());
    for (from, to, part) in [
        ("\"format\": 1", "\"format\": 2".to_owned(), "format 2"),
        ("\"format\": 1", "\"format\": 1, \"format\": 1".into(), "appears twice"),
        (&signature, signature[..84].into(), "not 64 bytes in base64"),
        (&signature, format!("{}==", &signature[..86]).replace("==", ""), "not 64 bytes in base64"),
        (&signature, format!("{} ", &signature), "not 64 bytes in base64"),
        (&signature, String::new(), "not 64 bytes in base64"),
        ("\"signature\":", "\"autograph\":".into(), "missing field"),
        ("\"key-id\": \"", "\"key-id\": \"x".into(), "not 64 hexadecimal digits"),
    ] {
        assert!(good.contains(from));
        let message = SignatureSet::parse(good.replace(from, &to).as_bytes()).unwrap_err().to_string();
        assert!(message.contains(part), "{to}: {message}");
    }
    for length in 0..good.len() - 1 {
        assert!(SignatureSet::parse(&good.as_bytes()[..length]).is_err(), "{length} bytes");
    }
    let empty = br#"{"format":1,"signatures":[]}"#;
    assert!(SignatureSet::parse(empty).unwrap_err().to_string().contains("0 signatures; 1 to 16"));
    assert!(sign(&base(), &[]).unwrap_err().to_string().contains("0 signatures"));
    let many: Vec<SigningKey> = (1..=17).map(key).collect();
    assert!(sign(&base(), &many).unwrap_err().to_string().contains("17 signatures"));
    assert!(SignatureSet::parse(&vec![b' '; MAX_SIZE + 1]).unwrap_err().to_string().contains("at most 12288"));
}

#[test]
fn sixteen_signatures_fit_their_limit() {
    let many: Vec<SigningKey> = (1..=16).map(key).collect();
    assert!(sign(&base(), &many).unwrap().len() <= MAX_SIZE);
}

/// Key 1 until the end of 2026, key 2 for ever.
fn store_with_an_expiry(base: u32) -> TrustStore {
    let mut keys = vec![trusted(1, Role::Base, false), trusted(2, Role::Base, false)];
    keys[0].expires = Some("2026-12-31".parse().unwrap());
    TrustStore::new("demo", keys, BTreeMap::from([(Role::Base, base)]), false).unwrap()
}

const LAST_SECOND_OF_2026: i64 = 1_798_761_599;

#[test]
fn an_expired_key_still_starts_what_is_installed_and_installs_nothing_new() {
    let bytes = base();
    let verified = verify(&bytes, &sign(&bytes, &[key(1)]).unwrap(), &store_with_an_expiry(1), Role::Base).unwrap();
    assert_eq!(verified.check_current(LAST_SECOND_OF_2026), Ok(()));
    assert_eq!(verified.check_current(-1), Ok(()));
    for now in [LAST_SECOND_OF_2026 + 1, i64::MAX] {
        let error = verified.check_current(now).unwrap_err();
        assert!(matches!(error, Error::Untrusted { why: Distrust::ExpiredKey, .. }), "{error}");
        let text = error.to_string();
        for part in ["0 of 1 needed", "(\"key 1\") was valid until 2026-12-31", "set this machine's clock"] {
            assert!(text.contains(part), "{text}");
        }
    }
    assert!(verified.check_current(LAST_SECOND_OF_2026 + 1).unwrap_err().to_string().contains("valid on 2027-01-01"));
}

#[test]
fn an_expired_key_counts_for_no_threshold_and_harms_none() {
    let bytes = base();
    let both = sign(&bytes, &[key(1), key(2)]).unwrap();
    let late = LAST_SECOND_OF_2026 + 1;
    let current =
        |threshold| verify(&bytes, &both, &store_with_an_expiry(threshold), Role::Base).unwrap().check_current(late);
    assert_eq!(current(1), Ok(()));
    assert!(current(2).unwrap_err().to_string().contains("1 of 2 needed"));
}
