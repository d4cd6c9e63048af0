//! Signing requests: a key that is made here and never leaves, and what an authority is asked to sign for it.
//!
//! One file each, `request-` and the SHA-256 of the public key, with key and request. When the certificate comes its file is written with
//! the key, and the request is removed after that: a cut in between leaves a request nobody waits for, which is not listed and goes when
//! the agent starts.

use std::net::IpAddr;

use formats::Digest;
use rcgen::{DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize};
use serde::{Deserialize, Serialize};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use super::certificate::{key_words, names, shown};
use super::key::Key;
use super::pem::{self, PRIVATE_KEY, REQUEST};
use super::self_signed::{self, Names, other};
use super::store::{ENDING, Store};
use super::trouble::Trouble;
use crate::error::{Doing, Error, Result};

/// A request that waits for its certificate.
#[derive(Clone)]
pub struct Request {
    key: Key,
    der: Vec<u8>,
    facts: Facts,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Facts {
    /// SHA-256 of the public key: its name here.
    pub id: Digest,
    /// The subject.
    pub subject: String,
    /// Host names.
    pub names: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// The key, for example `RSA 2048`.
    pub key: String,
}

/// The kinds of keys that are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// EC, P-256.
    #[default]
    EcP256,
    /// EC, P-384.
    EcP384,
    /// RSA, 2048 bits.
    Rsa2048,
    /// RSA, 3072 bits.
    Rsa3072,
    /// RSA, 4096 bits.
    Rsa4096,
}

/// What some authorities want in the subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Subject {
    /// Organisation, for authorities that want one
    #[arg(long, value_name = "TEXT")]
    #[serde(default)]
    pub organisation: Option<String>,
    /// Town
    #[arg(long, value_name = "TEXT")]
    #[serde(default)]
    pub locality: Option<String>,
    /// State or province
    #[arg(long, value_name = "TEXT")]
    #[serde(default)]
    pub state: Option<String>,
    /// Country, two capital letters
    #[arg(long, value_name = "CC")]
    #[serde(default)]
    pub country: Option<String>,
}

/// Makes a request with a new key, which takes seconds for a long one.
pub fn make(wanted: &Names, subject: &Subject, kind: KeyKind) -> Result<Request> {
    if wanted.hosts.is_empty() && wanted.addresses.is_empty() {
        return Err(Error::Usage("a signing request needs a host name or an address".into()));
    }
    let doing = || "make a signing request".to_owned();
    let key = match kind {
        KeyKind::EcP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyKind::EcP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyKind::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyKind::Rsa3072 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
        KeyKind::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
    };
    let key = key.map_err(other).doing(doing)?;
    let mut params = self_signed::params(wanted).map_err(other).doing(doing)?;
    for (kind, text) in subject.checked()? {
        params.distinguished_name.push(kind, text);
    }
    let made = params.serialize_request(&key).map_err(other).doing(doing)?;
    let key = Key::from_pkcs8(key.serialized_der()).map_err(std::io::Error::other).doing(doing)?;
    Request::new(key, made.der().to_vec()).map_err(std::io::Error::other).doing(doing)
}

impl Subject {
    fn checked(&self) -> Result<Vec<(DnType, String)>> {
        let mut parts = Vec::new();
        for (kind, text) in [
            (DnType::OrganizationName, &self.organisation),
            (DnType::LocalityName, &self.locality),
            (DnType::StateOrProvinceName, &self.state),
        ] {
            let Some(text) = text else { continue };
            if text.trim().is_empty() || text.chars().count() > 64 || text.chars().any(char::is_control) {
                return Err(Error::Usage("organisation, locality and state have 1 to 64 characters".into()));
            }
            parts.push((kind, text.clone()));
        }
        if let Some(country) = &self.country {
            if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
                return Err(Error::Usage("a country is two capital letters, for example CH".into()));
            }
            parts.push((DnType::CountryName, country.clone()));
        }
        Ok(parts)
    }
}

