//! The keeper and path bundles: what is learnt from one, and its packages into staging.
//!
//! The order of things: what it says of its depot is verified and kept; the way to its end is planned here, among what it carries and what is
//! staged; room is measured for all that is missing; then each package is copied and checked whole. What was staged when something
//! fails stays staged: it is verified, and the next attempt goes on with it.

use std::path::Path;

use formats::Bytes;
use formats::catalogue::{Entry, PackageId};
use formats::tuf::Refusal;

use super::desk::{Desk, open};
use super::job::Hand;
use crate::airgap::bundle::{self, Opened, Taken};
use crate::api::{Install, Package};
use crate::depot::Trouble;
use crate::depot::clock::{Clock, day};
use crate::depot::offer::{self, Wanted, Way};
use crate::depot::store::{Attempt, Known};
use crate::error::{Error, Result};
use crate::lifecycle::silent;

/// A bundle whose packages are staged.
pub(super) struct Staged {
    /// What was done, a sentence each.
    pub(super) steps: Vec<String>,
    /// The packages that lead to its end, in order; none when that is reached.
    pub(super) order: Vec<PackageId>,
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
        Ok(Staged { steps, order: way.plan.steps.into_iter().map(|step| step.package).collect() })
    }

    /// Takes a bundle in and installs the first package of its way; the others are staged, and installed by their ids when it is their turn.
    pub(super) fn install_bundle(
        &self,
        bundle: Opened,
        order: &Install,
        by: String,
        hand: &Hand,
    ) -> Result<Vec<String>> {
        let Staged { mut steps, order: way } = self.stage_bundle(bundle, order.accept_expired.as_deref(), &by, hand)?;
        if let Some(first) = way.into_iter().next() {
            let first = Install { package: Package::Depot(first), accept_expired: None, ..order.clone() };
            steps.extend(self.install(&first, by, hand)?);
        }
        Ok(steps)
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
        let (packages, made) = (bundle.label().order.len(), day(learnt.known.catalogue.index().created));
        let words = if packages == 1 { "1 package".into() } else { format!("{packages} packages") };
        steps.push(format!("{} has {words}, its list is of {made}", bundle.name()));
        Ok(learnt.known)
    }

    /// The way to the end of a bundle, among what it carries and what is staged.
    fn way_of(&self, bundle: &Opened, known: &Known) -> Result<Way> {
        // Anew: what was learnt may have moved the clock and the keys.
        let (_, inventory, workplace, clock) = self.place_in_fleet()?;
        let staged = self.staging().list(&self.package_trust(workplace.trust())?, &self.program)?;
        let carried = |entry: &Entry| {
            let name = entry.id().target();
            known.depot.target(&name).is_some_and(|target| bundle.has(&name, target))
        };
        let at_hand = |entry: &Entry| carried(entry) || staged.iter().any(|one| one.is_build(entry.build_id));
        let wanted = Wanted { to: bundle.label().order.last().cloned(), no_soak: false };
        offer::way_with(&known.catalogue, &inventory, &wanted, clock.now(), at_hand)
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
        let missing: Vec<&Entry> =
            entries.filter(|entry| !staged.iter().any(|one| one.is_build(entry.build_id))).collect();
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
