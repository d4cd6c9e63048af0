//! Follows an upgrade: whenever the appliance is at rest, looks at how far it is and does the next step.
//!
//! Nothing is remembered from one look to the next but how long to wait after the depot did not answer. Each look derives everything
//! anew ([`crate::upgrade::outlook`]), so it does not matter at which moment the machine was restarted, the agent killed or the power
//! cut. A step is a job like any other: one at a time, refused while another is at work, shown by `job`.
//!
//! Steps are decided on a [`Road`], real ([`Desk`]) or simulated, and what is stopped stays stopped until somebody asks again.

use std::thread;
use std::time::{Duration, Instant};

use formats::Bytes;
use formats::catalogue::PackageId;
use formats::reset_record::Then;

use super::desk::Desk;
use super::job::{For, Hand};
use crate::api::{self, Install, Outcome, Package, Problem};
use crate::code::Code;
use crate::depot::Trouble;
use crate::depot::window::admitted;
use crate::error::{Error, Result};
use crate::journal::{Entry, UpgradeEvent};
use crate::lifecycle::silent;
use crate::serve::log;
use crate::upgrade::look::Depth;
use crate::upgrade::outlook::{Next, Rest, Seen, next, story};
use crate::upgrade::{Stopped, Upgrade};
use crate::workplace::{Workplace, now};

/// The appliance, as far as an upgrade has to do with it.
pub trait Road {
    /// What somebody wants; nothing when nobody wants anything.
    fn wanted(&self) -> Result<Option<Upgrade>>;
    /// What the next step depends on.
    fn seen(&self, upgrade: &Upgrade) -> Result<Seen>;
    /// Installs a package, and restarts the machine when that is part of it.
    fn install(&self, upgrade: &Upgrade, package: &PackageId) -> Result<()>;
    /// Restarts the machine.
    fn restart(&self, upgrade: &Upgrade) -> Result<()>;
    /// Keeps why it goes no further.
    fn stop(&self, upgrade: &Upgrade, problem: Problem) -> Result<()>;
    /// Ends it: everything wanted is installed, or the journal says that it has ended.
    fn end(&self, upgrade: &Upgrade) -> Result<()>;
}

/// What came of a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is to be done before something changes or some time has passed.
    Waited,
    /// Something was done.
    Moved,
    /// The depot could not be asked, or the like: it is tried again.
    Failed(Problem),
}

/// Looks, and does what follows.
pub fn turn(road: &dyn Road, upgrade: &Upgrade) -> Result<Turn> {
    let stop = |problem| road.stop(upgrade, problem).map(|()| Turn::Moved);
    let done = match next(upgrade, &road.seen(upgrade)?) {
        Next::Stopped | Next::Later(_) | Next::Wait(_) => return Ok(Turn::Waited),
        Next::Forget | Next::Finish => return road.end(upgrade).map(|()| Turn::Moved),
        Next::Stop(problem) => return stop(problem),
        Next::Restart => road.restart(upgrade),
        Next::Install(package) => road.install(upgrade, &package),
    };
    match done {
        Ok(()) => Ok(Turn::Moved),
        Err(problem) if may_pass(problem.reason()) => Ok(Turn::Failed(Problem::from(&problem))),
        Err(problem) => stop(Problem::from(&problem)),
    }
}

/// Whether the same may succeed later without anybody doing something about it here.
const fn may_pass(code: Code) -> bool {
    matches!(
        code,
        Code::DepotUnreachable | Code::DepotIncomplete | Code::FetcherFailed | Code::Busy | Code::OutsideWindow
    )
}

/// When it is time for the next look.
#[derive(Debug, Default)]
struct Pace {
    /// The upgrade that was looked at last, by its record.
    record: Option<u64>,
    /// Failures in a row.
    failures: usize,
    /// Not before.
    due: Option<Instant>,
}

impl Pace {
    /// Whether to look now. A new upgrade is looked at a little later: whoever asked for it reads the answer first.
    fn is_due(&mut self, upgrade: &Upgrade, now: Instant) -> bool {
        if self.record != Some(upgrade.record) {
            *self = Self { record: Some(upgrade.record), failures: 0, due: now.checked_add(PAUSE) };
        }
        self.due.is_none_or(|due| now >= due)
    }

