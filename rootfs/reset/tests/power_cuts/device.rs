//! A data partition and the sector of the reset record, in memory: what is on the medium, every operation in order, and faults.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use reset::{Place, Step};

pub const SECTOR: u64 = 512;
const PAGE: u64 = 4096;

/// What is on the medium. Cheap to clone: pages are shared, and a missing page is zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Medium {
    pub size: u64,
    pub record: Vec<u8>,
    pages: BTreeMap<u64, Arc<[u8]>>,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Write {
        offset: u64,
        bytes: Vec<u8>,
    },
    Zero {
        offset: u64,
        length: u64,
    },
    Flush,
    /// Durable, as the state partition is written.
    Record(Vec<u8>),
}

/// A fault to inject; counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Write(usize),
    Zero(usize),
    Flush(usize),
    Discard,
    /// The record cannot be written.
    Record,
    /// The record seems to be written and is not.
    RecordForgotten,
}

#[derive(Debug)]
pub struct Device {
    medium: RefCell<Medium>,
    pub log: RefCell<Vec<Operation>>,
    pub progress: RefCell<Vec<(Step, u64, u64)>>,
    fault: Option<Fault>,
    writes: Cell<usize>,
    zeros: Cell<usize>,
    flushes: Cell<usize>,
}

impl Medium {
    /// All zero.
    pub fn new(size: u64) -> Self {
        Self { size, record: vec![0; 512], pages: BTreeMap::new() }
    }

    /// The sector at `offset`.
    pub fn sector(&self, offset: u64) -> Vec<u8> {
        let at = usize::try_from(offset % PAGE).unwrap();
        self.pages.get(&(offset / PAGE)).map_or_else(|| vec![0; 512], |page| page[at..at + 512].to_vec())
    }

    /// Sectors in which two media differ, from `first` on.
    pub fn differs_from(&self, other: &Self, first: u64) -> Option<u64> {
        let pages = self.pages.keys().chain(other.pages.keys());
        let differing = pages.filter(|page| self.pages.get(page) != other.pages.get(page));
        let sectors = differing.flat_map(|page| (0..PAGE / SECTOR).map(move |sector| page * PAGE + sector * SECTOR));
        sectors.filter(|at| *at >= first && self.sector(*at) != other.sector(*at)).min()
    }

    pub fn put(&mut self, offset: u64, bytes: &[u8]) {
        assert!(offset.is_multiple_of(SECTOR) && (bytes.len() as u64).is_multiple_of(SECTOR));
        assert!(offset + bytes.len() as u64 <= self.size, "beyond the partition");
        for (at, sector) in (offset..).step_by(512).zip(bytes.chunks(512)) {
            let page = self.pages.get(&(at / PAGE)).map_or_else(|| vec![0; 4096], |page| page.to_vec());
            let mut page = page;
            let within = usize::try_from(at % PAGE).unwrap();
            page[within..within + 512].copy_from_slice(sector);
            self.keep(at / PAGE, page);
        }
    }

    pub fn zero(&mut self, offset: u64, length: u64) {
        assert!(offset + length <= self.size, "beyond the partition");
        let end = offset + length;
        let whole = offset.div_ceil(PAGE)..end / PAGE;
        let inside: Vec<u64> =
            self.pages.range(whole.start..whole.end.max(whole.start)).map(|(page, _)| *page).collect();
        for page in inside {
            self.pages.remove(&page);
        }
        let edges = (offset..(whole.start * PAGE).min(end)).chain((whole.end * PAGE).max(offset)..end);
        let sectors: Vec<u64> = edges.step_by(512).collect();
        for at in sectors {
            self.put(at, &[0; 512]);
        }
    }

    fn keep(&mut self, page: u64, bytes: Vec<u8>) {
        if bytes.iter().all(|byte| *byte == 0) {
            self.pages.remove(&page);
        } else {
            self.pages.insert(page, bytes.into());
        }
    }

    /// Does the first `length` bytes of an operation.
    pub fn apply(&mut self, operation: &Operation, length: u64) {
        match operation {
            Operation::Write { offset, bytes } => self.put(*offset, &bytes[..usize::try_from(length).unwrap()]),
            Operation::Zero { offset, .. } => self.zero(*offset, length),
            Operation::Flush => {}
            Operation::Record(sector) => self.record.clone_from(sector),
        }
    }
}

impl Operation {
    /// Bytes written.
    pub fn length(&self) -> u64 {
        match self {
            Self::Write { bytes, .. } | Self::Record(bytes) => bytes.len() as u64,
            Self::Zero { length, .. } => *length,
            Self::Flush => 0,
        }
    }

    pub fn offset(&self) -> u64 {
        match self {
            Self::Write { offset, .. } | Self::Zero { offset, .. } => *offset,
            Self::Flush | Self::Record(_) => 0,
        }
    }
}

impl Device {
    pub fn new(medium: Medium) -> Self {
        Self {
            medium: RefCell::new(medium),
            log: RefCell::default(),
            progress: RefCell::default(),
            fault: None,
            writes: Cell::default(),
            zeros: Cell::default(),
            flushes: Cell::default(),
        }
    }

    pub fn with_fault(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    pub fn medium(&self) -> Medium {
        self.medium.borrow().clone()
    }

    fn failing(&self, fault: Fault) -> io::Result<()> {
        if self.fault == Some(fault) { Err(io::Error::other("injected I/O error")) } else { Ok(()) }
    }

    fn record(&self, operation: Operation) {
        self.medium.borrow_mut().apply(&operation, operation.length());
        self.log.borrow_mut().push(operation);
    }
}

fn next(counter: &Cell<usize>) -> usize {
    counter.replace(counter.get() + 1)
}

impl Place for Device {
    fn size(&self) -> io::Result<u64> {
        Ok(self.medium.borrow().size)
    }
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let medium = self.medium.borrow();
        for (at, sector) in (offset..).step_by(512).zip(buffer.chunks_mut(512)) {
            sector.copy_from_slice(&medium.sector(at));
        }
        Ok(())
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.failing(Fault::Write(next(&self.writes)))?;
        self.record(Operation::Write { offset, bytes: bytes.to_vec() });
        Ok(())
    }
    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        self.failing(Fault::Discard)
    }
    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        self.failing(Fault::Zero(next(&self.zeros)))?;
        self.record(Operation::Zero { offset, length });
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        self.failing(Fault::Flush(next(&self.flushes)))?;
        self.record(Operation::Flush);
        Ok(())
    }
    fn read_record(&self, sector: &mut [u8]) -> io::Result<()> {
        sector.copy_from_slice(&self.medium.borrow().record);
        Ok(())
    }
    fn write_record(&self, sector: &[u8]) -> io::Result<()> {
        self.failing(Fault::Record)?;
        if self.fault != Some(Fault::RecordForgotten) {
            self.record(Operation::Record(sector.to_vec()));
        }
        Ok(())
    }
    fn progress(&self, step: Step, done: u64, all: u64) {
        self.progress.borrow_mut().push((step, done, all));
    }
}
