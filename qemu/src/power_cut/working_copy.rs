//! One disk image that becomes every disk a power cut could have left, one after another.
//!
//! What is certain is written for good; what a cut leaves is written on top and taken back: the bytes it replaces are kept in a
//! scratch file, so memory does not grow with the log. For each slot a fingerprint of everything ever written to it is kept, so
//! that a slot that has not changed need not be proved again.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use formats::Digest;

use super::write_log::{Operation, Storage, WriteLog};
use crate::surgery::{Extent, RawImage};
use crate::{Error, Result};

/// The image and the way back.
#[derive(Debug)]
pub struct WorkingCopy {
    image: RawImage,
    path: PathBuf,
    undo: File,
    /// Where the replaced bytes belong, in the order in which they stand in the scratch file.
    replaced: Vec<Extent>,
    slots: BTreeMap<String, Tracked>,
    /// The fingerprints before what is to be taken back.
    before: Option<BTreeMap<String, Tracked>>,
}

/// A region of the disk, and what was written to it so far.
#[derive(Debug, Clone, Copy)]
struct Tracked {
    extent: Extent,
    written: Digest,
}

/// A range of one operation of the log.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Number of the entry in the log.
    pub entry: u64,
    /// A write or a discard.
    pub operation: &'a Operation,
    /// Bytes missing at its beginning.
    pub skip: u64,
    /// Bytes that are there.
    pub length: u64,
}

impl WorkingCopy {
    /// Takes over an image file for which nobody has another use.
    pub fn open(path: &Path, scratch: File) -> Result<Self> {
        let image = RawImage::open(path)?;
        let gpt = image.gpt()?;
        let slots = gpt.partitions().values().filter(|partition| is_slot(&partition.name));
        let tracked = slots.map(|partition| {
            let (at, length) = gpt.extent(partition);
            let extent = Extent { offset: at.0, length: length.0 };
            (partition.name.clone(), Tracked { extent, written: Digest::of(&[]) })
        });
        let slots = tracked.collect();
        Ok(Self { image, path: path.to_owned(), undo: scratch, replaced: Vec::new(), slots, before: None })
    }

    /// The disk as it is now.
    pub const fn image(&self) -> &RawImage {
        &self.image
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The slots' partitions: label, place, and a fingerprint that differs when something was written to it.
    pub fn slots(&self) -> impl Iterator<Item = (&str, Extent, Digest)> {
        self.slots.iter().map(|(label, slot)| (label.as_str(), slot.extent, slot.written))
    }

    /// Writes what is certain.
    pub fn keep<S: Storage>(&mut self, log: &WriteLog<S>, part: &Part<'_>) -> Result<()> {
        self.put(log, part, false)
    }

    /// Writes what [`Self::take_back`] will take back.
    pub fn try_out<S: Storage>(&mut self, log: &WriteLog<S>, part: &Part<'_>) -> Result<()> {
        if self.before.is_none() {
            self.before = Some(self.slots.clone());
        }
        self.put(log, part, true)
    }

    /// Undoes everything tried out.
    pub fn take_back(&mut self) -> Result<()> {
        let mut end: u64 = self.replaced.iter().map(|extent| extent.length).sum();
        // Backwards: two of the writes may have replaced the same bytes.
        for extent in self.replaced.drain(..).rev() {
            end -= extent.length;
            let mut bytes = vec![0; usize::try_from(extent.length).unwrap_or(0)];
            self.undo.read_exact_at(&mut bytes, end).map_err(|source| scratch_error("read", source))?;
            self.image.write(extent.offset, &bytes)?;
        }
        if let Some(before) = self.before.take() {
            self.slots = before;
        }
        Ok(())
    }

    fn put<S: Storage>(&mut self, log: &WriteLog<S>, part: &Part<'_>, undoable: bool) -> Result<()> {
        let (at, data) = match *part.operation {
            Operation::Write { at, data, .. } => (at, Some(data)),
            Operation::Discard { at, .. } => (at, None),
            Operation::Nothing | Operation::Mark(_) => return Ok(()),
        };
        let mut kept: u64 = self.replaced.iter().map(|extent| extent.length).sum();
        let mut done = 0;
        let mut bytes = vec![0; CHUNK];
        while done < part.length {
            let length = (part.length - done).min(CHUNK as u64);
            bytes.resize(usize::try_from(length).unwrap_or(CHUNK), 0);
            let (skip, place) = (part.skip + done, at + part.skip + done);
            match data {
                Some(data) => log.data(data, skip, &mut bytes).map_err(Error::format("the log"))?,
                None => bytes.fill(0),
            }
            let present = self.image.read(place, bytes.len())?;
            if undoable {
                self.undo.write_all_at(&present, kept).map_err(|source| scratch_error("write", source))?;
                self.replaced.push(Extent { offset: place, length });
                kept += length;
            }
            // Zeros on zeros: what is a hole stays one.
            if present != bytes {
                self.image.write(place, &bytes)?;
            }
            done += length;
        }
        self.track(part, at + part.skip);
        Ok(())
    }

    /// The log never changes, so entry and range say which bytes were written.
    fn track(&mut self, part: &Part<'_>, at: u64) {
        for slot in self.slots.values_mut() {
            if at < slot.extent.offset + slot.extent.length && slot.extent.offset < at + part.length {
                let numbers = [part.entry, part.skip, part.length].map(u64::to_le_bytes);
                let parts = [slot.written.0.as_slice(), &numbers[0], &numbers[1], &numbers[2]];
                slot.written = Digest::of_parts(parts);
            }
        }
    }
}

fn is_slot(label: &str) -> bool {
    ["base-a", "base-b", "site-a", "site-b"].contains(&label)
}

fn scratch_error(action: &'static str, source: std::io::Error) -> Error {
    Error::Io { action, path: "the scratch file".into(), source }
}

const CHUNK: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power_cut::fixture::{LogWriter, small_disk};

