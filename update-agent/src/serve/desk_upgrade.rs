//! The keeper's part in upgrades: beginning one, for somebody or unasked, taking it back, and telling how far it is.
//!
//! What is kept is an intent and nothing else; [`super::upgrade`] follows it.

use formats::catalogue::{Entry, PackageId};
use formats::depot::Setting;
use formats::plan::{Inventory, Plan};

use super::desk::Desk;
use super::job::Hand;
use crate::api;
use crate::command::install::firmware_model;
use crate::depot::clock::Clock;
use crate::depot::offer::Way;
use crate::depot::window::{Shut, admitted};
use crate::depot::{Trouble, offer};
use crate::error::{Error, Result};
use crate::journal::UpgradeEvent;
use crate::lifecycle::silent;
use crate::upgrade::look::{Depth, look};
use crate::upgrade::outlook::{Outlook, Rest, Seen, rest, story};
use crate::upgrade::store::Store;
use crate::upgrade::unasked::unasked;
use crate::upgrade::{self, FORMAT, Upgrade};
use crate::workplace::{Workplace, now};

impl Desk {
    /// Begins an upgrade: asks the depot, plans, keeps the intent. Nothing is installed by it; [`follow`] does that.
    pub(super) fn begin_upgrade(&self, order: &api::Upgrade, by: &str, hand: &Hand) -> Result<Vec<String>> {
        order.check()?;
        let mut steps = if order.offline { Vec::new() } else { self.check()? };
        self.none_under_way(&self.look()?)?;
        let wanted = offer::Wanted { to: order.to.clone(), no_soak: order.no_soak.is_some() };
        let way = if order.offline { self.staged_way(&wanted)? } else { self.plan(&wanted)? };
        steps.extend(way.sentences);
        if !way.plan.steps.is_empty() {
            let to = order.to.clone().map_or_else(|| upgrade::ends(&way.plan), |to| vec![to]);
            steps.extend(self.backup_before((order.backup, order.no_backup.as_deref()), "an upgrade", by, hand)?);
            let among = if order.offline { packages(&way.plan) } else { Vec::new() };
            steps.push(self.keep_upgrade(to, among, order, by)?);
        }
        Ok(steps)
    }

    /// The way among what is staged, and what is missing for the one that everything there is would allow.
    fn staged_way(&self, wanted: &offer::Wanted) -> Result<Way> {
        let (_, inventory, workplace, clock) = self.place_in_fleet()?;
        let known = self.depot.known()?;
        let staged = self.staging().list(&self.package_trust(workplace.trust())?, &self.program)?;
        let here = |entry: &Entry| staged.iter().any(|one| one.is(entry));
        let way = offer::way_with(&known.catalogue, &inventory, wanted, clock.now(), here);
        let whole = match offer::way(&known.catalogue, &inventory, wanted, clock.now()) {
            Ok(whole) => packages(&whole.plan),
            // Then there is none among a part of it either, and this says why.
            Err(problem) => return Err(problem),
        };
        let missing = whole.into_iter().filter(|id| !known.catalogue.entries().get(id).is_some_and(here));
        let missing: Vec<PackageId> = missing.collect();
        match way {
            Ok(way) if missing.is_empty() => Ok(way.estimated(workplace.agent(&silent).facts()?.rates())),
            Ok(mut way) if !way.plan.steps.is_empty() => {
                way.sentences.push(format!("there is more that is not staged: {}", listed(&missing)));
                Ok(way.estimated(workplace.agent(&silent).facts()?.rates()))
            }
            _ => Err(Trouble::NotAllStaged(listed(&missing)).into()),
        }
    }

    /// What may be begun now although nobody asked for it, by what is known of the depot; nothing while an upgrade is under way, while
    /// something else has to end first, or outside the maintenance window.
    pub(super) fn unasked(&self) -> Result<Option<(Vec<PackageId>, Plan)>> {
        let (setting, inventory, workplace, clock) = self.place_in_fleet()?;
        self.unasked_at(&setting, &inventory, &workplace, clock)
    }

    /// The same for whoever holds the disk already. An error when it could be told what to begin, and never when.
    pub(super) fn unasked_at(
        &self,
        setting: &Setting,
        inventory: &Inventory,
        workplace: &Workplace,
        clock: Clock,
    ) -> Result<Option<(Vec<PackageId>, Plan)>> {
        let facts = workplace.agent(&silent).facts()?;
        match self.none_under_way(workplace) {
            Err(Error::UpgradeUnderWay(_)) => return Ok(None),
            none => none?,
        }
        if rest(&facts) != Rest::AtRest {
            return Ok(None);
        }
        let Some(found) = unasked(&self.depot.known()?.catalogue, inventory, &facts.history, clock.now()) else {
            return Ok(None);
        };
        let takes = found.1.steps.first().map(|step| facts.takes(step.written, step.reboot));
        match admitted(setting, clock, takes.unwrap_or_default()) {
            Ok(()) => Ok(Some(found)),
            Err(Shut::Now(_)) => Ok(None),
            Err(shut) => Err(Trouble::Window(shut).into()),
        }
    }

