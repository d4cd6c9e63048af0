//! A running guest: expectations on its console, its power button, its power cord and its end.
//!
//! Guarantees: the emulator never outlives the [`Guest`]; every failure shows the last serial lines and where the whole log is.

use std::io::Write;
use std::process::{Child, ChildStdin, ExitStatus};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::console::{Console, Found, Line};
use crate::disk::Lease;
use crate::log::SerialLog;
use crate::machine::device_id;
use crate::monitor::Monitor;
use crate::network::{Forward, Response, http_get};
use crate::pattern::Pattern;
use crate::{Accelerator, Error, Firmware, Result};

/// A started machine. Dropping it cuts the power.
#[derive(Debug)]
pub struct Guest {
    parts: Parts,
    serial: Option<ChildStdin>,
    ended: Option<ExitStatus>,
}

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The guest switched itself off.
    PoweredOff,
    /// The guest reset itself, on a machine that does not reboot.
    Reset,
    /// Somebody ended the emulator.
    Stopped,
    /// The emulator itself failed, or ended with this status (a guest may choose one through `isa-debug-exit`).
    Status(String),
}

/// Everything the start hands over.
#[derive(Debug)]
pub(crate) struct Parts {
    pub child: Child,
    pub monitor: Monitor,
    pub console: Console,
    pub log: SerialLog,
    pub forwards: Vec<Forward>,
    pub firmware: Firmware,
    pub accelerator: Accelerator,
    /// Given back after the emulator's end: fields are dropped in order.
    #[expect(dead_code, reason = "held for its drop")]
    pub leases: Vec<Lease>,
    #[expect(dead_code, reason = "held for its drop")]
    pub directory: TempDir,
}

impl Guest {
    pub(crate) fn new(mut parts: Parts) -> Self {
        let serial = parts.child.stdin.take();
        Self { parts, serial, ended: None }
    }

    /// Waits until the guest prints a line with all words of `pattern`. What was printed up to it is consumed.
    pub fn expect(&mut self, pattern: impl Into<Pattern>, timeout: Duration) -> Result<Line> {
        self.expect_any(&[pattern.into()], timeout).map(|(_, line)| line)
    }

    /// Waits for the first line with one of `patterns`; also tells which.
    pub fn expect_any(&mut self, patterns: &[Pattern], timeout: Duration) -> Result<(usize, Line)> {
        let wanted = || patterns.iter().map(Pattern::to_string).collect::<Vec<_>>().join(" or ");
        match self.parts.console.search(patterns, timeout) {
            Found::Line(index, line) => Ok((index, line)),
            Found::TimedOut => Err(self.failure(format!("no line with {} within {} s", wanted(), timeout.as_secs()))),
            Found::Closed => {
                let verdict = self.wait(Duration::from_secs(10))?;
                Err(self.failure(format!("the guest ended ({verdict}) without a line with {}", wanted())))
            }
        }
    }

    /// Waits for `wanted` and fails at once when a line with `forbidden` comes before it.
    pub fn expect_before(
        &mut self,
        wanted: impl Into<Pattern>,
        forbidden: impl Into<Pattern>,
        timeout: Duration,
    ) -> Result<Line> {
        let patterns = [wanted.into(), forbidden.into()];
        match self.expect_any(&patterns, timeout)? {
            (0, line) => Ok(line),
            (_, line) => {
                let [wanted, forbidden] = patterns;
                Err(self.failure(format!("a line with {forbidden} came before {wanted}: \"{}\"", line.text)))
            }
        }
    }

