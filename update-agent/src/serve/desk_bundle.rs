//! The keeper and path bundles: what is learnt from one, and its packages into staging.
//!
//! The order of things: what it says of its depot is verified and kept; licences that can be installed now are staged, and installed where
//! that is wanted; the way to its end is planned here, among what it carries and what is staged; room is measured for all of it that is
//! missing; then each package is copied and checked whole. What was staged when something fails stays staged: it is verified, and the next
//! attempt goes on with it.

use std::path::Path;

use formats::Bytes;
use formats::catalogue::{Entry, PackageId};
use formats::manifest::{Date, Kind};
use formats::plan::{self, Plan, candidates};
use formats::tuf::Refusal;

use super::desk::{Desk, open};
use super::job::Hand;
use crate::airgap::bundle::{self, Opened, Taken};
use crate::api::{Install, Package};
use crate::depot::Trouble;
use crate::depot::clock::Clock;
use crate::depot::offer::{self, Wanted, Way};
use crate::depot::store::{Attempt, Known};
use crate::error::{Error, Result};
use crate::lifecycle::silent;
use crate::workplace::Workplace;

/// What is being taken in: a bundle, and what was learnt from it.
struct Arrival {
    bundle: Opened,
    known: Known,
    /// What was done, a sentence each.
    steps: Vec<String>,
}

impl Desk {
    /// Takes a bundle in. `reason`: somebody takes it whatever day it is.
    pub(super) fn stage_bundle(
        &self,
        bundle: Opened,
        reason: Option<&str>,
        by: &str,
        hand: &Hand,
    ) -> Result<Vec<String>> {
        let mut arrival = self.arrived(bundle, reason, by)?;
        let licences = self.stage_licences(&mut arrival, hand)?;
        arrival
            .steps
            .extend(licences.iter().map(|id| format!("{id} can be installed at any time: update-agent install {id}")));
        let way = self.stage_way(&mut arrival, &licences, hand)?;
        arrival.steps.extend(said_of(way.sentences, &way.plan, &licences));
        Ok(arrival.steps)
    }

    /// Takes a bundle in, installs its licences, and begins to follow its way through the restarts it takes.
    pub(super) fn install_bundle(&self, bundle: Opened, order: &Install, by: &str, hand: &Hand) -> Result<Vec<String>> {
        self.none_under_way(&self.look()?)?;
        let mut arrival = self.arrived(bundle, order.accept_expired.as_deref(), by)?;
        // First: what they entitle to counts for the way.
        let licences = self.stage_licences(&mut arrival, hand)?;
        let refused = self.install_licences(&mut arrival, &licences, order, by, hand);
        let way = self.stage_way(&mut arrival, &licences, hand)?;
        let mut steps = arrival.steps;
        steps.extend(said_of(way.sentences, &way.plan, &licences));
        match refused {
            // There was nothing else to do.
            Some(problem) if way.plan.steps.is_empty() => return Err(problem),
            _ if way.plan.steps.is_empty() => {}
            _ => steps.push(self.begin_bundle(&way.plan, order.accept_eula, by)?),
        }
        Ok(steps)
    }

    /// Verifies and keeps what a bundle says of its depot; it has to carry everything it names.
    fn arrived(&self, mut bundle: Opened, reason: Option<&str>, by: &str) -> Result<Arrival> {
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
        for id in &bundle.label().order {
            let name = id.target();
            let target = known.depot.target(&name).ok_or_else(|| Trouble::NotInDepot(id.clone()))?;
            bundle.target(&name, target)?;
        }
        Ok(Arrival { bundle, known, steps })
    }

    /// Stages the licences a bundle carries that can be installed now, and says of each other one why it cannot.
    fn stage_licences(&self, arrival: &mut Arrival, hand: &Hand) -> Result<Vec<PackageId>> {
        let (_, inventory, _, clock) = self.place_in_fleet()?;
        let order = &arrival.bundle.label().order;
        let mut candidates = candidates(&arrival.known.catalogue, &inventory, clock.now());
        candidates.retain(|one| one.entry.kind == Kind::Licence && order.contains(&one.entry.id()));
        let now = plan::licences(&inventory, &candidates);
        let others = plan::list(&inventory, &candidates).into_iter().filter(|row| !now.contains(&row.package));
        arrival.steps.extend(others.map(|row| row.summary()));
        self.take_in(arrival, &now, hand)?;
        Ok(now)
    }

    /// Installs these staged licences. One that is refused is no reason to stop what else the bundle brings: why is said, and returned.
    fn install_licences(
        &self,
        arrival: &mut Arrival,
        licences: &[PackageId],
        order: &Install,
        by: &str,
        hand: &Hand,
    ) -> Option<Error> {
        let mut refused = None;
        for id in licences {
            match self.install_staged_licence(id, order, by, hand) {
                Ok(steps) => arrival.steps.extend(steps),
                Err(problem) => {
                    let code = problem.code();
                    arrival.steps.push(format!("{id} stays staged and is not installed: {problem} [{code}]"));
                    refused.get_or_insert(problem);
                }
            }
        }
        refused
    }

