//! Every medium a power cut can leave behind a list of operations.
//!
//! What was flushed is there. What was not may be there in any subset, and the write under way may be there in part: any number of
//! its 512-byte sectors from the front, or with one sector of rubbish where it stopped. All subsets of up to twelve pending writes are
//! played; of more, a sample drawn with a fixed seed, always with all and none of them.

use update_agent::disk::simulated::{Medium, Operation, SECTOR, Write};

/// How thorough to be.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Pending writes up to which all subsets are played.
    pub exhaustive: usize,
    /// Subsets drawn beyond that.
    pub samples: usize,
    /// Every how many-th torn length is played.
    pub torn_step: usize,
}

/// Calls `visit` with every medium, a word about it, and whether everything up to the end of the list is certainly there.
#[allow(dead_code, reason = "not every test cuts everywhere")]
pub fn every_cut(start: &Medium, log: &[Operation], effort: Effort, visit: &mut dyn FnMut(&Medium, &str)) {
    let mut durable = start.clone();
    let mut pending: Vec<&Write> = Vec::new();
    let mut seed = 0x5eed_u64;
    visit(start, "before anything");
    for (number, operation) in log.iter().enumerate() {
        match operation {
            Operation::Write(write) => {
                let subsets = subsets(pending.len(), effort, &mut seed);
                for subset in &subsets {
                    let mut medium = with(&durable, &pending, *subset);
                    medium.write(write, write.bytes.len());
                    visit(&medium, &format!("operation {number}: written, with pending {subset:b}"));
                }
                torn(write, effort, &mut |apply| {
                    for subset in [0, all(pending.len())] {
                        let mut medium = with(&durable, &pending, subset);
                        apply(&mut medium);
                        visit(&medium, &format!("operation {number}: torn, with pending {subset:b}"));
                    }
                });
                pending.push(write);
            }
            Operation::Flush(part) => {
                let (flushed, rest): (Vec<_>, Vec<_>) = pending.into_iter().partition(|write| write.part == *part);
                for write in flushed {
                    durable.write(write, write.bytes.len());
                }
                pending = rest;
                visit(&durable, &format!("operation {number}: flushed"));
            }
            Operation::Append(line) => {
                for subset in [0, all(pending.len())] {
                    let medium = with(&durable, &pending, subset);
                    for cut in (0..line.len()).step_by(effort.torn_step.max(7)) {
                        let mut torn = medium.clone();
                        torn.journal.extend_from_slice(&line[..cut]);
                        visit(&torn, &format!("operation {number}: journal cut after {cut} bytes"));
                        // The length reached the disk, the content did not.
                        torn.journal.extend(std::iter::repeat_n(0, line.len() - cut));
                        visit(&torn, &format!("operation {number}: journal zeroed after {cut} bytes"));
                    }
                }
                durable.apply(operation);
                visit(&durable, &format!("operation {number}: journal written"));
            }
            // Memory: there is nothing of it after a cut.
            Operation::Site(_) => {}
            Operation::Replace(_) => {
                durable.apply(operation);
                visit(&durable, &format!("operation {number}: journal replaced"));
            }
        }
    }
}

/// The media a power cut after the whole list can leave.
#[allow(dead_code, reason = "not every test cuts only there")]
pub fn at_the_end(start: &Medium, log: &[Operation], effort: Effort, visit: &mut dyn FnMut(&Medium)) {
    let (mut durable, mut pending) = (start.clone(), Vec::new());
    for operation in log {
        match operation {
            Operation::Write(write) => pending.push(write),
            Operation::Flush(part) => {
                let (flushed, rest): (Vec<&Write>, _) = pending.into_iter().partition(|write| write.part == *part);
                for write in flushed {
                    durable.write(write, write.bytes.len());
                }
                pending = rest;
            }
            Operation::Append(_) | Operation::Replace(_) => durable.apply(operation),
            Operation::Site(_) => {}
        }
    }
    for subset in subsets(pending.len(), effort, &mut 0x5eed) {
        visit(&with(&durable, &pending, subset));
    }
}

/// The media a killed agent leaves on a machine that runs on: every prefix, nothing lost.
#[allow(dead_code, reason = "not every test kills")]
pub fn every_kill(start: &Medium, log: &[Operation], visit: &mut dyn FnMut(&Medium, &str)) {
    let mut medium = start.clone();
    visit(&medium, "killed before anything");
    for (number, operation) in log.iter().enumerate() {
        medium.apply(operation);
        if !matches!(operation, Operation::Flush(_)) {
            visit(&medium, &format!("killed after operation {number}"));
        }
    }
}

fn with(durable: &Medium, pending: &[&Write], subset: u64) -> Medium {
    let mut medium = durable.clone();
    for (bit, write) in pending.iter().enumerate() {
        if subset >> bit & 1 == 1 {
            medium.write(write, write.bytes.len());
        }
    }
    medium
}

fn all(number: usize) -> u64 {
    (1 << number) - 1
}

fn subsets(number: usize, effort: Effort, seed: &mut u64) -> Vec<u64> {
    if number <= effort.exhaustive {
        return (0..=all(number)).collect();
    }
    let mut subsets = vec![0, all(number)];
    subsets.extend((0..effort.samples).map(|_| random(seed) & all(number)));
    subsets
}

#[allow(dead_code, reason = "not every test tears")]
type Half<'a> = &'a dyn Fn(&mut Medium);

#[allow(dead_code, reason = "not every test tears")]
fn torn(write: &Write, effort: Effort, visit: &mut dyn FnMut(Half<'_>)) {
    let sectors = write.bytes.len() / SECTOR;
    for whole in (0..sectors).step_by(effort.torn_step) {
        if whole > 0 {
            visit(&|medium| medium.write(write, whole * SECTOR));
        }
        // The sector under the head is rubbish: no disk promises this cannot happen.
        let rubbish =
            Write { part: write.part, offset: write.offset + (whole * SECTOR) as u64, bytes: vec![0xA5; SECTOR] };
        visit(&|medium| {
            medium.write(write, whole * SECTOR);
            medium.write(&rubbish, SECTOR);
        });
    }
}

/// xorshift64.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}
