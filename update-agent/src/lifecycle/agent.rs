//! What can be asked of the agent: each answer is a state, a step of its table, and the performing of it.

use formats::boot_report::BootFailure;
use formats::boot_state::{GOOD_TRIES, TRIAL_TRIES};
use formats::manifest::{Kind, Manifest};
use formats::signature::VerifiedManifest;
use formats::trust::TrustStore;
use formats::{Bytes, SlotId};

use super::admission::{Model, admit, waits};
use super::facts::{self, Facts, Running};
use super::perform::{Install, Job};
use super::site::{SiteEvent, site_transition};
use super::site_state::{self, SiteState, derive_site};
use super::state::{State, derive};
use super::transition::{Event, Refusal, transition};
use crate::disk::{Disk, Part};
use crate::error::{At, Doing, Result};
use crate::health::Examiner;
use crate::journal::{Action, Journal, Outcome, Release, Verb};
use crate::site::Site;
use crate::slot::{Phase, Progress};
use crate::source::Source;

/// The agent at work on one disk. Nothing is remembered between two calls: each reads the disk anew.
pub struct Agent<'a> {
    /// The disk.
    pub disk: &'a dyn Disk,
    /// Its journal.
    pub journal: Journal<'a>,
    /// Whom to believe.
    pub trust: &'a TrustStore,
    /// What the machine runs from; nothing when it is an image file.
    pub running: Option<Running>,
    /// The site of the running machine; nothing when it is an image file.
    pub site: Option<&'a dyn Site>,
    /// Failed starts, oldest first.
    pub failures: Vec<BootFailure>,
    /// Tells which health checks fail before an installation or a way back begins.
    pub health: &'a dyn Examiner,
    /// Told about long steps.
    pub progress: Progress<'a>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What was done, one sentence each; empty when there was nothing to do.
    pub steps: Vec<String>,
    /// The state of the base now.
    pub state: State,
    /// The state of the site now.
    pub site: SiteState,
}

/// A release that runs and has not proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnTrial {
    /// Base or site.
    pub kind: Kind,
    /// The slot it runs from.
    pub slot: SlotId,
    /// The release.
    pub release: Release,
    /// The names of the health checks that failed before it was installed.
    pub baseline: Vec<String>,
}

/// A progress that tells nobody.
pub fn silent(_: Phase, _: Bytes, _: Bytes) {}

