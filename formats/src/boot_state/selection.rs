//! What GRUB will do with a boot state: a pure model of the policy script embedded in the GRUB image.
//!
//! The script tries the slots in order: one without tries is skipped; otherwise the try is counted (saved and read back) and the slot
//! is loaded; anything that fails to load leads to the next slot. When nothing is left it starts, uncounted, the good slots and then
//! any slot, in each group the one that the run before did not start: of two good slots that ran out of tries, one may be rotten, and
//! without counting only taking turns gets past it. The simulator, the agent and the boot tests compare the real script with this model.

use super::{BootState, Event, next};
use crate::SlotId;

/// How one attempt is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Counted in the state block before the start.
    Counted {
        /// Tries left after this one.
        left: u8,
    },
    /// The try could not be saved; the slot is good, so it is started all the same.
    Unrecorded,
    /// Nothing else was left; `last` is saved if possible, no try is taken.
    LastResort,
}

/// One slot GRUB tries to load and start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The slot.
    pub slot: SlotId,
    /// How it is recorded.
    pub start: Start,
}

/// Everything GRUB tries in one run, in order, for as long as nothing loads. After the last one it waits and restarts the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The attempts; never empty.
    pub attempts: Vec<Attempt>,
}

/// What GRUB does with a state it can read and write.
pub fn select(state: &BootState) -> Selection {
    let counted = state.in_order().into_iter().filter_map(|slot| {
        let left = state.slot(slot).tries.checked_sub(1)?;
        Some(Attempt { slot, start: Start::Counted { left } })
    });
    with_last_resort(counted.collect(), turns(state), |slot| state.slot(slot).good)
}

/// What GRUB does when it can read the state but every write fails: a slot on trial is not started on a try nobody counts.
pub fn select_unrecorded(state: &BootState) -> Selection {
    let startable = |slot: &SlotId| state.slot(*slot).good && state.slot(*slot).tries > 0;
    let unrecorded = state.in_order().into_iter().filter(startable);
    let attempts = unrecorded.map(|slot| Attempt { slot, start: Start::Unrecorded }).collect();
    with_last_resort(attempts, turns(state), |slot| state.slot(slot).good)
}

/// What GRUB does when neither copy is whole: A, then B, as if both were good, uncounted.
pub fn select_without_state() -> Selection {
    with_last_resort(Vec::new(), SlotId::BOTH, |_| true)
}

impl Selection {
    /// The attempt that starts the machine when exactly the slots for which `loads` says so can be loaded.
    pub fn started(&self, loads: impl Fn(SlotId) -> bool) -> Option<Attempt> {
        self.attempts.iter().copied().find(|attempt| loads(attempt.slot))
    }

    /// The state on disk when that attempt is under way: every counted attempt before it has cost its try as well.
    pub fn state_after(&self, state: &BootState, loads: impl Fn(SlotId) -> bool) -> BootState {
        let mut state = *state;
        for attempt in &self.attempts {
            let event = match attempt.start {
                Start::Counted { .. } => Some(Event::CountTry(attempt.slot)),
                Start::LastResort => Some(Event::LastResort(attempt.slot)),
                Start::Unrecorded => None,
            };
            if let Some(Ok(after)) = event.map(|event| next(&state, event)) {
                state = after;
            }
            if loads(attempt.slot) {
                break;
            }
        }
        state
    }
}

/// The slots for the last resort, the one not started last first.
fn turns(state: &BootState) -> [SlotId; 2] {
    state.last.map_or_else(|| state.in_order(), |last| [!last, last])
}

