//! Scenarios: what is done to an appliance and what has to be seen, as a file a user writes (`docs/scenarios.md`).
//!
//! Three stages: [`Scenario::parse`] turns text into checked steps (pure; errors name file, line and what is allowed), [`Files`]
//! finds the images and packages it names, [`play`] does it with a real guest and says step by step what happened. Nothing here
//! knows what a step means for the appliance: it types, looks, damages and pulls the plug.

mod answer;
mod disks;
mod files;
mod observe;
mod packages;
mod parse;
mod play;
mod raw;
pub mod shell;
mod shown;
mod volume;

use std::collections::BTreeMap;
use std::time::Duration;

use formats::Bytes;
use serde_json::Value;

pub use files::Files;
pub use play::{Setting, StepResult, play};

use crate::{Bus, Clock, FirmwareName, Guest, Pattern};

/// A checked scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The name of its file, without the ending.
    pub name: String,
    /// One sentence: what it shows.
    pub title: String,
    /// The firmwares it makes sense on, the most telling one first.
    pub firmware: Vec<FirmwareName>,
    /// Memory of the machine.
    pub memory: Bytes,
    /// TCP ports of the guest that [`Action::Http`] asks.
    pub ports: Vec<u16>,
    /// Whether the machine has a network card.
    pub network: bool,
    /// What the guest finds at [`crate::depot::ADDRESS`].
    pub depot: Option<DepotSpec>,
    /// Whether a mail server answers it at [`crate::mail::ADDRESS`].
    pub mailbox: bool,
    /// What the firmware's table tells whoever runs there.
    pub oem_strings: Vec<String>,
    /// What the machine starts from.
    pub disk: DiskSpec,
    /// What else is attached.
    pub drives: Vec<DriveSpec>,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// The disk under test: a copy of an image, never the image itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSpec {
    /// The raw image: a path, or `$NAME`.
    pub image: String,
    /// What it is enlarged to.
    pub size: Option<Bytes>,
    /// How it is attached.
    pub bus: Bus,
}

/// A depot that the guest can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepotSpec {
    /// Its folder: a path, or `$NAME`.
    pub folder: String,
    /// Most bytes each second.
    pub rate: Option<Bytes>,
    /// It answers at [`crate::depot::ENCRYPTED`] too.
    pub https: bool,
}

/// A further disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveSpec {
    /// What steps call it; [`DISK`] is taken.
    pub name: String,
    /// What is in it.
    pub content: DriveContent,
    /// What it is enlarged to; for files the size of the volume.
    pub size: Option<Bytes>,
    /// How it is attached.
    pub bus: Bus,
}

