//! The boot state: the record that tells GRUB which slot to start, and tells the agent what GRUB did.
//!
//! Two copies exist, each a GRUB environment block of exactly one 512-byte sector (see [`crate::state_volume`] for where). GRUB edits
//! one digit in the newest copy; the agent writes the older copy with the next sequence number. A copy counts only when its first
//! variable (`seq`) equals its last (`end`), so a torn write leaves the other copy in charge.
//!
//! This module knows the bytes (`block`), every legal change (`transition`) and what GRUB will do with a state (`selection`). Reading
//! and writing sectors, and knowing which slot is running, belong to the agent.

mod block;
mod selection;
mod transition;

use std::fmt;

use crate::SlotId;

pub use block::{BLOCK_SIZE, MAX_SEQUENCE, newest, older_copy};
pub use selection::{Attempt, Selection, Start, select, select_unrecorded, select_without_state};
pub use transition::{Event, Refusal, next};

/// Tries of a slot that has proved itself. GRUB counts every boot, so that a good slot that rots falls back by itself.
pub const GOOD_TRIES: u8 = 5;
/// Tries of a slot on trial.
pub const TRIAL_TRIES: u8 = 3;

/// What is known about one base slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotState {
    /// The slot was committed after a healthy boot.
    pub good: bool,
    /// Boots GRUB may still count, 0 to [`GOOD_TRIES`]; the agent refills a good slot.
    pub tries: u8,
}

/// The whole boot state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootState {
    /// Raised by one with every write of the agent; the higher of two whole copies counts. At most [`MAX_SEQUENCE`].
    pub sequence: u64,
    /// The slot GRUB tries first.
    pub order: SlotId,
    /// Base slot A.
    pub a: SlotState,
    /// Base slot B.
    pub b: SlotState,
    /// The slot GRUB started last.
    pub last: Option<SlotId>,
    /// The site slot in use, if any.
    pub site: Option<SlotId>,
}

impl SlotState {
    /// Committed, all tries left.
    pub const GOOD: Self = Self { good: true, tries: GOOD_TRIES };
    /// Nothing here that may be started, except as a last resort.
    pub const EMPTY: Self = Self { good: false, tries: 0 };
    /// Written and waiting to prove itself.
    pub const TRIAL: Self = Self { good: false, tries: TRIAL_TRIES };

    /// Not yet committed, and GRUB will still try it.
    pub const fn is_on_trial(self) -> bool {
        !self.good && self.tries > 0
    }
}

impl BootState {
    /// The state of a fresh disk, and of one whose two copies were lost while `slot` was running well: `slot` is good, the other empty.
    pub const fn initial(slot: SlotId, site: Option<SlotId>) -> Self {
        let (a, b) = match slot {
            SlotId::A => (SlotState::GOOD, SlotState::EMPTY),
            SlotId::B => (SlotState::EMPTY, SlotState::GOOD),
        };
        Self { sequence: 1, order: slot, a, b, last: None, site }
    }

    /// The record of `slot`.
    pub const fn slot(&self, slot: SlotId) -> SlotState {
        match slot {
            SlotId::A => self.a,
            SlotId::B => self.b,
        }
    }

    /// This state with the record of `slot` replaced.
    #[must_use]
    pub const fn with_slot(mut self, slot: SlotId, record: SlotState) -> Self {
        match slot {
            SlotId::A => self.a = record,
            SlotId::B => self.b = record,
        }
        self
    }

    /// Both slots, the first choice first.
    pub fn in_order(&self) -> [SlotId; 2] {
        [self.order, !self.order]
    }
}

impl fmt::Display for SlotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let standing = match (self.good, self.tries) {
            (true, _) => "good",
            (false, 0) => "not bootable",
            (false, _) => "on trial",
        };
        write!(f, "{standing}, {} {} left", self.tries, if self.tries == 1 { "try" } else { "tries" })
    }
}

impl fmt::Display for BootState {
    /// Readable lines for `inspect`, without a final line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |slot: Option<SlotId>| slot.map_or_else(|| "none".to_owned(), |slot| slot.to_string());
        writeln!(f, "sequence      {}", self.sequence)?;
        writeln!(f, "order         {} then {}", self.order, !self.order)?;
        writeln!(f, "slot A        {}", self.a)?;
        writeln!(f, "slot B        {}", self.b)?;
        writeln!(f, "last started  {}", name(self.last))?;
        write!(f, "site slot     {}", name(self.site))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_readable_lines() {
        let state = BootState {
            sequence: 7,
            order: SlotId::B,
            a: SlotState::GOOD,
            b: SlotState { good: false, tries: 1 },
            last: Some(SlotId::A),
            site: None,
        };
        let expected = "sequence      7\norder         B then A\nslot A        good, 5 tries left\nslot B        on trial, 1 try left\n\
                        last started  A\nsite slot     none";
        assert_eq!(state.to_string(), expected);
    }
}
