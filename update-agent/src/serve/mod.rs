//! The daemon: feeds the watchdog for as long as the machine is looked after, judges the release on trial, and settles the boot state
//! once the machine is healthy.
//!
//! What is done when is decided in [`overseer`]; [`duties`] does it, in a thread of its own, so that this one only feeds, asks and
//! listens.
//!
//! Clients are answered beside it: [`keeper`] owns the socket and the process that serves it, [`desk`] deals with a request, [`job`]
//! does what takes long. The loop waits for none of them. [`calendar`] begins jobs nobody asked for.

pub mod calendar;
pub mod desk;
mod desk_backup;
mod desk_bundle;
mod desk_certificates;
mod desk_depot;
mod desk_install;
mod desk_licence;
mod desk_mail;
mod desk_notes;
mod desk_preflight;
mod desk_report;
mod desk_restore;
mod desk_staged;
mod desk_support;
mod desk_upgrade;
mod desk_upload;
pub mod duties;
pub mod guard;
pub mod job;
pub mod keeper;
pub mod overseer;
pub mod people;
mod recent;
pub mod upgrade;

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use appliance::mount::device_on;
use formats::boot_report::REPORT_PATH;
use formats::smbios;

use crate::api::SOCKET;
use crate::certificates::Store;
use crate::depot::Places;
use crate::error::{Doing as _, Error, Result};
use crate::network::HOOK;
use crate::plain_file;
use crate::power::Appliance;
use crate::reader::{Program, frame};
use crate::status;
use crate::watchdog::Watchdogs;
use crate::workplace::{DATA, Place};
use desk::Desk;
use duties::Duties;
use guard::Guard;
use job::Jobs;
use keeper::{Keeper, Setup};
use overseer::Overseer;
use people::People;

/// Feeds often: the shortest time a recipe may set is 30 seconds.
const PERIOD: Duration = Duration::from_secs(1);
const FIRST_START: &str = "/run/bulkhead/serve.started";
const FIRMWARE_TABLE: &str = "/sys/firmware/dmi/tables/DMI";

/// Options of `serve`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Boot report of the initramfs program
    #[arg(long, value_name = "FILE", default_value = REPORT_PATH)]
    report: PathBuf,
    /// Seconds all checks have to hold before a release on trial is kept; by
    /// default what the release says, or 3
    #[arg(long, value_name = "SECONDS")]
    settle: Option<u64>,
    /// Seconds after which a release on trial that is not kept yet is given
    /// up; by default what the release says, or 300
    #[arg(long, value_name = "SECONDS")]
    deadline: Option<u64>,
    /// Socket on which clients are answered
    #[arg(long, value_name = "FILE", default_value = SOCKET)]
    socket: PathBuf,
    /// Address and port at which browsers are answered over HTTPS, for example
    /// [::]:443; by default none are
    #[arg(long, value_name = "ADDRESS:PORT")]
    https: Option<SocketAddr>,
}

/// Runs until the machine goes down.
pub fn run(options: &Options) -> Result<()> {
    // Without a report there is no knowing what runs. Better to end and let the watchdog restart than to feed it blindly.
    let report = status::report(&options.report)?;
    log_in_background();
    let watchdogs = Watchdogs::open();
    let _keeper = keep(options);
    oversee(watchdogs, Duties::new(report, options.settle, options.deadline))
}

/// Answers clients from threads of its own. Without it updates cannot be asked for, and what runs is looked after all the same.
fn keep(options: &Options) -> Option<(Keeper, Option<Keeper>)> {
    let desk = Desk {
        place: Place { disk: None, trust: None, report: options.report.clone(), journal: None },
        data: DATA.into(),
        program: Program::own(),
        jobs: Jobs::default(),
        certificates: Store::new(Path::new(DATA)),
        network_hook: HOOK.into(),
        people: People::new(Path::new(DATA)),
        power: Arc::new(Appliance),
        depot: Places::of_this_machine(),
    };
    let ours = desk.clone();
    let setup = Setup { desk, socket: options.socket.clone(), program: "/proc/self/exe".into() };
    let keeper = Keeper::start(setup).map_err(|problem| log(&format!("clients are not answered: {problem}"))).ok()?;
    let browsers = options.https.and_then(|address| {
        let kept = keep_browsers(ours.clone(), address);
        kept.map_err(|problem| log(&format!("browsers are not answered: {problem}"))).ok()
    });
    // Behind the keeper: where another agent has the socket, that one follows.
    upgrade::follow(ours.clone());
    if let Err(problem) = calendar::start(ours) {
        log(&format!("nothing is done by itself: {problem}"));
    }
    Some((keeper, browsers))
}

/// Answers browsers at this address.
fn keep_browsers(desk: Desk, address: SocketAddr) -> Result<Keeper> {
    let listener = TcpListener::bind(address).doing(|| format!("listen on {address} for browsers"))?;
    // Firmware without such a table has given no code.
    desk.people.deployed(&plain_file::read(Path::new(FIRMWARE_TABLE), smbios::MAX_TABLE).unwrap_or_default());
    Keeper::keep(Box::new(Guard::new(desk)), listener.into(), "/proc/self/exe".into(), None)
}

