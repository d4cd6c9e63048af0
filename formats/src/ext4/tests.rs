//! The engine behind its door: what comes out is whole, the same every time, and passes the engine's own verifying reader.

use std::collections::BTreeMap;
use std::io;

use super::*;
use crate::Error;

#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    seen: Vec<u8>,
}

impl Memory {
    fn take(&mut self, offset: u64, length: usize) -> &mut [u8] {
        assert!(offset.is_multiple_of(4096) && length.is_multiple_of(4096), "{offset} {length}");
        let offset = usize::try_from(offset).unwrap();
        let range = offset..offset + length;
        if self.bytes.len() < range.end {
            self.bytes.resize(range.end, 0xEE);
            self.seen.resize(range.end / 4096, 0);
        }
        self.seen[range.start / 4096..range.end / 4096].iter_mut().for_each(|n| *n += 1);
        &mut self.bytes[range]
    }
}

impl Sink for Memory {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.take(offset, bytes.len()).copy_from_slice(bytes);
        Ok(())
    }
    fn zeros(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.take(offset, usize::try_from(length).unwrap()).fill(0);
        Ok(())
    }
}

fn options(size: Bytes, inodes: u32) -> Options {
    Options {
        size,
        uuid: Guid::derive("test", "ext4"),
        label: "test".to_owned(),
        hash_seed: Guid::derive("test", "hash"),
        timestamp: 1_700_000_000,
        journal_blocks: MIN_JOURNAL_BLOCKS,
        inodes,
    }
}

const PLAIN: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0, mtime: 1_700_000_000 };

fn verify(bytes: &[u8]) -> mkext4::reader::Fs<&[u8]> {
    let fs = mkext4::reader::Fs::open(bytes).unwrap();
    let issues = fs.verify().unwrap();
    assert!(issues.is_empty(), "{issues:?}");
    fs
}

/// Directories with long names, files of `length` bytes, slow symlinks.
fn declare(size: Bytes, files: u32, length: u64) -> Result<Option<(Sealed, Vec<Inode>)>> {
    let mut volume = Volume::new(&options(size, FIRST_INODES + 1 + 2 * files))?;
    let directory = volume.directory(ROOT, "directory", &PLAIN)?;
    let mut inodes = Vec::new();
    for number in 0..files {
        inodes.push(volume.file(directory, &format!("file-{number:0>60}"), &PLAIN, Bytes(length))?);
        volume.symlink(directory, &format!("link-{number}"), &"x".repeat(100), &PLAIN)?;
    }
    Ok(volume.seal()?.map(|sealed| (sealed, inodes)))
}

fn smallest(files: u32, length: u64) -> Bytes {
    let blocks = u64::from(files) * length.div_ceil(4096);
    let attempt = |size| declare(size, files, length).map(|sealed| sealed.map(|(sealed, _)| sealed));
    smallest_size::<Error>(FIRST_INODES + 1 + 2 * files, MIN_JOURNAL_BLOCKS, blocks, attempt).unwrap().unwrap()
}