    /// Takes what came of a look. A line worth saying.
    fn take(&mut self, turn: &Turn, now: Instant) -> Option<String> {
        let (pause, line) = match turn {
            Turn::Waited | Turn::Moved => {
                self.failures = 0;
                (PAUSE, None)
            }
            Turn::Failed(problem) if problem.code == Code::Busy.word() => (PAUSE, None),
            Turn::Failed(problem) => {
                let pause = PAUSES.get(self.failures).or(PAUSES.last()).copied().unwrap_or(PAUSE);
                self.failures = self.failures.saturating_add(1);
                let line = format!("the upgrade tries again in {} s: {}", pause.as_secs(), problem.message);
                (pause, Some(line))
            }
        };
        self.due = now.checked_add(pause);
        line
    }
}

/// Follows upgrades for ever, in a thread of its own.
pub(super) fn follow(desk: Desk) {
    let follower = thread::Builder::new().name("upgrade".into()).spawn(move || {
        let mut pace = Pace::default();
        let mut said = None;
        loop {
            thread::sleep(TICK);
            let wanted = desk.wanted();
            let turned = match &wanted {
                Ok(Some(upgrade)) if upgrade.stopped.is_none() => {
                    if !pace.is_due(upgrade, Instant::now()) {
                        continue;
                    }
                    turn(&desk, upgrade)
                }
                Ok(_) => continue,
                Err(problem) => Ok(Turn::Failed(Problem::from(problem))),
            };
            let turned = turned.unwrap_or_else(|problem| Turn::Failed(Problem::from(&problem)));
            let line = pace.take(&turned, Instant::now());
            if line.is_some() && line != said {
                if let Some(line) = &line {
                    log(line);
                }
                said = line;
            }
            if wanted.is_err() {
                thread::sleep(UNREADABLE);
            }
        }
    });
    if let Err(problem) = follower {
        log(&format!("upgrades are not followed: {problem}"));
    }
}

impl Desk {
    /// Refused when it is not the one that is kept any more, or stopped: somebody took it back meanwhile.
    fn still_wanted(&self, record: u64) -> Result<Upgrade> {
        let kept = self.upgrades().load()?;
        kept.filter(|kept| kept.record == record && kept.stopped.is_none()).ok_or(Error::NoUpgrade)
    }

    fn step(&self, upgrade: &Upgrade, package: &PackageId, by: &str, hand: &Hand) -> Result<Vec<String>> {
        // Terms are asked for before anybody waits for a download.
        let mut steps: Vec<String> = self.agreed(package, upgrade.accept_eula, by)?.into_iter().collect();
        let staged = if upgrade.offline {
            self.staged_already(package, true)?.ok_or_else(|| Error::NotStaged(package.to_string()))?
        } else {
            self.stage_from_depot(package, true, hand)?
        };
        let order = Install {
            package: Package::Staged(staged.id.clone()),
            hardware: None,
            accept_eula: upgrade.accept_eula,
            restart: false,
            accept_expired: None,
            no_backup: None,
            backup: false,
        };
        steps.extend(staged.steps);
        let record = upgrade.record;
        // The download may have taken hours: somebody may have changed their mind, and the window may have closed, or not be open long
        // enough any more.
        let (writes, restarts) = self.cost(package)?;
        let may_go_on = |workplace: &Workplace, writes, restarts| {
            self.still_wanted(record)?;
            self.has_time(workplace, writes, restarts)
        };
        let still = |workplace: &Workplace| may_go_on(workplace, writes, restarts);
        steps.extend(self.install_file(&order, by.to_owned(), hand, &still)?);
        if !upgrade.offline {
            self.staging().discard(&staged.id)?;
        }
        let workplace = self.change(by.to_owned())?;
        let armed = matches!(self.seen_at(&workplace, upgrade, Depth::Deciding)?.rest, Rest::Armed { .. });
        // What is written waits for its restart when there is no time for it any more: the next look knows until when.
        if armed && !workplace.is_image() && may_go_on(&workplace, Bytes(0), true).is_ok() {
            self.go_down(workplace, Then::Start)?;
            steps.push("restarting into it".into());
        }
        Ok(steps)
    }

    /// What installing it writes, and whether it restarts the machine.
    fn cost(&self, package: &PackageId) -> Result<(Bytes, bool)> {
        let known = self.depot.known()?;
        let entry = known.catalogue.entries().get(package).ok_or_else(|| Trouble::NotInDepot(package.clone()))?;
        Ok((entry.image_size, entry.effects.reboot))
    }