    /// Fails when a line with `pattern` is there already or comes within `during`. Consumes nothing unless it fails.
    pub fn expect_not(&mut self, pattern: impl Into<Pattern>, during: Duration) -> Result<()> {
        let pattern = pattern.into();
        let deadline = Instant::now() + during;
        loop {
            if let Some(line) = self.parts.console.peek(&pattern) {
                return Err(self.failure(format!("a line with {pattern} must not come, but: \"{}\"", line.text)));
            }
            if Instant::now() >= deadline {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Types `text` on the serial console; end it with `\n` for a line.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let written = match &mut self.serial {
            Some(serial) => serial.write_all(text.as_bytes()).and_then(|()| serial.flush()),
            None => Err(std::io::Error::other("the console's input was taken")),
        };
        written.map_err(|error| self.failure(format!("cannot type \"{}\": {error}", text.escape_debug())))
    }

    /// The console's input, for a program that passes a terminal on; [`Self::send`] fails from then on.
    pub fn take_input(&mut self) -> Option<impl Write + Send + use<>> {
        self.serial.take()
    }

    /// The serial console.
    pub fn console(&self) -> &Console {
        &self.parts.console
    }

    /// The host port that leads to the guest's TCP `port`.
    pub fn port(&self, port: u16) -> Result<u16> {
        self.parts.forwards.iter().find(|forward| forward.guest == port).map(|forward| forward.host).ok_or_else(|| {
            Error::Input(format!("the guest's port {port} is not forwarded; add .forward({port}) to the machine"))
        })
    }

    /// Asks the guest's web server on its `port` for `path` until it answers.
    pub fn http_get(&mut self, port: u16, path: &str, timeout: Duration) -> Result<Response> {
        let host = self.port(port)?;
        http_get(host, path, timeout).map_err(|problem| self.failure(problem))
    }

    /// Every forwarded port, with the host ports chosen.
    pub fn forwards(&self) -> &[Forward] {
        &self.parts.forwards
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.parts.console.elapsed()
    }

    /// What executes the guest.
    pub fn accelerator(&self) -> Accelerator {
        self.parts.accelerator
    }

    /// How long `boots` whole boots may take here: five times the quiet figure, scaled by the accelerator.
    pub fn patience(&self, boots: u32) -> Duration {
        self.parts.accelerator.patience(self.parts.firmware.quiet_boot() * boots)
    }

    /// How often the machine was reset since its start, by whomever: the boot counter is this plus one.
    pub fn resets(&self) -> u32 {
        self.parts.monitor.resets()
    }

    /// Presses the power button and waits until the guest has switched itself off.
    pub fn shutdown(mut self, timeout: Duration) -> Result<Verdict> {
        self.command("system_powerdown")?;
        match self.wait(timeout)? {
            verdict @ Verdict::PoweredOff => Ok(verdict),
            verdict => Err(self.failure(format!("the guest did not switch itself off; it ended: {verdict}"))),
        }
    }

    /// Cuts the power: kills the emulator at once. What the guest flushed to its disk is there, the rest may be lost.
    pub fn power_cut(mut self) -> Result<()> {
        self.end();
        if self.ended.is_some() { Ok(()) } else { Err(self.failure("the emulator cannot be killed".to_owned())) }
    }

    /// Presses the reset button.
    pub fn reset(&mut self) -> Result<()> {
        self.command("system_reset")
    }

    /// Stops answering the guest's requests to a drive (0 is the disk, then the drives in the order they were added): they wait, as
    /// with a controller that hangs. A reset of the machine lets those that wait through; [`Self::thaw`] the later ones too.
    pub fn freeze(&mut self, drive: usize) -> Result<()> {
        self.throttle(drive, 1)
    }

    /// Lets a drive answer again.
    pub fn thaw(&mut self, drive: usize) -> Result<()> {
        self.throttle(drive, 0)
    }

    /// One byte per second is as good as none; zero means no limit (QMP `block_set_io_throttle`).
    fn throttle(&mut self, drive: usize, bytes_per_second: u64) -> Result<()> {
        let mut answer = Err(String::new());
        // The block device of virtio is a part of its PCI device.
        for part in ["/virtio-backend", ""] {
            let limits = json!({
                "id": format!("/machine/peripheral/{}{part}", device_id(drive)), "bps": bytes_per_second,
                "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0,
            });
            answer = self.parts.monitor.execute_with("block_set_io_throttle", &limits, MONITOR_PATIENCE);
            if answer.is_ok() {
                break;
            }
        }
        answer.map(drop).map_err(|problem| self.failure(problem))
    }

    /// Ends the emulator in order: everything written is kept, the guest is not asked.
    pub fn quit(mut self) -> Result<()> {
        let asked = self.command("quit");
        // it may have ended by itself in the meantime
        let ended = self.wait(Duration::from_secs(if asked.is_ok() { 30 } else { 2 }));
        ended.and(Ok(())).map_err(|error| asked.err().unwrap_or(error))
    }

    /// Waits until the guest ends by itself, and says how.
    pub fn wait(&mut self, timeout: Duration) -> Result<Verdict> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(verdict) = self.try_wait()? {
                return Ok(verdict);
            }
            if Instant::now() >= deadline {
                return Err(self.failure(format!("the guest did not end within {} s", timeout.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How the guest ended, if it has.
    pub fn try_wait(&mut self) -> Result<Option<Verdict>> {
        if self.ended.is_none() {
            let child = &mut self.parts.child;
            self.ended =
                child.try_wait().map_err(|error| Error::Environment(format!("cannot wait for QEMU: {error}")))?;
            if self.ended.is_some() {
                self.parts.console.search(&[], Duration::from_secs(5)); // its last words are read
            }
        }
        let Some(status) = self.ended else { return Ok(None) };
        let reason = self.parts.monitor.shutdown_reason();
        Ok(Some(match reason.as_deref() {
            Some("guest-shutdown") if status.success() => Verdict::PoweredOff,
            Some("guest-reset") if status.success() => Verdict::Reset,
            _ if status.success() => Verdict::Stopped,
            _ => Verdict::Status(status.to_string()),
        }))
    }

    /// An error about this guest, with the last serial lines; its log is kept.
    pub fn failure(&mut self, problem: String) -> Error {
        self.parts.log.keep();
        Error::Guest { problem, tail: self.parts.console.tail(TAIL), log: self.parts.log.path().to_owned() }
    }

    fn command(&mut self, command: &str) -> Result<()> {
        let answer = self.parts.monitor.execute(command, MONITOR_PATIENCE);
        answer.map(drop).map_err(|problem| self.failure(problem))
    }

    fn end(&mut self) {
        if self.ended.is_none() {
            let _ = self.parts.child.kill();
            self.ended = self.parts.child.wait().ok();
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.end();
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PoweredOff => f.write_str("powered off"),
            Self::Reset => f.write_str("reset"),
            Self::Stopped => f.write_str("emulator stopped"),
            Self::Status(status) => f.write_str(status),
        }
    }
}

/// How long the emulator may take to answer.
const MONITOR_PATIENCE: Duration = Duration::from_secs(30);
/// Serial lines shown with a failure.
pub(crate) const TAIL: usize = 40;