#[test]
fn every_block_arrives_once_and_whole() {
    let (sealed, inodes) = declare(Bytes::mib(32), 20, 5000).unwrap().unwrap();
    let mut memory = Memory::default();
    let mut writer = sealed.write(&mut memory).unwrap();
    for inode in &inodes {
        writer.fill(*inode, &mut [7; 6000].as_slice()).unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(memory.bytes.len(), 32 << 20);
    assert!(memory.seen.iter().all(|n| *n == 1));
    let fs = verify(&memory.bytes);
    let inode = fs.resolve(&format!("/directory/file-{:0>60}", 7)).unwrap();
    assert_eq!(fs.read_file(inode).unwrap(), vec![7; 5000]);
    assert_eq!(fs.superblock().uuid, Guid::derive("test", "ext4").to_uuid_bytes());
}

#[test]
fn too_little_content_and_unfilled_files_are_errors() {
    let (sealed, inodes) = declare(Bytes::mib(16), 2, 5000).unwrap().unwrap();
    let mut writer = sealed.write(Memory::default()).unwrap();
    assert!(writer.fill(inodes[0], &mut [7; 4999].as_slice()).is_err());
    let mut writer = sealed.write(Memory::default()).unwrap();
    writer.fill(inodes[0], &mut [7; 5000].as_slice()).unwrap();
    assert!(writer.finish().unwrap_err().to_string().contains("never filled"));
}

#[test]
fn the_smallest_size_fits_and_one_block_less_does_not() {
    // One group, just above one, a few, and more than one pack of 16 groups.
    for (files, length) in
        [(0, 0), (1, 12 << 20), (3000, 4096), (5, 25 << 20), (9, 26 << 20), (40, 51 << 20), (1, 2180 << 20)]
    {
        let size = smallest(files, length);
        let (sealed, _) = declare(size, files, length).unwrap().expect("the smallest size fits");
        assert!(sealed.end() <= size);
        let less = Bytes(size.0 - 4096);
        // Refused as too small, or as ending inside the metadata of the last group.
        assert!(!matches!(declare(less, files, length), Ok(Some(_))), "{files} files of {length}: {less} fits, too");
    }
    assert_eq!(smallest(0, 0), Bytes::mib(16));
}

#[test]
fn sizes_around_group_boundaries_are_whole() {
    for groups in [1, 2] {
        for extra in [0, 1, 2, 3, 5] {
            let size = Bytes((groups * 32768 + extra) * 4096);
            let Ok(Some((sealed, inodes))) = declare(size, 3, 4096) else { continue };
            let mut memory = Memory::default();
            let mut writer = sealed.write(&mut memory).unwrap();
            for inode in inodes {
                writer.fill(inode, &mut io::repeat(1)).unwrap();
            }
            writer.finish().unwrap();
            assert_eq!(memory.bytes.len() as u64, size.0, "{size}");
            assert!(memory.seen.iter().all(|n| *n == 1), "{size}");
            verify(&memory.bytes);
        }
    }
}

#[test]
fn declarations_that_cannot_be_represented_are_refused_without_a_panic() {
    let mut volume = Volume::new(&options(Bytes::mib(16), 64)).unwrap();
    let file = volume.file(ROOT, "file", &PLAIN, Bytes(1)).unwrap();
    let long = "n".repeat(256);
    for name in ["", ".", "..", "a/b", "a\0b", "lost+found", "file", &long] {
        assert!(volume.directory(ROOT, name, &PLAIN).is_err(), "{name:?}");
        assert!(volume.hard_link(ROOT, name, file).is_err(), "{name:?}");
    }
    assert!(volume.file(file, "child", &PLAIN, Bytes(0)).is_err());
    assert!(volume.file(ROOT, "huge", &PLAIN, Bytes(u64::MAX)).is_err());
    assert!(volume.symlink(ROOT, "empty", "", &PLAIN).is_err());
    assert!(volume.symlink(ROOT, "long", &"t".repeat(4096), &PLAIN).is_err());
    assert!(volume.hard_link(ROOT, "root", ROOT).is_err());
    assert!(volume.special(ROOT, "dev", Device::Char(4096, 0), &PLAIN).is_err());
    assert!(volume.special(ROOT, "dev", Device::Block(0, 1 << 20), &PLAIN).is_err());
    for attributes in [
        Attributes { mode: 0o10_0644, ..PLAIN },
        Attributes { mtime: -(1 << 31) - 1, ..PLAIN },
        Attributes { mtime: (1 << 34) - (1 << 31), ..PLAIN },
        Attributes { mtime: i64::MAX, ..PLAIN },
        Attributes { mtime: i64::MIN, ..PLAIN },
    ] {
        assert!(volume.directory(ROOT, "time", &attributes).is_err(), "{attributes:?}");
        assert!(volume.set_attributes(ROOT, &attributes).is_err(), "{attributes:?}");
    }
    assert!(volume.xattrs(file, &BTreeMap::from([("user.x".to_owned(), vec![0; 5000])])).is_err());
    volume.hard_link(ROOT, "again", file).unwrap();
    assert!(volume.seal().unwrap().is_some(), "refusals leave the volume usable");
}

#[test]
fn at_most_65000_names_for_one_inode() {
    let mut volume = Volume::new(&options(Bytes::mib(16), 64)).unwrap();
    let file = volume.file(ROOT, "file", &PLAIN, Bytes(0)).unwrap();
    for number in 1..65_000 {
        volume.hard_link(ROOT, &number.to_string(), file).unwrap();
    }
    assert!(volume.hard_link(ROOT, "65000", file).is_err());
}

#[test]
fn too_few_inodes_and_too_little_room_are_told_apart() {
    let mut volume = Volume::new(&options(Bytes::mib(16), 0)).unwrap();
    volume.directory(ROOT, "directory", &PLAIN).unwrap();
    assert!(volume.seal().unwrap_err().to_string().contains("12 inodes are needed, 11 were asked for"));
    let mut volume = Volume::new(&options(Bytes::mib(16), 64)).unwrap();
    volume.file(ROOT, "file", &PLAIN, Bytes::mib(15)).unwrap();
    assert!(volume.seal().unwrap().is_none());
}

#[test]
fn an_empty_file_system_is_ready_to_grow() {
    for (mebibytes, journal, groups) in
        [(16, 1024, 1), (64, 4096, 1), (128, 8192, 1), (256, 16384, 2), (1024, 16384, 8)]
    {
        let sealed = empty(Bytes::mib(mebibytes), Guid::derive("test", "data"), "data", 1_700_000_000).unwrap();
        let mut memory = Memory::default();
        sealed.write(&mut memory).unwrap().finish().unwrap();
        assert_eq!(memory.bytes.len() as u64, mebibytes << 20);
        let fs = verify(&memory.bytes);
        assert_eq!(fs.superblock().inodes_count, groups * 8192);
        let journal_inode = fs.inode(8).unwrap();
        assert_eq!(journal_inode.size, journal * 4096);
    }
    assert!(empty(Bytes::mib(8), Guid::ZERO, "data", 0).is_err());
}

#[test]
fn the_same_declaration_gives_the_same_bytes_and_a_changed_one_others() {
    let write = |seed: &str| {
        let options = Options { hash_seed: Guid::derive(seed, "hash"), ..options(Bytes::mib(16), 1024) };
        let mut volume = Volume::new(&options).unwrap();
        for number in 0..600 {
            volume.file(ROOT, &format!("file-{number}"), &PLAIN, Bytes(0)).unwrap();
        }
        let mut memory = Memory::default();
        volume.seal().unwrap().unwrap().write(&mut memory).unwrap().finish().unwrap();
        memory.bytes
    };
    assert!(write("one") == write("one"));
    assert!(write("one") != write("two"), "the hash seed orders large directories");
}

#[test]
fn every_partition_has_a_largest_file_system_that_fits_it() {
    let group = 32_768 * 4096;
    let sizes =
        [Bytes::mib(16), Bytes(group + 4096), Bytes(group + 8192), Bytes(17 * group + 5), Bytes(700 * group + 9)];
    for size in sizes {
        let within = growable_within(size);
        assert!(within <= size && size.0 - within.0 <= group, "{size}: {within}");
        assert!(empty(within, Guid::new(1), "data", 0).is_ok(), "{size}");
    }
    assert_eq!(growable_within(Bytes(group + 4096)), Bytes(group));
    assert_eq!(growable_within(Bytes(u64::MAX)), MAX_SIZE);
}
