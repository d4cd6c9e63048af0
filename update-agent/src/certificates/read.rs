//! Certificates and keys in files people bring: PEM, DER and PKCS#12, told apart by their content.
//!
//! Known attacks and our defence: a file without end (1 MiB), one with more sections than anybody needs (64), a passphrase that costs
//! hours to try or memory the machine does not have (so many rounds, so much memory, no more), a parser taken over or ended (it runs in a
//! process of its own without rights, see [`super::reader`]; what comes back is parsed again).

use p12_keystore::Pkcs12Archive;
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::{self, pbes2::Kdf};
use serde::{Deserialize, Serialize};

use super::certificate::Certificate;
use super::key::{self, Key};
use super::pem::{self, CERTIFICATE, PRIVATE_KEY, Section};
use crate::secret::Secret;

/// What a file holds, in its order.
#[derive(Clone, Default)]
pub struct Found {
    /// Certificates, each once.
    pub certificates: Vec<Certificate>,
    /// Keys, each once.
    pub keys: Vec<Key>,
}

/// Why a file cannot be read; a sentence each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unread {
    /// It is nothing that is known, or damaged.
    Unreadable(String),
    /// It is locked.
    Locked(String),
    /// It has a key no server could use.
    UnusableKey(String),
}

/// Reads a file of at most [`MAX_INPUT`] bytes.
pub fn read(bytes: &[u8], passphrase: Option<&Secret>) -> Result<Found, Unread> {
    if bytes.len() > MAX_INPUT {
        return unreadable(&format!("it has {} bytes, and at most {MAX_INPUT} are taken", bytes.len()));
    }
    let mut found = Found::default();
    let text = str::from_utf8(bytes).ok().filter(|text| text.contains("-----BEGIN "));
    match text {
        Some(text) => {
            for section in pem::sections(text, MAX_SECTIONS).map_err(Unread::Unreadable)? {
                found.section(&section, passphrase)?;
            }
        }
        None => found.der(bytes, passphrase)?,
    }
    if found.certificates.is_empty() && found.keys.is_empty() {
        return unreadable("it has neither a certificate nor a private key");
    }
    Ok(found)
}

impl Found {
    fn section(&mut self, section: &Section, passphrase: Option<&Secret>) -> Result<(), Unread> {
        if section.encrypted {
            return unreadable(&format!(
                "its private key is encrypted in the old way of OpenSSL; make it PKCS#8 first: {CONVERT}"
            ));
        }
        let bytes = section.bytes.as_slice();
        match section.label.as_str() {
            CERTIFICATE | "X509 CERTIFICATE" => self.certificate(bytes),
            PRIVATE_KEY => self.key(Key::from_pkcs8(bytes)),
            "RSA PRIVATE KEY" => self.key(Key::from_pkcs1(bytes)),
            "EC PRIVATE KEY" => self.key(Key::from_sec1(bytes)),
            "ENCRYPTED PRIVATE KEY" => self.encrypted(bytes, passphrase),
            "PKCS7" => unreadable(
                "it is a PKCS#7 bundle (.p7b); take its certificates out first: openssl pkcs7 -print_certs -in FILE -out NEW",
            ),
            "TRUSTED CERTIFICATE" => {
                unreadable("it is in OpenSSL's own form; write it anew first: openssl x509 -in FILE -out NEW")
            }
            // Parameters of curves, revocation lists, requests: nothing to keep.
            _ => Ok(()),
        }
    }

    /// What the first elements say it is; each parser then looks at all of it.
    fn der(&mut self, bytes: &[u8], passphrase: Option<&Secret>) -> Result<(), Unread> {
        match outline(bytes) {
            Some(([SEQUENCE, ..], _)) if Certificate::parse(bytes).is_err() => self.encrypted(bytes, passphrase),
            Some(([SEQUENCE, ..], _)) => self.certificate(bytes),
            Some(([INTEGER, SEQUENCE], 3)) => self.pkcs12(bytes, passphrase),
            Some(([INTEGER, SEQUENCE], 0 | 1)) => self.key(Key::from_pkcs8(bytes)),
            Some(([INTEGER, INTEGER], 0)) => self.key(Key::from_pkcs1(bytes)),
            Some(([INTEGER, OCTETS], 1)) => self.key(Key::from_sec1(bytes)),
            _ => unreadable("it is neither PEM nor DER nor PKCS#12"),
        }
    }

    fn certificate(&mut self, der: &[u8]) -> Result<(), Unread> {
        let certificate = Certificate::parse(der).map_err(Unread::Unreadable)?;
        if !self.certificates.contains(&certificate) {
            self.certificates.push(certificate);
        }
        Ok(())
    }

    fn key(&mut self, key: Result<Key, String>) -> Result<(), Unread> {
        let key = key.map_err(Unread::UnusableKey)?;
        if !self.keys.iter().any(|one| one.public() == key.public()) {
            self.keys.push(key);
        }
        Ok(())
    }

