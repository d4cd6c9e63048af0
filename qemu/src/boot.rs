//! `bulkhead-vm boot`: one image, one guest, until it did what was expected, ended, or was stopped.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use formats::Bytes;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use qemu::junit::{Outcome, Report};
use qemu::{Disk, Error, Firmware, FirmwareName, Forward, Guest, Line, Machine, Pattern, Result, Tap, Verdict};
use serde_json::json;

/// Options of `boot`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent switch of the command line")]
#[command(after_help = "The image is not modified unless --persist is given. Without --expect the guest\n\
runs until it switches itself off or you press Ctrl-C.\n\n\
Environment: BULKHEAD_ACCEL=kvm|tcg instead of the probe; BULKHEAD_LOG_DIR keeps\n\
serial logs there.")]
pub struct Boot {
    /// Raw disk image
    image: PathBuf,
    /// Firmware of the machine
    #[arg(long, value_enum, default_value = "bios", requires_if("secure-boot", "keys"))]
    firmware: FirmwareName,
    /// Keys directory with PK.crt, KEK.crt, boot.crt, for secure-boot
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Forward TCP port HOST of 127.0.0.1 to the guest; GUEST alone picks a free host port; repeatable
    #[arg(long, value_name = "HOST:GUEST")]
    forward: Vec<Forward>,
    /// Memory of the machine
    #[arg(long, default_value = "512MiB", value_name = "SIZE")]
    memory: Bytes,
    /// Let the guest reach the host's network
    #[arg(long)]
    outside: bool,
    /// Succeed when a serial line has TEXT, then end the guest; repeat for several words of one line
    #[arg(long, value_name = "TEXT")]
    expect: Vec<String>,
    /// Seconds to wait for --expect or for the end [default: five quiet boots with --expect, none otherwise]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Let the guest write to the image itself
    #[arg(long)]
    persist: bool,
    #[arg(long, value_name = "FILE", help = "Write the result as JUnit XML")]
    junit: Option<PathBuf>,
    /// Keep the serial log in FILE
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Print one JSON line on standard output; the console goes to standard error
    #[arg(long)]
    json: bool,
    /// Connect the terminal to the serial console; Ctrl-] ends the guest
    #[arg(long, conflicts_with_all = ["expect", "json"])]
    interactive: bool,
}

/// How the run ended well.
enum End {
    Seen(Line),
    Ended(Verdict),
    Interrupted,
}

impl Boot {
    /// Boots and watches; the error says what the guest failed to do.
    pub fn run(self) -> Result<()> {
        // Before any thread starts, so that none of them takes the signal.
        let stop = stop_on_signals();
        let disk = if self.persist { Disk::persistent(&self.image) } else { Disk::overlay(&self.image) }?;
        let mut machine = Machine::new(&disk).firmware(self.firmware()?).memory(self.memory).tap(self.tap());
        for forward in &self.forward {
            machine = machine.forward_from(*forward);
        }
        if self.outside {
            machine = machine.reach_outside();
        }
        if let Some(log) = &self.log {
            machine = machine.log(log);
        }
        let started = Instant::now();
        let (result, guest) = match machine.boot() {
            Ok(mut guest) => {
                self.announce(&guest);
                (self.watch(&mut guest, &stop), Some(guest))
            }
            Err(error) => (Err(error), None),
        };
        self.report(&result, guest.as_ref(), started.elapsed())?;
        match (result?, guest) {
            (End::Ended(_), _) | (_, None) => Ok(()),
            (_, Some(guest)) => guest.quit(),
        }
    }

    fn firmware(&self) -> Result<Firmware> {
        self.firmware.firmware(self.keys.as_deref())
    }

    fn tap(&self) -> Tap {
        // A reader that went away (`| head`) must not end the guest: write errors are ignored.
        if self.interactive {
            return Tap::Bytes(Arc::new(|bytes| {
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(bytes).and_then(|()| out.flush());
            }));
        }
        let json = self.json;
        Tap::Lines(Arc::new(move |line| {
            let _ = if json { writeln!(std::io::stderr(), "{line}") } else { writeln!(std::io::stdout(), "{line}") };
        }))
    }

    fn announce(&self, guest: &Guest) {
        eprintln!("bulkhead-vm: {} firmware, {}", self.firmware, guest.accelerator());
        for forward in guest.forwards() {
            eprintln!("bulkhead-vm: 127.0.0.1:{} leads to port {} of the guest", forward.host, forward.guest);
        }
        if self.interactive {
            eprintln!("bulkhead-vm: Ctrl-] ends the guest");
        }
    }