    fn install_staged_licence(&self, id: &PackageId, order: &Install, by: &str, hand: &Hand) -> Result<Vec<String>> {
        let staged = self.staged_already(id, true)?.ok_or_else(|| Error::NotStaged(id.to_string()))?;
        let order = Install { package: Package::Staged(staged.id.clone()), accept_expired: None, ..order.clone() };
        let steps = self.install_file(&order, by.to_owned(), hand, &|_| Ok(()))?;
        self.staging().discard(&staged.id)?;
        Ok(steps)
    }

    /// Plans the way a bundle is for, beside these licences, and stages what is missing of it.
    fn stage_way(&self, arrival: &mut Arrival, licences: &[PackageId], hand: &Hand) -> Result<Way> {
        let way = self.way_of(&arrival.bundle, &arrival.known, licences)?;
        let packages: Vec<PackageId> = way.plan.steps.iter().map(|step| step.package.clone()).collect();
        self.take_in(arrival, &packages, hand)?;
        Ok(way)
    }

    /// Keeps the texts of these packages, and stages those that are not.
    fn take_in(&self, arrival: &mut Arrival, packages: &[PackageId], hand: &Hand) -> Result<()> {
        let entries = packages.iter().filter_map(|id| arrival.known.catalogue.entries().get(id));
        let entries: Vec<&Entry> = entries.collect();
        self.keep_texts(&arrival.bundle, &arrival.known, &entries)?;
        let steps = self.stage_missing(&arrival.bundle, &arrival.known, &entries, hand)?;
        arrival.steps.extend(steps);
        Ok(())
    }

    /// Removes what is staged of these packages.
    pub(super) fn discard_all(&self, workplace: &Workplace, packages: &[PackageId]) -> Result<()> {
        if packages.is_empty() {
            return Ok(());
        }
        let known = self.depot.known()?;
        let entries: Vec<&Entry> = packages.iter().filter_map(|id| known.catalogue.entries().get(id)).collect();
        let staged = self.staging().list(&self.package_trust(workplace.trust())?, &self.program)?;
        let mut staged = staged.into_iter().filter(|one| entries.iter().any(|entry| one.is(entry)));
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

    /// The way to the newest of the packages a bundle names beside these licences.
    fn way_of(&self, bundle: &Opened, known: &Known, licences: &[PackageId]) -> Result<Way> {
        let order = &bundle.label().order;
        // Anew: what was learnt may have moved the clock and the keys.
        let (_, inventory, _, clock) = self.place_in_fleet()?;
        let way = |to: Option<PackageId>| {
            let wanted = Wanted { to, no_soak: false };
            let carried = |entry: &Entry| order.contains(&entry.id());
            offer::way_with(&known.catalogue, &inventory, &wanted, clock.now(), carried)
        };
        let newest = way(None)?;
        match order.iter().rev().find(|id| !licences.contains(id)) {
            // It does not lead there: is it installed, or what stands in the way?
            Some(last) if newest.plan.steps.iter().all(|step| step.package != *last) => way(Some(last.clone())),
            _ => Ok(newest),
        }
    }

    fn stage_missing(&self, bundle: &Opened, known: &Known, entries: &[&Entry], hand: &Hand) -> Result<Vec<String>> {
        let workplace = self.look()?;
        let trust = self.package_trust(workplace.trust())?;
        let staged = self.staging().list(&trust, &self.program)?;
        let missing = entries.iter().filter(|entry| !staged.iter().any(|one| one.is(entry)));
        let missing: Vec<&&Entry> = missing.collect();
        let length = missing.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.size.0));
        let progress = |phase, done, of| hand.show(phase, done, of);
        if !missing.is_empty() {
            self.staging().room_for_all(&format!("what {} carries", bundle.name()), missing.len(), Bytes(length))?;
        }
        let stage = |entry: &&Entry| {
            let (id, name) = (entry.id(), entry.id().target());
            let target = known.depot.target(&name).ok_or_else(|| Trouble::NotInDepot(id.clone()))?;
            let from = bundle.target(&name, target)?;
            let with = (&trust, &self.program);
            let (staged, release) = self.staging().take_in(from, target, (&name, bundle.name()), with, &progress)?;
            Ok(format!("{release} is staged as {staged}"))
        };
        missing.into_iter().map(stage).collect()
    }
}

/// What is said of a way; nothing when there is none and the licences were all there was to do.
fn said_of(sentences: Vec<String>, way: &Plan, licences: &[PackageId]) -> Vec<String> {
    if way.steps.is_empty() && !licences.is_empty() { Vec::new() } else { sentences }
}

/// The bundle at this path, if it is one.
pub(super) fn bundle(path: &Path) -> Result<Option<Opened>> {
    let (mut file, name) = open(path)?;
    if bundle::recognised(&mut file, &name)? { Opened::read(file, &name).map(Some) } else { Ok(None) }
}

/// Words for the journal.
pub(super) fn checked_reason(reason: &str) -> Result<&str> {
    let fits = !reason.trim().is_empty() && reason.chars().count() <= LONGEST && !reason.contains(char::is_control);
    if fits { Ok(reason) } else { Err(Error::Usage(format!("a reason has 1 to {LONGEST} characters on one line"))) }
}

const LONGEST: usize = 300;
