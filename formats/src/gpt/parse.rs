//! Reading a table from untrusted bytes.
//!
//! Bounds: 1 to 128 entries of exactly 128 bytes (other sizes are legal but nobody writes them: refused as unsupported), a header of 92
//! bytes to one sector, every position checked against the bytes given. Both checksums are verified before an entry is looked at.

use std::collections::BTreeMap;
use std::fmt;

use super::encode::{HEADER_SIZE, REVISION_1_0, SIGNATURE};
use super::{ENTRY_COUNT, ENTRY_SIZE, Gpt, Partition};
use crate::le::{bytes_at, put, u32_at, u64_at};
use crate::{Error, Guid, Lba, Result, SectorSize};

/// Which copies of a table were usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copies {
    /// Both, and they agree.
    Both,
    /// Both are whole but differ: a rewrite was interrupted between them. The primary was taken.
    Differ,
    /// The backup is missing or damaged, as on a disk that has just grown.
    PrimaryOnly {
        /// What is wrong with the backup.
        backup: Error,
    },
    /// The primary is missing or damaged.
    BackupOnly {
        /// What is wrong with the primary.
        primary: Error,
    },
}

impl fmt::Display for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Both => f.write_str("both copies are good"),
            Self::Differ => f.write_str("both copies are whole but differ"),
            Self::PrimaryOnly { backup } => write!(f, "only the primary copy is good: {backup}"),
            Self::BackupOnly { primary } => write!(f, "only the backup copy is good: {primary}"),
        }
    }
}

impl Gpt {
    /// Reads the primary copy from the first bytes of a disk (from LBA 0; 34 sectors of 512 or 6 of 4096 bytes are enough for ours).
    ///
    /// # Errors
    /// `Corrupt` or `Unsupported`, naming the field and its value.
    pub fn parse_primary(head: &[u8], sector: SectorSize) -> Result<Self> {
        let what = "primary GPT";
        let header = Header::parse(what, sector_of(what, head, sector, 1)?)?;
        if header.my_lba != 1 {
            return Err(Error::corrupt(what, format!("it says it belongs at LBA {}", header.my_lba)));
        }
        let disk_sectors = header.alternate_lba.saturating_add(1);
        let entries = entries_of(what, &header, head, sector, 0)?;
        header.table(what, entries, sector, disk_sectors)
    }

    /// Reads the backup copy from the last bytes of a disk of `disk_sectors` sectors (33 sectors of 512 or 5 of 4096 bytes).
    ///
    /// # Errors
    /// `Corrupt` or `Unsupported`, naming the field and its value.
    pub fn parse_backup(tail: &[u8], sector: SectorSize, disk_sectors: u64) -> Result<Self> {
        let what = "backup GPT";
        let tail_sectors = u64::try_from(tail.len()).unwrap_or(u64::MAX).checked_div(sector.bytes()).unwrap_or(0);
        let tail_first = disk_sectors
            .checked_sub(tail_sectors)
            .filter(|_| sector_aligned(tail, sector))
            .ok_or_else(|| Error::corrupt(what, format!("{} bytes are no tail of this disk", tail.len())))?;
        let header = Header::parse(what, sector_of(what, tail, sector, tail_sectors.saturating_sub(1))?)?;
        if header.my_lba != disk_sectors.saturating_sub(1) || header.alternate_lba != 1 {
            let problem = format!(
                "it says it belongs at LBA {} of a disk whose last one is {}",
                header.my_lba,
                disk_sectors.saturating_sub(1)
            );
            return Err(Error::corrupt(what, problem));
        }
        let entries = entries_of(what, &header, tail, sector, tail_first)?;
        header.table(what, entries, sector, disk_sectors)
    }

