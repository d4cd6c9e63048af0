//! Watchdog devices (`Documentation/watchdog/watchdog-api.rst` of the kernel).

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::path::Path;

use super::check;

const WDIOC_SETTIMEOUT: libc::Ioctl = 0xC004_5706;

/// Gives the watchdog `device`, which runs, its full time again. As in [`arm`], closing does not stop it.
pub fn feed(device: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(device)?.write_all(b"\0")
}

/// Starts the watchdog `device` with a timeout of `seconds` and leaves it running; returns the timeout the driver really set.
///
/// The file is closed without the magic `V`, so the timer goes on and the next program may open the device to feed it.
pub fn arm(device: &Path, seconds: u32) -> io::Result<u32> {
    let file = OpenOptions::new().write(true).open(device)?;
    let mut timeout = libc::c_int::try_from(seconds).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the kernel reads and writes one int through the pointer, which outlives the call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), WDIOC_SETTIMEOUT, &raw mut timeout) })?;
    Ok(u32::try_from(timeout).unwrap_or(seconds))
}
