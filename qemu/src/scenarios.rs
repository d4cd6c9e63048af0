//! `bulkhead-vm scenario`: scenario files, each on its firmwares, one line per step, one result at the end.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use formats::results::{FORMAT, Results, Run};
use qemu::junit::{Outcome, Report};
use qemu::scenario::{Files, Setting, StepResult, play};
use qemu::{Error, FirmwareName, Result, Scenario};

use crate::boot::stop_on_signals;

/// Options of `scenario`.
#[derive(Debug, Args)]
#[command(after_help = "The format of scenario files is described in docs/scenarios.md. The image under test\n\
must give a root shell on its serial console. Images are never modified.\n\n\
Environment: BULKHEAD_ACCEL=kvm|tcg instead of the probe; BULKHEAD_PATIENCE=N waits\n\
N times as long on slow machines.")]
pub struct Scenarios {
    /// Scenario files, or names of files in the folder of scenarios
    #[arg(required_unless_present = "list", value_name = "FILE|NAME")]
    named: Vec<String>,
    /// Folder with the scenarios that names stand for
    #[arg(long, value_name = "DIR", default_value = "qemu/scenarios")]
    folder: PathBuf,
    /// Say what each scenario shows and where it runs, and stop; without names all in the folder
    #[arg(long)]
    list: bool,
    /// Only on these firmwares; default: on each that the scenario names
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with = "first")]
    firmware: Vec<FirmwareName>,
    /// Only on the first firmware that each scenario names
    #[arg(long)]
    first: bool,
    /// Say which file $NAME stands for; repeatable
    #[arg(long, value_name = "NAME=FILE", value_parser = setting)]
    set: Vec<(String, PathBuf)>,
    /// Folder where $NAME is the file NAME, NAME.pkg or NAME.img; repeatable
    #[arg(long, value_name = "DIR")]
    files: Vec<PathBuf>,
    /// Keys directory with PK.crt, KEK.crt, boot.crt, for secure-boot
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// How many guests run at the same time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Folder for the serial logs
    #[arg(long, value_name = "DIR", default_value = "out/scenarios")]
    logs: PathBuf,
    #[arg(long, value_name = "FILE", help = "Write the results as JUnit XML")]
    junit: Option<PathBuf>,
    /// Write which packages passed what, for "bulkhead depot add --results"
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
}

/// A scenario to play on one firmware.
struct Job {
    scenario: Scenario,
    folder: PathBuf,
    firmware: FirmwareName,
}

/// How one went.
struct Played {
    name: String,
    began: SystemTime,
    time: Duration,
    run: Run,
    result: Result<()>,
}

