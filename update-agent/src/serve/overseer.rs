//! What the daemon does about the machine's health, second by second. Pure: time, findings and results come in, jobs come out.
//!
//! A release on trial is kept once all checks that did not fail before the update have held without a break for its settle time, and
//! given up when they do not hold at its deadline. One failing round at any moment begins the settle time anew, so a service that
//! comes and goes is not kept; one that is well at the deadline may finish its settle time, and is given up at the first failing
//! round after that. With nothing on trial only the start itself is judged: what is good stays, whatever is wrong with it now,
//! because no restart would help.
//!
//! The watchdog is fed here and nowhere else, and jobs are done in another thread: a check that hangs, a slow disk or a site that
//! takes a minute to stop does not keep the watchdog waiting. A job that takes longer than any of its kind may is a hang of this
//! program: then feeding stops and the watchdog restarts the machine, as it does when an ordered restart does not happen.

use std::time::Duration;

use formats::manifest::Kind;

use crate::health::Verdict;

/// Something to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Find out what is on trial and which checks apply.
    Survey,
    /// Finish the switch of the site that was cut off.
    FinishSwitch,
    /// Run the checks once.
    Round,
    /// Bring records and boot state up to date and keep what is on trial.
    Settle,
    /// Give up the release of this kind that is on trial.
    GiveUp(Kind, String),
    /// Restart the machine.
    Restart,
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// What is on trial.
    Surveyed(Survey),
    /// What the checks found.
    Round(Verdict),
    /// Everything is as it should be.
    Settled,
    /// Somebody else is changing the disk.
    Busy,
    /// Something else is on trial than was judged.
    Changed,
    /// The release of this kind is given up.
    GivenUp(Kind),
    /// The restart is under way.
    Restarting,
    /// It could not be done.
    Failed(String),
}

/// What is on trial, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Base, site, or both.
    pub on_trial: Vec<Kind>,
    /// Somebody has begun something and not ended it: a site goes on trial without a further word in the records.
    pub under_way: bool,
    /// A switch of the site was begun in this start of the machine and is not complete.
    pub cut_off: bool,
    /// How long all checks have to hold.
    pub settle: Duration,
    /// When a release that is not kept is given up.
    pub deadline: Duration,
}

/// The state of the overseer. Every time is the time since the machine was started.
#[derive(Debug)]
pub struct Overseer {
    phase: Phase,
    /// From when the deadline of a base counts that was on trial when the machine started.
    origin: Duration,
    /// The job under way, and since when.
    job: Option<(Job, Duration)>,
    /// The boot state was brought up to date since this program was started, or a trial ended: the next one does not count from the
    /// origin.
    settled: bool,
    /// No switch of the site is left that was cut off before this program was started.
    finished: bool,
    /// The records have changed since the last survey.
    news: bool,
    /// Not before this.
    next: Duration,
    /// The last complaint, said once.
    said: Option<String>,
    /// Since when something is begun and not ended, or since settling was tried on it.
    unfinished: Option<Duration>,
}

#[derive(Debug)]
enum Phase {
    /// Nothing is known.
    Ask,
    /// Somebody was killed in the middle of a switch of the site.
    Finish,
    /// Rounds of checks.
    Watch(Watch),
    /// All checks have held for long enough.
    Settle(Watch),
    /// The deadline has passed.
    GiveUp(Watch, Kind, String),
    /// Nothing to do until something changes.
    Rest,
    /// A base was given up; the restart has to follow.
    Leave { since: Duration, ordered: bool },
}

#[derive(Debug, Clone)]
struct Watch {
    survey: Survey,
    /// From when the deadline counts.
    from: Duration,
    /// Since when every round was well.
    well_since: Option<Duration>,
    /// How often it was well and then not.
    breaks: u32,
}

impl Overseer {
    /// At the start of the daemon. `origin` is when it was started for the first time since the machine was: a daemon that ends and
    /// is started again gains no time for a base by it.
    pub const fn new(origin: Duration) -> Self {
        Self {
            phase: Phase::Ask,
            origin,
            job: None,
            settled: false,
            finished: false,
            news: false,
            next: Duration::ZERO,
            said: None,
            unfinished: None,
        }
    }

