use super::*;

const MIB_SECTORS: u64 = 2048;

fn partition(name: &str, first: u64, last: u64) -> Partition {
    Partition {
        type_guid: types::LINUX_DATA,
        guid: Guid::derive("test", name),
        first: Lba(first),
        last: Lba(last),
        attributes: 0,
        name: name.to_owned(),
    }
}

fn table(partitions: Vec<(u32, Partition)>) -> Result<Gpt> {
    let disk_guid = Guid::derive("test", "disk");
    Gpt::new(disk_guid, SectorSize::S512, 16 * MIB_SECTORS, partitions.into_iter().collect())
}

fn sample() -> Gpt {
    let mut bios = partition("bios", 2048, 4095);
    bios.type_guid = types::BIOS_BOOT;
    bios.attributes = 4;
    table(vec![(1, bios), (4, partition("base-a", 4096, 8191)), (8, partition("data", 8192, 15 * MIB_SECTORS - 1))])
        .unwrap()
}

/// The bytes of a disk with this table, without boot code.
fn disk(gpt: &Gpt) -> Vec<u8> {
    let sector = usize::try_from(gpt.sector().bytes()).unwrap();
    let mut bytes = vec![0; usize::try_from(gpt.disk_sectors()).unwrap() * sector];
    let primary = gpt.encode_primary();
    bytes[sector..sector + primary.len()].copy_from_slice(&primary);
    let (at, backup) = gpt.encode_backup();
    bytes[at.0 as usize * sector..].copy_from_slice(&backup);
    bytes
}

fn read(bytes: &[u8], sector: SectorSize) -> Result<(Gpt, Copies)> {
    let size = sector.bytes() as usize;
    let edge = 34 * size;
    Gpt::read(&bytes[..edge], &bytes[bytes.len() - edge..], sector, (bytes.len() / size) as u64)
}

/// Changes a field of the primary header and makes its checksum right again.
fn with_header_field(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[512 + at..512 + at + field.len()].copy_from_slice(field);
    bytes[528..532].fill(0);
    let crc = crc32fast::hash(&bytes[512..604]);
    bytes[528..532].copy_from_slice(&crc.to_le_bytes());
}

/// Makes both checksums of the primary right again after a change of an entry.
fn with_right_checksums(bytes: &mut [u8]) {
    let crc = crc32fast::hash(&bytes[1024..1024 + 16384]);
    with_header_field(bytes, 88, &crc.to_le_bytes());
}

fn primary_error(bytes: &[u8]) -> String {
    Gpt::parse_primary(&bytes[..34 * 512], SectorSize::S512).unwrap_err().to_string()
}

#[test]
fn both_copies_survive_the_round_trip() {
    let gpt = sample();
    assert_eq!(read(&disk(&gpt), SectorSize::S512), Ok((gpt, Copies::Both)));
}

#[test]
fn reads_disks_with_4096_byte_sectors() {
    let one = BTreeMap::from([(3, partition("data", 256, 511))]);
    let gpt = Gpt::new(Guid::derive("test", "disk"), SectorSize::S4096, 1024, one).unwrap();
    assert_eq!((gpt.first_usable(), gpt.last_usable()), (Lba(6), Lba(1018)));
    assert_eq!(read(&disk(&gpt), SectorSize::S4096), Ok((gpt, Copies::Both)));
}

#[test]
fn finds_partitions_by_name() {
    let gpt = sample();
    let (number, found) = gpt.partition("base-a").unwrap();
    assert_eq!((number, gpt.extent(found)), (4, (Bytes::mib(2), Bytes::mib(2))));
    assert_eq!(gpt.partition("base-b"), None);
}

#[test]
fn prints_readable_lines() {
    let text = sample().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0], format!("disk {}, 16 MiB, 512-byte sectors", Guid::derive("test", "disk")));
    assert_eq!(
        lines[1],
        format!(
            "  1  bios        LBA       2048 to       4095       1 MiB  BIOS boot  {}  attributes 0x4",
            Guid::derive("test", "bios")
        )
    );
}

