//! What can be wrong with backups, and what to do about it.

use formats::age;
use formats::backup::Error as FormatError;

use crate::code::Code;
use crate::error::Error;

/// Why something about backups is refused or failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Another passphrase, or a key it was not made for.
    #[error("the backup cannot be opened: {0}; nothing was changed")]
    WrongKey(String),
    /// There is no such backup.
    #[error("there is no backup \"{0}\" here; \"update-agent backup list\" shows those that are")]
    None(String),
    /// Nothing says for whom it is to be encrypted.
    #[error(
        "nothing says for whom the backup is encrypted: give a passphrase, or say recipients once with \"update-agent backup set\""
    )]
    NoLock,
    /// A passphrase that is too easy to guess.
    #[error("{0}")]
    Weak(String),
    /// It was made by something newer.
    #[error("{0}")]
    Newer(String),
    /// It is of another product.
    #[error("the backup is of product \"{theirs}\", and this is \"{ours}\"")]
    OtherProduct {
        /// Of the backup.
        theirs: String,
        /// Of this appliance.
        ours: String,
    },
    /// A file in it is not what it has to be.
    #[error("\"{path}\" in the backup cannot be used: {why}; leave its part out with --only")]
    Unusable {
        /// Which.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// More than a backup may have.
    #[error("{0}")]
    TooMuch(String),
    /// An update that waits for a backup that cannot be made.
    #[error(
        "nothing is installed without a backup before it, and none can be made: {0}; install all the same with --no-backup REASON"
    )]
    Required(String),
    /// A restore that could not be completed was taken back.
    #[error("nothing was restored: {0}; everything is as it was")]
    TakenBack(String),
    /// A restore that can be neither completed nor taken back now.
    #[error(
        "the restore stopped halfway: {0}; it is completed or taken back when the agent starts again: restart the appliance"
    )]
    Halfway(String),
    /// A restore that was cut off waits to be completed.
    #[error("a restore that was cut off is not completed yet: restart the appliance")]
    Unfinished,
}

impl Trouble {
    /// Its code.
    pub const fn code(&self) -> Code {
        match self {
            Self::WrongKey(_) => Code::WrongPassphrase,
            Self::None(_) => Code::NotFound,
            Self::NoLock | Self::Weak(_) => Code::Usage,
            Self::Newer(_) => Code::TooNew,
            Self::OtherProduct { .. } => Code::OtherProduct,
            Self::Unusable { .. } | Self::TooMuch(_) => Code::Unusable,
            Self::Required(_) => Code::BackupRequired,
            Self::TakenBack(_) => Code::NotRestored,
            Self::Halfway(_) | Self::Unfinished => Code::RestoreHalfway,
        }
    }
}

/// What came of reading or writing a backup, told of it.
pub fn told(error: FormatError, name: &str) -> Error {
    match error {
        FormatError::Io(cause) => Error::System { action: format!("read or write {name}"), cause },
        FormatError::Format(cause) => Error::Content { place: name.into(), cause },
    }
}

/// What came of opening or beginning an encrypted file.
pub fn told_of_age(error: age::Error, name: &str) -> Error {
    match error {
        age::Error::Io(cause) => Error::System { action: format!("read or write {name}"), cause },
        age::Error::Format(cause) => Error::Content { place: name.into(), cause },
        age::Error::WrongKey(why) => Trouble::WrongKey(why.into()).into(),
    }
}
