//! Files that are uploaded in pieces: kept on the data partition until all of one is here, across cuts and restarts.
//!
//! An upload is a file of what arrived and a record of what it will be. Nothing is believed of it: a package goes through what any
//! package goes through, a backup is opened with its passphrase. The name its sender gave is shown to people and is part of no path.
//!
//! Order of writes: the file is there before its record, and the record is removed before it, so that a power cut leaves a file without
//! a record at most, which [`Uploads::tidy`] removes. How much arrived is the length of the file and nothing else; it grows by whole
//! pieces, the file system writes content before length, and a cut takes what was not flushed: the sender is asked for the rest from
//! there. Should a cut have taken content all the same, the signature of the package or the seal of the backup does not hold.

mod trouble;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use formats::{Bytes, Digest};
use serde::{Deserialize, Serialize};

use crate::api::{BeginUpload, FinishUpload, UploadKind};
use crate::chance;
use crate::error::{Doing, Error, Result};
use crate::plain_file;
use crate::staging::is_id;
use crate::workplace::now;

pub use trouble::Trouble;

/// The uploads of one appliance.
#[derive(Debug, Clone)]
pub struct Uploads(PathBuf);

/// What is known about one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Record {
    format: u32,
    by: String,
    #[serde(flatten)]
    order: Announced,
    /// A backup that was looked at and waits to be restored.
    complete: bool,
}

/// What was announced. As [`BeginUpload`], and flattened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Announced {
    kind: UploadKind,
    name: String,
    length: u64,
    sha256: Option<Digest>,
    mark: Option<String>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Upload {
    /// Its name here.
    pub id: String,
    /// What it is.
    pub kind: UploadKind,
    /// What it is called, for people.
    pub name: String,
    /// Who began it.
    pub by: String,
    /// So many bytes are here: the next piece begins there.
    pub offset: u64,
    /// So many it will have.
    pub of: u64,
    /// Whether it is a backup that can be restored.
    pub complete: bool,
}

impl Uploads {
    /// Those under `data`, the mounted data partition.
    pub fn new(data: &Path) -> Self {
        Self(data.join("bulkhead/uploads"))
    }

    /// Makes room for a file, or finds what arrived of it before: then `by` announced the same with a digest or a mark.
    pub fn begin(&self, order: BeginUpload, by: &str) -> Result<Upload> {
        let _turn = turn();
        let order = announced(order)?;
        self.tidy_up()?;
        let all = self.all()?;
        let same = |record: &Record| record.by == by && record.order == order && !record.complete;
        if (order.sha256.is_some() || order.mark.is_some())
            && let Some((id, record)) = all.iter().find(|(_, record)| same(record))
        {
            return self.shown(id, record);
        }
        if all.len() >= MOST {
            return Err(Trouble::TooMany(all.len()).into());
        }
        self.check_room(&order, &all)?;
        let bytes: [u8; 16] = chance::draw()?;
        let id = Digest::of(&bytes).short();
        let doing = || format!("make room for \"{}\"", order.name);
        plain_file::open(&self.part(&id), OpenOptions::new().write(true).create_new(true).mode(0o600))
            .and_then(|file| file.sync_all())
            .doing(doing)?;
        let record = Record { format: FORMAT, by: by.into(), order, complete: false };
        self.remember(&id, &record)?;
        self.shown(&id, &record)
    }

    /// Takes a piece that comes next. The last one once more changes nothing and is no mistake: its answer may have been lost.
    pub fn piece(&self, id: &str, offset: u64, bytes: &[u8], by: &str) -> Result<Upload> {
        if bytes.is_empty() || bytes.len() > PIECE {
            return Err(Trouble::Unclear(format!("a piece has 1 to {PIECE} bytes")).into());
        }
        let _turn = turn();
        let record = self.of(id, by)?;
        let doing = || format!("write a piece of \"{}\"", record.order.name);
        let file = self.opened(id, OpenOptions::new().read(true).write(true)).doing(doing)?;
        let have = file.metadata().doing(doing)?.len();
        let (end, of) = (offset.saturating_add(bytes.len() as u64), record.order.length);
        if end == have && end > 0 && there(&file, offset, bytes) {
            return self.shown(id, &record);
        }
        if offset != have || end > of {
            return Err(Trouble::WrongOffset { have, of }.into());
        }
        if offset == 0
            && let Err(problem) = begins_right(&record.order, bytes)
        {
            self.forget(id)?;
            return Err(problem.into());
        }
        if let Err(problem) = file.write_all_at(bytes, offset) {
            // Pieces are whole: half of one would be taken for what its sender sends again.
            file.set_len(have).doing(doing)?;
            return Err(problem).doing(doing);
        }
        let flushed = |length: u64| length.checked_div(FLUSHED);
        if end == of || flushed(end) != flushed(have) {
            file.sync_data().doing(doing)?;
        }
        self.shown(id, &record)
    }

    /// One of them.
    pub fn state(&self, id: &str) -> Result<Upload> {
        self.shown(id, &self.record(id).ok_or_else(|| none(id))?)
    }

