//! The four answers: what runs, what is on trial, what failed and why, what happens at the next restart. Pure, from facts alone.

use formats::SlotId;
use formats::manifest::Kind;
use formats::reset_record::Then;
use serde::Serialize;

use super::agent::failure_reason;
use super::facts::Facts;
use super::reset::PendingReset;
use super::site::RESTARTED;
use super::site_state::{SiteState, derive_site};
use super::state::{State, derive};
use crate::journal::{Floor, Outcome, Release};
use crate::slot::{Content, Pair};

/// The answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// The state of the base in one sentence.
    pub state: String,
    /// The base that runs; nothing for an image file.
    pub running: Option<Occupant>,
    /// The base that has to prove itself, running or waiting for the restart.
    pub on_trial: Option<Trial>,
    /// The state of the site in one sentence.
    pub site_state: String,
    /// The site that runs, or on an image file the one that would.
    pub site_running: Option<Occupant>,
    /// The site that runs and has to prove itself.
    pub site_on_trial: Option<Occupant>,
    /// The site that waits for the base it needs.
    pub site_waiting: Option<Occupant>,
    /// What failed last, base and site, until something else succeeded.
    pub failed: Vec<Failure>,
    /// What the next restart starts.
    pub next_restart: Next,
    /// Both base slots.
    pub base: Pair<Slot>,
    /// Both site slots.
    pub site: Pair<Slot>,
    /// The site slot the boot state names.
    pub site_named: Option<SlotId>,
    /// Below these, nothing is installed.
    pub floors: Vec<Floor>,
}

/// A release in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Occupant {
    /// The slot.
    pub slot: SlotId,
    /// The release; nothing when the slot cannot be believed.
    pub release: Option<Release>,
}

/// A base on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trial {
    /// Which.
    #[serde(flatten)]
    pub occupant: Occupant,
    /// True once it runs.
    pub started: bool,
    /// How often it will still be started.
    pub tries_left: u8,
}

/// Something that did not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// The slot it was in.
    pub slot: SlotId,
    /// The release.
    pub release: Release,
    /// Why.
    pub reason: String,
}

/// The next restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Next {
    /// The base that starts; nothing when the boot state is lost.
    pub base: Option<Occupant>,
    /// The base that starts when that one does not.
    pub otherwise: Option<Occupant>,
    /// The site that starts.
    pub site: Option<Occupant>,
    /// The factory reset that is carried out first.
    pub reset: Option<Reset>,
    /// Why what is in the place of a factory reset is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_problem: Option<String>,
}

/// A factory reset that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reset {
    /// What happens after it.
    pub then: Then,
    /// Who asked.
    pub by: String,
    /// When, in seconds since 1970.
    pub asked: u64,
}

/// What is in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Slot {
    /// The release, when its footer is signed.
    pub release: Option<Release>,
    /// Why there is none, when the slot is not just empty.
    pub problem: Option<String>,
}

/// Sums the facts up.
pub fn summarize(facts: &Facts) -> Summary {
    let state = derive(facts);
    let base = |slot: SlotId| occupant(facts, Kind::Base, slot);
    let trial = |slot, started, tries_left| Some(Trial { occupant: base(slot), started, tries_left });
    let site = |slot: SlotId| occupant(facts, Kind::Site, slot);
    let site_state = derive_site(facts);
    Summary {
        state: state.to_string(),
        running: facts.running_base().map(base),
        on_trial: match state {
            State::Armed { candidate, tries, .. } => trial(candidate, false, tries),
            State::Trial { candidate, tries_left, .. } => trial(candidate, true, tries_left),
            _ => None,
        },
        site_running: facts.active_site().map(site),
        site_on_trial: match site_state {
            SiteState::Trial { candidate, .. } => Some(site(candidate)),
            _ => None,
        },
        site_waiting: match &site_state {
            SiteState::Waiting { still, .. } => Some(site(still.spare)),
            _ => None,
        },
        site_state: site_state.to_string(),
        failed: failures(facts, state, &site_state),
        next_restart: Next {
            base: state.starts_next().map(base),
            otherwise: otherwise(facts, state).map(base),
            site: facts.site_after_restart(state.starts_next()).map(site),
            reset: match &facts.reset {
                PendingReset::Asked(record) => {
                    Some(Reset { then: record.then, by: record.by.clone(), asked: record.asked })
                }
                PendingReset::None | PendingReset::Unusable(_) => None,
            },
            reset_problem: match &facts.reset {
                PendingReset::Unusable(problem) => Some(problem.clone()),
                PendingReset::None | PendingReset::Asked(_) => None,
            },
        },
        base: slots(&facts.base),
        site: slots(&facts.site),
        site_named: facts.boot.and_then(|boot| boot.site),
        floors: facts.floors(),
    }
}

fn occupant(facts: &Facts, kind: Kind, slot: SlotId) -> Occupant {
    Occupant { slot, release: facts.content(kind, slot).manifest().map(Release::from) }
}

fn slots(pair: &Pair<Content>) -> Pair<Slot> {
    Pair::of(|slot| match pair.get(slot) {
        Content::Empty => Slot { release: None, problem: None },
        Content::Whole(verified) => Slot { release: Some(verified.manifest().into()), problem: None },
        Content::Unusable(problem) => Slot { release: None, problem: Some(problem.clone()) },
    })
}

/// The good slot that GRUB turns to when its first choice does not load or runs out of tries.
fn otherwise(facts: &Facts, state: State) -> Option<SlotId> {
    let first = state.starts_next()?;
    facts.is_good(!first).then_some(!first)
}

fn failures(facts: &Facts, state: State, site: &SiteState) -> Vec<Failure> {
    let mut failures = Vec::new();
    if let State::Failed { failed, .. } | State::NotLoaded { candidate: failed, .. } = state
        && let Some(manifest) = facts.base.get(failed).manifest()
    {
        failures.push(Failure { slot: failed, release: manifest.into(), reason: failure_reason(facts, state) });
    }
    if let Some((passed_over, tries)) = facts.good_and_not_loaded()
        && let Some(manifest) = facts.base.get(passed_over).manifest()
    {
        let reason = format!(
            "the boot loader could not start it, and tries it first at each of the next {tries} restarts before it is given up; install a \
             release into its slot"
        );
        failures.push(Failure { slot: passed_over, release: manifest.into(), reason });
    }
    if let SiteState::Restarted { candidate, .. } = site
        && let Some(manifest) = facts.site.get(*candidate).manifest()
    {
        failures.push(Failure { slot: *candidate, release: manifest.into(), reason: RESTARTED.into() });
    }
    for kind in [Kind::Base, Kind::Site] {
        let said = facts.history.last(kind).filter(|_| failures.iter().all(|failure| failure.release.kind != kind));
        let Some((release, slot, outcome, _)) = said else { continue };
        let reason = match outcome {
            Outcome::FellBack { reason } | Outcome::Failed { reason } => reason.clone(),
            Outcome::Interrupted => outcome.to_string(),
            Outcome::Armed
            | Outcome::Written
            | Outcome::Waiting
            | Outcome::Committed
            | Outcome::Switched
            | Outcome::Disarmed => continue,
        };
        failures.push(Failure { slot, release: release.clone(), reason });
    }
    failures
}
