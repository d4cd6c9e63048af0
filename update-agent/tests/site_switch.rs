//! A site goes live on a simulated machine, with everything that can stand in the way.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

use fixtures::{Release, agent, medium, release, release_with, running, state, steady, trust};
use formats::Guid;
use formats::SlotId::{A, B};
use formats::boot_state::SlotState;
use formats::manifest::Kind;
use update_agent::disk::Part;
use update_agent::disk::simulated::{Disk, Fault, SiteStep};
use update_agent::error::Error;
use update_agent::journal::Outcome;
use update_agent::lifecycle::{Agent, Done, Model, RESTARTED, Running, SiteState, derive_site, summarize};
use update_agent::site::{Now, Site};

const GOOD: SlotState = SlotState::GOOD;

fn on<T>(disk: &Disk, running: Running, work: impl FnOnce(&Agent<'_>) -> T) -> T {
    work(&agent(disk, &trust(), Some(running)))
}

fn now(disk: &Disk) -> Now {
    Site::now(disk).unwrap()
}

fn runs(slot: Option<formats::SlotId>) -> Now {
    Now { slot, started: true }
}

fn install(disk: &Disk, release: &Release) -> Result<Done, Error> {
    on(disk, running(A, Some(A)), |agent| agent.install(&release.verified, &mut release.source(), &Model::default()))
}

/// The same machine after a restart that found site slot `site`.
fn restarted(disk: &Disk, site: Option<formats::SlotId>) -> (Disk, Running) {
    let mut medium = disk.medium();
    medium.site = Some(runs(site));
    (Disk::new(medium), Running { boot: Some(Guid::new(2)), site_named_then: Some(A), ..running(A, site) })
}

#[test]
fn a_site_goes_live_is_on_trial_and_is_kept_by_a_commit() {
    let disk = Disk::new(steady());
    install(&disk, &release(Kind::Site, 11)).unwrap();
    assert_eq!(now(&disk), runs(Some(B)));
    on(&disk, running(A, Some(A)), |agent| {
        let trials = agent.on_trial().unwrap();
        assert_eq!(trials.len(), 1);
        assert_eq!((trials[0].kind, trials[0].slot, trials[0].release.sequence), (Kind::Site, B, 11));
        let summary = summarize(&agent.facts().unwrap());
        // A restart would bring the old one.
        assert_eq!(summary.site_on_trial.map(|site| site.slot), Some(B));
        assert_eq!(summary.next_restart.site.map(|site| site.slot), Some(A));
        assert_eq!(agent.facts().unwrap().floor(Kind::Site, "demo-site"), None);
        agent.commit().unwrap();
        assert_eq!(agent.on_trial().unwrap(), []);
        let summary = summarize(&agent.facts().unwrap());
        assert_eq!(summary.next_restart.site.map(|site| site.slot), Some(B));
        assert_eq!(agent.facts().unwrap().floor(Kind::Site, "demo-site"), Some(11));
    });
}

#[test]
fn a_switch_that_fails_at_any_step_leaves_the_old_site_running_and_tells_why() {
    for (step, slot) in [(SiteStep::Close, A), (SiteStep::Open, B), (SiteStep::Start, B)] {
        let disk = Disk::new(steady()).with_fault(Fault::Site(step, slot));
        let problem = install(&disk, &release(Kind::Site, 11)).unwrap_err();
        assert_eq!(problem.code(), "site-not-switched");
        assert_eq!(now(&disk), runs(Some(A)), "{step:?}");
        on(&disk, running(A, Some(A)), |agent| {
            let failed = summarize(&agent.facts().unwrap()).failed;
            assert_eq!((failed[0].slot, failed[0].release.sequence), (B, 11));
            assert!(failed[0].reason.contains("injected failure"), "{}", failed[0].reason);
            assert_eq!(agent.on_trial().unwrap(), []);
            assert_eq!(agent.settle().unwrap().steps, [""; 0]);
        });
    }
}

#[test]
fn a_condemned_site_gives_way_to_the_one_before_and_the_reason_is_kept() {
    let disk = Disk::new(steady());
    install(&disk, &release(Kind::Site, 11)).unwrap();
    on(&disk, running(A, Some(A)), |agent| {
        agent.condemn(Kind::Site, "the page is empty").unwrap();
        assert_eq!(summarize(&agent.facts().unwrap()).failed[0].reason, "the page is empty");
        assert!(agent.condemn(Kind::Site, "again").unwrap_err().to_string().contains("nothing is on trial"));
    });
    assert_eq!(now(&disk), runs(Some(A)));
    // Number 11 never proved itself, so a lower one is no step back.
    install(&disk, &release(Kind::Site, 10)).unwrap();
}

#[test]
fn a_site_that_filled_the_data_partition_is_left_and_does_not_come_back() {
    let disk = Disk::new(steady());
    install(&disk, &release(Kind::Site, 11)).unwrap();
    let full = Disk::new(disk.medium()).with_fault(Fault::Journal);
    on(&full, running(A, Some(A)), |agent| agent.condemn(Kind::Site, "no room")).unwrap_err();
    assert_eq!(now(&full), runs(Some(A)));
    let again = Disk::new(full.medium());
    on(&again, running(A, Some(A)), |agent| {
        assert_eq!(agent.on_trial().unwrap(), []);
        agent.settle().unwrap();
    });
    assert_eq!(now(&again), runs(Some(A)));
}

#[test]
fn a_site_before_that_does_not_come_back_is_tried_once_more_and_then_does_not_stand_in_the_way() {
    let disk = Disk::new(steady());
    install(&disk, &release(Kind::Site, 11)).unwrap();
    for step in [SiteStep::Open, SiteStep::Start] {
        let failing = Disk::new(disk.medium()).with_fault(Fault::Site(step, A));
        on(&failing, running(A, Some(A)), |agent| agent.condemn(Kind::Site, "the page is empty")).unwrap_err();
        assert_eq!(now(&failing), runs(None), "rather none than one that was given up");
        // It was a hiccup.
        let well = Disk::new(failing.medium());
        on(&well, running(A, Some(A)), |agent: &Agent<'_>| agent.settle()).unwrap();
        assert_eq!(now(&well), runs(Some(A)));
        // It was not.
        on(&failing, running(A, Some(A)), |agent: &Agent<'_>| agent.settle()).unwrap_err();
        on(&failing, running(A, Some(A)), |agent| {
            assert_eq!(agent.settle().unwrap().steps, [""; 0]);
            let reason = summarize(&agent.facts().unwrap()).failed[0].reason.clone();
            assert!(reason.starts_with("the page is empty; and the site before does not come back: "), "{reason}");
        });
        install(&failing, &release(Kind::Site, 12)).unwrap();
        assert_eq!(now(&failing), runs(Some(B)));
    }
}

#[test]
fn a_restart_in_the_trial_has_brought_the_old_site_back_and_says_how_to_try_again() {
    let disk = Disk::new(steady());
    install(&disk, &release(Kind::Site, 11)).unwrap();
    let (disk, again) = restarted(&disk, Some(A));
    on(&disk, again, |agent| {
        // Also before anything is written down.
        assert_eq!(summarize(&agent.facts().unwrap()).failed[0].reason, RESTARTED);
        agent.settle().unwrap();
        assert_eq!(summarize(&agent.facts().unwrap()).failed[0].reason, RESTARTED);
        agent.commit().unwrap();
        assert_eq!(agent.facts().unwrap().floor(Kind::Site, "demo-site"), Some(10));
        agent.rollback(Kind::Site).unwrap();
        assert_eq!(agent.on_trial().unwrap()[0].slot, B);
    });
    assert_eq!(now(&disk), runs(Some(B)));
}

#[test]
fn a_trial_without_another_site_goes_on_after_a_restart_and_leaves_nothing_when_it_fails() {
    let one = release(Kind::Base, 1);
    let disk = Disk::new(medium([Some(&one), None], [None, None], &state(A, GOOD, SlotState::EMPTY, None)));
    let first = release(Kind::Site, 10);
    on(&disk, running(A, None), |agent| agent.install(&first.verified, &mut first.source(), &Model::default()))
        .unwrap();
    let (disk, again) = restarted(&disk, Some(A));
    on(&disk, again, |agent| {
        assert_eq!(agent.on_trial().unwrap()[0].slot, A);
        agent.condemn(Kind::Site, "no page").unwrap();
        assert_eq!(agent.facts().unwrap().site.get(A).manifest(), None);
        assert_eq!(summarize(&agent.facts().unwrap()).next_restart.site, None);
    });
    assert_eq!(now(&disk).slot, None);
}

#[test]
fn a_commit_of_the_base_does_not_end_the_trial_of_a_site_unnoticed() {
    let disk = Disk::new(steady());
    install(&disk, &release(Kind::Site, 11)).unwrap();
    let problem = install(&disk, &release(Kind::Base, 3)).unwrap_err();
    assert_eq!(problem.code(), "site-on-trial");
    let other = install(&disk, &release(Kind::Site, 12)).unwrap_err();
    assert_eq!(other.code(), "site-on-trial");
    // The same one again is no other wish.
    assert_eq!(install(&disk, &release(Kind::Site, 11)).unwrap().steps, [""; 0]);
}

#[test]
fn a_site_for_the_armed_base_waits_and_goes_live_once_that_base_is_committed() {
    let disk = Disk::new(steady());
    install(&disk, &release(Kind::Base, 3)).unwrap();
    let for_three = release_with(Kind::Site, 11, |site| site.requires.base = Some(">=3".parse().unwrap()));
    install(&disk, &for_three).unwrap();
    assert_eq!(now(&disk), runs(Some(A)));
    on(&disk, running(A, Some(A)), |agent| {
        assert_eq!(summarize(&agent.facts().unwrap()).site_waiting.map(|site| site.slot), Some(B));
        // A commit of what runs changes nothing: the base has not been started.
        assert!(agent.commit().is_err());
    });
    assert_eq!(now(&disk), runs(Some(A)));
    let mut medium = disk.medium();
    let trial = state(B, GOOD, SlotState { good: false, tries: 2 }, Some(A));
    medium.set(Part::State, formats::state_volume::image(&trial).unwrap());
    let disk = Disk::new(medium);
    on(&disk, Running { boot: Some(Guid::new(2)), ..running(B, Some(A)) }, |agent| {
        let done = agent.commit().unwrap();
        assert!(matches!(done.site, SiteState::Trial { home: Some(A), candidate: B }), "{}", done.site);
    });
    assert_eq!(now(&disk), runs(Some(B)));
}

#[test]
fn nobody_commits_a_site_that_was_never_seen_running() {
    let disk = Disk::new(steady());
    install(&disk, &release(Kind::Site, 11)).unwrap();
    let mut cut = disk.medium();
    cut.site = Some(Now { slot: None, started: false });
    let disk = Disk::new(cut);
    on(&disk, running(A, Some(A)), |agent| {
        let done = agent.commit().unwrap();
        assert!(matches!(done.site, SiteState::Trial { candidate: B, .. }), "{}", done.site);
        assert!(matches!(agent.commit().unwrap().site, SiteState::Steady(_)));
    });
}

#[test]
fn a_site_that_could_not_be_run_is_noted_with_its_reason_and_the_substitute_is_kept() {
    let [one, old] = [release(Kind::Base, 1), release(Kind::Site, 10)];
    let for_two = release_with(Kind::Site, 11, |site| site.requires.base = Some(">=2".parse().unwrap()));
    let boot = state(A, GOOD, SlotState::EMPTY, Some(B));
    let mut content = medium([Some(&one), None], [Some(&old), Some(&for_two)], &boot);
    content.site = Some(runs(Some(A)));
    let disk = Disk::new(content);
    on(&disk, Running { site_named_then: Some(B), ..running(A, Some(A)) }, |agent| {
        assert!(matches!(derive_site(&agent.facts().unwrap()), SiteState::PassedOver(_)));
        agent.settle().unwrap();
        let facts = agent.facts().unwrap();
        assert_eq!(facts.boot.unwrap().site, Some(A));
        let (_, slot, outcome, _) = facts.history.last(Kind::Site).unwrap();
        assert_eq!(slot, B);
        assert!(matches!(outcome, Outcome::FellBack { reason } if reason.contains("needs base >=2")), "{outcome}");
    });
    assert_eq!(now(&disk), runs(Some(A)));
}
