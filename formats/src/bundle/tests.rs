//! Bundles that are read back, and the numbered attacks of `read.rs`.

use std::io::Cursor;

use super::*;
use crate::{Bytes, Damage};

const INDEX: &str = "targets/index/1111111111111111111111111111111111111111111111111111111111111111.index.json";
/// Longer than a tar header has room for.
const LONG: &str = "targets/licence/2222222222222222222222222222222222222222222222222222222222222222.a-name-of-some-length-1.0.0-rc.1+build.7.notes.md";

fn label() -> Label {
    let order = vec!["base/os-2.0.0".parse().unwrap(), "site/app-2.0.0".parse().unwrap()];
    Label { format: FORMAT, product: "demo".into(), appliance: "one".into(), order, created: 1_700_000_000 }
}

type Members = Vec<(String, Vec<u8>)>;

fn members() -> Members {
    let list: [(&str, Vec<u8>); 6] = [
        (LABEL, label().encode().unwrap()),
        ("metadata/2.root.json", b"{}".to_vec()),
        ("metadata/timestamp.json", b"{\"t\": 1}".to_vec()),
        (INDEX, b"an index".to_vec()),
        (LONG, vec![b'n'; 512]),
        ("targets/base/3.os-2.0.0.pkg", vec![7; 1500]),
    ];
    list.map(|(name, content)| (name.to_owned(), content)).to_vec()
}

fn archive(members: &Members) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in members {
        let size = Bytes(content.len() as u64);
        let before = bytes.len();
        bytes.extend(header(name, size).unwrap());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        assert_eq!(stored(name, size).0, (bytes.len() - before) as u64);
    }
    bytes.extend(TRAILER);
    bytes
}

fn read(bytes: &[u8]) -> std::result::Result<Bundle, (Damage, String)> {
    Bundle::read(Cursor::new(bytes)).map_err(|error| match error {
        Error::Format(FormatError::Corrupt { why, problem, .. }) => (why, problem),
        other => panic!("{other}"),
    })
}

/// The refusal of these members, some of which `header` would not write.
fn refused(change: impl FnOnce(&mut Members)) -> (Damage, String) {
    let mut members = members();
    change(&mut members);
    read(&archive(&members)).unwrap_err()
}

/// The archive with the header that begins at `at` changed and its checksum made right.
fn resealed(at: usize, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = archive(&members());
    let block = &mut bytes[at..at + 512];
    change(block);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

/// Where the header with this name begins.
fn find(bytes: &[u8], name: &str) -> usize {
    (0..bytes.len()).step_by(512).find(|at| bytes[*at..].starts_with(name.as_bytes())).unwrap()
}

#[test]
fn a_bundle_comes_back_with_the_place_of_every_target() {
    let members = members();
    let bytes = archive(&members);
    let bundle = read(&bytes).unwrap();
    assert_eq!((&bundle.label, bundle.size.0), (&label(), bytes.len() as u64));
    assert_eq!(bundle.fetch("2.root.json", 2), Some(b"{}".to_vec()));
    assert_eq!(bundle.fetch("2.root.json", 1), None, "more than was asked for");
    assert_eq!(bundle.metadata.len(), 2);
    for (name, content) in &members[3..] {
        let span = bundle.targets[name.strip_prefix(TARGETS).unwrap()];
        let at = usize::try_from(span.offset.0).unwrap();
        assert_eq!(&bytes[at..at + usize::try_from(span.size.0).unwrap()], content, "{name}");
    }
    assert!(is_bundle(&bytes) && !is_bundle(&bytes[512..]) && !is_bundle(b""));
}

#[test]
fn tar_programs_read_a_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.path");
    std::fs::write(&file, archive(&members())).unwrap();
    let mut tar = std::process::Command::new("tar");
    let Ok(status) = tar.arg("-C").arg(folder.path()).arg("-xf").arg(&file).status() else {
        println!("SKIPPED: there is no tar here");
        return;
    };
    assert!(status.success());
    for (name, content) in members() {
        assert_eq!(std::fs::read(folder.path().join(&name)).unwrap(), content, "{name}");
    }
}

#[test]
fn n1_names_that_lead_elsewhere_are_neither_written_nor_read() {
    for name in [
        "",
        "x",
        "/etc/passwd",
        "targets/../x",
        "targets//x",
        "targets/",
        "targets/.x",
        "targets/a b",
        "targets/\u{1b}x",
        "targets/a\\b",
        "metadata/x",
        "metadata/a/b.json",
        "metadata/../a.json",
        "metadata/.json",
        "bundle.json/x",
    ] {
        assert!(header(name, Bytes(0)).is_err(), "{name}");
    }
    assert!(header(&format!("targets/{}", "a".repeat(300)), Bytes(0)).is_err());
    let bytes = archive(&members());
    let at = find(&bytes, "targets/base");
    let bad = resealed(at, |block| block[..14].copy_from_slice(b"targets/../../"));
    let (why, problem) = read(&bad).unwrap_err();
    assert!(why == Damage::WrongMember && problem.contains("is not the name of a member"), "{problem}");
}

