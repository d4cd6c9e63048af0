//! Adding a signature to a finished package: for the second person, where appliances want two.
//!
//! Nothing of the package changes but its list of signatures. What the signer puts his name to he sees with `bulkhead inspect` before;
//! that the members are those the manifest lists is checked while the new package is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use ed25519_dalek::Signature;
use formats::Digest;
use formats::package::{self, Claims};
use formats::signature::{self, OneSignature, SignatureSet};
use formats::trust::{Role, key_id};

use crate::ceremony::{Collected, FORMAT, Part, Request};
use crate::package::{PackageFile, write_new};
use crate::{Error, Result, keys};

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Name and version of the package.
    pub release: String,
    /// How many signatures it has now.
    pub signatures: usize,
}

/// Writes to the new file `to` the package `from` with a further signature by the key in `folder` for its kind.
///
/// # Errors
/// [`Error::Refused`] when `to` exists or the key has signed already; [`Error::Input`] when the key is missing or the package is damaged.
pub fn sign(from: &Path, folder: &Path, to: &Path) -> Result<Signed> {
    let package = PackageFile::open(from)?;
    let claims = package.claims()?;
    let role = Role::from(claims.manifest.kind);
    let key = keys::depot::private(folder, &role.to_string())?.ok_or_else(|| {
        Error::input(format!("\"{}\" has no {role}.key to sign a {role} package with", folder.display()))
    })?;
    if is_signed_by(&claims, key_id(&key.verifying_key())) {
        let (from, folder) = (from.display(), folder.display());
        return Err(Error::Refused(format!("\"{from}\" is signed by the {role} key in \"{folder}\" already")));
    }
    let context = || Error::format(format!("the signatures of \"{}\"", from.display()));
    let own = signature::sign(&claims.manifest_bytes, std::slice::from_ref(&key)).map_err(context())?;
    with(&package, &claims, SignatureSet::parse(&own).map_err(context())?, to)
}

/// What somebody elsewhere has to sign for the package `from`.
pub fn request(from: &Path, now: i64) -> Result<Request> {
    let claims = PackageFile::open(from)?.claims()?;
    let part = Part::package(&claims.manifest.kind.to_string(), &claims.manifest_bytes);
    Ok(Request { format: FORMAT, product: claims.manifest.product, made: now, parts: vec![part], change: None })
}

/// Writes to the new file `to` the package `from` with the signatures that were made elsewhere. `request` was made from the same package.
///
/// # Errors
/// [`Error::Verification`] when one of them is not what it says; [`Error::Refused`] when `to` exists or there is no new signature.
pub fn collect(from: &Path, request: &Request, collected: &Collected, to: &Path) -> Result<Signed> {
    let package = PackageFile::open(from)?;
    let claims = package.claims()?;
    let mut new = Vec::new();
    for part in &request.parts {
        let message = part.message()?;
        for (public, raw) in collected.all(&message) {
            let signature = Signature::from_bytes(&raw);
            let id = key_id(&public);
            public.verify_strict(&message, &signature).map_err(|_| {
                Error::Verification(format!("a signature that is said to be by key {} is not", id.short()))
            })?;
            if !is_signed_by(&claims, id) {
                new.push(OneSignature { key_id: id, signature });
            }
        }
    }
    if new.is_empty() {
        return Err(Error::Refused(format!("the answers have no new signature of \"{}\"", from.display())));
    }
    let new = SignatureSet::new(new).map_err(Error::format("the answers"))?;
    with(&package, &claims, new, to)
}

fn is_signed_by(claims: &Claims, id: Digest) -> bool {
    claims.signatures.signatures().iter().any(|one| one.key_id == id)
}

/// Writes the package with these signatures beside those it has; it appears whole or not at all.
fn with(package: &PackageFile, claims: &Claims, new: SignatureSet, to: &Path) -> Result<Signed> {
    let context = || Error::format(format!("the signatures of \"{}\"", package.path.display()));
    let signatures = claims.signatures.clone().merged(new).map_err(context())?;
    let manifest = &claims.manifest;
    let release = format!("{} {} {}", manifest.kind, manifest.name, manifest.version);
    let signed = Signed { release, signatures: signatures.signatures().len() };
    let mut members = members(package)?;
    let mut readers: BTreeMap<&str, &mut dyn Read> =
        members.iter_mut().map(|(name, member)| (name.as_str(), member as &mut dyn Read)).collect();
    write_new(to, &claims.manifest_bytes, &signatures.encode().map_err(context())?, &mut readers)?;
    Ok(signed)
}

/// Where the members behind the signatures are.
fn members(package: &PackageFile) -> Result<BTreeMap<String, Member<'_>>> {
    let read = || Error::io("read", &package.path);
    let mut archive = tar::Archive::new(package.reader()?);
    let mut members = BTreeMap::new();
    for entry in archive.entries_with_seek().map_err(read())? {
        let entry = entry.map_err(read())?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if ![package::MANIFEST, package::SIGNATURES].contains(&name.as_str()) {
            let member = Member { file: &package.file, at: entry.raw_file_position(), left: entry.size() };
            members.insert(name, member);
        }
    }
    Ok(members)
}

/// A part of the file, whoever else reads it.
struct Member<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Member<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
