//! The keeper's answers about what is to be read before something is installed: release notes and licence terms of the depot.

use std::io::Read as _;

use formats::Digest;
use formats::catalogue::{Entry, PackageId};
use formats::package::MAX_TEXT;
use serde_json::{Value, json};

use super::desk::{Desk, value};
use crate::airgap::bundle::Opened;
use crate::api::Wanted;
use crate::depot::offer;
use crate::depot::store::Known;
use crate::error::{Doing, Result};
use crate::eula;
use crate::journal::Release;
use crate::lifecycle::silent;
use crate::notes::{Notes, Text, Texts};

impl Desk {
    /// Fetches the texts of all packages that lead to what is wanted, as far as they are not there.
    pub(super) fn fetch_texts(&self, wanted: &Wanted) -> Result<Vec<String>> {
        // As for a plan, what was known when it was last asked counts; so what came with a bundle needs no network.
        let mut steps = if self.depot.known().is_ok() { Vec::new() } else { self.check()? };
        let known = self.depot.known()?;
        let texts = self.texts();
        texts.tidy(&known.catalogue)?;
        let entries = self.to_read(&known, wanted)?;
        let missing = entries.into_iter().flat_map(Text::of).filter(|text| texts.kept(text).is_none());
        let missing: Vec<Text> = missing.collect();
        if missing.is_empty() {
            steps.push("all texts are here".into());
            return Ok(steps);
        }
        let setting = self.depot.setting()?;
        let (url, mut fetcher) = (self.depot.url(&setting)?, self.depot.fetcher(&setting)?);
        for text in missing {
            texts.keep(&text, &text.fetch(&url, &mut fetcher, &known.depot)?)?;
            steps.push(format!("{} is fetched", text.target));
        }
        Ok(steps)
    }

    /// Keeps the texts of these packages that a bundle carries; those it does not carry are in the packages all the same.
    pub(super) fn keep_texts(&self, bundle: &Opened, known: &Known, entries: &[&Entry]) -> Result<()> {
        let texts = self.texts();
        for text in entries.iter().copied().flat_map(Text::of).filter(|text| texts.kept(text).is_none()) {
            let Some(target) = known.depot.target(&text.target).filter(|target| bundle.has(&text.target, target))
            else {
                continue;
            };
            let mut bytes = Vec::new();
            // What a bundle says of its lengths is its own; one byte more than a text may have is read, and refused.
            let limit = u64::try_from(MAX_TEXT).unwrap_or(u64::MAX).saturating_add(1);
            let from = bundle.target(&text.target, target)?;
            from.take(limit).read_to_end(&mut bytes).doing(|| format!("read {}", bundle.name()))?;
            texts.keep(&text, &text.read(bytes)?)?;
        }
        Ok(())
    }

    /// The notes of all packages that lead to what is wanted.
    pub(super) fn notes(&self, wanted: &Wanted) -> Result<Notes> {
        let known = self.depot.known()?;
        let history = self.look()?.agent(&silent).journal.history()?;
        self.texts().notes(&self.to_read(&known, wanted)?, &history)
    }

    /// The licence terms of a package of the depot, when they were fetched; nothing: look into the package.
    pub(super) fn terms_in_depot(&self, id: &PackageId) -> Result<Option<Value>> {
        let known = self.depot.known()?;
        let Some(entry) = known.catalogue.entries().get(id) else { return Ok(None) };
        let history = self.look()?.agent(&silent).journal.history()?;
        let Ok(Notes { packages }) = self.texts().notes(&[entry], &history) else { return Ok(None) };
        let text = match Text::terms(entry) {
            None => None,
            Some(terms) => match self.texts().kept(&terms) {
                None => return Ok(None),
                there => there,
            },
        };
        let digest: Option<Digest> = entry.eula;
        Ok(Some(json!({
            "release": value(&Release::from(entry))?,
            "notes": packages.first().map(|about| about.notes.as_str()).unwrap_or_default(),
            "text": text,
            "digest": digest,
            "accepted": digest.is_some_and(|digest| history.accepted(digest)),
        })))
    }

    /// Lets a package of the depot pass whose licence terms are accepted: nobody waits for a download to hear of them. They are known by
    /// the digest its entry names.
    pub(super) fn agreed(&self, id: &PackageId, accept: bool, by: &str) -> Result<Option<String>> {
        if !self.depot.known().is_ok_and(|known| known.catalogue.entries().contains_key(id)) {
            self.check()?;
        }
        let known = self.depot.known()?;
        let (_, inventory, workplace, clock) = self.place_in_fleet()?;
        let entry = offer::wanted(&known.catalogue, &inventory, id, true, clock.now())?;
        let Some(digest) = entry.eula else { return Ok(None) };
        let release = Release::from(entry);
        if eula::stands(&workplace.agent(&silent).journal, &release, digest, accept)? {
            return Ok(None);
        }
        drop(workplace);
        let workplace = self.change(by.to_owned())?;
        eula::accept(&workplace.agent(&silent).journal, release, digest).map(Some)
    }

    fn texts(&self) -> Texts {
        Texts::new(&self.data)
    }

    /// The packages of the way to what is wanted; of one there is no way to, itself.
    fn to_read<'k>(&self, known: &'k Known, wanted: &Wanted) -> Result<Vec<&'k Entry>> {
        let (_, inventory, _, clock) = self.place_in_fleet()?;
        let entries = known.catalogue.entries();
        let ids = match offer::way(&known.catalogue, &inventory, wanted, clock.now()) {
            Ok(way) => way.plan.steps.into_iter().map(|step| step.package).collect(),
            Err(problem) => match &wanted.to {
                Some(id) if entries.contains_key(id) => vec![id.clone()],
                _ => return Err(problem),
            },
        };
        Ok(ids.iter().filter_map(|id| entries.get(id)).collect())
    }
}