    /// Reads whichever copy is whole, the primary first, and tells which were.
    ///
    /// A primary for a smaller disk is accepted (the disk grew; see [`Gpt::grown_to`]), one for a larger disk is not.
    ///
    /// # Errors
    /// `Corrupt` with both reasons when neither copy can be used.
    pub fn read(head: &[u8], tail: &[u8], sector: SectorSize, disk_sectors: u64) -> Result<(Self, Copies)> {
        let primary = Self::parse_primary(head, sector).and_then(|gpt| {
            let needed = gpt.disk_sectors();
            let problem = || format!("it is for a disk of {needed} sectors, this one has {disk_sectors}");
            if needed > disk_sectors { Err(Error::corrupt("primary GPT", problem())) } else { Ok(gpt) }
        });
        let backup = Self::parse_backup(tail, sector, disk_sectors);
        match (primary, backup) {
            (Ok(primary), Ok(backup)) if primary == backup => Ok((primary, Copies::Both)),
            (Ok(primary), Ok(_)) => Ok((primary, Copies::Differ)),
            (Ok(primary), Err(backup)) => Ok((primary, Copies::PrimaryOnly { backup })),
            (Err(primary), Ok(backup)) => Ok((backup, Copies::BackupOnly { primary })),
            (Err(primary), Err(backup)) => {
                Err(Error::corrupt("partition table", format!("no copy is usable ({primary}; {backup})")))
            }
        }
    }
}

/// Fields of a header whose signature, size and checksum are right, under the specification's names.
struct Header {
    my_lba: u64,
    alternate_lba: u64,
    first_usable_lba: u64,
    last_usable_lba: u64,
    disk_guid: Guid,
    partition_entry_lba: u64,
    number_of_partition_entries: u32,
    partition_entry_array_crc32: u32,
}

impl Header {
    fn parse(what: &'static str, sector: &[u8]) -> Result<Self> {
        let short = || Error::corrupt(what, "its header is cut off");
        if !sector.starts_with(SIGNATURE) {
            return Err(Error::corrupt(what, "its signature \"EFI PART\" is missing"));
        }
        let revision = u32_at(sector, 8).ok_or_else(short)?;
        if revision != REVISION_1_0 {
            return Err(Error::unsupported(what, format!("revision {revision:#x}; only {REVISION_1_0:#x} is known")));
        }
        let header_size = u32_at(sector, 12).ok_or_else(short)?;
        let covered = usize::try_from(header_size).ok().filter(|_| header_size >= HEADER_SIZE);
        let covered = covered.and_then(|size| sector.get(..size)).ok_or_else(|| {
            Error::corrupt(what, format!("header size {header_size} is not {HEADER_SIZE} to {} bytes", sector.len()))
        })?;
        let mut zeroed = covered.to_vec();
        put(&mut zeroed, 16, &[0; 4]);
        check_crc(what, "header", &zeroed, u32_at(sector, 16).ok_or_else(short)?)?;
        let entry_size = u32_at(sector, 84).ok_or_else(short)?;
        if entry_size != ENTRY_SIZE {
            return Err(Error::unsupported(
                what,
                format!("entries of {entry_size} bytes; only {ENTRY_SIZE} are known"),
            ));
        }
        let number_of_partition_entries = u32_at(sector, 80).ok_or_else(short)?;
        if !(1..=ENTRY_COUNT).contains(&number_of_partition_entries) {
            let problem = format!("{number_of_partition_entries} entries; 1 to {ENTRY_COUNT} are accepted");
            return Err(Error::unsupported(what, problem));
        }
        Ok(Self {
            my_lba: u64_at(sector, 24).ok_or_else(short)?,
            alternate_lba: u64_at(sector, 32).ok_or_else(short)?,
            first_usable_lba: u64_at(sector, 40).ok_or_else(short)?,
            last_usable_lba: u64_at(sector, 48).ok_or_else(short)?,
            disk_guid: Guid::from_efi_bytes(bytes_at(sector, 56).ok_or_else(short)?),
            partition_entry_lba: u64_at(sector, 72).ok_or_else(short)?,
            number_of_partition_entries,
            partition_entry_array_crc32: u32_at(sector, 88).ok_or_else(short)?,
        })
    }

