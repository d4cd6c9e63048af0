//! The public keys an image is judged by.

use std::path::Path;

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
        let path = directory.join("boot.pgp");
        let openpgp = std::fs::read(&path).map_err(Error::io("read", &path))?;
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

fn key(directory: &Path, name: &str, role: Role) -> Result<TrustedKey> {
    let path = directory.join(name);
    let pem = std::fs::read_to_string(&path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => Error::input(format!(
            "\"{}\" is missing; name the folder with the public keys the image must be signed with",
            path.display()
        )),
        _ => Error::Io { action: "read", path: path.clone(), source: cause },
    })?;
    let public = VerifyingKey::from_public_key_pem(&pem).map_err(|cause| {
        Error::input(format!("\"{}\" is not an ed25519 public key in PEM form: {cause}", path.display()))
    })?;
    Ok(TrustedKey { role, public, development: false, name: name.to_owned() })
}
