//! One record of the journal and its line.

use std::fmt;
use std::io;

use formats::catalogue::{self, PackageId};
use formats::journal;
use formats::manifest::{Kind, Manifest};
use formats::{Digest, Guid, SlotId};
use serde::{Deserialize, Serialize};

use super::{LAST_ROOM, ROOM};

pub use formats::journal::{FORMAT, Floor};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Always [`FORMAT`].
    pub format: u32,
    /// Counts up.
    pub number: u64,
    /// Seconds since 1970 by the machine's clock, which may be wrong.
    pub time: u64,
    /// Who asked for it, for example `user 0, process 412 (update-agent)`; nothing when the agent acted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What it says.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum Entry {
    /// The agent set out to do something.
    Begin {
        /// What.
        action: Action,
    },
    /// It ended.
    End {
        /// Number of the record that began it.
        of: u64,
        /// What was to be done, repeated so that a shortened journal still explains itself.
        action: Action,
        /// How.
        outcome: Outcome,
    },
    /// Something happened by itself.
    Note {
        /// To which release.
        release: Release,
        /// In which slot.
        slot: SlotId,
        /// What.
        outcome: Outcome,
    },
    /// Someone accepted the licence terms of a release.
    Eula {
        /// The release they came with.
        release: Release,
        /// SHA-256 of the text.
        digest: Digest,
    },
    /// Someone decided to do something against a rule that may be waived.
    Decision {
        /// What was waived.
        what: String,
        /// Why, in the words of whoever decided.
        reason: String,
    },
    /// A licence was installed, which no slot holds.
    Licence {
        /// Which.
        release: Release,
        /// Always [`Outcome::Committed`]: others are not written down, and this is where every version looks for floors.
        outcome: Outcome,
    },
    /// The sequence floors, when neither the records nor the disk would tell them any more.
    Floors {
        /// One for each package line.
        floors: Vec<Floor>,
    },
    /// The way to a release that the appliance follows by itself.
    Upgrade {
        /// What is to be installed at its end.
        to: Vec<PackageId>,
        /// What became of it.
        event: UpgradeEvent,
        /// Why, when there is more to say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A factory reset destroyed everything before; the initramfs program begins the new journal so.
    Reset {
        /// Who asked for it.
        by: String,
    },
}

/// What becomes of an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpgradeEvent {
    /// Somebody asked for it; the reason is why clients get no time.
    Begun,
    /// Everything wanted is installed.
    Done,
    /// It goes no further by itself.
    Stopped,
    /// Somebody took it back.
    Cancelled,
}

/// Something the agent sets out to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Action {
    /// What.
    pub verb: Verb,
    /// With which release.
    pub release: Release,
    /// In which slot.
    pub slot: SlotId,
    /// Why, when there is more to say than that someone asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which start of the machine it was begun in, as the kernel numbers them; nothing on an image file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<Guid>,
    /// Names of the health checks that failed before it was begun: they do not count against the release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<String>,
}

/// The kinds of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Write a slot. A base then starts on trial at the next restart.
    Install,
    /// Let a site run that has to prove itself; open for as long as its trial lasts.
    Try,
    /// Make the running slot the one to stay.
    Commit,
    /// Start the other base slot, which was good before, on trial.
    Rollback,
    /// Take back an install or rollback that waits for its restart.
    Disarm,
    /// Leave the slot on trial.
    Leave,
}

/// A release in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Release {
    /// Base or site.
    pub kind: Kind,
    /// Its package line.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its build.
    pub build_id: Digest,
    /// Its place in the line.
    pub sequence: u64,
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Outcome {
    /// Complete, starts on trial at the next restart.
    Armed,
    /// A site is complete in its slot.
    Written,
    /// A site is complete in its slot, and is tried once the base it needs is committed.
    Waiting,
    /// Proved itself.
    Committed,
    /// The site starts from this slot at the next start of the machine; on image files.
    Switched,
    /// Taken back before the restart.
    Disarmed,
    /// It was tried, and another release runs now.
    FellBack {
        /// Why.
        reason: String,
    },
    /// Power or agent went away in the middle; nothing changed.
    Interrupted,
    /// It could not be done; nothing changed.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Action {
    /// To do this, for no more reason than that someone asked for it.
    pub fn new(verb: Verb, release: Release, slot: SlotId) -> Self {
        Self { verb, release, slot, reason: None, boot: None, baseline: Vec::new() }
    }
}

