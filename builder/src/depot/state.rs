//! What a depot says now, verified as an appliance would verify it before anything is built upon it: what was changed on the publishing
//! machine behind the keys' back is not signed again.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use formats::Digest;
use formats::catalogue::{Catalogue, Entry, Index};
use formats::trust::TrustStore;
use formats::tuf::{self, Freshness, Kept, Targets, Trouble};
use serde_json::Value;

use super::document::{Document, RoleKeys, role_keys};
use crate::{Error, Result};

/// A folder that is a depot.
#[derive(Debug, Clone)]
pub struct Depot {
    folder: PathBuf,
}

/// What a depot says, or is going to.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Every document by the name of its role; the delegated ones too.
    pub documents: BTreeMap<String, Document>,
    /// What the operator says.
    pub index: Index,
}

/// All of its metadata, verified.
#[derive(Debug, Clone)]
pub struct State {
    /// For whoever changes it.
    pub draft: Draft,
    /// For whoever reads it.
    pub verified: tuf::Depot,
}

impl Depot {
    /// The depot in this folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a file of metadata.
    pub fn metadata(&self, name: &str) -> PathBuf {
        self.folder.join("metadata").join(name)
    }

    /// The path of a target, below the folder of targets.
    pub fn target(&self, path: &str) -> PathBuf {
        self.folder.join("targets").join(path)
    }

    /// Reads and verifies everything but the packages.
    pub fn state(&self, freshness: Freshness) -> Result<State> {
        let first = self.metadata("1.root.json");
        let root = fs::read(&first).map_err(|cause| match cause.kind() {
            ErrorKind::NotFound => Error::input(format!(
                "\"{}\" is not a depot: it has no metadata/1.root.json; make one with: bulkhead depot init",
                self.folder.display()
            )),
            _ => Error::io("read", &first)(cause),
        })?;
        let kept = Kept::from([("root.json".to_owned(), root)]);
        let mut read = |name: &str, _: usize| self.read(name);
        let verified = tuf::refresh(&kept, freshness, &mut read).map_err(|trouble| match trouble {
            Trouble::Fetch(error) => error,
            Trouble::Refused(refusal) => Error::Verification(format!("depot \"{}\": {refusal}", self.folder.display())),
        })?;
        let mut documents = BTreeMap::new();
        for (name, bytes) in verified.kept() {
            documents.insert(name.trim_end_matches(".json").to_owned(), Document::read(bytes)?);
        }
        let index = self.index(&verified)?;
        Ok(State { draft: Draft { documents, index }, verified })
    }

    /// A file of metadata; nothing when there is none of this name.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match fs::read(self.metadata(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(Error::io("read", self.metadata(name))(cause)),
        }
    }

    fn index(&self, verified: &tuf::Depot) -> Result<Index> {
        let damaged =
            |problem: &str| Error::Verification(format!("depot \"{}\": {INDEX} {problem}", self.folder.display()));
        let target = verified.target(INDEX).ok_or_else(|| damaged("is not signed for"))?;
        let path = self.target(&target.path(INDEX));
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        if Digest::of(&bytes) != target.digest {
            return Err(damaged("is not the file that was signed for"));
        }
        Index::parse(&bytes).map_err(Error::format(format!("\"{}\"", path.display())))
    }
}

impl Draft {
    /// Who signs a role, and how many of them.
    pub fn keys(&self, role: &str) -> Result<RoleKeys> {
        let missing = || Error::input(format!("this depot has no role \"{role}\""));
        if TOP.contains(&role) {
            let root = self.document("root")?;
            return Ok(role_keys(root.get("roles").get(role).ok_or_else(missing)?, root.get("keys")));
        }
        let delegations = self.document("targets")?.get("delegations");
        let roles = delegations.get("roles").and_then(Value::as_array).into_iter().flatten();
        let found = roles.into_iter().find(|one| one.get("name").and_then(Value::as_str) == Some(role));
        Ok(role_keys(found.ok_or_else(missing)?, delegations.get("keys").unwrap_or(&Value::Null)))
    }

    /// A document that has to be there.
    pub fn document(&self, role: &str) -> Result<&Document> {
        self.documents.get(role).ok_or_else(|| Error::input(format!("this depot has no role \"{role}\"")))
    }

    /// The same, to be changed.
    pub fn document_mut(&mut self, role: &str) -> Result<&mut Document> {
        self.documents.get_mut(role).ok_or_else(|| Error::input(format!("this depot has no role \"{role}\"")))
    }
}

/// Whom appliances of `product` believe about packages when a depot signs these targets. Development builds are taken where one of the keys
/// is a development key.
pub(crate) fn trust_store(targets: &Targets, product: &str) -> formats::Result<TrustStore> {
    let store = |development| targets.trust_store(product, development);
    let development = store(true)?.keys().values().any(|key| key.development);
    store(development)
}

impl State {
    /// What the operator says.
    pub const fn index(&self) -> &Index {
        &self.draft.index
    }

    /// Whom appliances believe about packages.
    pub fn trust_store(&self) -> Result<TrustStore> {
        trust_store(self.verified.targets(), &self.draft.index.product).map_err(Error::format("the depot's keys"))
    }

    /// Every package that is signed for.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for role in PACKAGES {
            let Some(targets) = self.verified.role(role) else { continue };
            for (name, target) in targets.files() {
                let Some(custom) = &target.custom else { continue };
                let wrong = || Error::format(format!("target \"{name}\""));
                let entry = Entry::parse(custom.to_string().as_bytes()).map_err(wrong())?;
                entry.check_target(name).map_err(wrong())?;
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// Packages and index together.
    pub fn catalogue(&self) -> Result<Catalogue> {
        Catalogue::new(self.entries()?, self.draft.index.clone()).map_err(Error::format("the catalogue"))
    }
}

/// The roles that root names.
pub const TOP: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];
/// The delegated roles of packages.
pub const PACKAGES: [&str; 3] = ["base", "site", "licence"];
/// The roles of people, whose keys may be elsewhere; the others are signed on the machine that publishes.
pub const OFFLINE: [&str; 5] = ["root", "targets", "base", "site", "licence"];
/// The delegated role of the index.
pub const ONLINE: &str = "depot";
/// The target with the index.
pub const INDEX: &str = "index/index.json";
