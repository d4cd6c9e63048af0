//! From an opened backup to a restore that can be carried out: what of it is wanted, what of it suits this machine, what would change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use formats::backup::{Contents, Part, Reason, Scope, is_path};
use formats::network::Network;
use formats::{Bytes, Digest};

use super::Trouble;
use super::restore::{Change, Mounted, NEW, OLD, Plan, Step, Tree, unfinished};
use super::table::{Fate, MIGRATIONS, TABLE, belongs, line, migrated, schema};
use super::unpack::{Archive, digest};
use crate::error::{Doing, Error, Result};
use crate::plain_file;

/// What is wanted of a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only of these; nothing: of all it has.
    pub scopes: Option<BTreeSet<Scope>>,
    /// Only these parts; nothing: all.
    pub only: Option<BTreeSet<String>>,
}

/// What this machine is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// The product line.
    pub product: String,
    /// Host name of its site.
    pub hostname: Option<String>,
    /// What the firmware calls it.
    pub model: Option<String>,
    /// Its network interfaces.
    pub interfaces: Vec<String>,
}

/// A restore that can be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What the backup says about itself.
    pub contents: Contents,
    /// What changes, and what does not, a sentence each.
    pub preview: Vec<String>,
    /// How.
    pub plan: Plan,
    /// The site's files change.
    pub site: bool,
}

/// Unpacks what is wanted beside what is in use and says what would change. Nothing in use is touched.
pub fn prepare(data: &Path, archive: Archive, wanted: &Wanted, machine: &Machine) -> Result<Prepared> {
    let tree = Mounted::new(data);
    if unfinished(&tree).doing(|| "look for an earlier restore".into())?.is_some() {
        return Err(Trouble::Unfinished.into());
    }
    let contents = archive.contents().clone();
    let mut parts = selected(&contents, wanted, machine)?;
    tree.clear().doing(|| "remove what an earlier restore left".into())?;
    room(data, &contents, &parts)?;
    let doing = || "make room for a restore".to_owned();
    for folder in [NEW, OLD] {
        fs::create_dir_all(data.join(folder)).doing(doing)?;
    }
    archive.unpack(&data.join(NEW), &parts)?;
    migrate(data, &contents, &parts)?;
    let mut notes = check(data, &contents, &mut parts, machine)?;
    let (steps, mut preview) = steps(data, &tree, &contents, &parts)?;
    preview.append(&mut notes);
    if steps.is_empty() {
        preview.push("nothing changes: everything wanted is here already".into());
    }
    let site = steps.iter().any(|step| step.path.starts_with("site"));
    Ok(Prepared { contents, preview, plan: Plan::new(steps), site })
}

/// The parts that are wanted, all of which this version knows.
fn selected(contents: &Contents, wanted: &Wanted, machine: &Machine) -> Result<BTreeSet<String>> {
    if contents.product != machine.product {
        return Err(Trouble::OtherProduct { theirs: contents.product.clone(), ours: machine.product.clone() }.into());
    }
    let names: BTreeSet<&str> = contents.parts.iter().map(|part| part.name.as_str()).collect();
    if let Some(strange) = wanted.only.iter().flatten().find(|name| !names.contains(name.as_str())) {
        let names: Vec<&str> = names.into_iter().collect();
        return Err(Error::Usage(format!(
            "the backup has no part \"{}\"; it has {}",
            strange.escape_debug(),
            names.join(", ")
        )));
    }
    let chosen = |part: &&Part| {
        wanted.scopes.as_ref().is_none_or(|scopes| scopes.contains(&part.scope))
            && wanted.only.as_ref().is_none_or(|only| only.contains(&part.name))
    };
    let parts: Vec<&Part> = contents.parts.iter().filter(chosen).collect();
    for part in &parts {
        let known = schema(&part.name);
        if known.is_none_or(|known| part.schema > known) {
            let understood = known.map_or("does not know it".into(), |known| format!("knows version {known}"));
            return Err(Trouble::Newer(format!(
                "part \"{}\" of the backup has version {}, made by update agent {}, and this agent ({}) {understood}: update this appliance first, \
                 or leave the part out with --only",
                part.name, part.schema, contents.made.agent, env!("CARGO_PKG_VERSION")
            ))
            .into());
        }
    }
    let parts: BTreeSet<String> = parts.into_iter().map(|part| part.name.clone()).collect();
    // Whoever has the public key can make a backup: it must not bring what no backup has.
    let files = contents.files.iter().map(|file| (&file.part, &file.path));
    let folders = contents.folders.iter().map(|folder| (&folder.part, &folder.path));
    match files.chain(folders).find(|(part, path)| parts.contains(*part) && !belongs(path, part)) {
        Some((part, path)) => {
            let why = format!("nothing of part \"{part}\" lies there");
            Err(Trouble::Unusable { path: path.clone(), why }.into())
        }
        None => Ok(parts),
    }
}