    /// Begins that, once the depot said that it is still so. Terms stay to be accepted and clients get their time: neither is for the
    /// calendar to decide.
    pub(super) fn begin_unasked_upgrade(&self, by: &str, hand: &Hand) -> Result<Vec<String>> {
        let mut steps = self.check()?;
        if let Some((to, plan)) = self.unasked()? {
            steps.extend(plan.sentences());
            steps.extend(self.backup_before((false, None), "an upgrade", by, hand)?);
            steps.push(self.keep_upgrade(to, Vec::new(), &api::Upgrade::default(), by)?);
        }
        Ok(steps)
    }

    /// Begins to follow the way of a bundle, whose packages are staged.
    pub(super) fn begin_bundle(&self, way: &Plan, accept_eula: bool, by: &str) -> Result<String> {
        let order = api::Upgrade { accept_eula, offline: true, ..api::Upgrade::default() };
        self.keep_upgrade(upgrade::ends(way), packages(way), &order, by)
    }

    fn keep_upgrade(
        &self,
        to: Vec<PackageId>,
        among: Vec<PackageId>,
        order: &api::Upgrade,
        by: &str,
    ) -> Result<String> {
        let workplace = self.change(by.to_owned())?;
        self.none_under_way(&workplace)?;
        let agent = workplace.agent(&silent);
        // The record first: see the module that keeps the file.
        let record = agent.journal.upgrade(&to, UpgradeEvent::Begun, order.no_soak.clone())?;
        self.upgrades().save(&Upgrade {
            format: FORMAT,
            to,
            no_soak: order.no_soak.clone(),
            accept_eula: order.accept_eula,
            offline: order.offline,
            among,
            by: by.into(),
            since: now(),
            record,
            stopped: None,
        })?;
        Ok("the appliance follows this by itself, through its restarts; \"update-agent status\" says how far it is"
            .into())
    }

    /// Refused while one is under way.
    pub(super) fn none_under_way(&self, workplace: &Workplace) -> Result<()> {
        let Some(present) = self.upgrades().load()? else { return Ok(()) };
        let ended = story(&present, &workplace.agent(&silent).journal.history()?).ended;
        if present.stopped.is_some() || ended {
            return Ok(());
        }
        Err(Error::UpgradeUnderWay(self.outlook_of(present, workplace)?.summary))
    }

    /// Takes it back. A step that is on trial is judged all the same.
    pub(super) fn cancel_upgrade(&self, by: &str) -> Result<Vec<String>> {
        let workplace = self.change(by.to_owned())?;
        let store = self.upgrades();
        let goal = match store.load() {
            Ok(None) => return Err(Error::NoUpgrade),
            Ok(Some(upgrade)) => {
                workplace.agent(&silent).journal.upgrade(&upgrade.to, UpgradeEvent::Cancelled, None)?;
                format!("the upgrade to {}", upgrade.goal())
            }
            Err(Error::Kept(_)) => "an upgrade that is not understood".into(),
            Err(problem) => return Err(problem),
        };
        store.remove()?;
        Ok(vec![format!("{goal} is cancelled; what was installed stays, and what is on trial is still judged")])
    }

    /// How far it is; nothing when none is under way.
    pub(super) fn outlook(&self) -> Result<Option<Outlook>> {
        let Some(upgrade) = self.upgrades().load()? else { return Ok(None) };
        self.outlook_of(upgrade, &self.look()?).map(Some)
    }

    fn outlook_of(&self, upgrade: Upgrade, workplace: &Workplace) -> Result<Outlook> {
        let seen = self.seen_at(workplace, &upgrade, Depth::Whole)?;
        Ok(Outlook::new(upgrade, &seen))
    }

    pub(super) fn seen_at(&self, workplace: &Workplace, upgrade: &Upgrade, depth: Depth) -> Result<Seen> {
        let agent = workplace.agent(&silent);
        let (facts, licences) = (agent.facts()?, agent.licences(&self.licence_store())?);
        let model = if workplace.is_image() { None } else { firmware_model() };
        look(&self.depot, &facts, model, &licences, self.clock(&facts), upgrade, depth)
    }

    pub(super) fn upgrades(&self) -> Store {
        Store::new(&self.data)
    }
}

fn packages(plan: &Plan) -> Vec<PackageId> {
    plan.steps.iter().map(|step| step.package.clone()).collect()
}

fn listed(packages: &[PackageId]) -> String {
    packages.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
