//! The key set of a product: what signs slots, boot files and firmware variables.
//!
//! A set is a directory made by [`generate()`]. Loading checks every file before anything is signed: present, of the right kind, private
//! halves readable by their owner alone, public halves matching. The private keys of PK and KEK are not needed for building and are never
//! read: keep them offline.

pub mod certificate;
pub mod co_signer;
pub mod depot;
pub mod der;
mod generate;
pub mod pem;
pub mod rsa;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use ed25519_dalek::{SigningKey, VerifyingKey};
use formats::manifest::Date;
use formats::trust::{Role, TrustStore, TrustedKey};
use serde::{Deserialize, Serialize};

use crate::boot::openpgp;
use crate::{Error, Result};

pub use co_signer::CoSigner;
pub use generate::generate;
pub use rsa::RsaKey;

/// A loaded and checked key set.
#[derive(Debug)]
pub struct Keys {
    /// Signs manifests of base slots and packages.
    pub base: SigningKey,
    /// Signs manifests of site slots and packages.
    pub site: SigningKey,
    /// Signs licence packages; none: appliances with these keys take no licences.
    pub licence: Option<VerifyingKey>,
    /// Signs boot files, for the firmware (Authenticode) and for GRUB (OpenPGP).
    pub boot: RsaKey,
    /// The certificate of `boot` for the firmware's db variable, DER.
    pub boot_certificate: Vec<u8>,
    /// The certificate for the firmware's PK variable, DER.
    pub platform_certificate: Vec<u8>,
    /// The certificate for the firmware's KEK variable, DER.
    pub exchange_certificate: Vec<u8>,
    /// The exported OpenPGP public key that goes into GRUB images.
    pub openpgp: Vec<u8>,
    /// The same, parsed: what [`openpgp::sign`] takes.
    pub openpgp_key: openpgp::PublicKey,
    /// True for keys that a release must not trust.
    pub development: bool,
    /// When the set was made, Unix seconds.
    pub created: i64,
    /// The last day on which appliances install what `base` and `site` signed; none: they do not expire.
    pub expires: Option<Date>,
    /// Who else signs; see [`Keys::with`].
    pub co_signers: Vec<CoSigner>,
    /// How many signers an appliance wants.
    pub threshold: u32,
}

/// `keys.json`: what the files cannot say. A machine file: unknown fields are ignored.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    format: u32,
    development: bool,
    created: i64,
    #[serde(default)]
    product: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Date>,
}

/// The DER of the certificate in the PEM file `name` of a key set, of which only public parts need to be there.
pub fn read_certificate(directory: &Path, name: &str) -> Result<Vec<u8>> {
    Files(directory).certificate(name)
}

/// The last day of the package keys in a key set, of which only public parts need to be there.
pub fn expiry(directory: &Path) -> Result<Option<Date>> {
    let set = Files(directory);
    if !set.path("keys.json").exists() {
        return Ok(None);
    }
    Ok(set.description()?.expires)
}

impl Keys {
    /// Loads and checks the key set in this directory.
    pub fn load(directory: &Path) -> Result<Self> {
        let set = Files(directory);
        let description = set.description()?;
        let base = set.ed25519("base")?;
        let site = set.ed25519("site")?;
        let licence = depot::public(directory, "licence", true)?.map(|key| key.public);
        let boot = set.rsa("boot.key")?;
        let boot_certificate = set.certificate("boot.crt")?;
        if !certificate::is_for(&boot_certificate, &boot) {
            return Err(set.mismatch("boot.crt", "boot.key"));
        }
        let openpgp = set.read("boot.pgp")?;
        let openpgp_key =
            openpgp::PublicKey::parse(&openpgp).map_err(Error::format(format!("key file {}", set.name("boot.pgp"))))?;
        if !openpgp_key.is_for(&boot) {
            return Err(set.mismatch("boot.pgp", "boot.key"));
        }
        Ok(Self {
            base,
            site,
            licence,
            boot,
            boot_certificate,
            platform_certificate: set.certificate("PK.crt")?,
            exchange_certificate: set.certificate("KEK.crt")?,
            openpgp,
            openpgp_key,
            development: description.development,
            created: description.created,
            expires: description.expires,
            co_signers: Vec::new(),
            threshold: 1,
        })
    }

