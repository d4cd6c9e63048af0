//! The backups that are kept on the appliance: files in a folder, the newest so many of them.
//!
//! Beside each lies what it has, so that it can be listed without its passphrase. A backup is complete before that is written and is
//! removed before that is: a power cut leaves a backup whose contents are not known, or a record without a backup, which is no backup.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use formats::backup::{Contents, EXTENSION};
use formats::manifest::Date;
use formats::{Digest, age};
use serde::{Deserialize, Serialize};

use super::Trouble;
use super::make::Written;
use crate::api::Problem;
use crate::error::{Doing, Result};
use crate::plain_file;

/// The backups of one appliance.
#[derive(Debug, Clone)]
pub struct Store(PathBuf);

/// Why a backup was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Somebody asked for it.
    Asked,
    /// The schedule.
    Schedule,
    /// Something was to be installed.
    Update,
}

/// What is known about a backup without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    format: u32,
    /// Why it was made.
    pub cause: Cause,
    /// Length of the file.
    pub bytes: u64,
    /// Of the file.
    pub sha256: Digest,
    /// What is in it.
    pub contents: Contents,
}

/// How the last backup ended that was made by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attempt {
    /// When, seconds since 1970.
    pub time: i64,
    /// Why it could not be made.
    pub problem: Option<Problem>,
}

impl Store {
    /// Those under `data`, the mounted data partition.
    pub fn new(data: &Path) -> Self {
        Self(data.join("bulkhead/backups"))
    }

    /// A name for a backup made at this second since 1970, which nothing has yet, and its path. Makes the folder.
    pub fn prepare(&self, created: i64) -> Result<(String, PathBuf)> {
        let doing = || format!("make \"{}\"", self.0.display());
        fs::create_dir_all(&self.0).doing(doing)?;
        if !fs::symlink_metadata(&self.0).doing(doing)?.is_dir() {
            return Err(io::Error::other("it is no directory")).doing(doing);
        }
        fs::set_permissions(&self.0, Permissions::from_mode(0o700)).doing(doing)?;
        if let Some(parent) = self.0.parent() {
            File::open(parent).and_then(|parent| parent.sync_all()).doing(doing)?;
        }
        let id = free_id(created, |id| self.path(id)).doing(|| "name a backup".into())?;
        let path = self.path(&id);
        Ok((id, path))
    }

    /// Keeps what is known about one that was written to [`Store::prepare`]'s path.
    pub fn remember(&self, id: &str, cause: Cause, written: &Written) -> Result<()> {
        let Written { contents, bytes, sha256 } = written.clone();
        let record = Record { format: FORMAT, cause, bytes, sha256, contents };
        let path = self.0.join(format!("{id}.json"));
        let doing = || format!("write \"{}\"", path.display());
        let json = serde_json::to_vec(&record).doing(doing)?;
        plain_file::replace(&path, &path.with_extension("json.new"), &json, 0o600).doing(doing)
    }

