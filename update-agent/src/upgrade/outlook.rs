//! How far an upgrade is and what comes next. Pure: from the intent, the facts, the rest of the way, and the time.

use formats::catalogue::PackageId;
use formats::manifest::Kind;
use formats::plan::{Plan, Step};
use formats::{Digest, SlotId};
use serde::Serialize;

use super::Upgrade;
use crate::api::Problem;
use crate::code::Code;
use crate::command::history::date;
use crate::depot::window::Shut;
use crate::journal::{Entry, History, Outcome, Release, UpgradeEvent};
use crate::judge;
use crate::lifecycle::{Facts, PendingReset, RESTARTED, SiteState, State, derive, derive_site};

/// Everything an upgrade depends on.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What the appliance is in the middle of.
    pub rest: Rest,
    /// What the journal says since it was begun.
    pub story: Story,
    /// The rest of the way; or why there is none.
    pub way: Result<Plan, Problem>,
    /// The build of its first step, as far as the depot lists it.
    pub next_build: Option<Digest>,
    /// Whether the next step may begin now, as far as the maintenance window goes.
    pub window: Result<(), Shut>,
    /// The time, as far as it is known, seconds since 1970.
    pub now: i64,
}

/// Whether something else has to end first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rest {
    /// Nothing is on trial and nothing is under way.
    AtRest,
    /// A base is complete in its slot and waits for the restart.
    Armed {
        /// Its build.
        build: Digest,
        /// Its name.
        release: String,
    },
    /// A release proves itself.
    Trial(String),
    /// Something else, in a sentence.
    Busy(String),
}

/// What the journal says about an upgrade.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story {
    /// It has ended.
    pub ended: bool,
    /// The release that was left, and why.
    pub left: Option<(Release, String)>,
    /// The releases that were kept.
    pub kept: Vec<Release>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The journal says that it ended; the intent goes.
    Forget,
    /// Nothing, until somebody decides.
    Stopped,
    /// Say why, and stop.
    Stop(Problem),
    /// Everything wanted is installed.
    Finish,
    /// Something else has to end first.
    Later(String),
    /// Not before this time, seconds since 1970.
    Wait(i64),
    /// The next step is written and waits for the restart.
    Restart,
    /// Install this.
    Install(PackageId),
}

/// How far it is, for clients.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outlook {
    /// What is wanted.
    #[serde(flatten)]
    pub upgrade: Upgrade,
    /// Steps that are done since it began.
    pub done: usize,
    /// Steps that are left; one that proves itself is not among them.
    pub left: Vec<Step>,
    /// All of it for people.
    pub summary: String,
}

/// What is to be done now.
pub fn next(upgrade: &Upgrade, seen: &Seen) -> Next {
    if seen.story.ended {
        return Next::Forget;
    }
    if upgrade.stopped.is_some() {
        return Next::Stopped;
    }
    if let Some((release, reason)) = &seen.story.left {
        let again = if upgrade.offline { "update-agent upgrade --offline" } else { "update-agent upgrade" };
        let message = format!(
            "{release} was left: {reason}. What ran before runs; once the cause is gone, \"{again}\" goes on from here"
        );
        return Next::Stop(Problem { code: Code::UpgradeStopped.word().into(), message });
    }
    match &seen.rest {
        Rest::Trial(what) | Rest::Busy(what) => return Next::Later(what.clone()),
        Rest::AtRest | Rest::Armed { .. } => {}
    }
    let plan = match &seen.way {
        Ok(plan) => plan,
        Err(problem) => return Next::Stop(problem.clone()),
    };
    let Some(step) = plan.steps.first() else {
        return match &seen.rest {
            Rest::Armed { release, .. } => Next::Later(format!("{release} waits for a restart")),
            _ => Next::Finish,
        };
    };
    if let Some(problem) = circle(step, &seen.story) {
        return Next::Stop(problem);
    }
    let ours = match &seen.rest {
        Rest::Armed { build, release } if seen.next_build != Some(*build) => {
            return Next::Later(format!("{release} waits for a restart"));
        }
        rest => matches!(rest, Rest::Armed { .. }),
    };
    let soaks = step.not_before.filter(|time| !ours && *time > seen.now);
    match (&seen.window, soaks) {
        (Err(shut @ Shut::Always(_)), _) => {
            Next::Stop(Problem { code: shut.code().word().into(), message: shut.to_string() })
        }
        (_, Some(time)) => Next::Wait(time),
        (Err(shut), None) => Next::Later(shut.to_string()),
        (Ok(()), None) if ours => Next::Restart,
        (Ok(()), None) => Next::Install(step.package.clone()),
    }
}

/// A step that was done already must not be done for ever: whatever brings it back, somebody has to look.
fn circle(step: &Step, story: &Story) -> Option<Problem> {
    let id = &step.package;
    let same = |one: &&Release| {
        (one.kind, one.name.as_str()) == (id.kind(), id.name()) && one.version == id.version().to_string()
    };
    let again = story.kept.iter().find(same)?;
    let message = format!(
        "{again} was installed and kept since this upgrade began, and does not run any more: \"update-agent history\" says what became of \
         it; \"update-agent upgrade\" goes on from here"
    );
    Some(Problem { code: Code::UpgradeStopped.word().into(), message })
}

impl Outlook {
    /// What clients are told.
    pub fn new(upgrade: Upgrade, seen: &Seen) -> Self {
        let left = seen.way.as_ref().map_or_else(|_| Vec::new(), |plan| plan.steps.clone());
        let summary = summary(&upgrade, seen, &left);
        Self { upgrade, done: seen.story.kept.len(), left, summary }
    }
}

