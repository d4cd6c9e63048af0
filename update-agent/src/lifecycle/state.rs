//! What the appliance is in the middle of, derived from facts. Pure.

use std::fmt;

use formats::SlotId;
use formats::boot_state::TRIAL_TRIES;
use formats::manifest::Kind;

use super::facts::Facts;
use crate::journal::Verb;
use crate::slot::Content;

/// What the appliance is doing about its base. `home` is always the good slot that carries the appliance meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// `home` starts, and keeps starting.
    Steady {
        /// The good slot that runs, or starts next.
        home: SlotId,
        /// What is in the other one.
        spare: Spare,
    },
    /// A release was being written and the writing never ended.
    Writing {
        /// The slot that carries the appliance.
        home: SlotId,
        /// The slot that is incomplete.
        target: SlotId,
    },
    /// `candidate` is complete and starts next.
    Armed {
        /// The slot to fall back to.
        home: SlotId,
        /// The slot that starts next.
        candidate: SlotId,
        /// How often it will be tried.
        tries: u8,
    },
    /// `candidate` runs and has not proved itself.
    Trial {
        /// The slot to fall back to.
        home: SlotId,
        /// The slot that runs.
        candidate: SlotId,
        /// How often it will be tried again.
        tries_left: u8,
    },
    /// `candidate` had tries left, and the boot loader turned to `home` in the same start: it could not load it.
    NotLoaded {
        /// The slot that runs.
        home: SlotId,
        /// The slot that could not be loaded.
        candidate: SlotId,
        /// How often the boot loader would try it again.
        tries: u8,
    },
    /// `failed`, on trial or good once, was started until no try was left.
    Failed {
        /// The slot that carries the appliance.
        home: SlotId,
        /// The slot that did not prove itself.
        failed: SlotId,
    },
    /// `running` was given up while it runs; the next restart starts `home`.
    Leaving {
        /// The slot that starts next.
        home: SlotId,
        /// The slot that still runs.
        running: SlotId,
    },
    /// A slot that never proved itself runs as the last resort of the boot loader, or no slot is good at all.
    Unproven {
        /// The slot that runs, or is first.
        slot: SlotId,
        /// Whether it is known to run.
        runs: bool,
    },
    /// Neither block of the boot state is whole. The boot loader starts whatever loads.
    Lost {
        /// The slot that runs.
        running: Option<SlotId>,
    },
}

/// What is in the slot the appliance can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spare {
    /// A release that was committed once: the way back.
    Good,
    /// A complete release that never proved itself.
    Unproven,
    /// Nothing that could be started.
    Nothing,
}

/// The state the facts amount to. Total: every boot state that can be written is some state.
pub fn derive(facts: &Facts) -> State {
    let running = facts.running_base();
    let Some(boot) = facts.boot else { return State::Lost { running } };
    let (first, second) = (boot.order, !boot.order);
    if boot.slot(first).good {
        if let Some(running) = running.filter(|running| !boot.slot(*running).good) {
            // Giving a slot up forgets that it was started last; a last resort is remembered.
            let last_resort = boot.last == Some(running);
            return if last_resort {
                State::Unproven { slot: running, runs: true }
            } else {
                State::Leaving { home: first, running }
            };
        }
        if running == Some(second) && boot.slot(first).tries == 0 {
            // It was good once, and then started again and again without coming to rest: the other one had to step in.
            return State::Failed { home: second, failed: first };
        }
        let home = running.unwrap_or(first);
        if is_half_written(facts, !home) {
            return State::Writing { home, target: !home };
        }
        return State::Steady { home, spare: spare(facts, !home) };
    }
    let tries = boot.slot(first).tries;
    match (boot.slot(second).good, running) {
        (false, running) => State::Unproven { slot: running.unwrap_or(first), runs: running.is_some() },
        (true, Some(running)) if running == first => State::Trial { home: second, candidate: first, tries_left: tries },
        // A try was counted and `second` runs all the same. A candidate that was loaded and then failed is tried again before `second` is.
        (true, Some(_)) if (1..TRIAL_TRIES).contains(&tries) => {
            State::NotLoaded { home: second, candidate: first, tries }
        }
        (true, _) if tries > 0 => State::Armed { home: second, candidate: first, tries },
        (true, _) => State::Failed { home: second, failed: first },
    }
}

/// An installation into this slot was begun, never ended, and did not get as far as a trial.
fn is_half_written(facts: &Facts, slot: SlotId) -> bool {
    let open = facts.history.open(Kind::Base);
    open.is_some_and(|open| open.action.verb == Verb::Install && open.action.slot == slot) && !facts.is_good(slot)
}

fn spare(facts: &Facts, slot: SlotId) -> Spare {
    match facts.base.get(slot) {
        Content::Whole(verified) => {
            if facts.is_good(slot) || facts.history.committed(verified.manifest().build_id) {
                Spare::Good
            } else {
                Spare::Unproven
            }
        }
        Content::Empty | Content::Unusable(_) => Spare::Nothing,
    }
}

impl State {
    /// The slot the next restart starts first, as far as the boot state is known.
    pub const fn starts_next(&self) -> Option<SlotId> {
        match self {
            Self::Steady { home, .. }
            | Self::Writing { home, .. }
            | Self::Failed { home, .. }
            | Self::Leaving { home, .. } => Some(*home),
            Self::Armed { candidate, .. } | Self::NotLoaded { candidate, .. } => Some(*candidate),
            Self::Trial { home, candidate, tries_left } => Some(if *tries_left > 0 { *candidate } else { *home }),
            Self::Unproven { slot, .. } => Some(*slot),
            Self::Lost { .. } => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steady { home, .. } => write!(f, "slot {home} is good; nothing is pending"),
            Self::Writing { home, target } => {
                write!(f, "an installation into slot {target} was interrupted; slot {home} is good")
            }
            Self::Armed { home, candidate, tries } => {
                write!(f, "slot {candidate} starts on trial at the next restart ({tries} tries), else slot {home}")
            }
            Self::Trial { home, candidate, tries_left } => write!(
                f,
                "slot {candidate} is on trial ({tries_left} more tries); without a commit slot {home} comes back"
            ),
            Self::NotLoaded { home, candidate, .. } => write!(
                f,
                "slot {candidate} could not be started by the boot loader and is given up; slot {home} is good"
            ),
            Self::Failed { home, failed } => {
                write!(f, "slot {failed} was started until no try was left; slot {home} is good")
            }
            Self::Leaving { home, running } => {
                write!(f, "slot {running} runs but was given up; the next restart starts slot {home}")
            }
            Self::Unproven { slot, runs: true } => {
                write!(f, "slot {slot} runs as the last resort and has not proved itself")
            }
            Self::Unproven { slot, runs: false } => write!(f, "no slot is marked good; slot {slot} is first"),
            Self::Lost { .. } => f.write_str("the boot state is lost; the boot loader starts whatever loads"),
        }
    }
}
