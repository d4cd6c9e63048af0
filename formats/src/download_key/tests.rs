//! Keys that come back, and texts that are refused.

use super::*;
use crate::journal::Floor;
use crate::manifest::{Kind, Requires};
use crate::plan::Installed;

const MADE: i64 = 1_800_000_000;

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn installed(name: &str, hostname: Option<&str>) -> Installed {
    Installed {
        name: name.into(),
        version: "12.2.0".parse().unwrap(),
        build_id: Digest::of(name.as_bytes()),
        sequence: 1_202,
        requires: Requires { base: Some(">=3.3.0, <4".parse().unwrap()), site: None },
        hostname: hostname.map(str::to_owned),
        soaks_until: hostname.map(|_| MADE + 3600),
    }
}

fn floor(kind: Kind, name: &str) -> Floor {
    Floor { kind, name: name.into(), sequence: 1_202 }
}

/// As much as an appliance usually has.
fn usual() -> DownloadKey {
    let inventory = Inventory {
        format: 1,
        appliance: "00112233445566778899aabbccddeeff".into(),
        product: "remote-support".into(),
        hardware: vec!["virtual-machine".into()],
        base: installed("remote-support-base", None),
        site: Some(installed("remote-support-site", Some("support.customer.example.com"))),
        floors: vec![floor(Kind::Base, "remote-support-base"), floor(Kind::Site, "remote-support-site")],
        channel: "stable".into(),
        ring: Some("early".into()),
        entitled_until: Some("2031-12-31".parse().unwrap()),
        licences: vec![Digest([3; 32])],
    };
    DownloadKey { inventory, root: 3, nonce: [9; 16], made: MADE, expires: MADE + LIFETIME }
}

/// A key with these fields behind the public key, correctly signed.
fn signed(fields: &[u8]) -> String {
    let said = [signer().verifying_key().to_bytes().as_slice(), fields].concat();
    let signature = signer().sign(&message(&said)).to_bytes();
    format!("{PREFIX}{}", base32::encode(&[said.as_slice(), &signature].concat()))
}

fn refusal(text: &str) -> Error {
    SignedKey::parse(text).unwrap_err()
}

#[test]
fn a_key_comes_back_and_a_usual_one_fits_a_small_qr_code() {
    let text = usual().sign(&signer()).unwrap();
    assert!(text.len() <= 1_500, "{} characters", text.len());
    assert!(
        text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-'),
        "not the dense mode: {text}"
    );
    let read = SignedKey::parse(&text).unwrap();
    assert_eq!((read.key(), read.public()), (&usual(), &signer().verifying_key()));
    let least = Inventory {
        appliance: "made/by/hand".into(),
        hardware: Vec::new(),
        site: None,
        floors: Vec::new(),
        ring: None,
        entitled_until: None,
        licences: Vec::new(),
        ..usual().inventory
    };
    let least = DownloadKey { inventory: least, root: 0, ..usual() };
    assert_eq!(SignedKey::parse(&least.sign(&signer()).unwrap()).unwrap().key(), &least);
}

/// As many licences as an appliance keeps, and floors, with the longest names and numbers there are.
fn most() -> DownloadKey {
    let long = |number: usize| format!("{number:0>64}");
    let floor = |number| Floor { kind: Kind::Licence, name: long(number), sequence: u64::MAX };
    let mut key = usual();
    key.inventory.appliance = "a".repeat(128);
    key.inventory.floors = (0..MAX_FLOORS).map(floor).collect();
    key.inventory.licences = (0..MAX_LICENCES).map(|number| Digest::of(long(number).as_bytes())).collect();
    key
}

#[test]
fn a_key_has_room_for_as_many_licences_as_an_appliance_keeps() {
    let text = most().sign(&signer()).unwrap();
    assert!(text.len() > 4296 && text.len() <= MAX_CHARS, "{} characters", text.len());
    assert_eq!(SignedKey::parse(&text).unwrap().key(), &most());
    // As a mail breaks it.
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    assert_eq!(SignedKey::parse(&lines.join("\r\n")).unwrap().key(), &most());
    let mut more = most();
    more.inventory.hardware = vec!["m".repeat(64); MAX_MODELS];
    let problem = more.sign(&signer()).unwrap_err().to_string();
    assert!(problem.contains("characters; at most 18432 fit"), "{problem}");
}

#[test]
fn what_people_do_to_text_on_the_way_does_not_matter() {
    let text = usual().sign(&signer()).unwrap();
    let wrapped: Vec<&str> = text.as_bytes().chunks(60).map(|line| std::str::from_utf8(line).unwrap()).collect();
    for way in [text.to_lowercase(), format!("\r\n {} \t\n", wrapped.join("\r\n"))] {
        assert_eq!(SignedKey::parse(&way), SignedKey::parse(&text), "{way}");
    }
}

#[test]
fn two_keys_made_one_after_the_other_differ() {
    let again = DownloadKey { nonce: [8; 16], ..usual() };
    let [one, other] = [usual(), again].map(|key| key.sign(&signer()).unwrap());
    assert_ne!(one, other);
    assert_ne!(SignedKey::parse(&one).unwrap().id(), SignedKey::parse(&other).unwrap().id());
}