    fn parts(log: &WriteLog<Vec<u8>>) -> Vec<(u64, Operation)> {
        log.entries().map(|entry| entry.unwrap()).map(|entry| (entry.number, entry.operation)).collect()
    }

    fn part((entry, operation): &(u64, Operation)) -> Part<'_> {
        let (Operation::Write { length, .. } | Operation::Discard { length, .. }) = *operation else { panic!() };
        Part { entry: *entry, operation, skip: 0, length }
    }

    #[test]
    fn what_was_tried_out_is_taken_back_also_where_writes_overlap() {
        let disk = small_disk();
        let mut copy = WorkingCopy::open(disk.path(), tempfile::tempfile().unwrap()).unwrap();
        let whole = |copy: &WorkingCopy| {
            copy.image().read(0, usize::try_from(copy.image().size().unwrap().0).unwrap()).unwrap()
        };
        let (slot, place) = copy.slots().map(|(label, place, _)| (label.to_owned(), place)).next().unwrap();
        assert_eq!(slot, "base-a");
        let mut log = LogWriter::new();
        log.write(place.offset, &[1; 1024]);
        log.write(place.offset + 512, &[2; 1024]);
        log.discard(place.offset, 4096);
        let log = WriteLog::open(log.bytes(), copy.image().size().unwrap()).unwrap();
        let parts = parts(&log);
        let before = (whole(&copy), copy.slots().map(|slot| slot.2).collect::<Vec<_>>());
        for one in &parts {
            copy.try_out(&log, &part(one)).unwrap();
        }
        assert_ne!(whole(&copy), before.0);
        copy.take_back().unwrap();
        assert_eq!((whole(&copy), copy.slots().map(|slot| slot.2).collect::<Vec<_>>()), before);
        copy.take_back().unwrap();
        // Kept for good, and the middle of a write on top.
        copy.keep(&log, &part(&parts[0])).unwrap();
        copy.try_out(&log, &Part { skip: 512, length: 512, ..part(&parts[1]) }).unwrap();
        let now = copy.image().read(place.offset, 2048).unwrap();
        assert!(
            now[..1024] == [1; 1024]
                && now[1024..1536] == [2; 512]
                && now[1536..] == before.0[usize::try_from(place.offset).unwrap() + 1536..][..512]
        );
        copy.take_back().unwrap();
        assert_eq!(copy.image().read(place.offset, 1024).unwrap(), [1; 1024]);
    }

    #[test]
    fn only_the_fingerprint_of_a_slot_that_is_written_changes() {
        let disk = small_disk();
        let mut copy = WorkingCopy::open(disk.path(), tempfile::tempfile().unwrap()).unwrap();
        let site = copy.slots().find(|(label, ..)| *label == "site-b").unwrap().1;
        let mut log = LogWriter::new();
        log.write(site.offset + site.length - 512, &[1; 512]);
        let log = WriteLog::open(log.bytes(), copy.image().size().unwrap()).unwrap();
        let prints =
            |copy: &WorkingCopy| copy.slots().map(|(label, _, print)| (label.to_owned(), print)).collect::<Vec<_>>();
        let before = prints(&copy);
        copy.keep(&log, &part(&parts(&log)[0])).unwrap();
        let changed: Vec<String> =
            before.iter().zip(prints(&copy)).filter(|(old, new)| **old != *new).map(|(old, _)| old.0.clone()).collect();
        assert_eq!(changed, ["site-b"]);
    }
}
