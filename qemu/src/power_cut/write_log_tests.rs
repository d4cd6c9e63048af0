//! Logs that are whole, damaged and cut off.

use super::*;
use crate::power_cut::fixture::LogWriter;

const DISK: Bytes = Bytes::MIB;

fn open(bytes: Vec<u8>) -> Result<WriteLog<Vec<u8>>> {
    WriteLog::open(bytes, DISK)
}

/// The first error of a log.
fn problem(bytes: Vec<u8>) -> String {
    let log = match open(bytes) {
        Ok(log) => log,
        Err(error) => return error.to_string(),
    };
    let found = log.entries().find_map(std::result::Result::err);
    found.map_or_else(|| "nothing wrong".into(), |error| error.to_string())
}

fn sample() -> LogWriter {
    let mut log = LogWriter::new();
    log.write(4096, &[7; 1024]);
    log.flush();
    log.entry(8, 1, FUA, &[9; 512]);
    log.entry(0, 16, DISCARD, &[]);
    log.mark("here\u{1b}[2J");
    log.entry(1, 1, FLUSH | FUA, &[1; 512]);
    log
}

#[test]
fn every_kind_of_entry_is_read_with_its_data() {
    let log = open(sample().bytes()).unwrap();
    let entries: Vec<Entry> = log.entries().map(|entry| entry.unwrap()).collect();
    let shown: Vec<(bool, bool, &Operation)> =
        entries.iter().map(|entry| (entry.flush, entry.durable, &entry.operation)).collect();
    let write = |at, length, data| Operation::Write { at, length, data };
    assert_eq!(
        shown,
        [
            (false, false, &write(4096, 1024, 1024)),
            (true, false, &Operation::Nothing),
            (false, true, &write(4096, 512, 3072)),
            (false, false, &Operation::Discard { at: 0, length: 8192 }),
            (false, false, &Operation::Mark("here[2J".into())),
            (true, true, &write(512, 512, 5120)),
        ]
    );
    let mut data = [0; 512];
    log.data(1024, 512, &mut data).unwrap();
    assert_eq!(data, [7; 512]);
    assert!(entries.iter().map(|entry| entry.number).eq(0..6));
    assert_eq!((log.len(), log.is_empty(), log.sector()), (6, false, 512));
}

#[test]
fn the_superblock_of_the_emulator_is_understood() {
    // The first bytes of a log that QEMU 7.2 wrote: 191 entries, sectors of 512 bytes.
    let head = *b"rhswfsj\0\x01\0\0\0\0\0\0\0\xbf\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0";
    let mut bytes = head.to_vec();
    bytes.resize(192 * 512, 0);
    let log = open(bytes).unwrap();
    assert_eq!((log.len(), log.sector()), (191, 512));
}

#[test]
fn an_empty_log_has_no_entries() {
    let log = open(LogWriter::new().bytes()).unwrap();
    assert!(log.is_empty() && log.entries().next().is_none());
}

#[test]
fn refuses_what_is_no_log_or_another_kind() {
    let changed = |at: usize, byte: u8| {
        let mut bytes = sample().bytes();
        bytes[at] = byte;
        bytes
    };
    assert!(problem(vec![]).contains("ends at byte 0, within its first sector"));
    assert!(problem(vec![0; 31]).contains("ends at byte 31"));
    assert!(problem(vec![0; 4096]).contains("magic number"));
    assert!(problem(changed(0, b'x')).contains("magic number"));
    assert!(problem(changed(8, 2)).contains("version 2"));
    assert!(problem(changed(25, 3)).contains("sectors have 768 bytes"));
    assert!(problem(changed(24, 1)).contains("sectors have 513 bytes"));
    assert!(problem(changed(23, 0xff)).contains("and has only"));
    assert!(problem(changed(17, 1)).contains("announces 262 entries"));
    let error = WriteLog::open(sample().bytes(), Bytes(1000)).unwrap_err().to_string();
    assert!(error.contains("do not divide a disk of 1000 bytes"), "{error}");
}

#[test]
fn refuses_entries_that_contradict_disk_log_or_themselves() {
    let with = |sector: u64, sectors: u64, flags: u64| {
        let mut log = LogWriter::new();
        log.entry(sector, sectors, flags, &[0; 512]);
        problem(log.bytes())
    };
    assert!(with(2048, 1, 0).contains("1 sectors from sector 2048 on are beyond a disk of 2048 sectors"));
    assert!(with(2047, 2, 0).contains("beyond a disk"));
    assert!(with(u64::MAX, 1, 0).contains("beyond a disk"));
    assert!(with(1, u64::MAX, 0).contains("beyond a disk"));
    assert!(with(1 << 60, 1, DISCARD).contains("beyond a disk"));
    assert!(with(0, 2, 0).contains("end behind the log"));
    assert!(with(0, 0, 0).contains("neither writes nor flushes"));
    assert!(with(0, 1, 16).contains("flags 0x10"));
    assert!(with(0, 0, DISCARD).contains("make no sense"));
    assert!(with(0, 1, MARK).contains("make no sense"));
    assert!(with(0, 1, MARK | DISCARD).contains("make no sense"));
}

#[test]
fn refuses_a_mark_longer_than_its_sector() {
    let mut log = LogWriter::new();
    log.mark("x");
    let mut bytes = log.bytes();
    bytes[512 + 24..512 + 32].copy_from_slice(&481_u64.to_le_bytes());
    assert!(problem(bytes.clone()).contains("a mark of 481 bytes; at most 480"));
    bytes[512 + 24..512 + 32].copy_from_slice(&480_u64.to_le_bytes());
    assert_eq!(problem(bytes), "nothing wrong");
}

#[test]
fn a_log_that_ends_early_is_an_error_wherever_it_ends() {
    let whole = sample().bytes();
    for length in 0..whole.len() {
        let found = problem(whole[..length].to_vec());
        assert!(found.contains("damaged"), "{length}: {found}");
    }
}

#[test]
fn arbitrary_entries_never_panic() {
    let whole = sample().bytes();
    let mut number = 0x5eed_u64;
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..3 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(number >> 33).unwrap() % bytes.len();
            bytes[at] = (number >> 24).to_le_bytes()[0];
        }
        if let Ok(log) = open(bytes) {
            log.entries().take(100).for_each(drop);
        }
    }
}

#[test]
fn nothing_follows_an_error() {
    let mut log = LogWriter::new();
    log.entry(0, 1, 16, &[0; 512]);
    log.flush();
    let log = open(log.bytes()).unwrap();
    assert_eq!(log.entries().count(), 1);
}