    /// The next job, when none is under way and it is time for one; the caller begins it at once. `news`: the records have changed
    /// since the last call, so something may be on trial that was not.
    pub fn next_job(&mut self, now: Duration, news: bool) -> Option<Job> {
        // What changes while a job is under way, through it perhaps, counts after it.
        self.news |= news;
        if self.job.is_some() || now < self.next {
            return None;
        }
        if self.news
            && let Phase::Rest = self.phase
        {
            self.phase = Phase::Ask;
        }
        let job = match &mut self.phase {
            Phase::Ask => Job::Survey,
            Phase::Finish => Job::FinishSwitch,
            // Somebody may have kept or left it by hand.
            Phase::Watch(_) if self.news => Job::Survey,
            Phase::Watch(_) => Job::Round,
            Phase::Settle(_) => Job::Settle,
            Phase::GiveUp(_, kind, reason) => Job::GiveUp(*kind, reason.clone()),
            Phase::Leave { ordered, .. } if !*ordered => {
                *ordered = true;
                Job::Restart
            }
            Phase::Rest | Phase::Leave { .. } => return None,
        };
        self.news &= job != Job::Survey;
        self.job = Some((job.clone(), now));
        Some(job)
    }

    /// Takes the result of the job under way. Returns a line worth saying.
    pub fn take(&mut self, now: Duration, report: Report) -> Option<String> {
        self.job = None;
        self.next = now.saturating_add(PAUSE);
        let phase = std::mem::replace(&mut self.phase, Phase::Rest);
        let (phase, line) = match (phase, report) {
            (Phase::Ask, Report::Surveyed(survey)) => (self.begin(now, survey, None), None),
            (Phase::Ask, Report::Failed(problem)) => {
                self.next = now.saturating_add(ASK_AGAIN);
                (Phase::Ask, self.new_complaint(&format!("what is on trial is not known: {problem}")))
            }
            (Phase::Finish, Report::Settled) => {
                self.finished = true;
                (Phase::Ask, None)
            }
            (Phase::Finish, Report::Failed(problem)) => {
                self.finished = true;
                (Phase::Ask, Some(format!("the switch of the site is not finished: {problem}")))
            }
            (Phase::Watch(watch), Report::Surveyed(survey)) => (self.begin(now, survey, Some(watch)), None),
            (Phase::Watch(watch), Report::Round(verdict)) => self.judge(now, watch, &verdict),
            (Phase::Settle(watch), Report::Busy) if self.settled && watch.is_of_something_unfinished() => {
                (Phase::Ask, None)
            }
            (Phase::Settle(watch), Report::Settled) => {
                self.end_trial();
                (if watch.is_of_something_unfinished() { Phase::Ask } else { Phase::Rest }, None)
            }
            (Phase::GiveUp(..), Report::GivenUp(Kind::Base)) => (Phase::Leave { since: now, ordered: false }, None),
            (Phase::GiveUp(..), Report::GivenUp(_)) => {
                self.end_trial();
                (Phase::Ask, None)
            }
            (Phase::Settle(_) | Phase::GiveUp(..), Report::Changed) | (Phase::Finish, _) => (Phase::Ask, None),
            // Tried again, and judged again before that: by then it may be another matter.
            (Phase::Settle(watch) | Phase::GiveUp(watch, ..), Report::Busy) => (Phase::Watch(watch), None),
            // Trying again every second would wear the disk and change nothing. What is on trial is judged anew, for as long as a trial
            // takes; a disk that failed to answer once does not cost a release its commit.
            (Phase::Settle(_), Report::Failed(problem)) => {
                self.end_trial();
                self.next = now.saturating_add(ASK_AGAIN);
                (Phase::Ask, Some(format!("the boot state is not updated: {problem}")))
            }
            (Phase::GiveUp(..), Report::Failed(problem)) => {
                self.end_trial();
                self.next = now.saturating_add(ASK_AGAIN);
                (Phase::Ask, Some(format!("not given up, and judged again: {problem}")))
            }
            (phase @ Phase::Leave { .. }, Report::Failed(problem)) => {
                (phase, Some(format!("{problem}; waiting for the watchdog")))
            }
            (phase, _) => (phase, None),
        };
        self.phase = phase;
        line
    }

    /// Whether the watchdog may be fed.
    pub fn may_feed(&self, now: Duration) -> bool {
        if let Phase::Leave { since, .. } = self.phase
            && now.saturating_sub(since) >= RESTART_LIMIT
        {
            return false;
        }
        self.job.as_ref().is_none_or(|(job, since)| now.saturating_sub(*since) < limit(job))
    }

    fn end_trial(&mut self) {
        (self.settled, self.said) = (true, None);
    }

