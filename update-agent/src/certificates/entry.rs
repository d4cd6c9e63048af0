//! A certificate as it is kept: with its chain and its key, one PEM file, which other programs can read too.

use formats::Digest;
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::key::Key;
use super::pem::{self, CERTIFICATE, PRIVATE_KEY};

/// A certificate with what belongs to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The certificate.
    pub certificate: Certificate,
    /// Those who signed it, each signed by the next.
    pub chain: Vec<Certificate>,
    /// Its key.
    pub key: Option<Key>,
}

impl Entry {
    /// Reads what [`Entry::encode`] wrote.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(text).map_err(|_| "it is no text".to_owned())?;
        let mut certificates = Vec::new();
        let mut key = None;
        for section in pem::sections(text, MAX_CHAIN.saturating_add(2))? {
            match section.label.as_str() {
                CERTIFICATE => certificates.push(Certificate::parse(&section.bytes)?),
                PRIVATE_KEY if key.is_none() => key = Some(Key::from_pkcs8(&section.bytes)?),
                other => return Err(format!("it has an unexpected section \"{other}\"")),
            }
        }
        let mut certificates = certificates.into_iter();
        let certificate = certificates.next().ok_or("it has no certificate")?;
        if key.as_ref().is_some_and(|key| key.public() != certificate.public()) {
            return Err("its key is not the certificate's".into());
        }
        Ok(Self { certificate, chain: certificates.collect(), key })
    }

    /// The file.
    pub fn encode(&self) -> Zeroizing<String> {
        let mut text = self.chain_pem();
        if let Some(key) = self.key_pem() {
            text.push_str(&key);
        }
        text
    }

    /// Certificate and chain, PEM.
    pub fn chain_pem(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        for one in std::iter::once(&self.certificate).chain(&self.chain) {
            text.push_str(&pem::section(CERTIFICATE, one.der()));
        }
        text
    }

    /// The key, PEM, not encrypted.
    pub fn key_pem(&self) -> Option<Zeroizing<String>> {
        self.key.as_ref().map(|key| pem::section(PRIVATE_KEY, key.pkcs8()))
    }

    /// Its name.
    pub fn fingerprint(&self) -> Digest {
        self.certificate.facts().fingerprint
    }
}

/// Most certificates above one.
pub const MAX_CHAIN: usize = 16;
