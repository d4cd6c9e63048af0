//! Where slots and boot state live, behind one narrow door: bytes at offsets of named partitions, and a flush.
//!
//! Three implementations: the disk the appliance was started from (`appliance`), an image file (`image`), and a simulated disk that
//! records every write and flush and can be cut off after any of them (`simulated`). Everything above this module is the same code
//! for all three, so what the crash tests prove about the third holds for the first.
//!
//! What is guaranteed to callers is only what disks guarantee: a write may reach the medium late, in any order with other unflushed
//! writes, and in pieces of whole 512-byte sectors; after a flush everything written before it to that partition is on the medium.

pub mod appliance;
pub mod image;
pub mod simulated;

use std::fmt;
use std::io;

use formats::manifest::Kind;
use formats::{Bytes, SlotId};

use crate::state::Sectors;

/// A partition the agent may read or write. The others (boot code, ESP, data) have no name here on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The boot state.
    State,
    /// A base slot.
    Base(SlotId),
    /// A site slot.
    Site(SlotId),
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::State, Self::Base(SlotId::A), Self::Base(SlotId::B), Self::Site(SlotId::A), Self::Site(SlotId::B)];

    /// The slot for packages of this kind, if they have slots.
    pub const fn slot(kind: Kind, slot: SlotId) -> Option<Self> {
        match kind {
            Kind::Base => Some(Self::Base(slot)),
            Kind::Site => Some(Self::Site(slot)),
            Kind::Licence => None,
        }
    }

    /// The label in the partition table, for example `base-a`.
    pub fn label(self) -> String {
        match self {
            Self::State => "state".into(),
            Self::Base(slot) => format!("base-{}", slot.letter()),
            Self::Site(slot) => format!("site-{}", slot.letter()),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State => f.write_str("the boot state partition"),
            Self::Base(slot) => write!(f, "base slot {slot}"),
            Self::Site(slot) => write!(f, "site slot {slot}"),
        }
    }
}

/// A disk with the partitions of an appliance. Offsets count from the start of the partition; offsets and lengths are multiples of
/// 512 in the state partition and of 4096 elsewhere.
pub trait Disk {
    /// Size of the partition; an error when the disk has none of that name.
    fn size(&self, part: Part) -> io::Result<Bytes>;
    /// Fills `buffer` from `offset`, from the medium and not from a cache wherever the system allows it.
    fn read(&self, part: Part, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes `bytes` at `offset`, sooner or later.
    fn write(&self, part: Part, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Returns once every earlier write to this partition is on the medium.
    fn flush(&self, part: Part) -> io::Result<()>;
    /// Lets go of a partition that was written, so that others may use it.
    fn release(&self, _: Part) {}
}

/// The state partition of a disk, as the boot state code wants it: every write is one sector and durable.
pub struct StatePartition<'a>(pub &'a dyn Disk);

impl Sectors for StatePartition<'_> {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read(Part::State, offset, buffer)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write(Part::State, offset, bytes)?;
        self.0.flush(Part::State)
    }
}
