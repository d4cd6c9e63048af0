//! Performing what the tables decide, on a disk and with a journal.

use formats::boot_report::BootFailure;
use formats::boot_state::{self, GOOD_TRIES, TRIAL_TRIES, next};
use formats::manifest::{Kind, Manifest};
use formats::signature::VerifiedManifest;
use formats::trust::TrustStore;
use formats::{Bytes, SlotId};

use super::admission::{Model, admit};
use super::facts::{self, Facts, Running};
use super::site::{SiteEvent, SiteState, site_transition};
use super::state::{State, derive};
use super::transition::{Effect, Event, Refusal, transition};
use crate::disk::{Disk, Part, StatePartition};
use crate::error::{Doing, Error, Result};
use crate::health::Examiner;
use crate::journal::{Action, Journal, Open, Outcome, Release, Verb};
use crate::slot::{self, Content, Phase, Progress};
use crate::source::Source;
use crate::state;

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

/// The release being installed, if one is.
type Install<'j> = Option<(&'j VerifiedManifest, &'j mut (dyn Source + 'j))>;

/// What the effects of one step are about.
struct Job<'j> {
    kind: Kind,
    /// The release being installed.
    install: Install<'j>,
    open: Option<Open>,
    steps: Vec<String>,
}

impl Agent<'_> {
    /// Everything known now.
    pub fn facts(&self) -> Facts {
        facts::load(self.disk, &self.journal, self.trust, self.running, self.failures.clone())
    }

    /// Brings journal and boot state up to date with what happened since: ends intents that were cut off, gives up a release that
    /// failed its trial, rebuilds a lost boot state. Calling it again does nothing.
    pub fn settle(&self) -> Result<Done> {
        let mut steps = Vec::new();
        let mut facts = self.facts();
        // Twice at most: a rebuilt boot state is needed to end an intent.
        for _ in 0..2 {
            let before = steps.len();
            if let Some(open) = facts.history.open()
                && let Some(outcome) = outcome_of(&open.action, &facts)
            {
                steps.push(format!("{} {}: {outcome}", open.action.verb, open.action.release));
                self.journal.end(open, outcome)?;
                facts = self.facts();
            }
            let state = derive(&facts);
            if let State::Failed { failed, .. } = state
                && facts.is_good(failed)
            {
                // That a slot is good proves that its release was committed, and it is about to lose that mark.
                self.journal.keep_floors(facts.floors())?;
            }
            let more = self.base(state, &Event::Settle { reason: failure_reason(&facts, state) }, None)?;
            if !more.is_empty() {
                steps.extend(more);
                facts = self.facts();
            }
            if before == steps.len() {
                break;
            }
        }
        if matches!(derive(&facts), State::Steady { .. }) {
            let reason = "it could not be mounted, or does not run on this base".to_owned();
            let more = self.site(site_state(&facts), &SiteEvent::Settle { reason }, None)?.unwrap_or_default();
            if !more.is_empty() {
                steps.extend(more);
                facts = self.facts();
            }
        }
        Ok(Done { steps, state: derive(&facts) })
    }

    /// Installs a release whose manifest is verified: writes it to the slot nothing runs from and lets it start next.
    pub fn install<'b>(
        &self,
        manifest: &'b VerifiedManifest,
        source: &'b mut (dyn Source + 'b),
        model: &Model,
    ) -> Result<Done> {
        self.no_reset_pending()?;
        let mut done = self.settle()?;
        let facts = self.facts();
        let release = manifest.manifest();
        let room = Part::slot(release.kind, SlotId::B)
            .map_or(Ok(Bytes(0)), |part| self.disk.size(part).doing(|| format!("measure {part}")))?;
        admit(&facts, release, model, room)?;
        let install = Some((manifest, source));
        let steps = if release.kind == Kind::Site {
            self.site(site_state(&facts), &SiteEvent::Install, install)?.unwrap_or_default()
        } else {
            let same = match derive(&facts) {
                State::Armed { candidate, .. } | State::Trial { candidate, .. } => holds(&facts, candidate, release),
                _ => false,
            };
            self.base(derive(&facts), &Event::Install { same }, install)?
        };
        done.steps.extend(steps);
        Ok(self.finished(done))
    }

    /// Keeps what runs: the base on trial, and the site.
    pub fn commit(&self) -> Result<Done> {
        self.no_reset_pending()?;
        let mut done = self.settle()?;
        done.steps.extend(self.base(done.state, &Event::Commit, None)?);
        let site = site_state(&self.facts());
        done.steps.extend(self.site(site, &SiteEvent::Commit, None)?.unwrap_or_default());
        Ok(self.finished(done))
    }

    /// Goes back to the release before this one, or takes back what waits for its restart.
    pub fn rollback(&self, kind: Kind) -> Result<Done> {
        self.no_reset_pending()?;
        let mut done = self.settle()?;
        let steps = if kind == Kind::Site {
            let facts = self.facts();
            let site = site_state(&facts);
            self.site(site, &SiteEvent::Rollback, None)?
                .ok_or_else(|| Error::NoSiteToGoBackTo(way_back_problem(&facts)))?
        } else {
            self.base(done.state, &Event::Rollback, None)?
        };
        done.steps.extend(steps);
        Ok(self.finished(done))
    }

    /// Gives up the release on trial for this reason; a restart must follow.
    pub fn condemn(&self, reason: &str) -> Result<Done> {
        let mut done = self.settle()?;
        done.steps.extend(self.base(done.state, &Event::Condemn { reason: reason.into() }, None)?);
        Ok(self.finished(done))
    }

    /// What runs and has not proved itself. Read from the disk each time; empty on an image file, from which nothing runs.
    pub fn on_trial(&self) -> Vec<OnTrial> {
        let facts = self.facts();
        let State::Trial { candidate, .. } = derive(&facts) else { return Vec::new() };
        let Some(manifest) = facts.content(Kind::Base, candidate).manifest() else { return Vec::new() };
        let release = Release::from(manifest);
        let baseline = facts.history.baseline(release.build_id);
        vec![OnTrial { kind: Kind::Base, slot: candidate, release, baseline }]
    }

    fn finished(&self, done: Done) -> Done {
        Done { state: derive(&self.facts()), ..done }
    }

    fn base(&self, state: State, event: &Event, install: Install<'_>) -> Result<Vec<String>> {
        let step = transition(state, event)?;
        self.perform(Job { kind: Kind::Base, install, open: None, steps: Vec::new() }, &step.effects)
    }

    fn site(&self, state: SiteState, event: &SiteEvent, install: Install<'_>) -> Result<Option<Vec<String>>> {
        let Some(step) = site_transition(state, event) else { return Ok(None) };
        self.perform(Job { kind: Kind::Site, install, open: None, steps: Vec::new() }, &step.effects).map(Some)
    }

    fn perform(&self, mut job: Job<'_>, effects: &[Effect]) -> Result<Vec<String>> {
        for effect in effects {
            if let Err(problem) = self.perform_one(&mut job, effect) {
                // Whether a boot state change that failed has landed nobody knows yet: that intent stays open, and the next `settle` reads
                // from the disk how it ended. A slot that could not be written is empty for certain.
                if let (Some(open), Effect::Write(_)) = (job.open.take(), effect) {
                    // The disk says the same without the journal; the first problem is the one to report.
                    drop(self.journal.end(open, Outcome::Failed { reason: problem.to_string() }));
                }
                return Err(problem);
            }
        }
        Ok(job.steps)
    }

    fn perform_one(&self, job: &mut Job<'_>, effect: &Effect) -> Result<()> {
        match effect {
            Effect::Begin(verb, slot, reason) => {
                let judged = matches!(verb, Verb::Install | Verb::Rollback);
                let action = Action {
                    verb: *verb,
                    release: self.release(job, *slot)?,
                    slot: *slot,
                    reason: reason.clone(),
                    baseline: if judged { self.health.failing(&self.facts()) } else { Vec::new() },
                };
                match self.journal.begin(action) {
                    Ok(open) => job.open = Some(open),
                    // Keeping or leaving a slot on trial is what brings the machine to rest. A full or broken data partition must not
                    // stop it; only the memory of it is lost.
                    Err(problem) if matches!(verb, Verb::Commit | Verb::Leave) => job.steps.push(format!("{problem}")),
                    Err(problem) => return Err(problem),
                }
            }
            Effect::Boot(event) => job.steps.push(self.change_boot_state(*event)?),
            Effect::Write(slot) => self.write(job, *slot)?,
            Effect::Prove(slot) => {
                let part = part(job.kind, *slot)?;
                match slot::content(self.disk, part, self.trust) {
                    Content::Whole(verified) => slot::prove(self.disk, part, verified.manifest(), self.progress)?,
                    other => return Err(Error::Rotten(format!("{part} is {other}; install a release into it"))),
                }
            }
            Effect::Rebuild(slot) => {
                let site = self.running.and_then(|running| running.site);
                let state = state::rebuild(&StatePartition(self.disk), *slot, site)?;
                job.steps
                    .push(format!("both boot state blocks were lost; written anew with slot {} first", state.order));
            }
            Effect::End(outcome) => {
                if let Some(open) = job.open.take() {
                    self.journal.end(open, outcome.clone())?;
                }
            }
            Effect::Note(slot, outcome) => {
                let release = self.release(job, *slot)?;
                job.steps.push(format!("{} slot {slot}, {release}: {outcome}", job.kind));
                self.journal.note(release, *slot, outcome.clone())?;
            }
        }
        Ok(())
    }

    /// The release an effect is about: the one being installed, or the one in the slot.
    fn release(&self, job: &Job<'_>, slot: SlotId) -> Result<Release> {
        if let Some((manifest, _)) = &job.install {
            return Ok(manifest.manifest().into());
        }
        Ok(match slot::content(self.disk, part(job.kind, slot)?, self.trust) {
            Content::Whole(verified) => verified.manifest().into(),
            Content::Empty | Content::Unusable(_) => Release {
                kind: job.kind,
                name: "unknown".into(),
                version: String::new(),
                build_id: formats::Digest([0; 32]),
                sequence: 0,
            },
        })
    }

    fn write(&self, job: &mut Job<'_>, slot: SlotId) -> Result<()> {
        let part = part(job.kind, slot)?;
        let (Some((manifest, source)), Some(open)) = (&mut job.install, &job.open) else {
            return Err(Error::Bug(format!("{part} is to be written without a release or without an intent")));
        };
        if self
            .running
            .is_some_and(|running| part == Part::Base(running.base) || Some(part) == running.site.map(Part::Site))
        {
            return Err(Error::Bug(format!("{part} runs and is to be written")));
        }
        slot::write(self.disk, part, open, manifest, *source, self.progress)?;
        job.steps.push(format!("{part} holds {} {}", manifest.manifest().name, manifest.manifest().version));
        Ok(())
    }

    /// One sector, the older copy, read back.
    fn change_boot_state(&self, event: boot_state::Event) -> Result<String> {
        let partition = StatePartition(self.disk);
        let blocks = state::read(&partition);
        let present = blocks.newest.ok_or(Refusal::Lost)?;
        let changed = next(&present, event)?;
        let copy = state::store(&partition, &blocks, &changed)?;
        Ok(format!("{} (boot state {}, block {copy})", crate::judge::describe(event), changed.sequence))
    }
}

