//! The trust store: which keys may sign what, and how many of them must.
//!
//! It is made by the builder and built into the initramfs, so its bytes are as trusted as the initramfs itself. Each key has one
//! role and an id that is the SHA-256 of the key, so that an id cannot name two keys. Keys marked as development keys count only
//! where the store says so; a release store that lists one can say by name which key it refused.
//!
//! Counting signatures is done in [`crate::signature`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use crate::manifest::{Date, Kind, check_name, check_title};
use crate::{Digest, Error, Result, json};

/// Longest trust store in bytes.
pub const MAX_SIZE: usize = 64 << 10;

/// What a key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Base packages and base slots.
    Base,
    /// Site packages and site slots.
    Site,
    /// Licence packages.
    Licence,
}

/// The keys an appliance believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustStore {
    product: String,
    keys: BTreeMap<Digest, TrustedKey>,
    thresholds: BTreeMap<Role, u32>,
    development_allowed: bool,
}

/// One key of a trust store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// What it may sign.
    pub role: Role,
    /// The ed25519 public key.
    pub public: VerifyingKey,
    /// True when its private half is not kept secret, for example made by `bulkhead init`.
    pub development: bool,
    /// The last day on which something signed with it may be installed; none: it does not expire. What is installed already keeps
    /// starting: a boot must not depend on a clock. See [`crate::signature::VerifiedManifest::check_current`].
    pub expires: Option<Date>,
    /// For people, for example `Example release 2026`: 1 to 64 printable ASCII characters.
    pub name: String,
}

/// The id of a key: SHA-256 of its 32 raw bytes.
pub fn key_id(public: &VerifyingKey) -> Digest {
    Digest::of(public.as_bytes())
}

impl TrustStore {
    /// A store for packages of `product`. `thresholds` gives the number of distinct keys that must sign; a role without a
    /// threshold signs nothing. Refuses the same key twice, weak keys, and a threshold that is zero or above the number of keys.
    pub fn new(
        product: &str,
        keys: Vec<TrustedKey>,
        thresholds: BTreeMap<Role, u32>,
        development_allowed: bool,
    ) -> Result<Self> {
        check_name("product", product)?;
        if keys.len() > MAX_KEYS {
            return Err(Error::invalid(WHAT, format!("{} keys; at most {MAX_KEYS} are allowed", keys.len())));
        }
        let mut by_id = BTreeMap::new();
        for key in keys {
            check_title("key name", &key.name)?;
            let id = key_id(&key.public);
            if key.public.is_weak() {
                return Err(Error::invalid(WHAT, format!("key \"{}\" is weak: anyone can sign for it", key.name)));
            }
            if let Some(other) = by_id.insert(id, key) {
                return Err(Error::invalid(WHAT, format!("key \"{}\" ({}) appears twice", other.name, id.short())));
            }
        }
        let store = Self { product: product.into(), keys: by_id, thresholds, development_allowed };
        store.check_thresholds()?;
        Ok(store)
    }

    fn check_thresholds(&self) -> Result<()> {
        for (role, threshold) in &self.thresholds {
            let keys = u32::try_from(self.keys.values().filter(|key| key.role == *role).count()).unwrap_or(u32::MAX);
            if *threshold == 0 || *threshold > keys {
                return Err(Error::invalid(
                    WHAT,
                    format!("threshold {threshold} of role {role}, which has {keys} keys"),
                ));
            }
        }
        Ok(())
    }

    /// Reads a store from JSON, with the checks of [`TrustStore::new`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let file: StoreFile = json::document(WHAT, bytes, MAX_SIZE, FORMAT)?;
        let keys = file.keys.into_iter().map(KeyEntry::into_key).collect::<Result<_>>()?;
        Self::new(&file.product, keys, file.thresholds, file.development_allowed)
            .map_err(|error| Error::corrupt(WHAT, error.to_string()))
    }

    /// The JSON of this store, keys sorted by id.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let keys = self.keys.iter().map(|(id, key)| KeyEntry {
            id: *id,
            role: key.role,
            public: hex::encode(key.public.as_bytes()),
            development: key.development,
            expires: key.expires,
            name: key.name.clone(),
        });
        let file = StoreFile {
            format: FORMAT,
            product: self.product.clone(),
            keys: keys.collect(),
            thresholds: self.thresholds.clone(),
            development_allowed: self.development_allowed,
        };
        json::encode(WHAT, &file)
    }

    /// The product whose packages these keys sign.
    pub fn product(&self) -> &str {
        &self.product
    }

    /// The key with this id.
    pub fn key(&self, id: &Digest) -> Option<&TrustedKey> {
        self.keys.get(id)
    }

    /// All keys, by id.
    pub const fn keys(&self) -> &BTreeMap<Digest, TrustedKey> {
        &self.keys
    }

    /// How many distinct keys must sign for `role`; none: nothing is accepted for it.
    pub fn threshold(&self, role: Role) -> Option<u32> {
        self.thresholds.get(&role).copied()
    }

    /// True when development keys and development builds are accepted.
    pub const fn development_allowed(&self) -> bool {
        self.development_allowed
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct StoreFile {
    format: u32,
    product: String,
    keys: Vec<KeyEntry>,
    thresholds: BTreeMap<Role, u32>,
    development_allowed: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct KeyEntry {
    id: Digest,
    role: Role,
    public: String,
    development: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Date>,
    name: String,
}

impl KeyEntry {
    fn into_key(self) -> Result<TrustedKey> {
        let bad = |problem: &str| {
            let id = self.id.short();
            Error::corrupt(WHAT, format!("key {id} (\"{}\"): {problem}", json::shown(&self.name)))
        };
        let mut raw = [0; 32];
        hex::decode_to_slice(&self.public, &mut raw)
            .map_err(|_| bad("its public half is not 64 hexadecimal digits"))?;
        let public = VerifyingKey::from_bytes(&raw).map_err(|_| bad("its public half is not an ed25519 key"))?;
        if key_id(&public) != self.id {
            return Err(bad("its id is not the SHA-256 of its public half"));
        }
        let Self { role, development, expires, name, .. } = self;
        Ok(TrustedKey { role, public, development, expires, name })
    }
}

impl From<Kind> for Role {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Base => Self::Base,
            Kind::Site => Self::Site,
            Kind::Licence => Self::Licence,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base => "base",
            Self::Site => "site",
            Self::Licence => "licence",
        })
    }
}

impl fmt::Display for TrustStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let development = if self.development_allowed { "accepted" } else { "refused" };
        writeln!(f, "trust store of product {}, development keys {development}", self.product)?;
        let roles: BTreeSet<Role> = self.thresholds.keys().copied().chain(self.keys.values().map(|k| k.role)).collect();
        for role in roles {
            match self.threshold(role) {
                Some(threshold) => writeln!(f, "  role {role}: {threshold} signature(s) needed")?,
                None => writeln!(f, "  role {role}: nothing is accepted")?,
            }
            for (id, key) in self.keys.iter().filter(|(_, key)| key.role == role) {
                let development = if key.development { " (development)" } else { "" };
                let until = key.expires.map(|day| format!(" (until {day})")).unwrap_or_default();
                writeln!(f, "    key {id} \"{}\"{development}{until}", key.name)?;
            }
        }
        Ok(())
    }
}

const WHAT: &str = "trust store";
const FORMAT: u32 = 1;
const MAX_KEYS: usize = 64;

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