fn summary(upgrade: &Upgrade, seen: &Seen, left: &[Step]) -> String {
    let goal = format!("upgrade to {}", upgrade.goal());
    if let Some(stopped) = &upgrade.stopped {
        return format!("{goal} stopped on {}: {}", date(stopped.time), stopped.problem.message);
    }
    let trial = usize::from(matches!(seen.rest, Rest::Trial(_)));
    let done = seen.story.kept.len();
    let all = done.saturating_add(trial).saturating_add(left.len());
    let number = done.saturating_add(1).min(all);
    let next = left.first().map(|step| step.package.to_string());
    let step = match (&seen.rest, &next) {
        (Rest::Trial(what), Some(next)) => format!("step {number} of {all}, {what}; next {next}"),
        (Rest::Trial(what), None) => format!("step {number} of {all}, {what}"),
        (_, None) => "nothing is left to do".into(),
        (Rest::Busy(what), Some(next)) => format!("step {number} of {all}, next {next}, once this has ended: {what}"),
        (_, Some(next)) => format!("step {number} of {all}, next {next}"),
    };
    let waits = left.first().and_then(|step| step.not_before).filter(|time| *time > seen.now);
    let waits = waits.and_then(|time| u64::try_from(time).ok());
    let waits = waits.map(|time| format!(", not before {}, because clients are still following", date(time)));
    let shut = seen.window.as_ref().err().filter(|_| next.is_some()).map(|shut| format!("; {shut}"));
    format!("{goal}: {step}{}", waits.or(shut).unwrap_or_default())
}

/// Whether something else has to end first.
pub fn rest(facts: &Facts) -> Rest {
    if !matches!(facts.reset, PendingReset::None) {
        return Rest::Busy("a factory reset waits for the restart".into());
    }
    let name = |kind, slot: SlotId| {
        let manifest = facts.content(kind, slot).manifest();
        manifest.map_or_else(|| format!("what is in {kind} slot {slot}"), |one| Release::from(one).to_string())
    };
    let site = derive_site(facts);
    match derive(facts) {
        State::Steady { .. } => {}
        State::Trial { candidate, .. } => {
            return Rest::Trial(format!("{} proves itself", name(Kind::Base, candidate)));
        }
        State::Armed { candidate, .. } => {
            let release = name(Kind::Base, candidate);
            let manifest = facts.base.get(candidate).manifest();
            return match manifest {
                Some(base) => Rest::Armed { build: base.build_id, release },
                None => Rest::Busy(format!("{release} waits for a restart")),
            };
        }
        other => return Rest::Busy(other.to_string()),
    }
    match site {
        SiteState::Steady(_) | SiteState::PassedOver(_) | SiteState::Waiting { ready: false, .. } => {}
        SiteState::Trial { candidate, .. } => {
            return Rest::Trial(format!("{} proves itself", name(Kind::Site, candidate)));
        }
        other => return Rest::Busy(other.to_string()),
    }
    let unfinished = [Kind::Base, Kind::Site].into_iter().find_map(|kind| facts.history.open(kind));
    if let Some(open) = unfinished {
        return Rest::Busy(format!("{} {} is under way", open.action.verb, open.action.release));
    }
    // A start that has not come to rest has used one of its tries; a restart now would use another one.
    let unsettled = facts.boot.zip(facts.running_base());
    if unsettled.is_some_and(|(boot, running)| judge::due(&boot, running, facts.whole_blocks == 2).is_some()) {
        return Rest::Busy("this start has not come to rest yet".into());
    }
    Rest::AtRest
}

/// What the journal says since an upgrade was begun.
pub fn story(upgrade: &Upgrade, history: &History) -> Story {
    let mut story = Story::default();
    let mut kept: Vec<&Release> = Vec::new();
    let mut restarted: Vec<&Release> = Vec::new();
    let mut interrupted: Vec<&Release> = Vec::new();
    for record in history.since(upgrade.record) {
        if let Entry::Upgrade { event, .. } = &record.entry {
            story.ended |= matches!(event, UpgradeEvent::Done | UpgradeEvent::Cancelled);
        }
        let Some((release, _, outcome)) = record.entry.outcome() else { continue };
        match outcome {
            Outcome::Committed if matches!(record.entry, Entry::End { .. }) && !kept.contains(&release) => {
                kept.push(release);
            }
            // A power cut is no red check; a site that brings the machine down each time is one.
            Outcome::FellBack { reason } if reason == RESTARTED && !restarted.contains(&release) => {
                restarted.push(release);
            }
            Outcome::FellBack { reason } => story.left = Some((release.clone(), reason.clone())),
            Outcome::Interrupted => {
                interrupted.push(release);
                if interrupted.iter().filter(|one| **one == release).count() > INTERRUPTIONS {
                    let reason = format!("its installation was interrupted more than {INTERRUPTIONS} times");
                    story.left = Some((release.clone(), reason));
                }
            }
            Outcome::Disarmed => story.left = Some((release.clone(), "it was taken back before its restart".into())),
            _ => {}
        }
    }
    story.kept = kept.into_iter().cloned().collect();
    story
}

/// So often the power may go while one release is written; after that, it is the writing that brings the machine down.
const INTERRUPTIONS: usize = 5;

#[cfg(test)]
#[path = "outlook_tests.rs"]
mod tests;
