//! The one error type of this crate, split by who must act.
//!
//! `Corrupt`: the bytes are wrong, reject the input. `Unsupported`: the bytes are fine but this version cannot read them.
//! `Invalid`: the caller asked for something that cannot be encoded. `Untrusted`: no acceptable signature.
//!
//! The text says what is wrong; [`Damage`] and [`Distrust`] say it to programs, as far as somebody may have to do something else.

/// What is wrong with some bytes, or with a request to make some.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes contradict the format or their own checksum.
    #[error("{what} is damaged: {problem}")]
    Corrupt {
        /// The structure, for example `primary GPT header`.
        what: &'static str,
        /// The kind of damage.
        why: Damage,
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
        /// The kind of distrust.
        why: Distrust,
        /// Which keys signed, which were expected.
        problem: String,
    },
}

/// How bytes are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// They break a rule of their format that has no name of its own below.
    Malformed,
    /// They end too early.
    Truncated,
    /// Something follows their end, or hides in a padding.
    TrailingData,
    /// They are not those whose digest was signed.
    DigestMismatch,
    /// A part is missing, comes twice, or comes where another one must be.
    WrongMember,
    /// A part is longer than any of its kind may be, or would unpack to another length than was signed.
    TooLong,
}

/// Why something signed is not believed. Later ones are the less likely mistakes of an honest sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distrust {
    /// Some keys signed that count, but not enough of them.
    ThresholdNotMet,
    /// A key that signed was valid only until a day that has passed.
    ExpiredKey,
    /// A development key signed, which a release appliance does not accept.
    DevelopmentKey,
    /// A development build, which a release appliance does not accept.
    DevelopmentBuild,
    /// A key signed that is trusted for other kinds of packages.
    WrongRole,
    /// It is for another product.
    OtherProduct,
    /// Packages of this kind are not accepted at all.
    KindNotAccepted,
    /// A key that is not known signed.
    WrongKey,
    /// A key is said to have signed, and did not sign these bytes.
    BadSignature,
    /// Nobody signed.
    Unsigned,
}

impl Damage {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Malformed, Self::Truncated, Self::TrailingData, Self::DigestMismatch, Self::WrongMember, Self::TooLong];
}

impl Distrust {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::ThresholdNotMet,
        Self::ExpiredKey,
        Self::DevelopmentKey,
        Self::DevelopmentBuild,
        Self::WrongRole,
        Self::OtherProduct,
        Self::KindNotAccepted,
        Self::WrongKey,
        Self::BadSignature,
        Self::Unsigned,
    ];
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Shorthand for [`Error::Corrupt`] with [`Damage::Malformed`].
    pub fn corrupt(what: &'static str, problem: impl Into<String>) -> Self {
        Self::damaged(what, Damage::Malformed, problem)
    }
    /// Shorthand for [`Error::Corrupt`].
    pub fn damaged(what: &'static str, why: Damage, problem: impl Into<String>) -> Self {
        Self::Corrupt { what, why, problem: problem.into() }
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
    pub fn untrusted(what: &'static str, why: Distrust, problem: impl Into<String>) -> Self {
        Self::Untrusted { what, why, problem: problem.into() }
    }
}
