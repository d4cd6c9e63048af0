//! One certificate: what it says, and whether another one signed it.
//!
//! Nothing is believed because a certificate says it. What is made of it is a matter of [`super::finding`].

use std::net::IpAddr;

use formats::Digest;
use rustls::crypto::aws_lc_rs::default_provider;
use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry as oid;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// A certificate that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    facts: Facts,
    /// Public key with its algorithm, as the key's owner would write it.
    public: Vec<u8>,
    subject: Vec<u8>,
    issuer: Vec<u8>,
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::struct_excessive_bools, reason = "four facts that do not depend on each other")]
pub struct Facts {
    /// SHA-256 of its bytes: its name here.
    pub fingerprint: Digest,
    /// To whom it was issued.
    pub subject: String,
    /// By whom.
    pub issuer: String,
    /// Host names it is for, lower case, `*.` for any one label; nothing in the subject counts.
    pub names: Vec<String>,
    /// Addresses it is for.
    pub addresses: Vec<IpAddr>,
    /// First second it is good for, since 1970.
    pub not_before: i64,
    /// Last second.
    pub not_after: i64,
    /// The key, for example `RSA 2048`.
    pub key: String,
    /// Bits of the key; 0 when they say nothing about its strength.
    #[serde(skip)]
    pub rsa_bits: usize,
    /// How it is signed, for example `SHA-256`.
    pub signature: String,
    /// The signature could be forged: MD5 or SHA-1.
    #[serde(skip)]
    pub weak_signature: bool,
    /// It may sign others.
    pub authority: bool,
    /// It names itself as its issuer.
    pub self_signed: bool,
    /// It may be used by a server; false when it says that it is for other purposes only.
    #[serde(skip)]
    pub for_servers: bool,
}

impl Certificate {
    /// Reads DER, all of it.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let (rest, x509) = X509Certificate::from_der(der).map_err(|_| "it is no X.509 certificate".to_owned())?;
        if !rest.is_empty() {
            return Err("something follows the end of the certificate".into());
        }
        Ok(Self {
            facts: facts(der, &x509)?,
            public: x509.tbs_certificate.subject_pki.raw.to_vec(),
            subject: x509.tbs_certificate.subject.as_raw().to_vec(),
            issuer: x509.tbs_certificate.issuer.as_raw().to_vec(),
            der: der.to_vec(),
        })
    }

    /// Its bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What it says.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its public key with the key's algorithm (`SubjectPublicKeyInfo`).
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The encoded name of its issuer.
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// True when `issuer` has the name of this one's issuer and may sign, and its key made the signature, as far as that can be
    /// checked: signatures too weak to be checked count by the name alone.
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        if self.issuer != issuer.subject || !(issuer.facts.authority || self.der == issuer.der) {
            return false;
        }
        let (Ok((_, ours)), Ok((_, theirs))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&issuer.der))
        else {
            return false;
        };
        let key = &theirs.tbs_certificate.subject_pki;
        let fits = |encoded: &[u8], algorithm: &x509_parser::x509::AlgorithmIdentifier<'_>| {
            encoded
                .strip_prefix(&[6])
                .and_then(|rest| rest.get(1..))
                .is_some_and(|rest| rest.starts_with(algorithm.algorithm.as_bytes()))
        };
        let provider = default_provider();
        let mut known = provider
            .signature_verification_algorithms
            .all
            .iter()
            .filter(|one| {
                fits(&one.signature_alg_id(), &ours.signature_algorithm)
                    && fits(&one.public_key_alg_id(), &key.algorithm)
            })
            .peekable();
        if known.peek().is_none() {
            return true;
        }
        let (message, signature) = (ours.tbs_certificate.as_ref(), &ours.signature_value.data);
        known.any(|one| one.verify_signature(&key.subject_public_key.data, message, signature).is_ok())
    }

    /// True when a client that wants this server is content with the names in the certificate.
    pub fn covers(&self, server: &str) -> bool {
        covers(&self.facts, server)
    }
}

/// The same for what is known of a certificate.
pub fn covers(facts: &Facts, server: &str) -> bool {
    if let Ok(address) = server.trim_matches(['[', ']']).parse::<IpAddr>() {
        return facts.addresses.contains(&address);
    }
    let server = server.trim_end_matches('.').to_ascii_lowercase();
    facts.names.iter().any(|name| match name.strip_prefix("*.") {
        None => *name == server,
        // A star stands for one label, and not for a whole domain of a registry.
        Some(domain) => {
            domain.contains('.')
                && server.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == domain)
        }
    })
}