    /// Refused when so much does not fit into what is left of the maintenance window.
    fn has_time(&self, workplace: &Workplace, writes: Bytes, restarts: bool) -> Result<()> {
        let facts = workplace.agent(&silent).facts()?;
        let admitted = admitted(&self.depot.setting()?, self.clock(&facts), facts.takes(writes, restarts));
        Ok(admitted.map_err(Trouble::Window)?)
    }

    /// Has a job done and waits for its end.
    fn job(
        &self,
        by: String,
        work: impl FnOnce(&Self, &str, &Hand) -> Result<Vec<String>> + Send + 'static,
    ) -> Result<()> {
        let (desk, actor) = (self.clone(), by.clone());
        let job = self.jobs.begin("upgrade", by, For::Nobody, move |hand| work(&desk, &actor, hand))?;
        loop {
            thread::sleep(TICK);
            match self.jobs.last().filter(|last| last.id == job.id) {
                Some(api::Job { result: None, .. }) => {}
                Some(api::Job { result: Some(Outcome::Failed(problem)), .. }) => return Err(Error::from(problem)),
                // Another one began meanwhile: then this one has ended, and the next look shows how.
                Some(_) | None => return Ok(()),
            }
        }
    }
}

impl Road for Desk {
    fn wanted(&self) -> Result<Option<Upgrade>> {
        self.upgrades().load()
    }

    fn seen(&self, upgrade: &Upgrade) -> Result<Seen> {
        self.seen_at(&self.look()?, upgrade, Depth::Deciding)
    }

    fn install(&self, upgrade: &Upgrade, package: &PackageId) -> Result<()> {
        let (upgrade, package) = (upgrade.clone(), package.clone());
        let done = self.job(upgrade.by.clone(), move |desk, by, hand| desk.step(&upgrade, &package, by, hand));
        match done {
            // Taken back while it was fetched: the next look finds nothing to do.
            Err(problem) if problem.reason() == Code::NoUpgrade => Ok(()),
            done => done,
        }
    }

    fn restart(&self, upgrade: &Upgrade) -> Result<()> {
        let workplace = self.change(upgrade.by.clone())?;
        self.still_wanted(upgrade.record)?;
        self.has_time(&workplace, Bytes(0), true)?;
        if workplace.is_image() { Ok(()) } else { self.go_down(workplace, Then::Start) }
    }

    fn stop(&self, upgrade: &Upgrade, problem: Problem) -> Result<()> {
        let workplace = self.change(upgrade.by.clone())?;
        let Ok(kept) = self.still_wanted(upgrade.record) else { return Ok(()) };
        let journal = workplace.agent(&silent).journal;
        let history = journal.history()?;
        let said = |entry: &Entry| matches!(entry, Entry::Upgrade { event: UpgradeEvent::Stopped, .. });
        if !history.since(kept.record).any(|record| said(&record.entry)) {
            journal.upgrade(&kept.to, UpgradeEvent::Stopped, Some(problem.message.clone()))?;
        }
        log(&format!("the upgrade to {} stopped: {} [{}]", kept.goal(), problem.message, problem.code));
        self.upgrades().save(&Upgrade { stopped: Some(Stopped { time: now(), problem }), ..kept })
    }

    fn end(&self, upgrade: &Upgrade) -> Result<()> {
        let workplace = self.change(upgrade.by.clone())?;
        let Ok(kept) = self.still_wanted(upgrade.record) else { return Ok(()) };
        let agent = workplace.agent(&silent);
        if !story(&kept, &agent.journal.history()?).ended {
            agent.journal.upgrade(&kept.to, UpgradeEvent::Done, None)?;
            log(&format!("the upgrade to {} has come to its end", kept.goal()));
        }
        // What a bundle brought was for this, and is installed. What cannot be removed stays staged, and is listed so.
        if let Err(problem) = self.discard_all(&workplace, &kept.among) {
            log(&problem.to_string());
        }
        self.upgrades().remove()
    }
}

/// Between two looks while nothing fails.
const PAUSE: Duration = Duration::from_secs(4);
const TICK: Duration = Duration::from_millis(500);
/// Between two looks at an intent that cannot be read; somebody may be putting it right.
const UNREADABLE: Duration = Duration::from_secs(30);
/// After failures in a row.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
];

#[cfg(test)]
#[path = "upgrade_tests.rs"]
mod tests;
