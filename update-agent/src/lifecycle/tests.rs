use formats::SlotId::{self, A, B};
use formats::boot_state;

use super::*;
use crate::journal::{Outcome, Verb};

const STATES: [State; 12] = [
    State::Steady { home: A, spare: Spare::Good },
    State::Steady { home: A, spare: Spare::Unproven },
    State::Steady { home: B, spare: Spare::Nothing },
    State::Writing { home: A, target: B },
    State::Armed { home: A, candidate: B, tries: 3 },
    State::Trial { home: A, candidate: B, tries_left: 1 },
    State::Failed { home: A, failed: B },
    State::Leaving { home: A, running: B },
    State::Unproven { slot: A, runs: true },
    State::Unproven { slot: A, runs: false },
    State::Lost { running: Some(A) },
    State::Lost { running: None },
];

fn events() -> [Event; 6] {
    let reason = String::from("dead");
    [
        Event::Install { same: false },
        Event::Install { same: true },
        Event::Commit,
        Event::Rollback,
        Event::Condemn { reason: reason.clone() },
        Event::Settle { reason },
    ]
}

/// The whole table in one picture: states down, events across. `.` nothing to do, `!` refused, else what becomes of it.
#[test]
fn the_table_is_this() {
    let picture: Vec<String> = STATES
        .iter()
        .map(|state| {
            let cells = events().map(|event| match transition(*state, &event) {
                Err(_) => '!',
                Ok(step) if step.effects.is_empty() => '.',
                Ok(step) => match step.next {
                    State::Armed { .. } => 'A',
                    State::Steady { .. } => 'S',
                    State::Leaving { .. } => 'L',
                    _ => '?',
                },
            });
            cells.iter().collect()
        })
        .collect();
    let wanted = [
        // install, the same again, commit, roll back, condemn, settle
        "AA.A!.", // steady, with a way back
        "AA.!!.", // steady, the other slot unproven
        "AA.!!.", // steady, the other slot empty
        "AA.!!.", // an interrupted installation
        "A.!S!.", // armed
        "!.SLL.", // on trial
        "AA.!!S", // failed
        "!!!!!.", // leaving
        "!!S!!.", // the last resort runs
        "!!!!!.", // nothing is good
        "!!!!!S", // boot state lost
        "!!!!!.", // boot state lost, nothing runs
    ];
    assert_eq!(picture, wanted);
}

#[test]
fn nothing_is_written_before_the_intent_and_no_slot_before_it_is_given_away() {
    for state in STATES {
        for event in events() {
            let Ok(step) = transition(state, &event) else { continue };
            let place = |wanted: &dyn Fn(&Effect) -> bool| step.effects.iter().position(wanted);
            let change = place(&|effect| matches!(effect, Effect::Boot(_) | Effect::Write(_)));
            let record = place(&|effect| matches!(effect, Effect::Begin(..) | Effect::Note(..)));
            assert!(change.is_none() || record < change, "{state:?} {event:?}");
            if let Some(write) = place(&|effect| matches!(effect, Effect::Write(_))) {
                let away = place(&|effect| matches!(effect, Effect::Boot(boot_state::Event::BeginWrite(_))));
                let arm = place(&|effect| matches!(effect, Effect::Boot(boot_state::Event::Arm(_))));
                assert!(away.unwrap() < write && write < arm.unwrap(), "{state:?} {event:?}");
            }
            let ended = step.effects.iter().any(|effect| matches!(effect, Effect::End(_)));
            let begun = step.effects.iter().any(|effect| matches!(effect, Effect::Begin(..)));
            assert_eq!(ended, begun, "{state:?} {event:?}");
        }
    }
}

#[test]
fn the_slot_that_carries_the_appliance_is_never_written() {
    for state in STATES {
        let Ok(step) = transition(state, &Event::Install { same: false }) else { continue };
        let written: Vec<SlotId> =
            step.effects.iter().filter_map(|e| if let Effect::Write(slot) = e { Some(*slot) } else { None }).collect();
        let (State::Steady { home, .. }
        | State::Writing { home, .. }
        | State::Armed { home, .. }
        | State::Failed { home, .. }) = state
        else {
            panic!("{state:?} allows an installation");
        };
        assert_eq!(written, [!home], "{state:?}");
    }
}

