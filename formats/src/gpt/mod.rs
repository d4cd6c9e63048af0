//! The GUID partition table (UEFI specification 2.10, chapter 5.3): primary copy behind the protective MBR, backup copy at the end.
//!
//! A [`Gpt`] value always has distinct names and GUIDs and partitions that neither overlap nor leave the usable range: `new` and both
//! parsers check the same rules. Encoding is deterministic. Alignment and sizes are the layout's business; which copy to write first
//! on a running machine is its writer's (backup, flush, primary, flush: each prefix of that leaves one whole copy).

mod encode;
mod parse;
pub mod types;

use std::collections::BTreeMap;
use std::fmt;

use crate::{Bytes, Error, Guid, Lba, Result, SectorSize};

pub use parse::Copies;

/// Number of entries in a table; also the highest entry number.
pub const ENTRY_COUNT: u32 = 128;
/// Bytes of one entry.
pub const ENTRY_SIZE: u32 = 128;
/// Bytes of the entry array.
pub const ENTRIES_SIZE: Bytes = Bytes(16 << 10);
/// Longest partition name, in UTF-16 code units.
pub const NAME_LIMIT: usize = 36;
/// Name of the partition that grows with the disk.
pub const GROWING_PARTITION: &str = "data";

/// One used entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// What it is for, see [`types`].
    pub type_guid: Guid,
    /// Its own identity, `PARTUUID` in Linux.
    pub guid: Guid,
    /// First sector.
    pub first: Lba,
    /// Last sector, inclusive.
    pub last: Lba,
    /// Attribute bits (chapter 5.3.3).
    pub attributes: u64,
    /// Label, at most [`NAME_LIMIT`] UTF-16 code units.
    pub name: String,
}

/// A whole, consistent partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpt {
    disk_guid: Guid,
    sector: SectorSize,
    disk_sectors: u64,
    partitions: BTreeMap<u32, Partition>,
}

impl Partition {
    /// Number of sectors; 0 when last is before first, which no [`Gpt`] contains.
    pub fn sectors(&self) -> u64 {
        self.last.0.checked_sub(self.first.0).and_then(|more| more.checked_add(1)).unwrap_or(0)
    }
}

impl Gpt {
    /// A table for a disk of `disk_sectors` sectors. Keys of `partitions` are entry numbers from 1.
    ///
    /// # Errors
    /// `Invalid` naming the partitions and numbers: overlap, outside the usable range, duplicate or too long name, duplicate or zero
    /// GUID, entry number above [`ENTRY_COUNT`], disk too small.
    pub fn new(
        disk_guid: Guid,
        sector: SectorSize,
        disk_sectors: u64,
        partitions: BTreeMap<u32, Partition>,
    ) -> Result<Self> {
        let gpt = Self { disk_guid, sector, disk_sectors, partitions };
        gpt.problem().map_or(Ok(gpt), |problem| Err(Error::invalid("partition table", problem)))
    }

    /// The GUID of the disk.
    pub fn disk_guid(&self) -> Guid {
        self.disk_guid
    }

    /// The logical sector size all LBAs count in.
    pub fn sector(&self) -> SectorSize {
        self.sector
    }

    /// Size of the disk this table was made for.
    pub fn disk_sectors(&self) -> u64 {
        self.disk_sectors
    }

    /// Used entries by number, from 1.
    pub fn partitions(&self) -> &BTreeMap<u32, Partition> {
        &self.partitions
    }

    /// The partition with this name and its entry number.
    pub fn partition(&self, name: &str) -> Option<(u32, &Partition)> {
        self.partitions.iter().find(|(_, partition)| partition.name == name).map(|(number, found)| (*number, found))
    }

    /// Byte offset and length of a partition of this table.
    pub fn extent(&self, partition: &Partition) -> (Bytes, Bytes) {
        (partition.first.offset(self.sector), Lba(partition.sectors()).offset(self.sector))
    }

    /// First sector a partition may use.
    pub fn first_usable(&self) -> Lba {
        Lba(entry_sectors(self.sector).saturating_add(2))
    }

    /// Last sector a partition may use.
    pub fn last_usable(&self) -> Lba {
        Lba(self.disk_sectors.saturating_sub(entry_sectors(self.sector)).saturating_sub(2))
    }

