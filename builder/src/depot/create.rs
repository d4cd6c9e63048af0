//! A new depot: version 1 of everything, with nothing to offer yet.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use formats::catalogue::{Index, Ring};
use serde_json::{Map, Value, json};

use super::document::{Document, described};
use super::edit::{Edit, empty_targets};
use super::results::Policy;
use super::signer::Signers;
use super::state::{Depot, Draft, ONLINE, PACKAGES, State, TOP};
use super::storage::Storage;
use crate::ceremony::Request;
use crate::keys::depot::{PublicKey, public};
use crate::{Error, Result};

/// What a depot is made of.
#[derive(Debug)]
pub struct Creation {
    /// The product of all its packages.
    pub product: String,
    /// The owner's key set; of every key the public half has to be there.
    pub keys: PathBuf,
    /// Key sets of others, who sign root, targets and packages as well.
    pub co_signers: Vec<PathBuf>,
    /// How many must sign root.
    pub root_threshold: u32,
    /// How many must sign targets.
    pub targets_threshold: u32,
    /// How many must sign a package and what is said about it.
    pub package_threshold: u32,
    /// Rollout rings.
    pub rings: Vec<Ring>,
    /// Days for which a role is signed, where they are not the usual ones.
    pub lifetimes: BTreeMap<String, u32>,
    /// What has to be shown of packages before they get in.
    pub policy: Policy,
    /// The time, seconds since 1970.
    pub now: i64,
}

impl Creation {
    /// Makes the depot in `folder`, which must not exist or be empty. It appears whole or not at all.
    pub fn run(&self, folder: &Path, commands: &[String], storage: &mut dyn Storage) -> Result<State> {
        appear(folder, self.draft()?, &[], &self.signers(commands), storage, self.now)
    }

    /// Instead of making it: what has to be signed for it. `folder` is not touched.
    pub fn request(&self, commands: &[String]) -> Result<Request> {
        super::request::of_new(self.draft()?, &self.signers(commands), self.now)
    }

    fn signers(&self, commands: &[String]) -> Signers {
        let folders = std::iter::once(&self.keys).chain(&self.co_signers).cloned().collect();
        Signers { folders, commands: commands.to_vec(), ..Signers::default() }
    }

    fn draft(&self) -> Result<Draft> {
        let mut index = Index::new(&self.product, self.now);
        index.rings.clone_from(&self.rings);
        index.encode().map_err(Error::format("the depot"))?;
        let mut documents =
            BTreeMap::from([("root".to_owned(), self.root()?), ("targets".to_owned(), self.targets()?)]);
        for role in self.delegated()? {
            documents.insert(role.to_owned(), empty_targets(self.days(role)));
        }
        for listing in ["snapshot", "timestamp"] {
            documents.insert(listing.into(), Document::new(listing, self.days(listing), json!({"meta": {}})));
        }
        Ok(Draft { documents, index })
    }

    fn root(&self) -> Result<Document> {
        let mut all = Map::new();
        let mut roles = Map::new();
        for role in TOP {
            let (ids, keys) = described(&self.keys_of(role)?)?;
            let threshold = self.threshold(role, ids.len())?;
            roles.insert(role.into(), json!({"keyids": ids, "threshold": threshold}));
            all.extend(keys);
        }
        let body = json!({"consistent_snapshot": true, "keys": all, "roles": roles});
        Ok(Document::new("root", self.days("root"), body))
    }

    fn targets(&self) -> Result<Document> {
        let mut all = Map::new();
        let mut roles = Vec::new();
        for role in self.delegated()? {
            let (ids, keys) = described(&self.keys_of(role)?)?;
            let threshold = self.threshold(role, ids.len())?;
            let paths = [if role == ONLINE { "index/*".into() } else { format!("{role}/*") }];
            let entry: Value =
                json!({"name": role, "keyids": ids, "threshold": threshold, "terminating": true, "paths": paths});
            roles.push(entry);
            all.extend(keys);
        }
        let body = json!({"targets": {}, "delegations": {"keys": all, "roles": roles}});
        let mut targets = Document::new("targets", self.days("targets"), body);
        self.policy.state(&mut targets);
        Ok(targets)
    }

    /// The delegated roles: those of packages that somebody has a key for, and the index.
    fn delegated(&self) -> Result<Vec<&'static str>> {
        let mut roles = Vec::new();
        for role in PACKAGES {
            if role == "base" || !self.keys_of(role)?.is_empty() {
                roles.push(role);
            }
        }
        roles.push(ONLINE);
        Ok(roles)
    }

    /// Online keys are the owner's alone: they are used without anybody looking.
    fn keys_of(&self, role: &str) -> Result<Vec<PublicKey>> {
        let online = ["snapshot", "timestamp", ONLINE].contains(&role);
        let mut found: Vec<PublicKey> = public(&self.keys, role, true)?.into_iter().collect();
        for folder in self.co_signers.iter().filter(|_| !online) {
            found.extend(public(folder, role, false)?);
        }
        Ok(found)
    }

    fn threshold(&self, role: &str, keys: usize) -> Result<u32> {
        let wanted = match role {
            "root" => self.root_threshold,
            "targets" => self.targets_threshold,
            _ if PACKAGES.contains(&role) => self.package_threshold,
            _ => 1,
        };
        if wanted > 0 && usize::try_from(wanted).is_ok_and(|wanted| wanted <= keys) {
            return Ok(wanted);
        }
        Err(Error::input(format!(
            "role {role} is to be signed by {wanted} of {keys} key(s); \"{}\" and the co-signers' folders need {role}.pub (make it with: bulkhead keys depot)",
            self.keys.display()
        )))
    }

    fn days(&self, role: &str) -> u32 {
        self.lifetimes.get(role).copied().unwrap_or_else(|| usual_lifetime(role))
    }
}

/// Makes the depot of `draft` in `folder`, which must not exist or be empty. It appears whole or not at all. The documents of `frozen` have
/// their version and last day already.
pub(super) fn appear(
    folder: &Path,
    draft: Draft,
    frozen: &[String],
    signers: &Signers,
    storage: &mut dyn Storage,
    now: i64,
) -> Result<State> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::Refused(format!("\"{}\" exists and is not empty", folder.display())));
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    storage.make_folder(parent)?;
    let scratch = tempfile::Builder::new()
        .prefix(".depot-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(parent)
        .map_err(Error::io("create a directory in", parent))?;
    let depot = Depot::new(scratch.path());
    for part in ["metadata", "targets"] {
        storage.make_folder(&scratch.path().join(part))?;
    }
    let documents = draft.documents.clone();
    let index = draft.index.clone();
    let mut edit = Edit::of(&depot, draft, signers, storage, now, None);
    edit.freeze_index(index);
    for (role, document) in documents {
        if frozen.contains(&role) {
            edit.freeze(&role, document);
        } else {
            edit.touch(&role);
        }
    }
    let state = edit.publish()?;
    storage.sync_folder(scratch.path())?;
    storage.rename(scratch.path(), folder)?;
    let _moved_away = scratch.keep();
    storage.sync_folder(parent)?;
    Ok(state)
}

/// For how many days a role is signed unless somebody says otherwise: long where people have to come together for it, short where it is how
/// an appliance notices that somebody holds news back.
pub fn usual_lifetime(role: &str) -> u32 {
    match role {
        "timestamp" => 7,
        "snapshot" | ONLINE => 30,
        _ => 365,
    }
}