fn facts(der: &[u8], x509: &X509Certificate<'_>) -> Result<Facts, String> {
    let tbs = &x509.tbs_certificate;
    let (names, addresses) = alternatives(x509)?;
    let (key, rsa_bits) = key_words(&tbs.subject_pki);
    let (signature, weak_signature) = signature_words(x509);
    let usage = tbs.extended_key_usage().map_err(|_| "its extended key usage cannot be read".to_owned())?;
    let authority = tbs.basic_constraints().map_err(|_| "its basic constraints cannot be read".to_owned())?;
    Ok(Facts {
        fingerprint: Digest::of(der),
        subject: shown(&tbs.subject.to_string()),
        issuer: shown(&tbs.issuer.to_string()),
        names,
        addresses,
        not_before: tbs.validity.not_before.timestamp(),
        not_after: tbs.validity.not_after.timestamp(),
        key,
        rsa_bits,
        signature,
        weak_signature,
        authority: authority.is_some_and(|constraints| constraints.value.ca),
        self_signed: tbs.subject.as_raw() == tbs.issuer.as_raw(),
        for_servers: usage.is_none_or(|usage| usage.value.server_auth || usage.value.any),
    })
}

fn alternatives(x509: &X509Certificate<'_>) -> Result<(Vec<String>, Vec<IpAddr>), String> {
    let extension = x509.tbs_certificate.subject_alternative_name();
    let extension = extension.map_err(|_| "its names cannot be read".to_owned())?;
    names(extension.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default())
}

/// The host names and addresses among names of all kinds.
pub(super) fn names(general: &[GeneralName<'_>]) -> Result<(Vec<String>, Vec<IpAddr>), String> {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    for name in general {
        match name {
            GeneralName::DNSName(name) => names.push(shown(&name.to_ascii_lowercase())),
            GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
            _ => {}
        }
    }
    if names.len().saturating_add(addresses.len()) > MAX_NAMES {
        return Err(format!("it is for more than {MAX_NAMES} names"));
    }
    Ok((names, addresses))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// A public key for people, and its bits when it is RSA, else 0.
pub(super) fn key_words(key: &SubjectPublicKeyInfo<'_>) -> (String, usize) {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => (format!("RSA {}", rsa.key_size()), rsa.key_size()),
        Ok(PublicKey::EC(point)) => (format!("EC {}", point.key_size()), 0),
        _ if key.algorithm.algorithm == oid::OID_SIG_ED25519 => ("Ed25519".into(), 0),
        _ => (format!("of a kind that is not known ({})", key.algorithm.algorithm), 0),
    }
}

fn signature_words(x509: &X509Certificate<'_>) -> (String, bool) {
    let oid = x509.signature_algorithm.algorithm.to_id_string();
    let known = SIGNATURES.iter().find(|(known, ..)| *known == oid);
    known.map_or_else(|| (oid.clone(), false), |(_, words, weak)| ((*words).into(), *weak))
}

/// Text of others, made safe for terminals and short enough to be read.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).take(MAX_TEXT).collect()
}

const MAX_NAMES: usize = 200;
const MAX_TEXT: usize = 300;
/// How certificates are signed: identifier, words, whether it can be forged.
const SIGNATURES: [(&str, &str, bool); 11] = [
    ("1.2.840.113549.1.1.11", "SHA-256", false),
    ("1.2.840.113549.1.1.12", "SHA-384", false),
    ("1.2.840.113549.1.1.13", "SHA-512", false),
    ("1.2.840.113549.1.1.10", "RSA-PSS", false),
    ("1.2.840.10045.4.3.2", "SHA-256", false),
    ("1.2.840.10045.4.3.3", "SHA-384", false),
    ("1.2.840.10045.4.3.4", "SHA-512", false),
    ("1.3.101.112", "Ed25519", false),
    ("1.2.840.113549.1.1.5", "SHA-1", true),
    ("1.2.840.10045.4.1", "SHA-1", true),
    ("1.2.840.113549.1.1.4", "MD5", true),
];
