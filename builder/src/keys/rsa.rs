//! The boot key: RSA with PKCS#1 v1.5 and SHA-256 (RFC 8017, section 8.2), the one scheme that UEFI firmware and GRUB 2.06 both know.
//!
//! All arithmetic is aws-lc's; the scheme has no randomness, so the same input and key give the same signature.

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{self, KeyPair as _, UnparsedPublicKey};

use crate::{Error, Result};

/// A private RSA key that signs boot files.
pub struct RsaKey(KeyPair);

impl RsaKey {
    /// Draws a new 2048-bit key: the size every UEFI implementation accepts.
    pub fn generate() -> Result<Self> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| Error::Bug("RSA key generation failed".into()))?;
        Ok(Self(key))
    }

    /// From an unencrypted PKCS#8 structure; `None` when it is not a valid RSA key of 2048 to 8192 bits.
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        KeyPair::from_pkcs8(der).ok().map(Self)
    }

    /// As an unencrypted PKCS#8 version 1 structure.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>> {
        let der: Pkcs8V1Der<'_> = self.0.as_der().map_err(|_| Error::Bug("RSA key cannot be encoded".into()))?;
        Ok(der.as_ref().to_vec())
    }

    /// The public half as an `RSAPublicKey` structure (RFC 8017, appendix A.1.1).
    pub fn public_der(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// The modulus, big-endian without leading zeros.
    pub fn modulus(&self) -> &[u8] {
        self.0.public_key().modulus().big_endian_without_leading_zero()
    }

    /// The public exponent, big-endian without leading zeros.
    pub fn exponent(&self) -> &[u8] {
        self.0.public_key().exponent().big_endian_without_leading_zero()
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        self.sign_digest(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, message))
    }

    /// Signs a message of which the SHA-256 digest is known.
    pub fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut out = vec![0; self.0.public_modulus_len()];
        self.0
            .sign_digest(&signature::RSA_PKCS1_SHA256, digest, &mut out)
            .map_err(|_| Error::Bug("RSA signing failed".into()))?;
        Ok(out)
    }
}

impl std::fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RsaKey({} bits)", self.0.public_modulus_len() * 8)
    }
}

/// True when `signature` over a message with this SHA-256 digest is by the key in `public_der` (an `RSAPublicKey` structure).
pub fn verify_digest(public_der: &[u8], digest: &Digest, signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, public_der).verify_digest(digest, signature).is_ok()
}
