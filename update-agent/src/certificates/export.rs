//! Giving a certificate out: any part of it, as PEM or PKCS#12. What is here stays as it is; only when it was last exported is written down.

use std::collections::BTreeMap;
use std::io;

use formats::Digest;
use p12_keystore::{Certificate as P12Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use rustls::crypto::aws_lc_rs::default_provider;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::entry::Entry;
use super::key::Key;
use super::pem::{self, CERTIFICATE};
use super::store::Store;
use super::trouble::Trouble;
use crate::error::{Doing, Error, Result};
use crate::secret::Secret;

/// What is given out, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wanted {
    /// Which: the first digits of its fingerprint, or `self-signed`.
    pub of: String,
    /// The certificate.
    #[serde(default)]
    pub certificate: bool,
    /// Its private key.
    #[serde(default)]
    pub key: bool,
    /// Those above it.
    #[serde(default)]
    pub chain: bool,
    /// As what.
    #[serde(default)]
    pub format: Format,
    /// With what the key is encrypted; in PKCS#12 everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<Secret>,
    /// What was typed so that the key may leave unencrypted; see [`confirmation`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_unencrypted: Option<String>,
}

/// The forms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text.
    #[default]
    Pem,
    /// One file for everything, `.pfx` or `.p12`.
    Pkcs12,
}

/// When a certificate was last exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exported {
    /// Seconds since 1970 by the machine's clock.
    pub time: u64,
    /// What was given out: `certificate`, `key`, `chain`.
    pub parts: Vec<String>,
    /// SHA-256 of what is kept, when all that cannot be had elsewhere was given out last: certificate and key.
    pub saved: Option<Digest>,
}

/// What has to be typed so that a key may leave unencrypted: the first name the certificate is for.
pub fn confirmation(entry: &Entry) -> String {
    let facts = entry.certificate.facts();
    let address = facts.addresses.first().map(ToString::to_string);
    let name = facts.names.first().cloned().or(address);
    name.unwrap_or_else(|| facts.fingerprint.to_string().chars().take(8).collect())
}

/// The file. A key that is encrypted is so by PBES2 with AES-256.
///
/// # Errors
/// [`Trouble::KeyInClear`], [`Trouble::NoKey`], usage when nothing is wanted.
pub fn export(entry: &Entry, wanted: &Wanted) -> Result<Zeroizing<Vec<u8>>> {
    if !(wanted.certificate || wanted.key || wanted.chain) {
        return Err(Error::Usage("say what to export: the certificate, its key, its chain, or several of them".into()));
    }
    let key = if wanted.key { Some(entry.key.as_ref().ok_or(Trouble::NoKey(entry.fingerprint()))?) } else { None };
    let passphrase = wanted.passphrase.as_ref().filter(|passphrase| !passphrase.reveal().is_empty());
    let confirm = confirmation(entry);
    if key.is_some() && passphrase.is_none() && wanted.confirm_unencrypted.as_deref() != Some(confirm.as_str()) {
        return Err(Trouble::KeyInClear { wanted: confirm }.into());
    }
    let certificate = wanted.certificate.then_some(&entry.certificate);
    let chain = if wanted.chain { entry.chain.as_slice() } else { &[] };
    match wanted.format {
        Format::Pem => as_pem(certificate, chain, key, passphrase),
        Format::Pkcs12 => as_pkcs12(certificate, chain, key, passphrase),
    }
}

fn as_pem(
    certificate: Option<&Certificate>,
    chain: &[Certificate],
    key: Option<&Key>,
    passphrase: Option<&Secret>,
) -> Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::new());
    for one in certificate.into_iter().chain(chain) {
        text.extend_from_slice(pem::section(CERTIFICATE, one.der()).as_bytes());
    }
    if let Some(key) = key {
        let section = match passphrase {
            Some(passphrase) => pem::section("ENCRYPTED PRIVATE KEY", encrypted(key, passphrase)?.as_bytes()),
            None => pem::section(pem::PRIVATE_KEY, key.pkcs8()),
        };
        text.extend_from_slice(section.as_bytes());
    }
    Ok(text)
}

