//! The keeper's answers about the depot.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use formats::catalogue::PackageId;
use formats::depot::Setting;
use formats::manifest::Kind;
use formats::plan::Inventory;
use formats::trust::TrustStore;
use formats::{Bytes, signature};

use super::calendar::window_note;
use super::desk::Desk;
use super::job::Hand;
use crate::airgap::key::{self, Made};
use crate::command::install::firmware_model;
use crate::depot::Trouble;
use crate::depot::clock::Clock;
use crate::depot::download::Download;
use crate::depot::offer::{self, Updates, Wanted, Way};
use crate::error::{At, Error, Result};
use crate::lifecycle::{Facts, silent};
use crate::source::{PackageFile, Source as _};
use crate::staging::Staged;
use crate::workplace::Workplace;

impl Desk {
    /// Asks the depot.
    pub(super) fn check(&self) -> Result<Vec<String>> {
        let workplace = self.look()?;
        let facts = workplace.agent(&silent).facts()?;
        let clock = self.clock(&facts);
        let checked = self.depot.check(clock).map_err(|problem| problem.with(clock))?;
        let mut steps = checked.steps(&self.depot.setting()?);
        let offered: BTreeSet<String> = checked.known.packages().map(|target| target.digest.short()).collect();
        self.staging().drop_parts(|digest| !offered.contains(digest))?;
        steps.extend(self.clock(&facts).problem());
        Ok(steps)
    }

    /// What is known of the depot, seen from what is installed now.
    pub(super) fn updates(&self) -> Result<Updates> {
        let (setting, inventory, workplace, clock) = self.place_in_fleet()?;
        let known = self.depot.known()?;
        let staged = self.staging().list(&self.package_trust(workplace.trust())?, &self.program)?;
        let mut updates = offer::updates(&known, &setting, &inventory, &staged, self.depot.attempt(), clock);
        updates.notes.extend(window_note(&setting, clock));
        updates.notes.extend(self.unasked_note(&setting, &inventory, &workplace, clock));
        updates.notes.extend(self.mail_note(&setting));
        Ok(updates)
    }

    /// The way to what is wanted.
    pub(super) fn plan(&self, wanted: &Wanted) -> Result<Way> {
        self.plan_at(&self.look()?, wanted)
    }

    pub(super) fn plan_at(&self, workplace: &Workplace, wanted: &Wanted) -> Result<Way> {
        let (_, inventory, clock) = self.in_fleet(workplace)?;
        let way = offer::way(&self.depot.known()?.catalogue, &inventory, wanted, clock.now())?;
        let facts = workplace.agent(&silent).facts()?;
        let mut way = way.estimated(facts.rates());
        // What a site is reached by has to be covered before it is installed.
        let entries = self.depot.known()?.catalogue;
        let sites = way.plan.steps.iter().filter_map(|step| entries.entries().get(&step.package));
        let host = sites
            .filter(|entry| entry.kind == Kind::Site)
            .filter_map(|entry| entry.hostname())
            .next_back()
            .map(str::to_owned);
        way.findings = host.map(|host| self.coverage(&host, &facts)).unwrap_or_default();
        Ok(way)
    }

    /// A new download key.
    pub(super) fn download_key(&self) -> Result<Made> {
        let (_, inventory, _, clock) = self.place_in_fleet()?;
        key::make(&self.depot, inventory, clock)
    }

    pub(super) fn place_in_fleet(&self) -> Result<(Setting, Inventory, Workplace, Clock)> {
        let workplace = self.look()?;
        let (setting, inventory, clock) = self.in_fleet(&workplace)?;
        Ok((setting, inventory, workplace, clock))
    }

    /// What a depot is asked for, and by which clock, seen from this disk.
    pub(super) fn in_fleet(&self, workplace: &Workplace) -> Result<(Setting, Inventory, Clock)> {
        let setting = self.depot.setting()?;
        let agent = workplace.agent(&silent);
        let (facts, licences) = (agent.facts()?, agent.licences(&self.licence_store())?);
        let model = if workplace.is_image() { None } else { firmware_model() };
        let clock = self.clock(&facts);
        let inventory = offer::inventory(&facts, &setting, self.depot.appliance()?, model, &licences, clock)?;
        Ok((setting, inventory, clock))
    }

    /// What time it is, as far as that is known.
    pub(super) fn clock(&self, facts: &Facts) -> Clock {
        self.depot.clock(facts)
    }

    /// The packages that are staged.
    pub(super) fn staged(&self) -> Result<Vec<Staged>> {
        self.staged_at(&self.look()?)
    }

    pub(super) fn staged_at(&self, workplace: &Workplace) -> Result<Vec<Staged>> {
        self.staging().list(&self.package_trust(workplace.trust())?, &self.program)
    }

