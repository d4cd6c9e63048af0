//! One change of a depot, from the first new file to the timestamp that makes it visible.
//!
//! **Order.** Targets first, then the new versions of the metadata, each under a name nothing refers to yet; then their folders are
//! flushed; then the timestamp takes the place of the old one by a rename, and its folder is flushed. Until that rename every client
//! sees the old depot, whole: the old files are still there, since every file has its version or digest in its name. After it every
//! client sees the new one, whole. A run that was cut leaves files that nothing names; the next run writes the same versions again over them.
//!
//! A new root comes last of all, because its number alone makes it visible. Until then clients trust the old keys, afterwards the new
//! ones: so where a change takes keys away, the other files are signed by both ([`Edit::also_by`]), and no moment is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::PathBuf;

use formats::Digest;
use formats::catalogue::Index;
use formats::results::Results;
use formats::tuf::{self, Freshness, Kept, Trouble};
use serde_json::{Value, json};

use super::document::{Document, RoleKeys};
use super::signer::Signers;
use super::state::{Depot, Draft, INDEX, ONLINE, State};
use super::storage::Storage;
use crate::{Error, Result};

/// A change that nobody sees before [`Edit::publish`].
pub struct Edit<'a> {
    depot: &'a Depot,
    /// What the depot will say.
    pub draft: Draft,
    signers: &'a Signers,
    storage: &'a mut dyn Storage,
    now: i64,
    dirty: BTreeSet<String>,
    also: BTreeMap<String, RoleKeys>,
    /// Roles whose next version was made, and signed, before; [`INDEX`] too.
    frozen: BTreeSet<String>,
    /// What scenarios showed of packages to be added.
    pub(super) results: Vec<Results>,
    /// Files with temporary names, and the path below the folder of targets where they belong.
    targets: Vec<(PathBuf, String)>,
    _lock: Option<File>,
}

impl<'a> Edit<'a> {
    /// Begins a change of a depot, and what it says before; nobody else can until the change is dropped.
    pub fn begin(
        depot: &'a Depot,
        signers: &'a Signers,
        storage: &'a mut dyn Storage,
        now: i64,
    ) -> Result<(Self, State)> {
        let lock = lock(depot)?;
        let state = depot.state(Freshness::Waived)?;
        Ok((Self::of(depot, state.draft.clone(), signers, storage, now, Some(lock)), state))
    }

