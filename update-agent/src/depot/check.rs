//! Learning what a depot says: from its server, or from a file in hand that carries it.
//!
//! An unchanged depot costs three small answers: the next root, which is not there, the timestamp, and nothing else but what changed.
//! Wherever the files come from, they take one way: [`formats::tuf::refresh`], the index compared with what was signed for, kept by one
//! rename. Only freshness can be waived, and only for a file in hand: a server that says something old may be held back by somebody.

use formats::manifest::Date;
use formats::tuf::{self, Depot, Freshness, Why};

use super::clock::Clock;
use super::store::{self, Attempt, Beginning, INDEX, Known, Stored};
use super::{Places, Trouble, setting};
use crate::api::Problem;
use crate::error::{Error, Result};
use crate::fetch::{Counts, Fetcher};

/// Where the files of a depot come from.
pub(crate) trait Files {
    /// Its name in sentences.
    fn place(&self) -> String;
    /// A file of its metadata of at most so many bytes; nothing: it has none.
    fn metadata(&mut self, name: &str, limit: usize) -> Result<Option<Vec<u8>>>;
    /// A target, by its path below the folder of targets.
    fn target(&mut self, path: &str, limit: usize) -> Result<Option<Vec<u8>>>;
}

/// What was learnt, and is kept.
pub(crate) struct Learnt {
    pub(crate) known: Known,
    /// It is another index than before.
    pub(crate) changed: bool,
    /// What is to be said when what was kept before is damaged.
    pub(crate) damage: Option<String>,
}

/// What was verified, with what has to be kept of it.
pub(crate) struct Verified {
    pub(crate) known: Known,
    roots: Vec<Vec<u8>>,
    index: Vec<u8>,
    stored: Stored,
    changed: bool,
    damage: Option<String>,
}

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// What the depot says.
    pub known: Known,
    /// It is another index than before.
    pub changed: bool,
    /// What it cost.
    pub counts: Counts,
    /// What is to be said besides: damage to what was kept, rights the process that fetches could not give away.
    pub remarks: Vec<String>,
}

impl Places {
    /// Asks the depot and keeps what it says; remembers how that ended. Nothing that was kept is lost when it fails.
    pub fn check(&self, clock: Clock) -> Result<Checked> {
        let result = self.asked(clock);
        let problem = result.as_ref().err();
        let problem = problem.map(Problem::from);
        let remembered = self.remember(&Attempt { time: clock.says, problem });
        // Of two problems the first one says more.
        result.and_then(|checked| remembered.map(|()| checked))
    }

    /// A process that fetches as the setting says.
    pub(crate) fn fetcher(&self, setting: &formats::depot::Setting) -> Result<Fetcher> {
        Fetcher::start(&self.fetch, &self.means(setting)?)
    }

    fn asked(&self, clock: Clock) -> Result<Checked> {
        let setting = self.setting()?;
        let url = self.url(&setting)?;
        // A base that believes no depot asks none.
        self.newest_root()?;
        let mut server = Server { fetcher: self.fetcher(&setting)?, url };
        let unconfined: Vec<String> = server.fetcher.unconfined().collect();
        let Learnt { known, changed, damage } =
            self.learn(&mut server, Freshness::Required { now: clock.now() }, clock)?;
        let remarks = damage.into_iter().chain(unconfined).collect();
        Ok(Checked { known, changed, counts: server.fetcher.counts(), remarks })
    }

    /// Verifies what these files say, and keeps it.
    pub(crate) fn learn(&self, files: &mut dyn Files, freshness: Freshness, clock: Clock) -> Result<Learnt> {
        self.keep_verified(self.verified(files, freshness, clock)?, clock)
    }

    /// Keeps what was verified.
    pub(crate) fn keep_verified(&self, verified: Verified, clock: Clock) -> Result<Learnt> {
        let Verified { known, roots, index, stored, changed, damage } = verified;
        self.keep(&known.depot, roots, index, stored, clock.says)?;
        Ok(Learnt { known, changed, damage })
    }

    /// The same, kept nowhere.
    pub(crate) fn verified(&self, files: &mut dyn Files, freshness: Freshness, clock: Clock) -> Result<Verified> {
        let (Beginning { kept, stored, .. }, damage) = self.beginning_anyhow()?;
        let mut roots = Vec::new();
        let refreshed = tuf::refresh(&kept, freshness, &mut |name, limit| {
            let bytes = files.metadata(name, limit)?;
            if let Some(root) = bytes.clone().filter(|_| name.ends_with(".root.json")) {
                roots.push(root);
            }
            Ok(bytes)
        });
        let depot = refreshed.map_err(|trouble| troubled(trouble, files.place(), clock))?;
        let (index, changed) = match depot.target(INDEX).and_then(|target| stored.index(target.digest)) {
            Some(index) => (index, false),
            None => (index(files, &depot)?, true),
        };
        let catalogue = store::catalogue(&depot, &index)?;
        let known = Known { depot, catalogue, checked: clock.says };
        Ok(Verified { known, roots, index, stored, changed, damage })
    }
}

/// A depot on a web server.
struct Server {
    fetcher: Fetcher,
    url: String,
}

impl Files for Server {
    fn place(&self) -> String {
        self.url.clone()
    }

    fn metadata(&mut self, name: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        self.fetcher.whole(&format!("{}/metadata/{name}", self.url), limit)
    }

    fn target(&mut self, path: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        self.fetcher.whole(&format!("{}/targets/{path}", self.url), limit)
    }
}

fn index(files: &mut dyn Files, depot: &Depot) -> Result<Vec<u8>> {
    let place = files.place();
    let missing = || {
        let problem = "the depot does not have it".into();
        let refusal = tuf::Refusal { file: INDEX.into(), why: Why::Missing, problem };
        Trouble::Refused { refusal, place: place.clone() }
    };
    let target = depot.target(INDEX).ok_or_else(missing)?;
    let limit = usize::try_from(target.length.0).unwrap_or(usize::MAX).min(formats::catalogue::MAX_INDEX);
    files.target(&target.path(INDEX), limit)?.ok_or_else(|| missing().into())
}

fn troubled(trouble: tuf::Trouble<Error>, place: String, clock: Clock) -> Error {
    match trouble {
        tuf::Trouble::Fetch(problem) => problem,
        tuf::Trouble::Refused(refusal) if refusal.why == Why::Expired => {
            Trouble::Expired { place, refusal, clock }.into()
        }
        tuf::Trouble::Refused(refusal) => Trouble::Refused { refusal, place }.into(),
    }
}

impl Checked {
    /// What was found, a sentence each.
    pub fn steps(&self, setting: &formats::depot::Setting) -> Vec<String> {
        let index = self.known.catalogue.index();
        let news = if self.changed { "has news" } else { "has nothing new" };
        let url = setting.url.as_deref().unwrap_or_default();
        let mut steps = self.remarks.clone();
        let packages = match self.known.catalogue.entries().len() {
            1 => "1 package".into(),
            count => format!("{count} packages"),
        };
        steps.push(format!(
            "{url} {news}: {packages}, its list is of {}, channel \"{}\"",
            Date::shown(index.created),
            setting::channel(setting)
        ));
        steps
    }
}
