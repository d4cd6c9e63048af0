//! Self-signed X.509 certificates for the UEFI Secure Boot variables PK, KEK and db (UEFI 2.10, section 32.3).
//!
//! Firmware uses them as containers for a public key: no chain, no revocation, no clock. They carry no CA flag and no extensions that a
//! vendor's parser could stumble over. Everything in them is given, so the same key and time give the same bytes.

use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, SerialNumber, date_time_ymd};

use crate::keys::der::{self, sha256};
use crate::keys::rsa::RsaKey;
use crate::{Error, Result};

/// The certificate (DER) of `key` with this common name, valid for [`YEARS`] years from `created` (Unix seconds).
pub fn self_signed(key: &RsaKey, common_name: &str, created: i64) -> Result<Vec<u8>> {
    let bug =
        |what: &'static str| move |cause: rcgen::Error| Error::Bug(format!("cannot {what} a certificate: {cause}"));
    let created = u64::try_from(created)
        .ok()
        .filter(|seconds| *seconds <= LATEST)
        .ok_or_else(|| Error::input(format!("the key set's time {created} s is not between 1970 and 2106")))?;
    let pkcs8 = key.to_pkcs8()?;
    let signer = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.as_slice().into(), &PKCS_RSA_SHA256)
        .map_err(bug("use an RSA key for"))?;
    let mut serial = sha256(key.public_der());
    serial.truncate(16);
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x3f) | 0x40; // positive and never shortened
    }
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.serial_number = Some(SerialNumber::from(serial));
    parameters.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(created);
    parameters.not_after = parameters.not_before + Duration::from_secs(YEARS * 31_557_600);
    Ok(parameters.self_signed(&signer).map_err(bug("sign"))?.der().to_vec())
}

/// True when the certificate (DER) is about this key.
pub fn is_for(certificate: &[u8], key: &RsaKey) -> bool {
    der::certificate_parts(certificate).and_then(|parts| der::rsa_public_key(parts.public_key))
        == Some(key.public_der())
}

/// Validity of a certificate. Firmware ignores it; people and `openssl` do not.
pub const YEARS: u64 = 20;

/// The last second an OpenPGP time can hold (2106), so that one key set has one time.
const LATEST: u64 = 0xffff_ffff;
