//! What was verified of a depot last, kept on the data partition.
//!
//! All of it is one file that is replaced by one rename: after a power cut there is the whole old set or the whole new one, never an index
//! beside metadata that does not know it. Whoever had the disk in hand may have written the file, so nothing is believed because it lies
//! here: the roots are verified from the one in the base on, one after the other, and everything else from the newest of them, each time
//! it is read. Such a person can only make the appliance forget what it has seen. A file that is there and does not verify is said to be
//! damaged, and nothing is decided without it: it tells which keys the depot took away.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;

use formats::catalogue::{Catalogue, Entry, Index};
use formats::tuf::{self, Depot, Freshness, Kept, Refusal, Root, Target, Why};
use serde::{Deserialize, Serialize};

use super::setting::WRITING;
use super::{Places, Trouble};
use crate::api::Problem;
use crate::error::{At, Doing, Error, Result};
use crate::plain_file;

/// What is kept. Files are text: metadata is JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stored {
    format: u32,
    /// When it was verified by the machine's clock, seconds since 1970.
    pub checked: i64,
    /// The root the files were verified from.
    root_version: u64,
    /// Roots that were seen, each version after the ones before it.
    roots: Vec<String>,
    /// The files by name, without the root.
    files: BTreeMap<String, String>,
    /// The index.
    index: String,
}

/// What a depot says, verified.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its metadata.
    pub depot: Depot,
    /// Its packages, and what its operator says about them.
    pub catalogue: Catalogue,
    /// When it was asked.
    pub checked: i64,
}

/// How the last check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attempt {
    /// When, by the machine's clock, seconds since 1970.
    pub time: i64,
    /// Why it failed; nothing when it did not.
    pub problem: Option<Problem>,
}

impl Known {
    /// The package files of the depot.
    pub fn packages(&self) -> impl Iterator<Item = &Target> {
        self.catalogue.entries().keys().filter_map(|id| self.depot.target(&id.target()))
    }
}

/// What a refresh of metadata begins with.
pub(super) struct Beginning {
    pub(super) kept: Kept,
    pub(super) stored: Stored,
    /// An older base came back, from whose root no chain of what is kept leads to the root that verified it.
    older_base: bool,
}

impl Places {
    /// The newest root there is a chain to, and the files verified before.
    pub(super) fn beginning(&self) -> Result<Beginning> {
        self.beginning_with(self.stored()?)
    }

    /// The same; when what was kept is damaged, what verifies of it is begun with, and a sentence says so.
    pub(super) fn beginning_anyhow(&self) -> Result<(Beginning, Option<String>)> {
        match self.known() {
            Err(Error::Depot(trouble)) if matches!(*trouble, Trouble::Damaged { .. }) => {
                let beginning = self.beginning_with(self.stored().unwrap_or_default())?;
                Ok((beginning, Some(trouble.to_string())))
            }
            _ => Ok((self.beginning()?, None)),
        }
    }

    /// The version of the newest root this appliance knows; what is to be said when what was kept is damaged.
    pub fn newest_root(&self) -> Result<(u64, Option<String>)> {
        let (beginning, damage) = self.beginning_anyhow()?;
        let root = beginning.kept.get("root.json").map(Vec::as_slice).unwrap_or_default();
        let root = Root::trusted(root).map_err(|refusal| self.damaged(&refusal))?;
        Ok((root.version(), damage))
    }

