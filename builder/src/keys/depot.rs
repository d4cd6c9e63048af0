//! The keys of a depot: one file `ROLE.key` and `ROLE.pub` for each role of its metadata, beside the package keys or in a folder of their own.
//!
//! Roots and targets are meant to be kept offline, each signer's in a folder of their own; snapshot, timestamp and depot stay on the
//! machine that publishes. A private half may be missing everywhere: then somebody else signs ([`crate::depot::Signers`]).

use std::fs;
use std::path::Path;

use ed25519_dalek::{SigningKey, VerifyingKey};
use formats::manifest::Date;

use super::{Description, FORMAT, Files, generate};
use crate::{Error, Result};

/// What signs a depot beside the package keys base and site.
pub const ROLES: [&str; 6] = ["root", "targets", "snapshot", "timestamp", "depot", "licence"];

/// A public key with what is said about it.
#[derive(Debug, Clone)]
pub struct PublicKey {
    /// The key.
    pub public: VerifyingKey,
    /// For people.
    pub name: String,
    /// True for a key that a release must not trust.
    pub development: bool,
    /// The last day on which what it signed may be installed.
    pub expires: Option<Date>,
}

/// Makes the keys of these roles that `directory` does not have yet; which those were. A folder that is not a key set becomes one of `product`.
pub fn make(directory: &Path, roles: &[&str], development: bool, created: i64, product: &str) -> Result<Vec<String>> {
    generate::check_product(product)?;
    fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    let set = Files(directory);
    if !set.path("keys.json").exists() {
        let description =
            Description { format: FORMAT, development, created, product: product.to_owned(), expires: None };
        generate::describe(directory, &description)?;
    }
    let mut made = Vec::new();
    for role in roles {
        if !set.path(&format!("{role}.key")).exists() && !set.path(&format!("{role}.pub")).exists() {
            generate::pair(directory, role)?;
            made.push((*role).to_owned());
        }
    }
    generate::sync(directory)?;
    Ok(made)
}

/// The public key of a role in a key set; nothing: it has none. `owner` is false for a co-signer's, whose key bears their name.
pub fn public(directory: &Path, role: &str, owner: bool) -> Result<Option<PublicKey>> {
    let set = Files(directory);
    if !set.path(&format!("{role}.pub")).exists() {
        return Ok(None);
    }
    let Description { development, product, expires, .. } = set.description()?;
    let kind = if development { "development key" } else { "key" };
    let name =
        if owner || product.is_empty() { format!("{role} {kind}") } else { format!("{role} {kind} of {product}") };
    // Only what is installed has a last day of its own; metadata carries its last second.
    let expires = expires.filter(|_| ["base", "site", "licence"].contains(&role));
    Ok(Some(PublicKey { public: set.public(role)?, name, development, expires }))
}

/// The private key of a role in a key set; nothing: it is elsewhere.
pub fn private(directory: &Path, role: &str) -> Result<Option<SigningKey>> {
    let set = Files(directory);
    set.path(&format!("{role}.key")).exists().then(|| set.ed25519(role)).transpose()
}
