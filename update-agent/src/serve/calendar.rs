//! Doing what the calendar says, as jobs like any other.
//!
//! A thread of its own looks every half minute. It writes nothing and waits for nobody, so whoever stands at the machine finds it as
//! quiet as if nothing were done by itself.

use std::fs;
use std::thread;
use std::time::Duration;

use formats::calendar::CHECK_HOURS;
use formats::depot::{Auto, Setting};
use formats::plan::{Inventory, Target};

use super::desk::Desk;
use super::job::{For, Hand};
use super::{log, uptime};
use crate::calendar::{Calendar, Seen, Task};
use crate::code::Code;
use crate::depot::clock::Clock;
use crate::depot::window::admitted;
use crate::error::{Doing, Error, Result};
use crate::workplace::{Workplace, now};

/// Begins to look.
pub fn start(desk: Desk) -> Result<()> {
    let thread = thread::Builder::new().name("calendar".into());
    let started = thread.spawn(move || {
        let (mut calendar, mut said, mut cleared) = (Calendar::default(), String::new(), None);
        loop {
            thread::sleep(LOOK);
            let up = uptime(&fs::read_to_string("/proc/uptime").unwrap_or_default());
            // The one does not wait for the other: a check may be what puts right why nothing could be cleared away.
            let looked = desk.look_into(&mut calendar, up);
            if let Err(problem) =
                desk.clear_kept(&mut cleared).and(desk.complete_reports()).and(desk.uploads().tidy()).and(looked)
            {
                // The same sentence twice a minute would bury every other.
                let problem = format!("nothing is done by itself: {problem}");
                if problem != said {
                    log(&problem);
                    said = problem;
                }
            }
        }
    });
    started.map(drop).doing(|| "start the calendar".into())
}

impl Desk {
    /// One look, and what follows from it. `up`: for how long the machine has been running.
    pub fn look_into(&self, calendar: &mut Calendar, up: Duration) -> Result<()> {
        // A setting about backups that cannot be read keeps nothing else from being done, and is said.
        let backup = self.backup_is_due();
        let seen = self.seen(up)?;
        if seen.idle && matches!(backup, Ok(true)) {
            return self.begin_unasked("backup", Self::scheduled_backup);
        }
        if self.jobs.unfinished().as_deref() == Some(STAGE) && seen.auto >= Auto::Stage {
            calendar.again(Task::Stage);
        }
        let Some(task) = calendar.next(&seen) else { return backup.map(drop) };
        match self.by_itself(task) {
            // Somebody was faster; it is due again.
            Err(Error::AtWork { .. }) => {
                calendar.again(task);
                Ok(())
            }
            done => done,
        }
    }

    fn seen(&self, up: Duration) -> Result<Seen> {
        let setting = self.depot.setting()?;
        let now = i64::try_from(now()).unwrap_or(i64::MAX);
        Ok(Seen {
            now,
            started: now.saturating_sub(i64::try_from(up.as_secs()).unwrap_or(0)),
            appliance: self.depot.appliance()?,
            depot: setting.url.is_some(),
            hours: setting.check_hours.unwrap_or(CHECK_HOURS),
            auto: setting.auto.unwrap_or_default(),
            mail: setting.mail.is_some(),
            mail_failed: self.mail_failed(),
            asked: self.depot.attempt().map(|attempt| (attempt.time, attempt.problem.is_some())),
            idle: self.jobs.last().is_none_or(|job| job.result.is_some()),
        })
    }

    fn by_itself(&self, task: Task) -> Result<()> {
        match task {
            Task::Check => self.begin_unasked("check", |desk, _| desk.check()),
            Task::Tell if self.has_news()? => self.begin_unasked("mail", |desk, _| desk.tell()),
            Task::Stage => self.stage_next(),
            Task::Upgrade if self.unasked()?.is_some() => {
                self.begin_unasked("upgrade", |desk, hand| desk.begin_unasked_upgrade(BY, hand))
            }
            Task::Tell | Task::Upgrade => Ok(()),
        }
    }

    fn begin_unasked(
        &self,
        what: &str,
        work: impl FnOnce(&Self, &Hand) -> Result<Vec<String>> + Send + 'static,
    ) -> Result<()> {
        let desk = self.clone();
        self.jobs.begin(what, BY.into(), For::Nobody, move |hand| work(&desk, hand)).map(drop)
    }

    /// Fetches the first step of the way to the newest, if there is one and it is not there.
    fn stage_next(&self) -> Result<()> {
        let (_, inventory, _, clock) = self.place_in_fleet()?;
        let known = self.depot.known()?;
        let candidates = formats::plan::candidates(&known.catalogue, &inventory, clock.now());
        let Ok(plan) = formats::plan::plan(&inventory, &candidates, &Target::Newest, formats::plan::Options::default())
        else {
            return Ok(());
        };
        let Some(id) = plan.steps.into_iter().next().map(|step| step.package) else { return Ok(()) };
        let entry = known.catalogue.entries().get(&id);
        if entry.is_some_and(|entry| self.staged().is_ok_and(|staged| staged.iter().any(|one| one.is(entry)))) {
            return Ok(());
        }
        self.begin_unasked(STAGE, move |desk, hand| Ok(desk.stage_from_depot(&id, false, hand)?.steps))
    }

    /// What is to be said in the list of updates about an upgrade that would begin by itself and never can.
    pub(super) fn unasked_note(
        &self,
        setting: &Setting,
        inventory: &Inventory,
        workplace: &Workplace,
        clock: Clock,
    ) -> Option<String> {
        let unasked =
            (setting.auto == Some(Auto::Install)).then(|| self.unasked_at(setting, inventory, workplace, clock));
        let problem = unasked?.err().filter(|problem| problem.reason() == Code::WindowTooShort)?;
        Some(format!("nothing is installed by itself: {problem}"))
    }
}

/// What is to be said about the window in the list of updates.
pub(super) fn window_note(setting: &Setting, clock: Clock) -> Option<String> {
    admitted(setting, clock, Duration::ZERO).err().map(|closed| closed.to_string())
}

const STAGE: &str = "stage";
/// Who asked, in journal and jobs.
const BY: &str = "the calendar";
const LOOK: Duration = Duration::from_secs(30);
