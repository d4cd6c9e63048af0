//! A backup: what an appliance or its site was told and keeps, in one file that is encrypted by [`crate::age`].
//!
//! Inside is a plain tar archive: first [`CONTENTS`], which says of every file its length and SHA-256, and of everything that was left out
//! its size and why; then the files in that order, under the paths they have below the data partition. So Debian's `age` and `tar` open it
//! (`docs/backup.md` has the commands). Encryption makes it authentic: whoever does not know passphrase or key can neither read nor change
//! it. Whoever does may still write anything, so nothing in it is believed without its limits.
//!
//! This module reads and writes the archive. What belongs into a backup, and what becomes of it, is the agent's business.

mod archive;
mod contents;
pub mod schedule;
pub mod setting;

use std::io;

pub use archive::{Reader, Sink, write};
pub use contents::{Contents, Excluded, File, Folder, Limits, Made, Part, Reason, Scope, is_path};

use crate::Error as FormatError;

/// The first member.
pub const CONTENTS: &str = "backup.json";
/// The ending of a backup's name.
pub const EXTENSION: &str = "backup.age";
/// The version of the format.
pub const FORMAT: u32 = 1;
/// Longest table of contents in bytes.
pub const MAX_CONTENTS: usize = 16 << 20;
/// Most files and folders in one backup.
pub const MAX_FILES: usize = 20_000;
/// Most things left out that are named one by one; more stand in one line that counts them.
pub const MAX_EXCLUDED: usize = 20_000;
/// Longest path in bytes.
pub const MAX_PATH: usize = 400;
/// Most bytes of all files together.
pub const MAX_TOTAL: u64 = 64 << 30;

/// Why an archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read or written at all; trying again may help.
    #[error(transparent)]
    Io(io::Error),
    /// It is damaged, or made for a newer reader.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl From<io::Error> for Error {
    /// What is wrong with an encrypted file comes through as what it is.
    fn from(error: io::Error) -> Self {
        match error.downcast::<crate::age::Error>() {
            Ok(crate::age::Error::Format(error)) => Self::Format(error),
            Ok(other) => Self::Io(io::Error::other(other)),
            Err(error) => Self::Io(error),
        }
    }
}

const WHAT: &str = "backup";

#[cfg(test)]
mod tests;