    /// The same with further signers, so many of which an appliance wants.
    #[must_use]
    pub fn with(self, threshold: u32, co_signers: Vec<CoSigner>) -> Self {
        Self { co_signers, threshold, ..self }
    }

    /// Every private key here that signs the slots of this role: base or site.
    pub fn signing(&self, role: Role) -> Vec<SigningKey> {
        let own = if role == Role::Site { &self.site } else { &self.base };
        let others = self.co_signers.iter().filter_map(|signer| signer.private(role));
        std::iter::once(own).chain(others).cloned().collect()
    }

    /// How many signatures somebody else has to add before an appliance takes what is signed here.
    pub fn missing_signatures(&self) -> u32 {
        let here = self.signing(Role::Base).len().min(self.signing(Role::Site).len());
        self.threshold.saturating_sub(u32::try_from(here).unwrap_or(u32::MAX))
    }

    /// The trust store of an appliance that believes this set, its co-signers and nothing else, development keys only when the set is
    /// one of development keys. Licences are believed where there are as many licence keys as must sign.
    pub fn trust_store(&self, product: &str) -> Result<TrustStore> {
        let kind = |development| if development { "development key" } else { "key" };
        let own = |role, public: VerifyingKey| TrustedKey {
            role,
            public,
            development: self.development,
            expires: self.expires,
            name: format!("{role} {}", kind(self.development)),
        };
        let mut keys = vec![own(Role::Base, self.base.verifying_key()), own(Role::Site, self.site.verifying_key())];
        keys.extend(self.licence.map(|public| own(Role::Licence, public)));
        for (number, signer) in (1..).zip(&self.co_signers) {
            let of = if signer.name.is_empty() { format!("co-signer {number}") } else { signer.name.clone() };
            keys.extend([Role::Base, Role::Site, Role::Licence].into_iter().filter_map(|role| {
                Some(TrustedKey {
                    role,
                    public: *signer.public(role)?,
                    development: signer.development,
                    expires: signer.expires,
                    name: format!("{role} {} of {of}", kind(signer.development)),
                })
            }));
        }
        let mut thresholds = BTreeMap::from([(Role::Base, self.threshold), (Role::Site, self.threshold)]);
        let licence_keys = keys.iter().filter(|key| key.role == Role::Licence).count();
        if u32::try_from(licence_keys).is_ok_and(|keys| keys >= self.threshold) {
            thresholds.insert(Role::Licence, self.threshold);
        }
        TrustStore::new(product, keys, thresholds, self.development).map_err(Error::format("the trust store"))
    }
}

/// The directory of a key set, with the checks that every file of a kind must pass.
struct Files<'a>(&'a Path);

