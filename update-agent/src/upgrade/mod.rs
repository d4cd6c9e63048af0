//! "Everything in order": the durable intent to follow a plan, through restarts, to its end.
//!
//! What is kept ([`store`]) is what somebody wants, with whose name and which decisions, and why it stopped. How far it is is never kept:
//! [`outlook`] derives it anew each time from what is installed, from the depot's catalogue and from what the journal says since the
//! upgrade began, so it cannot be wrong after a power cut. [`crate::serve::upgrade`] does what follows.
//!
//! An upgrade installs nothing that could not be installed by hand: each step goes the way of any package, with every check of it.

pub mod look;
pub mod outlook;
pub mod store;
pub mod unasked;

use formats::catalogue::{Catalogue, PackageId};
use formats::manifest::Kind;
use formats::plan::{self, Blocked, Installed, Inventory, Plan, Target, candidates};
use serde::{Deserialize, Serialize};

use crate::api::Problem;

/// What somebody wants, until it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Upgrade {
    /// Always [`FORMAT`].
    pub format: u32,
    /// What is to be installed at the end: a package, or a base and a site.
    pub to: Vec<PackageId>,
    /// Why no time is left between sites for clients to follow; nothing: it is.
    #[serde(default)]
    pub no_soak: Option<String>,
    /// The licence terms of every package on the way are accepted.
    #[serde(default)]
    pub accept_eula: bool,
    /// Packages are taken from staging, and the depot is not asked.
    #[serde(default)]
    pub offline: bool,
    /// The packages to choose from, those of a path bundle; none: whatever the depot lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub among: Vec<PackageId>,
    /// Who asked for it.
    pub by: String,
    /// When, seconds since 1970 by the machine's clock.
    pub since: u64,
    /// The journal's record of it: what came later concerns it.
    pub record: u64,
    /// Why it goes no further by itself; nothing while it does.
    #[serde(default)]
    pub stopped: Option<Stopped>,
}

/// Why an upgrade stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stopped {
    /// When, seconds since 1970 by the machine's clock.
    pub time: u64,
    /// Why.
    #[serde(flatten)]
    pub problem: Problem,
}

/// What an upgrade is for when nobody names a package: the last base and the last site of the way to the newest.
pub fn ends(plan: &Plan) -> Vec<PackageId> {
    let mut ends: Vec<PackageId> = Vec::new();
    for step in plan.steps.iter().rev() {
        if ends.iter().all(|end| end.kind() != step.package.kind()) {
            ends.push(step.package.clone());
        }
    }
    ends.reverse();
    ends
}

impl Upgrade {
    /// The rest of the way, from what is installed now; no steps when it has come to its end.
    ///
    /// # Errors
    /// [`Blocked`]: there is none any more, for example because a package was withdrawn meanwhile.
    pub fn way(&self, catalogue: &Catalogue, inventory: &Inventory, now: i64) -> Result<Plan, Blocked> {
        let mut candidates = candidates(catalogue, inventory, now);
        candidates.retain(|one| self.among.is_empty() || self.among.contains(&one.entry.id()));
        let options = plan::Options { no_soak: self.no_soak.is_some() };
        let to = |id: &PackageId| plan::plan(inventory, &candidates, &Target::Package(id.clone()), options);
        let left: Vec<&PackageId> = self.to.iter().filter(|id| !is_installed(catalogue, inventory, id)).collect();
        let [first, further @ ..] = left.as_slice() else { return Ok(Plan::default()) };
        if further.is_empty() {
            return to(first);
        }
        // Of what is not newer than they are, they are the newest: the way to that is the shortest to both together.
        let newer = |kind, sequence| {
            let end = left.iter().find(|id| id.kind() == kind).and_then(|id| catalogue.entries().get(id));
            end.is_some_and(|end| sequence > end.sequence)
        };
        let within: Vec<_> =
            candidates.iter().filter(|one| !newer(one.entry.kind, one.entry.sequence)).cloned().collect();
        let together = plan::plan(inventory, &within, &Target::Newest, options)?;
        if left.iter().all(|id| together.steps.iter().any(|step| step.package == **id)) {
            return Ok(together);
        }
        // No way to both any more. The one that cannot be reached says why, now or when the other is there.
        left.iter().try_for_each(|id| to(id).map(drop))?;
        to(first)
    }

    /// What it is for, for people.
    pub fn goal(&self) -> String {
        self.to.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    }
}

/// Whether this package runs. The same build may have been released under two versions: it is the version that somebody wants.
fn is_installed(catalogue: &Catalogue, inventory: &Inventory, id: &PackageId) -> bool {
    let running = match id.kind() {
        Kind::Base => Some(&inventory.base),
        Kind::Site => inventory.site.as_ref(),
        Kind::Licence => None,
    };
    let build = catalogue.entries().get(id).map(|entry| entry.build_id);
    let same = |one: &Installed| one.name == id.name() && one.version == *id.version();
    let has_build = |one: &Installed| build.is_none_or(|build| one.build_id == build);
    running.is_some_and(|one| same(one) && has_build(one))
        || build.is_some_and(|build| inventory.licences.contains(&build))
}

/// The version of the format of what is kept.
pub const FORMAT: u32 = 1;
