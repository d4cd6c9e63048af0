//! Installing a licence: no slot, no restart, no trial.
//!
//! The order of writes: room for the record, the licence by one rename, the record. A power cut before the rename leaves the licence before;
//! one after it the new licence without its record, which [`Agent::settle_licences`] writes when the agent starts again or installs the next
//! one. Nothing depends on the record but the floor of the line after the file is gone, and history.

use formats::footer;
use formats::manifest::{Date, Kind, Manifest, SiteInfo};
use formats::signature::VerifiedManifest;

use super::admission::{Model, admit_licence};
use super::agent::Agent;
use super::facts::Facts;
use crate::error::{At, Doing, Error, Result};
use crate::journal::{Floor, Outcome, Release};
use crate::licence::{Licences, Store, standing};
use crate::source::Source;

impl Agent<'_> {
    /// The licences that are installed.
    pub fn licences(&self, store: &dyn Store) -> Result<Licences> {
        Ok(Licences::read(store, self.trust, &self.journal.history()?.floors()))
    }

    /// Licences of which the journal does not know that they were installed.
    pub fn unrecorded_licences(&self, store: &dyn Store) -> Result<Vec<Release>> {
        let floors = self.journal.history()?.floors();
        let known = |manifest: &Manifest| Floor::of(&floors, manifest.kind, &manifest.name) == Some(manifest.sequence);
        let held = self.licences(store)?.held;
        let unknown = held.iter().map(VerifiedManifest::manifest).filter(|manifest| !known(manifest));
        Ok(unknown.map(Release::from).collect())
    }

    /// Writes down what was installed right before a power cut. Calling it again does nothing.
    pub fn settle_licences(&self, store: &dyn Store) -> Result<Vec<String>> {
        let mut steps = Vec::new();
        for release in self.unrecorded_licences(store)? {
            steps.push(format!("licence {release} was installed when the agent was cut off"));
            self.journal.licence(release, Outcome::Committed)?;
        }
        Ok(steps)
    }

    /// Installs a licence whose manifest is verified: it counts when this returns.
    pub fn install_licence(
        &self,
        store: &dyn Store,
        verified: &VerifiedManifest,
        package: &dyn Source,
        model: &Model,
    ) -> Result<Vec<String>> {
        self.no_reset_pending()?;
        let mut steps = self.settle_licences(store)?;
        let facts = self.facts()?;
        let manifest = verified.manifest();
        let release = Release::from(manifest);
        verified.check_current(self.today(&facts)).at(|| release.to_string())?;
        let before = self.licences(store)?;
        if before.of_line(&manifest.name).is_some_and(|held| held.build_id == manifest.build_id) {
            steps.push(format!("licence {release} is installed already"));
            return Ok(steps);
        }
        admit_licence(&facts, before.of_line(&manifest.name), manifest, model, self.today(&facts))?;
        let file = footer::encode(package.manifest(), package.signatures()).at(|| release.to_string())?;
        self.journal.reserve()?;
        store.replace(&manifest.name, &file).doing(|| format!("keep the licence {release}"))?;
        // From here on it counts. A record that cannot be written now is written by the next settling.
        let noted = self.journal.licence(release.clone(), Outcome::Committed);
        steps.extend(noted.err().map(|problem| problem.to_string()));
        let after = self.licences(store)?;
        if after.of_line(&manifest.name).is_none_or(|held| held.build_id != manifest.build_id) {
            return Err(Error::NotKept(format!(
                "the data partition does not keep the licence {release}; check the disk"
            )));
        }
        steps.push(format!("licence {release} is installed; nothing restarts"));
        steps.extend(self.counted(&facts, &after));
        Ok(steps)
    }

    /// How many licences there are now.
    fn counted(&self, facts: &Facts, licences: &Licences) -> Option<String> {
        let today = Date::of_unix(self.today(facts))?;
        let count = standing(licences, facts.site_info(), today).count?;
        Some(format!("{count} {} now", if count == 1 { "licence" } else { "licences" }))
    }
}

impl Facts {
    /// What the site that runs says about the installation it is for.
    pub fn site_info(&self) -> Option<&SiteInfo> {
        self.content(Kind::Site, self.active_site()?).manifest()?.site.as_ref()
    }
}
