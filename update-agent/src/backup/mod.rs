//! Backups: what belongs into one, making and keeping them, looking into them, and putting one back.
//!
//! [`table`] says of every path on the data partition whether it is in a backup, of what, and why not; [`collect`] goes through the
//! partition by it; [`make`] writes the file; [`store`] keeps files on the appliance, and [`standing`] says how they stand to what is set now;
//! [`unpack`] reads one, checked to its end, beside what is
//! in use; [`restore`] puts it in place, finished or taken back after a power cut. What the bytes mean is said in [`formats::backup`].
//!
//! Nothing secret is kept for backups that are made by themselves, unless the operator wants so: they are encrypted for public keys.

pub mod collect;
pub mod make;
pub mod prepare;
pub mod restore;
pub mod setting;
pub mod standing;
pub mod store;
pub mod table;
mod trouble;
pub mod unpack;

pub use trouble::Trouble;

use formats::age::{self, Identity, Recipient};

use crate::secret::Secret;

/// For whom a backup is encrypted.
pub enum Lock {
    /// Whoever knows this.
    Passphrase(Secret),
    /// Whoever has a private half.
    Recipients(Vec<Recipient>),
}

/// With what a backup is opened.
pub enum Key {
    /// The passphrase.
    Passphrase(Secret),
    /// A private key.
    Identity(Identity),
}

impl Lock {
    /// As the format takes it.
    pub fn as_age(&self) -> age::Lock<'_> {
        match self {
            Self::Passphrase(passphrase) => age::Lock::Passphrase(passphrase.reveal()),
            Self::Recipients(recipients) => age::Lock::Recipients(recipients),
        }
    }
}

impl Key {
    /// As the format takes it.
    pub fn as_age(&self) -> age::Key<'_> {
        match self {
            Self::Passphrase(passphrase) => age::Key::Passphrase(passphrase.reveal()),
            Self::Identity(identity) => age::Key::Identity(identity),
        }
    }
}

#[cfg(test)]
mod tests;
