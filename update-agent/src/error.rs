//! Failures, split by who must act; the exit code follows from the kind (design section 8).

use std::io;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine refused something, or this is no appliance.
    #[error("cannot {action}: {cause}")]
    System {
        /// What was tried, with its object.
        action: String,
        /// The answer.
        cause: io::Error,
    },
    /// Bytes that are not what they should be.
    #[error("{place}: {cause}")]
    Content {
        /// Where the bytes are.
        place: String,
        /// What is wrong with them.
        cause: formats::Error,
    },
    /// The boot state does not allow it.
    #[error(transparent)]
    Refused(#[from] formats::boot_state::Refusal),
    /// What was written is not what is read.
    #[error("{0}")]
    NotKept(String),
    /// The lifecycle does not allow it now.
    #[error(transparent)]
    NotNow(#[from] crate::lifecycle::Refusal),
    /// The release does not suit this appliance.
    #[error(transparent)]
    Unfit(#[from] crate::lifecycle::Unfit),
    /// There is no site to go back to.
    #[error("there is no site to go back to: {0}")]
    NoSiteToGoBackTo(String),
    /// The package contradicts itself.
    #[error("the package is damaged: {0}")]
    Source(String),
    /// Another update-agent is changing the same disk.
    #[error("another update-agent is at work on {0}; try again when it is done")]
    Busy(String),
    /// The command line contradicts itself.
    #[error("{0}")]
    Usage(String),
    /// This should be impossible.
    #[error("bug: {0}; nothing was changed")]
    Bug(String),
}

/// Result with this program's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The exit code of a command that failed so.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Content { cause: formats::Error::Untrusted { .. }, .. } => 4,
            Self::Content { .. } | Self::Source(_) => 3,
            Self::Usage(_) => 2,
            Self::Refused(_) | Self::Busy(_) | Self::NotNow(_) | Self::Unfit(_) | Self::NoSiteToGoBackTo(_) => 5,
            Self::System { .. } | Self::NotKept(_) => 6,
            Self::Bug(_) => 70,
        })
    }
}

/// Adds what was being done to a system's answer.
pub trait Doing<T> {
    /// `action` completes the sentence "cannot …" and names its object.
    fn doing(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::System { action: action(), cause })
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
