//! `bulkhead-vm power-cut`: `record` an update, `replay` every power cut of it.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use formats::Bytes;
use qemu::power_cut::cuts::Name;
use qemu::power_cut::replay::{Progress, Violation};
use qemu::power_cut::{Recorder, Recording, Replay, Report};
use qemu::{Error, FirmwareName, Result, Tap};
use serde_json::json;

/// The two steps.
#[derive(Debug, Subcommand)]
pub enum PowerCut {
    /// Let an appliance update itself and log every write of its disk
    Record(Record),
    /// Make and judge every disk a power cut could have left
    Replay(ReplayOptions),
}

/// Options of `record`.
#[derive(Debug, Args)]
#[command(after_help = "Starts the appliance, installs the package, restarts into it, waits until it is\n\
kept, and checks that the log gives exactly the disk that came out. The image is\n\
not modified. It needs a root shell on its serial console (lab images have one).\n\n\
FOLDER gets before.img, writes.log, trust.json and recording.json.")]
pub struct Record {
    /// Raw disk image of the appliance
    image: PathBuf,
    /// Folder for the recording; made if it is not there
    folder: PathBuf,
    /// Base or site package to install
    #[arg(long, value_name = "FILE")]
    package: PathBuf,
    /// Firmware of the machine
    #[arg(long, value_enum, default_value = "bios", requires_if("secure-boot", "keys"))]
    firmware: FirmwareName,
    /// Keys directory with PK.crt, KEK.crt, boot.crt, for secure-boot
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Enlarge the disk to this size first, for example 1GiB
    #[arg(long, value_name = "SIZE")]
    size: Option<Bytes>,
    /// Show the serial console on standard error
    #[arg(long)]
    console: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Options of `replay`.
#[derive(Debug, Args)]
#[command(after_help = "A disk is named STRETCH.CUT: the stretch between two flushes, and what of its\n\
unflushed writes is there; cut 0 is the flush itself. The names hold for one\n\
--seed and --variants.\n\n\
Every disk is judged without starting it: the slot the boot loader would take is\n\
signed and whole, nothing kept for good is lost, and the agent's status says so.\n\n\
Exit codes: 0 all as promised, 2 usage, 3 bad input, 4 a disk was not as\n\
promised, 6 environment.")]
pub struct ReplayOptions {
    /// Folder with a recording
    folder: PathBuf,
    /// Compare each disk with the status of this update-agent
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Cuts of each stretch besides the one at its flush
    #[arg(long, value_name = "N", default_value_t = 40)]
    variants: usize,
    /// Chooses cuts and samples
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Judge at most N disks, spread over the history [default: all]
    #[arg(long, value_name = "N")]
    judge: Option<usize>,
    /// Really start N of the judged disks
    #[arg(long, value_name = "N", default_value_t = 0)]
    boot: usize,
    /// Start so many at a time
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Start them with these firmwares in turn
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["bios", "uefi"],
          requires_if("secure-boot", "keys"))]
    firmware: Vec<FirmwareName>,
    /// Keys directory with PK.crt, KEK.crt, boot.crt, for secure-boot
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Type this into a root shell once a disk is ready; it must end well
    #[arg(long, value_name = "COMMAND")]
    then: Option<String>,
    /// Only this disk, and keep its image
    #[arg(long, value_name = "STRETCH.CUT", conflicts_with = "judge")]
    only: Option<Name>,
    /// Where to keep it [default: cut-STRETCH.CUT.img]
    #[arg(long, value_name = "FILE", requires = "only")]
    keep: Option<PathBuf>,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

impl PowerCut {
    /// Does the step; the error says what is not as it should be.
    pub fn run(self) -> Result<()> {
        match self {
            Self::Record(record) => record.run(),
            Self::Replay(replay) => replay.run(),
        }
    }
}

impl Record {
    fn run(self) -> Result<()> {
        let started = Instant::now();
        let tap = Tap::Lines(Arc::new(|line| eprintln!("{line}")));
        let recorder = Recorder {
            image: self.image,
            package: self.package,
            folder: self.folder,
            firmware: self.firmware.firmware(self.keys.as_deref())?,
            size: self.size,
            tap: self.console.then_some(tap),
        };
        let recording = recorder.record(&mut |step| {
            eprintln!("bulkhead-vm: {:>4} s  {step}", started.elapsed().as_secs());
        })?;
        if self.json {
            println!("{}", json!(recording));
        } else {
            let Recording { name, version, entries, log_bytes, seconds, .. } = &recording;
            let folder = recording.folder.display();
            println!(
                "recorded {name} {version} in \"{folder}\": {entries} log entries, {log_bytes} bytes, {seconds} s"
            );
        }
        Ok(())
    }
}

