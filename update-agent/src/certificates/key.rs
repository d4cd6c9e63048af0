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

    /// PKCS#8, DER.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key that belongs to it, with its algorithm.
    pub fn public(&self) -> &[u8] {
        &self.public
    }
}

/// What is said about every key no server here could use.
const UNUSABLE: &str = "its private key is damaged, or of a kind no server here can use: RSA from 2048 to 8192 bits, EC with the curves P-256, \
                        P-384 or P-521, and Ed25519 can be used";