#[test]
fn every_changed_and_every_missing_character_is_noticed() {
    let text = usual().sign(&signer()).unwrap();
    for at in PREFIX.len()..text.len() {
        let mut changed: Vec<char> = text.chars().collect();
        changed[at] = if changed[at] == 'Q' { 'R' } else { 'Q' };
        let problem = refusal(&changed.iter().collect::<String>());
        let end = at + 1 == text.len() && problem.to_string().contains("its end is missing or wrong");
        assert!(end || matches!(problem, Error::Untrusted { why: Distrust::BadSignature, .. }), "{at}: {problem}");
        assert!(SignedKey::parse(&text[..at]).is_err(), "cut at {at}");
    }
    assert!(SignedKey::parse(&format!("{text}0")).is_err());
}

#[test]
fn a_key_of_somebody_else_is_not_signed_by_this_appliance() {
    let text = usual().sign(&signer()).unwrap();
    let mut bytes = base32::decode(&text[PREFIX.len()..]).unwrap();
    bytes[..32].copy_from_slice(&SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes());
    assert!(matches!(refusal(&format!("{PREFIX}{}", base32::encode(&bytes))), Error::Untrusted { .. }));
    // The neutral element: everybody can sign for it.
    let mut weak = [0; 200];
    weak[0] = 1;
    assert!(matches!(refusal(&format!("{PREFIX}{}", base32::encode(&weak))), Error::Untrusted { .. }));
    // The same bytes, signed as something else.
    let said = &bytes[..bytes.len() - 64];
    let other = signer().sign(&[b"bulkhead-manifest-v1\0".as_slice(), &Digest::of(said).0].concat()).to_bytes();
    assert!(matches!(
        refusal(&format!("{PREFIX}{}", base32::encode(&[said, &other].concat()))),
        Error::Untrusted { .. }
    ));
}

#[test]
fn what_is_no_key_says_so() {
    for (text, wanted) in [
        ("", "does not begin with BKDK1-"),
        ("hello", "does not begin with BKDK1-"),
        ("BKDK-00", "does not begin with BKDK1-"),
        ("BKDKx-00", "does not begin with BKDK1-"),
        ("BKDK2-00", "it has format 2; 1 is understood"),
        ("BKDK1-", "too short"),
        ("BKDK1-0000", "too short"),
        ("BKDK1-UUUU", "no character"),
    ] {
        let problem = refusal(text).to_string();
        assert!(problem.contains(wanted), "{text}: {problem}");
    }
    assert!(refusal(&"0".repeat(MAX_TEXT + 1)).to_string().contains("at most"));
    assert!(refusal(&format!("{PREFIX}{}", "0".repeat(MAX_CHARS))).to_string().contains("at most"));
    assert!(refusal("\u{1b}[2J-00").to_string().is_ascii());
}

#[test]
fn a_signed_key_with_bad_fields_is_refused_and_a_newer_one_understood() {
    let good = fields::encode(&usual()).unwrap();
    assert!(SignedKey::parse(&signed(&good)).is_ok());
    let with = |more: &[u8]| [good.as_slice(), more].concat();
    assert_eq!(
        SignedKey::parse(&signed(&with(&[100, 2, 1, 1]))).unwrap().key(),
        &usual(),
        "a field of a newer appliance"
    );
    assert!(matches!(refusal(&signed(&with(&[200, 0]))), Error::Unsupported { .. }), "one that must be understood");
    assert!(refusal(&signed(&[])).to_string().contains("missing"));
    let licences = [15, 1, 1].repeat(65);
    assert!(refusal(&signed(&with(&licences))).to_string().contains("at most 64"));
    assert!(refusal(&signed(&with(&[15, 1, 1]))).to_string().contains("not a SHA-256"));
}

#[test]
fn a_key_that_breaks_a_rule_is_not_made() {
    let with = |change: fn(&mut DownloadKey)| {
        let mut key = usual();
        change(&mut key);
        key.sign(&signer()).unwrap_err().to_string()
    };
    assert!(with(|key| key.inventory.product = "De mo".into()).contains("product"));
    assert!(with(|key| key.inventory.appliance = "\u{1b}[2J".into()).contains("appliance"));
    assert!(with(|key| key.inventory.appliance = String::new()).contains("appliance"));
    assert!(with(|key| key.inventory.site.as_mut().unwrap().hostname = Some("<b>".into())).contains("hostname"));
    assert!(with(|key| key.inventory.floors = vec![floor(Kind::Base, "b"); 97]).contains("97 floors; at most 96"));
    assert!(with(|key| key.inventory.licences = vec![Digest([3; 32]); 65]).contains("65 licences; at most 64"));
    assert!(with(|key| key.made = -1).contains("1970"));
    assert!(with(|key| key.expires = key.made).contains("90 days"));
    assert!(with(|key| key.expires = key.made + MAX_LIFETIME + 1).contains("90 days"));
    // The same rules for who reads one, whatever signed it.
    let fields = fields::encode(&usual()).unwrap();
    let at = fields.windows(5).position(|window| window == b"early").unwrap();
    let changed = [&fields[..at], b"EARLY", &fields[at + 5..]].concat();
    assert!(refusal(&signed(&changed)).to_string().contains("ring"));
}
