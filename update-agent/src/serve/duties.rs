//! Doing what the overseer decides, on the running appliance.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use formats::boot_report::{BootReport, SiteReport};
use formats::boot_state::next;
use formats::manifest::Kind;

use super::overseer::{Job, Report, Survey};
use super::{log, mounted};
use crate::command::history::date;
use crate::error::{Error, Result};
use crate::failed_boot::{self, Account};
use crate::health::{self, Checklist, Finding, Rounds, operators_file, verdict};
use crate::journal::Release;
use crate::lifecycle::{Agent, OnTrial, State, derive, derive_site, failure_reason, silent};
use crate::power::restart;
use crate::workplace::{self, Access, DATA, Workplace};
use crate::{judge, kernel_log, state};

/// The appliance, and what was found on it last.
pub struct Duties {
    report: BootReport,
    settle: Option<u64>,
    deadline: Option<u64>,
    rounds: Rounds,
    list: Checklist,
    baseline: Vec<String>,
    /// What was on trial when the checks were chosen.
    on_trial: Vec<OnTrial>,
    findings: Vec<Finding>,
    /// Failing checks that were said to be excused.
    excused: Vec<String>,
}

impl Duties {
    /// On the appliance of this report. `settle` and `deadline` in seconds overrule what releases say.
    pub fn new(report: BootReport, settle: Option<u64>, deadline: Option<u64>) -> Self {
        let rounds = Rounds::new(Arc::new(health::Appliance::default()));
        let (list, baseline, on_trial, findings, excused) = Default::default();
        Self { report, settle, deadline, rounds, list, baseline, on_trial, findings, excused }
    }

    /// Does one job.
    pub fn perform(&mut self, job: &Job) -> Report {
        let done = match job {
            Job::Survey => self.survey().map(Report::Surveyed),
            Job::FinishSwitch => self.finish_switch(),
            Job::Round => Ok(self.round()),
            Job::Settle => self.settle(),
            Job::GiveUp(kind, reason) => self.give_up(*kind, reason),
            Job::Restart => restart().map(|()| Report::Restarting),
        };
        done.unwrap_or_else(|problem| match problem {
            Error::Busy(_) => Report::Busy,
            other => Report::Failed(other.to_string()),
        })
    }

    /// Without records nothing is known to be on trial and only the start itself is judged: a healthy machine must come to rest
    /// whatever else is missing.
    fn survey(&mut self) -> Result<Survey> {
        let place = match Workplace::appliance(&self.report, None, Access::Look) {
            Ok(place) => place,
            Err(problem) => {
                log(&format!("what is on trial is not known: {problem}"));
                (self.list, self.baseline) = Default::default();
                self.on_trial = Vec::new();
                return Ok(self.times(Vec::new()));
            }
        };
        let agent = place.agent(&silent);
        let on_trial = agent.on_trial()?;
        (self.list, self.baseline) = Default::default();
        if !on_trial.is_empty() {
            self.list = Checklist::new(&agent.facts()?, operators_file(Path::new(DATA)));
            self.baseline = on_trial.iter().flat_map(|trial| trial.baseline.clone()).collect();
        }
        let facts = agent.facts()?;
        let under_way = [Kind::Base, Kind::Site].into_iter().any(|kind| facts.history.open(kind).is_some());
        let kinds = on_trial.iter().map(|trial| trial.kind).collect();
        self.on_trial = on_trial;
        Ok(Survey { under_way, cut_off: derive_site(&facts).is_cut_off(), ..self.times(kinds) })
    }

    /// The longest of what the releases on trial ask for.
    fn times(&self, on_trial: Vec<Kind>) -> Survey {
        let asked = on_trial.iter().map(|kind| match kind {
            Kind::Site => self.list.site_trial,
            Kind::Base | Kind::Licence => self.list.base_trial,
        });
        let asked: Vec<_> = asked.map(Option::unwrap_or_default).collect();
        let longest = |said: Option<u64>, own: Vec<u32>, usual: u32| {
            Duration::from_secs(said.unwrap_or_else(|| own.into_iter().max().unwrap_or(usual).into()))
        };
        let usual = formats::health::Trial::default();
        Survey {
            settle: longest(self.settle, asked.iter().map(|trial| trial.settle).collect(), usual.settle),
            deadline: longest(self.deadline, asked.iter().map(|trial| trial.deadline).collect(), usual.deadline),
            on_trial,
            ..Survey::default()
        }
    }

    fn finish_switch(&self) -> Result<Report> {
        let place = Workplace::appliance(&self.report, None, Access::Change)?;
        place.agent(&silent).finish_switch()?.iter().for_each(|step| log(step));
        Ok(Report::Settled)
    }

    fn round(&mut self) -> Report {
        let mut findings = vec![judge::finding(&self.report, mounted(DATA))];
        findings.extend(self.rounds.run(&self.list));
        let verdict = verdict(&findings, &self.baseline);
        if verdict.excused != self.excused {
            for name in &verdict.excused {
                log(&format!("{name} fails as it did before the update; that is not held against the release"));
            }
            self.excused.clone_from(&verdict.excused);
        }
        self.findings = findings;
        Report::Round(verdict)
    }