    fn watch(&self, guest: &mut Guest, stop: &Arc<AtomicBool>) -> Result<End> {
        let words: Vec<&str> = self.expect.iter().map(String::as_str).collect();
        let pattern = Pattern::from(words.as_slice());
        let expecting = !words.is_empty();
        let limit = self.timeout.map(Duration::from_secs).or_else(|| expecting.then(|| guest.patience(1)));
        let _terminal = if self.interactive { connect_terminal(guest, stop)? } else { None };
        let started = Instant::now();
        loop {
            if expecting && let Some(line) = guest.console().peek(&pattern) {
                return Ok(End::Seen(line));
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(End::Interrupted);
            }
            if let Some(verdict) = guest.try_wait()? {
                if expecting && let Some(line) = guest.console().peek(&pattern) {
                    return Ok(End::Seen(line));
                }
                return match verdict {
                    verdict if expecting => {
                        Err(guest.failure(format!("the guest ended ({verdict}) without a line with {pattern}")))
                    }
                    Verdict::Status(status) => Err(guest.failure(format!("the emulator failed: {status}"))),
                    verdict => Ok(End::Ended(verdict)),
                };
            }
            if let Some(limit) = limit.filter(|limit| started.elapsed() >= *limit) {
                let missed = if expecting { format!("no line with {pattern}") } else { "the guest did not end".into() };
                return Err(guest.failure(format!("{missed} within {} s", limit.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn report(&self, result: &Result<End>, guest: Option<&Guest>, time: Duration) -> Result<()> {
        if let Some(path) = &self.junit {
            let mut report = Report::new("bulkhead-vm boot");
            let console = guest.map(|guest| guest.console().tail(usize::MAX).join("\n")).unwrap_or_default();
            let outcome = match result {
                Ok(_) => Outcome::Passed,
                Err(error) => Outcome::Failed(error.chain()),
            };
            report.add(format!("{} on {}", self.image.display(), self.firmware), time, outcome, console);
            report.write(path)?;
        }
        if self.json {
            let (kind, detail) = match result {
                Ok(End::Seen(line)) => ("seen", line.text.clone()),
                Ok(End::Ended(verdict)) => ("ended", verdict.to_string()),
                Ok(End::Interrupted) => ("interrupted", String::new()),
                Err(error) => ("failed", error.chain().lines().next().unwrap_or("").to_owned()),
            };
            println!(
                "{}",
                json!({
                    "result": kind, "detail": detail, "seconds": time.as_secs_f64(), "firmware": self.firmware.to_string(),
                    "accelerator": guest.map(|guest| guest.accelerator().to_string()),
                    "resets": guest.map_or(0, Guest::resets),
                })
            );
        }
        Ok(())
    }
}

/// Restores the terminal when dropped.
struct RawTerminal(Termios);

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// Passes what is typed to the guest; Ctrl-] stops the run, the end of the input only ends the typing.
fn connect_terminal(guest: &mut Guest, stop: &Arc<AtomicBool>) -> Result<Option<RawTerminal>> {
    let terminal = if std::io::stdin().is_terminal() {
        let failed = |error: nix::Error| Error::Environment(format!("cannot set up the terminal: {error}"));
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &raw).map_err(failed)?;
        Some(RawTerminal(before))
    } else {
        None
    };
    if let Some(mut serial) = guest.take_input() {
        let stop = Arc::clone(stop);
        std::thread::spawn(move || {
            let mut buffer = [0; 256];
            while let Ok(count @ 1..) = std::io::stdin().read(&mut buffer) {
                let typed = &buffer[..count];
                let end = typed.iter().position(|byte| *byte == CTRL_BRACKET);
                if end.is_some() {
                    stop.store(true, Ordering::Relaxed);
                }
                let passed = serial.write_all(&typed[..end.unwrap_or(count)]).and_then(|()| serial.flush());
                if passed.is_err() || end.is_some() {
                    break;
                }
            }
        });
    }
    Ok(terminal)
}

/// A flag that interrupt, termination and hang-up set, so that the guest is ended in order and never left behind.
pub fn stop_on_signals() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    if signals.thread_block().is_ok() {
        let flag = Arc::clone(&stop);
        std::thread::spawn(move || {
            if signals.wait().is_ok() {
                flag.store(true, Ordering::Relaxed);
            }
        });
    }
    stop
}

const CTRL_BRACKET: u8 = 0x1d;
