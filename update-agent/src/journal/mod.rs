//! The journal: what the agent set out to do, and how it ended.
//!
//! `begin` makes an intent durable and hands out an [`Open`]; nothing may be written to a slot or to the boot state without one.
//! What is true about the disk is never read from here but from the disk: the journal only remembers what no slot and no boot state
//! can tell, namely why something failed, who set out to do what, and which sequence numbers were once committed.
//!
//! One line per record, framed as [`formats::journal`] says. A torn or foreign line is skipped, so that a power cut spoils at most the
//! line being written. Records are written by one version and read by another: unknown fields are ignored, and of unknown
//! records only the floors and numbers are read ([`Foreign`]). Lines are never rewritten, so that what one version does not understand
//! is still there for the other.

mod foreign;
mod record;
mod store;

use std::io;

use formats::catalogue::PackageId;
use formats::journal::content;
use formats::manifest::{Kind, Manifest};
use formats::{Digest, SlotId};

pub use foreign::Foreign;
pub use record::{Action, Entry, Floor, Outcome, Record, Release, UpgradeEvent, Verb};
pub use store::{Directory, Memory, Store};

use crate::certain::certain;
use crate::error::{Doing, Result};

/// Above this size in bytes the older half of the journal is dropped; sequence floors are kept.
pub const LIMIT: usize = 64 << 10;

/// The room in bytes that the journal keeps for itself on the data partition. To be shortened it needs as much once more for a moment;
/// on a full partition it grows into this room instead.
pub const ROOM: usize = 2 * LIMIT;

/// Of that, what is left to those who bring the machine to rest: ends of actions, commits, and leaving what failed its trial, each with
/// its reason. An installation is not begun without it.
const LAST_ROOM: usize = 16 << 10;

/// Bytes that old lines of other versions may take in a journal that was shortened.
const FOREIGN_ROOM: usize = LIMIT / 4;

/// How many accepted licence terms outlive the records around them.
const TERMS_KEPT: usize = 16;

/// How many upgrades that were stopped or cancelled do: those are not begun again unasked.
const GIVEN_UP_KEPT: usize = 4;

/// The journal of one appliance.
pub struct Journal<'a> {
    store: &'a dyn Store,
    clock: fn() -> u64,
    actor: Option<String>,
}

/// An intent that is on disk and not yet ended. Dropping it is what a crash does: the next start of the agent ends it.
#[must_use = "an action that is never ended looks like a crash"]
#[derive(Debug)]
pub struct Open {
    number: u64,
    /// What is being done.
    pub action: Action,
}

/// Everything the journal still remembers, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(pub Vec<Record>, pub Vec<Foreign>);

impl<'a> Journal<'a> {
    /// A journal in `store`; `clock` gives seconds since 1970; nothing that keeps the appliance bootable depends on it.
    pub fn new(store: &'a dyn Store, clock: fn() -> u64) -> Self {
        Self { store, clock, actor: None }
    }

    /// The same, with every record naming who asked for it.
    #[must_use]
    pub fn by(self, actor: Option<String>) -> Self {
        Self { actor, ..self }
    }

    /// Seconds since 1970 by the machine's clock, which may be wrong.
    pub fn now(&self) -> u64 {
        (self.clock)()
    }

    /// What is remembered.
    pub fn history(&self) -> Result<History> {
        Ok(History::parse(&self.store.load().doing(|| "read the update journal".into())?))
    }

    /// The same for decisions. A journal that is lost on a disk that answers is empty: no decision that keeps the appliance bootable
    /// depends on it, and what does depend on it is written into it first. An error when the disk does not answer.
    pub(crate) fn certain_history(&self, answers: impl FnMut() -> io::Result<()>) -> Result<History> {
        let bytes = certain(|| self.store.load(), answers).doing(|| "read the update journal".into())?;
        Ok(History::parse(&bytes.done().unwrap_or_default()))
    }

    /// Makes the intent durable.
    pub fn begin(&self, action: Action) -> Result<Open> {
        // Whatever is installed may have to be left, and then the reason has to be written down.
        if action.verb == Verb::Install {
            self.reserve()?;
        }
        let number = self.write(Entry::Begin { action: action.clone() })?;
        Ok(Open { number, action })
    }

    /// Ends an action. Also ends one of an earlier run, see [`History::open`].
    pub fn end(&self, open: Open, outcome: Outcome) -> Result<()> {
        self.write(Entry::End { of: open.number, action: open.action, outcome })?;
        Ok(())
    }

    /// Remembers something that happened without the agent setting out to do it.
    pub fn note(&self, release: Release, slot: SlotId, outcome: Outcome) -> Result<()> {
        self.write(Entry::Note { release, slot, outcome })?;
        Ok(())
    }

    /// Remembers floors that the disk alone would soon not tell any more.
    pub fn keep_floors(&self, floors: Vec<Floor>) -> Result<()> {
        self.write(Entry::Floors { floors })?;
        Ok(())
    }