#[test]
fn refuses_tables_that_contradict_themselves() {
    let cases = [
        (
            vec![(4, partition("base-a", 2048, 4095)), (5, partition("base-b", 4000, 6000))],
            "partition 4 \"base-a\" (LBA 2048 to 4095) overlaps partition 5 \"base-b\" (LBA 4000 to 6000)",
        ),
        (
            vec![(1, partition("outer", 2048, 9000)), (2, partition("inner", 3000, 4000))],
            "partition 1 \"outer\" (LBA 2048 to 9000) overlaps partition 2 \"inner\" (LBA 3000 to 4000)",
        ),
        (
            vec![
                (1, partition("data", 2048, 4095)),
                (2, Partition { guid: Guid::new(1), ..partition("data", 4096, 8000) }),
            ],
            "partitions 1 and 2 have the same name \"data\"",
        ),
        (
            vec![
                (1, partition("one", 2048, 4095)),
                (2, Partition { guid: Guid::derive("test", "one"), ..partition("two", 4096, 8000) }),
            ],
            "partitions 1 and 2 have the same GUID",
        ),
        (vec![(1, partition("early", 33, 4095))], "leaves the usable range, LBA 34 to 32734"),
        (vec![(1, partition("late", 2048, 32735))], "leaves the usable range, LBA 34 to 32734"),
        (vec![(1, partition("back", 4096, 4095))], "ends before it begins"),
        (vec![(0, partition("zero", 2048, 4095))], "number outside 1 to 128"),
        (vec![(129, partition("high", 2048, 4095))], "number outside 1 to 128"),
        (vec![(1, partition(&"n".repeat(37), 2048, 4095))], "37 UTF-16 code units"),
        (vec![(1, Partition { guid: Guid::ZERO, ..partition("zero", 2048, 4095) })], "zero GUID"),
    ];
    for (partitions, expected) in cases {
        let error = table(partitions).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\n  lacks {expected}");
    }
}

#[test]
fn refuses_disks_without_room() {
    let make = |sectors| Gpt::new(Guid::new(1), SectorSize::S512, sectors, BTreeMap::new());
    assert!(make(66).unwrap_err().to_string().contains("66 sectors"));
    assert!(make(u64::MAX).is_err());
    assert!(make(100).is_ok());
}

#[test]
fn refuses_damaged_and_unknown_headers() {
    let good = disk(&sample());
    let field_cases: [(usize, &[u8], &str); 8] = [
        (8, &2_u32.to_le_bytes(), "revision 0x2"),
        (24, &2_u64.to_le_bytes(), "belongs at LBA 2"),
        (72, &u64::MAX.to_le_bytes(), "entries at LBA 18446744073709551615"),
        (72, &30_u64.to_le_bytes(), "outside the bytes read"),
        (80, &0_u32.to_le_bytes(), "0 entries"),
        (80, &129_u32.to_le_bytes(), "129 entries; 1 to 128 are accepted"),
        (84, &256_u32.to_le_bytes(), "entries of 256 bytes; only 128 are known"),
        (48, &8192_u64.to_le_bytes(), "leaves the usable range, LBA 34 to 8192"),
    ];
    for (at, field, expected) in field_cases {
        let mut bytes = good.clone();
        with_header_field(&mut bytes, at, field);
        let error = primary_error(&bytes);
        assert!(error.contains(expected), "{error}\n  lacks {expected}");
    }
    for (at, value, expected) in [
        (512, b'e', "\"EFI PART\" is missing"),
        (512 + 12, 91, "header size 91 is not 92 to 512"),
        (512 + 15, 1, "header size"),
        (512 + 16, 0, "header checksum"),
        (512 + 57, 0, "header checksum"),
        (1024 + 40, 0xee, "entry array checksum"),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        let error = primary_error(&bytes);
        assert!(error.contains(expected), "{error}\n  lacks {expected}");
    }
}

#[test]
fn refuses_entries_that_break_the_rules_even_with_right_checksums() {
    let good = disk(&sample());
    let entry = |number: usize| 1024 + (number - 1) * 128;
    let cases: [(usize, &[u8], &str); 5] = [
        (entry(4) + 40, &9000_u64.to_le_bytes(), "partition 4 \"base-a\" (LBA 4096 to 9000) overlaps partition 8"),
        (entry(8) + 40, &u64::MAX.to_le_bytes(), "leaves the usable range"),
        (entry(8) + 32, &1_u64.to_le_bytes(), "leaves the usable range"),
        (entry(8) + 56, b"b\0a\0s\0e\0-\0a\0\0\0", "same name \"base-a\""),
        (entry(8) + 56, &[0x00, 0xd8, 0, 0], "partition 8 is not UTF-16"),
    ];
    for (at, bytes, expected) in cases {
        let mut disk = good.clone();
        disk[at..at + bytes.len()].copy_from_slice(bytes);
        with_right_checksums(&mut disk);
        let error = primary_error(&disk);
        assert!(error.contains(expected), "{error}\n  lacks {expected}");
    }
}

