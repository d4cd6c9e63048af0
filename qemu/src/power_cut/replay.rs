//! Every disk a power cut could have left, made from a recording, judged, and some of them started.
//!
//! The log is read twice: once to count the disks, so that samples are spread over the whole history, then to make them. There is one
//! working copy; a disk to be started is copied and handed to other threads while the work goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use formats::trust::TrustStore;
use serde::Serialize;

use super::agent::Agent;
use super::boots::{Booted, Crew, Job};
use super::cuts::{self, Cut, Name, cuts, spread};
use super::judge::{Judge, Start, Verdict};
use super::record::{Recording, open_log, scratch};
use super::stretches::{Stretch, stretches};
use super::working_copy::WorkingCopy;
use super::write_log::{Storage, WriteLog};
use crate::disk::copy_sparse;
use crate::{Error, Firmware, Result};

/// What to replay, and how thoroughly.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The recording.
    pub recording: Recording,
    /// The agent whose status is compared with each disk; without one that is left out.
    pub agent: Option<PathBuf>,
    /// Chooses cuts and samples.
    pub seed: u64,
    /// Cuts of each stretch besides the one at its flush.
    pub variants: usize,
    /// At most so many disks are judged, spread over the whole; all, when nothing is given.
    pub judge: Option<usize>,
    /// So many of the judged disks are started.
    pub boot: usize,
    /// So many at a time.
    pub jobs: usize,
    /// With these firmwares in turn; not empty.
    pub firmwares: Vec<Firmware>,
    /// Typed into a root shell once a started disk is ready; must end well.
    pub then: Option<String>,
    /// Only this disk.
    pub only: Option<Name>,
    /// Keeps the image of the only disk in this file.
    pub keep: Option<PathBuf>,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Disks judged, of how many.
    pub judged: (usize, usize),
    /// Disks started, of how many.
    pub booted: (usize, usize),
    /// Disks not as promised.
    pub violations: usize,
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Entries in the log.
    pub entries: u64,
    /// Flush boundaries: moments at which everything written so far was on the disk for good.
    pub boundaries: usize,
    /// Different disks the log and the seed amount to.
    pub disks: usize,
    /// How many were judged.
    pub judged: usize,
    /// How many of those at a flush boundary.
    pub judged_boundaries: usize,
    /// How many of those with unflushed writes lost, reordered or torn.
    pub judged_torn: usize,
    /// How many were also compared with the agent's status.
    pub asked: usize,
    /// How many slots had to be proved block by block; the others had not changed since.
    pub proofs: usize,
    /// What would start, and on how many disks.
    pub starts: BTreeMap<String, usize>,
    /// Started for real, by firmware.
    pub booted: BTreeMap<String, usize>,
    /// Median time until a started disk was ready, in milliseconds.
    pub ready_median_ms: u64,
    /// What is not as promised.
    pub violations: Vec<Violation>,
}

/// A disk that is not as promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Violation {
    /// Its name, for `--only`.
    pub cut: String,
    /// Which entry of the log the stretch begins with, and what of the stretch is there.
    pub disk: String,
    /// What is wrong.
    pub problems: Vec<String>,
}

impl Replay {
    /// Makes and judges the disks. An error means that the work could not be done; violations are in the report.
    pub fn run(&self, progress: &mut dyn FnMut(Progress)) -> Result<Report> {
        let log = open_log(&self.recording.folder)?;
        let plan = self.plan(&log)?;
        let trust_path = self.recording.trust();
        let trust = fs::read(&trust_path).map_err(Error::io("read", &trust_path))?;
        let trust = TrustStore::parse(&trust).map_err(Error::format(trust_path.display().to_string()))?;
        let image = self.scratch_image(&self.recording.before())?;
        let disk = WorkingCopy::open(&image, scratch(&self.recording.folder)?)?;
        let agent = self.agent.as_ref().map(|program| Agent { program: program.clone(), trust: trust_path.clone() });
        let report = Report { entries: log.len(), boundaries: plan.boundaries, disks: plan.disks, ..Report::default() };
        let crew = Crew::new(self.jobs, self.then.as_deref());
        let mut work = Work {
            replay: self,
            plan: &plan,
            disk,
            judge: Judge::new(trust),
            agent,
            crew,
            floors: [0; 2],
            handed_over: 0,
            words: BTreeMap::new(),
            times: Vec::new(),
            report,
        };
        for stretch in stretches(&log) {
            work.stretch(&log, &stretch.map_err(Error::format("the log"))?, progress)?;
            if self.only.is_some() && work.report.judged == plan.judged.len() {
                break;
            }
        }
        work.finish(progress)
    }

