//! Why a step failed, split by what is to be said about it. What follows from it is the caller's decision.

use std::io;

/// A reason not to go on, in words for a console or a log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something.
    #[error("cannot {action}: {cause}")]
    System {
        /// What was tried, with its object: `open "/dev/vda4"`.
        action: String,
        /// The system's answer.
        cause: io::Error,
    },
    /// Bytes on the disk are damaged or not trusted.
    #[error("{place}: {cause}")]
    Content {
        /// Where the bytes are: `base slot A`.
        place: String,
        /// What is wrong with them.
        cause: formats::Error,
    },
    /// Everything could be read, but the facts forbid to go on.
    #[error("{0}")]
    Refused(String),
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Adds what was being done to a system's answer.
pub trait Doing<T> {
    /// `action` completes the sentence "cannot …" and names its object.
    fn doing(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::System { action: action(), cause: cause.into() })
    }
}

/// Adds where the bytes are to what is wrong with them.
pub trait At<T> {
    /// `place` names the bytes for people.
    fn at(self, place: impl FnOnce() -> String) -> Result<T>;
}

impl<T> At<T> for formats::Result<T> {
    fn at(self, place: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::Content { place: place(), cause })
    }
}