impl Agent<'_> {
    /// Everything known now. An error when it cannot be known: nothing is decided then.
    pub fn facts(&self) -> Result<Facts> {
        let now = self.site.map(Site::now).transpose()?;
        let running = self.running.map(|running| match now {
            Some(now) => Running { site: now.slot, site_started: now.started, ..running },
            None => running,
        });
        facts::load(self.disk, &self.journal, self.trust, running, self.site.is_some(), self.failures.clone())
    }

    /// Brings machine, journal and boot state up to date with what happened since: ends intents that were cut off, goes on with a
    /// switch of the site, gives up a release that failed its trial, rebuilds a lost boot state. Calling it again does nothing.
    pub fn settle(&self) -> Result<Done> {
        let mut steps = Vec::new();
        // Twice at most: a rebuilt boot state is needed to end an intent.
        for _ in 0..2 {
            let before = steps.len();
            steps.extend(self.end_intents()?);
            let facts = self.facts()?;
            let state = derive(&facts);
            if let State::Failed { failed, .. } = state
                && facts.is_good(failed)
            {
                // That a slot is good proves that its release was committed, and it is about to lose that mark.
                self.journal.keep_floors(facts.floors())?;
            }
            steps.extend(self.base(state, &Event::Settle { reason: failure_reason(&facts, state) }, None)?);
            if before == steps.len() {
                break;
            }
        }
        steps.extend(self.settle_site()?);
        self.done(steps)
    }

    /// Ends the intents of which the disk tells how they ended.
    fn end_intents(&self) -> Result<Vec<String>> {
        let mut steps = Vec::new();
        for kind in [Kind::Base, Kind::Site] {
            let facts = self.facts()?;
            let Some(open) = facts.history.open(kind) else { continue };
            let Some(outcome) = outcome_of(&open.action, &facts) else { continue };
            steps.push(format!("{} {}: {outcome}", open.action.verb, open.action.release));
            self.journal.end(open, outcome)?;
        }
        Ok(steps)
    }

    /// Ends a switch of the site that was cut off, and nothing else: whether this machine is healthy or not, a site of which half runs is
    /// of no use to it. Nothing is kept by it; what it completes is on trial.
    pub fn finish_switch(&self) -> Result<Vec<String>> {
        if derive_site(&self.facts()?).is_cut_off() { self.settle_site() } else { Ok(Vec::new()) }
    }

    fn settle_site(&self) -> Result<Vec<String>> {
        let facts = self.facts()?;
        let state = derive_site(&facts);
        // While a base has not proved itself, the site it passes over may be right for the base before it.
        if matches!(state, SiteState::PassedOver(_)) && !matches!(derive(&facts), State::Steady { .. }) {
            return Ok(Vec::new());
        }
        self.site(&facts, &SiteEvent::Settle { reason: site_state::reason(&facts) }, None)
    }

    /// Installs a release whose manifest is verified: writes it to the slot nothing runs from. A base starts at the next restart; a
    /// site goes live at once, or waits for the base it needs. Either is on trial from then on.
    pub fn install<'b>(
        &self,
        manifest: &'b VerifiedManifest,
        source: &'b mut (dyn Source + 'b),
        model: &Model,
    ) -> Result<Done> {
        self.no_reset_pending()?;
        let mut done = self.settle()?;
        let facts = self.facts()?;
        let release = manifest.manifest();
        manifest.check_current(self.today(&facts)).at(|| format!("{} {}", release.name, release.version))?;
        let room = Part::slot(release.kind, SlotId::B)
            .map_or(Ok(Bytes(0)), |part| self.disk.size(part).doing(|| format!("measure {part}")))?;
        admit(&facts, release, model, room)?;
        let install = Some((manifest, source));
        let steps = if release.kind == Kind::Site {
            self.install_site(&facts, release, install)?
        } else {
            let same = match derive(&facts) {
                State::Armed { candidate, .. } | State::Trial { candidate, .. } => {
                    holds(&facts, Kind::Base, candidate, release)
                }
                _ => false,
            };
            no_site_on_trial(&facts)?;
            self.base(derive(&facts), &Event::Install { same }, install)?
        };
        done.steps.extend(steps);
        self.done(done.steps)
    }

    fn install_site(&self, facts: &Facts, release: &Manifest, install: Install<'_>) -> Result<Vec<String>> {
        let state = derive_site(facts);
        let same = match &state {
            SiteState::Trial { candidate, .. } => holds(facts, Kind::Site, *candidate, release),
            _ => false,
        };
        let waits = waits(facts, release);
        if let Some(site) = self.site.filter(|_| !waits) {
            // Before anything is written.
            site.check()?;
        }
        self.site(facts, &SiteEvent::Install { same, waits }, install)
    }

    /// The day by which keys expire, in seconds since 1970. A clock that was reset must not bring an expired key back.
    pub(super) fn today(&self, facts: &Facts) -> i64 {
        facts.not_before_home(self.journal.now())
    }

    /// Keeps what runs: the base on trial, and the site. A site that waited for this base goes live, on trial.
    pub fn commit(&self) -> Result<Done> {
        self.no_reset_pending()?;
        let cut_off = matches!(derive_site(&self.facts()?), SiteState::Switching { .. });
        let mut done = self.settle()?;
        let base = self.base(done.state, &Event::Commit, None);
        // A switch that was cut off has just been completed: nobody has seen that site run.
        let site = if cut_off { Vec::new() } else { self.site(&self.facts()?, &SiteEvent::Commit, None)? };
        match base {
            Ok(steps) => done.steps.extend(steps),
            // A base that waits for its restart is no reason against keeping a site.
            Err(problem) if site.is_empty() => return Err(problem),
            Err(_) => {}
        }
        done.steps.extend(site);
        self.done(done.steps)
    }

    /// Goes back to the release before this one, or takes back what waits. A site goes live at once, on trial.
    pub fn rollback(&self, kind: Kind) -> Result<Done> {
        self.no_reset_pending()?;
        let mut done = self.settle()?;
        let steps = if kind == Kind::Site {
            if let Some(site) = self.site {
                site.check()?;
            }
            self.site(&self.facts()?, &SiteEvent::Rollback, None)?
        } else {
            self.base(done.state, &Event::Rollback, None)?
        };
        done.steps.extend(steps);
        self.done(done.steps)
    }

    /// Gives up the release of this kind that is on trial, for this reason. After a base a restart must follow; a site is left at
    /// once, and the one before runs again when this returns.
    pub fn condemn(&self, kind: Kind, reason: &str) -> Result<Done> {
        // Records that cannot be written must not keep a bad release running.
        let mut done = self.settle().or_else(|problem| self.done(vec![problem.to_string()]))?;
        let reason = reason.to_owned();
        done.steps.extend(match kind {
            Kind::Site => self.site(&self.facts()?, &SiteEvent::Condemn { reason }, None)?,
            Kind::Base | Kind::Licence => self.base(done.state, &Event::Condemn { reason }, None)?,
        });
        self.done(done.steps)
    }

    /// What runs and has not proved itself, base first. Read from the disk each time; empty on an image file, from which nothing runs.
    pub fn on_trial(&self) -> Result<Vec<OnTrial>> {
        let facts = self.facts()?;
        let base = match derive(&facts) {
            State::Trial { candidate, .. } => Some((Kind::Base, candidate)),
            _ => None,
        };
        let site = match derive_site(&facts) {
            SiteState::Trial { candidate, .. } => Some((Kind::Site, candidate)),
            _ => None,
        };
        let trials = base.into_iter().chain(site).filter_map(|(kind, slot)| {
            let release = Release::from(facts.content(kind, slot).manifest()?);
            let baseline = facts.history.baseline(release.build_id);
            Some(OnTrial { kind, slot, release, baseline })
        });
        Ok(trials.collect())
    }

    /// What came of these steps.
    pub(super) fn done(&self, steps: Vec<String>) -> Result<Done> {
        let facts = self.facts()?;
        Ok(Done { steps, state: derive(&facts), site: derive_site(&facts) })
    }

    fn base(&self, state: State, event: &Event, install: Install<'_>) -> Result<Vec<String>> {
        let step = transition(state, event)?;
        self.perform(Job::new(Kind::Base, install, None), &step.effects)
    }

    fn site(&self, facts: &Facts, event: &SiteEvent, install: Install<'_>) -> Result<Vec<String>> {
        let step = site_transition(&derive_site(facts), event)?;
        // The trial, or the leaving of it, that this goes on with.
        let open = facts.history.open(Kind::Site);
        self.perform(Job::new(Kind::Site, install, open), &step.effects)
    }
}