impl Record {
    /// The line, ending in a newline.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        Ok(journal::line(&serde_json::to_vec(self)?))
    }

    /// The record in a line without its newline; nothing when it is torn, foreign or from a later format.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let json = journal::content(line)?;
        serde_json::from_slice(json).ok().filter(|record: &Self| record.format == FORMAT)
    }
}

impl Entry {
    /// What it says about how a release fared.
    pub fn outcome(&self) -> Option<(&Release, SlotId, &Outcome)> {
        match self {
            Self::End { action, outcome, .. } => Some((&action.release, action.slot, outcome)),
            Self::Note { release, slot, outcome } => Some((release, *slot, outcome)),
            Self::Begin { .. }
            | Self::Eula { .. }
            | Self::Decision { .. }
            | Self::Licence { .. }
            | Self::Floors { .. }
            | Self::Upgrade { .. }
            | Self::Reset { .. } => None,
        }
    }

    /// The release that was committed, in a slot or as a licence.
    pub fn committed(&self) -> Option<&Release> {
        match self {
            Self::Licence { release, outcome } => (*outcome == Outcome::Committed).then_some(release),
            other => {
                other.outcome().filter(|(.., outcome)| **outcome == Outcome::Committed).map(|(release, ..)| release)
            }
        }
    }
}

impl Entry {
    /// Up to which length of the journal it may be added on a full data partition.
    pub(super) fn room(&self) -> usize {
        match self {
            Self::Begin { action } if !matches!(action.verb, Verb::Commit | Verb::Leave) => {
                ROOM.saturating_sub(LAST_ROOM)
            }
            Self::Eula { .. }
            | Self::Decision { .. }
            | Self::Licence { .. }
            | Self::Upgrade { event: UpgradeEvent::Begun, .. } => ROOM.saturating_sub(LAST_ROOM),
            _ => ROOM,
        }
    }

    /// The digest of the licence terms it accepts.
    pub fn terms(&self) -> Option<Digest> {
        if let Self::Eula { digest, .. } = self { Some(*digest) } else { None }
    }
}

impl From<&Manifest> for Release {
    fn from(manifest: &Manifest) -> Self {
        Self {
            kind: manifest.kind,
            name: manifest.name.clone(),
            version: manifest.version.to_string(),
            build_id: manifest.build_id,
            sequence: manifest.sequence,
        }
    }
}

impl From<&catalogue::Entry> for Release {
    fn from(entry: &catalogue::Entry) -> Self {
        Self {
            kind: entry.kind,
            name: entry.name.clone(),
            version: entry.version.to_string(),
            build_id: entry.build_id,
            sequence: entry.sequence,
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Install => "install",
            Self::Try => "try",
            Self::Commit => "commit",
            Self::Rollback => "roll back to",
            Self::Disarm => "take back",
            Self::Leave => "leave",
        })
    }
}

impl fmt::Display for UpgradeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begun => "begun",
            Self::Done => "everything is installed",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Armed => f.write_str("complete, starts on trial at the next restart"),
            Self::Written => f.write_str("complete in its slot"),
            Self::Waiting => f.write_str("complete in its slot, waits for the base it needs to be committed"),
            Self::Committed => f.write_str("committed"),
            Self::Switched => f.write_str("switched to"),
            Self::Disarmed => f.write_str("taken back"),
            Self::FellBack { reason } => write!(f, "fell back: {reason}"),
            Self::Interrupted => f.write_str("interrupted; nothing changed"),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
        }
    }
}
