//! Keys, as text and at work: wrapping the key of a file and finding it again.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::header::{Header, SCRYPT, Stanza, bad, decoded};
use super::{Error, MAX_PASSPHRASE, MAX_WORK, Result, WHAT, refused};
use crate::Error as FormatError;

/// The public half of a key: `age1…`, as `age-keygen` prints it. No secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Recipient([u8; 32]);

/// The private half: `AGE-SECRET-KEY-1…`.
pub struct Identity(Zeroizing<[u8; 32]>);

impl Identity {
    /// The one in the text of a key file: one such line; empty lines and those that begin with `#` do not count.
    pub fn parse(text: &str) -> crate::Result<Self> {
        let invalid =
            || FormatError::invalid(KEY, "a key file has one line \"AGE-SECRET-KEY-1…\", as \"age-keygen\" writes it");
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (Some(line), None) = (lines.next(), lines.next()) else { return Err(invalid()) };
        // All in one case: the text has a checksum over letters of one case only.
        let key = line.starts_with(SECRET_START).then(|| bytes_of(line, SECRET)).flatten().ok_or_else(invalid)?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// Its public half.
    pub fn recipient(&self) -> Result<Recipient> {
        public(&self.private()?).map(Recipient)
    }

    fn private(&self) -> Result<PrivateKey> {
        PrivateKey::from_private_key(&X25519, self.0.as_slice()).map_err(|_| refused())
    }
}

impl FromStr for Recipient {
    type Err = FormatError;
    fn from_str(text: &str) -> crate::Result<Self> {
        let invalid = || {
            FormatError::invalid(
                KEY,
                format!(
                    "\"{}\" is no recipient; one begins with \"age1\", as \"age-keygen\" prints it",
                    crate::json::shown(text)
                ),
            )
        };
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        lower.then(|| bytes_of(text, PUBLIC)).flatten().map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Hrp::parse(PUBLIC).ok().and_then(|hrp| bech32::encode::<Bech32>(hrp, &self.0).ok());
        f.write_str(&text.unwrap_or_default()) // OK: 32 bytes always fit
    }
}

impl TryFrom<String> for Recipient {
    type Error = FormatError;
    fn try_from(text: String) -> crate::Result<Self> {
        text.parse()
    }
}

impl From<Recipient> for String {
    fn from(recipient: Recipient) -> Self {
        recipient.to_string()
    }
}

/// A key derived from the file's.
pub(super) fn derived(secret: &[u8], salt: &[u8], purpose: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    let pseudorandom = Salt::new(HKDF_SHA256, salt).extract(secret);
    let purpose = [purpose];
    let expanded = pseudorandom.expand(&purpose, HKDF_SHA256).map_err(|_| refused())?;
    expanded.fill(key.as_mut_slice()).map_err(|_| refused())?;
    Ok(key)
}

pub(super) fn wrap_for_passphrase(file_key: &[u8; 16], passphrase: &str, work: u8, salt: &[u8; 16]) -> Result<Stanza> {
    if passphrase.is_empty() || passphrase.len() > MAX_PASSPHRASE {
        return Err(FormatError::invalid(WHAT, format!("a passphrase has 1 to {MAX_PASSPHRASE} bytes")).into());
    }
    let words = vec![SCRYPT.to_owned(), STANDARD_NO_PAD.encode(salt.as_slice()), work.to_string()];
    let key = stretched(passphrase, salt.as_slice(), work)?;
    Ok(Stanza { words, body: wrap(file_key, &key)? })
}

pub(super) fn unwrap_with_passphrase(header: &Header, passphrase: &str) -> Result<Zeroizing<[u8; 16]>> {
    let stanza = header.stanzas.first().ok_or_else(|| bad("it is for nobody"))?;
    let [_, salt, work] = stanza.words.as_slice() else {
        return Err(bad("its passphrase is described with other words").into());
    };
    let salt = decoded(salt)?;
    let factor: u8 = work
        .parse()
        .ok()
        .filter(|factor: &u8| factor.to_string() == *work)
        .ok_or_else(|| bad("its work factor is no number"))?;
    if salt.len() != 16 || stanza.body.len() != WRAPPED || factor == 0 {
        return Err(bad("its passphrase is described with other lengths").into());
    }
    // Before any of the work is done.
    if factor > MAX_WORK {
        let problem = format!("its passphrase was stretched 2^{factor} times; at most 2^{MAX_WORK} are done");
        return Err(FormatError::unsupported(WHAT, problem).into());
    }
    if passphrase.len() > MAX_PASSPHRASE {
        return Err(Error::WrongKey(WRONG_PASSPHRASE));
    }
    let key = stretched(passphrase, &salt, factor)?;
    unwrap(&stanza.body, &key).ok_or(Error::WrongKey(WRONG_PASSPHRASE))
}

pub(super) fn wrap_for_recipient(file_key: &[u8; 16], to: &Recipient, chance: &[u8; 32]) -> Result<Stanza> {
    let own = PrivateKey::from_private_key(&X25519, chance.as_slice()).map_err(|_| refused())?;
    let share = public(&own)?;
    let key = shared(&own, &to.0, &share, &to.0)
        .ok_or_else(|| FormatError::invalid(WHAT, format!("{to} is a key that protects nothing")))?;
    let words = vec![X25519_WORD.to_owned(), STANDARD_NO_PAD.encode(share)];
    Ok(Stanza { words, body: wrap(file_key, &key)? })
}

pub(super) fn unwrap_with_identity(header: &Header, identity: &Identity) -> Result<Zeroizing<[u8; 16]>> {
    let (own, ours) = (identity.private()?, identity.recipient()?);
    for stanza in header.stanzas.iter().filter(|one| one.is(X25519_WORD)) {
        let [_, share] = stanza.words.as_slice() else { return Err(bad("a recipient has other words").into()) };
        let share = <[u8; 32]>::try_from(decoded(share)?).map_err(|_| bad("a recipient has another length"))?;
        if stanza.body.len() != WRAPPED {
            return Err(bad("a recipient has another length").into());
        }
        let key =
            shared(&own, &share, &share, &ours.0).ok_or_else(|| bad("a recipient has a key that protects nothing"))?;
        if let Some(found) = unwrap(&stanza.body, &key) {
            return Ok(found);
        }
    }
    Err(Error::WrongKey("it is not encrypted for this key"))
}

/// The key that both sides of an exchange find; nothing for a point that would give everybody the same.
fn shared(own: &PrivateKey, other: &[u8; 32], share: &[u8; 32], recipient: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    let salt = [share.as_slice(), recipient.as_slice()].concat();
    let other = UnparsedPublicKey::new(&X25519, other.as_slice());
    agree(own, other, (), |secret| derived(secret, &salt, b"age-encryption.org/v1/X25519").map_err(drop)).ok()
}

fn public(key: &PrivateKey) -> Result<[u8; 32]> {
    let public = key.compute_public_key().map_err(|_| refused())?;
    public.as_ref().try_into().map_err(|_| refused())
}

fn stretched(passphrase: &str, salt: &[u8], work: u8) -> Result<Zeroizing<[u8; 32]>> {
    let parameters = scrypt::Params::new(work, 8, 1).map_err(|_| refused())?;
    let salt = [b"age-encryption.org/v1/scrypt".as_slice(), salt].concat();
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.as_bytes(), &salt, &parameters, key.as_mut_slice()).map_err(|_| refused())?;
    Ok(key)
}

