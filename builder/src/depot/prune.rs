//! Removing what no client needs any more: metadata that was followed by newer one long enough ago, and targets that nothing names.
//!
//! Roots are never removed: an appliance follows them one after the other from the one in its image. Other metadata stays until the last
//! timestamp that could lead to it has expired, wherever a cache or a mirror holds it back; so do the targets it names. How long ago that was
//! is said by snapshots, which are made at the moment of each change: a file that people signed is as old as its request, and may have been
//! published a minute ago. A target that no metadata ever named belongs to a request somebody may still be signing, or to a change that was
//! cut: it stays for [`ORPHAN_DAYS`].
//!
//! Whoever removes holds the lock that every change holds ([`super::edit`]), and looks again under it.
//!
//! **Order.** Targets go before the metadata by which they are known to be old; a run that was cut leaves less to do, nothing else. The depot
//! as it is now needs none of these files, so no client notices, whatever subset is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use formats::tuf::{self, Freshness};
use serde_json::Value;

use super::document::{Document, second};
use super::edit::lock;
use super::state::{Depot, State};
use super::storage::Storage;
use crate::{Error, Result};

/// What can be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prunable {
    /// In the order of removal.
    pub files: Vec<Old>,
}

/// A file that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Old {
    /// Below the depot's folder.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Why nobody needs it.
    pub why: &'static str,
}

/// Metadata other than roots and the timestamp, by role and version.
type Versions = BTreeMap<String, BTreeMap<u64, PathBuf>>;

/// Everything that can be removed at `now`, seconds since 1970, when what was followed by something newer stays for `days`; nothing: for as
/// long as a timestamp lives.
pub fn find(depot: &Depot, now: i64, days: Option<u32>) -> Result<Prunable> {
    let state = depot.state(Freshness::Waived)?;
    let lifetime = state.draft.document("timestamp")?.lifetime_days();
    let before = now.saturating_sub(i64::from(days.unwrap_or(lifetime)) * DAY);
    let (mut old_metadata, mut needed, mut known) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let versions = versions(depot)?;
    let kept = reachable(&state, &versions, before)?;
    for (role, versions) in &versions {
        let current = state.draft.documents.get(role).map_or(u64::MAX, Document::version);
        for (version, path) in versions {
            let targets = targets_of(path)?;
            if *version < current && !kept.contains(&(role.clone(), *version)) {
                known.extend(targets);
                old_metadata.push(old(depot, path, "newer metadata took its place")?);
            } else {
                needed.extend(targets);
            }
        }
    }
    let mut files = Vec::new();
    for path in targets_in(&depot.target(""))? {
        let relative = path.strip_prefix(depot.target("")).unwrap_or(&path).to_string_lossy().into_owned();
        let leftover = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".new-"));
        if needed.contains(&relative) {
            continue;
        }
        let why = if known.contains(&relative) {
            "only old metadata names it"
        } else if leftover {
            "a change that was cut left it"
        } else if modified(&path)? < now.saturating_sub(ORPHAN_DAYS * DAY) {
            "no metadata ever named it"
        } else {
            continue;
        };
        files.push(old(depot, &path, why)?);
    }
    files.extend(old_metadata);
    Ok(Prunable { files })
}

/// Removes what [`find`] finds now; what that was. Nobody else can change the depot meanwhile.
pub fn prune(depot: &Depot, storage: &mut dyn Storage, now: i64, days: Option<u32>) -> Result<Prunable> {
    let _lock = lock(depot)?;
    let prunable = find(depot, now, days)?;
    let (metadata, targets): (Vec<&Old>, Vec<&Old>) =
        prunable.files.iter().partition(|old| old.path.starts_with("metadata"));
    for files in [targets, metadata] {
        let mut folders = BTreeSet::new();
        for old in files {
            let path = depot.folder().join(&old.path);
            storage.remove(&path)?;
            folders.extend(path.parent().map(Path::to_owned));
        }
        folders.iter().try_for_each(|folder| storage.sync_folder(folder))?;
    }
    Ok(prunable)
}

