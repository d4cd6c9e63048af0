//! The log of a disk's writes, as QEMU's `blklogwrites` and Linux' `dm-log-writes` leave it
//! (kernel: `Documentation/admin-guide/device-mapper/log-writes.rst`, `drivers/md/dm-log-writes.c`; QEMU: `block/blklogwrites.c`).
//!
//! All numbers are little-endian. Sector 0 of the log is the superblock:
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 8 | magic `rhswfsj\0` |
//! | 8 | 8 | version, 1 |
//! | 16 | 8 | number of entries |
//! | 24 | 4 | bytes in a sector: of the log, of the disk, and of every count below |
//!
//! Every entry begins on a sector: first sector on the disk (8), number of sectors (8), flags (8), length of a mark's text (8), zeros
//! up to the end of the sector, then the written sectors, unless it is a discard. Flags: 1 flush, 2 FUA, 4 discard, 8 mark.
//!
//! Entries stand in the order in which the disk completed them. A flush covers what stands before it: exactly what was complete when
//! QEMU carried it out. So what stands between two flushes may be on a disk whose power failed there, in part, or not at all.
//!
//! Guarantees: reads one entry at a time, whatever the log's size; believes no number before it was compared with the size of disk
//! and log. A log that ends early is an error, never a short history. What to do with the entries is [`super::replay`]'s business.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use formats::{Bytes, Error, Result};

/// Bytes that can be read at any place.
pub trait Storage {
    /// Fills `buffer` from byte `offset` on; fails when there are fewer bytes.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// How many bytes there are.
    fn size(&self) -> io::Result<u64>;
}

/// A log, checked as far as its superblock goes.
#[derive(Debug)]
pub struct WriteLog<S> {
    storage: S,
    sector: u64,
    entries: u64,
    length: u64,
    disk: u64,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts from 0.
    pub number: u64,
    /// What was complete before this entry is on the disk for good.
    pub flush: bool,
    /// The data of this entry is on the disk for good as soon as it is there.
    pub durable: bool,
    /// What was done.
    pub operation: Operation,
}

/// What an entry did to the disk. Positions and lengths are bytes, whole sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Nothing: a flush alone.
    Nothing,
    /// Wrote the bytes that stand at `data` in the log.
    Write {
        /// First byte on the disk.
        at: u64,
        /// Length, not zero.
        length: u64,
        /// First byte in the log.
        data: u64,
    },
    /// Gave a range up; it reads as zeros.
    Discard {
        /// First byte on the disk.
        at: u64,
        /// Length, not zero.
        length: u64,
    },
    /// A word somebody left in the log.
    Mark(String),
}

impl<S: Storage> WriteLog<S> {
    /// Checks the superblock of the log of a disk with this many bytes.
    ///
    /// # Errors
    /// `Corrupt` when it is no such log or announces more entries than it has room for, `Unsupported` for another version or a
    /// sector size other than 512 or 4096.
    pub fn open(storage: S, disk: Bytes) -> Result<Self> {
        let length = storage.size().map_err(|error| corrupt(format!("its size is unknown: {error}")))?;
        let mut head = [0; SUPERBLOCK];
        read(&storage, length, 0, &mut head, || "its first sector".into())?;
        if u64_at(&head, 0) != MAGIC {
            return Err(corrupt("it does not begin with the magic number of a write log"));
        }
        let (version, entries) = (u64_at(&head, 8), u64_at(&head, 16));
        let sector = u64_at(&head, 24) & 0xffff_ffff;
        if version != 1 {
            return Err(Error::unsupported(WHAT, format!("it has version {version}; 1 is understood")));
        }
        if !SECTORS.contains(&sector) {
            return Err(Error::unsupported(
                WHAT,
                format!("its sectors have {sector} bytes; 512 and 4096 are understood"),
            ));
        }
        if entries.checked_add(1).and_then(|sectors| sectors.checked_mul(sector)).is_none_or(|least| least > length) {
            return Err(corrupt(format!("it announces {entries} entries and has only {length} bytes")));
        }
        if !disk.0.is_multiple_of(sector) {
            return Err(corrupt(format!("its sectors of {sector} bytes do not divide a disk of {} bytes", disk.0)));
        }
        Ok(Self { storage, sector, entries, length, disk: disk.0 })
    }

    /// Bytes in a sector: the unit that is written whole or not at all.
    pub const fn sector(&self) -> u64 {
        self.sector
    }

    /// How many entries there are.
    pub const fn len(&self) -> u64 {
        self.entries
    }

