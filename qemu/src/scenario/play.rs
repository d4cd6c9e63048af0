//! Does what a scenario says, with a real guest, and tells each step as it is done.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::disks::Disks;
use super::observe::{AGAIN, expect, freeze, http, wrong_fact};
use super::shell::Shell;
use super::{Action, Fact, Files, Limit, Power, Run, Scenario, Step, answer};
use crate::mail::Mailbox;
use crate::{Depot, Error, Firmware, Guest, Machine, Pattern, Result, Verdict};

/// What a run needs besides the scenario.
pub struct Setting<'a> {
    /// Where images and packages are.
    pub files: &'a Files,
    /// Where the scenario's own paths start.
    pub folder: &'a Path,
    /// What the machine starts with.
    pub firmware: Firmware,
    /// The program `bulkhead-vm`: the emulator starts it for each connection to a depot.
    pub program: &'a Path,
    /// Folder for the serial logs, one file for each time the machine is switched on. It must exist.
    pub logs: &'a Path,
    /// Set by somebody who wants it to end: no further step is begun.
    pub stop: &'a AtomicBool,
    /// Called when a step has ended well.
    pub told: &'a dyn Fn(&StepResult<'_>),
}

/// A step that ended well.
#[derive(Debug)]
pub struct StepResult<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// The step.
    pub step: &'a Step,
    /// How long it took.
    pub time: Duration,
    /// What it found worth telling.
    pub remark: Option<String>,
}

/// Plays a scenario to its end.
///
/// # Errors
/// What went wrong, and in which step; a guest that did something else comes with its last serial lines.
pub fn play(scenario: &Scenario, setting: &Setting<'_>) -> Result<()> {
    let disks = Disks::make(scenario, setting.files, setting.folder)?;
    let mut bench = Bench::new(scenario, setting, disks)?;
    for (index, step) in scenario.steps.iter().enumerate() {
        if setting.stop.load(Ordering::Relaxed) {
            return Err(Error::Environment("stopped by a signal".to_owned()));
        }
        let started = Instant::now();
        let remark = bench.perform(&step.action).map_err(|error| error.within_step(index + 1, step))?;
        (setting.told)(&StepResult { number: index + 1, step, time: started.elapsed(), remark });
    }
    // Left on, the machine is switched off: nothing more is asked of it.
    Ok(())
}

impl Error {
    fn within_step(self, number: usize, step: &Step) -> Self {
        let place = format!("step {number} (line {}, {}): ", step.line, step.action);
        match self {
            Self::Guest { problem, tail, log } => Self::Guest { problem: place + &problem, tail, log },
            Self::Input(text) => Self::Input(place + &text),
            Self::Unexpected(text) => Self::Unexpected(place + &text),
            other => other,
        }
    }
}

/// The machine on the bench, with whoever sits before it.
struct Bench<'a> {
    setting: &'a Setting<'a>,
    name: String,
    disks: Disks,
    machine: Machine,
    depot: Option<Depot>,
    mailbox: Option<Mailbox>,
    guest: Option<Guest>,
    shell: Shell,
    /// How often it was switched on.
    starts: u32,
}

type Remark = Option<String>;

impl<'a> Bench<'a> {
    fn new(scenario: &Scenario, setting: &'a Setting<'a>, disks: Disks) -> Result<Self> {
        let mut machine = disks.machine().firmware(setting.firmware.clone()).memory(scenario.memory);
        for string in &scenario.oem_strings {
            machine = machine.oem_string(string);
        }
        for port in &scenario.ports {
            machine = machine.forward(*port);
        }
        if !scenario.network {
            machine = machine.no_network();
        }
        let depot = scenario
            .depot
            .as_ref()
            .map(|depot| Depot::new(&setting.files.find_folder(&depot.folder, setting.folder)?, depot.rate));
        let depot = depot.transpose()?;
        if let Some(depot) = &depot {
            machine = machine.answer(crate::depot::ADDRESS, &depot.command(setting.program));
            if scenario.depot.as_ref().is_some_and(|spec| spec.https) {
                machine = machine.answer(crate::depot::ENCRYPTED, &depot.encrypted_command(setting.program)?);
            }
        }
        let mailbox = scenario.mailbox.then(Mailbox::new).transpose()?;
        if let Some(mailbox) = &mailbox {
            machine = machine.answer(crate::mail::ADDRESS, &mailbox.command(setting.program));
        }
        let name = format!("{}.{}", scenario.name, setting.firmware);
        Ok(Self { setting, name, disks, machine, depot, mailbox, guest: None, shell: Shell::default(), starts: 0 })
    }

