//! Everything the agent does to disk, journal and site may fail: with an I/O error, for lack of space, in the middle, or after it was
//! done; once, a few times in a row, or from then on. It must not panic and not claim what is not so; and what is left must start, tell
//! the truth and be completed by a retry, whether the machine runs on, restarts, or loses its power with everything unflushed. Nothing
//! committed is lost and no floor lowered by it.
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

use cuts::{Effort, at_the_end};
use formats::trust::TrustStore;
use machine::Started;
use seen::{Seen, mounted};
use update_agent::disk::Part;
use update_agent::disk::simulated::{Disk, Failure, Fault, Medium};
use update_agent::lifecycle::{SiteState, State, derive, derive_site};
use verdict::{Scenario, with_agent};

const FAILURES: [Failure; 4] = [Failure::Io, Failure::NoSpace, Failure::Short, Failure::Late];
/// A hiccup, outages that outlast the attempts of one read and the reading of all facts, and a disk that is gone.
const LENGTHS: [usize; 4] = [1, 4, 24, usize::MAX];

#[derive(Default)]
struct Tally {
    played: usize,
    states: usize,
    refused: usize,
    violations: Vec<String>,
}

/// Base and site as the agent sees them when nothing fails.
fn derived(medium: &Medium, scenario: &Scenario, trust: &TrustStore) -> (State, SiteState) {
    let started = Started { running: scenario.running, failures: Vec::new() };
    let facts = with_agent(&Disk::new(medium.clone()), trust, &started, |agent| agent.facts()).unwrap();
    (derive(&facts), derive_site(&facts))
}

/// Plays failures of one scenario: of each kind so many, or all there can be.
fn judge(scenario: &Scenario, trust: &TrustStore, most: usize) -> Tally {
    let mut tally = Tally::default();
    let (mut cut, mut killed) = (Seen::default(), Seen::default());
    let disk = Disk::new(scenario.start.clone());
    let started = Started { running: scenario.running, failures: Vec::new() };
    with_agent(&disk, trust, &started, |agent| scenario.act.run(agent)).unwrap();
    let wanted = derived(&disk.medium(), scenario, trust);
    let stride = disk.operations().div_ceil(most);
    let kinds: Vec<_> = FAILURES.iter().flat_map(|failure| LENGTHS.map(|count| (*failure, count))).collect();
    for (kind, (failure, count)) in kinds.into_iter().enumerate() {
        for from in 0.. {
            if (from + kind) % stride != 0 {
                continue;
            }
            let disk = Disk::new(scenario.start.clone()).with_fault(Fault::Outage { from, count, failure });
            let result = with_agent(&disk, trust, &started, |agent| scenario.act.run(agent));
            if disk.operations() <= from {
                assert!(result.is_ok(), "nothing failed");
                break;
            }
            tally.played += 1;
            tally.refused += usize::from(result.is_err());
            let medium = disk.medium();
            let mut complain = |problem: String| {
                let place = format!("{}: {count} operations from {from}, {failure:?}", scenario.name);
                tally
                    .violations
                    .push(format!("{place} (then {:?}): {problem}", result.as_ref().map(|done| &done.steps)));
            };
            // What it says it did is done.
            if result.is_ok() && derived(&medium, scenario, trust) != wanted {
                complain(format!("{:?} instead of {wanted:?}", derived(&medium, scenario, trust)));
            }
            if killed.is_new(&medium, mounted(&medium)).is_some() {
                tally.states += 1;
                scenario.after_kill(&medium, trust).unwrap_or_else(&mut complain);
            }
            let effort = Effort { exhaustive: 3, samples: 4, torn_step: 64 };
            at_the_end(&scenario.start, &disk.log(), effort, &mut |medium| {
                if cut.is_new(medium, 0).is_some() {
                    tally.states += 1;
                    scenario.after_cut(medium, trust, &mut |_, _| {}).unwrap_or_else(&mut complain);
                }
            });
        }
    }
    tally
}

fn run(most: usize) -> Tally {
    let started = Instant::now();
    let trust = fixtures::trust();
    let scenarios = scenarios::all(&trust);
    let next = AtomicUsize::new(0);
    let sum = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tally = judge(scenario, &trust, most);
                    println!("{:7} failures, {:6} states  {}", tally.played, tally.states, scenario.name);
                    let mut sum = sum.lock().unwrap();
                    sum.played += tally.played;
                    sum.states += tally.states;
                    sum.refused += tally.refused;
                    sum.violations.extend(tally.violations);
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap();
    let (played, refused, seconds) = (sum.played, sum.refused, started.elapsed().as_secs());
    let violations = sum.violations.len();
    println!("{played} failures, {refused} answered with an error; {} distinct states", sum.states);
    println!("{violations} violations, {seconds} s");
    sum.violations.iter().take(20).for_each(|violation| println!("VIOLATION {violation}"));
    assert!(sum.violations.is_empty());
    sum
}

#[test]
fn a_sample_of_failing_operations_never_hurts() {
    let tally = run(2);
    assert!(tally.played >= 300 && tally.refused >= 100);
}

#[test]
#[ignore = "takes minutes in release; run scripts/crash-states"]
fn no_failing_operation_ever_hurts() {
    // Only the rebuilding of the boot state has more, of one kind: the same for each of its sectors.
    assert!(run(400).played >= 20_000);
}

/// A place that can never be read again is another matter than a disk that does not answer: what was there is lost, for GRUB too, and
/// the machine comes to rest all the same. With the boot state this makes the older copy count, which is overwritten by nobody.
#[test]
fn one_bad_sector_anywhere_in_the_boot_state_does_not_keep_a_machine_from_coming_to_rest() {
    let trust = fixtures::trust();
    for scenario in scenarios::all(&trust) {
        for offset in [4096, 8192, 12_288] {
            let disk = Disk::new(scenario.start.clone()).with_fault(Fault::Sector(Part::State, offset));
            let started = Started { running: scenario.running, failures: Vec::new() };
            let result = with_agent(&disk, &trust, &started, |agent| scenario.act.run(agent));
            let name = scenario.name;
            let verdict = scenario.after_kill(&disk.medium(), &trust);
            assert_eq!(verdict, Ok(()), "{name}, byte {offset}: {:?}", result.map(|done| done.steps));
        }
    }
}