/// Each wrapping key is used once, so the nonce may be the same.
fn wrap(file_key: &[u8; 16], key: &[u8; 32]) -> Result<Vec<u8>> {
    let mut bytes = file_key.to_vec();
    let sealed = cipher(key)?.seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), &mut bytes);
    sealed.map_err(|_| refused())?;
    Ok(bytes)
}

fn unwrap(body: &[u8], key: &[u8; 32]) -> Option<Zeroizing<[u8; 16]>> {
    let mut bytes = body.to_vec();
    let opened =
        cipher(key).ok()?.open_in_place(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), &mut bytes).ok()?;
    let found = <[u8; 16]>::try_from(&*opened).ok().map(Zeroizing::new);
    bytes.zeroize();
    found
}

pub(super) fn cipher(key: &[u8; 32]) -> Result<LessSafeKey> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| refused())?))
}

/// The 32 bytes in a text of this kind.
fn bytes_of(text: &str, kind: &str) -> Option<[u8; 32]> {
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    if !checked.hrp().as_str().eq_ignore_ascii_case(kind) {
        return None;
    }
    let mut bytes: Vec<u8> = checked.byte_iter().collect();
    let found = bytes.as_slice().try_into().ok();
    bytes.zeroize();
    found
}

const PUBLIC: &str = "age";
const SECRET: &str = "age-secret-key-";
const SECRET_START: &str = "AGE-SECRET-KEY-1";
const X25519_WORD: &str = "X25519";
const KEY: &str = "age key";
/// A file's key and its tag.
const WRAPPED: usize = 32;
const WRONG_PASSPHRASE: &str = "the passphrase is another one";