/// Feeds the watchdogs and has the overseer's jobs done, for ever.
fn oversee(mut watchdogs: Watchdogs, mut duties: Duties) -> Result<()> {
    let (jobs, orders) = mpsc::channel();
    let (results, reports) = mpsc::channel();
    thread::spawn(move || {
        for job in orders {
            if results.send(duties.perform(&job)).is_err() {
                break;
            }
        }
    });
    let gone = || Error::Bug("the thread that does the overseer's jobs has ended".into());
    let (clock, mut records) = (Clock::start(), Records::default());
    let mut overseer = Overseer::new(first_start(Path::new(FIRST_START), clock.now()));
    let mut feeding = true;
    loop {
        let may = overseer.may_feed(clock.now());
        if may {
            watchdogs.feed();
        } else if feeding {
            log("a job hangs or a restart does not happen; the watchdog is not fed any more");
        }
        feeding = may;
        if let Some(job) = overseer.next_job(clock.now(), records.changed()) {
            jobs.send(job).map_err(|_| gone())?;
        }
        match reports.recv_timeout(PERIOD) {
            Ok(report) => overseer.take(clock.now(), report).iter().for_each(|line| log(line)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(gone()),
        }
    }
}

/// The time since the machine was started, also when this program is started again.
struct Clock {
    before: Duration,
    started: Instant,
}

impl Clock {
    fn start() -> Self {
        let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
        Self { before: uptime(&text), started: Instant::now() }
    }

    fn now(&self) -> Duration {
        self.before.saturating_add(self.started.elapsed())
    }
}

/// When this program was first started since the machine was: kept in memory, which a restart empties.
fn first_start(file: &Path, now: Duration) -> Duration {
    let kept = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    if let Some(first) = kept.filter(|first| *first <= now) {
        return first;
    }
    if let Err(problem) = fs::write(file, format!("{}\n", now.as_secs())) {
        log(&format!("cannot write \"{}\": {problem}", file.display()));
    }
    now
}

/// Whole seconds of `12.34 5.67`.
fn uptime(text: &str) -> Duration {
    Duration::from_secs(text.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or_default())
}

/// Whether the journal was written to: whoever changes something writes that down first.
#[derive(Default)]
struct Records(Option<(SystemTime, u64)>);

impl Records {
    fn changed(&mut self) -> bool {
        let metadata = fs::symlink_metadata(Path::new(DATA).join("bulkhead/journal")).ok();
        let now = metadata.and_then(|metadata| Some((metadata.modified().ok()?, metadata.len())));
        std::mem::replace(&mut self.0, now) != now
    }
}

/// True when a file system is mounted on `directory`.
pub fn mounted(directory: &str) -> bool {
    device_on(Path::new(directory)).is_ok_and(|device| device.is_some())
}

/// One line to whoever started this program: init's console, or the journal.
///
/// Once the daemon runs, a thread of its own writes: a console that stands still must not stop whoever feeds the watchdog. Lines
/// that find no room are lost. What clients and packages say is part of some lines, so nothing in them can steer a terminal.
pub fn log(text: &str) {
    let line: String = frame::printable(text.as_bytes()).chars().take(LINE).collect();
    recent::remember(&line);
    match WRITER.get() {
        Some(writer) => drop(writer.try_send(line)),
        None => write_line(&line),
    }
}

/// Characters of a line.
const LINE: usize = 4096;

static WRITER: OnceLock<SyncSender<String>> = OnceLock::new();

fn write_line(line: &str) {
    // A console that went away is no reason to end.
    drop(writeln!(std::io::stdout(), "update-agent: {line}"));
}

/// From now on lines are written by a thread.
fn log_in_background() {
    let (writer, lines) = mpsc::sync_channel::<String>(256);
    let thread = thread::Builder::new().name("log".into());
    let started = thread.spawn(move || lines.iter().for_each(|line| write_line(&line)));
    if started.is_ok() {
        drop(WRITER.set(writer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_is_started_again_knows_when_it_was_first_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("started");
        let at = Duration::from_secs;
        assert_eq!([first_start(&file, at(20)), first_start(&file, at(90))], [at(20), at(20)]);
        fs::write(&file, "nonsense").unwrap();
        assert_eq!([first_start(&file, at(95)), first_start(&file, at(99))], [at(95), at(95)]);
        assert_eq!(first_start(&file, at(1)), at(1), "of another start of the machine");
    }

    #[test]
    fn the_time_since_the_start_of_the_machine_is_read_from_the_kernel() {
        assert_eq!(uptime("123.45 678.90\n"), Duration::from_secs(123));
        assert_eq!(uptime(""), Duration::ZERO);
        assert!(Clock::start().now() > Duration::from_secs(1));
    }
}
