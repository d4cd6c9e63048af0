//! Every legal change of the boot state, as one pure function.
//!
//! It guarantees that no event ever leaves a disk without a slot GRUB may start: a slot is given away (written, put on trial, given
//! up) only while the other one is good. It does not know which slot is running: never to write the running slot is the agent's
//! rule, and storing the result (older copy, one sector, read back) is its work.

use super::{BootState, GOOD_TRIES, MAX_SEQUENCE, SlotState};
use crate::SlotId;

/// Something that happens to the boot state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The agent is about to overwrite this slot: it stops being bootable and stops being the first choice.
    BeginWrite(SlotId),
    /// The agent has written and read back this slot (or goes back to what is in it): it is tried first, a few times.
    Arm(SlotId),
    /// The agent found the machine healthy, running from this slot.
    Commit(SlotId),
    /// The agent gives a good slot all its tries again after a healthy boot.
    Refill(SlotId),
    /// The agent, running from the other slot, declares this one failed.
    GiveUp(SlotId),
    /// The agent makes this site slot the active one.
    SwitchSite(SlotId),
    /// GRUB counts a start of this slot, in place, before it starts it.
    CountTry(SlotId),
    /// GRUB starts this slot because nothing else was left; not counted.
    LastResort(SlotId),
}

/// Why an event cannot happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The other slot is the only thing that could still boot, and it is not good.
    #[error("slot {slot} cannot be given away: slot {} is not marked good, so nothing safe would be left to start", !*.slot)]
    OnlyHope {
        /// The slot the event named.
        slot: SlotId,
    },
    /// Arming a slot whose trial is under way.
    #[error("slot {slot} is already on trial with {tries} tries left; commit it or give it up first")]
    AlreadyOnTrial {
        /// The slot on trial.
        slot: SlotId,
        /// Its tries left.
        tries: u8,
    },
    /// Arming the good slot that is the first choice anyway.
    #[error("slot {slot} is good and first in order already; there is nothing to try")]
    AlreadyFirst {
        /// The slot.
        slot: SlotId,
    },
    /// Committing a slot that was neither good, nor first in order, nor started last.
    #[error("slot {slot} cannot be committed: it is neither good nor on trial nor the slot started last")]
    NotStarted {
        /// The slot.
        slot: SlotId,
    },
    /// Committing one slot while the other one is on trial.
    #[error("slot {slot} cannot be committed while slot {} is on trial; give slot {} up first", !*.slot, !*.slot)]
    TrialPending {
        /// The slot that was to be committed.
        slot: SlotId,
    },
    /// Refilling a slot that never proved itself.
    #[error("slot {slot} is not marked good, so its tries are not refilled; commit it first")]
    NotGood {
        /// The slot.
        slot: SlotId,
    },
    /// Giving up a slot that is no candidate.
    #[error("slot {slot} is not a candidate for booting; there is nothing to give up")]
    NothingToGiveUp {
        /// The slot.
        slot: SlotId,
    },
    /// Switching to the active site slot.
    #[error("site slot {slot} is active already")]
    SiteActive {
        /// The site slot.
        slot: SlotId,
    },
    /// Counting a try of a slot that has none.
    #[error("slot {slot} has no tries left")]
    NoTriesLeft {
        /// The slot.
        slot: SlotId,
    },
    /// The sequence number cannot be raised any more.
    #[error("the boot state has reached its last sequence number {MAX_SEQUENCE}; write a fresh state volume")]
    SequenceExhausted,
}

