//! Who fetched what by a download key: a file of JSON lines beside the depot.
//!
//! It guarantees that nothing is handed out that is not written down: a line is on the disk before the first byte of a bundle leaves. A
//! power cut leaves at most the beginning of one line at the end; whoever wrote it handed nothing out, so it is taken away by the next
//! writer and never counted. The first public key of an appliance is the one that counts: a download key that somebody else made in its
//! name is refused, until the operator says that the appliance has another one.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use formats::Digest;
use formats::catalogue::PackageId;
use formats::download_key::SignedKey;
use formats::manifest::Date;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The file. It need not be there: then nothing was handed out.
#[derive(Debug, Clone)]
pub struct Ledger {
    path: PathBuf,
    /// How often more than once a package may be handed out for one appliance.
    pub reissues: u32,
    /// How many appliances may come that it does not know yet; none: any number.
    newcomers: Option<Newcomers>,
}

/// Whoever makes up appliances does not fill the disk: known ones are always served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newcomers {
    /// New ones within a day.
    pub per_day: usize,
    /// All that the ledger ever knows.
    pub all: usize,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Line {
    format: u32,
    /// When, seconds since 1970.
    pub time: i64,
    /// The appliance.
    pub appliance: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// Packages were handed out.
    Issued {
        /// The download key.
        key: Digest,
        /// The appliance's public key, hexadecimal.
        public: String,
        /// In the order of installation.
        packages: Vec<PackageId>,
    },
    /// The next public key of this appliance is the one that counts.
    KeyForgotten {
        /// Why.
        reason: String,
    },
}

/// How often a package was handed out for one appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Issues {
    /// How often.
    pub count: u32,
    /// The last time, seconds since 1970.
    pub last: i64,
}

/// What the ledger knows of one appliance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Its public key, hexadecimal.
    pub public: Option<String>,
    /// What it got.
    pub packages: BTreeMap<PackageId, Issues>,
}

/// What was handed out; [`Ledger::find`] finds it by this.
pub type IssueId = Digest;

impl Ledger {
    /// The ledger in this file.
    pub fn new(path: &Path, reissues: u32) -> Self {
        Self { path: path.to_owned(), reissues, newcomers: None }
    }

    /// The same ledger, for anybody to write into.
    #[must_use]
    pub fn limited(self, newcomers: Option<Newcomers>) -> Self {
        Self { newcomers, ..self }
    }

    /// Every line, the oldest first.
    pub fn lines(&self) -> Result<Vec<Line>> {
        match File::open(&self.path) {
            Ok(file) => Ok(self.read(file)?.0),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(cause) => Err(Error::io("open", &self.path)(cause)),
        }
    }

    /// What one appliance got until now.
    pub fn account(&self, appliance: &str) -> Result<Account> {
        Ok(Account::of(&self.lines()?, appliance))
    }

    /// Whether these packages may be handed out once more to whoever signed this key.
    ///
    /// # Errors
    /// [`Error::Refused`], with the way out.
    pub fn check(&self, account: &Account, signed: &SignedKey, packages: &[PackageId]) -> Result<()> {
        let appliance = &signed.key().inventory.appliance;
        if account.public.as_ref().is_some_and(|known| *known != hex::encode(signed.public().as_bytes())) {
            return Err(Error::Refused(format!(
                "appliance {appliance} signed its first download key with another key of its own: this one is of a copy, of an appliance \
                 after a factory reset, or was made up; if it is to count, the depot's operator says so: bulkhead depot ledger FILE \
                 --forget-key {appliance}"
            )));
        }
        let most = self.reissues.saturating_add(1);
        let known = packages.iter().filter_map(|id| Some((id, account.packages.get(id)?)));
        match known.into_iter().find(|(_, issues)| issues.count >= most) {
            None => Ok(()),
            Some((id, issues)) => Err(Error::Refused(format!(
                "{id} was downloaded {} time(s) for appliance {appliance}, last on {}, and {most} time(s) are allowed; the depot's operator can allow \
                 more with --reissues",
                issues.count,
                Date::shown(issues.last)
            ))),
        }
    }

    /// Whether an appliance may be written down.
    ///
    /// # Errors
    /// [`Error::Refused`] with [`TOO_MANY`] when it is one too many.
    pub fn admit(&self, lines: &[Line], appliance: &str, now: i64) -> Result<()> {
        let Some(Newcomers { per_day, all }) = self.newcomers else { return Ok(()) };
        let known = appliances(lines);
        if known.contains_key(appliance) {
            return Ok(());
        }
        let today = known.values().filter(|first| now.saturating_sub(**first) < DAY).count();
        let refused = |count: usize, when: &str, option: &str| {
            Err(Error::Refused(format!(
                "this depot has answered {count} appliance(s) that it did not know{when}, and no more are allowed ({TOO_MANY}); those it knows are \
                 answered; the depot's operator can allow more with {option}"
            )))
        };
        match () {
            () if known.len() >= all => refused(known.len(), "", "--appliances"),
            () if today >= per_day => refused(today, " within a day: come back tomorrow", "--new-per-day"),
            () => Ok(()),
        }
    }

