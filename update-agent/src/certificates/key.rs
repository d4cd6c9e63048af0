//! A private key as it is kept: PKCS#8, wiped when dropped, never shown.

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

/// A private key that a server can use.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    pkcs8: Zeroizing<Vec<u8>>,
    public: Vec<u8>,
}

impl Key {
    /// Takes PKCS#8.
    ///
    /// # Errors
    /// What is wrong, in words, when no server here could use it.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, String> {
        let key = any_supported_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8)));
        let public = key.ok().and_then(|key| Some(key.public_key()?.to_vec()));
        let public = public.ok_or(UNUSABLE)?;
        Ok(Self { pkcs8: Zeroizing::new(pkcs8.to_vec()), public })
    }

    /// Takes an RSA key in its own form.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, String> {
        Self::wrapped(RSA, der)
    }

    /// Takes a key of an elliptic curve in its own form, which need not say which curve.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn from_sec1(der: &[u8]) -> Result<Self, String> {
        let tried = CURVES.iter().map(|algorithm| Self::wrapped(algorithm, der));
        tried.into_iter().find(Result::is_ok).unwrap_or_else(|| Err(UNUSABLE.into()))
    }

    /// PKCS#8 around a key and what kind it is.
    fn wrapped(algorithm: &[u8], key: &[u8]) -> Result<Self, String> {
        let key = Zeroizing::new(element(4, &[key])?);
        let pkcs8 = Zeroizing::new(element(0x30, &[&[2, 1, 0], algorithm, &key])?);
        Self::from_pkcs8(&pkcs8)
    }

    /// PKCS#8, DER.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key that belongs to it, with its algorithm.
    pub fn public(&self) -> &[u8] {
        &self.public
    }
}

/// One element of DER.
fn element(tag: u8, parts: &[&[u8]]) -> Result<Vec<u8>, String> {
    let content = Zeroizing::new(parts.concat());
    let length = u32::try_from(content.len()).map_err(|_| UNUSABLE.to_owned())?.to_be_bytes();
    let mut bytes = vec![tag];
    match length {
        [0, 0, 0, short] if short < 0x80 => bytes.push(short),
        [0, 0, 0, one] => bytes.extend([0x81, one]),
        [0, 0, two, one] => bytes.extend([0x82, two, one]),
        // No key of a kind that can be used is so long.
        _ => return Err(UNUSABLE.into()),
    }
    bytes.extend_from_slice(&content);
    Ok(bytes)
}

/// What is said about every key no server here could use.
pub(super) const UNUSABLE: &str = "its private key is damaged, or of a kind no server here can use: RSA from 2048 to 8192 bits, EC with the curves P-256, \
                        P-384 or P-521, and Ed25519 can be used";
/// The algorithms as PKCS#8 has them: RSA, and elliptic curves P-256, P-384 and P-521.
const RSA: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
const CURVES: [&[u8]; 3] = [
    &[0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
    &[0x30, 16, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 34],
    &[0x30, 16, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 35],
];