    /// Counts the disks and chooses the samples.
    fn plan(&self, log: &WriteLog<File>) -> Result<Plan> {
        let mut names = Vec::new();
        let mut boundaries = 0;
        for stretch in stretches(log) {
            let stretch = stretch.map_err(Error::format("the log"))?;
            let count = self.cuts(log, &stretch).len();
            names.extend((0..count).map(|cut| Name { stretch: stretch.number, cut }));
            boundaries += 1;
        }
        let judged: Vec<Name> = if self.only.is_some() {
            names.iter().copied().filter(|name| self.only == Some(*name)).collect()
        } else {
            let sample = spread(names.len(), self.judge.unwrap_or(names.len()), self.seed);
            sample.into_iter().filter_map(|index| names.get(index).copied()).collect()
        };
        if let Some(only) = self.only.filter(|_| judged.is_empty()) {
            let (seed, variants) = (self.seed, self.variants);
            return Err(Error::Input(format!(
                "there is no disk {only} with --seed {seed} --variants {variants}; give those of the run that named it"
            )));
        }
        let sample = spread(judged.len(), self.boot, self.seed.wrapping_add(1));
        let booted = sample.into_iter().filter_map(|index| judged.get(index).copied()).collect();
        Ok(Plan { boundaries, disks: names.len(), judged: judged.into_iter().collect(), booted })
    }

    fn cuts<S: Storage>(&self, log: &WriteLog<S>, stretch: &Stretch) -> Vec<Cut> {
        cuts(&stretch.unflushed(log.sector()), self.variants, self.seed, stretch.number)
    }

    /// A copy in the recording's folder that vanishes with its handle.
    fn scratch_image(&self, from: &Path) -> Result<tempfile::TempPath> {
        let folder = &self.recording.folder;
        let file = tempfile::Builder::new().prefix("disk-").suffix(".img").tempfile_in(folder);
        let path = file.map_err(Error::io("create a file in", folder))?.into_temp_path();
        copy_sparse(from, &path)?;
        Ok(path)
    }
}

/// Which disks.
struct Plan {
    boundaries: usize,
    disks: usize,
    judged: BTreeSet<Name>,
    booted: BTreeSet<Name>,
}

/// The work in hand.
struct Work<'a> {
    replay: &'a Replay,
    plan: &'a Plan,
    disk: WorkingCopy,
    judge: Judge,
    agent: Option<Agent>,
    crew: Crew,
    /// Highest base and site that were certainly kept: they must never be lost again.
    floors: [u64; 2],
    handed_over: usize,
    /// Disks handed over, in words.
    words: BTreeMap<Name, String>,
    times: Vec<Duration>,
    report: Report,
}

