//! A factory reset with the power cut anywhere: it is not begun, or it is completed at the next start; the sequence floors are in the
//! new journal; and at no moment could anybody mount something half destroyed or half made, not even a program that knows nothing of
//! resets.
//!
//! `scripts/crash-states` plays everything; the test that runs with the others plays a fixed sample.

#[path = "power_cuts/device.rs"]
mod device;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;

use device::{Device, Fault, Medium, Operation, SECTOR};
use formats::ext4::{self, Sink};
use formats::journal::Floor;
use formats::manifest::Kind;
use formats::reset_record::{ResetRecord, Then};
use formats::{Bytes, Guid};
use reset::{PIECE, Place, Step, carry_out, pending};

/// Three pieces, the last one short.
const SIZE: u64 = 40 << 20;

fn record() -> ResetRecord {
    let floor = |kind, name: &str, sequence| Floor { kind, name: name.into(), sequence };
    let floors = vec![floor(Kind::Base, "demo-base", 12), floor(Kind::Site, "demo-site", 3)];
    ResetRecord { id: Guid::new(42), then: Then::Start, by: "root".into(), asked: 1_772_368_205, floors }
}

struct Format<'a>(&'a mut Medium);

impl Sink for Format<'_> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.put(offset, bytes);
        Ok(())
    }
    fn zeros(&mut self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// An appliance in use: another file system with something in it everywhere, no record.
fn used() -> Medium {
    let mut medium = Medium::new(SIZE);
    let sealed = ext4::empty(Bytes(SIZE), Guid::new(7), "data", 1).unwrap();
    sealed.write(Format(&mut medium)).unwrap().finish().unwrap();
    for at in (20 << 20..SIZE).step_by(1 << 20) {
        medium.put(at, &[0x5e; 4096]);
    }
    medium
}

/// Asked for and carried out, undisturbed: every operation, and the medium in the end.
fn undisturbed() -> (Vec<Operation>, Medium) {
    let device = Device::new(used());
    device.write_record(&record().encode().unwrap()).unwrap();
    let asked = pending(&device).unwrap().unwrap();
    let done = carry_out(&device, &asked).unwrap();
    assert!(done.formatted && done.not_cleared.is_none());
    (device.log.borrow().clone(), device.medium())
}

/// How thorough to be.
#[derive(Clone, Copy)]
struct Effort {
    /// Pending writes up to which all subsets are played.
    exhaustive: usize,
    /// Subsets drawn beyond that.
    samples: usize,
    /// Every how many-th torn length is played, after the first sectors, which all are.
    torn_step: usize,
}

/// Calls `visit` with every medium a cut can leave behind these operations: what was flushed is there, of the rest any subset, and the
/// operation under way up to any sector, the last one possibly rubbish.
fn every_cut(start: &Medium, log: &[Operation], effort: Effort, visit: &mut dyn FnMut(&Medium, &str)) {
    let mut durable = start.clone();
    let mut waiting: Vec<&Operation> = Vec::new();
    let mut seed = 0x5eed_u64;
    visit(start, "before anything");
    for (number, operation) in log.iter().enumerate() {
        let subsets = subsets(waiting.len(), effort, &mut seed);
        match operation {
            Operation::Flush => {
                for done in waiting.drain(..) {
                    durable.apply(done, done.length());
                }
                visit(&durable, &format!("operation {number}: flushed"));
            }
            Operation::Record(_) => {
                for subset in &subsets {
                    let mut medium = with(&durable, &waiting, *subset);
                    medium.record.fill(0xA5);
                    visit(&medium, &format!("operation {number}: record torn, with pending {subset:b}"));
                    medium.apply(operation, SECTOR);
                    visit(&medium, &format!("operation {number}: record written, with pending {subset:b}"));
                }
                // Durable itself; it flushes nothing else.
                durable.apply(operation, SECTOR);
            }
            Operation::Write { .. } | Operation::Zero { .. } => {
                for subset in &subsets {
                    let mut medium = with(&durable, &waiting, *subset);
                    medium.apply(operation, operation.length());
                    visit(&medium, &format!("operation {number}: written, with pending {subset:b}"));
                }
                for whole in torn_lengths(operation.length(), effort) {
                    for subset in [subsets[0], subsets[subsets.len() - 1]] {
                        let mut medium = with(&durable, &waiting, subset);
                        medium.apply(operation, whole);
                        visit(&medium, &format!("operation {number}: torn after {whole}, with pending {subset:b}"));
                        medium.put(operation.offset() + whole, &[0xA5; 512]);
                        visit(&medium, &format!("operation {number}: rubbish at {whole}, with pending {subset:b}"));
                    }
                }
                waiting.push(operation);
            }
        }
    }
    visit(&durable, "in the end");
}

fn torn_lengths(length: u64, effort: Effort) -> impl Iterator<Item = u64> {
    let sectors = length / SECTOR;
    let later = (8..sectors).step_by(effort.torn_step);
    (0..sectors.min(8)).chain(later).map(|sectors| sectors * SECTOR)
}

/// None of them first, all of them last.
fn subsets(number: usize, effort: Effort, seed: &mut u64) -> Vec<u64> {
    let all = (1_u64 << number) - 1;
    if number <= effort.exhaustive {
        return (0..=all).collect();
    }
    let drawn = (0..effort.samples).map(|_| random(seed) & all);
    [0].into_iter().chain(drawn).chain([all]).collect()
}

fn with(durable: &Medium, waiting: &[&Operation], subset: u64) -> Medium {
    let mut medium = durable.clone();
    for (bit, operation) in waiting.iter().enumerate() {
        if subset >> bit & 1 == 1 {
            medium.apply(operation, operation.length());
        }
    }
    medium
}

/// xorshift64.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// What must be true of every medium.
struct Judge {
    old: Medium,
    new: Medium,
}

impl Judge {
    /// The machine starts; what it writes to finish the reset.
    fn restart(&self, medium: &Medium) -> Result<Vec<Operation>, String> {
        if mountable(medium) && !self.is_old(medium) && !self.is_new(medium) {
            return Err("a program that knows nothing of resets mounts something half made".into());
        }
        let device = Device::new(medium.clone());
        match pending(&device) {
            Ok(Some(asked)) => {
                let done = carry_out(&device, &asked).map_err(|failure| failure.to_string())?;
                if let Some(failure) = done.not_cleared {
                    return Err(failure.to_string());
                }
                let after = device.medium();
                if after != self.new {
                    return Err(format!("the data partition differs from byte {:?}", after.differs_from(&self.new, 0)));
                }
            }
            Ok(None) | Err(_) if self.is_old(medium) || self.is_new(medium) => {}
            other => return Err(format!("the record is lost in the middle: {:?}", other.map(|_| ()))),
        }
        Ok(device.log.into_inner())
    }

    /// ext4 has nothing in the two sectors before the superblock.
    fn is_old(&self, medium: &Medium) -> bool {
        medium.differs_from(&self.old, 1024).is_none()
    }

    fn is_new(&self, medium: &Medium) -> bool {
        medium.differs_from(&self.new, 1024).is_none()
    }
}

/// Whether the kernel would accept the superblock: magic and checksum.
fn mountable(medium: &Medium) -> bool {
    let superblock = [medium.sector(1024), medium.sector(1536)].concat();
    superblock[0x38..0x3a] == [0x53, 0xef] && superblock[0x3fc..] == crc32c(&superblock[..0x3fc]).to_le_bytes()
}

fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }))
    })
}

