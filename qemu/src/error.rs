//! The one error type of this crate, split by who must act; the kind decides the exit code of `bulkhead-vm`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why a boot test stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's image, keys, option or template is wrong: exit code 3.
    #[error("{0}")]
    Input(String),
    /// A file is not what it claims to be: exit code 3.
    #[error("{context}")]
    Format {
        /// Which file or structure.
        context: String,
        /// What is wrong with it.
        #[source]
        source: formats::Error,
    },
    /// The guest did not do what was expected of it: exit code 4.
    #[error("{problem}{}", excerpt(tail, log))]
    Guest {
        /// What was expected and what happened.
        problem: String,
        /// The last serial lines, oldest first, each with its time.
        tail: Vec<String>,
        /// Where the whole serial log is kept.
        log: PathBuf,
    },
    /// Something is not as expected, and no guest is there to show for it: exit code 4.
    #[error("{0}")]
    Unexpected(String),
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
    /// A program or a file of this machine is missing or failed: exit code 6.
    #[error("{0}")]
    Environment(String),
}

impl Error {
    /// `map_err` adapter: `fs::read(p).map_err(Error::io("read", p))`.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// `map_err` adapter for a wrong structure in a named file.
    pub fn format(context: impl Into<String>) -> impl FnOnce(formats::Error) -> Self {
        let context = context.into();
        move |source| Self::Format { context, source }
    }

    /// The process exit code of design section 8.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input(_) | Self::Format { .. } => 3,
            Self::Guest { .. } | Self::Unexpected(_) => 4,
            Self::Io { .. } | Self::Environment(_) => 6,
        }
    }

    /// The text and every cause, as one chain.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        text
    }
}

fn excerpt(tail: &[String], log: &Path) -> String {
    let mut text = if tail.is_empty() {
        "\nthe guest printed nothing on its serial console".to_owned()
    } else {
        format!("\nlast {} serial lines:", tail.len())
    };
    for line in tail {
        let _ = write!(text, "\n  {line}");
    }
    let _ = write!(text, "\nfull log: {}", log.display());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_failure_shows_the_last_lines_and_the_log() {
        let error = Error::Guest { problem: "no".into(), tail: vec!["1.00 hello".into()], log: "/x/serial.log".into() };
        assert_eq!(error.to_string(), "no\nlast 1 serial lines:\n  1.00 hello\nfull log: /x/serial.log");
        assert_eq!(error.exit_code(), 4);
    }

    #[test]
    fn the_chain_names_each_cause_once() {
        let error = Error::io("read", "/none")(std::io::Error::other("gone"));
        assert_eq!(error.chain(), "cannot read \"/none\": gone");
    }
}