    /// A change of `draft`, whoever has it from where.
    pub(super) fn of(
        depot: &'a Depot,
        draft: Draft,
        signers: &'a Signers,
        storage: &'a mut dyn Storage,
        now: i64,
        lock: Option<File>,
    ) -> Self {
        let (dirty, also, frozen, targets) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new(), Vec::new());
        Self { depot, draft, signers, storage, now, dirty, also, frozen, results: Vec::new(), targets, _lock: lock }
    }

    /// The time of this change, seconds since 1970.
    pub const fn now(&self) -> i64 {
        self.now
    }

    /// The depot.
    pub const fn depot(&self) -> &'a Depot {
        self.depot
    }

    /// A role gets a new version.
    pub fn touch(&mut self, role: &str) {
        self.dirty.insert(role.to_owned());
    }

    /// A role is signed by these keys as well, which it had until now.
    pub fn also_by(&mut self, role: &str, keys: RoleKeys) {
        self.also.insert(role.to_owned(), keys);
    }

    /// The next version of a role as it was made before: it is signed as it is.
    pub(super) fn freeze(&mut self, role: &str, document: Document) {
        self.draft.documents.insert(role.to_owned(), document);
        self.frozen.insert(role.to_owned());
        self.touch(role);
    }

    /// The index as it was shown to signers before: it is published as it is.
    pub(super) fn freeze_index(&mut self, index: Index) {
        self.draft.index = index;
        self.frozen.insert(INDEX.to_owned());
    }

    /// Roles that get a new version.
    pub(super) const fn touched(&self) -> &BTreeSet<String> {
        &self.dirty
    }

    /// Who signs a role beside its keys.
    pub(super) fn also(&self, role: &str) -> Option<&RoleKeys> {
        self.also.get(role)
    }

    /// What it can sign with.
    pub(super) const fn signers(&self) -> &'a Signers {
        self.signers
    }

    /// Copies a file into the depot under a temporary name; its path and digest.
    pub fn stage(&mut self, content: &mut dyn std::io::Read) -> Result<(PathBuf, Digest, u64)> {
        let folder = self.depot.target("");
        self.storage.make_folder(&folder)?;
        let path = folder.join(format!(".new-{}", self.targets.len()));
        let mut hashed = Hashed::new(content);
        let written = self.storage.write(&path, &mut hashed);
        let (digest, length) = hashed.finish();
        // Listed even when it failed, so that what there is of it is removed.
        self.targets.push((path.clone(), String::new()));
        written?;
        Ok((path, digest, length))
    }

    /// Makes the staged file at `path` the target `name` of `role`.
    pub fn list(
        &mut self,
        role: &str,
        name: &str,
        staged: (PathBuf, Digest, u64),
        custom: Option<Value>,
    ) -> Result<()> {
        let (path, digest, length) = staged;
        let target = formats::tuf::Target { length: formats::Bytes(length), digest, custom: None };
        let mut value = json!({"length": length, "hashes": {"sha256": hex::encode(digest.0)}});
        if let (Some(custom), Some(fields)) = (custom, value.as_object_mut()) {
            fields.insert("custom".into(), custom);
        }
        self.draft.document_mut(role)?.object("targets").insert(name.to_owned(), value);
        if let Some(entry) = self.targets.iter_mut().find(|(staged, _)| *staged == path) {
            entry.1 = target.path(name);
        }
        self.touch(role);
        Ok(())
    }

    /// Writes, signs and shows the change. The timestamp is always new.
    pub fn publish(mut self) -> Result<State> {
        self.index()?;
        let mut new: Vec<(String, Vec<u8>)> = Vec::new();
        let last_root = self.dirty.remove("root");
        let delegated: Vec<String> =
            self.dirty.iter().filter(|role| !["snapshot", "timestamp"].contains(&role.as_str())).cloned().collect();
        for role in delegated {
            let bytes = self.signed(&role)?;
            self.name_in("snapshot", &role, &bytes)?;
            new.push((self.versioned(&role)?, bytes));
            self.dirty.insert("snapshot".into());
        }
        if self.dirty.contains("snapshot") {
            let bytes = self.signed("snapshot")?;
            self.name_in("timestamp", "snapshot", &bytes)?;
            new.push((self.versioned("snapshot")?, bytes));
        }
        let timestamp = self.signed("timestamp")?;
        let root = if last_root { Some((self.signed("root")?, self.versioned("root")?)) } else { None };
        // All of it is signed, and seen as a client sees it, before anything gets its name: a key that is missing leaves no trace.
        let last = [("timestamp.json", timestamp.as_slice())];
        let files = new.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).chain(last);
        self.rehearse(&files.chain(root.iter().map(|(bytes, name)| (name.as_str(), bytes.as_slice()))).collect())?;
        self.show_targets()?;
        for (name, bytes) in new {
            self.put(&name, &bytes)?;
        }
        self.storage.sync_folder(&self.depot.metadata(""))?;
        self.put("timestamp.json", &timestamp)?;
        self.storage.sync_folder(&self.depot.metadata(""))?;
        if let Some((bytes, name)) = root {
            self.put(&name, &bytes)?;
            self.storage.sync_folder(&self.depot.metadata(""))?;
        }
        self.depot.state(Freshness::Waived)
    }

    /// The index as a target, when it says something else than before.
    fn index(&mut self) -> Result<()> {
        let known = self.draft.document(ONLINE)?.get("targets").get(INDEX);
        let before = known.and_then(|target| target.pointer("/hashes/sha256")).and_then(Value::as_str);
        let bytes = self.draft.index.encode().map_err(Error::format("the index"))?;
        if before == Some(&hex::encode(Digest::of(&bytes).0)) {
            return Ok(());
        }
        if !self.frozen.contains(INDEX) {
            // Only what says something new gets a new time.
            self.draft.index.created = self.draft.index.created.max(self.now);
        }
        let bytes = self.draft.index.encode().map_err(Error::format("the index"))?;
        let staged = self.stage(&mut bytes.as_slice())?;
        self.list(ONLINE, INDEX, staged, None)
    }

    /// Verifies the depot there will be, with the client that appliances have.
    fn rehearse(&self, new: &BTreeMap<&str, &[u8]>) -> Result<()> {
        let mut read = |name: &str, _: usize| match new.get(name) {
            Some(bytes) => Ok(Some(bytes.to_vec())),
            None => self.depot.read(name),
        };
        let first = read("1.root.json", 0)?.ok_or_else(|| Error::Bug("a depot without its first root".into()))?;
        let kept = Kept::from([("root.json".to_owned(), first)]);
        tuf::refresh(&kept, Freshness::Waived, &mut read).map(drop).map_err(|trouble| match trouble {
            Trouble::Fetch(error) => error,
            Trouble::Refused(refusal) => Error::Verification(format!(
                "appliances would refuse the depot after this change ({refusal}); nothing was changed"
            )),
        })
    }

    /// Gives staged files their names. Nobody sees them before metadata names them.
    pub(super) fn show_targets(&mut self) -> Result<()> {
        let mut folders = BTreeSet::new();
        for (from, to) in self.targets.iter().filter(|(_, to)| !to.is_empty()) {
            let to = self.depot.target(to);
            let folder = to.parent().map(PathBuf::from).unwrap_or_default();
            if !folder.exists() {
                self.storage.make_folder(&folder)?;
                folders.insert(self.depot.target(""));
            }
            self.storage.rename(from, &to)?;
            folders.insert(folder);
        }
        self.targets.retain(|(_, to)| to.is_empty());
        folders.iter().rev().try_for_each(|folder| self.storage.sync_folder(folder))
    }

    /// The next version of a role, signed.
    fn signed(&mut self, role: &str) -> Result<Vec<u8>> {
        let now = self.now;
        if !self.frozen.contains(role) {
            self.draft.document_mut(role)?.renew(now)?;
        }
        let document = self.draft.document(role)?;
        let message = document.message()?;
        let mut signatures: BTreeMap<String, [u8; 64]> =
            self.signers.sign(role, &self.draft.keys(role)?, &message)?.into_iter().collect();
        if let Some(keys) = self.also.get(role) {
            signatures.extend(self.signers.sign(role, keys, &message)?);
        }
        document.file(&signatures)
    }

    fn versioned(&self, role: &str) -> Result<String> {
        Ok(format!("{}.{role}.json", self.draft.document(role)?.version()))
    }

    /// Has snapshot or timestamp name a file.
    fn name_in(&mut self, listing: &str, role: &str, bytes: &[u8]) -> Result<()> {
        let version = self.draft.document(role)?.version();
        let digest = hex::encode(Digest::of(bytes).0);
        let named = json!({"version": version, "length": bytes.len(), "hashes": {"sha256": digest}});
        self.draft.document_mut(listing)?.object("meta").insert(format!("{role}.json"), named);
        Ok(())
    }

    fn put(&mut self, name: &str, mut bytes: &[u8]) -> Result<()> {
        let new = self.depot.metadata(&format!(".new-{name}"));
        self.storage.write(&new, &mut bytes)?;
        self.storage.rename(&new, &self.depot.metadata(name))
    }
}

