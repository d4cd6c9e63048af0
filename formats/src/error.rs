//! The one error type of this crate, split by who must act.
//!
//! `Corrupt`: the bytes are wrong, reject the input. `Unsupported`: the bytes are fine but this version cannot read them.
//! `Invalid`: the caller asked for something that cannot be encoded. `Untrusted`: no acceptable signature.

/// What is wrong with some bytes, or with a request to make some.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes contradict the format or their own checksum.
    #[error("{what} is damaged: {problem}")]
    Corrupt {
        /// The structure, for example `primary GPT header`.
        what: &'static str,
        /// What contradicts what, with numbers.
        problem: String,
    },
    /// A well-formed structure that needs a newer reader.
    #[error("{what} cannot be read by this version: {problem}")]
    Unsupported {
        /// The structure.
        what: &'static str,
        /// The feature or version found, and what is understood.
        problem: String,
    },
    /// A request that cannot be represented.
    #[error("{what} is impossible: {problem}")]
    Invalid {
        /// The structure that was to be made.
        what: &'static str,
        /// Which value does not fit, and the limit.
        problem: String,
    },
    /// Signatures are missing, wrong, or by keys that do not count.
    #[error("{what} is not trusted: {problem}")]
    Untrusted {
        /// The signed thing.
        what: &'static str,
        /// Which keys signed, which were expected.
        problem: String,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Shorthand for [`Error::Corrupt`].
    pub fn corrupt(what: &'static str, problem: impl Into<String>) -> Self {
        Self::Corrupt { what, problem: problem.into() }
    }
    /// Shorthand for [`Error::Unsupported`].
    pub fn unsupported(what: &'static str, problem: impl Into<String>) -> Self {
        Self::Unsupported { what, problem: problem.into() }
    }
    /// Shorthand for [`Error::Invalid`].
    pub fn invalid(what: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { what, problem: problem.into() }
    }
    /// Shorthand for [`Error::Untrusted`].
    pub fn untrusted(what: &'static str, problem: impl Into<String>) -> Self {
        Self::Untrusted { what, problem: problem.into() }
    }
}
