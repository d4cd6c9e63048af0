//! Signing on another machine: a request that is carried there, and an answer that is carried back (`docs/depot.md`).
//!
//! It guarantees that what is shown to the signer is what is signed: both follow from the same document in the request, never from a text
//! beside it, and each message stands for the whole request ([`binding`]). An answer is bound to the SHA-256 of the exact message, so it fits no
//! request that was altered before or after. Secrets travel in neither. What becomes of the signatures is left to [`crate::depot`] and [`crate::sign`].

mod answer;
pub(crate) mod binding;
mod facts;
mod summary;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::VerifyingKey;
use formats::catalogue::{Entry, Index, MAX_ENTRIES};
use formats::manifest::Manifest;
use formats::{Digest, signature, tuf};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::depot::OFFLINE;
use crate::{Error, Result};

pub use answer::{Answer, Collected, answer};
pub use summary::Shown;

/// What somebody else is to sign. A machine file: unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Request {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The product all of it is for.
    pub product: String,
    /// When it was made, seconds since 1970.
    pub made: i64,
    /// Each message to sign.
    pub parts: Vec<Part>,
    /// How to go on with a depot; the signer needs none of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Part {
    /// The role that signs.
    pub role: String,
    /// What is signed.
    #[serde(flatten)]
    pub content: Content,
    /// Sets of keys, each of which has to sign up to its threshold; none: every key of the role's kind is welcome.
    #[serde(default)]
    pub wanted: Vec<Wanted>,
    /// Signatures that could be made at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
}

/// What the bytes to sign follow from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Content {
    /// A file of metadata; its canonical form is signed.
    Metadata {
        /// What it says.
        document: Value,
        /// The file before, with its signatures.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Value>,
    },
    /// A package.
    Package {
        /// Its manifest, base64 of the exact bytes.
        manifest: String,
    },
}

/// Keys of which so many have to sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wanted {
    /// How many.
    pub threshold: usize,
    /// Public keys, 64 hexadecimal digits each.
    pub keys: Vec<String>,
}

/// A signature of one part by one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Signature {
    /// SHA-256 of the message.
    pub message: Digest,
    /// The public key, 64 hexadecimal digits.
    pub key: String,
    /// 128 hexadecimal digits.
    pub signature: String,
}

/// What else a change of a depot consists of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// Old keys of a role cannot sign any more.
    #[serde(default)]
    pub lost: bool,
    /// What the index will say, when that changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Index>,
    /// The index that it takes the place of; none with a new depot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_before: Option<Index>,
    /// Of a depot that does not exist yet: the documents that are signed on the machine that publishes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub new: BTreeMap<String, Value>,
}

impl Request {
    /// Reads a request.
    pub fn read(path: &Path) -> Result<Self> {
        let request: Self = read_file(path, "request")?;
        check_format(path, "request", request.format)?;
        for part in &request.parts {
            part.check()?;
        }
        if request.parts.is_empty() {
            return Err(Error::input(format!("request \"{}\" asks for nothing", path.display())));
        }
        if let Some(index) = request.change.as_ref().and_then(|change| change.index.as_ref()) {
            index.encode().map_err(Error::format(format!("the index in request \"{}\"", path.display())))?;
        }
        request.check_bound()?;
        Ok(request)
    }

    /// Writes it to a new file.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_file(path, self)
    }

    /// Signatures that are in the request already.
    pub fn signatures(&self) -> impl Iterator<Item = &Signature> {
        self.parts.iter().flat_map(|part| &part.signatures)
    }
}

impl Part {
    /// The exact bytes to sign.
    pub fn message(&self) -> Result<Vec<u8>> {
        match &self.content {
            Content::Metadata { document, .. } => {
                tuf::canonical(document).map_err(Error::format(format!("the request's {} metadata", self.role)))
            }
            Content::Package { .. } => Ok(signature::message(&self.manifest()?).to_vec()),
        }
    }