    /// Writes down that these packages are handed out. When this returns it is on the disk.
    ///
    /// # Errors
    /// Those of [`Ledger::check`] and [`Ledger::admit`]; nothing is written then.
    pub fn issue(&self, signed: &SignedKey, packages: &[PackageId], now: i64) -> Result<IssueId> {
        let appliance = signed.key().inventory.appliance.clone();
        let public = hex::encode(signed.public().as_bytes());
        let event = Event::Issued { key: signed.id(), public, packages: packages.to_vec() };
        let line = Line { format: FORMAT, time: now, appliance, event };
        self.append(&line, |lines| {
            self.check(&Account::of(lines, &line.appliance), signed, packages)?;
            self.admit(lines, &line.appliance, now)
        })
    }

    /// Lets the next public key of an appliance count.
    pub fn forget_key(&self, appliance: &str, reason: &str, now: i64) -> Result<()> {
        let event = Event::KeyForgotten { reason: reason.into() };
        let line = Line { format: FORMAT, time: now, appliance: appliance.into(), event };
        let known = |lines: &[Line]| match Account::of(lines, appliance).public {
            Some(_) => Ok(()),
            None => Err(Error::input(format!("the ledger has no key of appliance \"{}\"", appliance.escape_debug()))),
        };
        self.append(&line, known).map(drop)
    }

    /// What was handed out under this id.
    pub fn find(&self, id: IssueId) -> Result<Option<Line>> {
        for line in self.lines()? {
            if line.id()? == id {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// Appends a line when `allow` has nothing against it. Two programs at once come one after the other.
    fn append(&self, line: &Line, allow: impl FnOnce(&[Line]) -> Result<()>) -> Result<IssueId> {
        let failed = |action| Error::io(action, &self.path);
        let options = OpenOptions::new().read(true).append(true).create(true).clone();
        let mut file = options.open(&self.path).map_err(failed("open"))?;
        lock(&file, &self.path)?;
        let (lines, whole) = self.read(file.try_clone().map_err(failed("read"))?)?;
        allow(&lines)?;
        // What a power cut left of a line: nobody got what it was to say.
        file.set_len(whole).map_err(failed("write"))?;
        let mut bytes = line.encode()?;
        bytes.push(b'\n');
        // Bytes and name are durable before anybody gets anything.
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed("write"))?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("flush"))?;
        line.id()
    }

    /// The lines, and how many bytes of the file they are.
    fn read(&self, mut file: File) -> Result<(Vec<Line>, u64)> {
        file.seek(SeekFrom::Start(0)).map_err(Error::io("read", &self.path))?;
        let mut input = BufReader::new(file);
        let (mut lines, mut whole) = (Vec::new(), 0);
        loop {
            let mut bytes = Vec::new();
            let mut limited = input.by_ref().take(MAX_LINE);
            let count = limited.read_until(b'\n', &mut bytes).map_err(Error::io("read", &self.path))?;
            let Some(text) = bytes.strip_suffix(b"\n") else {
                if count as u64 == MAX_LINE {
                    return Err(self.damaged(lines.len(), "it is too long"));
                }
                return Ok((lines, whole));
            };
            let line: Line =
                serde_json::from_slice(text).map_err(|cause| self.damaged(lines.len(), &cause.to_string()))?;
            if line.format != FORMAT {
                return Err(
                    self.damaged(lines.len(), &format!("it has format {}; {FORMAT} is understood", line.format))
                );
            }
            lines.push(line);
            whole += count as u64;
        }
    }

    fn damaged(&self, before: usize, problem: &str) -> Error {
        let number = before + 1;
        Error::input(format!("line {number} of the ledger \"{}\" cannot be read: {problem}", self.path.display()))
    }
}

/// Every appliance, and when it came first, seconds since 1970.
pub fn appliances(lines: &[Line]) -> BTreeMap<&str, i64> {
    let mut known = BTreeMap::new();
    for line in lines {
        known.entry(line.appliance.as_str()).or_insert(line.time);
    }
    known
}

fn lock(file: &File, path: &Path) -> Result<()> {
    // Held for a few milliseconds by whoever has it.
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(20)),
            Err(TryLockError::Error(cause)) => return Err(Error::io("lock", path)(cause)),
        }
    }
    Err(Error::Environment(format!("another program holds the ledger \"{}\"; try again", path.display())))
}

impl Line {
    fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|cause| Error::Bug(format!("cannot encode a line of the ledger: {cause}")))
    }

    fn id(&self) -> Result<IssueId> {
        Ok(Digest::of(&self.encode()?))
    }
}

impl Account {
    /// What these lines say of one appliance.
    pub fn of(lines: &[Line], appliance: &str) -> Self {
        let mut account = Self::default();
        for line in lines.iter().filter(|line| line.appliance == appliance) {
            match &line.event {
                Event::KeyForgotten { .. } => account.public = None,
                Event::Issued { public, packages, .. } => {
                    account.public.get_or_insert_with(|| public.clone());
                    for id in packages {
                        let issues = account.packages.entry(id.clone()).or_insert(Issues { count: 0, last: line.time });
                        *issues = Issues { count: issues.count.saturating_add(1), last: line.time };
                    }
                }
            }
        }
        account
    }
}

const FORMAT: u32 = 1;
const DAY: i64 = 86_400;
/// The word in a refusal of appliances that are too many.
pub const TOO_MANY: &str = "too-many-new";
/// How often more than once a package is handed out when nobody says otherwise.
pub const REISSUES: u32 = 3;
/// Longest line in bytes: as many packages as a bundle may have.
const MAX_LINE: u64 = 64 << 10;
const LOCK_TRIES: u32 = 250;
