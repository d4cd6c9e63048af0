//! Watchdog devices (`Documentation/watchdog/watchdog-api.rst` of the kernel).

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::check;

const WDIOC_SETTIMEOUT: libc::Ioctl = 0xC004_5706;

/// A watchdog that runs. Dropping it closes the file without the magic `V`, so the timer goes on and the next program may open the
/// device to feed it. The kernel calls that "watchdog did not stop!" on the console, each time: so it is held open for as long as
/// possible and closed once.
#[derive(Debug)]
pub struct Watchdog {
    path: PathBuf,
    file: File,
    seconds: u32,
}

impl Watchdog {
    /// Starts the watchdog `device` with a timeout of `seconds`.
    pub fn arm(device: &Path, seconds: u32) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(device)?;
        let mut timeout = libc::c_int::try_from(seconds).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: the kernel reads and writes one int through the pointer, which outlives the call.
        check(unsafe { libc::ioctl(file.as_raw_fd(), WDIOC_SETTIMEOUT, &raw mut timeout) })?;
        Ok(Self { path: device.into(), file, seconds: u32::try_from(timeout).unwrap_or(seconds) })
    }

    /// The device.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The timeout the driver really set.
    pub const fn seconds(&self) -> u32 {
        self.seconds
    }

    /// Gives it its full time again.
    pub fn feed(&self) -> io::Result<()> {
        (&self.file).write_all(b"\0")
    }
}
