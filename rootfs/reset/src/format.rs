//! The new file system: written onto zeros, complete with the journal, and made valid by one sector.

use std::io;

use formats::ext4::{self, Attributes, BLOCK_SIZE, ROOT, Sink, Volume};
use formats::journal;
use formats::reset_record::ResetRecord;
use formats::{Bytes, Guid};

use crate::{PIECE, Place, Step};

/// Whether the data partition carries the file system of this very record. Decided by one sector, written last, so that no torn write
/// can make it true too early.
pub fn is_complete(place: &dyn Place, record: &ResetRecord) -> bool {
    let mut sector = [0; SECTOR];
    let read = place.read(VALID, &mut sector);
    read.is_ok() && field(&sector, MAGIC_AT) == Some(MAGIC) && field(&sector, UUID_AT) == Some(uuid(record))
}

/// Writes it. Everything on the partition is zero.
pub fn write(place: &dyn Place, record: &ResetRecord) -> io::Result<()> {
    let size = ext4::growable_within(Bytes(place.size()?));
    let head = write_all_but_head(place, record, size)?;
    // From here on the file system is complete but for the block that has its superblock.
    place.flush()?;
    let at = usize::try_from(VALID).unwrap_or(BLOCK_SIZE);
    let (front, rest) = head.split_at_checked(at).ok_or(io::ErrorKind::InvalidData)?;
    let (valid, rest) = rest.split_at_checked(SECTOR).ok_or(io::ErrorKind::InvalidData)?;
    place.write(0, front)?;
    place.write(VALID.saturating_add(SECTOR as u64), rest)?;
    place.flush()?;
    place.write(VALID, valid)?;
    place.flush()?;
    if is_complete(place, record) {
        Ok(())
    } else {
        Err(io::Error::other("the disk does not keep what is written to it"))
    }
}

/// Everything but the first block, which is returned.
fn write_all_but_head(place: &dyn Place, record: &ResetRecord, size: Bytes) -> io::Result<Vec<u8>> {
    let journal = journal::after_reset(record).map_err(io::Error::other)?;
    let length = Bytes(journal.len() as u64);
    // The clock may have been anything; the file system's own limits are 1970 and 2106.
    let time = u32::try_from(record.asked).unwrap_or(0);
    let of = |mode| Attributes { mode, uid: 0, gid: 0, mtime: time.into() };
    let declare = || -> formats::Result<_> {
        let mut volume = Volume::new(&ext4::growable(size, uuid_of(record), LABEL, time.into()))?;
        let directory = volume.directory(ROOT, journal::DIRECTORY, &of(0o755))?;
        let file = volume.file(directory, journal::FILE, &of(0o644), length)?;
        Ok((volume.seal()?, file))
    };
    let (whole, file) = declare().map_err(io::Error::other)?;
    let whole = whole.ok_or_else(|| io::Error::other(format!("{size} are too small for a file system")))?;
    let mut held = Held { place, head: Vec::new(), since: 0, done: 0, all: size.0 };
    let mut writer = whole.write(&mut held)?;
    writer.fill(file, &mut journal.as_slice())?;
    writer.finish()?;
    Ok(held.head)
}

/// Passes blocks on to the disk, except the first, which is held back. Zeros are there already.
struct Held<'a> {
    place: &'a dyn Place,
    head: Vec<u8>,
    since: u64,
    done: u64,
    all: u64,
}

impl Held<'_> {
    fn advance(&mut self, length: u64) {
        self.done = self.done.saturating_add(length);
        self.since = self.since.saturating_add(length);
        if self.since >= PIECE {
            self.since = 0;
            self.place.progress(Step::Format, self.done, self.all);
        }
    }
}

impl Sink for Held<'_> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let first = if offset == 0 { BLOCK_SIZE } else { 0 };
        let (front, rest) = bytes.split_at_checked(first).ok_or(io::ErrorKind::InvalidInput)?;
        self.head.extend_from_slice(front);
        if !rest.is_empty() {
            self.place.write(offset.saturating_add(front.len() as u64), rest)?;
        }
        self.advance(bytes.len() as u64);
        Ok(())
    }

    fn zeros(&mut self, _: u64, length: u64) -> io::Result<()> {
        self.advance(length);
        Ok(())
    }
}

fn uuid_of(record: &ResetRecord) -> Guid {
    record.file_system()
}

fn uuid(record: &ResetRecord) -> [u8; 16] {
    uuid_of(record).to_uuid_bytes()
}

fn field<const N: usize>(sector: &[u8], at: usize) -> Option<[u8; N]> {
    sector.get(at..)?.first_chunk().copied()
}

const LABEL: &str = "data";
const SECTOR: usize = 512;
/// The sector with magic number and UUID: the first of the superblock, which begins 1024 bytes into the partition.
const VALID: u64 = 1024;
/// `s_magic` and `s_uuid` of the superblock (kernel documentation, "ext4 superblock").
const MAGIC_AT: usize = 0x38;
const MAGIC: [u8; 2] = [0x53, 0xef];
const UUID_AT: usize = 0x68;