/// How an action that was cut off has ended, as the disk tells; nothing while the boot state is lost, or when it has not ended.
fn outcome_of(action: &Action, facts: &Facts) -> Option<Outcome> {
    let boot = facts.boot?;
    let slot = action.slot;
    let there =
        facts.content(action.release.kind, slot).manifest().is_some_and(|m| m.build_id == action.release.build_id);
    let site = action.release.kind == Kind::Site;
    let (done, outcome) = match action.verb {
        // Going on, or ended by the table of the site.
        Verb::Try if boot.site != Some(slot) => return None,
        Verb::Leave if site => return None,
        Verb::Try => (there, Outcome::Committed),
        Verb::Install | Verb::Rollback if site => (there && boot.site == Some(slot), Outcome::Switched),
        Verb::Install | Verb::Rollback => (there && boot.order == slot, Outcome::Armed),
        Verb::Commit => (boot.slot(slot).good, Outcome::Committed),
        Verb::Disarm => (boot.order != slot, Outcome::Disarmed),
        Verb::Leave => {
            let reason = action.reason.clone().unwrap_or_default();
            (boot.order != slot, Outcome::FellBack { reason })
        }
    };
    Some(if done { outcome } else { Outcome::Interrupted })
}

/// Why the slot that failed its trial did: what the initramfs program wrote down, else what can be counted.
pub fn failure_reason(facts: &Facts, state: State) -> String {
    let failed = match state {
        State::Failed { failed, .. } => failed,
        State::NotLoaded { .. } => return NOT_LOADED.into(),
        _ => return String::new(),
    };
    let build = facts.base.get(failed).manifest().map(|manifest| manifest.build_id);
    let known = facts.failures.iter().rev().find(|failure| match failure.build_id {
        Some(id) => Some(id) == build,
        None => failure.slot == Some(failed),
    });
    let tries = if facts.is_good(failed) { GOOD_TRIES } else { TRIAL_TRIES };
    known.map_or_else(
        || format!("it was started {tries} times and never proved healthy"),
        |failure| failure.reason.clone(),
    )
}

/// Why a release was given up that never ran. Only the console heard more.
const NOT_LOADED: &str = "the boot loader could not start it: a file it needs is missing, damaged or not signed as this machine demands, \
                          which the console said at that start; install a release that starts, or this one again";

fn holds(facts: &Facts, kind: Kind, slot: SlotId, release: &Manifest) -> bool {
    facts.content(kind, slot).manifest().is_some_and(|there| there.build_id == release.build_id)
}

/// A base is chosen to suit the site that runs, and while one is on trial nobody knows which will.
fn no_site_on_trial(facts: &Facts) -> Result<()> {
    match derive_site(facts) {
        SiteState::Trial { candidate, .. } => Err(Refusal::SiteOnTrial { candidate }.into()),
        _ => Ok(()),
    }
}
