//! The keeper and path bundles: what is learnt from one, and its packages into staging.
//!
//! The order of things: what it says of its depot is verified and kept; the way to its end is planned here, among what it carries and what is
//! staged; room is measured for all that is missing; then each package is copied and checked whole. What was staged when something
//! fails stays staged: it is verified, and the next attempt goes on with it.

use std::path::Path;

use formats::Bytes;
use formats::catalogue::{Entry, PackageId};
use formats::manifest::Date;
use formats::plan::Plan;
use formats::tuf::Refusal;

use super::desk::{Desk, open};
use super::job::Hand;
use crate::airgap::bundle::{self, Opened, Taken};
use crate::api::Install;
use crate::depot::Trouble;
use crate::depot::clock::Clock;
use crate::depot::offer::{self, Wanted, Way};
use crate::depot::store::{Attempt, Known};
use crate::error::{Error, Result};
use crate::lifecycle::silent;

/// A bundle whose packages are staged.
pub(super) struct Staged {
    /// What was done, a sentence each.
    pub(super) steps: Vec<String>,
    /// The way to its end; no steps when that is reached.
    pub(super) way: Plan,
}

impl Desk {
    /// Takes a bundle in. `reason`: somebody takes it whatever day it is.
    pub(super) fn stage_bundle(
        &self,
        mut bundle: Opened,
        reason: Option<&str>,
        by: &str,
        hand: &Hand,
    ) -> Result<Staged> {
        let mut steps = Vec::new();
        let (_, inventory, _, clock) = self.place_in_fleet()?;
        bundle.check_product(&inventory.product)?;
        let whose = &bundle.label().appliance;
        if *whose != inventory.appliance {
            steps.push(format!(
                "{} was made for another appliance, {whose}; what suits this one is taken",
                bundle.name()
            ));
        }
        let known = self.learnt(&mut bundle, reason, by, clock, &mut steps)?;
        let way = self.way_of(&bundle, &known)?;
        self.keep_texts(&bundle, &known, &way)?;
        self.stage_missing(&bundle, &known, &way, hand, &mut steps)?;
        steps.extend(way.sentences);
        Ok(Staged { steps, way: way.plan })
    }

    /// Takes a bundle in, and begins to follow its way through the restarts it takes.
    pub(super) fn install_bundle(&self, bundle: Opened, order: &Install, by: &str, hand: &Hand) -> Result<Vec<String>> {
        self.none_under_way(&self.look()?)?;
        let Staged { mut steps, way } = self.stage_bundle(bundle, order.accept_expired.as_deref(), by, hand)?;
        if !way.steps.is_empty() {
            steps.push(self.begin_bundle(&way, order.accept_eula, by)?);
        }
        Ok(steps)
    }

    /// Removes what is staged of these packages.
    pub(super) fn discard_all(&self, packages: &[PackageId]) -> Result<()> {
        if packages.is_empty() {
            return Ok(());
        }
        let known = self.depot.known()?;
        let entries: Vec<&Entry> = packages.iter().filter_map(|id| known.catalogue.entries().get(id)).collect();
        let mut staged = self.staged()?.into_iter().filter(|one| entries.iter().any(|entry| one.is(entry)));
        staged.try_for_each(|one| self.staging().discard(&one.id))
    }

    fn learnt(
        &self,
        bundle: &mut Opened,
        reason: Option<&str>,
        by: &str,
        clock: Clock,
        steps: &mut Vec<String>,
    ) -> Result<Known> {
        let reason = reason.map(checked_reason).transpose()?;
        let name = bundle.name().to_owned();
        let decide = reason.map(|reason| {
            let what = move |refusal: &Refusal| format!("{name} taken although {refusal}");
            move |refusal: &Refusal| {
                let workplace = self.change(by.into())?;
                workplace.agent(&silent).journal.decide(what(refusal), reason.into())
            }
        });
        let decide = decide.as_ref().map(|decide| decide as &dyn Fn(&Refusal) -> Result<()>);
        let taken = bundle.take(&self.depot, clock, decide).map_err(|problem| problem.with(clock))?;
        let Taken { learnt, expired } = taken;
        self.depot.remember(&Attempt { time: clock.says, problem: None })?;
        steps.extend(learnt.damage);
        if let (Some(expired), Some(reason)) = (expired, reason) {
            steps.push(format!("{expired}; taken all the same, decided because: {reason}"));
        }
        let (packages, made) = (bundle.label().order.len(), Date::shown(learnt.known.catalogue.index().created));
        let words = if packages == 1 { "1 package".into() } else { format!("{packages} packages") };
        steps.push(format!("{} has {words}, its list is of {made}", bundle.name()));
        Ok(learnt.known)
    }

    /// The way to the newest of the packages a bundle names, all of which it has to carry.
    fn way_of(&self, bundle: &Opened, known: &Known) -> Result<Way> {
        let order = &bundle.label().order;
        for id in order {
            let name = id.target();
            let target = known.depot.target(&name).ok_or_else(|| Trouble::NotInDepot(id.clone()))?;
            bundle.target(&name, target)?;
        }
        // Anew: what was learnt may have moved the clock and the keys.
        let (_, inventory, _, clock) = self.place_in_fleet()?;
        let way = |to: Option<PackageId>| {
            let wanted = Wanted { to, no_soak: false };
            let carried = |entry: &Entry| order.contains(&entry.id());
            offer::way_with(&known.catalogue, &inventory, &wanted, clock.now(), carried)
        };
        let newest = way(None)?;
        match order.last() {
            // It does not lead there: is it installed, or what stands in the way?
            Some(last) if newest.plan.steps.iter().all(|step| step.package != *last) => way(Some(last.clone())),
            _ => Ok(newest),
        }
    }

    fn stage_missing(
        &self,
        bundle: &Opened,
        known: &Known,
        way: &Way,
        hand: &Hand,
        steps: &mut Vec<String>,
    ) -> Result<()> {
        let workplace = self.look()?;
        let trust = self.package_trust(workplace.trust())?;
        let staged = self.staging().list(&trust, &self.program)?;
        let entries = way.plan.steps.iter().filter_map(|step| known.catalogue.entries().get(&step.package));
        let missing: Vec<&Entry> = entries.filter(|entry| !staged.iter().any(|one| one.is(entry))).collect();
        let length = missing.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.size.0));
        let progress = |phase, done, of| hand.show(phase, done, of);
        if !missing.is_empty() {
            self.staging().room_for_all(&format!("what {} carries", bundle.name()), Bytes(length))?;
        }
        for entry in missing {
            let (id, name) = (entry.id(), entry.id().target());
            let target = known.depot.target(&name).ok_or_else(|| Trouble::NotInDepot(id.clone()))?;
            let from = bundle.target(&name, target)?;
            let with = (&trust, &self.program);
            let (staged, release) = self.staging().take_in(from, target, (&name, bundle.name()), with, &progress)?;
            steps.push(format!("{release} is staged as {staged}"));
        }
        Ok(())
    }
}

/// The bundle at this path, if it is one.
pub(super) fn bundle(path: &Path) -> Result<Option<Opened>> {
    let (mut file, name) = open(path)?;
    if bundle::recognised(&mut file, &name)? { Opened::read(file, &name).map(Some) } else { Ok(None) }
}

/// Words for the journal.
fn checked_reason(reason: &str) -> Result<&str> {
    let fits = !reason.trim().is_empty() && reason.chars().count() <= LONGEST && !reason.contains(char::is_control);
    if fits { Ok(reason) } else { Err(Error::Usage(format!("a reason has 1 to {LONGEST} characters on one line"))) }
}

const LONGEST: usize = 300;
