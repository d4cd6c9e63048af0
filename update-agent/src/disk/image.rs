//! A disk image file: pre-provisioning and tests change it with the code that changes the running appliance.
//!
//! Slots are read and written past the page cache, as on the appliance, where the host's file system can do that: what is read back then
//! comes from the medium. The state partition goes through the cache, because its sectors may be shorter than direct I/O of a file
//! allows.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use appliance::direct::{Access, Direct};
use formats::gpt::Gpt;
use formats::{Bytes, SectorSize};
use nix::fcntl::{Flock, FlockArg, PosixFadviseAdvice, posix_fadvise};

use super::{Disk, Part};
use crate::error::{Doing, Error, Result};

/// An image file, locked for as long as this value lives.
pub struct Image {
    file: Flock<File>,
    /// The same file past the cache; nothing where the host cannot, for example in memory.
    direct: Option<Direct>,
    parts: BTreeMap<Part, (Bytes, Bytes)>,
}

impl Image {
    /// Opens a raw image. Refuses a file another agent works on.
    pub fn open(path: &Path) -> Result<Self> {
        let name = || format!("open the disk image \"{}\"", path.display());
        let file = OpenOptions::new().read(true).write(true).open(path).doing(name)?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| Error::Busy(format!("the disk image \"{}\"", path.display())))?;
        let table = read_table(&file).doing(|| format!("read the partition table of \"{}\"", path.display()))?;
        let parts = Part::ALL.into_iter().filter_map(|part| {
            let (_, entry) = table.partition(&part.label())?;
            Some((part, table.extent(entry)))
        });
        Ok(Self { parts: parts.collect(), direct: Direct::open(path, Access::ExclusiveWrite).ok(), file })
    }

    /// The way past the cache, for partitions that have one.
    fn direct(&self, part: Part) -> Option<&Direct> {
        self.direct.as_ref().filter(|_| part != Part::State)
    }

    /// Position in the file of a range of a partition.
    fn place(&self, part: Part, offset: u64, length: usize) -> io::Result<u64> {
        let (start, size) = self.extent(part)?;
        let end = offset.checked_add(length as u64).filter(|end| *end <= size.0);
        end.and_then(|_| start.0.checked_add(offset)).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{length} bytes at {offset} leave \"{}\" of {size}", part.label()),
            )
        })
    }

    fn extent(&self, part: Part) -> io::Result<(Bytes, Bytes)> {
        self.parts.get(&part).copied().ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("this image has no partition \"{}\"", part.label()))
        })
    }
}

impl Disk for Image {
    fn size(&self, part: Part) -> io::Result<Bytes> {
        Ok(self.extent(part)?.1)
    }

    fn read(&self, part: Part, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let at = self.place(part, offset, buffer.len())?;
        match self.direct(part) {
            Some(direct) => direct.read(at, buffer),
            None => self.file.read_exact_at(buffer, at),
        }
    }

    fn write(&self, part: Part, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = self.place(part, offset, bytes.len())?;
        match self.direct(part) {
            Some(direct) => direct.write(at, bytes),
            None => self.file.write_all_at(bytes, at),
        }
    }

    fn flush(&self, _: Part) -> io::Result<()> {
        self.file.sync_data()?;
        // What is read back from now on comes from the medium, as far as the host's file system lets us have a say in it.
        posix_fadvise(&*self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).map_err(io::Error::from)
    }
}

/// The partition table of a disk or image: whichever copy is whole.
pub fn read_table(file: &File) -> io::Result<Gpt> {
    let length = length(file)?.0;
    let mut last = io::Error::from(io::ErrorKind::InvalidData);
    for sector in [SectorSize::S512, SectorSize::S4096] {
        match read_table_of(file, length, sector) {
            Ok(table) => return Ok(table),
            Err(problem) => last = problem,
        }
    }
    Err(last)
}

fn read_table_of(file: &File, length: u64, sector: SectorSize) -> io::Result<Gpt> {
    let entries = usize::try_from(formats::gpt::ENTRIES_SIZE.0).unwrap_or(0);
    let one = usize::try_from(sector.bytes()).unwrap_or(0);
    let mut head = vec![0; one + one + entries];
    let mut tail = vec![0; one + entries];
    file.read_exact_at(&mut head, 0)?;
    let tail_at = length.saturating_sub(tail.len() as u64);
    file.read_exact_at(&mut tail, tail_at)?;
    let sectors = length.checked_div(sector.bytes()).unwrap_or(0);
    Gpt::read(&head, &tail, sector, sectors).map(|(table, _)| table).map_err(io::Error::other)
}

/// Length of a file or block device.
pub fn length(mut file: &File) -> io::Result<Bytes> {
    file.seek(SeekFrom::End(0)).map(Bytes)
}