struct Tally {
    states: usize,
    violations: Vec<String>,
}

impl Tally {
    /// Prints what is wrong; true when nothing is.
    fn is_clean(&self) -> bool {
        for violation in self.violations.iter().take(10) {
            println!("VIOLATION factory reset: {violation}");
        }
        self.violations.is_empty()
    }
}

/// Plays these operations; of the distinct media every `stride`-th is judged, and of the starts that finish a reset every `again`-th is
/// cut as well.
fn play(log: &[Operation], effort: Effort, stride: u64, again: u64) -> Tally {
    let judge = Judge { old: used(), new: undisturbed().1 };
    let mut seen = BTreeSet::new();
    let mut violations = Vec::new();
    let mut second = Vec::new();
    let mut states = 0;
    let mut new_hash = |medium: &Medium| {
        let mut hasher = DefaultHasher::new();
        medium.hash(&mut hasher);
        let hash = hasher.finish();
        seen.insert(hash).then_some(hash)
    };
    every_cut(&judge.old.clone(), log, effort, &mut |medium, place| {
        let Some(hash) = new_hash(medium).filter(|hash| hash % stride == 0) else { return };
        states += 1;
        match judge.restart(medium) {
            Ok(log) if !log.is_empty() && (hash >> 32) % again == 0 => {
                second.push((medium.clone(), log, place.to_owned()));
            }
            Ok(_) => {}
            Err(problem) => violations.push(format!("{place}: {problem}")),
        }
    });
    let gentle = Effort { exhaustive: 3, samples: 2, torn_step: 4001 };
    for (start, log, place) in second {
        every_cut(&start, &log, gentle, &mut |medium, then| {
            if new_hash(medium).is_some_and(|hash| hash % stride == 0) {
                states += 1;
                if let Err(problem) = judge.restart(medium) {
                    violations.push(format!("{place}, then {then}: {problem}"));
                }
            }
        });
    }
    Tally { states, violations }
}