impl Work<'_> {
    fn stretch<S: Storage>(
        &mut self,
        log: &WriteLog<S>,
        stretch: &Stretch,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        for (number, cut) in self.replay.cuts(log, stretch).iter().enumerate() {
            let name = Name { stretch: stretch.number, cut: number };
            if !self.plan.judged.contains(&name) {
                continue;
            }
            for part in stretch.parts(cut, log.sector()) {
                self.disk.try_out(log, &part)?;
            }
            let there = cuts::describe(&stretch.unflushed(log.sector()), cut);
            self.one(name, format!("log entry {}: {there}", stretch.entry))?;
            self.disk.take_back()?;
            progress(self.progress());
        }
        stretch.whole().try_for_each(|part| self.disk.keep(log, &part))
    }

    /// Judges the disk as it is now.
    fn one(&mut self, name: Name, words: String) -> Result<()> {
        let mut verdict = self.judge.look(&self.disk)?;
        if let Some(start) = &verdict.start {
            verdict.problems.extend(lost(self.floors, start));
            if let Some(agent) = &self.agent {
                verdict.problems.extend(agent.untruths(self.disk.path(), start)?);
                self.report.asked += 1;
            }
            *self.report.starts.entry(shown(start)).or_default() += 1;
        }
        if name.cut == 0 {
            self.remember(&verdict);
        }
        self.report.judged += 1;
        *if name.cut == 0 { &mut self.report.judged_boundaries } else { &mut self.report.judged_torn } += 1;
        if let Some(keep) = &self.replay.keep {
            copy_sparse(self.disk.path(), keep)?;
        }
        match verdict.start {
            Some(start) if verdict.problems.is_empty() && self.plan.booted.contains(&name) => {
                self.hand_over(name, start, words)?;
            }
            _ if verdict.problems.is_empty() => {}
            _ => self.violation(name, words, verdict.problems),
        }
        self.collect(self.crew.finished());
        Ok(())
    }

    /// What is on the disk for good and good is not to be lost any more.
    fn remember(&mut self, verdict: &Verdict) {
        let Some(start) = &verdict.start else { return };
        let [base, site] = &mut self.floors;
        if start.good {
            *base = start.base.sequence.max(*base);
        }
        *site = start.site.as_ref().map_or(0, |(_, site)| site.sequence).max(*site);
    }

    fn hand_over(&mut self, name: Name, start: Start, words: String) -> Result<()> {
        let firmwares = &self.replay.firmwares;
        let firmware = firmwares.get(self.handed_over % firmwares.len().max(1)).cloned().unwrap_or(Firmware::Bios);
        let path = self.replay.scratch_image(self.disk.path())?;
        // From here on the crew removes it.
        let image = path.keep().map_err(|error| Error::Environment(format!("cannot keep a disk: {error}")))?;
        self.handed_over += 1;
        self.words.insert(name, words);
        self.crew.hand_over(Job { name, image, start, firmware });
        Ok(())
    }

    fn collect(&mut self, finished: Vec<Booted>) {
        for booted in finished {
            let words = self.words.remove(&booted.name).unwrap_or_default();
            *self.report.booted.entry(booted.firmware.to_string()).or_default() += 1;
            match booted.problem {
                None => self.times.push(booted.time),
                Some(problem) => {
                    let problem = format!("started with {} firmware: {problem}", booted.firmware);
                    self.violation(booted.name, words, vec![problem]);
                }
            }
        }
    }

    fn violation(&mut self, name: Name, disk: String, problems: Vec<String>) {
        self.report.violations.push(Violation { cut: name.to_string(), disk, problems });
    }

    fn progress(&self) -> Progress {
        Progress {
            judged: (self.report.judged, self.plan.judged.len()),
            booted: (self.report.booted.values().sum(), self.plan.booted.len()),
            violations: self.report.violations.len(),
        }
    }

    fn finish(mut self, progress: &mut dyn FnMut(Progress)) -> Result<Report> {
        let crew = std::mem::replace(&mut self.crew, Crew::new(1, None));
        let rest = crew.finish();
        self.collect(rest);
        progress(self.progress());
        self.report.proofs = self.judge.proofs();
        self.times.sort_unstable();
        let median = self.times.get(self.times.len() / 2);
        self.report.ready_median_ms = median.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let booted: usize = self.report.booted.values().sum();
        if booted < self.handed_over {
            let missing = self.handed_over - booted;
            return Err(Error::Environment(format!("{missing} disks handed over to be started were never started")));
        }
        Ok(self.report)
    }
}

/// Releases that were kept for good and are gone.
fn lost(floors: [u64; 2], start: &Start) -> Vec<String> {
    let [base, site] = floors;
    let of_base = (start.base.sequence < base).then(|| {
        format!("release {base} of the base was kept for good; this disk starts release {}", start.base.sequence)
    });
    let now = start.site.as_ref().map_or(0, |(_, site)| site.sequence);
    let of_site =
        (now < site).then(|| format!("release {site} of the site was kept for good; this disk starts release {now}"));
    of_base.into_iter().chain(of_site).collect()
}

fn shown(start: &Start) -> String {
    let standing = if start.good { "good" } else { "on trial" };
    let site = start.site.as_ref().map(|(slot, site)| format!(", site {slot} {}", site.version)).unwrap_or_default();
    format!("slot {} {} ({standing}){site}", start.slot, start.base.version)
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
