//! The four kinds of metadata, read from envelopes that were verified.

use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;
use serde_json::{Map, Value};

use super::role::{Envelope, Header, Keys};
use super::{MAX_ROOT, MAX_SNAPSHOT, MAX_TARGETS, MAX_TIMESTAMP, Refusal, Why};
use crate::json::shown;
use crate::manifest::Date;
use crate::trust::{Role, TrustStore, TrustedKey};
use crate::{Bytes, Digest, Error};

/// Who signs what: the root of trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    pub(super) header: Header,
    keys: Keys,
    pub(super) timestamp: Keys,
    pub(super) snapshot: Keys,
    pub(super) targets: Keys,
}

/// A file that snapshot or timestamp names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) version: u64,
    length: Option<u64>,
    digest: Option<Digest>,
}

/// Timestamp or snapshot: versions, lengths and digests of other files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) header: Header,
    pub(super) files: BTreeMap<String, Named>,
}

/// What a role speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    pub(super) header: Header,
    files: BTreeMap<String, Target>,
    delegations: Vec<Delegation>,
}

/// One file of a depot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its length.
    pub length: Bytes,
    /// Its SHA-256.
    pub digest: Digest,
    /// What the role says about it; JSON of the publisher's own.
    pub custom: Option<Value>,
}

/// A role that speaks for some paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Its name.
    pub name: String,
    /// Who signs for it.
    pub keys: Keys,
    /// Patterns; `*` stands for anything but a slash.
    paths: Vec<String>,
    /// Descriptions of its keys, by their ids.
    described: BTreeMap<String, Value>,
}

impl Root {
    /// A root that is trusted because of where it comes from: it is in the image, or was verified before. It still has to be signed by its
    /// own keys.
    pub fn trusted(bytes: &[u8]) -> Result<Self, Refusal> {
        let envelope = Envelope::open("root.json", bytes, MAX_ROOT)?;
        let root = Self::read("root.json", envelope.believed("root")?)?;
        envelope.verified(&root.keys, "root")?;
        Ok(root)
    }

    /// The root after this one: signed by this one's keys and by its own, and its version is the next.
    pub fn next(&self, bytes: &[u8]) -> Result<Self, Refusal> {
        let wanted = self.header.version.saturating_add(1);
        let file = format!("{wanted}.root.json");
        let envelope = Envelope::open(&file, bytes, MAX_ROOT)?;
        let root = Self::read(&file, envelope.verified(&self.keys, "root")?)?;
        envelope.verified(&root.keys, "root")?;
        if root.header.version == wanted {
            return Ok(root);
        }
        let why = if root.header.version < wanted { Why::Rollback } else { Why::Mismatch };
        Err(Refusal::new(&file, why, format!("it is version {}", root.header.version)))
    }

    /// Its version.
    pub const fn version(&self) -> u64 {
        self.header.version
    }

    /// Its last second, since 1970.
    pub const fn expires(&self) -> i64 {
        self.header.expires
    }

    fn read(file: &str, (fields, header): (&Map<String, Value>, Header)) -> Result<Self, Refusal> {
        let malformed = |error: Error| Refusal::new(file, Why::Malformed, error);
        let map = |name: &str| {
            let found = fields.get(name).and_then(Value::as_object);
            found.ok_or_else(|| malformed(Error::corrupt("root", format!("it has no {name}"))))
        };
        if fields.get("consistent_snapshot") != Some(&Value::Bool(true)) {
            return Err(malformed(Error::unsupported("root", "only consistent snapshots are understood")));
        }
        let (keys, roles) = (map("keys")?, map("roles")?);
        let role = |name: &str| {
            let role =
                roles.get(name).ok_or_else(|| malformed(Error::corrupt("root", format!("it has no role {name}"))))?;
            Keys::parse(role, keys).map_err(malformed)
        };
        Ok(Self {
            header,
            keys: role("root")?,
            timestamp: role("timestamp")?,
            snapshot: role("snapshot")?,
            targets: role("targets")?,
        })
    }
}

impl Listing {
    pub(super) fn timestamp(bytes: &[u8], keys: &Keys) -> Result<Self, Refusal> {
        let envelope = Envelope::open("timestamp.json", bytes, MAX_TIMESTAMP)?;
        let listing = Self::read("timestamp.json", envelope.verified(keys, "timestamp")?)?;
        if listing.files.len() == 1 && listing.files.contains_key("snapshot.json") {
            return Ok(listing);
        }
        Err(Refusal::new("timestamp.json", Why::Malformed, "it does not name snapshot.json and nothing else"))
    }