impl ReplayOptions {
    fn run(self) -> Result<()> {
        let started = Instant::now();
        let keep = self.only.map(|name| self.keep.clone().unwrap_or_else(|| format!("cut-{name}.img").into()));
        let replay = Replay {
            recording: Recording::open(&self.folder)?,
            agent: self.agent.clone(),
            seed: self.seed,
            variants: self.variants,
            judge: self.judge,
            boot: self.boot,
            jobs: self.jobs,
            firmwares: self.firmware.iter().map(|name| name.firmware(self.keys.as_deref())).collect::<Result<_>>()?,
            then: self.then.clone(),
            only: self.only,
            keep: keep.clone(),
        };
        let mut shown = Shown::new();
        let report = replay.run(&mut |progress| shown.show(progress, started.elapsed()))?;
        shown.end();
        if self.json {
            println!("{}", json!(report));
        } else {
            self.print(&report, started.elapsed());
        }
        if let Some(keep) = keep {
            eprintln!("bulkhead-vm: the disk is kept in \"{}\"", keep.display());
        }
        match report.violations.len() {
            0 => Ok(()),
            count => Err(Error::Unexpected(format!("{count} of {} disks are not as promised", report.judged))),
        }
    }

    fn print(&self, report: &Report, time: Duration) {
        let Report { entries, boundaries, disks, judged, judged_boundaries, judged_torn, asked, proofs, .. } = report;
        println!("log      {entries} entries, {boundaries} flush boundaries, {disks} disks with seed {}", self.seed);
        println!("judged   {judged}: {judged_boundaries} at a flush boundary, {judged_torn} between two");
        println!("status   compared on {asked}; slots proved block by block: {proofs}");
        for (start, count) in &report.starts {
            println!("starts   {count:>6} times {start}");
        }
        let booted: usize = report.booted.values().sum();
        let by_firmware = report.booted.iter().map(|(firmware, count)| format!(", {count} {firmware}"));
        let ready = Duration::from_millis(report.ready_median_ms);
        println!(
            "booted   {booted}{}; ready after {:.1} s (median)",
            by_firmware.collect::<String>(),
            ready.as_secs_f64()
        );
        for violation in &report.violations {
            println!("{}", self.shown(violation));
        }
        println!("{} violations in {} s", report.violations.len(), time.as_secs());
    }

    /// A violation, and how to look at it.
    fn shown(&self, violation: &Violation) -> String {
        let Violation { cut, disk, problems } = violation;
        let problems = problems.join("\n  ");
        format!(
            "VIOLATION {cut} ({disk})\n  {problems}\n  reproduce: bulkhead-vm power-cut replay {} --seed {} --variants {} \
             --only {cut} --boot 1",
            self.folder.display(),
            self.seed,
            self.variants
        )
    }
}

/// Progress: one line that changes on a terminal, a line every few seconds elsewhere.
struct Shown {
    terminal: bool,
    last: Option<Duration>,
}

impl Shown {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: None }
    }

    fn show(&mut self, progress: Progress, now: Duration) {
        let pause = Duration::from_millis(if self.terminal { 200 } else { 10_000 });
        if self.last.is_some_and(|last| now.saturating_sub(last) < pause) {
            return;
        }
        self.last = Some(now);
        let Progress { judged, booted, violations } = progress;
        let line = format!(
            "bulkhead-vm: {:>4} s  {} of {} judged, {} of {} booted, {violations} violations",
            now.as_secs(),
            judged.0,
            judged.1,
            booted.0,
            booted.1
        );
        let end = if self.terminal { "\r" } else { "\n" };
        // A closed standard error must not end the work.
        drop(write!(std::io::stderr(), "{line}{end}"));
    }

    fn end(&self) {
        if self.terminal && self.last.is_some() {
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        power_cut: PowerCut,
    }

    fn parse(words: &str) -> std::result::Result<Cli, clap::Error> {
        Cli::try_parse_from(words.split(' '))
    }

    #[test]
    fn the_help_fits_80_columns() {
        Cli::command().debug_assert();
        let mut command: Command = Cli::command().term_width(80);
        command.build();
        for verb in ["record", "replay"] {
            let help = command.find_subcommand_mut(verb).unwrap().render_long_help().to_string();
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        }
    }

    #[test]
    fn options_that_contradict_each_other_are_usage_errors() {
        assert!(parse("x record a.img out --package p.pkg --size 1GiB --firmware uefi").is_ok());
        assert!(parse("x replay out --firmware uefi,bios --boot 5 --jobs 2 --only 3.4 --keep x.img").is_ok());
        for words in [
            "x record a.img out",
            "x record a.img out --package p.pkg --size 1G",
            "x record a.img out --package p.pkg --firmware secure-boot",
            "x replay",
            "x replay out --only 3",
            "x replay out --only 3.1 --judge 5",
            "x replay out --keep x.img",
            "x replay out --boot -1",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }

    #[test]
    fn a_violation_says_how_to_see_it_again() {
        let Cli { power_cut: PowerCut::Replay(options) } = parse("x replay out --seed 7").unwrap() else { panic!() };
        let violation =
            Violation { cut: "3.4".into(), disk: "log entry 9: nothing".into(), problems: vec!["bad".into()] };
        let text = options.shown(&violation);
        assert!(text.starts_with("VIOLATION 3.4 (log entry 9: nothing)\n  bad\n"), "{text}");
        assert!(text.ends_with("power-cut replay out --seed 7 --variants 40 --only 3.4 --boot 1"), "{text}");
    }
}
