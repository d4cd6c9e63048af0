//! The daemon: feeds the watchdog for as long as the machine is looked after, and settles the boot state once it is healthy.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use formats::boot_report::{BootReport, REPORT_PATH, SiteReport};
use formats::boot_state::next;

use crate::command::install::restart;
use crate::error::{Error, Result};
use crate::judge;
use crate::lifecycle::silent;
use crate::state;
use crate::status;
use crate::watchdog::Watchdogs;
use crate::workplace::{Access, Workplace};

/// Feeds often: the shortest time a recipe may set is 10 seconds.
const PERIOD: Duration = Duration::from_secs(1);

/// Options of `serve`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Boot report of the initramfs program
    #[arg(long, value_name = "FILE", default_value = REPORT_PATH)]
    report: PathBuf,
    /// Seconds the machine has to stay healthy before its slot is committed
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    settle: u64,
    /// Seconds after which a release on trial that is still not healthy is
    /// given up and the machine restarts into the slot before
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    deadline: u64,
}

/// Runs until the machine goes down.
pub fn run(options: &Options) -> Result<()> {
    // Without a report there is no knowing what runs. Better to end and let the watchdog restart than to feed it blindly.
    let report = status::report(&options.report)?;
    let mut watchdogs = Watchdogs::open();
    let mut healthy_since = None;
    let mut complained = None;
    let mut settled = false;
    let started = Instant::now();
    loop {
        watchdogs.feed();
        if !settled {
            match judge::complaint(&report, mounted("/data")) {
                None => settled = has_settled(&report, &mut healthy_since, options.settle),
                problem => {
                    healthy_since = None;
                    if complained != problem {
                        log(&format!("not healthy: {}", problem.as_deref().unwrap_or_default()));
                        complained = problem;
                    }
                }
            }
        }
        if !settled && started.elapsed() >= Duration::from_secs(options.deadline) {
            // Once: a slot that is good stays, whatever is wrong with it now; no restart would help.
            settled = true;
            let reason = complained.clone().unwrap_or_else(|| "the boot state could not be brought up to date".into());
            if let Err(problem) = give_up(&report, &format!("not healthy after {} s: {reason}", options.deadline)) {
                log(&format!("staying with this release: {problem}"));
            }
        }
        sleep(PERIOD);
    }
}

/// Once the machine has been healthy for `settle` seconds, brings the boot state up to date. True when nothing is left to do.
fn has_settled(report: &BootReport, healthy_since: &mut Option<Instant>, settle: u64) -> bool {
    if healthy_since.get_or_insert_with(Instant::now).elapsed() < Duration::from_secs(settle) {
        return false;
    }
    match settle_state(report) {
        Ok(()) => true,
        Err(Error::Busy(_)) => false,
        // Trying again every second would wear the disk and change nothing; the next start tries again.
        Err(problem) => {
            log(&format!("the boot state is not updated: {problem}"));
            true
        }
    }
}

/// Commits or refills the running slot, and repairs what is damaged.
fn settle_state(report: &BootReport) -> Result<()> {
    let Some(device) = &report.state.device else {
        log("this disk has no boot state partition");
        return Ok(());
    };
    // With its records if at all possible. Without them, as after a start that left no trust store, the boot state alone is brought
    // up to date below: a healthy machine must come to rest whatever else is missing.
    let place = match Workplace::appliance(report, None, Access::Change) {
        // Waiting here would starve the watchdog; the next second tries again.
        Err(busy @ Error::Busy(_)) => return Err(busy),
        other => other,
    };
    let settled =
        place.as_ref().map_err(ToString::to_string).and_then(|place| settle_records(place).map_err(|p| p.to_string()));
    if let Err(problem) = settled {
        log(&format!("update records: {problem}"));
    }
    let device = state::open(Path::new(device), true)?;
    let blocks = state::read(&device);
    let Some(present) = blocks.newest else {
        let site = match &report.site {
            Some(SiteReport::Running { slot, .. }) => Some(*slot),
            _ => None,
        };
        let rebuilt = state::rebuild(&device, report.slot, site)?;
        log(&format!("both boot state blocks were lost; written anew with slot {} first", rebuilt.order));
        return Ok(());
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
        blocks = state::read(&device);
        present = changed;
    }
    Ok(())
}

/// Ends the trial of the running release and restarts; refused when it is not on trial.
fn give_up(report: &BootReport, reason: &str) -> Result<()> {
    let place = Workplace::appliance(report, None, Access::Change)?;
    for step in place.agent(&silent).condemn(reason)?.steps {
        log(&step);
    }
    log(&format!("{reason}; restarting into the release before"));
    restart()
}

/// What happened since the last start, and the commit of what is healthy now.
fn settle_records(place: &Workplace) -> Result<()> {
    let agent = place.agent(&silent);
    for step in agent.settle()?.steps {
        log(&step);
    }
    match agent.commit() {
        Ok(done) => done.steps.iter().for_each(|step| log(step)),
        Err(Error::NotNow(refusal)) => log(&format!("nothing is committed: {refusal}")),
        Err(problem) => return Err(problem),
    }
    Ok(())
}

/// True when a file system is mounted on `directory`.
pub fn mounted(directory: &str) -> bool {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(directory))
}

/// One line to whoever started this program: init's console, or the journal.
pub fn log(text: &str) {
    println!("update-agent: {text}");
}