    fn perform(&mut self, action: &Action) -> Result<Remark> {
        match action {
            Action::Power(power) => return self.power(power),
            Action::Expect { wanted, not_before, within } => {
                return expect(self.running()?, wanted, not_before, *within).map(Some);
            }
            Action::Run(run) => self.run(run)?,
            Action::Until { command, within } => self.until(command, *within)?,
            Action::Type(text) => self.running()?.send(&format!("{text}\n"))?,
            Action::Status { facts, within } => self.status(facts, *within)?,
            Action::Freeze { drive, when, within, reset_within } => {
                let drive = self.disks.number(drive)?;
                return freeze(self.running()?, drive, when.as_ref(), *within, *reset_within).map(Some);
            }
            Action::Http { port, path, status, prints, within } => {
                let guest = self.running()?;
                http(guest, *port, path, *status, prints, *within)?;
            }
            Action::Depot { on, rate } => self.depot()?.switch(*on, *rate)?,
            Action::Sent { path, percent, within } => return self.sent(path, *percent, *within).map(Some),
            Action::Mail { letters, prints, within } => self.mail(*letters, prints, *within)?,
            Action::Answer { depot, drive } => {
                let log = self.log();
                let folder = self.setting.files.find_folder(depot, self.setting.folder)?;
                self.off()?;
                let stick = answer::stick(&log, &folder, self.setting.program, self.disks.wanted_size(drive)?)?;
                self.disks.replace(drive, stick)?;
                self.machine = self.machine.clone().disks_of(&self.disks.machine());
            }
            Action::Change { drive, change } => self.off()?.change(drive, change)?,
            Action::Exchange(drive) => {
                self.off()?.exchange(drive)?;
                self.machine = self.machine.clone().disks_of(&self.disks.machine());
            }
            Action::Unchanged(drive) => {
                if let Some(offset) = self.off()?.difference(drive)? {
                    return Err(Error::Unexpected(format!("drive \"{drive}\" has changed, first at byte {offset}")));
                }
            }
        }
        Ok(None)
    }

    fn running(&mut self) -> Result<&mut Guest> {
        self.guest
            .as_mut()
            .ok_or_else(|| Error::Input("the machine is off; put { power = \"on\" } before this step".to_owned()))
    }

    fn off(&mut self) -> Result<&mut Disks> {
        if self.guest.is_some() {
            return Err(Error::Input("the machine is on; put { power = \"cut\" } before this step".to_owned()));
        }
        Ok(&mut self.disks)
    }

    fn depot(&mut self) -> Result<&mut Depot> {
        self.depot.as_mut().ok_or_else(|| Error::Input("the scenario has no depot".to_owned()))
    }

    /// Compares what the depot sent, again until it is enough or the time is over. What is too much never becomes less.
    fn sent(&mut self, path: &Pattern, (least, most): (u64, u64), within: Option<Limit>) -> Result<String> {
        let patience = match within {
            Some(within) => within.patience(self.running()?),
            None => Duration::ZERO,
        };
        let deadline = Instant::now() + patience;
        loop {
            let sent = self.depot()?.sent(path)?;
            let told = format!("{} bytes of {} in {} requests", sent.bytes, sent.length, sent.requests);
            let hundredfold = u128::from(sent.bytes) * 100;
            let of = |percent: u64| u128::from(sent.length) * u128::from(percent);
            let enough = sent.length > 0 && hundredfold >= of(least);
            if enough && hundredfold <= of(most) {
                return Ok(told);
            }
            if enough || Instant::now() >= deadline {
                return Err(Error::Unexpected(format!("the depot sent {told}, which is not {least} to {most} %")));
            }
            std::thread::sleep(SOON);
        }
    }

    /// Compares the letters that came, again until there are enough or the time is over. What is too much never becomes less.
    fn mail(&mut self, wanted: usize, prints: &[Pattern], within: Option<Limit>) -> Result<()> {
        let patience = match within {
            Some(within) => within.patience(self.running()?),
            None => Duration::ZERO,
        };
        let deadline = Instant::now() + patience;
        loop {
            let letters = self.mailbox.as_ref().map_or(Ok(Vec::new()), Mailbox::letters)?;
            if letters.len() < wanted && Instant::now() < deadline {
                std::thread::sleep(SOON);
                continue;
            }
            let last = letters.last().map(String::as_str).unwrap_or_default();
            let missing = prints.iter().find(|pattern| !last.lines().any(|line| pattern.matches(line)));
            return match missing {
                None if letters.len() == wanted => Ok(()),
                None => {
                    Err(Error::Unexpected(format!("{} letters came, not {wanted}; the last:\n{last}", letters.len())))
                }
                Some(pattern) => Err(Error::Unexpected(format!("the last letter has no line with {pattern}:\n{last}"))),
            };
        }
    }

