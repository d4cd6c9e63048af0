//! The log as a row of stretches: what was written between two flushes.
//!
//! Everything before a stretch is certainly on the disk, everything in it perhaps. Flushes with nothing to flush are passed over, so
//! every stretch but the last has a write; the last one is empty and stands for the end of the log.

use formats::{Error, Result};

use super::cuts::{Cut, Unflushed};
use super::working_copy::Part;
use super::write_log::{Entries, Entry, Operation, Storage, WriteLog};

/// What was written between two flushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Counts from 0.
    pub number: u64,
    /// The entry of the log it begins with; at the end of the log, their number.
    pub entry: u64,
    /// The writes, in the order in which the disk completed them.
    pub writes: Vec<Logged>,
}

/// A write or a discard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Number of its entry.
    pub entry: u64,
    /// What was done.
    pub operation: Operation,
    /// Bytes it covers.
    pub length: u64,
    /// It was on the disk for good at once.
    pub durable: bool,
}

/// Iterator over the stretches; ends after the first error.
#[derive(Debug)]
pub struct Stretches<'a, S> {
    entries: Option<Entries<'a, S>>,
    number: u64,
    seen: u64,
    writes: Vec<Logged>,
}

/// The stretches of a log.
pub const fn stretches<S: Storage>(log: &WriteLog<S>) -> Stretches<'_, S> {
    Stretches { entries: Some(log.entries()), number: 0, seen: 0, writes: Vec::new() }
}

impl Stretch {
    /// What the choice of cuts needs to know.
    pub fn unflushed(&self, sector: u64) -> Vec<Unflushed> {
        let of = |logged: &Logged| Unflushed { sectors: logged.length / sector, durable: logged.durable };
        self.writes.iter().map(of).collect()
    }

    /// Everything in it.
    pub fn whole(&self) -> impl Iterator<Item = Part<'_>> {
        self.writes.iter().map(|logged| logged.part(0, logged.length))
    }

    /// What a cut leaves of it.
    pub fn parts<'a>(&'a self, cut: &'a Cut, sector: u64) -> impl Iterator<Item = Part<'a>> {
        cut.iter().filter_map(move |piece| {
            Some(self.writes.get(piece.write)?.part(piece.skip * sector, piece.sectors * sector))
        })
    }
}

impl Logged {
    const fn part(&self, skip: u64, length: u64) -> Part<'_> {
        Part { entry: self.entry, operation: &self.operation, skip, length }
    }

    fn of(entry: Entry) -> Option<Self> {
        let (Operation::Write { length, .. } | Operation::Discard { length, .. }) = entry.operation else {
            return None;
        };
        Some(Self { entry: entry.number, operation: entry.operation, length, durable: entry.durable })
    }
}

impl<S: Storage> Stretches<'_, S> {
    fn end(&mut self) -> Stretch {
        let writes = std::mem::take(&mut self.writes);
        let number = self.number;
        self.number += 1;
        Stretch { number, entry: writes.first().map_or(self.seen, |logged| logged.entry), writes }
    }

    fn take(&mut self, entry: Entry) -> Result<()> {
        if self.writes.len() >= MOST_UNFLUSHED {
            let problem = format!("more than {MOST_UNFLUSHED} writes without a flush before entry {}", entry.number);
            return Err(Error::unsupported("write log", problem));
        }
        self.writes.extend(Logged::of(entry));
        Ok(())
    }
}

impl<S: Storage> Iterator for Stretches<'_, S> {
    type Item = Result<Stretch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(entry) = self.entries.as_mut()?.next() else {
                if self.writes.is_empty() {
                    self.entries = None;
                }
                return Some(Ok(self.end()));
            };
            // A flush covers what was there before it, never its own data.
            let ended = matches!(&entry, Ok(entry) if entry.flush) && !self.writes.is_empty();
            let stretch = ended.then(|| self.end());
            let taken = entry.and_then(|entry| {
                self.seen = entry.number + 1;
                self.take(entry)
            });
            if let Err(error) = taken {
                self.entries = None;
                return Some(Err(error));
            }
            if let Some(stretch) = stretch {
                return Some(Ok(stretch));
            }
        }
    }
}

/// A bound on memory: some 64 MiB.
const MOST_UNFLUSHED: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use formats::Bytes;

    use super::*;
    use crate::power_cut::fixture::LogWriter;
    use crate::power_cut::write_log::{FLUSH, FUA};

    fn entries(log: &LogWriter) -> Vec<(u64, Vec<u64>)> {
        let log = WriteLog::open(log.bytes(), Bytes::MIB).unwrap();
        let numbers = |stretch: Stretch| (stretch.entry, stretch.writes.iter().map(|logged| logged.entry).collect());
        stretches(&log).map(|stretch| numbers(stretch.unwrap())).collect()
    }

    #[test]
    fn a_stretch_ends_with_a_flush_and_the_last_one_is_empty() {
        let mut log = LogWriter::new();
        log.flush();
        log.write(0, &[1; 512]);
        log.mark("between");
        log.write(512, &[1; 512]);
        log.flush();
        log.flush();
        log.write(0, &[2; 512]);
        log.flush();
        assert_eq!(entries(&log), [(1, vec![1, 3]), (6, vec![6]), (8, vec![])]);
    }

    #[test]
    fn what_was_never_flushed_is_a_stretch_of_its_own_before_the_end() {
        let mut log = LogWriter::new();
        log.write(0, &[1; 512]);
        assert_eq!(entries(&log), [(0, vec![0]), (1, vec![])]);
        assert_eq!(entries(&LogWriter::new()), [(0, vec![])]);
    }

    #[test]
    fn the_data_of_a_flush_belongs_to_the_stretch_after_it() {
        let mut log = LogWriter::new();
        log.write(0, &[1; 512]);
        log.entry(8, 1, FLUSH | FUA, &[2; 512]);
        log.flush();
        assert_eq!(entries(&log), [(0, vec![0]), (1, vec![1]), (3, vec![])]);
    }

    #[test]
    fn nothing_follows_an_error() {
        let mut log = LogWriter::new();
        log.write(0, &[1; 512]);
        log.entry(1 << 40, 1, 0, &[0; 512]);
        log.flush();
        let log = WriteLog::open(log.bytes(), Bytes::MIB).unwrap();
        let found: Vec<_> = stretches(&log).collect();
        assert!(found.len() == 1 && found[0].is_err(), "{found:?}");
    }
}
