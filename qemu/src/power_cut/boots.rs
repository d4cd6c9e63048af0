//! Starting disks for real, several at a time.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::cuts::Name;
use super::judge::Start;
use crate::scenario::shell::Shell;
use crate::{Disk, Firmware, Machine, Pattern, Result};

/// A disk to start. Its file is removed afterwards.
#[derive(Debug)]
pub struct Job {
    /// Which disk.
    pub name: Name,
    /// Raw image.
    pub image: PathBuf,
    /// What it must come up with.
    pub start: Start,
    /// The machine's firmware.
    pub firmware: Firmware,
}

/// How a start went.
#[derive(Debug)]
pub struct Booted {
    /// Which disk.
    pub name: Name,
    /// The machine's firmware.
    pub firmware: Firmware,
    /// Time until it was ready.
    pub time: Duration,
    /// What it did instead.
    pub problem: Option<String>,
}

/// Threads that start disks. They take a job as soon as one of them is free, so there are never more copies than needed.
#[derive(Debug)]
pub struct Crew {
    jobs: Option<SyncSender<Job>>,
    results: Receiver<Booted>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// `size` threads; `then` is typed into a root shell once the guest is ready, and must end well.
    pub fn new(size: usize, then: Option<&str>) -> Self {
        let (jobs, queue) = sync_channel(0);
        let (sender, results) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let thread = |_| {
            let (queue, sender) = (Arc::clone(&queue), sender.clone());
            let then = then.map(str::to_owned);
            std::thread::spawn(move || work(&queue, &sender, then.as_deref()))
        };
        Self { jobs: Some(jobs), results, threads: (0..size.max(1)).map(thread).collect() }
    }

    /// Hands a job over; waits until somebody is free.
    pub fn hand_over(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // Nobody takes it only when every thread has panicked; joining them says so.
            drop(jobs.send(job));
        }
    }

    /// What is finished by now.
    pub fn finished(&self) -> Vec<Booted> {
        self.results.try_iter().collect()
    }

    /// Waits for everything handed over.
    pub fn finish(mut self) -> Vec<Booted> {
        drop(self.jobs.take());
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
        self.results.try_iter().collect()
    }
}

fn work(queue: &Mutex<Receiver<Job>>, results: &Sender<Booted>, then: Option<&str>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let started = Instant::now();
        let result = boot(&job, then);
        drop(std::fs::remove_file(&job.image));
        let time = result.as_ref().map_or_else(|_| started.elapsed(), |time| *time);
        let problem = result.err().map(|error| error.chain());
        if results.send(Booted { name: job.name, firmware: job.firmware, time, problem }).is_err() {
            return;
        }
    }
}

/// Starts a disk until it is ready with exactly what it must come up with. The image itself stays as the cut left it.
fn boot(job: &Job, then: Option<&str>) -> Result<Duration> {
    let other = format!("slot={} ", !job.start.slot);
    let mut attempts = 0;
    loop {
        attempts += 1;
        let disk = Disk::overlay(&job.image)?;
        let mut guest = Machine::new(&disk).firmware(job.firmware.clone()).boot()?;
        let patience = guest.patience(2);
        let patterns = [expected(&job.start), Pattern::from([READY, other.as_str()]), Pattern::from(LATE_TIMER)];
        match guest.expect_any(&patterns, patience)? {
            (0, _) => {}
            (2, _) if attempts < ATTEMPTS => continue,
            (_, line) => return Err(guest.failure(format!("instead of {}: \"{}\"", patterns[0], line.text))),
        }
        let time = guest.elapsed();
        if let Some(command) = then {
            let outcome = Shell::default().run(&mut guest, command, patience)?;
            if outcome.code != 0 {
                let (code, said) = (outcome.code, outcome.lines.join("\n"));
                return Err(guest.failure(format!("\"{command}\" ended with {code}: {said}")));
            }
        }
        guest.power_cut()?;
        return Ok(time);
    }
}

/// Words of the ready line.
fn expected(start: &Start) -> Pattern {
    let mut words = vec![
        READY.to_owned(),
        format!("version={} ", start.base.version),
        format!("slot={} ", start.slot),
        "verified=yes".into(),
    ];
    words.extend(start.site.as_ref().map(|(_, site)| format!("site={} {}", site.name, site.version)));
    Pattern::from(words.iter().map(String::as_str).collect::<Vec<_>>().as_slice())
}

/// Printed by an appliance whose userland is up.
pub const READY: &str = "BULKHEAD READY";
/// The kernel says so when the emulator got no processor time for so long that the timer seems dead; it goes no further. Nothing on
/// the disk decides that, so the disk is started anew.
const LATE_TIMER: &str = "8254 timer not connected to IO-APIC";
const ATTEMPTS: u32 = 4;