    fn table(&self, what: &'static str, entries: &[u8], sector: SectorSize, disk_sectors: u64) -> Result<Gpt> {
        check_crc(what, "entry array", entries, self.partition_entry_array_crc32)?;
        let mut partitions = BTreeMap::new();
        let entry_size = usize::try_from(ENTRY_SIZE).unwrap_or(usize::MAX);
        for (number, entry) in (1_u32..).zip(entries.chunks_exact(entry_size)) {
            if let Some(partition) = partition(what, number, entry)? {
                self.check_range(what, number, &partition)?;
                partitions.insert(number, partition);
            }
        }
        let gpt = Gpt { disk_guid: self.disk_guid, sector, disk_sectors, partitions };
        gpt.problem().map_or(Ok(gpt), |problem| Err(Error::corrupt(what, problem)))
    }

    /// The range the header states may be narrower than the one its position implies; both hold.
    fn check_range(&self, what: &'static str, number: u32, partition: &Partition) -> Result<()> {
        if partition.first.0 >= self.first_usable_lba && partition.last.0 <= self.last_usable_lba {
            return Ok(());
        }
        let (first, last) = (self.first_usable_lba, self.last_usable_lba);
        let label = super::label(number, partition);
        Err(Error::corrupt(what, format!("{label} leaves the usable range, LBA {first} to {last}")))
    }
}

fn partition(what: &'static str, number: u32, entry: &[u8]) -> Result<Option<Partition>> {
    let short = || Error::corrupt(what, format!("entry {number} is cut off"));
    let type_guid = Guid::from_efi_bytes(bytes_at(entry, 0).ok_or_else(short)?);
    if type_guid == Guid::ZERO {
        return Ok(None);
    }
    let name: [u8; 72] = bytes_at(entry, 56).ok_or_else(short)?;
    let units: Vec<u16> = name
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes(*unit.first_chunk().unwrap_or(&[0; 2])))
        .take_while(|unit| *unit != 0)
        .collect();
    let name = String::from_utf16(&units)
        .map_err(|_| Error::corrupt(what, format!("the name of partition {number} is not UTF-16")))?;
    Ok(Some(Partition {
        type_guid,
        guid: Guid::from_efi_bytes(bytes_at(entry, 16).ok_or_else(short)?),
        first: Lba(u64_at(entry, 32).ok_or_else(short)?),
        last: Lba(u64_at(entry, 40).ok_or_else(short)?),
        attributes: u64_at(entry, 48).ok_or_else(short)?,
        name,
    }))
}

fn check_crc(what: &'static str, part: &str, bytes: &[u8], stored: u32) -> Result<()> {
    let computed = crc32fast::hash(bytes);
    if computed == stored {
        return Ok(());
    }
    Err(Error::corrupt(what, format!("{part} checksum is {computed:08x}, the header says {stored:08x}")))
}

/// The entry array, which must lie in `bytes`, whose first sector is LBA `first`.
fn entries_of<'a>(
    what: &'static str,
    header: &Header,
    bytes: &'a [u8],
    sector: SectorSize,
    first: u64,
) -> Result<&'a [u8]> {
    let outside = || {
        Error::corrupt(what, format!("its entries at LBA {} are outside the bytes read", header.partition_entry_lba))
    };
    let index = header.partition_entry_lba.checked_sub(first).ok_or_else(outside)?;
    let start = index.checked_mul(sector.bytes()).and_then(|at| usize::try_from(at).ok()).ok_or_else(outside)?;
    let length = header.number_of_partition_entries.saturating_mul(ENTRY_SIZE);
    let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length)).ok_or_else(outside)?;
    bytes.get(start..end).ok_or_else(outside)
}

fn sector_of<'a>(what: &'static str, bytes: &'a [u8], sector: SectorSize, index: u64) -> Result<&'a [u8]> {
    let size = usize::try_from(sector.bytes()).unwrap_or(usize::MAX);
    let start = usize::try_from(index).ok().and_then(|index| index.checked_mul(size));
    start
        .and_then(|start| bytes.get(start..)?.get(..size))
        .ok_or_else(|| Error::corrupt(what, format!("{} bytes do not reach its header", bytes.len())))
}

fn sector_aligned(bytes: &[u8], sector: SectorSize) -> bool {
    u64::try_from(bytes.len()).is_ok_and(|length| length.is_multiple_of(sector.bytes()))
}