impl Files<'_> {
    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// The file's path as errors quote it.
    fn name(&self, file: &str) -> String {
        format!("\"{}\"", self.path(file).display())
    }

    fn mismatch(&self, public: &str, private: &str) -> Error {
        let (public, private) = (self.name(public), self.name(private));
        Error::input(format!("key file {public} does not belong to {private}; restore the pair from one key set"))
    }

    fn read(&self, file: &str) -> Result<Vec<u8>> {
        let path = self.path(file);
        let length = fs::metadata(&path).map_err(|cause| self.unreadable(file, cause))?.len();
        if length > MAX_FILE {
            let name = self.name(file);
            return Err(Error::input(format!("key file {name} has {length} bytes; no key file is over {MAX_FILE}")));
        }
        fs::read(&path).map_err(|cause| self.unreadable(file, cause))
    }

    fn unreadable(&self, file: &str, cause: std::io::Error) -> Error {
        if cause.kind() != ErrorKind::NotFound {
            return Error::io("read", self.path(file))(cause);
        }
        let (name, directory) = (self.name(file), self.0.display());
        Error::input(format!("key file {name} is missing; make a key set with: bulkhead keys generate {directory}"))
    }

    /// The content of a PEM file that must have this label.
    fn pem(&self, file: &str, label: &str) -> Result<Vec<u8>> {
        let name = self.name(file);
        let bytes = self.read(file)?;
        let (found, der) = pem::decode(&String::from_utf8_lossy(&bytes))
            .map_err(|problem| Error::input(format!("key file {name} {problem}")))?;
        if found == label {
            return Ok(der);
        }
        let hint = match found.as_str() {
            "ENCRYPTED PRIVATE KEY" => "; remove the pass phrase with: openssl pkcs8 -in FILE",
            "RSA PRIVATE KEY" => "; convert it with: openssl pkcs8 -topk8 -nocrypt -in FILE",
            _ => "",
        };
        Err(Error::input(format!("key file {name} holds a \"{found}\" where a \"{label}\" belongs{hint}")))
    }

    /// The PKCS#8 content of a private key file that nobody but its owner can read.
    fn private(&self, file: &str) -> Result<Vec<u8>> {
        let metadata = fs::metadata(self.path(file)).map_err(|cause| self.unreadable(file, cause))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            let (name, path) = (self.name(file), self.path(file));
            let path = path.display();
            return Err(Error::input(format!(
                "private key file {name} is open to group or others (mode {mode:04o}); run: chmod 600 {path}"
            )));
        }
        self.pem(file, "PRIVATE KEY")
    }

    fn ed25519(&self, role: &str) -> Result<SigningKey> {
        let private = format!("{role}.key");
        let der = self.private(&private)?;
        let key = SigningKey::from_pkcs8_der(&der).map_err(|_| self.wrong_kind(&private, &der, "an ed25519 key"))?;
        if self.public(role)? != key.verifying_key() {
            return Err(self.mismatch(&format!("{role}.pub"), &private));
        }
        Ok(key)
    }

    fn public(&self, role: &str) -> Result<VerifyingKey> {
        let public = format!("{role}.pub");
        let der = self.pem(&public, "PUBLIC KEY")?;
        VerifyingKey::from_public_key_der(&der)
            .map_err(|_| Error::input(format!("key file {} does not hold an ed25519 key", self.name(&public))))
    }

    fn rsa(&self, file: &str) -> Result<RsaKey> {
        let der = self.private(file)?;
        RsaKey::from_pkcs8(&der).ok_or_else(|| self.wrong_kind(file, &der, "an RSA key"))
    }

    fn wrong_kind(&self, file: &str, pkcs8: &[u8], wanted: &str) -> Error {
        let name = self.name(file);
        match algorithm(pkcs8) {
            found if found == wanted => {
                Error::input(format!("key file {name} holds {wanted} that is damaged or too short"))
            }
            found => Error::input(format!("key file {name} holds {found} where {wanted} belongs")),
        }
    }

    fn certificate(&self, file: &str) -> Result<Vec<u8>> {
        let der = self.pem(file, "CERTIFICATE")?;
        match der::certificate_parts(&der) {
            Some(parts) if der::rsa_public_key(parts.public_key).is_some() => Ok(der),
            Some(_) => Err(Error::input(format!("key file {} is not about an RSA key", self.name(file)))),
            None => Err(Error::input(format!("key file {} holds a damaged certificate", self.name(file)))),
        }
    }

    fn description(&self) -> Result<Description> {
        let name = self.name("keys.json");
        let description: Description = serde_json::from_slice(&self.read("keys.json")?)
            .map_err(|cause| Error::input(format!("key file {name} is damaged: {cause}")))?;
        if description.format != FORMAT {
            let found = description.format;
            return Err(Error::input(format!(
                "key file {name} has format {found}, this program reads {FORMAT}; use a newer bulkhead"
            )));
        }
        Ok(description)
    }
}

/// What a PKCS#8 structure holds, for people.
fn algorithm(pkcs8: &[u8]) -> &'static str {
    let identifier = || {
        let mut fields = der::Reader::new(pkcs8).enter(der::SEQUENCE)?;
        fields.take(der::INTEGER)?;
        Some(fields.enter(der::SEQUENCE)?.take(der::OBJECT_IDENTIFIER)?.value)
    };
    match identifier() {
        Some([0x2b, 0x65, 0x70]) => "an ed25519 key",
        Some([0x2b, 0x65, 0x71]) => "an ed448 key",
        Some([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]) => "an elliptic curve key",
        Some([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]) => "an RSA key",
        Some(_) => "a key of another kind",
        None => "a damaged key",
    }
}

/// Version of `keys.json`.
const FORMAT: u32 = 1;
/// No key file is larger; a larger one is not read at all.
const MAX_FILE: u64 = 64 << 10;

#[cfg(test)]
mod tests;