    /// Remembers that the licence terms with this digest were accepted.
    pub fn accept(&self, release: Release, digest: Digest) -> Result<()> {
        self.write(Entry::Eula { release, digest })?;
        Ok(())
    }

    /// Remembers that somebody decided to do something although a rule speaks against it.
    pub fn decide(&self, what: String, reason: String) -> Result<()> {
        self.write(Entry::Decision { what, reason })?;
        Ok(())
    }

    /// Remembers that a licence was installed.
    pub fn licence(&self, release: Release, outcome: Outcome) -> Result<()> {
        self.write(Entry::Licence { release, outcome })?;
        Ok(())
    }

    /// Remembers what becomes of an upgrade. The number of the record.
    pub fn upgrade(&self, to: &[PackageId], event: UpgradeEvent, reason: Option<String>) -> Result<u64> {
        self.write(Entry::Upgrade { to: to.to_vec(), event, reason })
    }

    /// Keeps the room for what must be written down when there is no other any more.
    pub fn reserve(&self) -> Result<()> {
        self.store.reserve().doing(|| "keep room for the update journal".into())
    }

    fn write(&self, entry: Entry) -> Result<u64> {
        let doing = || "write the update journal".to_owned();
        let present = self.store.load().doing(doing)?;
        let history = History::parse(&present);
        let number = history.newest().saturating_add(1);
        let actor = self.actor.clone();
        let room = entry.room();
        let record = Record { format: record::FORMAT, number, time: (self.clock)(), actor, entry };
        let line = record.encode().doing(doing)?;
        // A last line that is torn is closed, so that it spoils only itself.
        let torn = present.last().is_some_and(|byte| *byte != b'\n');
        let added = if torn { [b"\n", line.as_slice()].concat() } else { line.clone() };
        let length = present.len().saturating_add(added.len());
        if length <= LIMIT {
            self.store.append(&added).doing(doing)?;
            return Ok(number);
        }
        let mut whole = history.shortened(&present).doing(doing)?;
        whole.extend_from_slice(&line);
        match self.store.replace(&whole) {
            Err(full) if is_full(&full) && length <= room => self.store.append(&added).doing(doing)?,
            replaced => replaced.doing(doing)?,
        }
        Ok(number)
    }
}

impl History {
    /// The readable lines.
    pub fn parse(bytes: &[u8]) -> Self {
        let lines = || bytes.split(|byte| *byte == b'\n');
        Self(lines().filter_map(Record::parse).collect(), lines().filter_map(Foreign::parse).collect())
    }

    /// The highest number of any line.
    pub fn newest(&self) -> u64 {
        let foreign = self.1.iter().map(|line| line.number);
        self.0.iter().map(|record| record.number).chain(foreign).max().unwrap_or(0)
    }

    /// The records after that number; all of them when it is not reached: then the journal was lost since.
    pub fn since(&self, number: u64) -> impl Iterator<Item = &Record> {
        let after = if self.newest() < number { 0 } else { number };
        self.0.iter().filter(move |record| record.number > after)
    }

    /// True when the licence terms with this digest were accepted once.
    pub fn accepted(&self, text: Digest) -> bool {
        self.0.iter().any(|record| record.entry.terms() == Some(text))
    }

    /// The newer half of the lines in `present`, as they are, with the floors of everything as its first record. What is open is kept
    /// however old it is, and so are the licence terms accepted last, the upgrades given up last, and of what this version does not
    /// understand as much as there is room for.
    fn shortened(&self, present: &[u8]) -> io::Result<Vec<u8>> {
        let lines: Vec<&[u8]> = present.split(|byte| *byte == b'\n').filter(|line| content(line).is_some()).collect();
        let mut length = 0_usize;
        let fit = lines.iter().rev().take_while(|line| {
            length = length.saturating_add(line.len());
            length <= LIMIT / 2
        });
        let kept = fit.count().min(lines.len() / 2);
        let (dropped, kept) = lines.split_at_checked(lines.len().saturating_sub(kept)).unwrap_or_default();
        let open = [Kind::Base, Kind::Site].map(|kind| self.open(kind).map(|open| open.number));
        let mut room = FOREIGN_ROOM;
        let records: Vec<Record> = dropped.iter().filter_map(|line| Record::parse(line)).collect();
        let (terms, given_up) = (last_terms(&records), last_given_up(&records));
        // Newest first, for it is the newest that get the room.
        let mut old: Vec<&[u8]> = dropped
            .iter()
            .rev()
            .filter(|line| match Record::parse(line) {
                Some(Record { number, .. }) => {
                    open.contains(&Some(number)) || terms.contains(&number) || given_up.contains(&number)
                }
                None => room.checked_sub(line.len()).map(|left| room = left).is_some(),
            })
            .copied()
            .collect();
        old.reverse();
        let entry = Entry::Floors { floors: self.floors() };
        // Number and time of what it stands for.
        let (number, time) = (self.newest(), self.0.last().map_or(0, |record| record.time));
        let mut whole = Record { format: record::FORMAT, number, time, actor: None, entry }.encode()?;
        for line in old.into_iter().chain(kept.iter().copied()) {
            whole.extend_from_slice(line);
            whole.push(b'\n');
        }
        Ok(whole)
    }