    /// The reason goes into the journal, the whole account into a log beside it; then the release is given up.
    fn give_up(&self, kind: Kind, reason: &str) -> Result<Report> {
        let place = Workplace::appliance(&self.report, None, Access::Change)?;
        let agent = place.agent(&silent);
        if agent.on_trial()? != self.on_trial {
            // The reason is about another release.
            return Ok(Report::Changed);
        }
        if let Some(trial) = agent.on_trial()?.into_iter().find(|trial| trial.kind == kind) {
            let release = format!("{}, {kind} slot {}", trial.release, trial.slot);
            let kernel = kernel_log::tail(failed_boot::LIMIT);
            keep(&Account { release, reason: reason.into(), findings: &self.findings, kernel, ..account(&agent) });
        }
        agent.condemn(kind, reason)?.steps.iter().for_each(|step| log(step));
        log(&format!("{kind} given up: {reason}"));
        Ok(Report::GivenUp(kind))
    }

    /// Keeps or refills what runs, and repairs what is damaged.
    fn settle(&self) -> Result<Report> {
        let report = &self.report;
        let Some(device) = &report.state.device else {
            log("this disk has no boot state partition");
            return Ok(Report::Settled);
        };
        // With its records if at all possible. Without them, as after a start that left no trust store, the boot state alone is brought
        // up to date below: a healthy machine must come to rest whatever else is missing.
        let place = match Workplace::appliance(report, None, Access::Change) {
            // The next second tries again.
            Err(busy @ Error::Busy(_)) => return Err(busy),
            other => other,
        };
        if let Ok(place) = &place
            && place.agent(&silent).on_trial()? != self.on_trial
        {
            // Put on trial since the checks were run: not judged yet.
            return Ok(Report::Changed);
        }
        let settled = place
            .as_ref()
            .map_err(ToString::to_string)
            .and_then(|place| settle_records(place).map_err(|p| p.to_string()));
        match settled {
            Ok(Records::Settled) => {}
            Ok(Records::TrialBegun) => return Ok(Report::Changed),
            Err(problem) => log(&format!("update records: {problem}")),
        }
        let device = state::open(Path::new(device), true)?;
        let blocks = state::read(&device)?;
        let Some(present) = blocks.newest else {
            let site = match &report.site {
                Some(SiteReport::Running { slot, .. }) => Some(*slot),
                _ => None,
            };
            let rebuilt = state::rebuild(&device, report.slot, site)?;
            log(&format!("both boot state blocks were lost; written anew with slot {} first", rebuilt.order));
            return Ok(Report::Settled);
        };
        if let Some(at) = state::mend_volume(&device, &present)? {
            log(&format!("the boot state volume was damaged from byte {}; mended", at.0));
        }
        let mut blocks = blocks;
        let mut present = present;
        // At most two changes: a failed slot given up, then this one refilled.
        for _ in 0..2 {
            let Some(event) = judge::due(&present, report.slot, blocks.whole == 2) else { break };
            let changed = next(&present, event)?;
            let copy = state::store(&device, &blocks, &changed)?;
            log(&format!("{} (boot state {}, block {copy})", judge::describe(event), changed.sequence));
            blocks = state::read(&device)?;
            present = changed;
        }
        Ok(Report::Settled)
    }
}

/// How the records stand.
enum Records {
    /// They say what is.
    Settled,
    /// A switch that was cut off is complete now: its trial begins, and nobody has judged it yet.
    TrialBegun,
}

/// What happened since the last start, and the commit of what is healthy now.
fn settle_records(place: &Workplace) -> Result<Records> {
    let agent = place.agent(&silent);
    // While there is room: an application may take it later.
    if let Err(problem) = agent.journal.reserve() {
        log(&problem.to_string());
    }
    account_for_failure(&agent);
    let judged = agent.on_trial()?;
    for step in agent.settle()?.steps {
        log(&step);
    }
    if agent.on_trial()? != judged {
        return Ok(Records::TrialBegun);
    }
    match agent.commit() {
        Ok(done) => done.steps.iter().for_each(|step| log(step)),
        Err(Error::NotNow(refusal)) => log(&format!("nothing is committed: {refusal}")),
        Err(problem) => return Err(problem),
    }
    Ok(Records::Settled)
}

/// A release that never got as far as being judged here has an account too, of what the initramfs program noted.
fn account_for_failure(agent: &Agent<'_>) {
    let Ok(facts) = agent.facts() else { return };
    let state = derive(&facts);
    let (State::Failed { failed, .. } | State::NotLoaded { candidate: failed, .. }) = state else { return };
    let release = facts.content(Kind::Base, failed).manifest().map(Release::from);
    let release = release.map_or_else(|| "unknown".to_owned(), |release| release.to_string());
    keep(&Account {
        release: format!("{release}, base slot {failed}"),
        reason: failure_reason(&facts, state),
        kernel: "(it never ran long enough to keep its kernel log)\n".into(),
        ..account(agent)
    });
}

fn account<'a>(agent: &'a Agent<'_>) -> Account<'a> {
    Account { when: date(workplace::now()), failures: &agent.failures, ..Account::default() }
}

/// A full or broken data partition must not keep a bad release running.
fn keep(account: &Account<'_>) {
    if let Err(problem) = failed_boot::keep(Path::new(DATA), account) {
        log(&format!("the log of the failed release is not kept: {problem}"));
    }
}
