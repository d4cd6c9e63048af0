//! Making a key set: the one place of the builder that draws random numbers.
//!
//! The set appears whole or not at all: it is written beside its final name and renamed. An existing key set is never touched, because a
//! lost key cannot be replaced on appliances in the field.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes};
use formats::manifest::Date;

use crate::boot::openpgp;
use crate::keys::rsa::RsaKey;
use crate::keys::{Description, FORMAT, certificate, pem};
use crate::{Error, Result};

/// Makes a key set for `product` in `directory`, which must not exist or be empty. `created` is the time to write into it, Unix seconds;
/// with `expires`, appliances install what the package keys sign until that day and not later.
pub fn generate(directory: &Path, development: bool, created: i64, product: &str, expires: Option<Date>) -> Result<()> {
    if let Some(last) = expires.filter(|last| Date::of_unix(created).is_none_or(|today| *last < today)) {
        return Err(Error::input(format!("keys that expired on {last} could sign nothing; choose a day to come")));
    }
    check_product(product)?;
    refuse_existing(directory)?;
    let parent = match directory.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(Error::input("the root directory cannot be a key set")),
    };
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    let scratch = tempfile::Builder::new()
        .prefix(".keys-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(Error::io("create a directory in", parent))?;
    fill(scratch.path(), development, created, product, expires)?;
    sync(scratch.path())?;
    fs::rename(scratch.path(), directory).map_err(Error::io("create", directory))?;
    let _moved_away = scratch.keep();
    sync(parent)
}

fn refuse_existing(directory: &Path) -> Result<()> {
    let mut entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(Error::io("read", directory)(cause)),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    let name = directory.display();
    Err(Error::Refused(format!(
        "\"{name}\" exists and is not empty; keys are never overwritten, choose another directory"
    )))
}

pub(super) fn check_product(product: &str) -> Result<()> {
    let fits = (1..=40).contains(&product.len()) && product.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if fits && product.trim() == product && !product.contains(['<', '>']) {
        return Ok(());
    }
    let name = product.escape_debug();
    Err(Error::input(format!(
        "the product name \"{name}\" is not 1 to 40 printable ASCII characters without \"<\" and \">\""
    )))
}

/// Writes every file of the set.
fn fill(directory: &Path, development: bool, created: i64, product: &str, expires: Option<Date>) -> Result<()> {
    let marked = if development { format!("DEVELOPMENT {product}") } else { product.to_owned() };
    for role in ["base", "site"].iter().chain(&super::depot::ROLES) {
        pair(directory, role)?;
    }
    let boot = RsaKey::generate()?;
    for (name, purpose, key) in [
        ("boot", "boot signing", &boot),
        ("PK", "platform key", &RsaKey::generate()?),
        ("KEK", "key exchange key", &RsaKey::generate()?),
    ] {
        let certificate = certificate::self_signed(key, &format!("{marked} {purpose}"), created)?;
        write(directory, &format!("{name}.key"), PRIVATE, pem::encode("PRIVATE KEY", &key.to_pkcs8()?).as_bytes())?;
        write(directory, &format!("{name}.crt"), PUBLIC, pem::encode("CERTIFICATE", &certificate).as_bytes())?;
    }
    let public = openpgp::PublicKey::new(&boot, created)?;
    write(directory, "boot.pgp", PUBLIC, &openpgp::certificate(&boot, &public, &format!("{marked} boot signing"))?)?;
    let description = Description { format: FORMAT, development, created, product: product.to_owned(), expires };
    describe(directory, &description)
}

/// Writes `keys.json`.
pub(super) fn describe(directory: &Path, description: &Description) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(description)
        .map_err(|cause| Error::Bug(format!("cannot encode keys.json: {cause}")))?;
    json.push(b'\n');
    write(directory, "keys.json", PUBLIC, &json)
}

/// Makes the ed25519 pair of a role.
pub(super) fn pair(directory: &Path, role: &str) -> Result<()> {
    let key = ed25519()?;
    write(directory, &format!("{role}.key"), PRIVATE, &private_pem(&key)?)?;
    write(directory, &format!("{role}.pub"), PUBLIC, &public_pem(&key)?)
}

fn ed25519() -> Result<SigningKey> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|cause| Error::Environment(format!("the operating system gives no random numbers: {cause}")))?;
    Ok(SigningKey::from_bytes(&seed))
}

/// PKCS#8 version 1: OpenSSL 3.0 cannot read version 2, which carries the public half as well.
fn private_pem(key: &SigningKey) -> Result<Vec<u8>> {
    let pair = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    let der = pair.to_pkcs8_der().map_err(|cause| Error::Bug(format!("cannot encode a key: {cause}")))?;
    Ok(pem::encode("PRIVATE KEY", der.as_bytes()).into_bytes())
}

fn public_pem(key: &SigningKey) -> Result<Vec<u8>> {
    let der = key.verifying_key().to_public_key_der();
    let der = der.map_err(|cause| Error::Bug(format!("cannot encode a key: {cause}")))?;
    Ok(pem::encode("PUBLIC KEY", der.as_bytes()).into_bytes())
}

/// Writes a new file with exactly this mode, whatever the umask, and waits until it is on disk.
fn write(directory: &Path, file: &str, mode: u32, content: &[u8]) -> Result<()> {
    let path = directory.join(file);
    let mut out =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).map_err(Error::io("create", &path))?;
    out.set_permissions(fs::Permissions::from_mode(mode)).map_err(Error::io("set the mode of", &path))?;
    out.write_all(content).and_then(|()| out.sync_all()).map_err(Error::io("write", &path))
}

pub(super) fn sync(directory: &Path) -> Result<()> {
    fs::File::open(directory).and_then(|file| file.sync_all()).map_err(Error::io("flush", directory))
}

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;