    pub(super) fn snapshot(file: &str, bytes: &[u8], keys: &Keys) -> Result<Self, Refusal> {
        let envelope = Envelope::open(file, bytes, MAX_SNAPSHOT)?;
        Self::read(file, envelope.verified(keys, "snapshot")?)
    }

    fn read(file: &str, (fields, header): (&Map<String, Value>, Header)) -> Result<Self, Refusal> {
        let malformed = |problem: String| Refusal::new(file, Why::Malformed, problem);
        let meta =
            fields.get("meta").and_then(Value::as_object).ok_or_else(|| malformed("it has no \"meta\"".into()))?;
        let files = meta.iter().map(|(name, value)| {
            let named = Named::read(value).map_err(|problem| malformed(format!("\"{}\": {problem}", shown(name))))?;
            Ok((name.clone(), named))
        });
        Ok(Self { header, files: files.collect::<Result<_, Refusal>>()? })
    }
}

impl Named {
    fn read(value: &Value) -> Result<Self, String> {
        let version = value.get("version").and_then(Value::as_u64).filter(|version| *version > 0);
        let length =
            value.get("length").map(|length| length.as_u64().ok_or("its length is not a number")).transpose()?;
        Ok(Self { version: version.ok_or("it has no version")?, length, digest: digest(value)? })
    }

    /// The most bytes to fetch of it.
    pub(super) fn limit(&self, limit: usize) -> usize {
        self.length.and_then(|length| usize::try_from(length).ok()).map_or(limit, |length| length.min(limit))
    }