impl Drop for Edit<'_> {
    fn drop(&mut self) {
        for (path, _) in &self.targets {
            // Best effort: a staged file that stays is overwritten by the next change.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Keeps everybody else from changing the depot until it is dropped.
pub(super) fn lock(depot: &Depot) -> Result<File> {
    let path = depot.folder().join(".lock");
    if !depot.metadata("1.root.json").exists() {
        // Says what is wrong, and leaves no lock in a folder that is no depot.
        depot.state(Freshness::Waived)?;
    }
    let lock = File::create(&path).map_err(Error::io("create", &path))?;
    // Most changes take a moment: it is waited for.
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(20)),
            Err(TryLockError::Error(cause)) => return Err(Error::io("lock", &path)(cause)),
        }
    }
    let folder = depot.folder().display();
    Err(Error::Refused(format!("another program changes the depot \"{folder}\" now; try again when it is done")))
}

const LOCK_TRIES: u32 = 50;

/// An empty document of a delegated role.
pub(super) fn empty_targets(lifetime_days: u32) -> Document {
    Document::new("targets", lifetime_days, json!({"targets": {}}))
}

/// A reader that keeps account of what was read.
pub(super) struct Hashed<'a> {
    inner: &'a mut dyn std::io::Read,
    hasher: sha2::Sha256,
    length: u64,
}

impl<'a> Hashed<'a> {
    pub(super) fn new(inner: &'a mut dyn std::io::Read) -> Self {
        Self { inner, hasher: sha2::Digest::new(), length: 0 }
    }

    /// Digest and length of what was read.
    pub(super) fn finish(self) -> (Digest, u64) {
        (Digest(sha2::Digest::finalize(self.hasher).into()), self.length)
    }
}

impl std::io::Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        sha2::Digest::update(&mut self.hasher, buffer.get(..count).unwrap_or_default());
        self.length += count as u64;
        Ok(count)
    }
}
