//! Reading single sectors past the page cache.
//!
//! A buffered read fetches a whole page and fails when any sector of it is bad; the boot state must survive a bad neighbour.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// A buffer aligned well enough for direct I/O on any disk.
#[repr(C, align(4096))]
struct Page([u8; 4096]);

/// Reads `length` bytes, at most 4096, at `offset` of `device`; both are multiples of its logical sector size.
pub fn read(device: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(device)?;
    let mut page = Box::new(Page([0; 4096]));
    let buffer = page.0.get_mut(..length).ok_or(io::ErrorKind::InvalidInput)?;
    file.read_exact_at(buffer, offset)?;
    Ok(buffer.to_vec())
}
