//! A disk in memory that remembers every write and flush, so that a power cut can be played after any of them.
//!
//! Beside the partitions it holds one more thing the agent writes, the journal file, because a cut takes both at the same moment.
//! [`Medium`] is what is on the platters; [`Disk`] is what the agent sees: its own writes at once, as behind a cache.
//!
//! It can also misbehave: forget what it is told to write, or answer a read, write or flush with an error.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use formats::{Bytes, SlotId};

use super::Part;
use crate::error::{Error, Result};
use crate::journal::{ROOM, Store};
use crate::site::{Now, Site};

/// Bytes in the unit no disk tears.
pub const SECTOR: usize = 512;

/// What is on the medium. Cheap to clone: partitions are copied when one of two copies is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Medium {
    parts: BTreeMap<Part, Arc<Vec<u8>>>,
    /// The journal file.
    pub journal: Vec<u8>,
    /// What is mounted as the site: memory, lost when the power goes.
    pub site: Option<Now>,
}

/// One thing that was done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Bytes were written.
    Write(Write),
    /// The partition was flushed.
    Flush(Part),
    /// Bytes were added to the journal file, durable once the next operation begins.
    Append(Vec<u8>),
    /// The journal file was replaced, atomically as by rename.
    Replace(Vec<u8>),
    /// The site was stopped, unmounted, mounted or started.
    Site(Now),
}

/// Bytes written to a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub part: Part,
    /// From which byte.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// A fault to inject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The write, counted from 0, fails with an I/O error.
    Write(usize),
    /// The write, counted from 0, seems to succeed and changes nothing.
    Forget(usize),
    /// Every read of this partition fails.
    Read(Part),
    /// The flush, counted from 0, fails.
    Flush(usize),
    /// The journal cannot be written: no space.
    Journal,
    /// So many operations fail so, from this one on: counted from 0 over reads, writes and flushes, over everything that is done to the
    /// journal, and over the steps of a switch.
    Outage {
        /// The first that fails.
        from: usize,
        /// How many fail.
        count: usize,
        /// How.
        failure: Failure,
    },
    /// The sector at this offset of the partition cannot be read until it is written.
    Sector(Part, u64),
    /// The data partition is full: the journal may be added to as far as room was kept for it, and not be replaced.
    Full,
    /// This step of the switch to this site slot, or away from it, fails.
    Site(SiteStep, SlotId),
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// With an I/O error, before anything happened.
    Io,
    /// Because there is no space, before anything happened.
    NoSpace,
    /// In the middle: half is read or written, then comes the error.
    Short,
    /// After it was done: it was written, and then could not be flushed, or the answer was lost.
    Late,
}

/// A step of a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteStep {
    /// Ending its processes.
    Stop,
    /// Unmounting it.
    Close,
    /// Mounting it.
    Open,
    /// Starting its processes.
    Start,
}

/// The simulated disk.
#[derive(Debug, Default)]
pub struct Disk {
    medium: RefCell<Medium>,
    log: RefCell<Vec<Operation>>,
    fault: Cell<Option<Fault>>,
    writes: Cell<usize>,
    flushes: Cell<usize>,
    operations: Cell<usize>,
}

impl Medium {
    /// A medium without partitions.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of a partition; empty when it does not exist.
    pub fn part(&self, part: Part) -> &[u8] {
        self.parts.get(&part).map_or(&[], |bytes| bytes.as_slice())
    }

    /// Adds a partition or replaces its bytes.
    pub fn set(&mut self, part: Part, bytes: Vec<u8>) {
        self.parts.insert(part, Arc::new(bytes));
    }

    /// Does one operation completely.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Write(write) => self.write(write, write.bytes.len()),
            Operation::Flush(_) => {}
            Operation::Append(bytes) => self.journal.extend_from_slice(bytes),
            Operation::Replace(bytes) => self.journal.clone_from(bytes),
            Operation::Site(now) => self.site = Some(*now),
        }
    }

    /// Does the first `length` bytes of a write.
    pub fn write(&mut self, write: &Write, length: usize) {
        let (Some(bytes), Some(part)) = (write.bytes.get(..length), self.parts.get_mut(&write.part)) else { return };
        let place =
            usize::try_from(write.offset).ok().and_then(|at| Arc::make_mut(part).get_mut(at..)?.get_mut(..bytes.len()));
        if let Some(place) = place {
            place.copy_from_slice(bytes);
        }
    }
}

