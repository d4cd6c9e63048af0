//! The keeper's reports of installations: begun before anything is changed, and completed once the journal tells the end.

use serde_json::{Value, json};

use super::desk::{Desk, value};
use super::job::Hand;
use crate::api::{Intent, Package, Problem};
use crate::code::Code;
use crate::error::Result;
use crate::journal::Release;
use crate::lifecycle::silent;
use crate::report::store::Store;
use crate::report::{FORMAT, Report, Story, Work, story};
use crate::serve::log;
use crate::source::PackageFile;
use crate::workplace::now;

impl Desk {
    /// Begins one. What cannot be written down must not keep anything from being installed; it is said in the log.
    pub(super) fn begin_report(&self, asked: &Package, package: &PackageFile, by: &str, hand: &Hand) -> Option<Report> {
        let begun = self.begun_report(asked, package, by, hand);
        begun.map_err(|problem| log(&format!("there is no report of this installation: {problem}"))).ok()
    }

    fn begun_report(&self, asked: &Package, package: &PackageFile, by: &str, hand: &Hand) -> Result<Report> {
        let workplace = self.look()?;
        let facts = workplace.agent(&silent).facts()?;
        let manifest = package.verified().manifest();
        let running = match manifest.kind {
            formats::manifest::Kind::Base => facts.home(),
            formats::manifest::Kind::Site => facts.active_site().and_then(|slot| facts.site.get(slot).manifest()),
            formats::manifest::Kind::Licence => None,
        };
        let preflight = self.preflight(&Intent::Package(asked.clone()), &workplace, Some(hand.id()));
        let started = now();
        let heading =
            package.notes().lines().map(|line| line.trim_start_matches('#').trim()).find(|line| !line.is_empty());
        let report = Report {
            format: FORMAT,
            id: self.reports_kept().name(started)?,
            by: by.into(),
            release: Release::from(manifest),
            before: running.map(Release::from),
            notes: heading.map(|line| line.chars().take(LONGEST).collect()),
            started,
            after: facts.history.newest(),
            preflight: preflight.and_then(|found| value(&found)).unwrap_or_default(),
            result: None,
            end: None,
            checks: Value::Null,
        };
        self.reports_kept().save(&report)?;
        Ok(report)
    }

    /// Writes down what came of the work.
    pub(super) fn end_report(&self, report: Option<Report>, hand: &Hand, done: &Result<Vec<String>>) {
        let Some(report) = report else { return };
        // An upgrade comes back to these again and again; nothing was done, and others must not be pushed out.
        if done.as_ref().is_err_and(|problem| PASSING.contains(&problem.reason())) {
            self.reports_kept().remove(&report.id).unwrap_or_else(|problem| log(&problem.to_string()));
            return;
        }
        let work = Work {
            phases: hand.phases(),
            steps: done.as_ref().cloned().unwrap_or_default(),
            problem: done.as_ref().err().map(Problem::from),
        };
        if let Err(problem) = self.reports_kept().save(&Report { result: Some(work), ..report }) {
            log(&format!("the report of this installation is not complete: {problem}"));
        }
    }

    /// All of them, the newest first, with how each ended or how far it is.
    pub(super) fn reports(&self) -> Result<Value> {
        let reports = self.reports_kept().all()?;
        let history = self.look()?.agent(&silent).journal.history()?;
        let working = self.at_work();
        let told = reports.into_iter().map(|report| {
            let story = story(&report, &history, working);
            let summary = report.sentence(&story);
            let end = match story {
                Story::Ended(end) => Some(end),
                Story::AtWork | Story::OnTrial => None,
            };
            let mut told = value(&Report { end, ..report })?;
            if let Some(told) = told.as_object_mut() {
                told.insert("summary".into(), json!(summary));
            }
            Ok(told)
        });
        told.collect::<Result<Vec<Value>>>().map(Value::Array)
    }

    /// Completes those that ended since the last time. To be asked when the history changed; doing it twice does nothing more.
    pub fn complete_reports(&self) -> Result<()> {
        if self.at_work() {
            return Ok(());
        }
        let open: Vec<Report> = self.reports_kept().all()?.into_iter().filter(|report| report.end.is_none()).collect();
        if open.is_empty() {
            return Ok(());
        }
        let history = self.look()?.agent(&silent).journal.history()?;
        for report in open {
            let Story::Ended(end) = story(&report, &history, false) else { continue };
            let checks = self.health().and_then(|findings| value(&findings)).unwrap_or_default();
            self.reports_kept().save(&Report { end: Some(end), checks, ..report })?;
        }
        Ok(())
    }

    fn at_work(&self) -> bool {
        self.jobs.last().is_some_and(|job| job.result.is_none())
    }

    fn reports_kept(&self) -> Store {
        Store::new(&self.data)
    }
}

/// Refusals that pass by themselves.
const PASSING: [Code; 3] = [Code::Busy, Code::OutsideWindow, Code::NoUpgrade];
/// Characters of a heading.
const LONGEST: usize = 200;