/// Refuses before anything is unpacked what has no room beside what is there.
fn room(data: &Path, contents: &Contents, parts: &BTreeSet<String>) -> Result<()> {
    let files = contents.files.iter().filter(|file| parts.contains(&file.part));
    let length = files.fold(RESERVE, |sum, file| sum.saturating_add(file.bytes).saturating_add(4096));
    let free = plain_file::free(data).doing(|| format!("measure the free space of \"{}\"", data.display()))?;
    if length <= free.0 {
        return Ok(());
    }
    let what = "a restore, which unpacks everything beside what is in use,".into();
    Err(Error::NoRoom { what, needed: Bytes(length), free, place: data.into() })
}

/// Brings files of older versions to the present one.
fn migrate(data: &Path, contents: &Contents, parts: &BTreeSet<String>) -> Result<()> {
    for part in contents.parts.iter().filter(|part| parts.contains(&part.name)) {
        let known = schema(&part.name).unwrap_or(part.schema);
        for file in contents.files.iter().filter(|file| part.schema < known && file.part == part.name) {
            let path = data.join(NEW).join(&file.path);
            let doing = || format!("bring \"{}\" to the present version", file.path);
            let bytes = fs::read(&path).doing(doing)?;
            let versions = (part.schema, known);
            let bytes = migrated(MIGRATIONS, &part.name, versions, &file.path, bytes)
                .map_err(|why| Error::from(Trouble::Unusable { path: file.path.clone(), why }))?;
            fs::write(&path, bytes).and_then(|()| fs::File::open(&path)?.sync_all()).doing(doing)?;
        }
    }
    Ok(())
}

/// Reads the settings among the files as their owners do, and leaves out what does not suit this machine. What is to be said.
fn check(data: &Path, contents: &Contents, parts: &mut BTreeSet<String>, machine: &Machine) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for file in contents.files.iter().filter(|file| parts.contains(&file.part)) {
        let read = || fs::read(data.join(NEW).join(&file.path));
        let read = || read().map_err(|problem| problem.to_string());
        let text = |problem: formats::Error| problem.to_string();
        let checked = match file.path.as_str() {
            "bulkhead/network.json" => read().and_then(|bytes| Network::parse(&bytes).map(drop).map_err(text)),
            "bulkhead/depot.json" => {
                read().and_then(|bytes| formats::depot::Setting::parse(&bytes).map(drop).map_err(text))
            }
            "bulkhead/health.json" => {
                read().and_then(|bytes| formats::health::parse_operator(&bytes).map(drop).map_err(text))
            }
            "bulkhead/backup.json" => {
                read().and_then(|bytes| formats::backup::setting::Setting::parse(&bytes).map(drop).map_err(text))
            }
            _ => Ok(()),
        };
        checked.map_err(|why| Error::from(Trouble::Unusable { path: file.path.clone(), why }))?;
    }
    if parts.contains("network") {
        let bytes = fs::read(data.join(NEW).join("bulkhead/network.json")).unwrap_or_default();
        if let Ok(Network::Static(fixed)) = Network::parse(&bytes) {
            match fixed.interface().filter(|name| !machine.interfaces.iter().any(|own| own == name)) {
                Some(name) => {
                    parts.remove("network");
                    notes.push(format!(
                        "network: not applied; it is for the interface \"{name}\", and this machine has {}; set the address by hand: {}",
                        machine.interfaces.join(", "),
                        fixed.address()
                    ));
                }
                None => notes.push(format!(
                    "network: the address {} is that of the machine the backup is of; two machines must not have it at once",
                    fixed.address()
                )),
            }
        }
    }
    let differs = |what: &str, theirs: &Option<String>, ours: &Option<String>| {
        let shown = |one: &Option<String>| one.clone().unwrap_or_else(|| "none".into());
        (theirs != ours).then(|| {
            format!("the backup is of a machine with {what} \"{}\", this one has \"{}\"", shown(theirs), shown(ours))
        })
    };
    notes.extend(differs("host name", &contents.made.hostname, &machine.hostname));
    notes.extend(differs("model", &contents.made.model, &machine.model));
    let large = contents
        .excluded
        .iter()
        .filter(|one| matches!(one.reason, Reason::TooLarge | Reason::TooMany | Reason::Changing))
        .count();
    if large > 0 && parts.iter().any(|part| part.starts_with("site")) {
        notes.push(format!("{large} things of the site were left out of the backup; those that are here stay, and \"backup show\" names them"));
    }
    Ok(notes)
}