/// What a further disk begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriveContent {
    /// A FAT32 file system with files.
    Files {
        /// Name in it to file of the host.
        names: BTreeMap<String, String>,
        /// It is the first partition of the drive; else it has the drive for itself.
        partitioned: bool,
    },
    /// A copy of a raw image.
    Image(String),
    /// The same as the disk under test, to the last byte.
    Twin,
    /// Nothing.
    Empty,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Where it stands in the file, from 1.
    pub line: usize,
    /// What is done.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Switches the machine on, off, or resets it.
    Power(Power),
    /// Waits for a line.
    Expect {
        /// The line.
        wanted: Pattern,
        /// Lines that must not come before it.
        not_before: Vec<Pattern>,
        /// How long.
        within: Limit,
    },
    /// Runs a command on the root shell and looks at what came of it.
    Run(Run),
    /// Runs a command on the root shell again and again until it succeeds.
    Until {
        /// The command.
        command: String,
        /// How long.
        within: Limit,
    },
    /// Types a line and waits for nothing.
    Type(String),
    /// Compares what the update agent says with what is expected.
    Status {
        /// JSON pointer (RFC 6901) to the fact there.
        facts: BTreeMap<String, Fact>,
        /// Asked again for so long; without it once.
        within: Option<Limit>,
    },
    /// Stops a drive from answering until the machine is reset.
    Freeze {
        /// Which drive.
        drive: String,
        /// Once this line is there; at once without it.
        when: Option<Pattern>,
        /// How long to wait for the line.
        within: Limit,
        /// How soon the reset must come.
        reset_within: Limit,
    },
    /// Asks the guest's web server.
    Http {
        /// `PORT/PATH` taken apart.
        port: u16,
        /// With its slash.
        path: String,
        /// The status code it must answer.
        status: u16,
        /// Texts its body must have.
        prints: Vec<Pattern>,
        /// How long.
        within: Limit,
    },
    /// Switches the depot on or off.
    Depot {
        /// Whether it answers.
        on: bool,
        /// Most bytes each second.
        rate: Option<Bytes>,
    },
    /// Compares how much the depot sent of the files whose path has this with what they have.
    Sent {
        /// Part of the path.
        path: Pattern,
        /// From and to so many per cent.
        percent: (u64, u64),
        /// Looked at again until it is so much; without it once.
        within: Option<Limit>,
    },
    /// Carries the last download key the guest printed to a depot, and what it answers back on a stick; the machine must be off.
    Answer {
        /// The depot's folder: a path, or `$NAME`.
        depot: String,
        /// The drive that becomes the stick.
        drive: String,
    },
    /// Looks at the letters the guest has sent since the beginning.
    Mail {
        /// So many, and no more.
        letters: usize,
        /// Each must be in a line of the last one.
        prints: Vec<Pattern>,
        /// Looked at again until there are so many; without it once.
        within: Option<Limit>,
    },
    /// Changes a disk of the machine, which must be off.
    Change {
        /// Which drive.
        drive: String,
        /// How.
        change: Change,
    },
    /// The disk and another drive change places, as if somebody had swapped the cables.
    Exchange(String),
    /// A drive must still be what it was at the start; the machine must be off.
    Unchanged(String),
}

/// What happens to the power.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    /// The machine is switched on.
    On {
        /// How wrong its clock is.
        clock: Option<Clock>,
    },
    /// The plug is pulled.
    Cut {
        /// Once this line is there.
        when: Option<(Pattern, Limit)>,
        /// So long after it, exactly.
        after: Duration,
    },
    /// The reset button.
    Reset,
    /// The power button: the guest has so long to go down.
    Button(Limit),
    /// Nothing is pressed: the guest has so long to switch itself off.
    Off(Limit),
}

/// A command and what must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Text for the shell; may have several lines.
    pub command: String,
    /// The exit code it must end with.
    pub exit_code: u8,
    /// Each must be in a line it prints.
    pub prints: Vec<Pattern>,
    /// None may be in a line it prints.
    pub prints_not: Vec<Pattern>,
    /// How long it may take.
    pub within: Limit,
}

/// What a fact must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// This value.
    Is(Value),
    /// A text with this in it.
    Contains(String),
    /// Not there, or null.
    Absent,
}

/// A change somebody makes to a disk on a bench.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// One bit of one byte is inverted.
    FlipByte(Place),
    /// Bytes become zero.
    Zero(Place, Bytes),
    /// A partition is written over another one of the same size.
    CopyPartition {
        /// From this label.
        from: String,
        /// To this label.
        to: String,
    },
    /// Both copies of the boot state become rubbish.
    DestroyBootState,
}

/// A place on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Label of the partition.
    pub partition: String,
    /// Bytes from its start; nothing for the slot's footer.
    pub offset: Option<u64>,
}

/// How long something may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// As long as so many starts.
    Boots(u32),
    /// So long on a quiet machine.
    Quiet(Duration),
}

impl Limit {
    /// The time to wait here: five times the quiet one under translation.
    pub fn patience(self, guest: &Guest) -> Duration {
        match self {
            Self::Boots(count) => guest.patience(count),
            Self::Quiet(time) => guest.accelerator().patience(time),
        }
    }
}

/// The name of the disk under test.
pub const DISK: &str = "disk";
