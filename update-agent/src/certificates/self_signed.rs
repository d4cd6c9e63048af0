//! The certificate an appliance has before anybody gave it one: signed by its own key, for the names and addresses it has.
//!
//! Nobody can tell by it that the appliance is the right one; whoever signs in with it compares the fingerprint with the one that
//! `cert show self-signed` prints at the machine.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};

use super::certificate::{Certificate, Facts};
use super::key::Key;
use crate::error::{Doing, Result};

/// What an appliance is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Host names, the most important one first.
    pub hosts: Vec<String>,
    /// Addresses.
    pub addresses: BTreeSet<IpAddr>,
}

impl Names {
    /// Those a certificate can be for: what is no host name is left out, and none comes twice.
    pub fn new(hosts: impl IntoIterator<Item = String>, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut ours = Self { hosts: Vec::new(), addresses: addresses.into_iter().collect() };
        for host in hosts {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            if is_pattern(&host) && !ours.hosts.contains(&host) {
                ours.hosts.push(host);
            }
        }
        ours
    }
}

/// True for a host name, or one with a star for its first label.
pub fn is_pattern(name: &str) -> bool {
    is_host(name.strip_prefix("*.").unwrap_or(name))
}

/// True for a host name in the form certificates have it.
pub fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label) && name.parse::<IpAddr>().is_err()
}

/// Whether a certificate made before still does: for exactly these names, and good for some time from `now` on.
pub fn still_does(facts: &Facts, names: &Names, now: i64) -> bool {
    let hosts = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    let addresses: BTreeSet<IpAddr> = facts.addresses.iter().copied().collect();
    hosts(&facts.names) == hosts(&names.hosts)
        && addresses == names.addresses
        && facts.not_before <= now
        && now < facts.not_after.saturating_sub(REMAKE)
}

/// Makes one, with a new key.
pub fn make(names: &Names, now: i64) -> Result<(Certificate, Key)> {
    let doing = || "make a self-signed certificate".to_owned();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(other).doing(doing)?;
    let mut params = params(names).map_err(other).doing(doing)?;
    params.not_before = date(now.saturating_sub(DAY));
    params.not_after = date(now.saturating_add(LIFETIME));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let made = params.self_signed(&key).map_err(other).doing(doing)?;
    let bad = |why: String| std::io::Error::other(why);
    let certificate = Certificate::parse(made.der()).map_err(bad).doing(doing)?;
    Ok((certificate, Key::from_pkcs8(key.serialized_der()).map_err(bad).doing(doing)?))
}

/// What certificate and signing request have in common.
pub(super) fn params(names: &Names) -> std::result::Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let addresses = names.addresses.iter().map(ToString::to_string);
    // The field has room for 64 characters, and no client looks at it.
    let name = names.hosts.iter().cloned().chain(addresses).find(|name| name.len() <= 64);
    params.distinguished_name.push(DnType::CommonName, name.unwrap_or_else(|| "appliance".into()));
    for host in &names.hosts {
        params.subject_alt_names.push(SanType::DnsName(host.as_str().try_into()?));
    }
    params.subject_alt_names.extend(names.addresses.iter().copied().map(SanType::IpAddress));
    Ok(params)
}

fn date(seconds: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

/// What `rcgen` refuses, as an answer of the system.
pub(super) fn other(problem: rcgen::Error) -> std::io::Error {
    std::io::Error::other(problem)
}

const DAY: i64 = 86_400;
/// Some clients refuse what is good for longer than 825 days.
const LIFETIME: i64 = 820 * DAY;
/// It is made anew so long before its end.
const REMAKE: i64 = 30 * DAY;
