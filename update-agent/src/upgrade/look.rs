//! Looking at an upgrade on an appliance: what [`super::outlook`] decides by, read from disk, journal and what is kept of the depot.

use formats::Bytes;
use formats::plan::{Inventory, Plan};

use super::Upgrade;
use super::outlook::{Outlook, Rest, Seen, rest, story};
use super::store::Store;
use crate::api::Problem;
use crate::command::install::firmware_model;
use crate::depot::clock::Clock;
use crate::depot::window::admitted;
use crate::depot::{Places, Trouble, offer};
use crate::error::Result;
use crate::licence::Licences;
use crate::lifecycle::Facts;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// As much as decides what is done now: without the way while something else has to end first.
    Deciding,
    /// Everything.
    Whole,
}

/// What an upgrade depends on. `model` is what the firmware calls the machine.
pub fn look(
    places: &Places,
    facts: &Facts,
    model: Option<String>,
    licences: &Licences,
    clock: Clock,
    upgrade: &Upgrade,
    depth: Depth,
) -> Result<Seen> {
    let (rest, story, now) = (rest(facts), story(upgrade, &facts.history), clock.now());
    let early = matches!(rest, Rest::Trial(_) | Rest::Busy(_)) || story.ended || upgrade.stopped.is_some();
    if depth == Depth::Deciding && early {
        return Ok(Seen { rest, story, way: Ok(Plan::default()), next_build: None, window: Ok(()), now });
    }
    let setting = places.setting()?;
    let inventory = offer::inventory(facts, &setting, places.appliance_or_nobody(), model, licences, clock)?;
    let (way, next_build) = way(places, &inventory, upgrade, now);
    let first = way.as_ref().ok().and_then(|plan| plan.steps.first());
    let takes = match &rest {
        Rest::Armed { .. } => facts.takes(Bytes(0), true),
        _ => first.map(|step| facts.takes(step.written, step.reboot)).unwrap_or_default(),
    };
    Ok(Seen {
        rest,
        story,
        way: way.map_err(|error| Problem::from(&error)),
        next_build,
        window: admitted(&setting, clock, takes),
        now,
    })
}

/// How far the upgrade of this machine is; nothing when none is under way. What cannot be read is said in the words of the summary.
pub fn of_this_machine(facts: &Facts, licences: &Licences) -> Option<std::result::Result<Outlook, String>> {
    let places = Places::of_this_machine();
    let upgrade = match Store::new(&places.data).load() {
        Ok(upgrade) => upgrade?,
        Err(problem) => return Some(Err(problem.to_string())),
    };
    let seen = look(&places, facts, firmware_model(), licences, places.clock(facts), &upgrade, Depth::Whole);
    Some(seen.map(|seen| Outlook::new(upgrade, &seen)).map_err(|problem| problem.to_string()))
}

fn way(places: &Places, inventory: &Inventory, upgrade: &Upgrade, now: i64) -> (Result<Plan>, Option<formats::Digest>) {
    let known = match places.known() {
        Ok(known) => known,
        Err(problem) => return (Err(problem), None),
    };
    let way =
        upgrade.way(&known.catalogue, inventory, now).map_err(|blocked| Trouble::Blocked(Box::new(blocked)).into());
    let first = way.as_ref().ok().and_then(|plan: &Plan| plan.steps.first());
    let build = first.and_then(|step| known.catalogue.entries().get(&step.package)).map(|entry| entry.build_id);
    (way, build)
}
