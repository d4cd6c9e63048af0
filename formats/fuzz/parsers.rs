//! What each fuzz target does with its bytes, shared with the deterministic sample in `tests/fuzz_sample.rs`.
//!
//! Every function must return for every input: no panic, no endless loop, no memory beyond the parser's stated bounds. What is accepted
//! must also survive being printed and encoded again. Where a checksum would refuse every mutation, the bytes are tried once as they
//! are and once with the checksum made right, so that the fields behind it are reached.

#![allow(dead_code, reason = "each fuzz target uses one of these functions")]

use formats::boot_state::{BootState, Event, newest, next, select};
use formats::footer::{self, Footer};
use formats::gpt::Gpt;
use formats::manifest::Manifest;
use formats::mbr::Mbr;
use formats::signature::SignatureSet;
use formats::trust::TrustStore;
use formats::verity::Superblock;
use formats::{Digest, SectorSize, SlotId, fat};

/// Runs the target of this name; false when there is none.
pub fn run(target: &str, data: &[u8]) -> bool {
    match target {
        "gpt" => gpt(data),
        "boot_state" => boot_state(data),
        "fat" => fat(data),
        "footer" => footer(data),
        "manifest" => manifest(data),
        "verity_superblock" => verity_superblock(data),
        _ => return false,
    }
    true
}

/// Partition table: the bytes are a whole tiny disk.
pub fn gpt(data: &[u8]) {
    gpt_disk(data);
    gpt_disk(&with_right_gpt_checksums(data));
}

fn gpt_disk(disk: &[u8]) {
    for sector in [SectorSize::S512, SectorSize::S4096] {
        let sectors = disk.len() as u64 / sector.bytes();
        drop(Mbr::parse(disk, sectors));
        drop(Gpt::parse_backup(disk, sector, sectors));
        let Ok((table, copies)) = Gpt::read(disk, disk, sector, sectors) else { continue };
        assert!(!format!("{table}{copies}").is_empty());
        drop(table.grown_to(table.disk_sectors().saturating_mul(2)));
        let mut head = vec![0; usize::try_from(sector.bytes()).expect("a sector fits memory")];
        head.extend(table.encode_primary());
        assert_eq!(Gpt::parse_primary(&head, sector).as_ref(), Ok(&table));
        let (_, backup) = table.encode_backup();
        assert_eq!(Gpt::parse_backup(&backup, sector, table.disk_sectors()), Ok(table));
    }
}

/// Both checksums of the primary copy of a disk with 512-byte sectors, over the lengths its header states.
fn with_right_gpt_checksums(disk: &[u8]) -> Vec<u8> {
    let mut disk = disk.to_vec();
    let Some(header) = disk.get(512..604) else { return disk };
    let number = |at: usize| header[at..].first_chunk().copied().map_or(0, u32::from_le_bytes) as usize;
    let start = number(72).saturating_mul(512);
    let entries = disk.get(start..start.saturating_add(number(80).saturating_mul(128)));
    let crc = entries.map_or(0, crc32fast::hash);
    disk[600..604].copy_from_slice(&crc.to_le_bytes());
    disk[528..532].fill(0);
    let crc = crc32fast::hash(&disk[512..604]);
    disk[528..532].copy_from_slice(&crc.to_le_bytes());
    disk
}

/// Boot state block, alone and as one of two copies; an accepted state goes through every transition.
pub fn boot_state(data: &[u8]) {
    let (first, second) = data.split_at(data.len() / 2);
    assert!(newest([first, second]).is_none_or(|(index, _)| index < 2));
    let Ok(state) = BootState::parse(data) else { return };
    assert!(!state.to_string().is_empty());
    assert_eq!(BootState::parse(&state.encode().expect("a parsed state can be encoded")), Ok(state));
    assert!(select(&state).started(|_| true).is_some());
    for slot in SlotId::BOTH {
        let events = [Event::BeginWrite, Event::Arm, Event::Commit, Event::Refill, Event::GiveUp, Event::SwitchSite];
        for event in events.into_iter().chain([Event::CountTry as fn(SlotId) -> Event, Event::LastResort]) {
            if let Ok(after) = next(&state, event(slot)) {
                assert!(after.encode().is_ok());
            }
        }
    }
}

/// FAT volume: list it and read its small files.
pub fn fat(data: &[u8]) {
    let Ok(mut volume) = fat::open_slice(data) else { return };
    assert!(!volume.to_string().is_empty());
    let Ok(files) = volume.files() else { return };
    for file in files.iter().filter(|file| file.size.0 <= 64 << 10).take(16) {
        if let Ok(content) = volume.read_file(file) {
            assert_eq!(content.len() as u64, file.size.0);
        }
    }
}

/// Slot footer; the bytes are its beginning, zeros follow.
pub fn footer(data: &[u8]) {
    drop(Footer::parse(data));
    let mut area = data.to_vec();
    area.resize(footer::FOOTER_SIZE, 0);
    drop(Footer::parse(&area));
    let (content, checksum) = area.split_at_mut(footer::FOOTER_SIZE - 32);
    checksum.copy_from_slice(&Digest::of(content).0);
    let Ok(parsed) = Footer::parse(&area) else { return };
    assert!(!parsed.to_string().is_empty());
    let encoded = footer::encode(&parsed.manifest, &parsed.signatures).expect("a parsed footer can be encoded");
    assert_eq!(Footer::parse(&encoded), Ok(parsed));
}

/// The three JSON documents: manifest, signature set, trust store.
pub fn manifest(data: &[u8]) {
    if let Ok(manifest) = Manifest::parse(data) {
        assert!(!manifest.to_string().is_empty());
        if let Ok(again) = manifest.encode() {
            assert_eq!(Manifest::parse(&again), Ok(manifest));
        }
    }
    if let Ok(set) = SignatureSet::parse(data) {
        assert!(set.encode().is_ok());
    }
    if let Ok(store) = TrustStore::parse(data) {
        assert!(store.encode().is_ok());
    }
}

/// dm-verity superblock.
pub fn verity_superblock(data: &[u8]) {
    let Ok(superblock) = Superblock::parse(data) else { return };
    assert!(!superblock.to_string().is_empty());
    assert_eq!(Superblock::parse(&superblock.encode()), Ok(superblock));
}
