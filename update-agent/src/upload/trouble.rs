//! What can be wrong with uploads, and what to do about it.

use formats::Bytes;

use crate::code::Code;

/// Why something about uploads is refused.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// There is no such upload, or not any more.
    #[error("there is no upload \"{0}\": it was taken in, refused, discarded, or older than a day; begin anew")]
    None(String),
    /// It goes on elsewhere.
    #[error(
        "{have} of {of} bytes of this upload are here, and what was sent is not what comes next; go on at byte {have}"
    )]
    WrongOffset {
        /// How much is here.
        have: u64,
        /// Of how much.
        of: u64,
    },
    /// There is an end to what is uploaded at the same time.
    #[error("{0} files are being uploaded already; discard one of them, or wait a day")]
    TooMany(usize),
    /// No file of ours is so long.
    #[error("a file of {length} is not taken; the longest has {most}")]
    TooLong {
        /// How long it is.
        length: Bytes,
        /// How long it may be.
        most: Bytes,
    },
    /// Somebody else began it.
    #[error("this upload was begun by {0}, who alone goes on with it")]
    NotYours(String),
    /// What arrived is not what was announced.
    #[error("the SHA-256 of \"{0}\" is not the one that was announced: it changed on its way; upload it again")]
    Mismatch(String),
    /// The first bytes are those of something else.
    #[error("\"{name}\" is no {wanted}; choose another file")]
    WrongType {
        /// What it is called.
        name: String,
        /// What it has to be.
        wanted: &'static str,
    },
    /// What was sent cannot be meant.
    #[error("{0}")]
    Unclear(String),
}

impl Trouble {
    /// Its code.
    pub const fn code(&self) -> Code {
        match self {
            Self::None(_) => Code::NotFound,
            Self::WrongOffset { .. } => Code::WrongOffset,
            Self::TooMany(_) => Code::TooManyUploads,
            Self::TooLong { .. } => Code::UploadTooLong,
            Self::NotYours(_) => Code::NotAllowed,
            Self::Mismatch(_) => Code::DigestMismatch,
            Self::WrongType { .. } => Code::Malformed,
            Self::Unclear(_) => Code::Usage,
        }
    }
}
