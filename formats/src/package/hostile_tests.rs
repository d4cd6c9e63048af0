//! The numbered attacks of `read.rs`, each refused.

use super::tests::{Parts, ROLES, archive, frames, key, read, trust};
use super::*;
use crate::Digest;
use crate::trust::Role;

/// The refusal of an archive; what it was about to do must not have handed out a changed image.
fn refusal(bytes: &[u8]) -> String {
    let (image, result) = read(bytes);
    let whole = Parts::new(Kind::Base).image;
    assert!(whole.starts_with(&image) || image.is_empty(), "a wrong byte was handed out");
    // The first pass over a file finds the same, but for what only shows once a frame is decompressed.
    let ahead = super::tests::read_twice(bytes).unwrap_err().to_string();
    match result {
        Err(Error::Format(error)) => {
            assert_eq!(error.to_string(), ahead);
            ahead
        }
        Err(Error::Io(error)) => panic!("input was read from memory: {error}"),
        Ok(_) => panic!("accepted"),
    }
}

fn assert_refused(bytes: &[u8], expected: &str) {
    let text = refusal(bytes);
    assert!(text.contains(expected), "{text:?} does not contain {expected:?}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// The base package with its header of `name` changed; the checksum is made right when `seal`.
fn header(name: &str, seal: bool, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = Parts::new(Kind::Base).archive();
    let mut at = 0;
    while !bytes[at..].starts_with(name.as_bytes()) {
        let size = std::str::from_utf8(&bytes[at + 124..at + 135]).unwrap();
        at += 512 + usize::from_str_radix(size, 8).unwrap().next_multiple_of(512);
    }
    let block = &mut bytes[at..at + 512];
    change(block);
    if seal {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}

/// A correctly signed base package with this chunk index.
fn indexed(change: impl Fn(&mut Vec<Chunk>)) -> Vec<u8> {
    let parts = Parts::new(Kind::Base);
    let mut chunks = ChunkIndex::parse(parts.member(CHUNKS)).unwrap().chunks().to_vec();
    change(&mut chunks);
    let index = chunks::unchecked(chunks).encode();
    parts.with(CHUNKS, &index).listed().archive()
}

/// A correctly signed base package whose first frame is `frame`; its record says what it says about itself.
fn framed(frame: &[u8]) -> Vec<u8> {
    let parts = Parts::new(Kind::Base);
    let mut chunks = ChunkIndex::parse(parts.member(CHUNKS)).unwrap().chunks().to_vec();
    let rest = parts.member(IMAGE)[chunks[0].frame_length as usize..].to_vec();
    chunks[0].frame_length = u32::try_from(frame.len()).unwrap();
    chunks[0].frame_digest = Digest::of(frame);
    let mut at = 0;
    for chunk in &mut chunks {
        chunk.frame_offset = Bytes(at);
        at += u64::from(chunk.frame_length);
    }
    let index = chunks::unchecked(chunks).encode();
    parts.with(CHUNKS, &index).with(IMAGE, &[frame, &rest].concat()).listed().archive()
}

#[test]
fn n01_refuses_a_manifest_nobody_trusted_signed() {
    let parts = Parts::new(Kind::Base);
    let mut entries = parts.entries();
    entries[1].1 = signature::sign(&parts.manifest_bytes(), &[key(Role::Site)]).unwrap();
    assert_refused(&archive(&entries), "is for a base package; site was expected");
    entries[1].1 = parts.signature_bytes();
    entries[0].1.push(b' ');
    assert_refused(&archive(&entries), "did not sign these bytes");
    entries[0].1 = b"\x1b[2J not even JSON".to_vec();
    assert_refused(&archive(&entries), "did not sign these bytes");
    let none = Package::open(parts.archive().as_slice(), &trust(), &[]).unwrap_err();
    assert!(none.to_string().contains("no kind of package is accepted"), "{none}");
    let site = Package::open(parts.archive().as_slice(), &trust(), &[Role::Site]).unwrap_err();
    assert!(site.to_string().contains("is for role base"), "{site}");
    assert!(Package::open(parts.archive().as_slice(), &trust(), &ROLES).is_ok());
}

#[test]
fn n02_refuses_names_that_are_not_the_one_expected() {
    for name in
        ["../manifest.json", "/manifest.json", "./manifest.json", "Manifest.json", "manifest.json/", "x", "\u{1b}[2J"]
    {
        let mut entries = Parts::new(Kind::Base).entries();
        entries[0].0 = name.to_owned();
        assert_refused(&archive(&entries), "where \"manifest.json\" must be");
    }
    assert_refused(&header(NOTES, true, |block| block[..3].copy_from_slice(b"\xff\xfe\xfd")), "not UTF-8");
    assert_refused(&header(NOTES, true, |block| block[50] = b'x'), "unexpected name field");
    assert_refused(&header(NOTES, true, |block| block[345] = b'x'), "unexpected prefix field");
    let mut parts = Parts::new(Kind::Base);
    parts.members.push(("extra.bin".to_owned(), vec![1]));
    parts.list();
    assert_refused(&parts.archive(), "a base package has no member \"extra.bin\"");
    let mut licence = Parts::new(Kind::Licence);
    licence.members.push((IMAGE.to_owned(), vec![1]));
    licence.list();
    assert_refused(&licence.archive(), "a licence package has no member \"image.zst\"");
}

#[test]
fn n03_refuses_another_order_duplicates_and_missing_members() {
    let entries = Parts::new(Kind::Site).entries();
    for first in 0..entries.len() - 1 {
        let mut swapped = entries.clone();
        swapped.swap(first, first + 1);
        assert!(refusal(&archive(&swapped)).contains("must be"), "swapped at {first}");
    }
    for number in 0..entries.len() {
        let mut twice = entries.clone();
        twice.insert(number, entries[number].clone());
        let mut without = entries.clone();
        without.remove(number);
        refusal(&archive(&twice));
        refusal(&archive(&without));
    }
    for name in [NOTES, SBOM, CHUNKS, IMAGE] {
        let mut parts = Parts::new(Kind::Base);
        parts.members.retain(|(other, _)| other != name);
        parts.list();
        assert_refused(&parts.archive(), &format!("lists no \"{name}\""));
    }
}

#[test]
fn n04_refuses_sizes_that_differ_from_the_manifest() {
    for name in [NOTES, SBOM, CHUNKS, IMAGE] {
        let parts = Parts::new(Kind::Base);
        let longer = [parts.member(name), b"x"].concat();
        assert_refused(&parts.clone().with(name, &longer).archive(), "its manifest says");
        assert_refused(&parts.clone().with(name, &longer[..longer.len() - 2]).archive(), "its manifest says");
    }
}

#[test]
fn n05_refuses_huge_members_before_reading_them() {
    let mut entries = Parts::new(Kind::Base).entries();
    entries[0].1 = vec![b' '; manifest::MAX_SIZE + 1];
    assert_refused(&archive(&entries), "at most 49152 are allowed");
    entries[0].1 = vec![];
    entries[1].1 = vec![b' '; signature::MAX_SIZE + 1];
    assert_refused(&archive(&entries), "at most 12288 are allowed");
    assert_refused(&header(MANIFEST, true, |block| block[124..135].fill(b'7')), "at most 49152 are allowed");
    // Base-256 lengths are a GNU extension.
    assert_refused(&header(MANIFEST, true, |block| block[124..136].fill(0xff)), "not eleven octal digits");
    assert_refused(&header(MANIFEST, true, |block| block[124] = b' '), "not eleven octal digits");
    for (name, limit) in [(NOTES, MAX_TEXT), (SBOM, MAX_SBOM), (CHUNKS, chunks::MAX_SIZE)] {
        let mut parts = Parts::new(Kind::Base);
        parts.manifest.members.get_mut(name).unwrap().size = Bytes(limit as u64 + 1);
        assert_refused(&parts.archive(), &format!("at most {limit} are allowed"));
    }
    let mut parts = Parts::new(Kind::Base);
    parts.manifest.members.get_mut(IMAGE).unwrap().size = Bytes(MAX_MEMBER.0 + 1);
    assert_refused(&parts.archive(), "at most 8589934591 are allowed");
}

#[test]
fn n06_refuses_trailing_data_anywhere() {
    let good = Parts::new(Kind::Base).archive();
    for more in [vec![0], vec![0; 512], vec![b'x'; 10_240], good.clone()] {
        assert_refused(&[good.clone(), more].concat(), "something follows its last member");
    }
    let mut inside = good.clone();
    *inside.last_mut().unwrap() = 1;
    assert_refused(&inside, "something follows its last member");
    let mut entries = Parts::new(Kind::Base).entries();
    entries.push(("extra".to_owned(), vec![]));
    assert_refused(&archive(&entries), "something follows its last member");
    let mut padded = good;
    padded[512 + Parts::new(Kind::Base).manifest_bytes().len()] = 1;
    assert_refused(&padded, "hidden behind a member");
}

#[test]
fn n07_refuses_everything_but_plain_files() {
    let kinds = [
        (b'1', "a hard link"),
        (b'2', "a symbolic link"),
        (b'3', "a device or pipe"),
        (b'5', "a directory"),
        (b'6', "a device or pipe"),
        (b'x', "a pax header"),
        (b'g', "a pax header"),
        (b'L', "a GNU extension"),
        (b'S', "a GNU extension"),
        (0, "of an unknown type"),
        (b'7', "of an unknown type"),
    ];
    for (kind, text) in kinds {
        for name in [MANIFEST, NOTES, IMAGE] {
            assert_refused(&header(name, true, |block| block[156] = kind), text);
        }
    }
    for (at, field) in [(100, "mode"), (108, "owner"), (116, "group"), (136, "time"), (157, "link"), (257, "magic")] {
        assert_refused(&header(NOTES, true, |block| block[at] ^= 1), &format!("unexpected {field} field"));
    }
    assert_refused(
        &header(NOTES, true, |block| block[257..265].copy_from_slice(b"ustar  \0")),
        "unexpected magic field",
    );
}

#[test]
fn n08_refuses_a_wrong_header_checksum() {
    for name in [MANIFEST, SIGNATURES, NOTES, IMAGE] {
        assert_refused(&header(name, false, |block| block[148] ^= 1), "checksum of a tar header");
        assert_refused(&header(name, false, |block| block[130] ^= 1), "checksum of a tar header");
    }
}

#[test]
fn n09_refuses_an_archive_cut_anywhere() {
    let good = Parts::new(Kind::Site).archive();
    for length in
        (0..good.len()).step_by(257).chain((good.len() - 1100..good.len()).step_by(61)).chain([good.len() - 1])
    {
        assert_refused(&good[..length], "cut off");
    }
    for length in 0..7 {
        assert_refused(&archive(&Parts::new(Kind::Site).entries()[..length]), "ends before its last member");
    }
}

#[test]
fn n10_refuses_a_member_of_another_package() {
    for name in [NOTES, SBOM, CHUNKS] {
        let parts = Parts::new(Kind::Base);
        let mut other = parts.member(name).to_vec();
        other[0] ^= 1;
        let text = refusal(&parts.with(name, &other).archive());
        assert!(text.contains(&format!("\"{name}\" does not match the digest")), "{text}");
    }
    let mut image = Parts::new(Kind::Base).member(IMAGE).to_vec();
    image[100] ^= 1;
    assert_refused(&Parts::new(Kind::Base).with(IMAGE, &image).archive(), "chunk at 0: its frame does not match");
}

#[test]
fn n11_refuses_text_that_steers_a_console() {
    for (text, expected) in [
        (b"\x1b[2J".as_slice(), "control character \\u{1b}"),
        (b"a\rb", "control character \\u{d}"),
        (b"a\0b", "control character \\u{0}"),
        ("\u{9b}2J".as_bytes(), "control character \\u{9b}"),
        (b"\xff", "not UTF-8"),
    ] {
        assert_refused(&Parts::new(Kind::Base).with(NOTES, text).listed().archive(), expected);
        assert_refused(&Parts::new(Kind::Site).with(EULA, text).listed().archive(), expected);
    }
}

#[test]
fn n12_refuses_chunks_that_do_not_cover_the_image_exactly_once() {
    assert_refused(&indexed(|chunks| chunks[1].offset = Bytes(4096)), "overlaps the one before");
    assert_refused(&indexed(|chunks| chunks[1].offset.0 += 4096), "leaves a gap");
    assert_refused(&indexed(|chunks| chunks[1].offset = Bytes(u64::MAX)), "leaves a gap");
    assert_refused(&indexed(|chunks| chunks.swap(0, 1)), "chunk 0 at 1048576 leaves a gap");
    assert_refused(&indexed(|chunks| chunks[0].length -= 1), "not a multiple of 4096");
    assert_refused(&indexed(|chunks| chunks[0].length = 0), "1 to 1048576 are allowed");
    assert_refused(&indexed(|chunks| chunks[0].length += 4096), "1 to 1048576 are allowed");
    assert_refused(&indexed(|chunks| chunks[0].frame_length = 0), "are possible");
    assert_refused(&indexed(|chunks| chunks[0].frame_length = u32::MAX), "are possible");
    assert_refused(&indexed(|chunks| chunks[1].frame_offset = Bytes(0)), "it must begin at");
    assert_refused(&indexed(|chunks| chunks.truncate(2)), "its chunks end at");
    assert_refused(&indexed(Vec::clear), "its chunks end at 0");
    assert_refused(&indexed(|chunks| chunks[2].frame_length -= 1), "its frames end at");
    let bytes = Parts::new(Kind::Base).member(CHUNKS).to_vec();
    let edited = |at: usize, byte: u8| {
        let mut index = bytes.clone();
        index[at] = byte;
        Parts::new(Kind::Base).with(CHUNKS, &index).listed().archive()
    };
    assert_refused(&edited(0, b'x'), "does not begin with its magic");
    assert_refused(&edited(16, 2), "version 2");
    assert_refused(&edited(20, 4), "4 records have 88 bytes each");
    assert_refused(&edited(23, 1), "at most 32768 are allowed");
    let cut = Parts::new(Kind::Base).with(CHUNKS, &bytes[..23]).listed().archive();
    assert_refused(&cut, "its header has 24");
}

#[test]
fn n13_refuses_frames_that_make_more_or_less_than_their_record() {
    let bomb = |length: usize| zstd::bulk::compress(&vec![0; length], 19).unwrap();
    assert_refused(&framed(&bomb(1 << 30)), "does not state the 1048576 bytes");
    assert_refused(&framed(&bomb(MAX_CHUNK - 1)), "does not state the 1048576 bytes");
    // A frame that states the right length and has more: its size field is rewritten.
    let mut lying = bomb(MAX_CHUNK + 4096);
    assert_eq!(lying[4] & 0xe0, 0xa0, "single segment, four bytes of content size");
    lying[5..9].copy_from_slice(&0x10_0000_u32.to_le_bytes());
    assert_refused(&framed(&lying), "does not decompress to 1048576 bytes");
    // Streaming frames state no length.
    let unstated = zstd::stream::encode_all([0; 4096].as_slice(), 3).unwrap();
    assert_refused(&framed(&unstated), "does not state");
    assert_refused(&framed(&bomb(MAX_CHUNK)), "its content does not match its digest");
}

#[test]
fn n14_shows_the_decompressor_nothing_unsigned() {
    let parts = Parts::new(Kind::Base);
    for at in [0, 5, 1000, parts.member(IMAGE).len() - 1] {
        let mut image = parts.member(IMAGE).to_vec();
        image[at] ^= 0x40;
        assert_refused(&parts.clone().with(IMAGE, &image).archive(), "its frame does not match its digest");
    }
}

#[test]
fn n15_refuses_anything_but_one_frame_in_a_record() {
    let (frames, _) = frames(&Parts::new(Kind::Base).image[..MAX_CHUNK]);
    let skippable = [b"\x50\x2a\x4d\x18\x04\0\0\0zero".as_slice(), &frames].concat();
    let empty = [frames.as_slice(), &zstd::bulk::compress(&[], 3).unwrap()].concat();
    for data in [&skippable, &empty, &[frames.as_slice(), b"x"].concat(), &frames[..frames.len() - 1].to_vec()] {
        assert_refused(&framed(data), "not exactly one zstd frame");
    }
    assert_refused(&framed(b"rubbish"), "not exactly one zstd frame");
}

#[test]
fn n16_refuses_an_image_whose_own_digest_does_not_match() {
    let mut parts = Parts::new(Kind::Base);
    parts.manifest.members.get_mut(IMAGE).unwrap().digest = Digest([0; 32]);
    let (image, result) = read(&parts.archive());
    assert!(image == parts.image, "every chunk was good");
    assert!(
        super::tests::read_twice(&parts.archive()).is_err(),
        "nothing is handed out once the whole is checked first"
    );
    assert!(result.unwrap_err().to_string().contains("\"image.zst\" does not match the digest"));
}
