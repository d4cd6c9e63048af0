//! Asking for a factory reset: only with the right words, only when what runs is whole, with the floors; and what waits for it.

#![expect(clippy::redundant_closure_for_method_calls, reason = "the methods alone are not general over lifetimes")]

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

use fixtures::{agent, medium, release, running, state, steady, trust};
use formats::Guid;
use formats::SlotId::{A, B};
use formats::boot_state::SlotState;
use formats::journal::Floor;
use formats::manifest::Kind;
use formats::reset_record::{ResetRecord, Then};
use formats::state_volume::{self, RESET_OFFSET};
use update_agent::disk::Part;
use update_agent::disk::simulated::{Disk, Fault, Operation};
use update_agent::error::Error;
use update_agent::journal::{Outcome, Release};
use update_agent::lifecycle::{Agent, Done, Model, PendingReset, ResetRequest, Running, summarize};

const GOOD: SlotState = SlotState::GOOD;
const TRIAL: SlotState = SlotState { good: false, tries: 2 };

fn with_agent<T>(disk: &Disk, running: Running, work: impl FnOnce(&Agent<'_>) -> T) -> T {
    work(&agent(disk, &trust(), Some(running)))
}

fn request(confirm: &str) -> ResetRequest<'_> {
    ResetRequest { confirm, then: Then::PowerOff, by: "root", id: Guid::new(42), now: 77 }
}

fn ask(disk: &Disk) -> Result<Done, Error> {
    with_agent(disk, running(A, Some(A)), |agent| agent.factory_reset(&request("demo.example")))
}

fn order(disk: &Disk) -> Option<ResetRecord> {
    ResetRecord::parse(state_volume::reset_sector(disk.medium().part(Part::State))).unwrap()
}

fn wrote_the_order(disk: &Disk) -> bool {
    disk.log()
        .iter()
        .any(|operation| matches!(operation, Operation::Write(w) if w.part == Part::State && w.offset == RESET_OFFSET))
}

#[test]
fn the_order_carries_the_floors_who_asked_and_what_follows_in_one_sector() {
    let disk = Disk::new(steady());
    with_agent(&disk, running(A, Some(A)), |agent| {
        let site = Release::from(release(Kind::Site, 10).verified.manifest());
        agent.journal.note(site, A, Outcome::Committed).unwrap();
    });
    let done = ask(&disk).unwrap();
    assert!(done.steps.iter().any(|step| step.contains("at the next start")), "{:?}", done.steps);
    let record = order(&disk).unwrap();
    let floor = |kind, name: &str, sequence| Floor { kind, name: name.into(), sequence };
    assert_eq!(record.floors, [floor(Kind::Base, "demo-base", 2), floor(Kind::Site, "demo-site", 10)]);
    assert_eq!((record.then, record.by.as_str(), record.asked), (Then::PowerOff, "root", 77));
    let writes: Vec<_> = disk.log().into_iter().filter(|operation| matches!(operation, Operation::Write(_))).collect();
    assert!(matches!(&writes[..], [Operation::Write(w)] if w.bytes.len() == 512 && w.part == Part::State));
}

#[test]
fn without_the_right_words_nothing_is_written_and_the_words_are_shown() {
    let disk = Disk::new(steady());
    let problem = with_agent(&disk, running(A, Some(A)), |agent| agent.factory_reset(&request("demo"))).unwrap_err();
    assert!(problem.to_string().contains("\"demo.example\"") && problem.code() == "not-confirmed", "{problem}");
    assert_eq!(disk.log(), []);
    // Without a site it is the name of the product.
    let one = release(Kind::Base, 1);
    let empty = SlotState { good: false, tries: 0 };
    let disk = Disk::new(medium([Some(&one), None], [None, None], &state(A, GOOD, empty, None)));
    let ask = |word: &str| with_agent(&disk, running(A, None), |agent| agent.factory_reset(&request(word)));
    assert!(ask("demo.example").unwrap_err().to_string().contains("\"demo\""));
    assert!(ask("demo").unwrap().steps.iter().any(|step| step == "base slot B is empty"));
}

#[test]
fn a_release_on_trial_or_waiting_for_its_trial_comes_first() {
    let [one, two, site] = [release(Kind::Base, 1), release(Kind::Base, 2), release(Kind::Site, 10)];
    // Running from B it was counted once; waiting it was not.
    for (base, trial) in [(B, TRIAL), (A, SlotState::TRIAL)] {
        let boot = state(B, GOOD, trial, Some(A));
        let disk = Disk::new(medium([Some(&one), Some(&two)], [Some(&site), None], &boot));
        let ask = |agent: &Agent<'_>| agent.factory_reset(&request("demo.example"));
        let problem = with_agent(&disk, running(base, Some(A)), ask).unwrap_err();
        assert_eq!(problem.code(), "on-trial", "{problem}");
        assert!(!wrote_the_order(&disk));
    }
}

