//! The factory reset of the data partition: what the initramfs program does about a reset record before it mounts data.
//!
//! It guarantees: data are destroyed only for a whole record; once the first byte is destroyed nothing of the old file system is ever
//! mounted again; the new file system can be mounted only when all of it is on the disk, the journal with the sequence floors
//! included; and a power cut at any point leads, at the next start, to the same end. See docs/reset.md.
//!
//! It performs nothing itself: everything goes through [`Place`], real in `init` and simulated in the crash tests of `update-agent`.
//! Whether a reset may be asked for is the agent's decision; what the record means is said in [`formats::reset_record`].

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod format;

use std::fmt;
use std::io;

use formats::reset_record::{self, ResetRecord};

/// What a reset works on. Offsets and lengths on the data partition are multiples of 512.
pub trait Place {
    /// Size of the data partition in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset` of the data partition, from the medium.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes to the data partition, sooner or later.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Tells the medium that nobody needs this range any more. What it holds then is undefined; may do nothing.
    fn discard(&self, offset: u64, length: u64) -> io::Result<()>;
    /// Makes this range read as zeros, sooner or later.
    fn zero(&self, offset: u64, length: u64) -> io::Result<()>;
    /// Returns once everything written to the data partition is on the medium.
    fn flush(&self) -> io::Result<()>;
    /// Fills `sector` with the sector of the reset record, from the medium.
    fn read_record(&self, sector: &mut [u8]) -> io::Result<()>;
    /// Writes the sector of the reset record; it is on the medium on return.
    fn write_record(&self, sector: &[u8]) -> io::Result<()>;
    /// Called at least once per [`PIECE`] bytes: feeds the watchdog, tells whoever waits.
    fn progress(&self, step: Step, done: u64, all: u64);
}

/// Most bytes between two calls of [`Place::progress`]: at 1 MB/s the shortest watchdog (30 s) still gets its food.
pub const PIECE: u64 = 16 << 20;

/// A step of the reset, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The contents are destroyed.
    Destroy,
    /// The new file system is written.
    Format,
    /// The record is cleared.
    Clear,
}

/// Why a reset stopped. The record is as it was: the next start tries again, and until then nothing may be mounted from the data
/// partition.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}: {cause}")]
pub struct Failure {
    /// The step.
    pub step: Step,
    /// The reason.
    pub cause: io::Error,
}

/// The data partition is new.
#[derive(Debug)]
pub struct Done {
    /// False when an earlier start had done it all but could not clear the record.
    pub formatted: bool,
    /// Why the record could not be cleared. The data partition is new and may be mounted all the same: that it carries the record's
    /// UUID keeps the next start from destroying it again.
    pub not_cleared: Option<Failure>,
}

/// The reset that was asked for, if any.
///
/// # Errors
/// A sector that cannot be read, is damaged or of a later format: no order to destroy anything.
pub fn pending(place: &dyn Place) -> io::Result<Option<ResetRecord>> {
    let mut sector = [0; reset_record::SIZE];
    place.read_record(&mut sector)?;
    ResetRecord::parse(&sector).map_err(io::Error::other)
}

/// Carries `record` out.
///
/// The order is the argument. The start of the old file system goes first, flushed, so that a cut later never lets anyone mount what is
/// half destroyed. Data keys, once there are any, are destroyed right there, before the contents: without them the contents are gone at
/// once. Then every byte is made zero and flushed; then the new file system is written but for the sector that says it is one; then
/// that sector, alone. From that sector on the reset is complete, and it carries a UUID only this record has, so a record that is
/// still there is cleared and nothing is destroyed twice. A cut anywhere before leaves the record, and everything begins anew.
pub fn carry_out(place: &dyn Place, record: &ResetRecord) -> Result<Done, Failure> {
    let formatted = !format::is_complete(place, record);
    if formatted {
        destroy(place).map_err(|cause| Failure { step: Step::Destroy, cause })?;
        format::write(place, record).map_err(|cause| Failure { step: Step::Format, cause })?;
    }
    let not_cleared = clear(place).err().map(|cause| Failure { step: Step::Clear, cause });
    Ok(Done { formatted, not_cleared })
}

/// Makes every byte of the data partition zero.
fn destroy(place: &dyn Place) -> io::Result<()> {
    let size = place.size()?;
    place.zero(0, size.min(HEAD))?;
    place.flush()?;
    // Discarding lets a flash disk forget, but promises nothing about what is read afterwards; zeroing does.
    let mut discards = true;
    let mut done = 0;
    while done < size {
        let length = PIECE.min(size.saturating_sub(done));
        let end = done.saturating_add(length);
        // Not the head again: what was there is gone for certain, and has to stay so.
        let from = done.max(HEAD);
        discards = discards && (from >= end || place.discard(from, end.saturating_sub(from)).is_ok());
        place.zero(done, length)?;
        done = end;
        place.progress(Step::Destroy, done, size);
    }
    place.flush()
}

/// One sector, read back.
fn clear(place: &dyn Place) -> io::Result<()> {
    place.write_record(&[0; reset_record::SIZE])?;
    match pending(place)? {
        None => Ok(()),
        Some(_) => Err(io::Error::other("the disk does not keep what is written to the state partition")),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Destroy => "destroy the contents of the data partition",
            Self::Format => "format the data partition",
            Self::Clear => "clear the reset record",
        })
    }
}

/// Enough of the front to take superblock and group descriptors away from every reader.
const HEAD: u64 = 1 << 20;
