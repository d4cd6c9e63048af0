//! Adding a signature to a finished package: for the second person, where appliances want two.
//!
//! Nothing of the package changes but its list of signatures. What the signer puts his name to he sees with `bulkhead inspect` before;
//! that the members are those the manifest lists is checked while the new package is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use formats::package;
use formats::signature::{self, SignatureSet};
use formats::trust::{Role, key_id};

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
    let manifest = &claims.manifest;
    let role = Role::from(manifest.kind);
    let key = keys::depot::private(folder, &role.to_string())?.ok_or_else(|| {
        Error::input(format!("\"{}\" has no {role}.key to sign a {role} package with", folder.display()))
    })?;
    let id = key_id(&key.verifying_key());
    if claims.signatures.signatures().iter().any(|one| one.key_id == id) {
        let (from, folder) = (from.display(), folder.display());
        return Err(Error::Refused(format!("\"{from}\" is signed by the {role} key in \"{folder}\" already")));
    }
    let context = || Error::format(format!("the signatures of \"{}\"", from.display()));
    let own = signature::sign(&claims.manifest_bytes, std::slice::from_ref(&key)).map_err(context())?;
    let own = SignatureSet::parse(&own).map_err(context())?;
    let signatures = claims.signatures.clone().merged(own).map_err(context())?;
    let release = format!("{} {} {}", manifest.kind, manifest.name, manifest.version);
    let signed = Signed { release, signatures: signatures.signatures().len() };
    let mut members = members(&package)?;
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