    /// All of them.
    pub fn list(&self) -> Result<Vec<Upload>> {
        self.all()?.iter().map(|(id, record)| self.shown(id, record)).collect()
    }

    /// Checks that all of one is here and on the medium. From then on nothing is written to it.
    pub fn ready(&self, order: &FinishUpload, by: &str) -> Result<Upload> {
        let _turn = turn();
        let mut record = self.of(&order.id, by)?;
        let doing = || "flush an upload".to_owned();
        let file = self.opened(&order.id, OpenOptions::new().read(true)).doing(doing)?;
        let have = file.metadata().doing(doing)?.len();
        let of = order.length.filter(|length| *length <= record.order.length).unwrap_or(record.order.length);
        if have != of {
            return Err(Trouble::WrongOffset { have, of }.into());
        }
        if of == 0 {
            return Err(Trouble::Unclear(format!("\"{}\" is empty", record.order.name)).into());
        }
        file.sync_all().doing(doing)?;
        if of != record.order.length {
            record.order.length = of;
            self.remember(&order.id, &record)?;
        }
        self.shown(&order.id, &record)
    }

    /// Opens one that [`Uploads::ready`] found whole, after a look at its digest, if one was announced.
    pub fn open(&self, id: &str) -> Result<(File, PathBuf)> {
        let record = self.record(id).ok_or_else(|| none(id))?;
        let doing = || format!("read the upload \"{}\"", record.order.name);
        let mut file = self.opened(id, OpenOptions::new().read(true)).doing(doing)?;
        if let Some(wanted) = record.order.sha256 {
            let (_, digest) = plain_file::digest(&mut file).doing(doing)?;
            if digest != wanted {
                return Err(Trouble::Mismatch(record.order.name).into());
            }
            io::Seek::rewind(&mut file).doing(doing)?;
        }
        Ok((file, self.part(id)))
    }

    /// Says of a backup that it can be restored.
    pub fn complete(&self, id: &str) -> Result<()> {
        let _turn = turn();
        let record = self.record(id).ok_or_else(|| none(id))?;
        self.remember(id, &Record { complete: true, ..record })
    }

    /// Opens a backup that can be restored, and its name for people.
    pub fn backup(&self, id: &str) -> Result<(File, String)> {
        let record = self.record(id).filter(|record| record.complete && record.order.kind == UploadKind::Backup);
        let name = format!("the uploaded backup \"{}\"", record.ok_or_else(|| none(id))?.order.name);
        Ok((self.opened(id, OpenOptions::new().read(true)).doing(|| format!("open {name}"))?, name))
    }

    /// Removes one. `whose`: only if they began it; nothing: whoever did.
    pub fn discard(&self, id: &str, whose: Option<&str>) -> Result<()> {
        let _turn = turn();
        match whose {
            Some(by) => drop(self.of(id, by)?),
            None => drop(self.record(id).ok_or_else(|| none(id))?),
        }
        self.forget(id)
    }

    /// Removes what a cut left, and what nobody went on with for a day.
    pub fn tidy(&self) -> Result<()> {
        let _turn = turn();
        if self.0.exists() { self.tidy_up() } else { Ok(()) }
    }

