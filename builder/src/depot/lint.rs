//! What is wrong with a depot, or will be soon, before an appliance finds it.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use formats::catalogue::Entry;
use formats::tuf::{Freshness, Target};
use formats::{Bytes, signature};
use serde::Serialize;

use super::document::second;
use super::edit::Hashed;
use super::state::{Depot, ONLINE, PACKAGES, State};
use crate::error::chain;
use crate::package::PackageFile;
use crate::{Error, Result};

mod ground;
mod reach;

/// One thing to see to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The kind, for programs.
    pub code: &'static str,
    /// The file, role or package.
    pub subject: String,
    /// What is wrong with it.
    pub problem: String,
}

/// How many pairs of a base and a site were looked at, on each model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tried {
    /// So many.
    pub pairs: u64,
    /// So many were not: there are too many.
    pub left_out: u64,
}

/// Everything that was found; empty: the depot is as it should be. `now` is in seconds since 1970.
///
/// # Errors
/// Only when the depot cannot be read at all.
pub fn lint(depot: &Depot, now: i64) -> Result<Vec<Finding>> {
    Ok(examine(depot, now)?.0)
}

/// The same, and how much was tried for it.
///
/// # Errors
/// Those of [`lint`].
pub fn examine(depot: &Depot, now: i64) -> Result<(Vec<Finding>, Tried)> {
    let state = match depot.state(Freshness::Waived) {
        Ok(state) => state,
        Err(error @ (Error::Verification(_) | Error::Format { .. })) => {
            let subject = depot.folder().display().to_string();
            return Ok((vec![Finding { code: "metadata", subject, problem: chain(&error) }], Tried::default()));
        }
        Err(error) => return Err(error),
    };
    let (mut findings, mut tried) = (Vec::new(), Tried::default());
    times(&state, now, &mut findings);
    files(depot, &state, &mut findings)?;
    match state.entries() {
        Ok(entries) => {
            for entry in &entries {
                package(depot, &state, entry, now, &mut findings)?;
            }
            listings(&state, &entries, &mut findings);
            tried = reach::reach(state.index(), &entries, &mut findings);
        }
        Err(error) => findings.push(Finding { code: "entry", subject: "targets".into(), problem: chain(&error) }),
    }
    findings.sort();
    findings.dedup();
    Ok((findings, tried))
}

fn times(state: &State, now: i64, findings: &mut Vec<Finding>) {
    for (role, document) in &state.draft.documents {
        let last = second(document.expires()).unwrap_or(0);
        let left = last.saturating_sub(now);
        let soon = i64::from(document.lifetime_days()) * 86_400 / SOON;
        if left < 0 {
            let problem = format!("expired on {}; appliances refuse the depot", document.expires());
            findings.push(Finding { code: "expired", subject: role.clone(), problem });
        } else if left < soon {
            let problem = format!("expires on {}; sign it anew with: bulkhead depot refresh", document.expires());
            findings.push(Finding { code: "expires-soon", subject: role.clone(), problem });
        }
    }
}

/// Every file that is signed for is there and is what was signed for.
fn files(depot: &Depot, state: &State, findings: &mut Vec<Finding>) -> Result<()> {
    for role in PACKAGES.into_iter().chain([ONLINE]) {
        for (name, target) in state.verified.role(role).into_iter().flat_map(formats::tuf::Targets::files) {
            if let Some(problem) = differs(&depot.target(&target.path(name)), target)? {
                findings.push(Finding { code: "file", subject: name.clone(), problem });
            }
        }
    }
    Ok(())
}

fn differs(path: &Path, target: &Target) -> Result<Option<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Some(format!("\"{}\" is missing", path.display())));
        }
        Err(cause) => return Err(Error::io("read", path)(cause)),
    };
    let mut hashed = Hashed::new(&mut file);
    std::io::copy(&mut hashed, &mut std::io::sink()).map_err(Error::io("read", path))?;
    let (digest, length) = hashed.finish();
    if Bytes(length) == target.length && digest == target.digest {
        return Ok(None);
    }
    Ok(Some(format!("\"{}\" is not the file that was signed for", path.display())))
}

/// A package against its entry, its texts and the keys of today.
fn package(depot: &Depot, state: &State, entry: &Entry, now: i64, findings: &mut Vec<Finding>) -> Result<()> {
    let id = entry.id();
    let mut add = |code, problem: String| findings.push(Finding { code, subject: id.to_string(), problem });
    let texts = [("notes", id.notes_target(), Some(entry.notes)), ("eula", id.eula_target(), entry.eula)];
    for (code, name, wanted) in texts {
        match (wanted, state.verified.target(&name).map(|target| target.digest)) {
            (Some(_), None) => add(code, format!("its {code} are not in the depot as \"{name}\"")),
            (wanted, found) if found.is_some() && wanted != found => {
                add(code, format!("\"{name}\" is another text than the one in the package"));
            }
            _ => {}
        }
    }
    let Some(target) = state.verified.target(&id.target()) else { return Ok(()) };
    let path = depot.target(&target.path(&id.target()));
    // A file that is missing or damaged has its finding already.
    let Ok(Some(file)) = PackageFile::detect(&path) else { return Ok(()) };
    let Ok(claims) = file.claims() else { return Ok(()) };
    if entry.differs_from(&claims.manifest, file.size) {
        add("entry", "the depot says something else about it than the package itself".into());
    }
    let wrong = || Error::format(format!("package \"{}\"", path.display()));
    let signatures = claims.signatures.encode().map_err(wrong())?;
    let verified =
        signature::verify(&claims.manifest_bytes, &signatures, &state.trust_store()?, claims.manifest.kind.into());
    if let Err(problem) = verified.and_then(|verified| verified.check_current(now)) {
        add("untrusted", format!("appliances refuse it: {}", chain(&problem)));
    }
    Ok(())
}

fn listings(state: &State, entries: &[Entry], findings: &mut Vec<Finding>) {
    let known: BTreeSet<_> = entries.iter().map(Entry::id).collect();
    let listed: BTreeSet<_> = state.index().channels.values().flatten().map(|listing| &listing.package).collect();
    for id in known.iter().filter(|id| !listed.contains(id)) {
        let problem = "no channel lists it, so nobody can install it".to_owned();
        findings.push(Finding { code: "unlisted", subject: id.to_string(), problem });
    }
    for id in listed.into_iter().filter(|id| !known.contains(id)) {
        let problem = "a channel lists it, and the depot does not have it".to_owned();
        findings.push(Finding { code: "unknown", subject: id.to_string(), problem });
    }
}

/// What has less than this part of its time left is reported.
const SOON: i64 = 4;