#[test]
fn a_site_on_trial_comes_first() {
    let disk = Disk::new(steady());
    let site = release(Kind::Site, 11);
    with_agent(&disk, running(A, Some(A)), |agent| {
        agent.install(&site.verified, &mut site.source(), &Model::default()).unwrap();
        assert_eq!(agent.on_trial().unwrap().len(), 1);
        let problem = agent.factory_reset(&request("demo.example")).unwrap_err();
        assert_eq!(problem.code(), "site-on-trial", "{problem}");
        assert!(!wrote_the_order(&disk));
        agent.commit().unwrap();
        agent.factory_reset(&request("demo.example")).unwrap();
    });
    assert!(order(&disk).unwrap().floors.iter().any(|floor| floor.kind == Kind::Site && floor.sequence == 11));
}

#[test]
fn a_damaged_slot_that_runs_refuses_and_another_one_is_named() {
    for (part, refused) in [(Part::Base(A), true), (Part::Site(A), true), (Part::Base(B), false)] {
        let mut medium = steady();
        let mut bytes = medium.part(part).to_vec();
        bytes[3 * 4096] ^= 1;
        medium.set(part, bytes);
        let disk = Disk::new(medium);
        match ask(&disk) {
            Err(problem) => assert!(refused && problem.code() == "slot-damaged", "{part}: {problem}"),
            Ok(done) => {
                assert!(!refused, "{part}");
                assert!(done.steps.iter().any(|step| step.starts_with("base slot B is damaged")), "{:?}", done.steps);
            }
        }
        assert_eq!(wrote_the_order(&disk), !refused, "{part}");
    }
}

#[test]
fn nothing_raises_a_floor_while_the_order_waits() {
    let disk = Disk::new(steady());
    ask(&disk).unwrap();
    let three = release(Kind::Base, 3);
    let before = disk.log();
    with_agent(&disk, running(A, Some(A)), |agent| {
        let install = agent.install(&three.verified, &mut three.source(), &Model::default());
        for refused in [install, agent.commit(), agent.rollback(Kind::Base), agent.rollback(Kind::Site)] {
            assert_eq!(refused.unwrap_err().code(), "reset-pending");
        }
    });
    assert_eq!(disk.log(), before);
    with_agent(&disk, running(A, Some(A)), |agent| {
        agent.cancel_reset().unwrap();
        agent.install(&three.verified, &mut three.source(), &Model::default()).unwrap();
    });
}

#[test]
fn an_order_is_taken_back_and_damage_in_its_place_is_cleared() {
    let disk = Disk::new(steady());
    let cancel = || with_agent(&disk, running(A, Some(A)), |agent| agent.cancel_reset());
    assert_eq!(cancel().unwrap_err().code(), "no-reset-pending");
    ask(&disk).unwrap();
    cancel().unwrap();
    assert_eq!(order(&disk), None);

    let mut medium = steady();
    let mut volume = medium.part(Part::State).to_vec();
    volume[12_288..12_800].fill(0xA5);
    medium.set(Part::State, volume);
    let disk = Disk::new(medium);
    with_agent(&disk, running(A, Some(A)), |agent| {
        assert!(matches!(agent.facts().unwrap().reset, PendingReset::Unusable(_)));
        assert!(summarize(&agent.facts().unwrap()).next_restart.reset_problem.unwrap().contains("damaged"));
        agent.cancel_reset().unwrap();
        assert_eq!(agent.facts().unwrap().reset, PendingReset::None);
    });
}

#[test]
fn what_the_next_restart_does_is_read_from_the_disk() {
    let disk = Disk::new(steady());
    let next = || with_agent(&disk, running(A, Some(A)), |agent| summarize(&agent.facts().unwrap()).next_restart);
    assert_eq!(next().reset, None);
    ask(&disk).unwrap();
    let reset = next().reset.unwrap();
    assert_eq!((reset.then, reset.by.as_str(), reset.asked), (Then::PowerOff, "root", 77));
}

#[test]
fn a_disk_that_does_not_keep_the_order_is_noticed() {
    let disk = Disk::new(steady()).with_fault(Fault::Forget(0));
    let problem = ask(&disk).unwrap_err();
    assert!(problem.code() == "not-kept" && problem.to_string().contains("reset record"), "{problem}");
    let disk = Disk::new(steady()).with_fault(Fault::Write(0));
    assert_eq!(ask(&disk).unwrap_err().code(), "io");
}
