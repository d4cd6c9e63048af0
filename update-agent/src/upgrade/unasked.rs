//! What an appliance may begin to install although nobody asked for it. Pure: from what is installed, the catalogue and the history.
//!
//! Whatever a person decided, and whatever was tried and found bad, stays as it is: a release that was left, taken back or gone back from
//! is not tried again unasked, and what an upgrade was stopped or cancelled on its way to is not wanted again before something newer is
//! offered. Whether this is the time for it is others' business, and so are licence terms and the time clients get: what begins here is
//! an upgrade like any other, without either of the two decisions only people make.

use formats::catalogue::{Catalogue, Entry as Package, PackageId};
use formats::plan::{self, Inventory, Plan, Target, candidates};

use super::ends;
use crate::journal::{Entry, History, Outcome, Release, UpgradeEvent};
use crate::lifecycle::RESTARTED;

/// The way to the newest that may be begun unasked, with what it is for; nothing when there is none.
pub fn unasked(
    catalogue: &Catalogue,
    inventory: &Inventory,
    history: &History,
    now: i64,
) -> Option<(Vec<PackageId>, Plan)> {
    let mut candidates = candidates(catalogue, inventory, now);
    candidates.retain(|one| !turned_down(one.entry, history));
    let plan = plan::plan(inventory, &candidates, &Target::Newest, plan::Options::default()).ok()?;
    let to = ends(&plan);
    let given_up = given_up(history);
    let is_new = |end: &PackageId| !given_up.iter().any(|old| same_line(old, end) && end.version() <= old.version());
    to.iter().any(is_new).then_some((to, plan))
}

/// Whether this very release was tried here and left, taken back, or gone back from. A candidate that was kept once and is on the way
/// again does not run any more. That a restart ended a trial says nothing about the release.
fn turned_down(package: &Package, history: &History) -> bool {
    let release = Release::from(package);
    history.0.iter().filter_map(|record| record.entry.outcome()).any(|(one, _, outcome)| {
        *one == release
            && match outcome {
                Outcome::FellBack { reason } => reason != RESTARTED,
                Outcome::Disarmed | Outcome::Committed => true,
                _ => false,
            }
    })
}

/// What upgrades were for that were stopped or cancelled.
fn given_up(history: &History) -> Vec<&PackageId> {
    let ended = history.0.iter().filter_map(|record| match &record.entry {
        Entry::Upgrade { to, event: UpgradeEvent::Stopped | UpgradeEvent::Cancelled, .. } => Some(to),
        _ => None,
    });
    ended.flatten().collect()
}

fn same_line(one: &PackageId, other: &PackageId) -> bool {
    (one.kind(), one.name()) == (other.kind(), other.name())
}

#[cfg(test)]
#[path = "unasked_tests.rs"]
mod tests;