    /// Whom to believe about packages: the newest the depot's roles name, else those the base was built with. Whether development builds
    /// are taken is the base's to say. An error when it was known what they name, and is not any more.
    pub(super) fn package_trust(&self, built_in: &TrustStore) -> Result<TrustStore> {
        let Some(known) = self.depot.known_if_any()? else { return Ok(built_in.clone()) };
        let newest = known.depot.targets().trust_store(built_in.product(), built_in.development_allowed());
        newest.at(|| "the keys the depot names".into())
    }

    /// Opens a package that is to be installed and checks all of it. It must be signed for whom the depot names now, and for the keys the
    /// base was built with too: the running base's initramfs and this program read slots by those, and would not know it again.
    pub(super) fn read(&self, file: File, name: &str) -> Result<PackageFile> {
        let workplace = self.look()?;
        let package = PackageFile::read(file, name, &self.package_trust(workplace.trust())?, &self.program)?;
        let manifest = package.verified().manifest();
        let known =
            signature::verify(package.manifest(), package.signatures(), workplace.trust(), manifest.kind.into());
        match known {
            Ok(_) => Ok(package),
            Err(cause) => {
                Err(Trouble::UnknownToBase { release: format!("{} {}", manifest.name, manifest.version), cause }.into())
            }
        }
    }

    /// Fetches a package of the depot, unless it is staged. To be installed, it has to suit what runs now.
    pub(super) fn stage_from_depot(&self, id: &PackageId, install: bool, hand: &Hand) -> Result<FromDepot> {
        // What is staged needs no network; whoever wants to know whether it was withdrawn meanwhile checks first.
        let ready = self.staged_already(id, install);
        if let Ok(Some(ready)) = ready {
            return Ok(ready);
        }
        let mut steps = match (self.check(), ready) {
            (Ok(steps), _) => steps,
            // Without a network the reason is the one that is known.
            (Err(_), Err(problem)) | (Err(problem), _) => return Err(problem),
        };
        if let Some(ready) = self.staged_already(id, install)? {
            steps.extend(ready.steps);
            return Ok(FromDepot { steps, ..ready });
        }
        let (setting, inventory, workplace, clock) = self.place_in_fleet()?;
        let known = self.depot.known()?;
        offer::wanted(&known.catalogue, &inventory, id, install, clock.now())?;
        let trust = self.package_trust(workplace.trust())?;
        let name = id.target();
        let target = known.depot.target(&name).ok_or_else(|| Trouble::NotInDepot(id.clone()))?;
        let missing = |part: &Path| Bytes(target.length.0.saturating_sub(Download::there(part, target).0));
        let part = self.staging().room_for(target.digest, missing, &name)?;
        let url = format!("{}/targets/{}", self.depot.url(&setting)?, target.path(&name));
        let progress = |phase, done, of| hand.show(phase, done, of);
        hand.fetching(|still| {
            let download = Download { url: &url, target, to: &part, progress: &progress, still };
            download.run(&|| self.depot.fetcher(&setting))
        })?;
        let (staged, release) = self.staging().adopt(&part, &name, &trust, &self.program)?;
        steps.push(format!("{release} is fetched and staged as {staged}"));
        Ok(FromDepot { id: staged, steps, fetched: true })
    }

    /// The same package where it is staged already. An error when it may not be had, or not installed yet, by what is known.
    pub(super) fn staged_already(&self, id: &PackageId, install: bool) -> Result<Option<FromDepot>> {
        let Some(known) = self.depot.known_if_any()? else { return Ok(None) };
        let (_, inventory, workplace, clock) = self.place_in_fleet()?;
        let Some(entry) = known.catalogue.entries().get(id) else { return Ok(None) };
        let trust = self.package_trust(workplace.trust())?;
        let staged = self.staging().list(&trust, &self.program)?;
        let Some(staged) = staged.into_iter().find(|one| one.is(entry)) else { return Ok(None) };
        offer::wanted(&known.catalogue, &inventory, id, install, clock.now())?;
        let steps = vec![format!("{id} is staged as {}", staged.id)];
        Ok(Some(FromDepot { id: staged.id, steps, fetched: false }))
    }

    /// A package of the depot that was fetched.
    pub(super) fn staged_from_depot(&self, id: &PackageId) -> Result<(File, String)> {
        let known = self.depot.known()?;
        let entry = known.catalogue.entries().get(id).ok_or_else(|| Trouble::NotInDepot(id.clone()))?;
        let staged = self.staged()?.into_iter().find(|one| one.is(entry));
        self.staging().open(&staged.ok_or_else(|| Error::NotStaged(id.to_string()))?.id)
    }
}

/// A package of the depot that is staged.
pub(super) struct FromDepot {
    /// As which.
    pub(super) id: String,
    /// What was done, a sentence each.
    pub(super) steps: Vec<String>,
    /// It was not there before.
    pub(super) fetched: bool,
}
