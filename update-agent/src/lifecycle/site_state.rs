//! What the appliance is doing about its site, derived from facts. Pure.

use std::fmt;

use formats::SlotId;
use formats::manifest::Kind;
use formats::site::{check_pair, choose};

use super::facts::Facts;
use super::state::{State, derive};
use crate::journal::{Action, Outcome, Verb};
use crate::slot::Content;

/// What the appliance is doing about its site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteState {
    /// Nothing is pending.
    Steady(Still),
    /// The other slot holds a release for the base that waits for its own trial.
    Waiting {
        /// What runs meanwhile.
        still: Still,
        /// The base it was made for runs and is good.
        ready: bool,
    },
    /// The boot state names a slot that could not be run at this start, so the initramfs program took the other.
    PassedOver(Still),
    /// `candidate` runs and has not proved itself.
    Trial {
        /// The slot to fall back to, now or by a restart; nothing when there is no other site.
        home: Option<SlotId>,
        /// The slot that runs.
        candidate: SlotId,
    },
    /// The switch to `candidate` was cut off on a machine that runs on.
    Switching {
        /// The slot to fall back to.
        home: Option<SlotId>,
        /// The slot that is to run.
        candidate: SlotId,
    },
    /// The site was to be switched to `candidate`, and the one before runs: it did not come that far, or was left without a record.
    NotSwitched {
        /// The slot that runs instead.
        home: Option<SlotId>,
        /// The slot that was to run.
        candidate: SlotId,
    },
    /// The machine restarted during the trial of `candidate`, which does not run any more.
    Restarted {
        /// The slot that runs instead, as far as the other one suits.
        home: Option<SlotId>,
        /// The slot that was on trial.
        candidate: SlotId,
    },
    /// `candidate` was given up, and nobody wrote down that it is gone.
    Leaving {
        /// The slot that is to run.
        home: Option<SlotId>,
        /// The slot that is given up.
        candidate: SlotId,
        /// It is still mounted, or its processes were not all started or ended, or the one that is to run does not.
        runs: bool,
        /// Why it is given up.
        reason: String,
    },
}

/// A site that nothing is happening to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Still {
    /// A machine runs from this disk.
    pub live: bool,
    /// The slot that runs, or on an image file the one that would.
    pub active: Option<SlotId>,
    /// The slot the boot state names.
    pub named: Option<SlotId>,
    /// What keeps the other slot from being run; nothing when it is the way back.
    pub no_way_back: Option<String>,
    /// The active release was committed once.
    pub committed: bool,
    /// The slot a release is to be written to.
    pub spare: SlotId,
}

impl Still {
    /// A machine whose site in `active` is the one to stay.
    pub fn running(active: Option<SlotId>) -> Self {
        let spare = active.map_or(SlotId::A, |active| !active);
        Self { live: true, active, named: active, no_way_back: None, committed: false, spare }
    }
}

impl SiteState {
    /// A switch, there or back, was begun and somebody has to end it.
    pub const fn is_cut_off(&self) -> bool {
        matches!(
            self,
            Self::Switching { .. } | Self::NotSwitched { .. } | Self::Restarted { .. } | Self::Leaving { .. }
        )
    }
}

/// The state the facts amount to. Total.
pub fn derive_site(facts: &Facts) -> SiteState {
    let still = still(facts);
    if let Some(open) = facts.history.open(Kind::Site).filter(|_| still.live) {
        match open.action.verb {
            Verb::Try if still.named != Some(open.action.slot) => return trying(facts, &open.action),
            Verb::Leave => return leaving(facts, &open.action),
            _ => {}
        }
    }
    if passed_over(facts, &still) {
        return SiteState::PassedOver(still);
    }
    match still.active.map(|active| !active).filter(|slot| waits_in(facts, *slot)) {
        Some(slot) => {
            let steady = matches!(derive(facts), State::Steady { .. });
            SiteState::Waiting { ready: still.live && steady && suits(facts, slot).is_none(), still }
        }
        None => SiteState::Steady(still),
    }
}

fn still(facts: &Facts) -> Still {
    let active = facts.active_site();
    let named = facts.boot.and_then(|boot| boot.site);
    let whole = |slot: SlotId| facts.site.get(slot).manifest().is_some();
    let manifest = active.and_then(|slot| facts.site.get(slot).manifest());
    Still {
        live: facts.live,
        active,
        named,
        no_way_back: way_back_problem(facts, active),
        committed: manifest.is_some_and(|manifest| facts.history.committed(manifest.build_id)),
        // Without a site that runs, one that another base could run is spared.
        spare: match (active, named) {
            (Some(active), _) => !active,
            (None, Some(named)) if whole(named) => !named,
            (None, _) if whole(SlotId::A) => SlotId::B,
            (None, _) => SlotId::A,
        },
    }
}

