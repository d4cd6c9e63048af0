//! The keeper's part in mail: what there is to tell, and having it told.

use formats::catalogue::Entry;
use formats::depot::Setting;
use formats::plan::{self, Inventory};
use serde_json::{Value, json};

use super::desk::Desk;
use crate::depot::clock::Clock;
use crate::depot::store::Known;
use crate::error::Result;
use crate::mail::letter::{self, About, Offer};
use crate::mail::{self, News, Told, attempt, chosen};
use crate::notes::Text;

impl Desk {
    /// Whether there is something people were not told.
    pub(super) fn has_news(&self) -> Result<bool> {
        let (setting, inventory, _, clock) = self.place_in_fleet()?;
        if setting.mail.is_none() {
            return Ok(false);
        }
        Ok(!news(&self.depot.known()?, &inventory, clock, &self.depot.told()).is_empty())
    }

    /// Tells them, and remembers it.
    pub(super) fn tell(&self) -> Result<Vec<String>> {
        let (setting, inventory, _, clock) = self.place_in_fleet()?;
        let mail = self.depot.mail()?;
        let known = self.depot.known()?;
        let told = self.depot.told();
        let news = news(&known, &inventory, clock, &told);
        if news.is_empty() {
            return Ok(vec!["there is nothing to tell that was not told".into()]);
        }
        let builds: Vec<_> = news.iter().map(|one| one.entry.build_id).collect();
        let (shown, others) = chosen(news);
        let offers = self.offers(&setting, &known, shown);
        let words = letter::offers(&about(&setting, &inventory), &offers, &others);
        let mut seed: Vec<&[u8]> = vec![inventory.appliance.as_bytes()];
        seed.extend(builds.iter().map(|build| build.0.as_slice()));
        let result = self.depot.post(&mail, words, &seed, clock.says);
        let attempt = attempt(&result, clock.says);
        let mut told = if result.is_ok() { told.with(&builds, &known.catalogue) } else { told };
        told.attempt = Some(attempt);
        let kept = self.depot.keep_told(&told);
        result.and(kept)?;
        let to: Vec<String> = mail.to.iter().map(ToString::to_string).collect();
        let what: Vec<String> = offers.iter().map(|offer| offer.package.to_string()).collect();
        Ok(vec![format!("{} told about {}", to.join(", "), what.join(", "))])
    }

    /// Sends a letter that says nothing but that letters arrive.
    pub(super) fn test_mail(&self) -> Result<Vec<String>> {
        let (setting, inventory, _, clock) = self.place_in_fleet()?;
        let mail = self.depot.mail()?;
        let words = letter::test(&about(&setting, &inventory));
        let seed: [&[u8]; 3] = [b"test", inventory.appliance.as_bytes(), &clock.says.to_le_bytes()];
        self.depot.post(&mail, words, &seed, clock.says)?;
        let to: Vec<String> = mail.to.iter().map(ToString::to_string).collect();
        Ok(vec![format!("{}:{} took a test for {}", mail.server, mail.port(), to.join(", "))])
    }

    /// Who gets mail, and how the last one ended.
    pub(super) fn mail_facts(&self) -> Result<Value> {
        let mail = self.depot.mail()?;
        Ok(json!({
            "server": mail.server,
            "port": mail.port(),
            "security": mail.security,
            "from": mail.from,
            "to": mail.to,
            "attempt": self.depot.told().attempt,
        }))
    }

    /// Seconds since 1970 of the last mail if it failed.
    pub(super) fn mail_failed(&self) -> Option<i64> {
        self.depot.told().attempt.filter(|attempt| attempt.problem.is_some()).map(|attempt| attempt.time)
    }

    /// What is to be said about mail in the list of updates.
    pub(super) fn mail_note(&self, setting: &Setting) -> Option<String> {
        setting.mail.as_ref()?;
        let problem = self.depot.told().attempt?.problem?;
        Some(format!("nobody could be told: {}", problem.message))
    }

    /// With the notes of each, as far as they can be had now: a letter without them is better than none.
    fn offers(&self, setting: &Setting, known: &Known, shown: Vec<News<'_>>) -> Vec<Offer> {
        let mut from = self.depot.url(setting).and_then(|url| Ok((url, self.depot.fetcher(setting)?))).ok();
        let mut notes = |entry: &Entry| {
            let (url, fetcher) = from.as_mut()?;
            Text::notes(entry).fetch(url, fetcher, &known.depot).ok()
        };
        let offer = |one: News<'_>| {
            let (package, notes) = (one.entry.id(), notes(one.entry));
            Offer { package, after: one.after, size: one.entry.size, effects: one.entry.effects, notes }
        };
        shown.into_iter().map(offer).collect()
    }
}

/// What can be installed that people were not told.
fn news<'k>(known: &'k Known, inventory: &Inventory, clock: Clock, told: &Told) -> Vec<News<'k>> {
    let rows = plan::list(inventory, &plan::candidates(&known.catalogue, inventory, clock.now()));
    mail::news(&known.catalogue, rows, told)
}

fn about(setting: &Setting, inventory: &Inventory) -> About {
    let site = inventory.site.as_ref();
    let runs = [Some(&inventory.base), site].into_iter().flatten();
    About {
        product: inventory.product.clone(),
        hostname: site.and_then(|site| site.hostname.clone()),
        appliance: inventory.appliance.clone(),
        runs: runs.map(|one| format!("{} {}", one.name, one.version)).collect(),
        window: setting.window.map(|window| window.to_string()),
    }
}