    /// The action on packages of this kind that was begun last and never ended. Earlier ones without an end were ended by being passed
    /// over. Base and site are independent of each other: a base may be committed while a site is on trial.
    pub fn open(&self, kind: Kind) -> Option<Open> {
        self.0
            .iter()
            .rev()
            .find_map(|record| match &record.entry {
                Entry::Begin { action } if action.release.kind == kind => {
                    Some(Some(Open { number: record.number, action: action.clone() }))
                }
                Entry::End { action, .. } if action.release.kind == kind => Some(None),
                _ => None,
            })?
            .filter(|open| !self.1.iter().any(|line| line.passes_over(open.number, kind)))
    }

    /// The highest sequence ever committed of each package line.
    pub fn floors(&self) -> Vec<Floor> {
        let mut floors: Vec<Floor> = Vec::new();
        for one in self.1.iter().flat_map(|line| &line.floors) {
            Floor::raise(&mut floors, one.kind, &one.name, one.sequence);
        }
        for record in &self.0 {
            match &record.entry {
                Entry::Floors { floors: kept } => {
                    for one in kept {
                        Floor::raise(&mut floors, one.kind, &one.name, one.sequence);
                    }
                }
                other => {
                    if let Some(release) = other.committed() {
                        Floor::raise(&mut floors, release.kind, &release.name, release.sequence);
                    }
                }
            }
        }
        floors
    }

    /// Names of the health checks that failed before this build was last installed, tried or gone back to.
    pub fn baseline(&self, build: Digest) -> Vec<String> {
        let asks = |verb| matches!(verb, Verb::Install | Verb::Rollback | Verb::Try);
        let newest = self.0.iter().rev().find_map(|record| match &record.entry {
            Entry::Begin { action } | Entry::End { action, .. } => {
                (action.release.build_id == build && asks(action.verb)).then_some(action)
            }
            Entry::Note { .. }
            | Entry::Eula { .. }
            | Entry::Decision { .. }
            | Entry::Licence { .. }
            | Entry::Floors { .. }
            | Entry::Upgrade { .. }
            | Entry::Reset { .. } => None,
        });
        newest.map(|action| action.baseline.clone()).unwrap_or_default()
    }

    /// True when this build was committed once.
    pub fn committed(&self, build: Digest) -> bool {
        self.0.iter().filter_map(|record| record.entry.committed()).any(|release| release.build_id == build)
    }

    /// The first commit of this build, as far as is remembered.
    pub fn first_commit(&self, build: Digest) -> Option<&Record> {
        let mut commits = self.0.iter().filter(|record| {
            let outcome = record.entry.outcome();
            outcome.is_some_and(|(release, _, outcome)| release.build_id == build && *outcome == Outcome::Committed)
        });
        commits.next()
    }

    /// True when another build was committed once under the number of this release.
    pub fn committed_other(&self, release: &Manifest) -> bool {
        let release = Release::from(release);
        self.0.iter().filter_map(|record| record.entry.committed()).any(|other| {
            (other.kind, &other.name, other.sequence) == (release.kind, &release.name, release.sequence)
                && other.build_id != release.build_id
        })
    }

    /// True when something is remembered of this build.
    pub fn knows(&self, build: Digest) -> bool {
        self.0.iter().filter_map(|record| record.entry.outcome()).any(|(release, ..)| release.build_id == build)
    }

    /// How the last change of this kind ended, for everything that says something about a release. That what ran anyway was found
    /// healthy is no change.
    pub fn last(&self, kind: Kind) -> Option<(&Release, SlotId, &Outcome, u64)> {
        let changes = self.0.iter().rev();
        let mut changes =
            changes.filter(|record| !matches!(record.entry, Entry::Note { outcome: Outcome::Committed, .. }));
        changes.find_map(|record| {
            let (release, slot, outcome) = record.entry.outcome()?;
            (release.kind == kind).then_some((release, slot, outcome, record.time))
        })
    }
}

fn is_full(problem: &io::Error) -> bool {
    matches!(problem.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The numbers of the records that accept licence terms, the newest of each text, so many texts at most.
fn last_terms(records: &[Record]) -> Vec<u64> {
    let mut texts = Vec::new();
    let mut numbers = Vec::new();
    for record in records.iter().rev() {
        let Some(text) = record.entry.terms().filter(|text| !texts.contains(text)) else { continue };
        if texts.len() < TERMS_KEPT {
            texts.push(text);
            numbers.push(record.number);
        }
    }
    numbers
}

/// The numbers of the newest records that say that an upgrade was stopped or cancelled.
fn last_given_up(records: &[Record]) -> Vec<u64> {
    let given_up = records.iter().rev().filter(|record| {
        matches!(&record.entry, Entry::Upgrade { event: UpgradeEvent::Stopped | UpgradeEvent::Cancelled, .. })
    });
    given_up.take(GIVEN_UP_KEPT).map(|record| record.number).collect()
}

#[cfg(test)]
mod tests;