/// What is exchanged with what, and the sentences about it. What is the same is left alone.
fn steps(
    data: &Path,
    tree: &Mounted,
    contents: &Contents,
    parts: &BTreeSet<String>,
) -> Result<(Vec<Step>, Vec<String>)> {
    let doing = |path: &str| format!("look at \"{path}\"");
    let (mut steps, mut preview) = (Vec::new(), Vec::new());
    for (path, part) in units(data, contents, parts)? {
        let new = format!("{NEW}/{path}");
        carry(data, contents, &path)?;
        let here = tree.number(&path).doing(|| doing(&path))?;
        let coming = tree.number(&new).doing(|| doing(&new))?;
        let (change, number, beside, words) = match (here, coming) {
            (None, None) => continue,
            (Some(_), Some(_)) if same(data, contents, &path) => {
                preview.push(format!("{part}: \"{path}\" stays as it is"));
                continue;
            }
            (Some(_), Some(number)) => (Change::Replace, number, new, difference(data, contents, &path)),
            (None, Some(number)) => (Change::Place, number, new, "comes back".into()),
            (Some(number), None) => {
                (Change::Remove, number, format!("{OLD}/{}", steps.len()), "is removed: the backup has none".into())
            }
        };
        preview.push(format!("{part}: \"{path}\" {words}"));
        steps.push(Step { path, beside, change, number });
    }
    Ok((steps, preview))
}

/// The paths that are exchanged, each with its part: files and folders of the table, files that settings name, and what lies in the site's
/// folder.
fn units<'c>(data: &Path, contents: &'c Contents, parts: &'c BTreeSet<String>) -> Result<BTreeMap<String, String>> {
    let mut units = BTreeMap::new();
    for row in TABLE {
        if let Fate::Part(part, _) | Fate::History(part, _) | Fate::Limited(part, _) = row.fate
            && parts.contains(part)
            && row.path != SITE
        {
            units.insert(row.path.to_owned(), part.to_owned());
        }
    }
    for file in contents.files.iter().filter(|file| parts.contains(&file.part) && line(&file.path).is_none()) {
        units.insert(file.path.clone(), file.part.clone());
    }
    if !parts.contains(SITE) {
        // The parts below it need it.
        if parts.iter().any(|part| part.starts_with(SITE)) {
            fs::create_dir_all(data.join(SITE)).doing(|| "make the site's folder".into())?;
        }
        return Ok(units);
    }
    if fs::symlink_metadata(data.join(SITE)).is_err() {
        units.retain(|path, _| !path.starts_with(SITE));
        units.insert(SITE.into(), SITE.into());
        return Ok(units);
    }
    let own = |path: &str| TABLE.iter().any(|row| row.path == path);
    let paths = contents.files.iter().map(|file| &file.path).chain(contents.folders.iter().map(|folder| &folder.path));
    let tops = paths.filter_map(|path| path.strip_prefix("site/")?.split('/').next().map(str::to_owned));
    let here = plain_file::names(&data.join(SITE)).doing(|| "list the site's folder".into())?;
    let here = here.into_iter().filter_map(|name| name.into_string().ok());
    for name in tops.chain(here) {
        let path = format!("{SITE}/{name}");
        // What the backup looked at and left out is not there because it was left out.
        let left_out = contents.excluded.iter().any(|one| one.path == path);
        if !own(&path) && !left_out {
            units.insert(path, SITE.to_owned());
        }
    }
    Ok(units)
}

