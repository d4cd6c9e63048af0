//! Promise 1, enumerated: after a power cut at any point of any change, something verified starts, status tells the truth, a retry
//! completes, no sequence floor is lowered and nothing committed is lost.
//!
//! `scripts/crash-states` plays everything; the test that runs with the others plays a fixed sample.

#![expect(clippy::redundant_closure_for_method_calls, reason = "the methods alone are not general over lifetimes")]

#[path = "crash/cuts.rs"]
mod cuts;
#[expect(dead_code, reason = "shared with tests that read packages")]
#[path = "crash/fixtures.rs"]
mod fixtures;
#[path = "crash/machine.rs"]
mod machine;
#[path = "crash/scenarios.rs"]
mod scenarios;
#[path = "crash/seen.rs"]
mod seen;
#[path = "crash/verdict.rs"]
mod verdict;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use cuts::{Effort, every_cut, every_kill};
use formats::trust::TrustStore;
use seen::{Seen, mounted};
use update_agent::disk::Part;
use update_agent::disk::simulated::Operation;
use verdict::Scenario;

struct Tally {
    cuts: usize,
    kills: usize,
    cuts_while_settling: usize,
    violations: Vec<String>,
}

/// Plays one scenario as the agent writes it.
fn judge(scenario: &Scenario, trust: &TrustStore, effort: Effort, stride: u64) -> Tally {
    judge_log(scenario, &scenario.play(trust), trust, effort, stride)
}

/// Plays this list of operations; of the distinct states, every `stride`-th is judged.
fn judge_log(scenario: &Scenario, log: &[Operation], trust: &TrustStore, effort: Effort, stride: u64) -> Tally {
    let mut tally = Tally { cuts: 0, kills: 0, cuts_while_settling: 0, violations: Vec::new() };
    let mut seen = Seen::default();
    let complain = |violations: &mut Vec<String>, place: &str, verdict: Result<(), String>| {
        if let Err(problem) = verdict {
            violations.push(format!("{}: {place}: {problem}", scenario.name));
        }
    };
    let mut settling = Vec::new();
    every_cut(&scenario.start, log, effort, &mut |medium, place| {
        let Some(hash) = seen.is_new(medium, 0) else { return };
        if (hash >> 32) % stride != 0 {
            return;
        }
        tally.cuts += 1;
        let verdict = scenario.after_cut(medium, trust, &mut |booted, log| {
            if !log.is_empty() && (hash >> 40) % SETTLE_STRIDE == 0 {
                settling.push((booted.clone(), log, place.to_owned()));
            }
        });
        complain(&mut tally.violations, place, verdict);
    });
    every_kill(&scenario.start, log, &mut |medium, place| {
        if seen.is_new(medium, mounted(medium)).is_some() {
            tally.kills += 1;
            complain(&mut tally.violations, place, scenario.after_kill(medium, trust));
        }
    });
    let gentle = Effort { exhaustive: 6, samples: 4, torn_step: 64 };
    for (medium, log, place) in settling {
        every_cut(&medium, &log, gentle, &mut |medium, again| {
            if seen.is_new(medium, 0).is_some() {
                tally.cuts_while_settling += 1;
                let place = format!("{place}, then while settling, {again}");
                complain(&mut tally.violations, &place, scenario.after_cut(medium, trust, &mut |_, _| {}));
            }
        });
    }
    tally
}

fn run(effort: Effort, stride: u64) -> usize {
    let started = Instant::now();
    let trust = fixtures::trust();
    let scenarios = scenarios::all(&trust);
    let next = AtomicUsize::new(0);
    let results = Mutex::new((0, Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tally = judge(scenario, &trust, effort, stride);
                    let sum = tally.cuts + tally.kills + tally.cuts_while_settling;
                    println!(
                        "{sum:7} states  {:6} cuts, {:3} kills, {:5} cuts while settling  {}",
                        tally.cuts, tally.kills, tally.cuts_while_settling, scenario.name
                    );
                    let mut results = results.lock().unwrap();
                    results.0 += sum;
                    results.1.extend(tally.violations);
                }
            });
        }
    });
    let (total, violations): (usize, Vec<String>) = results.into_inner().unwrap();
    println!("{total} distinct states, {} violations, {} s", violations.len(), started.elapsed().as_secs());
    for violation in violations.iter().take(20) {
        println!("VIOLATION {violation}");
    }
    assert!(violations.is_empty());
    total
}

#[test]
fn a_sample_of_power_cuts_never_hurts() {
    let effort = Effort { exhaustive: 5, samples: 8, torn_step: 9 };
    assert!(run(effort, 16) >= 300);
}

#[test]
#[ignore = "takes minutes in release; run scripts/crash-states"]
fn no_power_cut_ever_hurts() {
    assert!(run(Effort { exhaustive: 12, samples: 256, torn_step: 1 }, 1) >= 10_000);
}

/// The first scenario whose release before is in the slot to be written, as a writer with a mistake would write it.
fn violations_of(mistake: impl Fn(&mut Vec<Operation>)) -> usize {
    let trust = fixtures::trust();
    let scenarios = scenarios::all(&trust);
    let scenario = scenarios.iter().find(|scenario| scenario.name == "install over the release before").unwrap();
    let mut log = scenario.play(&trust);
    mistake(&mut log);
    let effort = Effort { exhaustive: 4, samples: 16, torn_step: 16 };
    judge_log(scenario, &log, &trust, effort, 1).violations.len()
}

fn is_state_write(operation: &Operation) -> bool {
    matches!(operation, Operation::Write(write) if write.part == Part::State)
}

fn is_slot_flush(operation: &Operation) -> bool {
    matches!(operation, Operation::Flush(Part::Base(_)))
}

#[test]
fn the_judge_finds_a_writer_that_does_not_flush() {
    assert_eq!(violations_of(|_| {}), 0);
    assert!(violations_of(|log| log.retain(|operation| !is_slot_flush(operation))) > 0);
}

#[test]
fn the_judge_finds_a_footer_written_before_the_image() {
    let footer =
        |operation: &Operation| matches!(operation, Operation::Write(w) if w.bytes.starts_with(b"bulkhead-footer"));
    assert!(
        violations_of(|log| {
            let at = log.iter().position(footer).unwrap();
            let write = log.remove(at);
            let arm = log.iter().rposition(is_state_write).unwrap();
            let arm = log.remove(arm);
            let begin = log.iter().position(is_state_write).unwrap();
            log.splice(begin + 2..begin + 2, [write, arm]);
        }) > 0
    );
}

#[test]
fn the_judge_finds_a_slot_written_before_it_is_given_away() {
    assert!(
        violations_of(|log| {
            let at = log.iter().position(is_state_write).unwrap();
            let write = log.remove(at);
            let end = log.iter().rposition(is_state_write).unwrap();
            log.insert(end, write);
        }) > 0
    );
}

#[test]
fn the_judge_finds_a_switch_without_a_slot() {
    assert!(
        violations_of(|log| {
            let arm = log.iter().rposition(is_state_write).unwrap();
            let arm = log.remove(arm);
            let begin = log.iter().position(is_state_write).unwrap();
            log.insert(begin + 2, arm);
        }) > 0
    );
}

const SETTLE_STRIDE: u64 = 64;