    /// True when nothing was written while the log was kept.
    pub const fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The entries in order; ends after the first error.
    pub const fn entries(&self) -> Entries<'_, S> {
        Entries { log: self, number: 0, position: self.sector }
    }

    /// Reads what a write wrote: `buffer` begins `skip` bytes into the data that stands at `data`.
    pub fn data(&self, data: u64, skip: u64, buffer: &mut [u8]) -> Result<()> {
        read(&self.storage, self.length, data.saturating_add(skip), buffer, || format!("the data at byte {data}"))
    }

    fn entry(&self, number: u64, position: u64) -> Result<(Entry, u64)> {
        let mut head = [0; ENTRY];
        read(&self.storage, self.length, position, &mut head, || format!("entry {number}"))?;
        let [first, sectors, flags, text] = [0, 8, 16, 24].map(|at| u64_at(&head, at));
        let wrong = |problem: String| corrupt(format!("entry {number} at byte {position}: {problem}"));
        if flags & !(FLUSH | FUA | DISCARD | MARK) != 0 {
            return Err(Error::unsupported(
                WHAT,
                format!("entry {number} has the flags {flags:#x}; 0xf are understood"),
            ));
        }
        let extent = || {
            let (at, length) = (first.checked_mul(self.sector)?, sectors.checked_mul(self.sector)?);
            at.checked_add(length).filter(|end| *end <= self.disk)?;
            Some((at, length))
        };
        let beyond = || {
            wrong(format!(
                "{sectors} sectors from sector {first} on are beyond a disk of {} sectors",
                self.disk / self.sector
            ))
        };
        let mut next = position.saturating_add(self.sector);
        let operation = match (flags & (DISCARD | MARK), sectors) {
            (MARK, 0) => Operation::Mark(self.mark(position, text).map_err(wrong)?),
            (DISCARD, 1..) => {
                let (at, length) = extent().ok_or_else(beyond)?;
                Operation::Discard { at, length }
            }
            (0, 1..) => {
                let (at, length) = extent().ok_or_else(beyond)?;
                let data = next;
                next = data.saturating_add(length);
                if next > self.length {
                    return Err(wrong(format!(
                        "its {length} bytes end behind the log, which has {} bytes",
                        self.length
                    )));
                }
                Operation::Write { at, length, data }
            }
            (0, 0) if flags & FLUSH != 0 => Operation::Nothing,
            (0, 0) => {
                return Err(wrong("it neither writes nor flushes; the recording ended before it was there".into()));
            }
            _ => return Err(wrong(format!("the flags {flags:#x} with {sectors} sectors make no sense"))),
        };
        let entry = Entry { number, flush: flags & FLUSH != 0, durable: flags & FUA != 0, operation };
        Ok((entry, next))
    }

    /// The text of a mark, which stands in the entry's own sector.
    fn mark(&self, position: u64, length: u64) -> std::result::Result<String, String> {
        let room = self.sector.saturating_sub(ENTRY as u64);
        if length > room {
            return Err(format!("a mark of {length} bytes; at most {room} fit its sector"));
        }
        let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
        read(&self.storage, self.length, position.saturating_add(ENTRY as u64), &mut text, || "a mark".into())
            .map_err(|error| error.to_string())?;
        // Shown on terminals and nowhere else.
        Ok(String::from_utf8_lossy(&text).chars().filter(|letter| !letter.is_control()).collect())
    }
}

/// Iterator over a log's entries.
#[derive(Debug)]
pub struct Entries<'a, S> {
    log: &'a WriteLog<S>,
    number: u64,
    position: u64,
}

impl<S: Storage> Iterator for Entries<'_, S> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.number >= self.log.entries {
            return None;
        }
        let read = self.log.entry(self.number, self.position);
        match &read {
            Ok((_, next)) => (self.number, self.position) = (self.number.saturating_add(1), *next),
            Err(_) => self.number = u64::MAX,
        }
        Some(read.map(|(entry, _)| entry))
    }
}

impl Storage for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl Storage for Vec<u8> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let found = start.and_then(|start| self.get(start..start.checked_add(buffer.len())?));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        u64::try_from(self.len()).map_err(io::Error::other)
    }
}

fn read(storage: &impl Storage, length: u64, at: u64, buffer: &mut [u8], what: impl Fn() -> String) -> Result<()> {
    let end = u64::try_from(buffer.len()).ok().and_then(|wanted| at.checked_add(wanted));
    if end.is_none_or(|end| end > length) {
        return Err(corrupt(format!("it ends at byte {length}, within {}", what())));
    }
    storage.read_at(at, buffer).map_err(|error| corrupt(format!("{} cannot be read: {error}", what())))
}

/// The number at `at`; the callers' buffers are long enough.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u64::from_le_bytes(*field))
}

fn corrupt(problem: impl Into<String>) -> Error {
    Error::corrupt(WHAT, problem)
}

const WHAT: &str = "write log";
pub(super) const MAGIC: u64 = 0x006a_7366_7773_6872;
const SECTORS: [u64; 2] = [512, 4096];
const SUPERBLOCK: usize = 32;
const ENTRY: usize = 32;
pub(super) const FLUSH: u64 = 1;
pub(super) const FUA: u64 = 2;
pub(super) const DISCARD: u64 = 4;
pub(super) const MARK: u64 = 8;

#[cfg(test)]
#[path = "write_log_tests.rs"]
mod tests;
