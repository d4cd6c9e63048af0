//! The application has filled the data partition. What is installed can still be kept, and left with its reason, as long as it takes.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

use fixtures::{agent, medium, release, running, state, steady, trust};
use formats::SlotId::{A, B};
use formats::boot_state::SlotState;
use formats::manifest::Kind;
use update_agent::disk::simulated::{Disk, Fault};
use update_agent::journal::{Journal, LIMIT, Outcome, Release};
use update_agent::lifecycle::{Agent, Model, Running, State, derive, summarize};

const GOOD: SlotState = SlotState::GOOD;
const TRIAL: SlotState = SlotState { good: false, tries: 2 };

fn on<T>(disk: &Disk, running: Running, work: impl FnOnce(&Agent<'_>) -> T) -> T {
    work(&agent(disk, &trust(), Some(running)))
}

/// This disk, its journal as long as it may get before it is shortened, and no room to do that.
fn full(disk: Disk) -> Disk {
    let filler = Release::from(release(Kind::Base, 1).verified.manifest());
    let journal = Journal::new(&disk, || 0);
    while disk.medium().journal.len() < LIMIT - 600 {
        let reason = "x".repeat(100);
        journal.note(filler.clone(), B, Outcome::Failed { reason }).unwrap();
    }
    disk.with_fault(Fault::Full)
}

#[test]
fn a_site_is_tried_and_left_with_its_reason_until_only_the_last_room_is_left() {
    let disk = full(Disk::new(steady()));
    let mut rounds = 0;
    let refusal = loop {
        let eleven = release(Kind::Site, 11);
        let installed = on(&disk, running(A, Some(A)), |agent| {
            agent.install(&eleven.verified, &mut eleven.source(), &Model::default())
        });
        match installed {
            Ok(_) => {}
            Err(problem) => break problem,
        }
        rounds += 1;
        let reason = format!("the page is empty, {rounds}: {}", "y".repeat(900));
        on(&disk, running(A, Some(A)), |agent| agent.condemn(Kind::Site, &reason)).unwrap();
        let failed = on(&disk, running(A, Some(A)), |agent| summarize(&agent.facts().unwrap()).failed);
        let site = failed.iter().find(|failure| failure.release.kind == Kind::Site).unwrap();
        assert_eq!(site.reason, reason);
    };
    assert_eq!(refusal.code(), "no-space", "{refusal}");
    assert!(rounds >= 5 && disk.medium().journal.len() > LIMIT, "{rounds}");
}

#[test]
fn a_base_is_left_with_its_reason_and_another_kept_when_nothing_can_be_installed_any_more() {
    let [one, two] = [release(Kind::Base, 1), release(Kind::Base, 2)];
    let trial = || {
        let disk = full(Disk::new(medium([Some(&one), Some(&two)], [None, None], &state(B, GOOD, TRIAL, None))));
        // Until an installation would be refused.
        let filler = Release::from(one.verified.manifest());
        let journal = Journal::new(&disk, || 0);
        while journal.accept(filler.clone(), formats::Digest([1; 32])).is_ok() {}
        disk
    };
    let left = trial();
    on(&left, running(B, None), |agent| agent.condemn(Kind::Base, "the application is dead")).unwrap();
    let summary = on(&left, running(B, None), |agent| summarize(&agent.facts().unwrap()));
    assert_eq!(summary.failed[0].reason, "the application is dead");
    let kept = trial();
    on(&kept, running(B, None), |agent| {
        agent.commit().unwrap();
        let facts = agent.facts().unwrap();
        assert!(matches!(derive(&facts), State::Steady { home: B, .. }));
        assert!(facts.history.committed(two.verified.manifest().build_id));
    });
}

#[test]
fn nothing_is_installed_when_no_room_can_be_kept_for_its_reason() {
    let disk = Disk::new(steady()).with_fault(Fault::Journal);
    let three = release(Kind::Base, 3);
    let install = |agent: &Agent<'_>| agent.install(&three.verified, &mut three.source(), &Model::default());
    let problem = on(&disk, running(A, Some(A)), install).unwrap_err();
    assert_eq!((problem.code(), disk.log()), ("no-space", Vec::new()), "{problem}");
    assert!(problem.to_string().starts_with("cannot keep room for the update journal"), "{problem}");
}
