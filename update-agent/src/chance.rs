//! Bytes nobody can guess.

use std::fs::File;
use std::io::Read as _;

use crate::error::{Doing, Result};

/// Draws them. Waits until the kernel has gathered chance after its start, as "urandom" does not.
///
/// # Errors
/// When the kernel does not give any; nothing secret may be made then.
pub fn draw<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/random").and_then(|mut source| source.read_exact(&mut bytes)).doing(|| "draw a secret".into())?;
    Ok(bytes)
}
