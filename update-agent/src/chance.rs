//! Bytes nobody can guess.

use std::fs::File;
use std::io::{self, Read as _};

use crate::error::{Doing, Result};

/// Draws them into a buffer. Waits until the kernel has gathered chance after its start, as "urandom" does not.
///
/// # Errors
/// When the kernel does not give any; nothing secret may be made then.
pub fn fill(buffer: &mut [u8]) -> io::Result<()> {
    File::open("/dev/random")?.read_exact(buffer)
}

/// So many of them.
///
/// # Errors
/// As [`fill`].
pub fn draw<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes).doing(|| "draw a secret".into())?;
    Ok(bytes)
}
