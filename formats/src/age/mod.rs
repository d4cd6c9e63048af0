//! Encryption as the program `age` does it (age-encryption.org/v1), so that whoever has a passphrase or a key opens a file without our
//! software: for one passphrase (scrypt), or for X25519 keys, whose public halves (`age1…`) are no secret.
//!
//! Known attacks and our defence, each with a test in `tests.rs`: a header without end (its length, lines and recipients have limits); a
//! scrypt so dear that the machine stands still ([`MAX_WORK`], met before any work); a header whose recipients were exchanged (its MAC, by
//! the file's key); text that reads in two ways (canonical base64 only, lines of exactly the length that is written); a cut, shortened,
//! extended or rearranged content (each chunk is authenticated with its number and whether it is the last); a point that makes every
//! secret the same (refused by the curve's own code). What is read is authentic, chunk by chunk; that it is *all* of it is known at its end
//! only, so nobody may act on what is read before that.
//!
//! Pure: chance comes from the caller. Left out on purpose: SSH keys, plugins, armour, post-quantum keys (`docs/decisions/0009-own-age.md`).

mod header;
mod key;
mod stream;

use std::io::{self, BufReader, Read, Write};

use crate::Error as FormatError;
use crate::error::Damage;

pub use header::Locked;
pub use key::{Identity, Recipient};
pub use stream::{Opened, Sealed};

use header::{Header, Stanza};

/// Scrypt's work factor in what is written, as a power of two: 64 MiB of memory and about a fifth of a second.
pub const WORK: u8 = 16;
/// The largest that is accepted, which is the one `age` itself uses: 256 MiB and about a second.
pub const MAX_WORK: u8 = 18;
/// Most recipients of one file.
pub const MAX_RECIPIENTS: usize = 16;
/// Fewest characters of a passphrase with which something is encrypted.
pub const MIN_PASSPHRASE: usize = 12;
/// Longest passphrase in bytes.
pub const MAX_PASSPHRASE: usize = 1024;

/// For whom something is encrypted.
#[derive(Clone, Copy)]
pub enum Lock<'a> {
    /// Whoever knows this.
    Passphrase(&'a str),
    /// Whoever has the private half of one of these.
    Recipients(&'a [Recipient]),
}

/// With what something is decrypted.
#[derive(Clone, Copy)]
pub enum Key<'a> {
    /// The passphrase it was encrypted with.
    Passphrase(&'a str),
    /// The private half of a recipient.
    Identity(&'a Identity),
}

/// Why something cannot be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read or written at all; trying again may help.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is damaged, not such a file, or made for a newer reader.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The passphrase is not the one, or nothing was encrypted for this key.
    #[error("{0}")]
    WrongKey(&'static str),
}

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Fills a buffer with bytes nobody can guess.
pub type Chance<'a> = &'a mut dyn FnMut(&mut [u8]) -> io::Result<()>;

/// Begins to encrypt into `to`. What is written to the result is complete only with [`Sealed::finish`].
pub fn seal<W: Write>(mut to: W, lock: Lock<'_>, chance: Chance<'_>) -> Result<Sealed<W>> {
    let file_key = drawn::<16>(chance)?;
    let stanzas = match lock {
        Lock::Passphrase(passphrase) => vec![key::wrap_for_passphrase(&file_key, passphrase, WORK, &*drawn(chance)?)?],
        Lock::Recipients(recipients) if (1..=MAX_RECIPIENTS).contains(&recipients.len()) => {
            let each = recipients.iter().map(|one| key::wrap_for_recipient(&file_key, one, &*drawn(chance)?));
            each.collect::<Result<Vec<Stanza>>>()?
        }
        Lock::Recipients(recipients) => {
            let problem = format!("{} recipients; 1 to {MAX_RECIPIENTS} can be written for", recipients.len());
            return Err(FormatError::invalid(WHAT, problem).into());
        }
    };
    to.write_all(&Header { stanzas }.encode(&file_key)?)?;
    let nonce = drawn::<16>(chance)?;
    to.write_all(nonce.as_slice())?;
    Ok(Sealed::new(to, key::derived(file_key.as_slice(), nonce.as_slice(), b"payload")?))
}

/// Begins to decrypt. A wrong key is found out here, before anything of the content is read.
pub fn open<R: Read>(from: R, key: Key<'_>) -> Result<Opened<BufReader<R>>> {
    let mut from = BufReader::new(from);
    let (header, mac) = Header::read(&mut from)?;
    let file_key = match (key, header.locked()) {
        (Key::Passphrase(passphrase), Locked::Passphrase) => key::unwrap_with_passphrase(&header, passphrase)?,
        (Key::Identity(identity), Locked::Keys) => key::unwrap_with_identity(&header, identity)?,
        (Key::Passphrase(_), Locked::Keys) => {
            return Err(Error::WrongKey("it is encrypted for keys, not with a passphrase"));
        }
        (Key::Identity(_), Locked::Passphrase) => {
            return Err(Error::WrongKey("it is encrypted with a passphrase, not for keys"));
        }
    };
    header.check(&file_key, &mac)?;
    let mut nonce = [0; 16];
    from.read_exact(&mut nonce).map_err(cut)?;
    Ok(Opened::new(from, key::derived(file_key.as_slice(), nonce.as_slice(), b"payload")?))
}

/// With what a file can be opened, from its beginning; nothing about it is authentic.
pub fn locked<R: Read>(from: R) -> Result<Locked> {
    Ok(Header::read(&mut BufReader::new(from))?.0.locked())
}

/// What is said about a new passphrase that is too easy to guess or too long; nothing about one that may do.
///
/// A length is all that is asked for: whoever takes the file away can try as often as they like, and length is what costs them.
pub fn passphrase_problem(passphrase: &str) -> Option<String> {
    let (letters, bytes) = (passphrase.chars().count(), passphrase.len());
    if bytes > MAX_PASSPHRASE {
        return Some(format!("the passphrase has {bytes} bytes; at most {MAX_PASSPHRASE} are allowed"));
    }
    if letters < MIN_PASSPHRASE {
        return Some(format!(
            "the passphrase has {letters} characters; at least {MIN_PASSPHRASE} are needed, for example four words"
        ));
    }
    let first = passphrase.chars().next();
    passphrase.chars().all(|one| Some(one) == first).then(|| "the passphrase is one character over and over".into())
}

fn drawn<const N: usize>(chance: Chance<'_>) -> Result<zeroize::Zeroizing<[u8; N]>> {
    let mut bytes = zeroize::Zeroizing::new([0; N]);
    chance(bytes.as_mut_slice())?;
    Ok(bytes)
}

/// An end where none may be.
fn cut(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => FormatError::damaged(WHAT, Damage::Truncated, "it ends too early").into(),
        _ => error.into(),
    }
}

/// The mistake of a library that refuses what its documentation allows.
fn refused() -> Error {
    io::Error::other("a cryptographic operation was refused").into()
}

const WHAT: &str = "age file";

#[cfg(test)]
mod tests;
