//! Going through the data partition: what is in a backup, and what is left out and why.
//!
//! Nothing is followed that is a link. What is read here is read again when the archive is written, and has to be the same then.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use formats::Digest;
use formats::backup::{Excluded, File, Folder, Limits, MAX_EXCLUDED, MAX_FILES, Part, Reason, Scope, is_path};
use formats::digest::Hasher;

use super::Trouble;
use super::table::{Fate, TABLE, companions, line, unknown};
use crate::error::{Doing, Result};
use crate::plain_file;

/// What a backup is to be of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Of these.
    pub scopes: BTreeSet<Scope>,
    /// With logged history.
    pub history: bool,
    /// The limits for the site's file store.
    pub limits: Limits,
    /// Paths that are left out because they change all the time.
    pub changing: BTreeSet<String>,
}

/// What there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The parts that are in, also those without files.
    pub parts: Vec<Part>,
    /// Folders of the site.
    pub folders: Vec<Folder>,
    /// The files.
    pub files: Vec<File>,
    /// What was left out.
    pub excluded: Vec<Excluded>,
}

impl Found {
    /// Digest over the appliance's settings: path, content and permissions of each file.
    pub fn settings(&self) -> Digest {
        let of: BTreeSet<&str> =
            self.parts.iter().filter(|part| part.scope == Scope::Appliance).map(|part| part.name.as_str()).collect();
        let mut hasher = Hasher::default();
        for file in self.files.iter().filter(|file| of.contains(file.part.as_str())) {
            hasher.update(format!("{}\0{}\0{:o}\n", file.path, file.sha256, file.mode).as_bytes());
        }
        hasher.finish()
    }
}

/// Goes through the data partition mounted at `data`.
pub fn collect(data: &Path, wanted: &Wanted) -> Result<Found> {
    let mut walk =
        Walk { data, wanted, found: Found::default(), named: BTreeMap::new(), stored: 0, more: BTreeMap::new() };
    walk.named = named(data);
    for name in names(data)? {
        let scope = if name == "site" { Scope::Site } else { Scope::Appliance };
        match name.to_str() {
            _ if !wanted.scopes.contains(&scope) => {}
            Some("bulkhead") => walk.inside("bulkhead/", 0)?,
            _ => walk.named_entry("", &name, 0)?,
        }
    }
    Ok(walk.end())
}

/// The companions of the settings that lie here, by path. A setting that cannot be read names none.
fn named(data: &Path) -> BTreeMap<String, &'static str> {
    let read = |name: &str| plain_file::read(&data.join("bulkhead").join(name), SETTING).ok();
    let depot = read("depot.json").and_then(|bytes| formats::depot::Setting::parse(&bytes).ok());
    let backup = read("backup.json").and_then(|bytes| formats::backup::setting::Setting::parse(&bytes).ok());
    companions(depot.as_ref(), backup.as_ref())
        .into_iter()
        .map(|(name, part)| (format!("bulkhead/{name}"), part))
        .collect()
}

struct Walk<'a> {
    data: &'a Path,
    wanted: &'a Wanted,
    found: Found,
    named: BTreeMap<String, &'static str>,
    /// Files of the file store so far.
    stored: u32,
    /// What was left out beyond the lines there is room for.
    more: BTreeMap<&'static str, (u64, u64)>,
}