#[test]
fn n2_another_order_and_duplicates_are_refused() {
    assert_eq!(refused(|members| members.swap(0, 1)).0, Damage::WrongMember);
    assert_eq!(refused(|members| drop(members.remove(0))).0, Damage::WrongMember);
    assert!(refused(|members| members.push(members[0].clone())).1.contains("comes first and once"));
    assert!(refused(|members| members.swap(1, 3)).1.contains("behind targets"));
    assert!(refused(|members| members.push(members[5].clone())).1.contains("comes twice"));
    let empty = read(&TRAILER).unwrap_err();
    assert!(empty.1.contains("it has no \"bundle.json\""), "{}", empty.1);
}

#[test]
fn n3_lengths_are_limited_before_they_are_read() {
    let huge = |name: &str| {
        let bytes = archive(&members());
        let at = find(&bytes, name);
        // Seven GiB, and nothing behind it.
        let mut bytes = resealed(at, |block| block[124..135].copy_from_slice(b"70000000000"));
        bytes.truncate(at + 512);
        read(&bytes).unwrap_err()
    };
    for name in [LABEL, "metadata/2.root.json", "metadata/timestamp.json"] {
        assert_eq!(huge(name).0, Damage::TooLong, "{name}");
    }
    assert_eq!(huge("targets/base").0, Damage::Truncated, "targets are not kept");
    let many = refused(|members| {
        members.extend((0..MAX_MEMBERS).map(|n| (format!("targets/base/{n}.pkg"), Vec::new())));
    });
    assert_eq!(many.0, Damage::TooLong);
    let large = refused(|members| {
        members.splice(1..1, (0..4).map(|n| (format!("metadata/{n}.role.json"), vec![b' '; 16 << 20])));
    });
    assert!(large.1.contains("metadata has more than"), "{}", large.1);
}

#[test]
fn n4_headers_are_canonical() {
    let bytes = archive(&members());
    for name in [LABEL, "targets/base", "PaxHeader"] {
        let at = find(&bytes, name);
        for (field, value) in [(100, b'1'), (110, b'1'), (140, b'7'), (156, b'2'), (157, b'x'), (345, b'x'), (511, 1)] {
            assert!(read(&resealed(at, |block| block[field] = value)).is_err(), "{name} {field}");
        }
    }
    let pax = find(&bytes, "PaxHeader");
    let change = |from: &str, to: &str| {
        let mut bytes = bytes.clone();
        let text = String::from_utf8(bytes[pax + 512..pax + 1024].to_vec()).unwrap().replacen(from, to, 1);
        bytes[pax + 512..pax + 1024].copy_from_slice(&text.as_bytes()[..512]);
        read(&bytes).unwrap_err().1
    };
    assert!(change("path=", "size=").contains("pax header"));
    assert!(change("a-name", "b-name").contains("pax header is not that of"));
    assert!(change("\n\0", "\nx").contains("hidden behind a pax header"));
    let (length, _) = std::str::from_utf8(&bytes[pax + 512..]).unwrap().split_once(' ').unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), LONG.len() + " path=\n".len() + length.len());
    // A pax header where none is needed.
    let short = "targets/base/3.os-2.0.0.pkg";
    let mut needless = archive(&members());
    let record = format!("36 path={short}\n");
    assert_eq!(record.len(), 36);
    let block = ustar::encode_as(b'x', "PaxHeader", Bytes(record.len() as u64)).unwrap();
    let mut padded = record.into_bytes();
    padded.resize(512, 0);
    let at = find(&needless, "targets/base");
    needless.splice(at..at, [block.as_slice(), &padded].concat());
    assert!(read(&needless).unwrap_err().1.contains("pax header"));
}

#[test]
fn n5_hidden_data_is_refused() {
    let bytes = archive(&members());
    let label = label().encode().unwrap().len();
    let mut padding = bytes.clone();
    padding[512 + label] = 1;
    assert_eq!(read(&padding).unwrap_err().0, Damage::TrailingData);
    let mut target = bytes.clone();
    let at = find(&bytes, "targets/base") + 512 + 1500;
    target[at] = 1;
    assert_eq!(read(&target).unwrap_err().0, Damage::TrailingData);
    assert_eq!(read(&[bytes.as_slice(), b"x"].concat()).unwrap_err().0, Damage::TrailingData);
    let mut trailer = bytes.clone();
    *trailer.last_mut().unwrap() = 1;
    assert_eq!(read(&trailer).unwrap_err().0, Damage::TrailingData);
}

#[test]
fn n6_a_cut_bundle_is_never_a_whole_one() {
    let bytes = archive(&members());
    for length in 0..bytes.len() {
        assert_eq!(read(&bytes[..length]).unwrap_err().0, Damage::Truncated, "{length}");
    }
}

#[test]
fn a_label_says_only_what_people_may_see() {
    let with = |change: fn(&mut Label)| {
        let mut label = label();
        change(&mut label);
        label.encode().unwrap_err().to_string()
    };
    assert!(with(|label| label.product = "<b>".into()).contains("product"));
    assert!(with(|label| label.appliance = "\u{1b}".into()).contains("appliance"));
    assert!(with(|label| label.created = -1).contains("1970"));
    assert!(with(|label| label.order = vec![label.order[0].clone(); 300]).contains("300 steps"));
    let newer = br#"{"format": 2}"#;
    assert!(matches!(Label::parse(newer), Err(FormatError::Unsupported { .. })));
}
