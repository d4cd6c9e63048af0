//! Reports of installations (`docs/preflight.md`): what was found before, what changed, how long it took, and how it ended.
//!
//! A report has what nothing else remembers. How an installation ended is in the journal; [`story`] derives it from there, also through
//! a restart, and it is written into the report once it is final, because the journal forgets sooner. Pure; [`store`] keeps reports.

pub mod store;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::Problem;
use crate::journal::{History, Outcome, Release};

/// The version of this format.
pub const FORMAT: u32 = 1;

/// One installation of one package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Always [`FORMAT`].
    pub format: u32,
    /// Its name: when it was begun, to the second.
    pub id: String,
    /// Who asked.
    pub by: String,
    /// What was installed.
    pub release: Release,
    /// What was there before; nothing for the first of its kind, and for licences.
    pub before: Option<Release>,
    /// The first line of the release notes.
    pub notes: Option<String>,
    /// When it was begun, seconds since 1970 by the machine's clock.
    pub started: u64,
    /// The newest record of the journal then.
    pub after: u64,
    /// The findings of the preflight, as they were then.
    pub preflight: Value,
    /// What came of the work; nothing while it goes on, or when it was cut off.
    pub result: Option<Work>,
    /// How it ended, once that cannot change any more.
    pub end: Option<End>,
    /// The health checks with what they found, when it ended.
    #[serde(default)]
    pub checks: Value,
}

/// The work of an installation: from the order to the slot that is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Work {
    /// Seconds of each phase, in their order; phases that took less than one have 0.
    pub phases: Vec<Phase>,
    /// What was done, a sentence each.
    pub steps: Vec<String>,
    /// Why it was not done.
    pub problem: Option<Problem>,
}

/// A phase of the work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// For example `writing`.
    pub name: String,
    /// How long it took.
    pub seconds: u64,
}

/// How an installation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct End {
    /// One word.
    pub outcome: Ending,
    /// Why; nothing where it went well.
    pub reason: Option<String>,
    /// When, seconds since 1970 by the machine's clock; nothing where nobody wrote it down.
    pub time: Option<u64>,
}

/// How an installation ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It runs and proved itself.
    Kept,
    /// It was tried, and what was there before runs again.
    FellBack,
    /// It was taken back before it was tried.
    TakenBack,
    /// It was refused or failed; nothing changed.
    NotDone,
    /// Power or agent went away; nothing changed.
    CutOff,
}

/// How far an installation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Story {
    /// The work goes on, or was cut off and nothing says more.
    AtWork,
    /// It has to prove itself, now or after the restart.
    OnTrial,
    /// It ended.
    Ended(End),
}

/// Tells it. `working`: a job is at work that may be this one.
pub fn story(report: &Report, history: &History, working: bool) -> Story {
    if let Some(end) = &report.end {
        return Story::Ended(end.clone());
    }
    let end = |outcome, reason, time| Story::Ended(End { outcome, reason, time });
    let ours = |release: &Release| release.build_id == report.release.build_id && release.kind == report.release.kind;
    let mut story = None;
    for record in history.since(report.after) {
        let time = Some(record.time);
        if record.entry.committed().is_some_and(ours) {
            return end(Ending::Kept, None, time);
        }
        let Some((release, _, outcome)) = record.entry.outcome() else { continue };
        let there = matches!(outcome, Outcome::Armed | Outcome::Written | Outcome::Waiting | Outcome::Switched);
        if !ours(release) {
            if there && release.kind == report.release.kind && story == Some(Story::OnTrial) {
                story = Some(end(Ending::TakenBack, Some(format!("{release} took its place")), time));
            }
            continue;
        }
        story = Some(match outcome {
            Outcome::Armed | Outcome::Written | Outcome::Waiting | Outcome::Switched | Outcome::Committed => {
                Story::OnTrial
            }
            Outcome::Disarmed => end(Ending::TakenBack, None, time),
            Outcome::FellBack { reason } => end(Ending::FellBack, Some(reason.clone()), time),
            Outcome::Interrupted => end(Ending::CutOff, None, time),
            Outcome::Failed { reason } => end(Ending::NotDone, Some(reason.clone()), time),
        });
    }
    let refused = report.result.as_ref().and_then(|work| work.problem.as_ref());
    match (story, refused, &report.result) {
        (Some(story), ..) => story,
        (None, Some(problem), _) => end(Ending::NotDone, Some(problem.message.clone()), None),
        // It was there already.
        (None, None, Some(_)) => end(Ending::Kept, None, None),
        (None, None, None) if working => Story::AtWork,
        (None, None, None) => end(Ending::CutOff, None, None),
    }
}

impl Report {
    /// In a sentence.
    pub fn sentence(&self, story: &Story) -> String {
        let from = self.before.as_ref().map(|before| format!(" after {}", before.version)).unwrap_or_default();
        let how = match story {
            Story::AtWork => "is being installed".into(),
            Story::OnTrial => "has to prove itself".into(),
            Story::Ended(end) => {
                let word = match end.outcome {
                    Ending::Kept => "was kept",
                    Ending::FellBack => "was left again",
                    Ending::TakenBack => "was taken back before it was tried",
                    Ending::NotDone => "was not installed",
                    Ending::CutOff => "was cut off, and nothing changed",
                };
                end.reason.as_ref().map_or_else(|| word.into(), |reason| format!("{word}: {reason}"))
            }
        };
        format!("{}{from} {how}", self.release)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
