//! Which packages in which order: from what is installed to what is wanted, or the sentence why not.
//!
//! Pure, and the same on the appliance, in the release engineer's terminal and in the depot's portal. A plan is a list of single updates,
//! each of which the appliance admits on its own at its turn: base and site suit each other after every step, numbers only go up, the
//! hardware and the host name fit. The order is the shortest there is; where several are, it takes sites as early as they can be taken, so
//! that a base stands directly before the site that needs it, and of several releases the newest. So nothing is left half updated
//! between a base and its site.
//!
//! A plan stays on the package lines that are installed, and adds a site to an appliance without one only when that is asked for.

use serde::{Deserialize, Serialize};

use crate::Bytes;
use crate::catalogue::{Availability, Entry, PackageId};
use crate::manifest::Kind;

mod field;
mod inventory;
mod list;
mod offer;
mod sentence;

pub use inventory::{FORMAT, Installed, Inventory};
pub use list::{Row, Standing, licences, list, row};
pub use offer::candidates;
pub use sentence::{Blocked, Missing, Unmet, serves};

use field::Field;

/// A package of the catalogue that the appliance's channel lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// What it is.
    pub entry: &'a Entry,
    /// Whether it may be had.
    pub availability: Availability,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The newest site there is a way to, and then the newest base under it.
    Newest,
    /// This package.
    Package(PackageId),
}

/// How a plan is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Leave no time between sites for clients to follow; they may have to be installed anew.
    pub no_soak: bool,
}

/// The way to the target. Empty when nothing is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// In the order of installation.
    pub steps: Vec<Step>,
    /// All steps together.
    pub totals: Totals,
}

/// One update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// The package.
    pub package: PackageId,
    /// The appliance restarts.
    pub reboot: bool,
    /// The application is away for a moment.
    pub site_downtime: bool,
    /// Client programs must be upgraded afterwards.
    pub client_upgrade: bool,
    /// What is downloaded.
    pub download: Bytes,
    /// What is written to a slot.
    pub written: Bytes,
    /// Hours to wait before this step, so that clients can fetch the site before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_hours: Option<u32>,
    /// Not before this time, seconds since 1970: clients are still fetching the site that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
}

/// What a plan costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Totals {
    /// Downloaded.
    pub download: Bytes,
    /// Written to slots.
    pub written: Bytes,
    /// Restarts of the appliance.
    pub reboots: u32,
    /// Steps during which the application is away, restarts not counted.
    pub site_downtimes: u32,
    /// Steps after which client programs must be upgraded.
    pub client_upgrades: u32,
    /// Hours of waiting between steps.
    pub wait_hours: u32,
}

/// How fast an appliance is, for an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Bytes each second from the depot.
    pub download: u64,
    /// Bytes each second into a slot, read back included.
    pub write: u64,
    /// Seconds from the command to restart to the commit.
    pub restart: u32,
}

/// The way from `inventory` to `target` with what `candidates` offer.
///
/// # Errors
/// [`Blocked`]: there is none; with the reason, and the package to install first where one would help.
pub fn plan(
    inventory: &Inventory,
    candidates: &[Candidate<'_>],
    target: &Target,
    options: Options,
) -> Result<Plan, Blocked> {
    let entries = match target {
        Target::Newest => {
            let field = Field::available(inventory, candidates, false);
            let goal = field.newest();
            field.way(|node| node == goal).unwrap_or_default()
        }
        Target::Package(id) => {
            let available = Field::available(inventory, candidates, id.kind() == Kind::Site);
            to_package(inventory, candidates, &available, id)?
        }
    };
    Ok(Plan::of(&entries, inventory, options))
}

/// The steps to a package. `available` is the field of what may be had, with a first site when the package is one.
fn to_package<'a>(
    inventory: &'a Inventory,
    candidates: &[Candidate<'a>],
    available: &Field<'a>,
    id: &PackageId,
) -> Result<Vec<&'a Entry>, Blocked> {
    let wanted = sentence::settled(inventory, candidates, id)?;
    if inventory.licences.contains(&wanted.entry.build_id) {
        return Ok(Vec::new());
    }
    match way_to(available, wanted.entry) {
        Some(steps) => Ok(steps),
        None => Err(sentence::no_way(inventory, candidates, wanted.entry)),
    }
}

/// The way through `field` to a state in which `wanted` is installed; a licence comes last, where its requirements hold.
fn way_to<'a>(field: &Field<'a>, wanted: &'a Entry) -> Option<Vec<&'a Entry>> {
    if wanted.kind != Kind::Licence {
        return field.way(|node| field.holds(node, wanted));
    }
    let mut steps = field.way(|node| field.satisfies(node, wanted))?;
    steps.push(wanted);
    Some(steps)
}

impl Plan {
    fn of(entries: &[&Entry], inventory: &Inventory, options: Options) -> Self {
        let mut steps: Vec<Step> = entries.iter().map(|entry| Step::of(entry)).collect();
        if !options.no_soak {
            soak(&mut steps, entries, inventory);
        }
        let totals = steps.iter().fold(Totals::default(), Totals::plus);
        Self { steps, totals }
    }

    /// About how long it takes in seconds, waiting not counted.
    pub fn seconds(&self, rates: Rates) -> u64 {
        let over = |bytes: Bytes, rate: u64| bytes.0.checked_div(rate).unwrap_or(0);
        let restarts = u64::from(self.totals.reboots).saturating_mul(rates.restart.into());
        over(self.totals.download, rates.download)
            .saturating_add(over(self.totals.written, rates.write))
            .saturating_add(restarts)
    }
}

/// Between two sites clients need time. The wait stands before the base that belongs to the second site, not between the two: nothing rests
/// half updated.
fn soak(steps: &mut [Step], entries: &[&Entry], inventory: &Inventory) {
    let mut hours = None;
    let mut until = inventory.site.as_ref().and_then(|site| site.soaks_until);
    let mut group = 0;
    for (at, entry) in entries.iter().enumerate() {
        if entry.kind != Kind::Site {
            continue;
        }
        if let Some(first) = steps.get_mut(group) {
            (first.wait_hours, first.not_before) = (hours, until);
        }
        (hours, until) = (entry.effects.soak_hours, None);
        group = at.saturating_add(1);
    }
}

impl Step {
    fn of(entry: &Entry) -> Self {
        Self {
            package: entry.id(),
            reboot: entry.effects.reboot,
            site_downtime: entry.effects.site_downtime,
            client_upgrade: entry.effects.client_upgrade,
            download: entry.size,
            written: entry.image_size,
            wait_hours: None,
            not_before: None,
        }
    }
}

impl Totals {
    fn plus(self, step: &Step) -> Self {
        let one = |yes: bool| u32::from(yes);
        Self {
            download: Bytes(self.download.0.saturating_add(step.download.0)),
            written: Bytes(self.written.0.saturating_add(step.written.0)),
            reboots: self.reboots.saturating_add(one(step.reboot)),
            site_downtimes: self.site_downtimes.saturating_add(one(step.site_downtime && !step.reboot)),
            client_upgrades: self.client_upgrades.saturating_add(one(step.client_upgrade)),
            wait_hours: self.wait_hours.saturating_add(step.wait_hours.unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
