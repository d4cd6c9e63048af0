//! The download key: one line of text by which an appliance without a network says what it is and what it has, so that a depot elsewhere
//! can plan for it ([`crate::plan`]) and make it a [bundle](crate::bundle).
//!
//! `BKDK1-` and then Crockford's base32 of: the public key of the appliance, 32 bytes; fields, each a number, a length and a value; an
//! ed25519 signature, 64 bytes, over `"bulkhead-download-key-v1\0" || SHA-256(public key and fields)`. All of it is of the dense mode of
//! QR codes, which hold 4,296 characters; with a usual inventory it has 500 to 850. One with as many licences as an appliance keeps is
//! longer, and carried as text.
//!
//! It guarantees that what is read was said by whoever has the private half of the key inside, unchanged. It is left to the depot whether it
//! knows that key, whether the time is over, and for which product it answers. Nothing an appliance believes follows from a key:
//! one that was made up gets its maker files that are public anyway.
//!
//! Known attacks and our defence: a changed or cut text does not verify (`verify_strict`, the digest is separated from everything else
//! this key may sign); a weak key, for which anybody can sign, is refused; two texts for one key are refused ([`base32`], [`record`]);
//! length, lists, names and times have limits before anything is kept of them; text from a key is printable ASCII.

mod base32;
mod fields;
mod record;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::error::Damage;
use crate::plan::Inventory;
use crate::{Digest, Distrust, Error, Result};
use record::Fault;

/// What every key begins with; the digit is the version of its format.
pub const PREFIX: &str = "BKDK1-";
/// Longest key in characters: room for [`MAX_LICENCES`] with the longest names.
pub const MAX_CHARS: usize = 18 << 10;
/// Most licences a key tells of; an appliance keeps no more.
pub const MAX_LICENCES: usize = 64;
/// Most floors: those of its licences, and of lines that are not installed any more.
pub const MAX_FLOORS: usize = 96;
/// How long a key is good when nobody says otherwise, in seconds: 30 days.
pub const LIFETIME: i64 = 30 * 86_400;
/// The longest a key may be good, in seconds: 90 days.
pub const MAX_LIFETIME: i64 = 90 * 86_400;
/// Chance by which two keys made one after the other differ.
pub type Nonce = [u8; 16];

/// What a download key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadKey {
    /// The appliance and what is installed on it.
    pub inventory: Inventory,
    /// The version of the newest TUF root it knows; a bundle has to bring those after it.
    pub root: u64,
    /// Drawn anew for each key.
    pub nonce: Nonce,
    /// When it was made by the clock of the appliance, seconds since 1970.
    pub made: i64,
    /// The last second it is good for, since 1970.
    pub expires: i64,
}

/// A key whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedKey {
    key: DownloadKey,
    public: VerifyingKey,
    id: Digest,
}

impl DownloadKey {
    /// The text of this key, signed by its appliance. `Invalid` when a field breaks its rule, or all of it is longer than [`MAX_CHARS`].
    pub fn sign(&self, key: &SigningKey) -> Result<String> {
        let mut bytes = key.verifying_key().to_bytes().to_vec();
        bytes.extend(fields::encode(self).map_err(|problem| Error::invalid(WHAT, problem))?);
        let signature = key.sign(&message(&bytes));
        bytes.extend(signature.to_bytes());
        let text = format!("{PREFIX}{}", base32::encode(&bytes));
        if text.len() > MAX_CHARS {
            return Err(Error::invalid(WHAT, format!("{} characters; at most {MAX_CHARS} fit", text.len())));
        }
        Ok(text)
    }
}

impl SignedKey {
    /// Reads a key from whatever people made of it on the way: white space, line breaks and lower case do not matter.
    ///
    /// # Errors
    /// `Corrupt`: it is not a download key, or not a whole one. `Unsupported`: a newer appliance made it. `Untrusted`: it is not the text
    /// its appliance signed.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = body(text)?;
        let cut = || {
            Error::damaged(
                WHAT,
                Damage::Truncated,
                "it is too short; copy it again, from the first character to the last",
            )
        };
        let (said, signature) = bytes.split_last_chunk::<64>().ok_or_else(cut)?;
        let (public, fields) = said.split_first_chunk::<32>().ok_or_else(cut)?;
        let bad = || {
            let problem = "it is not what its appliance signed: a character is missing or wrong, or somebody changed it; copy it again";
            Error::untrusted(WHAT, Distrust::BadSignature, problem)
        };
        let public = VerifyingKey::from_bytes(public).ok().filter(|public| !public.is_weak()).ok_or_else(bad)?;
        public.verify_strict(&message(said), &Signature::from_bytes(signature)).map_err(|_| bad())?;
        let key = fields::decode(fields).map_err(|fault| match fault {
            Fault::Damaged(problem) => Error::corrupt(WHAT, problem),
            Fault::Newer(number) => {
                let problem = format!(
                    "it has a field {number}, which it says must be understood; use a newer release of this program"
                );
                Error::unsupported(WHAT, problem)
            }
        })?;
        Ok(Self { key, public, id: Digest::of(said) })
    }

    /// What it says.
    pub const fn key(&self) -> &DownloadKey {
        &self.key
    }

    /// Who says it.
    pub const fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// Tells one key from another: SHA-256 of what was signed.
    pub const fn id(&self) -> Digest {
        self.id
    }
}

/// The bytes behind the prefix.
fn body(text: &str) -> Result<Vec<u8>> {
    if text.len() > MAX_TEXT {
        return Err(Error::damaged(
            WHAT,
            Damage::TooLong,
            format!("{} bytes; at most {MAX_TEXT} are allowed", text.len()),
        ));
    }
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if plain.len() > MAX_CHARS {
        let problem = format!("{} characters; at most {MAX_CHARS} are allowed", plain.len());
        return Err(Error::damaged(WHAT, Damage::TooLong, problem));
    }
    let (prefix, rest) = plain.split_once('-').unwrap_or_default();
    let version = prefix.get(..4).filter(|name| name.eq_ignore_ascii_case("BKDK")).and_then(|_| prefix.get(4..));
    match version {
        Some("1") => {}
        Some(other) if !other.is_empty() && other.bytes().all(|byte| byte.is_ascii_digit()) => {
            let problem = format!("it has format {other}; 1 is understood; use a newer release of this program");
            return Err(Error::unsupported(WHAT, problem));
        }
        _ => {
            let problem =
                format!("it does not begin with {PREFIX}; copy all of what \"update-agent download-key\" prints");
            return Err(Error::corrupt(WHAT, problem));
        }
    }
    base32::decode(rest).map_err(|problem| Error::corrupt(WHAT, format!("{problem}; copy it again")))
}

/// What the appliance signs.
fn message(said: &[u8]) -> Vec<u8> {
    [DOMAIN, Digest::of(said).0.as_slice()].concat()
}

const WHAT: &str = "download key";
const DOMAIN: &[u8] = b"bulkhead-download-key-v1\0";
/// Most hardware models.
const MAX_MODELS: usize = 64;
/// Longest text that is looked at, white space included.
const MAX_TEXT: usize = 24 << 10;

#[cfg(test)]
mod tests;
