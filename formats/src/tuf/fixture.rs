//! A small publisher for tests: keys, roles, and a folder of files that can be tampered with.

use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use super::{Freshness, Kept, Trouble, canonical, key_id, key_value};
use crate::Digest;

pub(crate) const NOW: i64 = 1_700_000_000;
const LATER: &str = "2031-12-31T00:00:00Z";

/// The key with this number.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// `signed` in its envelope.
pub(crate) fn envelope(signed: &Value, keys: &[u8]) -> Value {
    let message = canonical(signed).unwrap();
    let signatures: Vec<Value> = keys
        .iter()
        .map(|number| {
            let key = key(*number);
            let id = key_id(&key_value(&key.verifying_key(), None)).unwrap();
            json!({"keyid": id, "sig": hex::encode(key.sign(&message).to_bytes())})
        })
        .collect();
    json!({"signed": signed, "signatures": signatures})
}

fn described(keys: &[u8]) -> (Vec<String>, serde_json::Map<String, Value>) {
    let values = keys.iter().map(|number| key_value(&key(*number).verifying_key(), None));
    let map: serde_json::Map<String, Value> = values.map(|value| (key_id(&value).unwrap(), value)).collect();
    (map.keys().cloned().collect(), map)
}

/// Versions and keys of one depot; [`Publisher::files`] makes its metadata.
#[derive(Clone)]
pub(crate) struct Publisher {
    /// Keys of root, one version after the other; each is signed by the ones before too.
    pub(crate) roots: Vec<Vec<u8>>,
    pub(crate) timestamp: (u64, u8),
    pub(crate) snapshot: (u64, u8),
    /// Version, keys, threshold.
    pub(crate) targets: (u64, Vec<u8>),
    /// Role, version, key.
    pub(crate) roles: BTreeMap<&'static str, (u64, u8)>,
    /// Target, content.
    pub(crate) content: BTreeMap<&'static str, &'static str>,
    /// The last second, by file.
    pub(crate) expires: BTreeMap<&'static str, &'static str>,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        Self {
            roots: vec![vec![1]],
            timestamp: (1, 10),
            snapshot: (1, 11),
            targets: (1, vec![12]),
            roles: BTreeMap::from([("base", (1, 20)), ("site", (1, 21))]),
            content: BTreeMap::from([("base/os-1.0.0.pkg", "os"), ("site/app-1.0.0.pkg", "app")]),
            expires: BTreeMap::new(),
        }
    }

    fn header(&self, kind: &str, file: &str, version: u64) -> Value {
        let expires = self.expires.get(file).copied().unwrap_or(LATER);
        json!({"_type": kind, "spec_version": "1.0.31", "version": version, "expires": expires})
    }

    /// What root number `version` says.
    pub(crate) fn root(&self, version: usize) -> Value {
        let mut signed = self.header("root", "root.json", version as u64);
        let mut all = serde_json::Map::new();
        let mut roles = serde_json::Map::new();
        let of_role = [
            ("root", self.roots[version - 1].clone()),
            ("timestamp", vec![self.timestamp.1]),
            ("snapshot", vec![self.snapshot.1]),
            ("targets", self.targets.1.clone()),
        ];
        for (role, keys) in of_role {
            let (ids, map) = described(&keys);
            roles.insert(role.into(), json!({"keyids": ids, "threshold": keys.len()}));
            all.extend(map);
        }
        signed["consistent_snapshot"] = true.into();
        signed["keys"] = all.into();
        signed["roles"] = roles.into();
        signed
    }

    fn role(&self, role: &str, version: u64) -> Value {
        let mut signed = self.header("targets", role, version);
        let targets: serde_json::Map<String, Value> = self
            .content
            .iter()
            .filter(|(name, _)| name.starts_with(role))
            .map(|(name, content)| {
                let digest = hex::encode(Digest::of(content.as_bytes()).0);
                ((*name).into(), json!({"length": content.len(), "hashes": {"sha256": digest}}))
            })
            .collect();
        signed["targets"] = targets.into();
        signed
    }

    fn delegations(&self) -> Value {
        let mut keys = serde_json::Map::new();
        let roles: Vec<Value> = self
            .roles
            .iter()
            .map(|(role, (_, number))| {
                let (ids, map) = described(&[*number]);
                keys.extend(map);
                let paths = [format!("{role}/*")];
                json!({"name": role, "keyids": ids, "threshold": 1, "terminating": true, "paths": paths})
            })
            .collect();
        json!({"keys": keys, "roles": roles})
    }

    /// Every file of metadata.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for version in 1..=self.roots.len() {
            let mut signers: Vec<u8> = self.roots[version - 1].clone();
            signers.extend(self.roots.get(version.wrapping_sub(2)).into_iter().flatten());
            signers.dedup();
            files.insert(
                format!("{version}.root.json"),
                self.root(version).pipe(|root| envelope(&root, &signers)).bytes(),
            );
        }
        let mut meta = serde_json::Map::new();
        let mut add = |name: String, version: u64, bytes: Vec<u8>| {
            meta.insert(name.clone(), named(version, &bytes));
            files.insert(format!("{version}.{name}"), bytes);
        };
        for (role, (version, number)) in &self.roles {
            add(format!("{role}.json"), *version, envelope(&self.role(role, *version), &[*number]).bytes());
        }
        let mut targets = self.header("targets", "targets.json", self.targets.0);
        targets["targets"] = json!({});
        targets["delegations"] = self.delegations();
        add("targets.json".into(), self.targets.0, envelope(&targets, &self.targets.1).bytes());

        let mut snapshot = self.header("snapshot", "snapshot.json", self.snapshot.0);
        snapshot["meta"] = meta.into();
        let snapshot = envelope(&snapshot, &[self.snapshot.1]).bytes();
        let mut timestamp = self.header("timestamp", "timestamp.json", self.timestamp.0);
        timestamp["meta"] = json!({"snapshot.json": named(self.snapshot.0, &snapshot)});
        files.insert(format!("{}.snapshot.json", self.snapshot.0), snapshot);
        files.insert("timestamp.json".into(), envelope(&timestamp, &[self.timestamp.1]).bytes());
        files
    }

    /// Lists `files` anew and signs that, as a thief of the online keys would after changing one of them.
    pub(crate) fn relist(&self, files: &mut BTreeMap<String, Vec<u8>>) {
        let name = format!("{}.snapshot.json", self.snapshot.0);
        let open = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["signed"].take();
        let mut snapshot = open(&files[&name]);
        for (file, entry) in snapshot["meta"].as_object_mut().unwrap() {
            let version = entry["version"].as_u64().unwrap();
            *entry = named(version, &files[&format!("{version}.{file}")]);
        }
        let snapshot = envelope(&snapshot, &[self.snapshot.1]).bytes();
        let mut timestamp = open(&files["timestamp.json"]);
        timestamp["meta"]["snapshot.json"] = named(self.snapshot.0, &snapshot);
        files.insert(name, snapshot);
        files.insert("timestamp.json".into(), envelope(&timestamp, &[self.timestamp.1]).bytes());
    }

    /// What an appliance was delivered with.
    pub(crate) fn delivered(&self) -> Kept {
        Kept::from([("root.json".into(), self.files()["1.root.json"].clone())])
    }

    /// One version up of everything that every publication changes.
    pub(crate) fn publish(&mut self) {
        self.timestamp.0 += 1;
        self.snapshot.0 += 1;
        self.targets.0 += 1;
        self.roles.values_mut().for_each(|(version, _)| *version += 1);
    }
}

fn named(version: u64, bytes: &[u8]) -> Value {
    json!({"version": version, "length": bytes.len(), "hashes": {"sha256": hex::encode(Digest::of(bytes).0)}})
}

/// Refreshes from `files`; every request is counted.
pub(crate) fn refresh(
    kept: &Kept,
    freshness: Freshness,
    files: &BTreeMap<String, Vec<u8>>,
) -> (Result<super::Depot, Trouble<String>>, Vec<String>) {
    let mut asked = Vec::new();
    let result = super::refresh(kept, freshness, &mut |name, _| {
        asked.push(name.to_owned());
        Ok(files.get(name).cloned())
    });
    (result, asked)
}

pub(crate) trait Small: Sized {
    fn pipe<T>(self, then: impl FnOnce(Self) -> T) -> T {
        then(self)
    }
}
impl Small for Value {}

pub(crate) trait ToBytes {
    fn bytes(&self) -> Vec<u8>;
}
impl ToBytes for Value {
    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap()
    }
}