    fn power(&mut self, power: &Power) -> Result<Remark> {
        match power {
            Power::On { clock } => {
                self.off()?;
                self.starts += 1;
                let log = self.log();
                self.machine = self.machine.clone().log(log).clock(*clock);
                self.shell.restarted();
                self.guest = Some(self.machine.boot()?);
            }
            Power::Reset => self.running()?.reset()?,
            Power::Cut { when, after } => {
                let guest = self.running()?;
                let line = when.as_ref().map(|(when, limit)| guest.expect(when.clone(), limit.patience(guest)));
                let line = line.transpose()?;
                std::thread::sleep(*after);
                self.guest.take().map_or(Ok(()), Guest::power_cut)?;
                return Ok(line.map(|line| line.text));
            }
            Power::Button(limit) => {
                let patience = limit.patience(self.running()?);
                let verdict = self.guest.take().map_or(Ok(Verdict::PoweredOff), |guest| guest.shutdown(patience))?;
                return Ok(Some(verdict.to_string()));
            }
            Power::Off(limit) => {
                let guest = self.running()?;
                let verdict = guest.wait(limit.patience(guest))?;
                if verdict != Verdict::PoweredOff {
                    return Err(guest.failure(format!("the guest did not switch itself off; it ended: {verdict}")));
                }
                self.guest = None;
            }
        }
        Ok(None)
    }

    fn log(&self) -> PathBuf {
        self.setting.logs.join(format!("{}.{}.log", self.name, self.starts))
    }

    fn run(&mut self, run: &Run) -> Result<()> {
        let patience = run.within.patience(self.running()?);
        let outcome = self.command(&run.command, patience)?;
        let said = || format!("it printed:\n  {}", outcome.lines.join("\n  "));
        let has = |pattern: &Pattern| outcome.lines.iter().any(|line| pattern.matches(line));
        let problem = if outcome.code == run.exit_code {
            let missing =
                run.prints.iter().find(|pattern| !has(pattern)).map(|p| format!("it printed no line with {p}"));
            missing.or_else(|| run.prints_not.iter().find(|p| has(p)).map(|p| format!("it printed a line with {p}")))
        } else {
            Some(format!("exit code {} instead of {}", outcome.code, run.exit_code))
        };
        match problem {
            Some(problem) => {
                let text = format!("{problem}; {}", said());
                Err(self.running()?.failure(text))
            }
            None => Ok(()),
        }
    }

    fn command(&mut self, command: &str, patience: Duration) -> Result<super::shell::Outcome> {
        let guest = self.guest.as_mut();
        let guest = guest.ok_or_else(|| Error::Input("the machine is off; put { power = \"on\" } first".to_owned()))?;
        self.shell.run(guest, command, patience)
    }

    fn until(&mut self, command: &str, within: Limit) -> Result<()> {
        let patience = within.patience(self.running()?);
        let deadline = Instant::now() + patience;
        loop {
            let outcome = self.command(command, patience)?;
            if outcome.code == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let text = format!(
                    "still exit code {} after {} s; it printed:\n  {}",
                    outcome.code,
                    patience.as_secs(),
                    outcome.lines.join("\n  ")
                );
                return Err(self.running()?.failure(text));
            }
            std::thread::sleep(AGAIN);
        }
    }

    fn status(&mut self, facts: &std::collections::BTreeMap<String, Fact>, within: Option<Limit>) -> Result<()> {
        let patience = within.unwrap_or(Limit::Boots(1)).patience(self.running()?);
        let deadline = within.map(|_| Instant::now() + patience);
        let mut unreadable = 0;
        loop {
            let outcome = self.command(STATUS, patience)?;
            let problem = match serde_json::from_str::<Value>(&outcome.lines.join("\n")) {
                Ok(status) => wrong_fact(&status, facts),
                Err(error) => {
                    unreadable += 1;
                    let text = outcome.lines.join("\n  ");
                    Some(format!("exit code {} and no JSON ({error}):\n  {text}", outcome.code))
                }
            };
            let Some(problem) = problem else { return Ok(()) };
            // Another program may have printed a line in the middle of it.
            let again = problem.contains("and no JSON") && unreadable <= 3;
            if !again && deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                return Err(self.running()?.failure(problem));
            }
            std::thread::sleep(AGAIN);
        }
    }
}

const STATUS: &str = "update-agent status --json 2>/dev/null";
const SOON: Duration = Duration::from_millis(20);
