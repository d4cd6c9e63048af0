//! How long an installation takes here, from how long earlier ones took. Pure.
//!
//! The journal has the time of every begin and end. Bytes are known of the releases that are still in a slot. Downloads are not in the
//! journal, so nothing is said about them. A clock that was set in between makes a measure that cannot be; those are left out.

use std::time::Duration;

use formats::manifest::Kind;
use formats::plan::Rates;
use formats::{Bytes, SlotId};

use super::facts::Facts;
use crate::journal::{Action, Entry, Outcome, Record, Verb};

impl Facts {
    /// How fast this appliance is; nothing when nothing was installed here of which size and time are known.
    pub fn rates(&self) -> Option<Rates> {
        let (mut bytes, mut seconds) = (0_u64, 0_u64);
        for (record, of, action) in self.installations() {
            let Some(size) = self.image_size(action) else { continue };
            let Some(begun) = self.history.0.iter().find(|record| record.number == of) else { continue };
            let Some(took) = between(begun, record) else { continue };
            bytes = bytes.saturating_add(size);
            // Less than one second counts as one: the journal knows no parts of seconds.
            seconds = seconds.saturating_add(took.max(1));
        }
        let write = bytes.checked_div(seconds).filter(|rate| *rate > 0)?;
        Some(Rates { download: 0, write, restart: self.restart() })
    }

    /// About how long writing so much takes here, and a restart into it; nothing when it is not known. The journal counts whole seconds,
    /// so what small packages took looks slower than any disk is.
    pub fn takes(&self, writes: Bytes, restarts: bool) -> Duration {
        let Some(rates) = self.rates() else { return Duration::ZERO };
        let writing = writes.0.checked_div(rates.write.max(SLOWEST)).unwrap_or(0);
        let restart = if restarts { rates.restart.into() } else { 0 };
        Duration::from_secs(writing.saturating_add(restart))
    }

    /// The shortest time from a base that was written to its commit: the longer ones waited for somebody.
    fn restart(&self) -> u32 {
        let bases = self.installations().filter(|(.., action)| action.release.kind == Kind::Base);
        let measured = bases.filter_map(|(written, _, action)| {
            let after = self.history.0.iter().filter(|record| record.number > written.number);
            let mut kept = after
                .filter(|record| record.entry.committed().is_some_and(|one| one.build_id == action.release.build_id));
            u32::try_from(between(written, kept.next()?)?).ok().filter(|seconds| *seconds <= LONGEST_RESTART)
        });
        measured.min().unwrap_or(USUAL_RESTART)
    }

    /// Installations that were written to their end: the record of it, the number of the one that began it, and what was done.
    fn installations(&self) -> impl Iterator<Item = (&Record, u64, &Action)> {
        self.history.0.iter().filter_map(|record| match &record.entry {
            Entry::End { of, action, outcome: Outcome::Armed | Outcome::Written | Outcome::Waiting }
                if action.verb == Verb::Install =>
            {
                Some((record, *of, action))
            }
            _ => None,
        })
    }

    fn image_size(&self, action: &Action) -> Option<u64> {
        let contents = SlotId::BOTH.map(|slot| self.content(action.release.kind, slot).manifest());
        let there = contents.into_iter().flatten().find(|there| there.build_id == action.release.build_id)?;
        there.image.as_ref().map(|image| image.size.0)
    }
}

/// Seconds from one record to another; nothing when the clock was set in between.
fn between(first: &Record, second: &Record) -> Option<u64> {
    second.time.checked_sub(first.time).filter(|seconds| *seconds <= LONGEST)
}

/// Seconds from the order to restart to the commit, where none was measured.
const USUAL_RESTART: u32 = 120;
/// Bytes each second that any disk takes.
const SLOWEST: u64 = 1 << 20;
/// What took longer waited for somebody, or for a maintenance window.
const LONGEST_RESTART: u32 = 1800;
/// Nothing takes longer than a day.
const LONGEST: u64 = 86_400;