impl Request {
    fn new(key: Key, der: Vec<u8>) -> std::result::Result<Self, String> {
        let bad = "it is no signing request";
        let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| bad.to_owned())?;
        let info = &request.certification_request_info;
        if !rest.is_empty() || info.subject_pki.raw != key.public() {
            return Err(bad.into());
        }
        let wanted = request.requested_extensions().into_iter().flatten().find_map(|extension| match extension {
            ParsedExtension::SubjectAlternativeName(wanted) => Some(wanted.general_names.as_slice()),
            _ => None,
        });
        let (hosts, addresses) = names(wanted.unwrap_or_default())?;
        let facts = Facts {
            id: Digest::of(key.public()),
            subject: shown(&info.subject.to_string()),
            names: hosts,
            addresses,
            key: key_words(&info.subject_pki).0,
        };
        Ok(Self { key, der, facts })
    }

    fn parse(text: &[u8]) -> std::result::Result<Self, String> {
        let text = str::from_utf8(text).map_err(|_| "it is no text".to_owned())?;
        let sections = pem::sections(text, 2)?;
        let of = |label: &str| {
            sections.iter().find(|section| section.label == label).map(|section| section.bytes.as_slice())
        };
        let (Some(key), Some(der)) = (of(PRIVATE_KEY), of(REQUEST)) else {
            return Err("it has not both a key and a request".into());
        };
        Self::new(Key::from_pkcs8(key)?, der.to_vec())
    }

    fn encode(&self) -> Zeroizing<String> {
        let mut text = pem::section(REQUEST, &self.der);
        text.push_str(&pem::section(PRIVATE_KEY, self.key.pkcs8()));
        text
    }

    /// What it asks for.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What is sent to an authority, PEM.
    pub fn pem(&self) -> String {
        pem::section(REQUEST, &self.der).to_string()
    }
}

impl Store {
    /// Keeps a request.
    pub fn keep_request(&self, request: &Request) -> Result<()> {
        let _alone = self.alone();
        self.put(&file_of(request.facts.id), request.encode().as_bytes())
    }

    /// The requests that wait for their certificates; those that went bad by their files.
    pub fn requests(&self) -> Result<(Vec<Request>, Vec<Trouble>)> {
        let (mut waiting, mut bad) = (Vec::new(), Vec::new());
        for (file, request) in self.all_requests()? {
            match request {
                Ok(request) if self.completed(&request)? => {}
                Ok(request) => waiting.push(request),
                Err(why) => bad.push(Trouble::Damaged { file, why, cure: "delete it and make a new one" }),
            }
        }
        Ok((waiting, bad))
    }

    /// The key that was made here for a certificate with this public key.
    pub(super) fn requested_key(&self, public: &[u8]) -> Option<Key> {
        let request = self.read_request(&file_of(Digest::of(public))).ok()?;
        Some(request.key).filter(|key| key.public() == public)
    }

    /// Removes a request with its key; nothing else has that key.
    pub fn remove_request(&self, id: &str) -> Result<()> {
        let _alone = self.alone();
        let wanted: Option<Digest> = id.parse().ok();
        let file = wanted.map(file_of).ok_or_else(|| Trouble::NoRequest(id.chars().take(80).collect()))?;
        let names = self.folder.names().doing(|| "list the signing requests".into())?;
        if !names.contains(&file) {
            return Err(Trouble::NoRequest(id.into()).into());
        }
        self.folder.remove(&file).doing(|| format!("remove \"{file}\""))
    }

    /// Removes the requests whose certificates came.
    pub fn tidy_requests(&self) -> Result<()> {
        let _alone = self.alone();
        for (file, request) in self.all_requests()? {
            if let Ok(request) = request
                && self.completed(&request)?
            {
                self.folder.remove(&file).doing(|| format!("remove \"{file}\""))?;
            }
        }
        Ok(())
    }

    /// A certificate with the key of this request is here.
    fn completed(&self, request: &Request) -> Result<bool> {
        let kept = self.list()?;
        let mut entries = kept.iter().filter_map(|kept| kept.content.as_ref().ok());
        Ok(entries.any(|entry| entry.key.as_ref().is_some_and(|key| key.public() == request.key.public())))
    }

    fn all_requests(&self) -> Result<Vec<(String, std::result::Result<Request, String>)>> {
        let names = self.folder.names().doing(|| "list the signing requests".into())?;
        let files = names.into_iter().filter(|name| name.starts_with(PREFIX) && name.ends_with(ENDING));
        Ok(files.map(|file| (file.clone(), self.read_request(&file))).collect())
    }

    fn read_request(&self, file: &str) -> std::result::Result<Request, String> {
        let bytes = self.folder.read(file).map(Zeroizing::new).map_err(|problem| problem.to_string())?;
        Request::parse(&bytes)
    }
}

fn file_of(id: Digest) -> String {
    format!("{PREFIX}{id}{ENDING}")
}

const PREFIX: &str = "request-";