/// The state after `event`, or why it may not happen. Nothing is written.
///
/// What the agent does raises the sequence number by one; what GRUB does in place does not.
///
/// # Errors
/// A [`Refusal`] for every pair of state and event that is not listed in the body as legal.
pub fn next(state: &BootState, event: Event) -> Result<BootState, Refusal> {
    match event {
        Event::Arm(slot) => raised(&armed(state, slot)?),
        Event::Commit(slot) => raised(&committed(state, slot)?),
        Event::Refill(slot) if state.slot(slot).good => raised(&state.with_slot(slot, SlotState::GOOD)),
        Event::Refill(slot) => Err(Refusal::NotGood { slot }),
        Event::GiveUp(slot) if state.order != slot && state.slot(slot) == SlotState::EMPTY => {
            Err(Refusal::NothingToGiveUp { slot })
        }
        Event::BeginWrite(slot) | Event::GiveUp(slot) => raised(&given_away(state, slot)?),
        Event::SwitchSite(slot) if state.site == Some(slot) => Err(Refusal::SiteActive { slot }),
        Event::SwitchSite(slot) => raised(&BootState { site: Some(slot), ..*state }),
        Event::CountTry(slot) => counted(state, slot),
        Event::LastResort(slot) => Ok(BootState { last: Some(slot), ..*state }),
    }
}

/// Not bootable, not first, and no longer the slot the machine runs from.
fn given_away(state: &BootState, slot: SlotId) -> Result<BootState, Refusal> {
    if !state.slot(!slot).good {
        return Err(Refusal::OnlyHope { slot });
    }
    let last = state.last.filter(|last| *last != slot);
    Ok(BootState { order: !slot, last, ..state.with_slot(slot, SlotState::EMPTY) })
}

/// On trial, with the other slot to fall back to. Arming a good slot is how an operator goes back to an earlier release.
fn armed(state: &BootState, slot: SlotId) -> Result<BootState, Refusal> {
    let record = state.slot(slot);
    if !state.slot(!slot).good {
        return Err(Refusal::OnlyHope { slot });
    }
    if record.is_on_trial() {
        return Err(Refusal::AlreadyOnTrial { slot, tries: record.tries });
    }
    if record.good && state.order == slot {
        return Err(Refusal::AlreadyFirst { slot });
    }
    Ok(BootState { order: slot, ..state.with_slot(slot, SlotState::TRIAL) })
}

fn committed(state: &BootState, slot: SlotId) -> Result<BootState, Refusal> {
    if state.slot(!slot).is_on_trial() {
        return Err(Refusal::TrialPending { slot });
    }
    // The last try of a trial has 0 tries left while it runs; only order or last still tell it from a half-written slot.
    if !state.slot(slot).good && state.order != slot && state.last != Some(slot) {
        return Err(Refusal::NotStarted { slot });
    }
    Ok(BootState { order: slot, ..state.with_slot(slot, SlotState { good: true, tries: GOOD_TRIES }) })
}

fn counted(state: &BootState, slot: SlotId) -> Result<BootState, Refusal> {
    let record = state.slot(slot);
    let tries = record.tries.checked_sub(1).ok_or(Refusal::NoTriesLeft { slot })?;
    Ok(BootState { last: Some(slot), ..state.with_slot(slot, SlotState { tries, ..record }) })
}