/// Files that the backup left out and that are here go along into the folder that is exchanged, as further names of the same files.
fn carry(data: &Path, contents: &Contents, unit: &str) -> Result<()> {
    let below = |path: &str| path.strip_prefix(unit).is_some_and(|rest| rest.starts_with('/'));
    for one in contents.excluded.iter().filter(|one| below(&one.path) && is_path(&one.path)) {
        let (from, to) = (data.join(&one.path), data.join(NEW).join(&one.path));
        let file = fs::symlink_metadata(&from).is_ok_and(|metadata| metadata.is_file());
        if !file || !data.join(NEW).join(unit).is_dir() || fs::symlink_metadata(&to).is_ok() {
            continue;
        }
        let doing = || format!("keep \"{}\"", one.path);
        let folder = to.parent().unwrap_or(&to);
        fs::create_dir_all(folder).doing(doing)?;
        fs::hard_link(&from, &to).doing(doing)?;
        fs::File::open(folder).and_then(|folder| folder.sync_all()).doing(doing)?;
    }
    Ok(())
}

fn within(unit: &str, path: &str) -> bool {
    path == unit || path.strip_prefix(unit).is_some_and(|rest| rest.starts_with('/'))
}

/// The files of the backup in this unit.
fn coming<'c>(contents: &'c Contents, unit: &str) -> BTreeMap<&'c str, Digest> {
    contents
        .files
        .iter()
        .filter(|file| within(unit, &file.path))
        .map(|file| (file.path.as_str(), file.sha256))
        .collect()
}

/// Whether what is here has the same files with the same contents, permissions and owners.
fn same(data: &Path, contents: &Contents, unit: &str) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let files = contents.files.iter().filter(|file| within(unit, &file.path));
    let alike = files.clone().all(|file| {
        let metadata = fs::symlink_metadata(data.join(&file.path));
        let dressed =
            metadata.is_ok_and(|it| (it.mode() & 0o777, it.uid(), it.gid()) == (file.mode, file.user, file.group));
        dressed && digest(&data.join(&file.path)) == Some(file.sha256)
    });
    alike && listed(&data.join(unit)) == listed(&data.join(NEW).join(unit))
}

/// Every path in a folder, relative to it.
fn listed(folder: &Path) -> BTreeSet<std::path::PathBuf> {
    let mut found = BTreeSet::new();
    let mut left = vec![folder.to_path_buf()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(entry.path());
            }
            found.extend(entry.path().strip_prefix(folder).map(Path::to_path_buf));
        }
    }
    found
}

fn difference(data: &Path, contents: &Contents, unit: &str) -> String {
    let coming = coming(contents, unit);
    if coming.contains_key(unit) {
        return "changes".into();
    }
    let other = coming.iter().filter(|(path, sha256)| digest(&data.join(path)) != Some(**sha256)).count();
    let (here, there) = (listed(&data.join(unit)), listed(&data.join(NEW).join(unit)));
    let gone = here.difference(&there).count();
    format!("changes: {other} of its {} files are others, {gone} that are here are not in it", coming.len())
}

const SITE: &str = "site";
/// Bytes that stay free.
const RESERVE: u64 = 16 << 20;
