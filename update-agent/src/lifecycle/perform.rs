//! Carrying out what the tables decide, one effect after the other, on a disk, with a journal and with the running site.

use formats::SlotId;
use formats::boot_state::{self, next};
use formats::manifest::Kind;
use formats::signature::VerifiedManifest;
use formats::site::check_pair;

use super::agent::Agent;
use super::transition::{Effect, Refusal};
use crate::disk::{Part, StatePartition};
use crate::error::{Error, Result};
use crate::journal::{Action, Open, Outcome, Release, Verb};
use crate::site::activate;
use crate::slot::{self, Content};
use crate::source::Source;
use crate::state;

/// The release being installed, if one is.
pub(super) type Install<'j> = Option<(&'j VerifiedManifest, &'j mut (dyn Source + 'j))>;

/// What the effects of one step are about.
pub(super) struct Job<'j> {
    kind: Kind,
    /// The release being installed.
    install: Install<'j>,
    /// The intent under way.
    open: Option<Open>,
    /// It was begun by an earlier call.
    resumed: bool,
    baseline: Option<Vec<String>>,
    steps: Vec<String>,
}

impl<'j> Job<'j> {
    /// Nothing done yet; `open` is an intent this goes on with.
    pub(super) fn new(kind: Kind, install: Install<'j>, open: Option<Open>) -> Self {
        let resumed = open.is_some();
        Self { kind, install, open, resumed, baseline: None, steps: Vec::new() }
    }
}

