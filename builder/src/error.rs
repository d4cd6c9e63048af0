//! The builder's one error type, split by who must act; the kind decides the exit code (design section 8).

use std::path::{Path, PathBuf};

/// Result with this crate's [`Error`] unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a verb stopped. Texts say what, which, why and the way out; the cause is in `source()` and not repeated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recipe, a source or a key file is wrong: exit code 3.
    #[error("{0}")]
    Input(String),
    /// A source file is not what it claims to be: exit code 3.
    #[error("{context}")]
    Format {
        /// Which file or structure.
        context: String,
        /// What is wrong with it.
        #[source]
        source: formats::Error,
    },
    /// An image, package or signature does not verify: exit code 4.
    #[error("{0}")]
    Verification(String),
    /// Refused by state or requirement (something exists already, a release build with development keys): exit code 5.
    #[error("{0}")]
    Refused(String),
    /// Reading or writing failed: exit code 6.
    #[error("cannot {action} \"{}\"", path.display())]
    Io {
        /// What was tried: `read`, `create`, ...
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A program of the build host is missing or failed: exit code 6.
    #[error("{0}")]
    Environment(String),
    /// A promise of this program is broken: exit code 70.
    #[error("internal error, please report: {0}")]
    Bug(String),
}

impl Error {
    /// Shorthand for [`Error::Input`].
    pub fn input(text: impl Into<String>) -> Self {
        Self::Input(text.into())
    }

    /// `map_err` adapter: `fs::read(p).map_err(Error::io("read", p))`.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// `map_err` adapter for a wrong structure: `parse(..).map_err(Error::format(|| format!("key file \"{p}\"")))`.
    pub fn format(context: impl Into<String>) -> impl FnOnce(formats::Error) -> Self {
        let context = context.into();
        move |source| Self::Format { context, source }
    }

    /// The process exit code of design section 8.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input(_) | Self::Format { .. } => 3,
            Self::Verification(_) => 4,
            Self::Refused(_) => 5,
            Self::Io { .. } | Self::Environment(_) => 6,
            Self::Bug(_) => 70,
        }
    }
}

/// An error and its causes in one line, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