#[test]
fn a_sample_of_power_cuts_never_leaves_a_reset_half_done() {
    let tally = play(&undisturbed().0, Effort { exhaustive: 4, samples: 8, torn_step: 2003 }, 4, 64);
    assert!(tally.is_clean() && tally.states >= 100, "{} states", tally.states);
}

#[test]
#[ignore = "takes a minute in release; run scripts/crash-states"]
fn no_power_cut_ever_leaves_a_reset_half_done() {
    let tally = play(&undisturbed().0, Effort { exhaustive: 10, samples: 256, torn_step: 29 }, 1, 100);
    println!("{} distinct states of a factory reset, {} violations", tally.states, tally.violations.len());
    assert!(tally.is_clean() && tally.states >= 10_000);
}

/// Violations of a reset with a mistake in the order of its operations.
fn violations_of(mistake: impl Fn(&mut Vec<Operation>)) -> usize {
    let mut log = undisturbed().0;
    mistake(&mut log);
    play(&log, Effort { exhaustive: 3, samples: 8, torn_step: 8009 }, 1, 1000).violations.len()
}

fn is_valid_sector(operation: &Operation) -> bool {
    matches!(operation, Operation::Write { offset: 1024, .. })
}

#[test]
fn the_judge_finds_a_file_system_made_valid_before_it_is_flushed() {
    assert_eq!(violations_of(|_| {}), 0);
    assert!(
        violations_of(|log| {
            let valid = log.iter().position(is_valid_sector).unwrap();
            let flushes: Vec<usize> = (0..valid).filter(|at| log[*at] == Operation::Flush).collect();
            flushes.iter().rev().take(2).for_each(|at| drop(log.remove(*at)));
        }) > 0
    );
}

#[test]
fn the_judge_finds_a_record_cleared_too_early() {
    assert!(
        violations_of(|log| {
            let clear = log.pop().unwrap();
            let valid = log.iter().position(is_valid_sector).unwrap();
            log.insert(valid, clear);
        }) > 0
    );
}

#[test]
fn the_judge_finds_a_destruction_that_begins_at_the_wrong_end() {
    assert!(
        violations_of(|log| {
            let head = log.iter().position(|operation| matches!(operation, Operation::Zero { .. })).unwrap();
            log.drain(head..=head + 1);
            log.swap(head, head + 2);
        }) > 0
    );
}

#[test]
fn the_new_file_system_holds_the_floors_and_nothing_else() {
    let (_, medium) = undisturbed();
    let bytes: Vec<u8> = (0..SIZE).step_by(512).flat_map(|at| medium.sector(at)).collect();
    let volume = ext4_view::Ext4::load(Box::new(bytes)).unwrap();
    assert_eq!(volume.label().to_str().unwrap(), "data");
    assert_eq!(volume.uuid().as_bytes(), &record().file_system().to_uuid_bytes());
    assert_eq!(volume.read("/bulkhead/journal").unwrap(), formats::journal::after_reset(&record()).unwrap());
    let mut names: Vec<String> =
        volume.read_dir("/").unwrap().map(|entry| entry.unwrap().file_name().as_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, [".", "..", "bulkhead", "lost+found"]);
    assert_eq!(medium.sector(30 << 20), vec![0; 512], "the old contents");
}