fn encrypted(key: &Key, passphrase: &Secret) -> Result<SecretDocument> {
    let doing = || "encrypt the private key".to_owned();
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    for bytes in [&mut salt, &mut iv] {
        default_provider().secure_random.fill(bytes).map_err(|_| io::Error::other("no random numbers")).doing(doing)?;
    }
    let failed = |problem: pkcs8::Error| io::Error::other(problem);
    let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, &salt, iv);
    let parameters = parameters.map_err(|problem| failed(problem.into())).doing(doing)?;
    let bytes =
        parameters.encrypt(passphrase.reveal(), key.pkcs8()).map_err(|problem| failed(problem.into())).doing(doing)?;
    let encrypted_data = OctetStringRef::new(&bytes).map_err(|problem| failed(problem.into())).doing(doing)?;
    let info = EncryptedPrivateKeyInfo { encryption_algorithm: parameters.into(), encrypted_data };
    SecretDocument::try_from(info).map_err(failed).doing(doing)
}

fn as_pkcs12(
    certificate: Option<&Certificate>,
    chain: &[Certificate],
    key: Option<&Key>,
    passphrase: Option<&Secret>,
) -> Result<Zeroizing<Vec<u8>>> {
    let doing = || "write PKCS#12".to_owned();
    let failed = |problem: p12_keystore::error::Error| io::Error::other(problem);
    let mut all = Vec::new();
    for one in certificate.into_iter().chain(chain) {
        all.push(P12Certificate::from_der(one.der()).map_err(failed).doing(doing)?);
    }
    let mut store = KeyStore::new();
    let mut loose = all;
    if let Some(key) = key {
        // The first certificate of a key's chain is that of the key.
        let ours = if certificate.is_some() { std::mem::take(&mut loose) } else { Vec::new() };
        let id = Digest::of(key.public()).0;
        let key = PrivateKey::from_der(key.pkcs8()).map_err(failed).doing(doing)?;
        store.add_entry("appliance", KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(id.as_slice(), key, ours)));
    }
    for (at, one) in loose.into_iter().enumerate() {
        store.add_entry(&format!("certificate {at}"), KeyStoreEntry::Certificate(one));
    }
    let passphrase = passphrase.map(Secret::reveal).unwrap_or_default();
    let writer = store.writer(passphrase).encryption_iterations(ROUNDS).mac_iterations(ROUNDS);
    writer.write().map(Zeroizing::new).map_err(failed).doing(doing)
}

impl Store {
    /// Gives it out and writes down that it did.
    pub fn export(&self, entry: &Entry, wanted: &Wanted, time: u64) -> Result<Zeroizing<Vec<u8>>> {
        let file = export(entry, wanted)?;
        let _alone = self.alone();
        let mut exports = self.exports();
        let fingerprint = entry.fingerprint();
        let before = exports.get(&fingerprint).and_then(|exported| exported.saved);
        let complete = wanted.certificate && (wanted.key || entry.key.is_none());
        let saved = if complete { Some(Digest::of(entry.encode().as_bytes())) } else { before };
        let parts = [("certificate", wanted.certificate), ("key", wanted.key), ("chain", wanted.chain)];
        let parts = parts.into_iter().filter(|(_, wanted)| *wanted).map(|(part, _)| part.to_owned()).collect();
        exports.insert(fingerprint, Exported { time, parts, saved });
        // Of what is not here any more nothing has to be known.
        exports.retain(|certificate, _| *certificate == fingerprint || self.entry(*certificate).is_some());
        let doing = || "write down what was exported".to_owned();
        let bytes = serde_json::to_vec_pretty(&Exports { format: FORMAT, exports }).doing(doing)?;
        self.folder.replace(FILE, &bytes).doing(doing)?;
        Ok(file)
    }

    /// When each certificate was last exported. What was lost counts as never: then it is exported once more.
    pub fn exports(&self) -> BTreeMap<Digest, Exported> {
        let kept = self.folder.read(FILE).ok().and_then(|bytes| serde_json::from_slice::<Exports>(&bytes).ok());
        kept.filter(|kept| kept.format == FORMAT).map(|kept| kept.exports).unwrap_or_default()
    }

    /// True when certificate and key left the appliance as they are now.
    pub fn is_saved(&self, entry: &Entry) -> bool {
        let saved = self.exports().get(&entry.fingerprint()).and_then(|exported| exported.saved);
        saved == Some(Digest::of(entry.encode().as_bytes()))
    }
}

#[derive(Serialize, Deserialize)]
struct Exports {
    format: u32,
    exports: BTreeMap<Digest, Exported>,
}

const FILE: &str = "exports.json";
const FORMAT: u32 = 1;
/// What guessing a passphrase costs; half a second on a small machine.
const ROUNDS: u32 = 600_000;