#[test]
fn every_truncation_of_the_head_is_refused() {
    let bytes = disk(&sample());
    for length in (0..34 * 512).step_by(61) {
        assert!(Gpt::parse_primary(&bytes[..length], SectorSize::S512).is_err(), "{length}");
        assert!(
            Gpt::parse_backup(&bytes[bytes.len() - length..], SectorSize::S512, 32768).is_err() || length >= 33 * 512
        );
    }
}

#[test]
fn uses_the_backup_when_the_primary_is_torn() {
    let gpt = sample();
    let mut bytes = disk(&gpt);
    bytes[1024 + 300] ^= 0xff;
    let (read_back, copies) = read(&bytes, SectorSize::S512).unwrap();
    assert_eq!(read_back, gpt);
    assert!(
        matches!(copies, Copies::BackupOnly { ref primary } if primary.to_string().contains("entry array")),
        "{copies:?}"
    );
}

#[test]
fn reports_a_damaged_backup_and_refuses_two_damaged_copies() {
    let gpt = sample();
    let mut bytes = disk(&gpt);
    let length = bytes.len();
    bytes[length - 512] = 0;
    let (read_back, copies) = read(&bytes, SectorSize::S512).unwrap();
    assert_eq!(read_back, gpt);
    assert!(matches!(copies, Copies::PrimaryOnly { .. }));
    bytes[512] = 0;
    let error = read(&bytes, SectorSize::S512).unwrap_err().to_string();
    assert!(error.contains("primary GPT") && error.contains("backup GPT"), "{error}");
}

#[test]
fn growing_keeps_everything_and_extends_data_to_a_whole_mib() {
    let gpt = sample();
    let sectors = 40 * MIB_SECTORS + 7;
    let grown = gpt.grown_to(sectors).unwrap();
    assert_eq!(grown.disk_sectors(), sectors);
    assert_eq!(grown.partition("data").unwrap().1.last, Lba(39 * MIB_SECTORS - 1));
    assert_eq!(grown.partition("bios"), gpt.partition("bios"));
    assert_eq!(grown.partition("base-a"), gpt.partition("base-a"));
    assert_eq!(grown.grown_to(sectors), Ok(grown));
}

#[test]
fn growing_never_shrinks_and_never_grows_another_partition() {
    let gpt = sample();
    assert!(gpt.grown_to(16 * MIB_SECTORS - 1).unwrap_err().to_string().contains("table was made for 32768"));
    let other = table(vec![(1, partition("data", 2048, 4095)), (2, partition("site-b", 4096, 8191))]).unwrap();
    let error = other.grown_to(64 * MIB_SECTORS).unwrap_err().to_string();
    assert!(error.contains("\"site-b\", not \"data\""), "{error}");
    let nearly_full = table(vec![(8, partition("data", 2048, 32734))]).unwrap();
    assert_eq!(nearly_full.grown_to(16 * MIB_SECTORS), Ok(nearly_full));
}

/// A grown disk keeps its old backup in the middle; whatever prefix of the new copies is written, one of the two tables is read.
#[test]
fn an_interrupted_growth_is_readable_at_every_sector() {
    let old = sample();
    let new = old.grown_to(20 * MIB_SECTORS).unwrap();
    let mut bytes = disk(&old);
    bytes.resize(20 << 20, 0);
    assert!(matches!(read(&bytes, SectorSize::S512), Ok((ref gpt, Copies::PrimaryOnly { .. })) if *gpt == old));
    let (backup_at, backup) = new.encode_backup();
    let primary = new.encode_primary();
    let backup_sectors = backup.chunks(512).enumerate().map(|(index, data)| (backup_at.0 as usize + index, data));
    let primary_sectors = primary.chunks(512).enumerate().map(|(index, data)| (1 + index, data));
    for (sector, data) in backup_sectors.chain(primary_sectors) {
        bytes[sector * 512..][..512].copy_from_slice(data);
        let (gpt, _) = read(&bytes, SectorSize::S512).unwrap();
        assert!(gpt == old || gpt == new, "after sector {sector}");
    }
    assert_eq!(read(&bytes, SectorSize::S512), Ok((new, Copies::Both)));
}