    /// Whether these bytes are the named ones for certain.
    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        self.digest.is_some_and(|digest| Digest::of(bytes) == digest)
    }

    /// Refuses bytes that are not the named ones; their version is checked by [`Named::check_version`].
    pub(super) fn check(&self, file: &str, bytes: &[u8]) -> Result<(), Refusal> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(wanted) = self.length.filter(|wanted| *wanted != length) {
            return Err(Refusal::new(file, Why::Mismatch, format!("{length} bytes; {wanted} were signed for")));
        }
        match self.digest {
            Some(wanted) if Digest::of(bytes) != wanted => {
                Err(Refusal::new(file, Why::Mismatch, "its SHA-256 is not the one that was signed for"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_version(&self, file: &str, header: Header) -> Result<(), Refusal> {
        if header.version == self.version {
            return Ok(());
        }
        let problem = format!("it is version {}; version {} was signed for", header.version, self.version);
        Err(Refusal::new(file, Why::Mismatch, problem))
    }
}

impl Targets {
    pub(super) fn verified(file: &str, bytes: &[u8], keys: &Keys) -> Result<Self, Refusal> {
        let envelope = Envelope::open(file, bytes, MAX_TARGETS)?;
        let (fields, header) = envelope.verified(keys, "targets")?;
        let malformed = |problem: String| Refusal::new(file, Why::Malformed, problem);
        let list =
            fields.get("targets").and_then(Value::as_object).ok_or_else(|| malformed("it has no targets".into()))?;
        let targets = list.iter().map(|(name, value)| {
            let target = Target::read(value).map_err(|problem| malformed(format!("\"{}\": {problem}", shown(name))))?;
            Ok((name.clone(), target))
        });
        let files = targets.collect::<Result<_, Refusal>>()?;
        let delegations = match fields.get("delegations") {
            None => Vec::new(),
            Some(value) => delegations(value).map_err(|error| malformed(error.to_string()))?,
        };
        Ok(Self { header, files, delegations })
    }

    /// Its files.
    pub const fn files(&self) -> &BTreeMap<String, Target> {
        &self.files
    }

    /// The roles it delegates to, in order.
    pub fn delegations(&self) -> &[Delegation] {
        &self.delegations
    }

    /// Its last second, since 1970.
    pub const fn expires(&self) -> i64 {
        self.header.expires
    }

    /// Whom an appliance of `product` believes about packages: the keys of the delegated roles base, site and licence, with their thresholds.
    pub fn trust_store(&self, product: &str, development_allowed: bool) -> crate::Result<TrustStore> {
        let mut keys = Vec::new();
        let mut thresholds = BTreeMap::new();
        for role in [Role::Base, Role::Site, Role::Licence] {
            let Some(delegation) = self.delegations.iter().find(|one| one.name == role.to_string()) else { continue };
            let threshold = u32::try_from(delegation.keys.threshold()).unwrap_or(u32::MAX);
            thresholds.insert(role, threshold);
            for (id, public) in delegation.keys.keys() {
                keys.push(trusted_key(role, public, delegation.described.get(id).and_then(|key| key.get("bulkhead")))?);
            }
        }
        TrustStore::new(product, keys, thresholds, development_allowed)
    }
}

/// A key with what its description says beyond TUF: `{"name": …, "development": …, "expires": …}`, each optional.
fn trusted_key(role: Role, public: &VerifyingKey, about: Option<&Value>) -> crate::Result<TrustedKey> {
    let field = |name: &str| about.and_then(|about| about.get(name));
    let expires = field("expires").and_then(Value::as_str).map(str::parse::<Date>).transpose()?;
    Ok(TrustedKey {
        role,
        public: *public,
        development: field("development").and_then(Value::as_bool).unwrap_or(false),
        expires,
        name: field("name").and_then(Value::as_str).map_or_else(|| format!("{role} key"), str::to_owned),
    })
}

impl Target {
    fn read(value: &Value) -> Result<Self, String> {
        let length = value.get("length").and_then(Value::as_u64).ok_or("it has no length")?;
        let digest = digest(value)?.ok_or("it has no SHA-256")?;
        Ok(Self { length: Bytes(length), digest, custom: value.get("custom").cloned() })
    }
}

impl Delegation {
    /// Whether it may speak for this target.
    pub fn covers(&self, target: &str) -> bool {
        self.paths.iter().any(|pattern| matches(pattern, target))
    }

    fn read(role: &Value, keys: &Map<String, Value>) -> crate::Result<Self> {
        let bad = |problem: &str| Error::corrupt("delegation", problem);
        let name = role.get("name").and_then(Value::as_str).ok_or_else(|| bad("it has no name"))?;
        crate::manifest::check_name("role", name)?;
        let paths = role.get("paths").and_then(Value::as_array);
        let paths = paths.ok_or_else(|| Error::unsupported("delegation", "only delegation by paths is understood"))?;
        let paths = paths.iter().map(|path| path.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
        let paths = paths.ok_or_else(|| bad("a path is not text"))?;
        if paths.iter().any(|path| path.contains(['?', '[', '\\'])) {
            return Err(Error::unsupported("delegation", "only \"*\" is understood in paths"));
        }
        let described = keys.iter().map(|(id, key)| (id.clone(), key.clone())).collect();
        Ok(Self { name: name.into(), keys: Keys::parse(role, keys)?, paths, described })
    }
}

fn delegations(value: &Value) -> crate::Result<Vec<Delegation>> {
    let bad = |problem: &str| Error::corrupt("delegations", problem);
    let keys = value.get("keys").and_then(Value::as_object).ok_or_else(|| bad("they have no keys"))?;
    let roles = value.get("roles").and_then(Value::as_array).ok_or_else(|| bad("they have no list of roles"))?;
    if roles.len() > MAX_ROLES {
        return Err(bad("they are more than 64"));
    }
    let list: Vec<Delegation> = roles.iter().map(|role| Delegation::read(role, keys)).collect::<crate::Result<_>>()?;
    let twice = list.iter().enumerate().any(|(at, one)| list.iter().take(at).any(|other| other.name == one.name));
    if twice { Err(bad("a role is named twice")) } else { Ok(list) }
}

/// `*` stands for any run of characters but a slash.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|tail| {
            let reach = tail.find('/').unwrap_or(tail.len());
            let ends = tail.char_indices().map(|(at, _)| at).chain([tail.len()]).take_while(|at| *at <= reach);
            ends.into_iter().any(|at| tail.get(at..).is_some_and(|tail| matches(rest, tail)))
        }),
    }
}

fn digest(value: &Value) -> Result<Option<Digest>, String> {
    let Some(hashes) = value.get("hashes") else { return Ok(None) };
    let Some(text) = hashes.get("sha256").and_then(Value::as_str) else { return Ok(None) };
    let mut raw = [0; 32];
    hex::decode_to_slice(text, &mut raw).map_err(|_| "its SHA-256 is not 64 hexadecimal digits")?;
    Ok(Some(Digest(raw)))
}

const MAX_ROLES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_speaks_for_its_folder_and_nothing_below() {
        for (pattern, name, wanted) in [
            ("base/*", "base/os-1.0.0.pkg", true),
            ("base/*", "base/", true),
            ("base/*", "base/a/b", false),
            ("base/*", "site/os-1.0.0.pkg", false),
            ("base/*", "xbase/os", false),
            ("base/*.pkg", "base/os-1.0.0.pkg", true),
            ("base/*.pkg", "base/os-1.0.0.pkg.md", false),
            ("*", "a", true),
            ("*", "a/b", false),
            ("a", "a", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