/// Role and version of what a timestamp that is still good may lead to: each snapshot that is current, or was after `before`, and all it names.
fn reachable(state: &State, versions: &Versions, before: i64) -> Result<BTreeSet<(String, u64)>> {
    let mut kept = BTreeSet::new();
    let current = state.draft.document(SNAPSHOT)?.version();
    let snapshots = versions.get(SNAPSHOT).into_iter().flatten();
    for (version, path) in snapshots.clone() {
        // What is newer than the current one was left by a change that was cut.
        let mut later = snapshots.clone().map(|(later, path)| (*later, path));
        let next = later.find(|(later, _)| later > version && *later <= current);
        let followed = next.map(|(_, path)| made(path)).transpose()?.flatten();
        if *version < current && followed.is_some_and(|made| made < before) {
            continue;
        }
        kept.insert((SNAPSHOT.to_owned(), *version));
        let Some(document) = document(path)? else { continue };
        for (name, named) in document.get("meta").as_object().into_iter().flatten() {
            let named = name.strip_suffix(".json").zip(named.get("version").and_then(Value::as_u64));
            kept.extend(named.map(|(role, version)| (role.to_owned(), version)));
        }
    }
    Ok(kept)
}

/// `12.base.json` and the like; the writer's own names are left out.
fn versions(depot: &Depot) -> Result<Versions> {
    let folder = depot.metadata("");
    let mut found = Versions::new();
    for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
        let path = entry.map_err(Error::io("read", &folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((version, role)) = name.strip_suffix(".json").and_then(|name| name.split_once('.')) else { continue };
        let Ok(version) = version.parse::<u64>() else { continue };
        if role != "root" {
            found.entry(role.to_owned()).or_default().insert(version, path);
        }
    }
    Ok(found)
}

fn document(path: &Path) -> Result<Option<Document>> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    Ok(serde_json::from_slice::<Value>(&bytes).ok().and_then(|file| Document::of(file.get("signed")?)))
}

/// When a file of metadata was made: its last second less its lifetime. No clock of a file system is asked, copies have others.
fn made(path: &Path) -> Result<Option<i64>> {
    let made = |document: Document| {
        Some(second(document.expires())?.saturating_sub(i64::from(document.lifetime_days()) * DAY))
    };
    Ok(document(path)?.and_then(made))
}

/// Paths, below the folder of targets, of the files that metadata names.
fn targets_of(path: &Path) -> Result<Vec<String>> {
    let Some(document) = document(path)? else { return Ok(Vec::new()) };
    let place = |(name, value): (&String, &Value)| Some(tuf::path(name, value.pointer("/hashes/sha256")?.as_str()?));
    Ok(document.get("targets").as_object().into_iter().flatten().filter_map(place).collect())
}

/// Every file below a folder, in order.
fn targets_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        // Links are followed by nobody here.
        match entry.file_type().map_err(Error::io("read", entry.path()))? {
            kind if kind.is_dir() => files.extend(targets_in(&entry.path())?),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files.sort();
    Ok(files)
}

fn old(depot: &Depot, path: &Path, why: &'static str) -> Result<Old> {
    let bytes = fs::metadata(path).map_err(Error::io("read", path))?.len();
    Ok(Old { path: path.strip_prefix(depot.folder()).unwrap_or(path).to_owned(), bytes, why })
}

/// When a file was written here, seconds since 1970.
fn modified(path: &Path) -> Result<i64> {
    let time = fs::metadata(path).and_then(|metadata| metadata.modified()).map_err(Error::io("read", path))?;
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

const DAY: i64 = 86_400;
const SNAPSHOT: &str = "snapshot";
/// Days for which a target stays that no metadata names.
const ORPHAN_DAYS: i64 = 30;