impl Scenarios {
    /// Plays them; the error says how many failed.
    pub fn run(self) -> Result<()> {
        let loaded = self.load()?;
        if self.list {
            for (scenario, _) in &loaded {
                let firmware: Vec<_> = scenario.firmware.iter().map(FirmwareName::to_string).collect();
                println!("{:28} {} ({})", scenario.name, scenario.title, firmware.join(", "));
            }
            return Ok(());
        }
        let jobs = self.jobs(&loaded)?;
        let files = self.known_files();
        std::fs::create_dir_all(&self.logs).map_err(Error::io("create", &self.logs))?;
        // Before any thread starts, so that none of them takes the signal.
        let stop = stop_on_signals();
        let started = Instant::now();
        let (count, queue) = (jobs.len(), Mutex::new(VecDeque::from(jobs)));
        let played = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..usize::from(self.jobs).min(count) {
                scope.spawn(|| {
                    loop {
                        // A statement of its own, so that the queue is free while the guest runs.
                        let next = lock(&queue).pop_front();
                        let Some(job) = next.filter(|_| !stop.load(Ordering::Relaxed)) else { break };
                        let result = self.play(&job, &files, &stop);
                        lock(&played).push(result);
                    }
                });
            }
        });
        let played = played.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.report(&played)?;
        judge(&played, count, started.elapsed())
    }

    fn load(&self) -> Result<Vec<(Scenario, PathBuf)>> {
        let mut paths: Vec<PathBuf> = self.named.iter().map(|name| self.path(name)).collect();
        if paths.is_empty() {
            let entries = std::fs::read_dir(&self.folder).map_err(Error::io("read", &self.folder))?;
            let found = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
            paths.extend(found.filter(|path| path.extension().is_some_and(|ending| ending == "toml")));
            paths.sort();
        }
        paths.iter().map(|path| self.read(path)).collect()
    }

    /// What has a folder or the ending is a file; everything else is a name.
    fn path(&self, name: &str) -> PathBuf {
        let given = Path::new(name);
        if given.components().count() > 1 || given.extension().is_some_and(|ending| ending == "toml") {
            return given.to_owned();
        }
        self.folder.join(format!("{name}.toml"))
    }

    fn read(&self, path: &Path) -> Result<(Scenario, PathBuf)> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| {
            let folder = self.folder.display();
            Error::Input(format!(
                "cannot read the scenario \"{}\": {error}; see the names in \"{folder}\" with --list",
                path.display()
            ))
        })?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok((Scenario::parse(&text, &path.display().to_string())?, folder))
    }

    /// Every scenario on its firmwares, as far as the options want them.
    fn jobs(&self, loaded: &[(Scenario, PathBuf)]) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for (scenario, folder) in loaded {
            let firmwares = &scenario.firmware[..if self.first { 1 } else { scenario.firmware.len() }];
            for firmware in firmwares {
                if self.firmware.is_empty() || self.firmware.contains(firmware) {
                    firmware.firmware(self.keys.as_deref())?;
                    jobs.push(Job { scenario: scenario.clone(), folder: folder.clone(), firmware: *firmware });
                }
            }
        }
        if jobs.is_empty() {
            return Err(Error::Input("none of these scenarios is for that firmware; see --list".to_owned()));
        }
        Ok(jobs)
    }

    fn known_files(&self) -> Files {
        let mut files = Files::default();
        for (name, file) in &self.set {
            files.set(name, file);
        }
        for folder in &self.files {
            files.look_in(folder);
        }
        files
    }

    fn play(&self, job: &Job, files: &Files, stop: &AtomicBool) -> Played {
        let name = format!("{} [{}]", job.scenario.name, job.firmware);
        let (began, started) = (now(), Instant::now());
        // Before the guest, which takes long: somebody may build again meanwhile.
        let packages = job.scenario.manifests(files, &job.folder);
        let tell = |step: &StepResult<'_>| {
            let remark = step.remark.as_ref().map(|remark| format!(" ({remark})")).unwrap_or_default();
            say(&format!("{name} {:3} {:7.1} s  {}{remark}", step.number, step.time.as_secs_f64(), step.step.action));
        };
        let result = job.firmware.firmware(self.keys.as_deref()).and_then(|firmware| {
            let program = std::env::current_exe().map_err(Error::io("find the program in", "/proc/self/exe"))?;
            let (folder, logs) = (&job.folder, &self.logs);
            let setting = Setting { files, folder, firmware, program: &program, logs, told: &tell, stop };
            play(&job.scenario, &setting)
        });
        let time = started.elapsed();
        match &result {
            Ok(()) => say(&format!("{name}: passed in {:.1} s", time.as_secs_f64())),
            Err(error) => say(&format!("{name}: FAILED after {:.1} s: {}", time.as_secs_f64(), error.chain())),
        }
        let (scenario, firmware) = (job.scenario.name.clone(), job.firmware.to_string());
        let run = Run { scenario, firmware, passed: result.is_ok(), packages };
        Played { name, began, time, run, result }
    }

    fn report(&self, played: &[Played]) -> Result<()> {
        if let Some(path) = &self.results {
            results(played).and_then(|bytes| std::fs::write(path, bytes).map_err(Error::io("write", path)))?;
        }
        let Some(path) = &self.junit else { return Ok(()) };
        let mut report = Report::new("bulkhead-vm scenario");
        for one in played {
            let outcome = one.result.as_ref().map_or_else(|error| Outcome::Failed(error.chain()), |()| Outcome::Passed);
            report.add(&one.name, one.time, outcome, "");
        }
        report.write(path)
    }
}

/// What was shown of which packages, for whoever publishes them.
fn results(played: &[Played]) -> Result<Vec<u8>> {
    let last = played.iter().filter_map(|one| one.began.duration_since(UNIX_EPOCH).ok()).max().unwrap_or_default();
    let runs = played.iter().map(|one| one.run.clone()).collect();
    let results = Results { format: FORMAT, made: i64::try_from(last.as_secs()).unwrap_or(0), runs };
    results.encode().map_err(Error::format("the results"))
}

/// The closing line, and the exit code: that of the worst failure.
fn judge(played: &[Played], wanted: usize, time: Duration) -> Result<()> {
    let failed: Vec<&Played> = played.iter().filter(|one| one.result.is_err()).collect();
    let summary = format!(
        "{} scenarios passed, {} failed, {} not played, in {:.0} s",
        played.len() - failed.len(),
        failed.len(),
        wanted - played.len(),
        time.as_secs_f64()
    );
    if failed.is_empty() && played.len() == wanted {
        say(&summary);
        return Ok(());
    }
    let names: Vec<_> = failed.iter().map(|one| one.name.as_str()).collect();
    let text = format!("{summary}; failed: {}", names.join(", "));
    let guests = failed.iter().any(|one| matches!(one.result, Err(Error::Guest { .. })));
    let inputs = failed.iter().any(|one| matches!(one.result, Err(Error::Input(_) | Error::Format { .. })));
    Err(match (guests, inputs) {
        (true, _) => Error::Unexpected(text),
        (false, true) => Error::Input(text),
        (false, false) => Error::Environment(text),
    })
}

/// One line, whole, also with several jobs. A reader that went away must not end the guests.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn setting(text: &str) -> std::result::Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_owned(), file.into())),
        _ => Err("write NAME=FILE, such as good-base=out/base-1.1.0.pkg".to_owned()),
    }
}

/// The time, for whoever asks later how old the results are.
#[expect(clippy::disallowed_methods, reason = "a run happens at a real time; nothing that is built depends on it")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