    /// This, unless it was said last.
    fn new_complaint(&mut self, complaint: &str) -> Option<String> {
        let new = self.said.as_deref() != Some(complaint);
        self.said = Some(complaint.to_owned());
        new.then(|| complaint.to_owned())
    }

    /// A watch over what is on trial; the present one goes on when that is the same.
    fn begin(&mut self, now: Duration, survey: Survey, present: Option<Watch>) -> Phase {
        self.next = now;
        // Before anything is judged: half a site runs, whatever else is wrong with this machine, and no check can hold or fail because of
        // it before it is whole. That is no commit; what it completes is on trial.
        if survey.cut_off && !self.finished {
            return Phase::Finish;
        }
        // From here on a switch under way is one that this program makes.
        self.finished = true;
        if survey.on_trial.is_empty() && self.settled {
            if !survey.under_way {
                self.unfinished = None;
                return Phase::Rest;
            }
            self.next = now.saturating_add(ASK_AGAIN);
            let since = *self.unfinished.get_or_insert(now);
            if now.saturating_sub(since) < LEFT_OPEN {
                return Phase::Ask;
            }
            // Whoever is at it still has the disk, or has left it unfinished: settling ends it then.
            self.unfinished = Some(now);
            return Phase::Settle(Watch { survey, from: now, well_since: None, breaks: 0 });
        }
        self.unfinished = None;
        match present {
            Some(watch) if watch.survey.on_trial == survey.on_trial => Phase::Watch(Watch { survey, ..watch }),
            _ => {
                let since_start = !self.settled && !survey.on_trial.contains(&Kind::Site);
                let from = if since_start { self.origin } else { now };
                Phase::Watch(Watch { survey, from, well_since: None, breaks: 0 })
            }
        }
    }

    fn judge(&mut self, now: Duration, mut watch: Watch, verdict: &Verdict) -> (Phase, Option<String>) {
        if verdict.is_well() {
            let line = self.said.take().map(|_| "healthy again".to_owned());
            let since = *watch.well_since.get_or_insert(now);
            if now.saturating_sub(since) >= watch.survey.settle {
                self.next = now;
                return (Phase::Settle(watch), line);
            }
            return (Phase::Watch(watch), line);
        }
        if watch.well_since.take().is_some() {
            watch.breaks = watch.breaks.saturating_add(1);
        }
        let reason = verdict.reason();
        let line = self.new_complaint(&format!("not healthy: {reason}"));
        // The site first: it is left without a restart, and whatever is wrong may well be its fault.
        let kind = [Kind::Site, Kind::Base].into_iter().find(|kind| watch.survey.on_trial.contains(kind));
        match kind {
            Some(kind) if now.saturating_sub(watch.from) >= watch.survey.deadline => {
                self.next = now;
                let reason = watch.why(&reason);
                (Phase::GiveUp(watch, kind, reason), line)
            }
            _ => (Phase::Watch(watch), line),
        }
    }
}

impl Watch {
    fn is_of_something_unfinished(&self) -> bool {
        self.survey.under_way && self.survey.on_trial.is_empty()
    }

    fn why(&self, reason: &str) -> String {
        let seconds = self.survey.deadline.as_secs();
        let came = match self.breaks {
            0 => String::new(),
            1 => " (it was well once in between)".into(),
            breaks => format!(" (it was well {breaks} times in between, never long enough)"),
        };
        format!(
            "not healthy after {seconds} s{came}: {reason}; \"update-agent history --log\" shows the log; install a release that \
             holds what it promises, or correct what the check looks at and install again"
        )
    }
}

/// Longer than any job of this kind may take. Leaving a site waits for the site to stop and for the other one to start.
const fn limit(job: &Job) -> Duration {
    match job {
        Job::Survey | Job::Restart => Duration::from_mins(1),
        // Checks have 60 seconds at most.
        Job::Round => Duration::from_mins(2),
        Job::Settle | Job::FinishSwitch | Job::GiveUp(..) => Duration::from_mins(10),
    }
}

/// While somebody is at work.
const ASK_AGAIN: Duration = Duration::from_secs(3);
/// How long something may be begun and not ended before it is settled like after a start.
const LEFT_OPEN: Duration = Duration::from_mins(1);
/// Between two jobs.
const PAUSE: Duration = Duration::from_secs(1);
/// What an orderly restart may take.
pub const RESTART_LIMIT: Duration = Duration::from_mins(2);

#[cfg(test)]
#[path = "overseer_tests.rs"]
mod tests;
