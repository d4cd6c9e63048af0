//! Telling people by mail what can be installed: once for each package, whatever happens in between.
//!
//! What they were told is one small file, replaced by one rename. Whoever had the disk in hand can make an appliance tell twice, or not at
//! all, and nothing else. [`letter`] has the words; the letter leaves through [`crate::fetch`].

pub mod letter;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use formats::Digest;
use formats::catalogue::{Catalogue, Entry, PackageId};
use formats::mail::Mail;
use formats::plan::{Row, Standing};
use serde::{Deserialize, Serialize};

use self::letter::Words;
use crate::api::Problem;
use crate::depot::store::Attempt;
use crate::depot::{Places, Trouble};
use crate::error::{Doing, Result};
use crate::fetch::{Fetcher, Letter, login};
use crate::plain_file;

/// What people were told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Told {
    format: u32,
    /// The builds, as long as the depot has them.
    builds: BTreeSet<Digest>,
    /// How the last mail ended.
    pub attempt: Option<Attempt>,
}

/// A package people were not told about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News<'a> {
    /// What the depot says about it.
    pub entry: &'a Entry,
    /// Why it is not the next step; nothing when it is.
    pub after: Option<String>,
}

/// What is in this list that can be installed, now or after others, and was not told.
pub fn news<'a>(catalogue: &'a Catalogue, rows: Vec<Row>, told: &Told) -> Vec<News<'a>> {
    let open = rows.into_iter().filter_map(|row| {
        let after = match row.standing {
            Standing::Available => None,
            Standing::Blocked { sentence, first: Some(_) } => Some(sentence),
            _ => return None,
        };
        Some(News { entry: catalogue.entries().get(&row.package)?, after })
    });
    open.filter(|news| !told.builds.contains(&news.entry.build_id)).collect()
}

/// The newest of each line, at most a few; then the ids of all others.
pub fn chosen(news: Vec<News<'_>>) -> (Vec<News<'_>>, Vec<PackageId>) {
    let mut lines: BTreeMap<(formats::manifest::Kind, String), News<'_>> = BTreeMap::new();
    let mut others = Vec::new();
    for one in news {
        let line = (one.entry.kind, one.entry.name.clone());
        let replaces = lines.get(&line).is_none_or(|other| one.entry.sequence > other.entry.sequence);
        let left = if replaces { lines.insert(line, one) } else { Some(one) };
        others.extend(left.map(|left| left.entry.id()));
    }
    let mut newest: Vec<News<'_>> = lines.into_values().collect();
    others.extend(newest.split_off(newest.len().min(DETAILED)).iter().map(|one| one.entry.id()));
    others.sort();
    others.truncate(NAMED);
    (newest, others)
}

impl Told {
    /// The same after a letter about these.
    #[must_use]
    pub fn with(mut self, news: &[Digest], catalogue: &Catalogue) -> Self {
        let there: BTreeSet<Digest> = catalogue.entries().values().map(|entry| entry.build_id).collect();
        self.builds.extend(news);
        self.builds.retain(|build| there.contains(build));
        self
    }
}

impl Places {
    /// What people were told; nothing when that cannot be read: to be told twice is better than never.
    pub fn told(&self) -> Told {
        let bytes = plain_file::read(&self.told_file(), LIMIT).unwrap_or_default();
        serde_json::from_slice(&bytes).ok().filter(|told: &Told| told.format == FORMAT).unwrap_or_default()
    }

    /// Keeps it. To be called after the server took the letter: a power cut in between makes it come twice, and with the same id, so that
    /// mail programs can tell; the other order could lose it.
    pub fn keep_told(&self, told: &Told) -> Result<()> {
        let path = self.told_file();
        let doing = || format!("write \"{}\"", path.display());
        let bytes = serde_json::to_vec(&Told { format: FORMAT, ..told.clone() }).doing(doing)?;
        plain_file::replace(&path, &path.with_extension("new"), &bytes, 0o600).doing(doing)
    }

    /// Who gets mail and how.
    pub fn mail(&self) -> Result<Mail> {
        let own = self.data.join("bulkhead/depot.json");
        self.setting()?.mail.ok_or_else(|| Trouble::NoMail(own).into())
    }

    /// Has a letter sent. `seed` makes it the same letter when it is sent twice; `now` in seconds since 1970.
    pub fn post(&self, mail: &Mail, words: Words, seed: &[&[u8]], now: i64) -> Result<()> {
        let setting = self.setting()?;
        let folder = self.folder_of(|own| own.mail.as_ref() == Some(mail))?;
        let letter = Letter {
            server: mail.server.clone(),
            port: mail.port(),
            security: mail.security,
            login: login(&folder, mail.user.as_deref(), mail.password_file.as_ref())?,
            hello: own_name(),
            from: mail.from.clone(),
            to: mail.to.clone(),
            date: now,
            id: Digest::of_parts(seed.iter().copied()).short(),
            subject: words.subject,
            text: words.text,
        };
        let mut fetcher = Fetcher::start(&self.fetch.clone().with_patience(PATIENCE), &self.means(&setting)?)?;
        fetcher.post(&letter)
    }

    fn told_file(&self) -> PathBuf {
        self.data.join("bulkhead/mail.json")
    }
}

/// How a mail ended, to be remembered.
pub fn attempt(result: &Result<()>, now: i64) -> Attempt {
    Attempt { time: now, problem: result.as_ref().err().map(Problem::from) }
}

/// The machine's host name, when it is one a mail server can take.
fn own_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_owned();
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    (plain && (1..=253).contains(&name.len())).then_some(name)
}

const FORMAT: u32 = 1;
/// Longest file: every build of the largest depot.
const LIMIT: usize = 4 << 20;
/// Packages described in one letter.
const DETAILED: usize = 6;
/// Packages named in one letter beside those.
const NAMED: usize = 40;
/// A mail server may think about each step, and some make strangers wait on purpose.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(4);