    fn encrypted(&mut self, der: &[u8], passphrase: Option<&Secret>) -> Result<(), Unread> {
        let info = EncryptedPrivateKeyInfoRef::try_from(der).ok();
        let parameters = info.as_ref().and_then(|info| info.encryption_algorithm.pbes2());
        let (Some(info), Some(parameters)) = (&info, parameters) else {
            return match outline(der) {
                Some(([SEQUENCE, OCTETS], _)) => unreadable(&format!(
                    "its private key is encrypted in an old way (PBES1), or one that is not known; make it new first: {CONVERT}"
                )),
                _ => unreadable("it is neither a certificate nor a private key, or it is damaged"),
            };
        };
        let bearable = match &parameters.kdf {
            Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count <= MAX_ROUNDS,
            Kdf::Scrypt(scrypt) => {
                let memory =
                    scrypt.cost_parameter.checked_mul(u64::from(scrypt.block_size)).and_then(|it| it.checked_mul(128));
                memory.is_some_and(|memory| memory <= MAX_SCRYPT) && scrypt.parallelization <= 4
            }
            _ => false,
        };
        if !bearable {
            return unreadable(
                "trying a passphrase on its private key would cost more time or memory than an appliance has",
            );
        }
        let Some(passphrase) = passphrase else {
            return Err(Unread::Locked("the private key in the file is encrypted; give its passphrase".into()));
        };
        let key = match info.decrypt(passphrase.reveal()) {
            // Of the wrong passphrases some give a padding that looks right, and no key.
            Ok(key) => Key::from_pkcs8(key.as_bytes()),
            Err(pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::UnsupportedAlgorithm { oid })) => {
                return unreadable(&format!(
                    "its private key is encrypted with something that is not known here ({oid}): {CONVERT}"
                ));
            }
            Err(_) => Err(key::UNUSABLE.into()),
        };
        match key {
            Ok(key) => self.key(Ok(key)),
            Err(_) => Err(Unread::Locked(WRONG.into())),
        }
    }

    fn pkcs12(&mut self, der: &[u8], passphrase: Option<&Secret>) -> Result<(), Unread> {
        let archive = Pkcs12Archive::from_pkcs12(der, passphrase.map(Secret::reveal).unwrap_or_default());
        let archive = archive.map_err(|problem| {
            use p12_keystore::error::Error;
            match problem {
                Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) => Unread::Locked(match passphrase {
                    None => "the file is locked with a passphrase; give it".into(),
                    Some(_) => WRONG.into(),
                }),
                Error::InvalidParameters => Unread::Unreadable(
                    "trying a passphrase on it would cost more time or memory than an appliance has".into(),
                ),
                problem => Unread::Unreadable(format!("it looks like PKCS#12 and is none that is known: {problem}")),
            }
        })?;
        if archive.keys.len().saturating_add(archive.certs.len()) > MAX_SECTIONS {
            return unreadable(&format!("it has more than {MAX_SECTIONS} certificates and keys"));
        }
        for certificate in &archive.certs {
            self.certificate(certificate.cert.as_der())?;
        }
        for key in &archive.keys {
            self.key(Key::from_pkcs8(key.key.as_der()))?;
        }
        Ok(())
    }
}

/// The tags of the first two elements in the outer sequence, and the number that the first one is.
fn outline(der: &[u8]) -> Option<([u8; 2], u8)> {
    let (SEQUENCE, content) = element(der)?.split() else { return None };
    let first = element(content)?;
    let second = content.get(first.whole..)?.first().copied();
    let number = match first.content {
        [number] if first.tag == INTEGER => *number,
        _ => u8::MAX,
    };
    Some(([first.tag, second?], number))
}

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    /// Bytes with tag and length.
    whole: usize,
}

impl<'a> Element<'a> {
    fn split(self) -> (u8, &'a [u8]) {
        (self.tag, self.content)
    }
}

fn element(bytes: &[u8]) -> Option<Element<'_>> {
    let (tag, length) = (*bytes.first()?, *bytes.get(1)?);
    let (head, length) = if length < 0x80 {
        (2_usize, usize::from(length))
    } else {
        let digits = bytes.get(2..2_usize.checked_add(usize::from(length & 0x7f))?)?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        let length = digits.iter().fold(0_usize, |length, digit| (length << 8) | usize::from(*digit));
        (2_usize.checked_add(digits.len())?, length)
    };
    let whole = head.checked_add(length)?;
    Some(Element { tag, content: bytes.get(head..whole)?, whole })
}

fn unreadable<T>(why: &str) -> Result<T, Unread> {
    Err(Unread::Unreadable(why.into()))
}

/// Longest file in bytes.
pub const MAX_INPUT: usize = 1 << 20;
const MAX_SECTIONS: usize = 64;
/// Rounds of PBKDF2; OpenSSL writes 2,048, we 600,000.
const MAX_ROUNDS: u32 = 1_000_000;
/// Bytes of memory for scrypt; OpenSSL wants 16 MiB.
const MAX_SCRYPT: u64 = 64 << 20;
const WRONG: &str = "the passphrase does not open the file";
const CONVERT: &str = "openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out NEW";
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