    fn tidy_up(&self) -> Result<()> {
        let doing = || format!("tidy up \"{}\"", self.0.display());
        fs::create_dir_all(&self.0).doing(doing)?;
        if !fs::symlink_metadata(&self.0).doing(doing)?.is_dir() {
            return Err(io::Error::other("it is no directory")).doing(doing);
        }
        for name in plain_file::names(&self.0).doing(doing)? {
            let path = self.0.join(name);
            let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let stale = || fs::symlink_metadata(self.part(id)).map_or(true, |part| part.modified().is_ok_and(old));
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("part" | "json") if is_id(id) && self.record(id).is_some() && !stale() => {}
                Some("part" | "json") if is_id(id) => self.forget(id)?,
                _ => plain_file::remove_if_there(&path).doing(doing)?,
            }
        }
        Ok(())
    }

    /// Record first: what is left by a cut is a file nobody knows.
    fn forget(&self, id: &str) -> Result<()> {
        let doing = || format!("remove the upload \"{id}\"");
        plain_file::remove_if_there(&self.noted(id)).doing(doing)?;
        File::open(&self.0).and_then(|folder| folder.sync_all()).doing(doing)?;
        plain_file::remove_if_there(&self.part(id)).doing(doing)
    }

    fn check_room(&self, order: &Announced, others: &[(String, Record)]) -> Result<()> {
        if order.length == 0 {
            return Err(Trouble::Unclear(format!("\"{}\" is empty", order.name)).into());
        }
        if order.length > LONGEST.0 {
            return Err(Trouble::TooLong { length: Bytes(order.length), most: LONGEST }.into());
        }
        let free = plain_file::free(&self.0).doing(|| format!("measure the free space of \"{}\"", self.0.display()))?;
        // Others were promised the room they still need.
        let promised = others.iter().fold(0_u64, |sum, (id, record)| {
            let have = fs::symlink_metadata(self.part(id)).map_or(0, |part| part.len());
            sum.saturating_add(record.order.length.saturating_sub(have))
        });
        let needed = Bytes(order.length.saturating_add(promised).saturating_add(RESERVE.0));
        if needed <= free {
            return Ok(());
        }
        let what = format!("uploading \"{}\" ({}, and {RESERVE} to stay free)", order.name, Bytes(order.length));
        Err(Error::NoRoom { what, needed, free, place: self.0.clone() })
    }

    /// One that this actor began.
    fn of(&self, id: &str, by: &str) -> Result<Record> {
        let record = self.record(id).ok_or_else(|| none(id))?;
        if record.by == by { Ok(record) } else { Err(Trouble::NotYours(record.by).into()) }
    }

    fn all(&self) -> Result<Vec<(String, Record)>> {
        let names = plain_file::names(&self.0).doing(|| format!("list \"{}\"", self.0.display()))?;
        // Their names are of one length, and in order as those of their files are.
        let ids = names.iter().filter_map(|name| name.to_str()?.strip_suffix(".json"));
        Ok(ids.filter_map(|id| Some((id.to_owned(), self.record(id)?))).collect())
    }

    fn record(&self, id: &str) -> Option<Record> {
        if !is_id(id) {
            return None;
        }
        let bytes = plain_file::read(&self.noted(id), RECORD).ok()?;
        serde_json::from_slice(&bytes).ok().filter(|record: &Record| record.format == FORMAT)
    }

    fn remember(&self, id: &str, record: &Record) -> Result<()> {
        let path = self.noted(id);
        let doing = || format!("write \"{}\"", path.display());
        let json = serde_json::to_vec(record).doing(doing)?;
        plain_file::replace(&path, &path.with_extension("new"), &json, 0o600).doing(doing)
    }

    fn shown(&self, id: &str, record: &Record) -> Result<Upload> {
        let part = fs::symlink_metadata(self.part(id)).doing(|| format!("measure the upload \"{id}\""))?;
        let Record { by, order, complete, .. } = record.clone();
        let (offset, of) = (part.len().min(order.length), order.length);
        Ok(Upload { id: id.into(), kind: order.kind, name: order.name, by, offset, of, complete })
    }

    fn opened(&self, id: &str, options: &mut OpenOptions) -> io::Result<File> {
        plain_file::open(&self.part(id), options)
    }

    fn part(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.part"))
    }

    fn noted(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.json"))
    }
}

/// Each change is short, and they are made one after the other.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn announced(order: BeginUpload) -> Result<Announced> {
    let BeginUpload { kind, name, length, sha256, mark } = order;
    let name: String = name.trim().chars().filter(|c| !c.is_control() && *c != '"').take(NAME).collect();
    if name.is_empty() {
        return Err(Trouble::Unclear("a file that is uploaded has a name".into()).into());
    }
    if mark.as_ref().is_some_and(|mark| mark.len() > NAME) {
        return Err(Trouble::Unclear(format!("a mark has at most {NAME} bytes")).into());
    }
    Ok(Announced { kind, name, length, sha256, mark })
}

/// Whether these bytes are there already.
fn there(file: &File, offset: u64, bytes: &[u8]) -> bool {
    let mut found = vec![0; bytes.len()];
    file.read_exact_at(&mut found, offset).is_ok() && found == bytes
}

/// Who chose the wrong file is told after its first piece, not after its last. What is right here is checked all the same.
fn begins_right(order: &Announced, bytes: &[u8]) -> std::result::Result<(), Trouble> {
    let (at, magic, wanted): (usize, &[u8], _) = match order.kind {
        UploadKind::Package => (257, b"ustar", "package or path bundle"),
        UploadKind::Backup => (0, b"age-encryption.org/v1", "backup"),
    };
    match bytes.get(at..at.saturating_add(magic.len())) {
        Some(found) if found != magic => Err(Trouble::WrongType { name: order.name.clone(), wanted }),
        _ => Ok(()),
    }
}

/// A clock that was put back lets nothing grow old.
fn old(modified: SystemTime) -> bool {
    let now = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(now()));
    now.and_then(|now| now.duration_since(modified).ok()).is_some_and(|age| age > DAY)
}

fn none(id: &str) -> Error {
    Trouble::None(id.chars().filter(|c| !c.is_control()).take(32).collect()).into()
}

const FORMAT: u32 = 1;
/// Longest record in bytes.
const RECORD: usize = 4096;
/// Longest piece in bytes.
pub const PIECE: usize = 512 << 10;
/// So much a power cut costs, at most.
const FLUSHED: u64 = 8 << 20;
/// Uploads at the same time.
const MOST: usize = 4;
/// Longest file.
const LONGEST: Bytes = Bytes(64 << 30);
/// What stays free on the data partition.
const RESERVE: Bytes = Bytes(16 << 20);
/// Characters of a name, bytes of a mark.
const NAME: usize = 200;
/// After that long without a piece an upload is removed.
const DAY: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests;