    /// The names of all of them, the newest first.
    pub fn ids(&self) -> Result<Vec<String>> {
        let names = plain_file::names(&self.0).doing(|| format!("list \"{}\"", self.0.display()))?;
        let ids = names.iter().filter_map(|name| name.to_str()?.strip_suffix(EXTENSION)?.strip_suffix('.'));
        let mut ids: Vec<String> = ids.filter(|id| is_id(id)).map(str::to_owned).collect();
        ids.sort_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    /// What is known about one; nothing when that was lost.
    pub fn record(&self, id: &str) -> Option<Record> {
        let bytes = plain_file::read(&self.0.join(format!("{id}.json")), LONGEST).ok()?;
        serde_json::from_slice(&bytes).ok().filter(|record: &Record| record.format == FORMAT)
    }

    /// Opens one.
    pub fn open(&self, id: &str) -> Result<(File, String)> {
        let name = format!("the backup \"{id}\"");
        match self.checked(id).map(|path| plain_file::open(&path, OpenOptions::new().read(true))) {
            Some(Err(problem)) if problem.kind() == io::ErrorKind::NotFound => Err(Trouble::None(id.into()).into()),
            Some(file) => Ok((file.doing(|| format!("open {name}"))?, name)),
            None => Err(Trouble::None(shown(id)).into()),
        }
    }

    /// A piece of one, from this byte on, and its whole length.
    pub fn piece(&self, id: &str, offset: u64) -> Result<(Vec<u8>, u64)> {
        let (mut file, name) = self.open(id)?;
        let doing = || format!("read {name}");
        let length = file.metadata().doing(doing)?.len();
        file.seek(SeekFrom::Start(offset.min(length))).doing(doing)?;
        let mut bytes = Vec::new();
        file.take(PIECE).read_to_end(&mut bytes).doing(doing)?;
        Ok((bytes, length))
    }

    /// With what one can be opened; nothing when it is damaged.
    pub fn locked(&self, id: &str) -> Option<age::Locked> {
        self.open(id).ok().and_then(|(file, _)| age::locked(file).ok())
    }

    /// Length of its file.
    pub fn bytes(&self, id: &str) -> u64 {
        fs::symlink_metadata(self.path(id)).map_or(0, |metadata| metadata.len())
    }

    /// Removes one.
    pub fn remove(&self, id: &str) -> Result<()> {
        self.open(id)?;
        let doing = || format!("remove the backup \"{id}\"");
        let flush = || File::open(&self.0).and_then(|folder| folder.sync_all());
        fs::remove_file(self.path(id)).and_then(|()| flush()).doing(doing)?;
        plain_file::remove_if_there(&self.0.join(format!("{id}.json"))).and_then(|()| flush()).doing(doing)
    }

    /// Removes the oldest until so many are left. Their names.
    pub fn thin_out(&self, keep: usize) -> Result<Vec<String>> {
        let old = self.ids()?.split_off(keep.min(self.ids()?.len()));
        for id in &old {
            self.remove(id)?;
        }
        Ok(old)
    }

    /// Removes what a cut left. Call it while nobody makes a backup.
    pub fn tidy(&self) -> Result<()> {
        let doing = || format!("tidy up \"{}\"", self.0.display());
        let ids = self.ids()?;
        for name in plain_file::names(&self.0).doing(doing)? {
            let path = self.0.join(&name);
            let name = name.to_str().unwrap_or_default();
            let lonely = name.strip_suffix(".json").is_some_and(|id| is_id(id) && !ids.iter().any(|one| one == id));
            if lonely || path.extension().is_some_and(|ending| ending == "new") {
                plain_file::remove_if_there(&path).doing(doing)?;
            }
        }
        Ok(())
    }

    /// How the last one ended that was made by itself.
    pub fn attempt(&self) -> Option<Attempt> {
        serde_json::from_slice(&plain_file::read(&self.0.join(ATTEMPT), 64 << 10).ok()?).ok()
    }

    /// Keeps that.
    pub fn keep_attempt(&self, attempt: &Attempt) -> Result<()> {
        let path = self.0.join(ATTEMPT);
        let doing = || format!("write \"{}\"", path.display());
        fs::create_dir_all(&self.0).doing(doing)?;
        let json = serde_json::to_vec(attempt).doing(doing)?;
        plain_file::replace(&path, &path.with_extension("new"), &json, 0o600).doing(doing)
    }

    fn checked(&self, id: &str) -> Option<PathBuf> {
        is_id(id).then(|| self.path(id))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.{EXTENSION}"))
    }
}

/// `20261123-214301` for a second since 1970, UTC.
pub fn id_of(created: i64) -> String {
    let day = Date::of_unix(created).map_or_else(|| "00000000".into(), |day| day.to_string().replace('-', ""));
    let second = created.rem_euclid(86_400);
    format!("{day}-{:02}{:02}{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// The first such name, of this second or one of those after it, whose file is not there.
pub fn free_id(created: i64, path: impl Fn(&str) -> PathBuf) -> io::Result<String> {
    let mut ids = (created..created.saturating_add(1000)).map(id_of);
    ids.find(|id| fs::symlink_metadata(path(id)).is_err()).ok_or_else(|| io::ErrorKind::AlreadyExists.into())
}

/// Whether this can be the name of a backup: nothing else ever becomes part of a path.
fn is_id(id: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    id.split_once('-').is_some_and(|(day, time)| digits(day, 8) && digits(time, 6))
}

fn shown(id: &str) -> String {
    id.chars().filter(|c| !c.is_control()).take(32).collect()
}

const FORMAT: u32 = 1;
const ATTEMPT: &str = "attempt.json";
const LONGEST: usize = 20 << 20;
/// What is handed out at once.
const PIECE: u64 = 512 << 10;
