use formats::SlotId::{self, A, B};
use formats::boot_state;

use super::*;
use crate::journal::{Outcome, Verb};

const STATES: [State; 13] = [
    State::Steady { home: A, spare: Spare::Good },
    State::Steady { home: A, spare: Spare::Unproven },
    State::Steady { home: B, spare: Spare::Nothing },
    State::Writing { home: A, target: B },
    State::Armed { home: A, candidate: B, tries: 3 },
    State::Trial { home: A, candidate: B, tries_left: 1 },
    State::NotLoaded { home: A, candidate: B, tries: 2 },
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
        "AA.!!S", // not loaded
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
        | State::NotLoaded { home, .. }
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

fn still(active: Option<SlotId>, named: Option<SlotId>) -> Still {
    Still { named, ..Still::running(active) }
}

fn site_states() -> Vec<SiteState> {
    let waiting = |ready| SiteState::Waiting { still: still(Some(A), Some(A)), ready };
    let leaving = |home| SiteState::Leaving { home, candidate: B, runs: true, reason: "no page".into() };
    vec![
        SiteState::Steady(still(Some(A), Some(A))),
        SiteState::Steady(Still { committed: true, ..still(Some(A), Some(A)) }),
        SiteState::Steady(Still { no_way_back: Some("site slot B is empty".into()), ..still(None, None) }),
        waiting(false),
        waiting(true),
        SiteState::PassedOver(still(Some(A), Some(B))),
        SiteState::Trial { home: Some(A), candidate: B },
        SiteState::Trial { home: None, candidate: B },
        SiteState::Switching { home: Some(A), candidate: B },
        SiteState::NotSwitched { home: Some(A), candidate: B },
        SiteState::Restarted { home: Some(A), candidate: B },
        leaving(Some(A)),
        leaving(None),
    ]
}

fn site_events() -> [SiteEvent; 7] {
    [
        SiteEvent::Install { same: false, waits: false },
        SiteEvent::Install { same: true, waits: false },
        SiteEvent::Install { same: false, waits: true },
        SiteEvent::Commit,
        SiteEvent::Rollback,
        SiteEvent::Condemn { reason: "no page".into() },
        SiteEvent::Settle { reason: "it could not be mounted".into() },
    ]
}

/// The whole table of the site in one picture: states down, events across. `.` nothing to do, `!` refused, else what becomes of it.
#[test]
fn the_table_of_the_site_is_this() {
    let cell = |state: &SiteState, event: &SiteEvent| match site_transition(state, event) {
        Err(_) => '!',
        Ok(step) if step.effects.is_empty() => '.',
        Ok(step) => match step.next {
            SiteState::Steady(_) => 'S',
            SiteState::Trial { .. } => 'T',
            SiteState::Waiting { .. } => 'W',
            _ => '?',
        },
    };
    let picture: Vec<String> =
        site_states().iter().map(|state| site_events().iter().map(|event| cell(state, event)).collect()).collect();
    let wanted = [
        // install, the same again, one that waits, commit, roll back, condemn, settle
        "TTWST!.", // steady, not committed yet
        "TTW.T!.", // steady
        "TTW.!!.", // no site, and no way back
        "TTW.S!.", // one waits
        "TTWTS!.", // one waited, and its base is there
        "TTW.T!S", // passed over
        "!.!SSS.", // on trial
        "!.!SSS.", // on trial, nothing else there
        "!!!!!!T", // cut off while switching
        "!!!!!!S", // not even begun to switch
        "!!!!!!S", // restarted
        "!!!!!!S", // cut off while leaving
        "!!!!!!S", // the same, nothing else there
    ];
    assert_eq!(picture, wanted);
}

fn place(effects: &[Effect], wanted: impl Fn(&Effect) -> bool) -> Option<usize> {
    effects.iter().position(wanted)
}

#[test]
fn no_site_is_touched_before_it_is_written_down_and_the_running_one_is_named_first() {
    for state in site_states() {
        for event in site_events() {
            let Ok(step) = site_transition(&state, &event) else { continue };
            let record = place(&step.effects, |e| matches!(e, Effect::Begin(..) | Effect::Note(..)));
            let change =
                place(&step.effects, |e| matches!(e, Effect::Write(_) | Effect::Erase(_) | Effect::Activate { .. }));
            let goes_on =
                matches!(state, SiteState::Switching { .. } | SiteState::Restarted { .. } | SiteState::Leaving { .. });
            assert!(change.is_none() || goes_on || record < change, "{state:?} {event:?}");
            if let SiteState::PassedOver(still) = &state
                && let Some(change) = change
            {
                let named = Effect::Boot(boot_state::Event::SwitchSite(still.active.unwrap()));
                assert!(place(&step.effects, |e| *e == named).unwrap() < change, "{event:?}");
            }
        }
    }
}

#[test]
fn the_boot_state_names_a_new_site_only_at_its_commit() {
    for state in site_states() {
        for event in site_events() {
            let Ok(step) = site_transition(&state, &event) else { continue };
            for effect in &step.effects {
                if let Effect::Boot(boot_state::Event::SwitchSite(slot)) = effect {
                    let commit = matches!((&state, &event), (SiteState::Trial { .. }, SiteEvent::Commit));
                    assert_eq!(*slot == B, commit, "{state:?} {event:?}");
                }
            }
        }
    }
}

#[test]
fn the_site_that_runs_is_never_written() {
    for (active, named, spare) in [(Some(A), Some(A), B), (Some(B), None, A), (None, Some(A), B)] {
        let state = SiteState::Steady(Still { spare, ..still(active, named) });
        let step = site_transition(&state, &SiteEvent::Install { same: false, waits: false }).unwrap();
        let written =
            step.effects.iter().filter(|effect| matches!(effect, Effect::Write(slot) if Some(*slot) == active));
        assert_eq!(written.count(), 0);
        assert!(step.effects.contains(&Effect::Write(spare)));
        assert!(step.effects.contains(&Effect::Activate { slot: Some(spare), otherwise: active }));
    }
}

#[test]
fn a_site_is_left_with_its_reason_written_down_first_and_erased_when_nothing_else_is_there() {
    let condemn = SiteEvent::Condemn { reason: "no page".into() };
    let leave = Effect::Begin(Verb::Leave, B, Some("no page".into()));
    let back = |slot| Effect::Activate { slot, otherwise: None };
    let end = Effect::End(Outcome::FellBack { reason: "no page".into() });
    let effects = |home| site_transition(&SiteState::Trial { home, candidate: B }, &condemn).unwrap().effects;
    assert_eq!(effects(Some(A)), [leave.clone(), back(Some(A)), end.clone()]);
    assert_eq!(effects(None), [leave, back(None), Effect::Erase(B), end]);
}

#[test]
fn a_site_that_runs_and_nobody_named_is_named_when_it_is_committed() {
    let unnamed = SiteState::Steady(still(Some(B), None));
    let effects = site_transition(&unnamed, &SiteEvent::Commit).unwrap().effects;
    let named = Effect::Boot(boot_state::Event::SwitchSite(B));
    assert_eq!(effects, [named, Effect::Note(B, Outcome::Committed)]);
    let other = SiteState::Steady(still(Some(B), Some(A)));
    assert_eq!(site_transition(&other, &SiteEvent::Commit).unwrap().effects, []);
}

#[test]
fn on_an_image_file_the_boot_state_is_switched_and_nothing_is_tried() {
    let image = Still { live: false, ..still(Some(A), Some(A)) };
    for event in [SiteEvent::Install { same: false, waits: false }, SiteEvent::Rollback] {
        let effects = site_transition(&SiteState::Steady(image.clone()), &event).unwrap().effects;
        assert!(effects.contains(&Effect::Boot(boot_state::Event::SwitchSite(B))), "{event:?}");
        assert!(place(&effects, |effect| matches!(effect, Effect::Activate { .. })).is_none());
    }
}

#[test]
fn every_refusal_about_a_site_names_the_way_out() {
    for state in site_states() {
        for event in site_events() {
            let Err(refusal) = site_transition(&state, &event) else { continue };
            let text = refusal.to_string();
            let way_out = ["update-agent", "install "].iter().any(|word| text.contains(word));
            assert!(way_out && !text.ends_with('.'), "{text}");
        }
    }
}