    /// This table for the same disk grown to `disk_sectors`: everything stays, and the partition [`GROWING_PARTITION`], which must be
    /// the physically last one, is extended to the last whole MiB. Calling it with the present size extends it as far as it can go.
    ///
    /// # Errors
    /// `Invalid` when the disk shrank or the last partition is another one.
    pub fn grown_to(&self, disk_sectors: u64) -> Result<Self> {
        let invalid = |problem| Err(Error::invalid("growing the partition table", problem));
        if disk_sectors < self.disk_sectors {
            return invalid(format!(
                "the disk has {disk_sectors} sectors, the table was made for {}; partitions may be cut off",
                self.disk_sectors
            ));
        }
        let mut grown = Self { disk_sectors, ..self.clone() };
        let end = grown.last_usable().offset(self.sector).plus(Bytes(self.sector.bytes()))?;
        let aligned = end.0.saturating_sub(end.0 & Bytes::MIB.0.saturating_sub(1));
        let last = Lba(aligned.checked_div(self.sector.bytes()).unwrap_or(0).saturating_sub(1));
        match grown.partitions.values_mut().max_by_key(|partition| partition.last) {
            Some(partition) if partition.name == GROWING_PARTITION => partition.last = partition.last.max(last),
            Some(partition) => {
                return invalid(format!(
                    "the last partition on the disk is \"{}\", not \"{GROWING_PARTITION}\"",
                    partition.name.escape_debug()
                ));
            }
            None => return invalid("it has no partitions".to_owned()),
        }
        Self::new(grown.disk_guid, grown.sector, grown.disk_sectors, grown.partitions)
    }

    /// The first broken rule.
    fn problem(&self) -> Option<String> {
        if self.last_usable() <= self.first_usable() || self.disk_sectors.checked_mul(self.sector.bytes()).is_none() {
            return Some(format!("a disk of {} sectors has no room for two copies of it", self.disk_sectors));
        }
        if self.disk_guid == Guid::ZERO {
            return Some("the disk GUID is zero".to_owned());
        }
        self.partitions
            .iter()
            .find_map(|(number, partition)| self.problem_of_one(*number, partition))
            .or_else(|| self.duplicate())
            .or_else(|| self.overlap())
    }

    fn problem_of_one(&self, number: u32, partition: &Partition) -> Option<String> {
        let label = || label(number, partition);
        if !(1..=ENTRY_COUNT).contains(&number) {
            return Some(format!("{} has a number outside 1 to {ENTRY_COUNT}", label()));
        }
        if partition.type_guid == Guid::ZERO || partition.guid == Guid::ZERO {
            return Some(format!("{} has a zero GUID", label()));
        }
        let units = partition.name.encode_utf16().count();
        if units > NAME_LIMIT || partition.name.contains('\0') {
            return Some(format!(
                "the name of {} has {units} UTF-16 code units; the limit is {NAME_LIMIT}, without NUL",
                label()
            ));
        }
        if partition.first > partition.last {
            return Some(format!("{} ends before it begins", label()));
        }
        if partition.first < self.first_usable() || partition.last > self.last_usable() {
            let (first, last) = (self.first_usable().0, self.last_usable().0);
            return Some(format!("{} leaves the usable range, LBA {first} to {last}", label()));
        }
        None
    }

    fn duplicate(&self) -> Option<String> {
        let mut names = BTreeMap::new();
        let mut guids = BTreeMap::new();
        for (number, partition) in &self.partitions {
            if let Some(other) = guids.insert(partition.guid, number) {
                return Some(format!("partitions {other} and {number} have the same GUID {}", partition.guid));
            }
            if partition.name.is_empty() {
                continue;
            }
            if let Some(other) = names.insert(&partition.name, number) {
                let name = partition.name.escape_debug();
                return Some(format!("partitions {other} and {number} have the same name \"{name}\""));
            }
        }
        None
    }

    fn overlap(&self) -> Option<String> {
        let mut by_position: Vec<(&u32, &Partition)> = self.partitions.iter().collect();
        by_position.sort_by_key(|(number, partition)| (partition.first, **number));
        by_position.windows(2).find_map(|pair| match pair {
            [(number, one), (next_number, next)] if next.first <= one.last => {
                Some(format!("{} overlaps {}; move or shrink one", label(**number, one), label(**next_number, next)))
            }
            _ => None,
        })
    }
}

impl fmt::Display for Gpt {
    /// Readable lines for `inspect`, without a final line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = Lba(self.disk_sectors).offset(self.sector);
        write!(f, "disk {}, {size}, {}-byte sectors", self.disk_guid, self.sector.bytes())?;
        for (number, partition) in &self.partitions {
            let (_, size) = self.extent(partition);
            write!(
                f,
                "\n{number:3}  {:10}  LBA {:>10} to {:>10}  {:>10}  {}  {}",
                partition.name.escape_debug().to_string(),
                partition.first.0,
                partition.last.0,
                size.to_string(),
                types::name(partition.type_guid),
                partition.guid,
            )?;
            if partition.attributes != 0 {
                write!(f, "  attributes {:#x}", partition.attributes)?;
            }
        }
        Ok(())
    }
}

/// `partition 4 "base-a" (LBA 2048 to 4095)`.
fn label(number: u32, partition: &Partition) -> String {
    let name = partition.name.escape_debug();
    format!("partition {number} \"{name}\" (LBA {} to {})", partition.first.0, partition.last.0)
}

/// Sectors of the entry array.
fn entry_sectors(sector: SectorSize) -> u64 {
    ENTRIES_SIZE.0.checked_div(sector.bytes()).unwrap_or(0)
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "tests may panic")]
mod tests;