/// How an action that was cut off has ended, as the disk tells; nothing while the boot state is lost.
fn outcome_of(action: &Action, facts: &Facts) -> Option<Outcome> {
    let boot = facts.boot?;
    let slot = action.slot;
    let there =
        facts.content(action.release.kind, slot).manifest().is_some_and(|m| m.build_id == action.release.build_id);
    let site = action.release.kind == Kind::Site;
    let (done, outcome) = match action.verb {
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
    let State::Failed { failed, .. } = state else { return String::new() };
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

fn holds(facts: &Facts, slot: SlotId, release: &Manifest) -> bool {
    facts.base.get(slot).manifest().is_some_and(|there| there.build_id == release.build_id)
}

fn site_state(facts: &Facts) -> SiteState {
    let active = facts.active_site();
    let manifest = active.and_then(|slot| facts.site.get(slot).manifest());
    SiteState {
        active,
        named: facts.boot.and_then(|boot| boot.site),
        way_back: active.is_some() && way_back_problem(facts).is_empty(),
        committed: manifest.is_some_and(|manifest| facts.history.committed(manifest.build_id)),
        named_then: facts.running.and_then(|running| running.site_named_then),
    }
}

/// What keeps the other site slot from being the way back; empty when nothing does.
fn way_back_problem(facts: &Facts) -> String {
    let Some(active) = facts.active_site() else { return "this appliance has no site".into() };
    let other = facts.site.get(!active);
    let Some(manifest) = other.manifest() else { return format!("site slot {} is {other}", !active) };
    let Some(needed) = &manifest.requires.base else { return String::new() };
    match facts.bases_that_may_start().into_iter().find(|base| !needed.matches(&base.version)) {
        Some(base) => format!("site {} needs base {needed}, this is base {}", manifest.version, base.version),
        None => String::new(),
    }
}

fn part(kind: Kind, slot: SlotId) -> Result<Part> {
    Part::slot(kind, slot).ok_or_else(|| Error::Bug(format!("a {kind} has no slot")))
}
