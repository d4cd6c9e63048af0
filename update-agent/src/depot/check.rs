//! Asking the depot what there is.
//!
//! An unchanged depot costs three small answers: the next root, which is not there, the timestamp, and nothing else but what changed.

use formats::tuf::{self, Depot, Freshness, Why};

use super::clock::{Clock, day};
use super::store::{self, Attempt, Beginning, INDEX, Known};
use super::{Places, Trouble, setting};
use crate::api::Problem;
use crate::error::{Error, Result};
use crate::fetch::{Counts, Fetcher, Speed};

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// What the depot says.
    pub known: Known,
    /// It is another index than before.
    pub changed: bool,
    /// What it cost.
    pub counts: Counts,
    /// What the process that fetches could not give away of its rights.
    pub unconfined: Vec<String>,
}

impl Places {
    /// Asks the depot and keeps what it says; remembers how that ended. Nothing that was kept is lost when it fails.
    pub fn check(&self, clock: Clock) -> Result<Checked> {
        let result = self.asked(clock);
        let problem = result.as_ref().err();
        let problem = problem.map(|error| Problem { code: error.code().into(), message: error.to_string() });
        let remembered = self.remember(&Attempt { time: clock.says, problem });
        // Of two problems the first one says more.
        result.and_then(|checked| remembered.map(|()| checked))
    }

    /// A process that fetches as the setting says.
    pub(crate) fn fetcher(&self, setting: &formats::depot::Setting) -> Result<Fetcher> {
        Fetcher::start(&self.fetch, &Speed { proxy: setting.proxy.clone(), bandwidth: setting.bandwidth })
    }

    fn asked(&self, clock: Clock) -> Result<Checked> {
        let setting = self.setting()?;
        let url = self.url(&setting)?;
        let Beginning { kept, stored } = self.beginning()?;
        let mut fetcher = self.fetcher(&setting)?;
        let unconfined = fetcher.unconfined().collect();
        let mut roots = Vec::new();
        let refreshed = tuf::refresh(&kept, Freshness::Required { now: clock.now() }, &mut |name, limit| {
            let bytes = fetcher.whole(&format!("{url}/metadata/{name}"), limit)?;
            if let Some(root) = bytes.clone().filter(|_| name.ends_with(".root.json")) {
                roots.push(root);
            }
            Ok(bytes)
        });
        let depot = refreshed.map_err(|trouble| troubled(trouble, &url, clock))?;
        let (index, changed) = match depot.target(INDEX).and_then(|target| stored.index(target.digest)) {
            Some(index) => (index, false),
            None => (index(&mut fetcher, &url, &depot)?, true),
        };
        let catalogue = store::catalogue(&depot, &index)?;
        self.keep(&depot, roots, index, stored, clock.says)?;
        let known = Known { depot, catalogue, checked: clock.says };
        Ok(Checked { known, changed, counts: fetcher.counts(), unconfined })
    }
}

fn index(fetcher: &mut Fetcher, url: &str, depot: &Depot) -> Result<Vec<u8>> {
    let missing = || {
        let problem = "the depot does not have it".into();
        let refusal = tuf::Refusal { file: INDEX.into(), why: Why::Missing, problem };
        Trouble::Refused { refusal, place: url.into() }
    };
    let target = depot.target(INDEX).ok_or_else(missing)?;
    let limit = usize::try_from(target.length.0).unwrap_or(usize::MAX).min(formats::catalogue::MAX_INDEX);
    fetcher.whole(&format!("{url}/targets/{}", target.path(INDEX)), limit)?.ok_or_else(|| missing().into())
}

fn troubled(trouble: tuf::Trouble<Error>, url: &str, clock: Clock) -> Error {
    match trouble {
        tuf::Trouble::Fetch(problem) => problem,
        tuf::Trouble::Refused(refusal) if refusal.why == Why::Expired => {
            Trouble::Expired { url: url.into(), refusal, says: day(clock.says), signed: day(clock.signed) }.into()
        }
        tuf::Trouble::Refused(refusal) => Trouble::Refused { refusal, place: url.into() }.into(),
    }
}

impl Checked {
    /// What was found, a sentence each.
    pub fn steps(&self, setting: &formats::depot::Setting) -> Vec<String> {
        let index = self.known.catalogue.index();
        let news = if self.changed { "has news" } else { "has nothing new" };
        let url = setting.url.as_deref().unwrap_or_default();
        let mut steps = self.unconfined.clone();
        let packages = match self.known.catalogue.entries().len() {
            1 => "1 package".into(),
            count => format!("{count} packages"),
        };
        steps.push(format!(
            "{url} {news}: {packages}, its list is of {}, channel \"{}\"",
            day(index.created),
            setting::channel(setting)
        ));
        steps
    }
}