impl Walk<'_> {
    /// Everything in a folder, whose path ends with a slash.
    fn inside(&mut self, folder: &str, depth: usize) -> Result<()> {
        names(&self.data.join(folder))?.iter().try_for_each(|name| self.named_entry(folder, name, depth))
    }

    fn named_entry(&mut self, folder: &str, name: &OsStr, depth: usize) -> Result<()> {
        if let Some(name) = name.to_str() {
            return self.entry(&format!("{folder}{name}"), depth);
        }
        let path = self.data.join(folder).join(name);
        let metadata = fs::symlink_metadata(&path).doing(|| format!("look at \"{}\"", path.display()))?;
        let shown = format!("{folder}{}", name.to_string_lossy());
        self.leave_out(&shown, &metadata, Reason::Name, "has a name that is no text".into())
    }

    fn entry(&mut self, path: &str, depth: usize) -> Result<()> {
        let metadata = match fs::symlink_metadata(self.data.join(path)) {
            // Removed meanwhile.
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(()),
            metadata => metadata.doing(|| format!("look at \"{path}\""))?,
        };
        let Some(row) = line(path) else {
            if let Some(part) = self.named.get(path).copied() {
                return self.take(path, &metadata, (part, Scope::Appliance), depth);
            }
            let (reason, why) = unknown(path);
            return self.leave_out(path, &metadata, reason, why.into());
        };
        let limits = self.wanted.limits;
        match row.fate {
            Fate::Never(why) => self.leave_out(path, &metadata, Reason::Declared, why.into()),
            Fate::History(..) if !self.wanted.history => {
                self.leave_out(path, &metadata, Reason::History, Reason::History.to_string())
            }
            Fate::Limited(..) if metadata.is_file() && metadata.len() > limits.file_bytes => {
                let why = format!(
                    "has {} bytes, and the limit for one file of the file store is {}",
                    metadata.len(),
                    limits.file_bytes
                );
                self.leave_out(path, &metadata, Reason::TooLarge, why)
            }
            Fate::Limited(..) if metadata.is_file() && self.stored >= limits.files => {
                let why = format!("is one of more than {} files in the file store", limits.files);
                self.leave_out(path, &metadata, Reason::TooMany, why)
            }
            Fate::Part(part, _) | Fate::History(part, _) | Fate::Limited(part, _) => {
                self.take(path, &metadata, (part, row.scope), depth)
            }
        }
    }

    fn take(&mut self, path: &str, metadata: &Metadata, (part, scope): (&str, Scope), depth: usize) -> Result<()> {
        if !is_path(path) || depth > DEEPEST {
            return self.leave_out(path, metadata, Reason::Name, Reason::Name.to_string());
        }
        if self.wanted.changing.contains(path) {
            return self.leave_out(path, metadata, Reason::Changing, Reason::Changing.to_string());
        }
        if self.found.files.len().saturating_add(self.found.folders.len()) >= MAX_FILES {
            return Err(Trouble::TooMuch(format!(
                "there are more than {MAX_FILES} files and folders to back up; keep fewer below \"/data/site\""
            ))
            .into());
        }
        if metadata.is_dir() {
            if scope == Scope::Site {
                let (mode, user, group) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
                self.found.folders.push(Folder { part: part.into(), path: path.into(), mode, user, group });
            }
            return self.inside(&format!("{path}/"), depth.saturating_add(1));
        }
        if !metadata.is_file() {
            return self.leave_out(path, metadata, Reason::NotAFile, "is no file and no folder".into());
        }
        let unfinished = path.starts_with("bulkhead/") && unknown(path).0 == Reason::Declared;
        if unfinished {
            return self.leave_out(path, metadata, Reason::Declared, unknown(path).1.into());
        }
        if let Some(file) = self.read(path, part)? {
            if part == "site-files" {
                self.stored = self.stored.saturating_add(1);
            }
            self.found.files.push(file);
        }
        Ok(())
    }

    /// Length and digest of what is there; nothing when it was removed meanwhile.
    fn read(&self, path: &str, part: &str) -> Result<Option<File>> {
        let doing = || format!("read \"{path}\"");
        let file = match plain_file::open(&self.data.join(path), OpenOptions::new().read(true)) {
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.doing(doing)?,
        };
        let metadata = file.metadata().doing(doing)?;
        let (bytes, sha256) = plain_file::digest(file).doing(doing)?;
        Ok(Some(File {
            part: part.into(),
            path: path.into(),
            bytes,
            sha256,
            mode: metadata.mode() & 0o777,
            user: metadata.uid(),
            group: metadata.gid(),
            modified: metadata.mtime(),
        }))
    }

    fn leave_out(&mut self, path: &str, metadata: &Metadata, reason: Reason, sentence: String) -> Result<()> {
        let (files, bytes) = if metadata.is_dir() { measured(&self.data.join(path), 0)? } else { (1, metadata.len()) };
        if self.found.excluded.len() >= MAX_EXCLUDED {
            let top = if path.starts_with("site") { "site" } else { "bulkhead" };
            let more = self.more.entry(top).or_default();
            *more = (more.0.saturating_add(files), more.1.saturating_add(bytes));
            return Ok(());
        }
        let shown: String =
            path.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect();
        self.found.excluded.push(Excluded { path: shown, bytes, files, reason, sentence });
        Ok(())
    }

    fn end(mut self) -> Found {
        for (top, (files, bytes)) in self.more {
            let sentence = format!("{files} more files, which are not named: a backup names {MAX_EXCLUDED}");
            self.found.excluded.push(Excluded { path: top.into(), bytes, files, reason: Reason::TooMany, sentence });
        }
        self.found.parts = parts(self.wanted);
        self.found
    }
}

/// Every part that is in, also one without files: that there are none is something to restore.
fn parts(wanted: &Wanted) -> Vec<Part> {
    let parts = TABLE.iter().filter_map(|row| match row.fate {
        _ if !wanted.scopes.contains(&row.scope) => None,
        Fate::History(..) if !wanted.history => None,
        Fate::Part(name, schema) | Fate::History(name, schema) | Fate::Limited(name, schema) => {
            Some(Part { name: name.into(), scope: row.scope, schema })
        }
        Fate::Never(_) => None,
    });
    parts.collect()
}

fn names(folder: &Path) -> Result<Vec<OsString>> {
    plain_file::names(folder).doing(|| format!("list \"{}\"", folder.display()))
}

/// Files in a folder and their bytes.
fn measured(folder: &Path, depth: usize) -> Result<(u64, u64)> {
    let doing = || format!("measure \"{}\"", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
        entries => entries.doing(doing)?,
    };
    let (mut files, mut bytes) = (0_u64, 0_u64);
    for entry in entries {
        let entry = entry.doing(doing)?;
        let Ok(metadata) = entry.metadata() else { continue };
        let one = if metadata.is_dir() && depth <= DEEPEST {
            measured(&entry.path(), depth.saturating_add(1))?
        } else {
            (1, metadata.len())
        };
        (files, bytes) = (files.saturating_add(one.0), bytes.saturating_add(one.1));
    }
    Ok((files, bytes))
}

/// Folders in folders.
const DEEPEST: usize = 40;
const SETTING: usize = 64 << 10;