impl Disk {
    /// A disk with this content.
    pub fn new(medium: Medium) -> Self {
        Self { medium: RefCell::new(medium), ..Self::default() }
    }

    /// This disk with a fault.
    #[must_use]
    pub fn with_fault(self, fault: Fault) -> Self {
        self.fault.set(Some(fault));
        self
    }

    /// What is on it now if nothing is lost.
    pub fn medium(&self) -> Medium {
        self.medium.borrow().clone()
    }

    /// Everything done so far.
    pub fn log(&self) -> Vec<Operation> {
        self.log.borrow().clone()
    }

    /// How many operations there were, as [`Fault::Outage`] counts them.
    pub fn operations(&self) -> usize {
        self.operations.get()
    }

    /// Counts an operation; whether and how it fails.
    fn strike(&self) -> Option<(Failure, io::Error)> {
        let number = self.operations.get();
        self.operations.set(number.saturating_add(1));
        let Some(Fault::Outage { from, count, failure }) = self.fault.get() else { return None };
        let error = match failure {
            Failure::Io | Failure::Late => io::Error::other("injected I/O error"),
            Failure::NoSpace => io::ErrorKind::StorageFull.into(),
            Failure::Short => io::Error::new(io::ErrorKind::WriteZero, "injected short read or write"),
        };
        (from..from.saturating_add(count)).contains(&number).then_some((failure, error))
    }

    fn record(&self, operation: Operation) {
        self.medium.borrow_mut().apply(&operation);
        self.log.borrow_mut().push(operation);
    }

    fn failing(&self, fault: Fault) -> io::Result<()> {
        if self.fault.get() == Some(fault) { Err(io::Error::other("injected I/O error")) } else { Ok(()) }
    }
}

impl super::Disk for Disk {
    fn size(&self, part: Part) -> io::Result<Bytes> {
        let medium = self.medium.borrow();
        let bytes = medium.parts.get(&part).ok_or(io::ErrorKind::NotFound)?;
        Ok(Bytes(bytes.len() as u64))
    }