fn raised(state: &BootState) -> Result<BootState, Refusal> {
    let sequence = state.sequence.checked_add(1).filter(|sequence| *sequence <= MAX_SEQUENCE);
    Ok(BootState { sequence: sequence.ok_or(Refusal::SequenceExhausted)?, ..*state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use SlotId::{A, B};

    /// `order`, slot A, slot B, last, site in the short form `ba 1/5 0/2 a -`.
    fn state(text: &str) -> BootState {
        let words: Vec<&str> = text.split(' ').collect();
        let [order, a, b, last, site] = words.as_slice() else { panic!("{text}") };
        let slot = |text: &str| SlotState { good: text.starts_with('1'), tries: text[2..].parse().unwrap() };
        let letter = |text: &str| text.chars().next().and_then(SlotId::from_letter);
        BootState {
            sequence: 10,
            order: letter(order).unwrap(),
            a: slot(a),
            b: slot(b),
            last: letter(last),
            site: letter(site),
        }
    }

    fn all_states() -> Vec<BootState> {
        let records: Vec<SlotState> = [false, true]
            .into_iter()
            .flat_map(|good| (0..=GOOD_TRIES).map(move |tries| SlotState { good, tries }))
            .collect();
        let ids = [None, Some(A), Some(B)];
        let mut states = Vec::new();
        for order in SlotId::BOTH {
            for a in &records {
                for b in &records {
                    for last in ids {
                        for site in ids {
                            states.push(BootState { sequence: 10, order, a: *a, b: *b, last, site });
                        }
                    }
                }
            }
        }
        states
    }

    fn all_events() -> Vec<Event> {
        let makers: [fn(SlotId) -> Event; 8] = [
            Event::BeginWrite,
            Event::Arm,
            Event::Commit,
            Event::Refill,
            Event::GiveUp,
            Event::SwitchSite,
            Event::CountTry,
            Event::LastResort,
        ];
        makers.iter().flat_map(|make| SlotId::BOTH.map(make)).collect()
    }

    #[test]
    fn legal_transitions() {
        let table = [
            // an update, step by step
            ("ab 1/5 0/0 a a", Event::BeginWrite(B), "ab 1/5 0/0 a a"),
            ("ab 1/5 0/0 a a", Event::Arm(B), "ba 1/5 0/3 a a"),
            ("ba 1/5 0/3 a a", Event::CountTry(B), "ba 1/5 0/2 b a"),
            ("ba 1/5 0/2 b a", Event::Commit(B), "ba 1/5 1/5 b a"),
            ("ba 1/5 1/5 b a", Event::CountTry(B), "ba 1/5 1/4 b a"),
            ("ba 1/5 1/4 b a", Event::Refill(B), "ba 1/5 1/5 b a"),
            // the next update goes the other way
            ("ba 1/5 1/5 b a", Event::BeginWrite(A), "ba 0/0 1/5 b a"),
            // committed during its last try
            ("ba 1/5 0/0 b -", Event::Commit(B), "ba 1/5 1/5 b -"),
            // a failed trial, seen from A
            ("ba 1/4 0/0 a -", Event::GiveUp(B), "ab 1/4 0/0 a -"),
            ("ba 1/4 0/2 a -", Event::GiveUp(B), "ab 1/4 0/0 a -"),
            ("ba 1/4 0/0 a -", Event::Arm(B), "ba 1/4 0/3 a -"),
            // a good slot rotted
            ("ba 1/4 1/0 a -", Event::GiveUp(B), "ab 1/4 0/0 a -"),
            // back to the earlier release: on trial, or at once
            ("ba 1/5 1/5 b -", Event::Arm(A), "ab 0/3 1/5 b -"),
            ("ba 1/5 1/5 b -", Event::Commit(A), "ab 1/5 1/5 b -"),
            // an interrupted write starts over; the slot that was started last is not that slot any more
            ("ba 1/5 0/0 b -", Event::BeginWrite(B), "ab 1/5 0/0 - -"),
            ("ba 1/5 0/2 b -", Event::BeginWrite(B), "ab 1/5 0/0 - -"),
            // refilling the running slot while the other waits for its trial
            ("ba 1/3 0/3 a -", Event::Refill(A), "ba 1/5 0/3 a -"),
            // an uncommitted slot came up as a last resort and is healthy
            ("ab 1/0 0/0 a -", Event::LastResort(B), "ab 1/0 0/0 b -"),
            ("ab 1/0 0/0 b -", Event::Commit(B), "ba 1/0 1/5 b -"),
            ("ab 1/5 0/0 a -", Event::SwitchSite(A), "ab 1/5 0/0 a a"),
            ("ab 1/5 0/0 a a", Event::SwitchSite(B), "ab 1/5 0/0 a b"),
        ];
        for (from, event, to) in table {
            let from = state(from);
            let by_grub = matches!(event, Event::CountTry(_) | Event::LastResort(_));
            let expected = BootState { sequence: if by_grub { 10 } else { 11 }, ..state(to) };
            assert_eq!(next(&from, event), Ok(expected), "{event:?} in {from:?}");
        }
    }

    #[test]
    fn illegal_transitions() {
        let table = [
            ("ab 1/5 0/0 a -", Event::BeginWrite(A), Refusal::OnlyHope { slot: A }),
            ("ba 0/0 0/3 b -", Event::BeginWrite(A), Refusal::OnlyHope { slot: A }),
            ("ab 1/5 0/0 a -", Event::Arm(A), Refusal::OnlyHope { slot: A }),
            ("ab 1/5 1/5 a -", Event::Arm(A), Refusal::AlreadyFirst { slot: A }),
            ("ba 1/5 0/2 b -", Event::Arm(B), Refusal::AlreadyOnTrial { slot: B, tries: 2 }),
            ("ab 1/5 0/0 a -", Event::Commit(B), Refusal::NotStarted { slot: B }),
            ("ba 1/5 0/2 a -", Event::Commit(A), Refusal::TrialPending { slot: A }),
            ("ba 1/5 0/2 b -", Event::Refill(B), Refusal::NotGood { slot: B }),
            ("ab 1/5 0/0 a -", Event::GiveUp(B), Refusal::NothingToGiveUp { slot: B }),
            ("ab 1/5 0/0 a -", Event::GiveUp(A), Refusal::OnlyHope { slot: A }),
            ("ab 1/5 0/0 a b", Event::SwitchSite(B), Refusal::SiteActive { slot: B }),
            ("ab 1/0 0/0 a -", Event::CountTry(A), Refusal::NoTriesLeft { slot: A }),
        ];
        for (from, event, refusal) in table {
            let from = state(from);
            assert_eq!(next(&from, event), Err(refusal), "{event:?} in {from:?}");
        }
    }

    #[test]
    fn refuses_to_run_out_of_sequence_numbers() {
        let state = BootState { sequence: MAX_SEQUENCE, ..state("ab 1/4 0/0 a -") };
        assert_eq!(next(&state, Event::Refill(A)), Err(Refusal::SequenceExhausted));
        assert!(next(&state, Event::CountTry(A)).is_ok());
    }

    /// Every state with a good slot, every event: a good slot remains, the result is encodable, and the sequence follows the rule.
    #[test]
    fn no_event_takes_the_last_good_slot_away() {
        for state in all_states() {
            for event in all_events() {
                let Ok(after) = next(&state, event) else { continue };
                let by_grub = matches!(event, Event::CountTry(_) | Event::LastResort(_));
                assert_eq!(after.sequence, if by_grub { 10 } else { 11 });
                assert!(after.encode().is_ok());
                if state.a.good || state.b.good {
                    assert!(after.a.good || after.b.good, "{event:?} in {state:?}");
                }
            }
        }
    }

    #[test]
    fn a_given_up_or_half_written_slot_is_never_first() {
        for state in all_states() {
            for slot in SlotId::BOTH {
                for event in [Event::BeginWrite(slot), Event::GiveUp(slot)] {
                    if let Ok(after) = next(&state, event) {
                        assert_eq!((after.order, after.slot(slot)), (!slot, SlotState::EMPTY));
                        assert_ne!(after.last, Some(slot));
                    }
                }
            }
        }
    }

    #[test]
    fn refusals_name_both_slots_and_the_way_out() {
        let texts = [
            (
                Refusal::OnlyHope { slot: B },
                "slot B cannot be given away: slot A is not marked good, so nothing safe would be left to start",
            ),
            (
                Refusal::TrialPending { slot: A },
                "slot A cannot be committed while slot B is on trial; give slot B up first",
            ),
        ];
        for (refusal, text) in texts {
            assert_eq!(refusal.to_string(), text);
        }
    }
}