#[test]
fn every_refusal_names_the_way_out() {
    for state in STATES {
        for event in events() {
            let Err(refusal) = transition(state, &event) else { continue };
            let text = refusal.to_string();
            let way_out = ["update-agent", "restart", "install", "start "].iter().any(|word| text.contains(word));
            assert!(way_out && !text.ends_with('.'), "{text}");
        }
    }
}

#[test]
fn a_reason_is_durable_before_the_slot_is_given_up() {
    let step =
        transition(State::Trial { home: A, candidate: B, tries_left: 1 }, &Event::Condemn { reason: "no page".into() });
    let effects = step.unwrap().effects;
    assert_eq!(effects[0], Effect::Begin(Verb::Leave, B, Some("no page".into())));
    assert_eq!(effects[2], Effect::End(Outcome::FellBack { reason: "no page".into() }));
}

fn site(active: Option<SlotId>, named: Option<SlotId>) -> SiteState {
    SiteState { active, named, way_back: true, committed: false, named_then: named }
}

fn written(step: &Step<SiteState>) -> Vec<SlotId> {
    step.effects.iter().filter_map(|e| if let Effect::Write(slot) = e { Some(*slot) } else { None }).collect()
}

#[test]
fn a_site_goes_to_the_slot_it_does_not_run_from_and_the_running_one_is_named_first() {
    for (active, named, target, pinned) in [
        (None, None, A, false),
        (Some(A), Some(A), B, false),
        (Some(B), Some(B), A, false),
        (Some(B), None, A, true),
        (Some(A), Some(B), B, true),
    ] {
        let step = site_transition(site(active, named), &SiteEvent::Install).unwrap();
        assert_eq!(written(&step), [target]);
        assert!(matches!(step.effects[0], Effect::Begin(Verb::Install, slot, _) if slot == target));
        let pin = active.map(|active| Effect::Boot(boot_state::Event::SwitchSite(active)));
        assert_eq!(step.effects.get(1) == pin.as_ref(), pinned, "{active:?} {named:?}");
    }
}

#[test]
fn a_site_that_waits_for_its_restart_has_not_failed() {
    let settle = SiteEvent::Settle { reason: "it could not be mounted".into() };
    let waiting = SiteState { named_then: Some(A), ..site(Some(A), Some(B)) };
    assert_eq!(site_transition(waiting, &settle).unwrap().effects, []);
    let passed_over = site(Some(A), Some(B));
    let effects = site_transition(passed_over, &settle).unwrap().effects;
    assert!(matches!(effects[0], Effect::Note(B, Outcome::FellBack { .. })));
    assert_eq!(effects[1], Effect::Boot(boot_state::Event::SwitchSite(A)));
}

#[test]
fn a_site_is_committed_once_and_only_when_it_runs() {
    let commit = |state| site_transition(state, &SiteEvent::Commit).unwrap().effects;
    assert_eq!(commit(site(Some(A), Some(A))), [Effect::Note(A, Outcome::Committed)]);
    assert_eq!(commit(SiteState { committed: true, ..site(Some(A), Some(A)) }), []);
    assert_eq!(commit(site(Some(A), Some(B))), []);
    assert_eq!(commit(site(None, Some(A))), []);
}

#[test]
fn a_site_rolls_back_only_to_a_complete_release() {
    let effects = site_transition(site(Some(A), Some(A)), &SiteEvent::Rollback).unwrap().effects;
    assert_eq!(effects[0], Effect::Prove(B));
    assert_eq!(site_transition(SiteState { way_back: false, ..site(Some(A), Some(A)) }, &SiteEvent::Rollback), None);
    assert_eq!(site_transition(site(None, None), &SiteEvent::Rollback), None);
}
