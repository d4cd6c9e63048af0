//! Units as types, so that a sector count can never be taken for a byte count.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result};

/// A size or an offset in bytes. Prints as the largest exact binary unit (`64 MiB`), parses the same (`64MiB`, `64 MiB`, `4096`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

/// A logical block address: a position on a disk in units of its logical sector size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Lba(pub u64);

/// The logical sector size of a disk. Only 512 boots from BIOS; 4096 is read on UEFI machines with 4Kn disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectorSize {
    /// 512-byte sectors (512n and 512e disks, every virtual disk).
    S512,
    /// 4096-byte sectors (4Kn disks).
    S4096,
}

impl Bytes {
    /// One KiB.
    pub const KIB: Self = Self(1 << 10);
    /// One MiB, the alignment of every partition.
    pub const MIB: Self = Self(1 << 20);
    /// One GiB.
    pub const GIB: Self = Self(1 << 30);

    /// `n` MiB.
    ///
    /// # Panics
    /// Never for `n` below 2^44; saturates above.
    pub const fn mib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 20))
    }

    /// Sum, or an error that names both when it leaves 64 bits.
    pub fn plus(self, other: Self) -> Result<Self> {
        self.0
            .checked_add(other.0)
            .map(Self)
            .ok_or_else(|| Error::invalid("size", format!("{self} + {other} is beyond 64 bits")))
    }

    #[must_use = "the offset itself does not change"]
    /// This offset rounded up to a multiple of `unit`; saturates at the top of 64 bits.
    pub const fn round_up(self, unit: Self) -> Self {
        match self.0.checked_next_multiple_of(unit.0) {
            Some(n) => Self(n),
            None => Self(u64::MAX),
        }
    }

    /// True when this is a multiple of `unit`.
    pub const fn is_multiple_of(self, unit: Self) -> bool {
        self.0.is_multiple_of(unit.0)
    }
}

impl SectorSize {
    /// Bytes in one sector.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::S512 => 512,
            Self::S4096 => 4096,
        }
    }
}

impl Lba {
    /// Byte offset of this sector; saturates at the top of 64 bits.
    pub const fn offset(self, sector: SectorSize) -> Bytes {
        Bytes(self.0.saturating_mul(sector.bytes()))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, name) in UNITS {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                // OK to divide: unit is a non-zero constant
                return write!(f, "{} {name}", self.0.checked_div(unit).unwrap_or(0));
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl FromStr for Bytes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid(
                "size",
                format!("\"{text}\" is not a number with KiB, MiB, GiB or no unit, such as \"64MiB\""),
            )
        };
        let digits = text.len().min(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let unit = unit.trim();
        let factor = if unit.is_empty() || unit == "B" {
            1
        } else {
            UNITS.iter().find(|(_, name)| *name == unit).map(|(factor, _)| *factor).ok_or_else(bad)?
        };
        number.checked_mul(factor).map(Self).ok_or_else(bad)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    /// From a number of bytes (machine files) or a text with a unit (recipes).
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"64MiB\"")
            }
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> std::result::Result<Bytes, E> {
                Ok(Bytes(n))
            }
            fn visit_i64<E: serde::de::Error>(self, n: i64) -> std::result::Result<Bytes, E> {
                u64::try_from(n).map(Bytes).map_err(|_| E::custom("a size cannot be negative"))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Bytes, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl fmt::Display for Lba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LBA {}", self.0)
    }
}

const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_print_and_parse_as_their_largest_exact_unit() {
        for (text, bytes) in [("0 B", 0), ("513 B", 513), ("1 KiB", 1024), ("64 MiB", 64 << 20), ("3 GiB", 3 << 30)] {
            assert_eq!(Bytes(bytes).to_string(), text);
            assert_eq!(text.parse::<Bytes>(), Ok(Bytes(bytes)));
        }
        assert_eq!("64MiB".parse::<Bytes>(), Ok(Bytes::mib(64)));
    }

    #[test]
    fn refuses_sizes_that_are_not_sizes() {
        for text in ["", "MiB", "64MB", "-1", "1.5GiB", "99999999999GiB", "64 MiB x"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