impl Agent<'_> {
    /// Performs them in order, up to the first that fails.
    pub(super) fn perform(&self, mut job: Job<'_>, effects: &[Effect]) -> Result<Vec<String>> {
        for effect in effects {
            if let Err(problem) = self.perform_one(&mut job, effect) {
                self.give_up(&mut job, effect, &problem);
                return Err(problem);
            }
        }
        Ok(job.steps)
    }

    /// Whether a boot state change that failed has landed nobody knows yet: that intent stays open, and the next `settle` reads from the
    /// disk how it ended. So does the way back to a site, which `settle` tries once more; should it fail again, no site runs and there is
    /// nothing to wait for: the next one can be installed. A slot that could not be written is empty for certain, and a site that could
    /// not be switched to does not run.
    fn give_up(&self, job: &mut Job<'_>, effect: &Effect, problem: &Error) {
        let Some(open) = job.open.take() else { return };
        let half = matches!(problem, Error::SiteDown(_));
        let over = match effect {
            Effect::Write(_) => true,
            Effect::Activate { slot, .. } => open.action.verb == Verb::Try || job.resumed && slot.is_some() && !half,
            _ => false,
        };
        if over {
            let outcome = match (open.action.verb, &open.action.reason) {
                (Verb::Leave, Some(reason)) => {
                    Outcome::FellBack { reason: format!("{reason}; and the site before does not come back: {problem}") }
                }
                _ => Outcome::Failed { reason: problem.to_string() },
            };
            // The disk says the same without the journal; the first problem is the one to report.
            drop(self.journal.end(open, outcome));
        }
    }

    fn perform_one(&self, job: &mut Job<'_>, effect: &Effect) -> Result<()> {
        match effect {
            Effect::Begin(verb, slot, reason) => {
                let judged = matches!(verb, Verb::Install | Verb::Rollback | Verb::Try);
                let action = Action {
                    reason: reason.clone(),
                    boot: self.running.and_then(|running| running.boot),
                    baseline: if judged { self.baseline(job)? } else { Vec::new() },
                    ..Action::new(*verb, self.release(job, *slot)?, *slot)
                };
                match self.journal.begin(action) {
                    Ok(open) => (job.open, job.resumed) = (Some(open), false),
                    // Keeping or leaving a slot on trial is what brings the machine to rest. A full or broken data partition must not
                    // stop it; only the memory of it is lost.
                    Err(problem) if matches!(verb, Verb::Commit | Verb::Leave) => job.steps.push(format!("{problem}")),
                    Err(problem) => return Err(problem),
                }
            }
            Effect::Boot(event) => job.steps.push(self.change_boot_state(*event)?),
            Effect::Write(slot) => self.write(job, *slot)?,
            Effect::Erase(slot) => {
                let part = part(job.kind, *slot)?;
                let erased = slot::erase(self.disk, part);
                self.disk.release(part);
                erased?;
                job.steps.push(format!("{part} is empty"));
            }
            Effect::Activate { slot, otherwise } => self.activate(job, *slot, *otherwise)?,
            Effect::Prove(slot) => {
                let part = part(job.kind, *slot)?;
                match slot::content(self.disk, part, self.trust)? {
                    Content::Whole(verified) => slot::prove(self.disk, part, verified.manifest(), self.progress)?,
                    other => return Err(Error::Rotten(format!("{part} is {other}; install a release into it"))),
                }
            }
            Effect::Rebuild(slot) => {
                let site = self.facts()?.running.and_then(|running| running.site);
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

    /// The health checks that fail before anything is changed; asked once, for they take their time.
    fn baseline(&self, job: &mut Job<'_>) -> Result<Vec<String>> {
        if let Some(known) = &job.baseline {
            return Ok(known.clone());
        }
        let failing = self.health.failing(&self.facts()?);
        job.baseline = Some(failing.clone());
        Ok(failing)
    }

    /// The release an effect is about: the one being installed, or the one in the slot.
    fn release(&self, job: &Job<'_>, slot: SlotId) -> Result<Release> {
        if let Some((manifest, _)) = &job.install {
            return Ok(manifest.manifest().into());
        }
        Ok(match slot::content(self.disk, part(job.kind, slot)?, self.trust)? {
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

    /// Never an incompatible pair: asked once more right before it would run.
    fn activate(&self, job: &mut Job<'_>, slot: Option<SlotId>, otherwise: Option<SlotId>) -> Result<()> {
        let Some(site) = self.site else {
            return Err(Error::Bug("a site is to be switched where none can run".into()));
        };
        let facts = self.facts()?;
        let wanted = slot.and_then(|slot| facts.site.get(slot).manifest());
        if let (Some(base), Some(wanted)) = (facts.home(), wanted) {
            check_pair(base, wanted)
                .map_err(|mismatch| Error::SiteNotSwitched(format!("site {} {mismatch}", wanted.version)))?;
        }
        activate(site, slot, otherwise)?;
        job.steps.push(match slot {
            Some(slot) => format!("site slot {slot} runs now, without a restart"),
            None => "no site runs now".into(),
        });
        Ok(())
    }

    fn write(&self, job: &mut Job<'_>, slot: SlotId) -> Result<()> {
        let part = part(job.kind, slot)?;
        let (Some((manifest, source)), Some(open)) = (&mut job.install, &job.open) else {
            return Err(Error::Bug(format!("{part} is to be written without a release or without an intent")));
        };
        let running = self.facts()?.running;
        if running.is_some_and(|running| part == Part::Base(running.base) || Some(part) == running.site.map(Part::Site))
        {
            return Err(Error::Bug(format!("{part} runs and is to be written")));
        }
        let written = slot::write(self.disk, part, open, manifest, *source, self.progress);
        // The kernel does not open a site from a partition that somebody has open for himself alone.
        self.disk.release(part);
        written?;
        job.steps.push(format!("{part} holds {} {}", manifest.manifest().name, manifest.manifest().version));
        Ok(())
    }

    /// One sector, the older copy, read back.
    fn change_boot_state(&self, event: boot_state::Event) -> Result<String> {
        let partition = StatePartition(self.disk);
        let blocks = state::read(&partition)?;
        let present = blocks.newest.ok_or(Refusal::Lost)?;
        let changed = next(&present, event)?;
        let copy = state::store(&partition, &blocks, &changed)?;
        Ok(format!("{} (boot state {}, block {copy})", crate::judge::describe(event), changed.sequence))
    }
}

fn part(kind: Kind, slot: SlotId) -> Result<Part> {
    Part::slot(kind, slot).ok_or_else(|| Error::Bug(format!("a {kind} has no slot")))
}