fn trying(facts: &Facts, action: &Action) -> SiteState {
    let candidate = action.slot;
    let home = home(facts, candidate);
    let runs = facts.active_site() == Some(candidate);
    let started = facts.running.is_some_and(|running| running.site_started);
    match (same_start(facts, action), runs) {
        (true, _) if !started => SiteState::Switching { home, candidate },
        // Never forward from here: with a full data partition a site is left without a word in the journal.
        (true, false) => SiteState::NotSwitched { home, candidate },
        // After a restart it runs only where nothing else could be run: its trial goes on.
        (_, true) => SiteState::Trial { home, candidate },
        (false, false) => SiteState::Restarted { home, candidate },
    }
}

fn leaving(facts: &Facts, action: &Action) -> SiteState {
    let candidate = action.slot;
    let started = facts.running.is_some_and(|running| running.site_started);
    let home = home(facts, candidate);
    // Also when the one before could not be brought back the first time, and none runs now.
    let unfinished = !started || facts.active_site() != home;
    SiteState::Leaving {
        home,
        candidate,
        runs: facts.active_site() == Some(candidate) || same_start(facts, action) && unfinished,
        reason: action.reason.clone().unwrap_or_default(),
    }
}

/// The site that runs when `candidate` does not: the other one, when it suits the base that runs.
fn home(facts: &Facts, candidate: SlotId) -> Option<SlotId> {
    let sites = SlotId::BOTH.map(|slot| facts.site.get(slot).manifest().filter(|_| slot != candidate));
    choose(Some(!candidate), facts.home(), sites)
}

fn same_start(facts: &Facts, action: &Action) -> bool {
    action.boot.is_some() && action.boot == facts.running.and_then(|running| running.boot)
}

/// The named slot was to run at this start and another one did.
fn passed_over(facts: &Facts, still: &Still) -> bool {
    facts.running.is_some_and(|running| {
        let named_then = running.site_named_then.is_some() && running.site_named_then == still.named;
        named_then && running.site_then == still.active && still.active.is_some() && still.active != still.named
    })
}

/// This slot holds the release that was last said to wait.
fn waits_in(facts: &Facts, slot: SlotId) -> bool {
    let build = facts.site.get(slot).manifest().map(|manifest| manifest.build_id);
    facts.history.last(Kind::Site).is_some_and(|(release, said, outcome, _)| {
        said == slot && *outcome == Outcome::Waiting && Some(release.build_id) == build
    })
}

/// Why the site in `slot` may not run on the base that runs; nothing when it may.
fn suits(facts: &Facts, slot: SlotId) -> Option<String> {
    let site = facts.site.get(slot).manifest()?;
    let mismatch = check_pair(facts.home()?, site).err()?;
    Some(format!("site {} {mismatch}", site.version))
}

/// What keeps the slot that is not active from being the way back.
fn way_back_problem(facts: &Facts, active: Option<SlotId>) -> Option<String> {
    let Some(active) = active else { return Some("this appliance has no site".into()) };
    let other = facts.site.get(!active);
    let Some(site) = other.manifest() else { return Some(format!("site slot {} is {other}", !active)) };
    facts.bases_that_may_start().into_iter().find_map(|base| {
        let mismatch = check_pair(base, site).err()?;
        Some(format!("site {} {mismatch}", site.version))
    })
}

/// Why the named slot does not run, as far as the facts tell.
pub(super) fn reason(facts: &Facts) -> String {
    let Some(named) = facts.boot.and_then(|boot| boot.site) else { return String::new() };
    match facts.site.get(named) {
        Content::Empty => "its slot is empty".into(),
        Content::Unusable(problem) => problem.clone(),
        Content::Whole(_) => suits(facts, named)
            .unwrap_or_else(|| "it could not be mounted at the start; the boot report says why".into()),
    }
}

impl fmt::Display for SiteState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |slot: &Option<SlotId>| slot.map_or_else(|| "no site".into(), |slot| format!("slot {slot}"));
        match self {
            Self::Steady(still) => write!(f, "{}; nothing is pending", or_none(&still.active)),
            Self::Waiting { still, ready } => {
                let until = if *ready { "the next commit" } else { "the base it needs is committed" };
                write!(f, "{}; slot {} waits until {until}", or_none(&still.active), still.spare)
            }
            Self::PassedOver(still) => {
                write!(f, "{} steps in for {}, which could not be run", or_none(&still.active), or_none(&still.named))
            }
            Self::Trial { home: Some(home), candidate } => {
                write!(f, "slot {candidate} is on trial; without a commit, or at any restart, slot {home} comes back")
            }
            Self::Trial { home: None, candidate } => {
                write!(f, "slot {candidate} is on trial; there is no other site to fall back to")
            }
            Self::Switching { candidate, .. } => write!(f, "the switch to slot {candidate} was cut off and goes on"),
            Self::NotSwitched { candidate, .. } => write!(f, "the switch to slot {candidate} did not take place"),
            Self::Restarted { candidate, .. } => {
                write!(f, "slot {candidate} was on trial until the appliance restarted")
            }
            Self::Leaving { home, candidate, .. } => {
                write!(f, "slot {candidate} is given up; {} comes back", or_none(home))
            }
        }
    }
}
