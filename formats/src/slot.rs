//! The two slots of an appliance.

use std::fmt;
use std::ops::Not;

use serde::{Deserialize, Serialize};

/// One of the two complete copies of a system on a disk. `!slot` is the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotId {
    /// The slot a freshly built image boots from.
    A,
    /// The slot the first update goes to.
    B,
}

impl SlotId {
    /// Both slots, A first.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// `a` or `b`, as in partition labels and in the boot state.
    pub const fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
        }
    }

    /// The slot with this lower-case letter.
    pub const fn from_letter(letter: char) -> Option<Self> {
        match letter {
            'a' => Some(Self::A),
            'b' => Some(Self::B),
            _ => None,
        }
    }
}

impl Not for SlotId {
    type Output = Self;
    fn not(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}