#[test]
fn a_record_that_comes_back_never_destroys_what_was_stored_after_the_reset() {
    let (_, mut medium) = undisturbed();
    medium.record = record().encode().unwrap().to_vec();
    medium.put(30 << 20, &[0x11; 4096]);
    // What a mount changes in the superblock: state, counters, checksum.
    let mut sector = medium.sector(1536);
    sector[0x1fc..].fill(0x77);
    medium.put(1536, &sector);
    let device = Device::new(medium.clone());
    let done = carry_out(&device, &record()).unwrap();
    assert!(!done.formatted && done.not_cleared.is_none());
    assert_eq!(device.medium().differs_from(&medium, 0), None);
    assert_eq!(pending(&device).unwrap(), None);
}

#[test]
fn another_request_destroys_what_an_earlier_one_made() {
    let (_, mut medium) = undisturbed();
    let other = ResetRecord { id: Guid::new(43), ..record() };
    medium.record = other.encode().unwrap().to_vec();
    assert!(carry_out(&Device::new(medium), &other).unwrap().formatted);
}

#[test]
fn an_error_anywhere_keeps_the_record_and_the_next_start_completes() {
    let judge = Judge { old: used(), new: undisturbed().1 };
    let mut failures = 0;
    let writes = (0..40).map(Fault::Write);
    for fault in writes.chain((0..5).map(Fault::Zero)).chain((0..6).map(Fault::Flush)) {
        let mut medium = used();
        medium.record = record().encode().unwrap().to_vec();
        let device = Device::new(medium).with_fault(fault);
        let Err(failure) = carry_out(&device, &record()) else { continue };
        failures += 1;
        assert!(failure.to_string().contains("injected I/O error"), "{fault:?}: {failure}");
        assert!(pending(&device).unwrap().is_some(), "{fault:?}");
        judge.restart(&device.medium()).unwrap_or_else(|problem| panic!("{fault:?}: {problem}"));
    }
    assert!(failures >= 12, "{failures}");
}

#[test]
fn a_record_that_cannot_be_cleared_is_said_and_does_not_keep_the_data_away() {
    for fault in [Fault::Record, Fault::RecordForgotten] {
        let mut medium = used();
        medium.record = record().encode().unwrap().to_vec();
        let device = Device::new(medium).with_fault(fault);
        let done = carry_out(&device, &record()).unwrap();
        let problem = done.not_cleared.unwrap().to_string();
        assert!(done.formatted && problem.starts_with("cannot clear the reset record"), "{problem}");
        assert!(mountable(&device.medium()));
    }
}

#[test]
fn a_disk_that_cannot_discard_is_zeroed_all_the_same() {
    let device = Device::new(used()).with_fault(Fault::Discard);
    carry_out(&device, &record()).unwrap();
    assert_eq!(device.medium(), undisturbed().1);
}

#[test]
fn whoever_waits_hears_of_every_piece() {
    let device = Device::new(used());
    carry_out(&device, &record()).unwrap();
    let progress = device.progress.borrow();
    let destroyed: Vec<u64> =
        progress.iter().filter(|(step, ..)| *step == Step::Destroy).map(|(_, done, _)| *done).collect();
    assert_eq!(destroyed, [PIECE, 2 * PIECE, SIZE]);
    assert!(progress.iter().any(|(step, ..)| *step == Step::Format));
}

#[test]
fn a_damaged_record_is_no_order() {
    let mut medium = used();
    medium.record = record().encode().unwrap().to_vec();
    medium.record[60] ^= 1;
    assert!(pending(&Device::new(medium)).is_err());
    assert_eq!(pending(&Device::new(used())).unwrap(), None);
}

#[test]
fn a_partition_too_small_for_a_file_system_is_said() {
    let failure = carry_out(&Device::new(Medium::new(8 << 20)), &record()).unwrap_err();
    assert_eq!(failure.step, Step::Format);
    assert!(failure.to_string().starts_with("cannot format the data partition: "), "{failure}");
}
