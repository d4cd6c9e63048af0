//! What does not suit is refused, and a disk that fails is noticed, before anything that works is given up.

#![expect(clippy::redundant_closure_for_method_calls, reason = "the methods alone are not general over lifetimes")]

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

use fixtures::{Release, agent, medium, release, release_with, running, state, steady, trust};
use formats::SlotId::{A, B};
use formats::boot_state::{BootState, SlotState};
use formats::manifest::Kind;
use update_agent::disk::Part;
use update_agent::disk::simulated::{Disk, Fault, Operation};
use update_agent::error::Error;
use update_agent::journal::Outcome;
use update_agent::lifecycle::{Agent, Done, Model, Running, Spare, State, derive, summarize};

const GOOD: SlotState = SlotState::GOOD;

/// Base 2 runs from slot A, base 1 is the way back; site 10 runs.
fn disk() -> Disk {
    Disk::new(steady())
}

fn with_agent<T>(disk: &Disk, running: Option<Running>, work: impl FnOnce(&Agent<'_>) -> T) -> T {
    work(&agent(disk, &trust(), running))
}

fn said(model: Option<&str>) -> Model {
    Model { said: model.map(Into::into), firmware: Some("standard-pc".into()) }
}

fn install(disk: &Disk, release: &Release, model: Option<&str>) -> Result<Done, Error> {
    with_agent(disk, Some(running(A, Some(A))), |agent| {
        agent.install(&release.verified, &mut release.source(), &said(model))
    })
}

/// The refusal, which must have written nothing.
fn refused(disk: &Disk, release: &Release) -> String {
    let problem = install(disk, release, Some("model-x")).unwrap_err();
    assert_eq!(disk.log(), [], "{problem}");
    problem.to_string()
}

#[test]
fn an_older_release_is_refused_with_the_way_that_is_allowed() {
    let text = refused(&disk(), &release(Kind::Base, 1));
    for wanted in
        ["demo-base 1.0.0 is release number 1", "number 2 was committed", "\"update-agent rollback\"", "at least 2"]
    {
        assert!(text.contains(wanted), "{text}");
    }
    // The present one may be written again.
    install(&disk(), &release(Kind::Base, 2), None).unwrap();
}

#[test]
fn a_floor_outlives_the_slot_it_was_reached_in() {
    let disk = disk();
    install(&disk, &release(Kind::Base, 5), None).unwrap();
    let mut boot = disk.medium();
    boot.set(
        Part::State,
        formats::state_volume::image(&state(B, GOOD, SlotState { good: false, tries: 2 }, Some(A))).unwrap(),
    );
    let disk = Disk::new(boot);
    let on_b = Some(running(B, Some(A)));
    with_agent(&disk, on_b, |agent| agent.commit()).unwrap();
    with_agent(&disk, on_b, |agent| agent.rollback(Kind::Base)).unwrap();
    let mut medium = disk.medium();
    medium.set(
        Part::State,
        formats::state_volume::image(&BootState {
            last: Some(A),
            ..state(A, SlotState { good: false, tries: 2 }, GOOD, Some(A))
        })
        .unwrap(),
    );
    let disk = Disk::new(medium);
    with_agent(&disk, Some(running(A, Some(A))), |agent| agent.commit()).unwrap();
    // Slot B, with release 5 in it, is overwritten; the journal still knows.
    install(&disk, &release(Kind::Base, 6), None).unwrap();
    let text = install(&disk, &release(Kind::Base, 4), None).unwrap_err().to_string();
    assert!(text.contains("number 5 was committed"), "{text}");
}

#[test]
fn a_release_that_failed_raises_no_floor_even_when_a_lost_boot_state_calls_its_slot_good() {
    let disk = disk();
    install(&disk, &release(Kind::Base, 5), None).unwrap();
    with_agent(&disk, Some(running(B, Some(A))), |agent| agent.condemn(Kind::Base, "no page")).unwrap();
    let mut medium = disk.medium();
    medium.set(Part::State, formats::state_volume::image(&state(A, GOOD, GOOD, Some(A))).unwrap());
    install(&Disk::new(medium), &release(Kind::Base, 4), None).unwrap();
}

#[test]
fn a_release_for_other_hardware_is_refused_naming_both() {
    let other = release_with(Kind::Base, 3, |manifest| manifest.hardware = vec!["model-y".into(), "model-z".into()]);
    let text = refused(&disk(), &other);
    assert!(text.contains("is for hardware \"model-y\" or \"model-z\", this is \"model-x\""), "{text}");
    let text = install(&disk(), &other, None).unwrap_err().to_string();
    assert!(text.contains("--hardware MODEL"), "{text}");
    install(&disk(), &other, Some("model-z")).unwrap();
}

#[test]
fn without_a_word_a_release_must_suit_every_model_the_present_base_is_for() {
    let on = |ours: &[&str], theirs: &[&str]| {
        let list = |models: &[&str]| models.iter().map(|model| (*model).to_owned()).collect();
        let base = release_with(Kind::Base, 2, |manifest| manifest.hardware = list(ours));
        let disk = Disk::new(medium([Some(&base), None], [None, None], &BootState::initial(A, None)));
        install(&disk, &release_with(Kind::Base, 3, |manifest| manifest.hardware = list(theirs)), None)
    };
    on(&["x"], &["x"]).unwrap();
    on(&["x", "y"], &["y", "z", "x"]).unwrap();
    on(&["x"], &[]).unwrap();
    on(&["x"], &["standard-pc"]).unwrap();
    let text = on(&["x", "y"], &["y"]).unwrap_err().to_string();
    assert!(text.contains("this may be \"x\" or \"y\"; say which with --hardware MODEL"), "{text}");
    assert!(on(&["x"], &["y"]).unwrap_err().to_string().contains("this is \"x\""));
}

#[test]
fn requirements_between_base_and_site_hold_in_both_directions() {
    let needs_base = release_with(Kind::Site, 11, |manifest| manifest.requires.base = Some(">=3.0.0".parse().unwrap()));
    let text = refused(&disk(), &needs_base);
    assert!(text.contains("demo-site 11.0.0 needs base >=3.0.0, and base 2.0.0 may start here"), "{text}");
    let needs_site = release_with(Kind::Base, 3, |manifest| manifest.requires.site = Some(">=11".parse().unwrap()));
    let text = refused(&disk(), &needs_site);
    assert!(text.contains("needs site >=11, and site 10.0.0 runs here"), "{text}");

    let [two, old_site] =
        [release(Kind::Base, 2), release_with(Kind::Site, 10, |m| m.requires.base = Some("<3".parse().unwrap()))];
    let disk = Disk::new(medium([Some(&two), None], [Some(&old_site), None], &BootState::initial(A, Some(A))));
    let text = refused(&disk, &release(Kind::Base, 3));
    assert!(text.contains("would leave site 10.0.0 behind, which needs base <3"), "{text}");
}

#[test]
fn a_site_must_suit_the_base_that_waits_for_its_trial_too() {
    let disk = disk();
    install(&disk, &release(Kind::Base, 3), None).unwrap();
    let for_two = release_with(Kind::Site, 11, |manifest| manifest.requires.base = Some("<3".parse().unwrap()));
    let text = install(&disk, &for_two, None).unwrap_err().to_string();
    assert!(text.contains("base 3.0.0 may start here"), "{text}");
}

#[test]
fn a_site_for_another_host_name_is_refused_with_both_names() {
    let other = release_with(Kind::Site, 11, |manifest| {
        manifest.site.as_mut().unwrap().hostname = "other.example".into();
    });
    let text = refused(&disk(), &other);
    assert!(text.contains("is for the site \"other.example\"; this appliance serves \"demo.example\""), "{text}");
}

#[test]
fn an_image_that_does_not_fit_is_refused_by_how_much() {
    let disk = disk();
    let mut small = disk.medium();
    small.set(Part::Base(B), vec![0; 100 * 1024]);
    let text = refused(&Disk::new(small), &release(Kind::Base, 3));
    assert!(text.contains("does not fit") && text.contains("exceed"), "{text}");
}

#[test]
fn installing_the_armed_release_again_changes_nothing() {
    let disk = disk();
    let three = release(Kind::Base, 3);
    install(&disk, &three, None).unwrap();
    let log = disk.log();
    let done = install(&disk, &three, None).unwrap();
    assert_eq!((done.steps, disk.log() == log), (Vec::new(), true));
}

/// Runs an installation with every fault of a kind until one no longer happens; the appliance must stand as before each time.
fn every_fault(fault: impl Fn(usize) -> Fault) -> usize {
    for number in 0.. {
        let disk = disk().with_fault(fault(number));
        let before = disk.medium();
        let result = install(&disk, &release(Kind::Base, 3), None);
        let after = disk.medium();
        assert_eq!(after.part(Part::Base(A)), before.part(Part::Base(A)));
        with_agent(&disk, Some(running(A, Some(A))), |agent| {
            let facts = agent.facts().unwrap();
            let state = derive(&facts);
            match &result {
                Ok(_) => assert!(matches!(state, State::Armed { candidate: B, .. })),
                // The switch itself may land although the disk says it failed: then the release is there as well.
                Err(problem) if matches!(state, State::Armed { .. }) => {
                    assert!(problem.to_string().contains("write boot state block"), "{problem}");
                    assert!(facts.base.get(B).manifest().is_some());
                    let done = agent.settle().unwrap();
                    assert!(done.steps[0].contains("starts on trial"), "{:?}", done.steps);
                }
                Err(problem) => assert_eq!(state.starts_next(), Some(A), "{problem}"),
            }
        });
        if result.is_ok() {
            return number;
        }
    }
    unreachable!()
}

#[test]
fn every_failing_write_and_flush_is_noticed_before_the_switch() {
    assert!(every_fault(Fault::Write) >= 14);
    assert!(every_fault(Fault::Flush) >= 6);
}

#[test]
fn every_forgotten_write_is_noticed_before_the_switch() {
    // Erasing what is zero already is the one write that may be forgotten; here slot B is full, so its first block must go.
    for number in 0..15 {
        let disk = disk().with_fault(Fault::Forget(number));
        let three = release(Kind::Base, 3);
        let result = install(&disk, &three, None);
        if result.is_ok() {
            // Forgotten, and written over again later by the same installation.
            assert_eq!(disk.medium().part(Part::Base(B))[..three.image.len()], three.image);
        }
        if let Err(problem) = &result {
            assert_eq!(problem.code(), "not-kept", "write {number}: the disk is at fault, not the package: {problem}");
        }
        with_agent(&disk, Some(running(A, Some(A))), |agent| {
            let armed = matches!(derive(&agent.facts().unwrap()), State::Armed { .. });
            assert_eq!(armed, result.is_ok(), "write {number}: {:?}", result.as_ref().err().map(ToString::to_string));
        });
    }
}

#[test]
fn a_slot_that_cannot_be_read_back_is_not_switched_to() {
    let disk = disk().with_fault(Fault::Read(Part::Base(B)));
    let text = install(&disk, &release(Kind::Base, 3), None).unwrap_err().to_string();
    assert!(text.contains("cannot read back base slot B"), "{text}");
}

#[test]
fn without_room_for_the_journal_nothing_is_written() {
    let disk = disk().with_fault(Fault::Journal);
    let text = install(&disk, &release(Kind::Base, 3), None).unwrap_err().to_string();
    assert!(text.contains("journal") && disk.log().is_empty(), "{text}");
}

#[test]
fn a_full_data_partition_does_not_keep_a_healthy_release_from_being_committed() {
    let [one, two] = [release(Kind::Base, 1), release(Kind::Base, 2)];
    let trial = SlotState { good: false, tries: 2 };
    let disk = Disk::new(medium([Some(&one), Some(&two)], [None, None], &state(B, GOOD, trial, None)))
        .with_fault(Fault::Journal);
    let done = with_agent(&disk, Some(running(B, None)), |agent| agent.commit()).unwrap();
    assert!(matches!(done.state, State::Steady { home: B, .. }));
    assert!(done.steps[0].contains("cannot write the update journal"), "{:?}", done.steps);
}

#[test]
fn a_package_that_ends_early_or_lies_about_its_root_hash_leaves_the_slot_empty() {
    let three = release(Kind::Base, 3);
    let mut short = three.source();
    short.image.truncate(8192);
    let mut wrong = three.source();
    wrong.image[20_000] ^= 1;
    for (mut source, wanted) in [
        (short, "the image ends after"),
        (wrong, "the package contradicts itself: the image is the one in the package"),
    ] {
        let disk = disk();
        let result = with_agent(&disk, Some(running(A, Some(A))), |agent| {
            agent.install(&three.verified, &mut source, &said(None))
        });
        let text = result.unwrap_err().to_string();
        assert!(text.contains(wanted), "{text}");
        with_agent(&disk, Some(running(A, Some(A))), |agent| {
            let facts = agent.facts().unwrap();
            assert_eq!(*facts.base.get(B), update_agent::slot::Content::Empty);
            let (_, _, outcome, _) = facts.history.last(Kind::Base).unwrap();
            assert!(matches!(outcome, Outcome::Failed { .. }));
        });
    }
}

#[test]
fn rolling_back_to_a_slot_that_rotted_is_refused_before_it_is_armed() {
    let mut rotten = disk().medium();
    let mut slot = rotten.part(Part::Base(B)).to_vec();
    slot[5 * 4096] ^= 1;
    rotten.set(Part::Base(B), slot);
    let disk = Disk::new(rotten);
    let text = with_agent(&disk, Some(running(A, None)), |agent| agent.rollback(Kind::Base)).unwrap_err().to_string();
    assert!(text.contains("base slot B is damaged: data block 5"), "{text}");
    assert_eq!(disk.log(), []);
}

#[test]
fn every_write_of_an_installation_is_where_it_may_be() {
    let disk = disk();
    install(&disk, &release(Kind::Base, 3), None).unwrap();
    for operation in disk.log() {
        if let Operation::Write(write) = operation {
            assert!(matches!(write.part, Part::State | Part::Base(B)), "{write:?}");
            assert!(write.part != Part::State || write.bytes.len() == 512);
        }
    }
}

#[test]
fn a_good_release_that_is_started_until_no_try_is_left_is_given_up_with_its_reason_and_keeps_its_floor() {
    let [one, two] = [release(Kind::Base, 1), release(Kind::Base, 2)];
    let rotten = SlotState { good: true, tries: 0 };
    let boot = BootState { last: Some(B), ..state(A, rotten, GOOD, None) };
    let disk = Disk::new(medium([Some(&two), Some(&one)], [None, None], &boot));
    with_agent(&disk, Some(running(B, None)), |agent| {
        assert_eq!(derive(&agent.facts().unwrap()), State::Failed { home: B, failed: A });
        let done = agent.settle().unwrap();
        assert!(matches!(done.state, State::Steady { home: B, .. }), "{:?}", done.state);
        let facts = agent.facts().unwrap();
        let (failed, slot, outcome, _) = facts.history.last(Kind::Base).unwrap();
        let reason = "it was started 5 times and never proved healthy".to_owned();
        assert_eq!((failed.sequence, slot, outcome), (2, A, &Outcome::FellBack { reason }));
        assert_eq!(facts.floor(Kind::Base, "demo-base"), Some(2));
        assert_eq!(facts.boot.unwrap().order, B);
    });
}

#[test]
fn a_release_that_the_boot_loader_could_not_load_is_given_up_at_once_with_that_reason() {
    let [one, two] = [release(Kind::Base, 1), release(Kind::Base, 2)];
    let trial = |tries| SlotState { good: false, tries };
    let on = |tries| {
        let boot = BootState { last: Some(A), ..state(B, GOOD, trial(tries), None) };
        Disk::new(medium([Some(&one), Some(&two)], [None, None], &boot))
    };
    // Nothing was tried yet, and without a start nobody knows: neither is a failure.
    with_agent(&on(3), Some(running(A, None)), |agent| {
        assert!(matches!(derive(&agent.facts().unwrap()), State::Armed { candidate: B, tries: 3, .. }));
    });
    with_agent(&on(2), None, |agent| {
        assert!(matches!(derive(&agent.facts().unwrap()), State::Armed { candidate: B, tries: 2, .. }));
    });
    for tries in [1, 2] {
        let disk = on(tries);
        with_agent(&disk, Some(running(A, None)), |agent| {
            assert_eq!(derive(&agent.facts().unwrap()), State::NotLoaded { home: A, candidate: B, tries });
            let before = summarize(&agent.facts().unwrap());
            assert_eq!((before.on_trial, before.failed.len(), before.failed[0].slot), (None, 1, B));
            assert!(before.failed[0].reason.starts_with("the boot loader could not start it"), "{:?}", before.failed);
            let done = agent.settle().unwrap();
            assert_eq!(done.state, State::Steady { home: A, spare: Spare::Unproven });
            let facts = agent.facts().unwrap();
            let Some((failed, B, Outcome::FellBack { reason }, _)) = facts.history.last(Kind::Base) else {
                panic!("{:?}", facts.history);
            };
            assert_eq!((failed.sequence, reason), (2, &before.failed[0].reason));
            assert_eq!(summarize(&facts).failed, before.failed);
            assert_eq!(facts.boot.unwrap().order, A);
            assert_eq!(agent.settle().unwrap().steps, Vec::<String>::new());
        });
        // The same one again is no repetition: this time it may be read.
        let done = with_agent(&disk, Some(running(A, None)), |agent| {
            agent.install(&two.verified, &mut two.source(), &said(None))
        });
        assert!(matches!(done.unwrap().state, State::Armed { candidate: B, tries: 3, .. }));
    }
}

#[test]
fn a_good_release_that_the_boot_loader_passed_over_is_named_and_keeps_its_tries() {
    let [one, two] = [release(Kind::Base, 1), release(Kind::Base, 2)];
    let boot = BootState { last: Some(B), ..state(A, SlotState { good: true, tries: 4 }, GOOD, None) };
    let disk = Disk::new(medium([Some(&two), Some(&one)], [None, None], &boot));
    with_agent(&disk, Some(running(B, None)), |agent| {
        agent.settle().unwrap();
        let failed = summarize(&agent.facts().unwrap()).failed;
        assert_eq!((failed.len(), failed[0].slot, failed[0].release.sequence), (1, A, 2));
        assert!(failed[0].reason.contains("at each of the next 4 restarts"), "{failed:?}");
    });
    // Where it runs, nothing is wrong.
    with_agent(&disk, Some(running(A, None)), |agent| assert_eq!(summarize(&agent.facts().unwrap()).failed, []));
}
