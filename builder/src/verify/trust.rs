//! The public keys an image is judged by.

use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::DecodePublicKey;
use formats::trust::{Role, TrustStore, TrustedKey};

use crate::boot::openpgp::PublicKey;
use crate::{Error, Result, keys};

/// Public halves: package keys, and the certificate of the boot key.
pub struct Trust {
    keys: Vec<TrustedKey>,
    certificate: Vec<u8>,
    openpgp: PublicKey,
}

impl Trust {
    /// Reads `base.pub`, `site.pub`, `boot.crt` and `boot.pgp` from a folder; private keys need not be there and are not looked at.
    pub fn load(directory: &Path) -> Result<Self> {
        let keys = vec![key(directory, "base.pub", Role::Base)?, key(directory, "site.pub", Role::Site)?];
        let certificate = keys::read_certificate(directory, "boot.crt")?;
        let (path, openpgp) = read(directory, "boot.pgp")?;
        let openpgp = PublicKey::parse(&openpgp).map_err(Error::format(format!("key file \"{}\"", path.display())))?;
        Ok(Self { keys, certificate, openpgp })
    }

    /// These keys as the trust store of `product`. Whether a build is for development is shown, not judged, here: that is the
    /// appliance's own decision, made with the store it was built with.
    pub(super) fn store(&self, product: &str) -> formats::Result<TrustStore> {
        store(product, &self.keys)
    }

    /// The OpenPGP form of the boot key.
    pub(super) fn openpgp(&self) -> &PublicKey {
        &self.openpgp
    }

    /// The DER of the boot key's certificate.
    pub(super) fn certificate(&self) -> &[u8] {
        &self.certificate
    }
}

/// The package keys in a folder: those of `base.pub`, `site.pub` and `licence.pub` that exist; at least one must.
pub fn package_keys(directory: &Path) -> Result<Vec<TrustedKey>> {
    let files = [("base.pub", Role::Base), ("site.pub", Role::Site), ("licence.pub", Role::Licence)];
    let present = files.into_iter().filter(|(name, _)| directory.join(name).exists());
    let keys = present.map(|(name, role)| key(directory, name, role)).collect::<Result<Vec<_>>>()?;
    if keys.is_empty() {
        let directory = directory.display();
        return Err(Error::input(format!("\"{directory}\" has none of base.pub, site.pub and licence.pub")));
    }
    Ok(keys)
}

/// These keys as the trust store of `product`: one signature of the right role will do.
pub(super) fn store(product: &str, keys: &[TrustedKey]) -> formats::Result<TrustStore> {
    TrustStore::new(product, keys.to_vec(), keys.iter().map(|key| (key.role, 1)).collect(), true)
}

/// The public key in a file of a folder.
pub(super) fn public(directory: &Path, name: &str) -> Result<VerifyingKey> {
    let (path, pem) = read(directory, name)?;
    VerifyingKey::from_public_key_pem(&String::from_utf8_lossy(&pem)).map_err(|cause| {
        Error::input(format!("\"{}\" is not an ed25519 public key in PEM form: {cause}", path.display()))
    })
}

fn key(directory: &Path, name: &str, role: Role) -> Result<TrustedKey> {
    let public = public(directory, name)?;
    Ok(TrustedKey { role, public, development: false, expires: keys::expiry(directory)?, name: name.to_owned() })
}

/// Path and content of a public key file, which has to be there.
fn read(directory: &Path, name: &str) -> Result<(PathBuf, Vec<u8>)> {
    let path = directory.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Ok((path, bytes)),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Err(Error::input(format!(
            "\"{}\" is missing; name the folder with the public keys the image must be signed with",
            path.display()
        ))),
        Err(cause) => Err(Error::io("read", &path)(cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_damaged_public_keys_are_bad_input() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        crate::keys::generate(&keys, true, 0, "x", None).unwrap();
        Trust::load(&keys).unwrap();
        for file in ["base.pub", "site.pub", "boot.crt", "boot.pgp"] {
            let good = std::fs::read(keys.join(file)).unwrap();
            std::fs::write(keys.join(file), b"\xff\xfe").unwrap();
            assert_eq!(Trust::load(&keys).err().map(|error| error.exit_code()), Some(3), "{file} damaged");
            std::fs::remove_file(keys.join(file)).unwrap();
            assert_eq!(Trust::load(&keys).err().map(|error| error.exit_code()), Some(3), "{file} missing");
            std::fs::write(keys.join(file), good).unwrap();
        }
    }
}
