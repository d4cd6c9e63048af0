//! A path bundle on a workstation, without a network: metadata from a root that is trusted, every target by what the metadata signs for,
//! every package as appliances check it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::io::BufRead as _;
use std::path::Path;

use formats::Digest;
use formats::digest::Hasher;
use formats::manifest::Date;
use formats::tuf::{self, Depot, Freshness, Kept, Root, Target, Trouble, Why};

use super::{Report, chain, trust, verify_package_for};
use crate::bundle_file::BundleFile;
use crate::depot::{is_signed_by, trust_store};
use crate::{Error, Result};

/// Checks a bundle. `trust` is the depot's root (`N.root.json`), or a folder with `root.json` or `root.pub`; `now` is in seconds since 1970.
///
/// # Errors
/// Only when bundle or trust cannot be read at all; wrong content is in the report.
pub fn verify_bundle(file: &BundleFile, trust: &Path, now: i64) -> Result<Report> {
    let mut report = Report::default();
    let Some(depot) = metadata(file, &root(file, trust)?, now, &mut report) else { return Ok(report) };
    let signed = signed_targets(&depot);
    for (path, span) in &file.bundle.targets {
        let Some((name, target)) = signed.get(path) else {
            report.fail(path.as_str(), "nobody signed for it");
            continue;
        };
        if span.size != target.length || digest(file, path)? != target.digest {
            report.fail(name.as_str(), "is not the file that was signed for");
        } else if name.strip_suffix(".pkg").is_none() {
            report.good(name.as_str(), format!("{} bytes", span.size.0));
        } else {
            package(file, name, path, &depot, &mut report)?;
        }
    }
    let missing = file.bundle.label.order.iter().filter(|id| {
        let target = depot.target(&id.target());
        !target.is_some_and(|target| file.bundle.targets.contains_key(&target.path(&id.target())))
    });
    for id in missing {
        report.fail(id.to_string(), "is a step of the way, and not in the bundle");
    }
    Ok(report)
}

/// The depot's metadata, verified; an expired one is reported and looked at all the same.
fn metadata(file: &BundleFile, root: &[u8], now: i64, report: &mut Report) -> Option<Depot> {
    let kept = Kept::from([("root.json".to_owned(), root.to_vec())]);
    let refresh = |freshness| {
        tuf::refresh(&kept, freshness, &mut |name, limit| Ok::<_, Infallible>(file.bundle.fetch(name, limit)))
    };
    match refresh(Freshness::Required { now }) {
        Ok(depot) => {
            let text = format!("root {}, good until {}", depot.root().version(), Date::shown(depot.expires()));
            report.good("metadata", text);
            Some(depot)
        }
        Err(Trouble::Fetch(never)) => match never {},
        Err(Trouble::Refused(refusal)) => {
            report.fail("metadata", refusal.to_string());
            let expired = refusal.why == Why::Expired;
            expired.then(|| refresh(Freshness::Waived).ok()).flatten()
        }
    }
}

/// Every file that is signed for, by its path below the folder of targets.
fn signed_targets(depot: &Depot) -> BTreeMap<String, (String, Target)> {
    let roles = depot.targets().delegations().iter().filter_map(|delegation| depot.role(&delegation.name));
    let names = [depot.targets()].into_iter().chain(roles).flat_map(|role| role.files().keys());
    // The role that has the word for a name, see [`Depot::target`].
    names
        .filter_map(|name| depot.target(name).map(|target| (target.path(name), (name.clone(), target.clone()))))
        .collect()
}

fn digest(file: &BundleFile, path: &str) -> Result<Digest> {
    let mut hasher = Hasher::default();
    let Some(span) = file.bundle.targets.get(path) else { return Ok(hasher.finish()) };
    let target = file.package(*span)?;
    let mut reader = target.reader()?;
    loop {
        let buffer = reader.fill_buf().map_err(Error::io("read", &file.path))?;
        if buffer.is_empty() {
            return Ok(hasher.finish());
        }
        hasher.update(buffer);
        let count = buffer.len();
        reader.consume(count);
    }
}

fn package(file: &BundleFile, name: &str, path: &str, depot: &Depot, report: &mut Report) -> Result<()> {
    let Some(span) = file.bundle.targets.get(path) else { return Ok(()) };
    let store = match trust_store(depot.targets(), &file.bundle.label.product) {
        Ok(store) => store,
        Err(problem) => {
            report.fail(name, chain(&problem));
            return Ok(());
        }
    };
    let inside = verify_package_for(&file.package(*span)?, &store)?;
    match inside.first_failure() {
        None => report.good(name, format!("{} bytes, {} checks good", span.size.0, inside.checks.len())),
        Some(problem) => report.fail(name, problem),
    }
    Ok(())
}

/// The root to begin with.
fn root(file: &BundleFile, folder: &Path) -> Result<Vec<u8>> {
    let read = |path: &Path| fs::read(path).map_err(Error::io("read", path));
    if !folder.is_dir() {
        return read(folder);
    }
    if folder.join("root.json").exists() {
        return read(&folder.join("root.json"));
    }
    let path = folder.join("root.pub");
    if !path.exists() {
        return Err(Error::input(format!(
            "\"{}\" has neither root.json nor root.pub; name a folder with one of them, or metadata/1.root.json of the depot",
            folder.display()
        )));
    }
    let key = trust::public(folder, "root.pub")?;
    let mut roots: Vec<(u64, &Vec<u8>)> = file
        .bundle
        .metadata
        .iter()
        .filter(|(name, _)| name.strip_suffix(".root.json").is_some())
        .filter_map(|(_, bytes)| Some((Root::trusted(bytes).ok()?.version(), bytes)))
        .collect();
    roots.sort_unstable();
    let found =
        roots.into_iter().find(|(_, bytes)| is_signed_by(&serde_json::from_slice(bytes).unwrap_or_default(), &[key]));
    found.map(|(_, bytes)| bytes.clone()).ok_or_else(|| {
        let (bundle, key) = (file.path.display(), path.display());
        Error::Verification(format!(
            "no root in \"{bundle}\" is signed by \"{key}\": it is of another depot, or forged"
        ))
    })
}