    fn read(&self, part: Part, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.failing(Fault::Read(part))?;
        if let Some((failure, error)) = self.strike() {
            if failure == Failure::Short {
                buffer.iter_mut().step_by(2).for_each(|byte| *byte = 0x55);
            }
            return Err(error);
        }
        if let Some(Fault::Sector(bad, at)) = self.fault.get()
            && bad == part
            && (offset..offset.saturating_add(buffer.len() as u64)).contains(&at)
        {
            return Err(io::Error::other("injected bad sector"));
        }
        let medium = self.medium.borrow();
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = medium.part(part).get(from..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, part: Part, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let number = self.writes.get();
        self.writes.set(number.saturating_add(1));
        self.failing(Fault::Write(number))?;
        if self.fault.get() == Some(Fault::Forget(number)) {
            return Ok(());
        }
        let aligned = offset.is_multiple_of(SECTOR as u64) && bytes.len().is_multiple_of(SECTOR);
        let end = offset.saturating_add(bytes.len() as u64);
        if !aligned || end > self.medium.borrow().part(part).len() as u64 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let struck = self.strike();
        let whole = match struck {
            None | Some((Failure::Late, _)) => bytes.len(),
            Some((Failure::Short, _)) => {
                (bytes.len() / 2).checked_next_multiple_of(SECTOR).unwrap_or(0).min(bytes.len())
            }
            Some(_) => 0,
        };
        if let Some(written) = bytes.get(..whole).filter(|written| !written.is_empty()) {
            if let Some(Fault::Sector(bad, at)) = self.fault.get()
                && bad == part
                && (offset..offset.saturating_add(written.len() as u64)).contains(&at)
            {
                // The disk has put a good sector in its place.
                self.fault.set(None);
            }
            self.record(Operation::Write(Write { part, offset, bytes: written.to_vec() }));
        }
        struck.map_or(Ok(()), |(_, error)| Err(error))
    }

    fn flush(&self, part: Part) -> io::Result<()> {
        let number = self.flushes.get();
        self.flushes.set(number.saturating_add(1));
        self.failing(Fault::Flush(number))?;
        let struck = self.strike();
        if struck.as_ref().is_none_or(|(failure, _)| *failure == Failure::Late) {
            self.record(Operation::Flush(part));
        }
        struck.map_or(Ok(()), |(_, error)| Err(error))
    }
}

impl Store for Disk {
    fn load(&self) -> io::Result<Vec<u8>> {
        if let Some((_, error)) = self.strike() {
            return Err(error);
        }
        Ok(self.medium.borrow().journal.clone())
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        if self.fault.get() == Some(Fault::Journal) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.fault.get() == Some(Fault::Full) && self.medium.borrow().journal.len() + bytes.len() > ROOM {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let struck = self.strike();
        let whole = match struck {
            None | Some((Failure::Late, _)) => bytes.len(),
            Some((Failure::Short, _)) => bytes.len() / 2,
            Some((Failure::Io | Failure::NoSpace, _)) => 0,
        };
        if let Some(written) = bytes.get(..whole).filter(|written| !written.is_empty()) {
            self.record(Operation::Append(written.to_vec()));
        }
        struck.map_or(Ok(()), |(_, error)| Err(error))
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        if self.fault.get() == Some(Fault::Journal) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.fault.get() == Some(Fault::Full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let struck = self.strike();
        // Half a new file is none: it is not renamed.
        if struck.as_ref().is_none_or(|(failure, _)| *failure == Failure::Late) {
            self.record(Operation::Replace(bytes.to_vec()));
        }
        struck.map_or(Ok(()), |(_, error)| Err(error))
    }

    fn reserve(&self) -> io::Result<()> {
        if self.fault.get() == Some(Fault::Journal) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.strike().map_or(Ok(()), |(_, error)| Err(error))
    }
}

impl Disk {
    fn site_now(&self) -> Now {
        self.medium.borrow().site.unwrap_or(Now { slot: None, started: true })
    }

    fn site_step(&self, step: SiteStep, slot: Option<SlotId>, now: Now) -> Result<()> {
        if slot.is_some_and(|slot| self.fault.get() == Some(Fault::Site(step, slot))) {
            return Err(Error::SiteNotSwitched(format!("injected failure of {step:?}")));
        }
        let struck = self.strike();
        if struck.as_ref().is_none_or(|(failure, _)| *failure == Failure::Late) {
            self.record(Operation::Site(now));
        }
        struck.map_or(Ok(()), |(_, error)| Err(Error::SiteNotSwitched(error.to_string())))
    }
}

impl Site for Disk {
    fn now(&self) -> Result<Now> {
        Ok(self.site_now())
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn stop(&self) -> Result<()> {
        let slot = self.site_now().slot;
        self.site_step(SiteStep::Stop, slot, Now { slot, started: false })
    }

    fn close(&self, slot: SlotId) -> Result<()> {
        if self.site_now() != (Now { slot: Some(slot), started: false }) {
            return Err(Error::Bug(format!("site slot {slot} is closed while it is not mounted or still used")));
        }
        self.site_step(SiteStep::Close, Some(slot), Now { slot: None, started: false })
    }

    fn open(&self, slot: SlotId) -> Result<()> {
        if self.site_now().slot.is_some() {
            return Err(Error::Bug(format!("site slot {slot} is opened over another one")));
        }
        self.site_step(SiteStep::Open, Some(slot), Now { slot: Some(slot), started: false })
    }

    fn start(&self) -> Result<()> {
        let slot = self.site_now().slot;
        self.site_step(SiteStep::Start, slot, Now { slot, started: true })
    }
}