    /// Whether it is something its role signs: nobody gets a signature of something else by another name.
    fn check(&self) -> Result<()> {
        let fits = match &self.content {
            Content::Metadata { document, .. } => {
                check_packages(document)?;
                let kind = if self.role == "root" { "root" } else { "targets" };
                OFFLINE.contains(&self.role.as_str()) && document["_type"] == kind
            }
            Content::Package { .. } => {
                let manifest = self.manifest()?;
                let manifest = Manifest::parse(&manifest).map_err(Error::format("the manifest in the request"))?;
                manifest.kind.to_string() == self.role
            }
        };
        self.message()?;
        if fits {
            Ok(())
        } else {
            Err(Error::input(format!(
                "the request has something to sign that role \"{}\" does not",
                self.role.escape_debug()
            )))
        }
    }

    /// The manifest of a package.
    pub fn manifest(&self) -> Result<Vec<u8>> {
        let damaged = || Error::input("the request holds no manifest that can be read".to_owned());
        match &self.content {
            Content::Package { manifest } => BASE64.decode(manifest).map_err(|_| damaged()),
            Content::Metadata { .. } => Err(damaged()),
        }
    }

    /// A part for a package with this manifest.
    pub fn package(role: &str, manifest: &[u8]) -> Self {
        let content = Content::Package { manifest: BASE64.encode(manifest) };
        Self { role: role.to_owned(), content, wanted: Vec::new(), signatures: Vec::new() }
    }

    /// Whether this key is one of those that are to sign.
    pub fn wants(&self, public: &VerifyingKey) -> bool {
        let key = hex::encode(public.as_bytes());
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted.keys.contains(&key))
    }
}

/// What is said about packages is what an appliance reads, within its limits: no more of it than people can be shown.
fn check_packages(document: &Value) -> Result<()> {
    let targets = document.get("targets").and_then(Value::as_object);
    let packages = targets.into_iter().flatten().filter_map(|(name, target)| Some((name, target.get("custom")?)));
    let wrong = |name: &str| Error::format(format!("\"{}\" in the request", name.escape_debug()));
    for (number, (name, custom)) in (1..).zip(packages) {
        let entry = Entry::parse(custom.to_string().as_bytes()).map_err(wrong(name))?;
        entry.check_target(name).map_err(wrong(name))?;
        if number > MAX_ENTRIES {
            return Err(Error::input(format!("the request has more than {MAX_ENTRIES} packages of one kind")));
        }
    }
    Ok(())
}

/// Reads a JSON file of ours.
fn read_file<T: serde::de::DeserializeOwned>(path: &Path, what: &str) -> Result<T> {
    let length = fs::metadata(path).map_err(Error::io("read", path))?.len();
    if length > MAX_FILE {
        return Err(Error::input(format!("\"{}\" has {length} bytes; no {what} is over {MAX_FILE}", path.display())));
    }
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&bytes)
        .map_err(|cause| Error::input(format!("\"{}\" is not a {what}: {cause}", path.display())))
}

fn check_format(path: &Path, what: &str, format: u32) -> Result<()> {
    if format == FORMAT {
        return Ok(());
    }
    let path = path.display();
    let way_out = if format < FORMAT { "make it again" } else { "use a newer bulkhead" };
    Err(Error::input(format!("{what} \"{path}\" has format {format}, this program reads {FORMAT}; {way_out}")))
}

/// Writes a JSON file that did not exist; it is on disk when this returns.
fn write_file(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut json =
        serde_json::to_vec_pretty(value).map_err(|cause| Error::Bug(format!("cannot encode a file: {cause}")))?;
    json.push(b'\n');
    let mut file = fs::File::create_new(path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::Refused(format!("\"{}\" exists; choose another name", path.display()))
        }
        _ => Error::io("create", path)(cause),
    })?;
    file.write_all(&json).and_then(|()| file.sync_all()).map_err(Error::io("write", path))
}

/// The version of both files.
pub const FORMAT: u32 = 2;
/// Longer ones are not read: the longest metadata, twice, and room for more.
const MAX_FILE: u64 = 64 << 20;