    fn beginning_with(&self, stored: Stored) -> Result<Beginning> {
        let path = self.shipped.join("root.json");
        let shipped = match plain_file::read(&path, tuf::MAX_ROOT) {
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Err(Trouble::NoRoot(path).into()),
            bytes => bytes.doing(|| format!("read \"{}\"", path.display()))?,
        };
        let refused = |refusal: Refusal| Trouble::Refused { refusal, place: format!("\"{}\"", path.display()) };
        let (mut root, mut newest) = (Root::trusted(&shipped).map_err(refused)?, shipped);
        for next in &stored.roots {
            if let Ok(next_root) = root.next(next.as_bytes()) {
                (root, newest) = (next_root, next.clone().into_bytes());
            }
        }
        let files = stored.files.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes()));
        let mut kept: Kept = files.filter(|(name, _)| name != "root.json").collect();
        if root.version() > stored.root_version {
            // The base brought a newer root, which may have taken keys away whose thief drove these versions up.
            kept.remove("timestamp.json");
            kept.remove("snapshot.json");
        }
        kept.insert("root.json".into(), newest);
        Ok(Beginning { kept, older_base: root.version() < stored.root_version, stored })
    }

    /// What is known of the depot without asking it. How old it may be is for others to judge.
    pub fn known(&self) -> Result<Known> {
        let Beginning { kept, stored, older_base } = self.beginning()?;
        let Some(timestamp) = kept.get("timestamp.json").cloned() else { return Err(Trouble::NotChecked.into()) };
        let replayed = tuf::refresh(&kept, Freshness::Waived, &mut |name, _| {
            Ok::<_, std::convert::Infallible>((name == "timestamp.json").then(|| timestamp.clone()))
        });
        let depot = replayed.map_err(|trouble| match trouble {
            tuf::Trouble::Fetch(never) => match never {},
            tuf::Trouble::Refused(_) if older_base => Trouble::NotChecked,
            tuf::Trouble::Refused(refusal) => self.damaged(&refusal),
        })?;
        let catalogue = catalogue(&depot, stored.index.as_bytes()).map_err(|problem| match problem {
            Error::Depot(trouble) => match *trouble {
                Trouble::Refused { refusal, .. } => self.damaged(&refusal),
                other => self.damaged(&other),
            },
            other => self.damaged(&other),
        })?;
        Ok(Known { depot, catalogue, checked: stored.checked })
    }

    /// The same, or nothing when the depot was never asked or there is none. Not so when what is kept is damaged: whoever goes on
    /// without it would believe keys that were taken away.
    pub fn known_if_any(&self) -> Result<Option<Known>> {
        match self.known() {
            Ok(known) => Ok(Some(known)),
            Err(Error::Depot(trouble)) if matches!(*trouble, Trouble::NotChecked | Trouble::NoRoot(_)) => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// Keeps what was just verified.
    pub(super) fn keep(
        &self,
        depot: &Depot,
        new_roots: Vec<Vec<u8>>,
        index: Vec<u8>,
        before: Stored,
        now: i64,
    ) -> Result<()> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| Error::Bug("metadata that is no text".into()));
        let mut roots = before.roots;
        for root in new_roots {
            let root = text(root)?;
            roots.retain(|known| *known != root);
            roots.push(root);
        }
        let surplus = roots.len().saturating_sub(ROOTS);
        roots.drain(..surplus);
        let files = depot.kept().iter().filter(|(name, _)| *name != "root.json");
        let files = files.map(|(name, bytes)| Ok((name.clone(), text(bytes.clone())?))).collect::<Result<_>>()?;
        let root_version = depot.root().version();
        let stored = Stored { format: FORMAT, checked: now, root_version, roots, files, index: text(index)? };
        self.write("metadata.json", &stored)
    }

    /// How the last check ended; nothing when there was none.
    pub fn attempt(&self) -> Option<Attempt> {
        let bytes = plain_file::read(&self.folder().join("attempt.json"), ATTEMPT).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Remembers how a check ended.
    pub(crate) fn remember(&self, attempt: &Attempt) -> Result<()> {
        self.write("attempt.json", attempt)
    }

    /// What is kept; nothing when the depot was never asked.
    fn stored(&self) -> Result<Stored> {
        let bytes = match plain_file::read(&self.kept(), LIMIT) {
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(Stored::default()),
            bytes => bytes.map_err(|cause| self.damaged(&cause))?,
        };
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|cause| self.damaged(&cause))?;
        if stored.format != FORMAT {
            return Err(self
                .damaged(&format!("it has format {}, and this agent knows {FORMAT}", stored.format))
                .into());
        }
        Ok(stored)
    }

    /// Removes what a power cut left in the folder that never got its name. Call it while nobody asks the depot.
    pub fn tidy(&self) -> Result<()> {
        let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        for name in ["metadata.new", "attempt.new", "appliance.new"] {
            let path = self.folder().join(name);
            plain_file::remove_if_there(&path).doing(|| format!("remove \"{}\"", path.display()))?;
        }
        Ok(())
    }

    fn kept(&self) -> PathBuf {
        self.folder().join("metadata.json")
    }

    fn damaged(&self, cause: &impl std::fmt::Display) -> Trouble {
        Trouble::Damaged { path: self.kept(), cause: cause.to_string() }
    }

    fn write(&self, name: &str, content: &impl Serialize) -> Result<()> {
        let path = self.folder().join(name);
        let doing = || format!("write \"{}\"", path.display());
        let bytes = serde_json::to_vec(content).doing(doing)?;
        let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all(self.folder()).doing(doing)?;
        plain_file::replace(&path, &path.with_extension("new"), &bytes, 0o600).doing(doing)
    }
}

impl Stored {
    /// The index, when it is the one of this digest.
    pub(super) fn index(&self, digest: formats::Digest) -> Option<Vec<u8>> {
        (formats::Digest::of(self.index.as_bytes()) == digest).then(|| self.index.clone().into_bytes())
    }
}

/// The packages of a depot. `index` is compared with what the depot's roles say of it.
pub(super) fn catalogue(depot: &Depot, index: &[u8]) -> Result<Catalogue> {
    let refused = |why, problem: String| Trouble::Refused {
        refusal: Refusal { file: INDEX.into(), why, problem },
        place: "the depot".into(),
    };
    let target = depot.target(INDEX).ok_or_else(|| refused(Why::Missing, "the depot does not list it".into()))?;
    if formats::Digest::of(index) != target.digest {
        return Err(refused(Why::Mismatch, "its SHA-256 is not the one that was signed for".into()).into());
    }
    let index = Index::parse(index).at(|| INDEX.into())?;
    let mut entries = Vec::new();
    for role in ["base", "site", "licence"] {
        let files = depot.role(role).into_iter().flat_map(tuf::Targets::files);
        for (name, target) in files.filter(|(name, _)| name.strip_suffix(".pkg").is_some()) {
            let custom = target.custom.as_ref().map(serde_json::to_vec).transpose().doing(|| "write JSON".into())?;
            let entry = Entry::parse(&custom.unwrap_or_default()).at(|| name.clone())?;
            entry.check_target(name).at(|| name.clone())?;
            if entry.size != target.length {
                let problem = format!("{name} has {} and its entry says {}", target.length, entry.size);
                return Err(refused(Why::Malformed, problem).into());
            }
            entries.push(entry);
        }
    }
    Catalogue::new(entries, index).at(|| INDEX.into())
}

/// The target with the index.
pub(super) const INDEX: &str = "index/index.json";
const FORMAT: u32 = 1;
const ROOTS: usize = 256;
/// Longest file of what is kept: everything at its limit, escaped.
const LIMIT: usize = 128 << 20;
const ATTEMPT: usize = 64 << 10;