fn with_last_resort(mut attempts: Vec<Attempt>, order: [SlotId; 2], good: impl Fn(SlotId) -> bool) -> Selection {
    let last_resort = order.into_iter().filter(|slot| good(*slot)).chain(order);
    attempts.extend(last_resort.map(|slot| Attempt { slot, start: Start::LastResort }));
    Selection { attempts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot_state::SlotState;
    use SlotId::{A, B};

    fn state(order: SlotId, a: (bool, u8), b: (bool, u8)) -> BootState {
        let record = |(good, tries)| SlotState { good, tries };
        BootState { sequence: 1, order, a: record(a), b: record(b), last: None, site: None }
    }

    /// `b2 a4 A B`: counted attempts with the tries left, `a?` unrecorded, capitals for the last resort.
    fn short(selection: &Selection) -> String {
        let words: Vec<String> = selection
            .attempts
            .iter()
            .map(|attempt| match attempt.start {
                Start::Counted { left } => format!("{}{left}", attempt.slot.letter()),
                Start::Unrecorded => format!("{}?", attempt.slot.letter()),
                Start::LastResort => attempt.slot.to_string(),
            })
            .collect();
        words.join(" ")
    }

    #[test]
    fn follows_order_tries_and_last_resort() {
        let table = [
            (state(A, (true, 5), (false, 0)), "a4 A A B"),
            (state(B, (true, 5), (false, 3)), "b2 a4 A B A"),
            (state(B, (true, 5), (false, 0)), "a4 A B A"),
            (state(B, (true, 5), (true, 5)), "b4 a4 B A B A"),
            (state(A, (true, 0), (false, 0)), "A A B"),
            (state(A, (false, 0), (false, 0)), "A B"),
            (state(A, (false, 1), (false, 1)), "a0 b0 A B"),
            (state(B, (false, 0), (true, 0)), "B B A"),
        ];
        for (state, expected) in table {
            assert_eq!(short(&select(&state)), expected, "{state:?}");
        }
    }

    #[test]
    fn without_writes_only_good_slots_start_before_the_last_resort() {
        assert_eq!(short(&select_unrecorded(&state(B, (true, 5), (false, 3)))), "a? A B A");
        assert_eq!(short(&select_unrecorded(&state(B, (true, 0), (true, 1)))), "b? B A B A");
        assert_eq!(short(&select_unrecorded(&state(A, (false, 3), (false, 3)))), "A B");
    }

    #[test]
    fn without_a_state_both_slots_are_tried() {
        assert_eq!(short(&select_without_state()), "A B A B");
    }

    #[test]
    fn a_failing_load_leads_to_the_next_slot_and_costs_its_try() {
        let before = state(B, (true, 5), (false, 3));
        let selection = select(&before);
        let only_a = |slot| slot == A;
        assert_eq!(selection.started(only_a), Some(Attempt { slot: A, start: Start::Counted { left: 4 } }));
        let after = selection.state_after(&before, only_a);
        assert_eq!((after.a.tries, after.b.tries, after.last), (4, 2, Some(A)));
        assert_eq!(selection.started(|_| false), None);
    }

    #[test]
    fn a_trial_that_never_commits_ends_in_the_good_slot() {
        let mut disk = state(B, (true, 5), (false, 3));
        let mut started = Vec::new();
        for _ in 0..4 {
            let selection = select(&disk);
            started.extend(selection.started(|_| true).map(|attempt| attempt.slot));
            disk = selection.state_after(&disk, |_| true);
        }
        assert_eq!(started, [B, B, B, A]);
    }

    #[test]
    fn a_good_slot_that_rots_falls_back_by_itself() {
        let mut disk = state(B, (true, 5), (true, 5));
        for _ in 0..5 {
            let selection = select(&disk);
            assert_eq!(selection.started(|_| true).map(|attempt| attempt.slot), Some(B));
            disk = selection.state_after(&disk, |_| true);
        }
        assert_eq!(select(&disk).started(|_| true).map(|attempt| attempt.slot), Some(A));
    }

    #[test]
    fn of_two_good_slots_without_tries_a_rotten_one_is_not_started_for_ever() {
        for last in SlotId::BOTH {
            for order in SlotId::BOTH {
                let mut disk = BootState { last: Some(last), ..state(order, (true, 0), (true, 0)) };
                let mut started = Vec::new();
                for _ in 0..4 {
                    let selection = select(&disk);
                    started.extend(selection.started(|_| true).map(|attempt| attempt.slot));
                    disk = selection.state_after(&disk, |_| true);
                }
                assert_eq!(started, [!last, last, !last, last]);
            }
        }
    }

    #[test]
    fn a_slot_that_is_not_good_gets_no_turn_while_a_good_one_loads() {
        for last in [None, Some(A), Some(B)] {
            let disk = BootState { last, ..state(B, (true, 0), (false, 0)) };
            assert_eq!(select(&disk).started(|_| true).map(|attempt| attempt.slot), Some(A));
        }
    }

    #[test]
    fn something_always_starts_when_something_loads() {
        for tries in 0..=5 {
            for good in [false, true] {
                for order in SlotId::BOTH {
                    let state = state(order, (good, tries), (!good, 5 - tries));
                    for only in SlotId::BOTH {
                        for selection in [select(&state), select_unrecorded(&state), select_without_state()] {
                            let started = selection.started(|slot| slot == only);
                            assert_eq!(started.map(|attempt| attempt.slot), Some(only), "{state:?}");
                        }
                    }
                }
            }
        }
    }
}
