//! Whether this machine can really run guests under KVM, found by running one.
//!
//! `/dev/kvm` being there proves nothing: nested virtualisation that is refused, or a hundred times slower than emulation, looks
//! the same until a guest runs. The probe boots a 512-byte boot sector through the real BIOS and believes only its exit code.

use std::fmt;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::tool::Tool;
use crate::{Error, Result};

/// How the guest's instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// By the processor.
    Kvm,
    /// By translation: works everywhere.
    Tcg,
}

impl Accelerator {
    /// The accelerator for this process: the environment variable `BULKHEAD_ACCEL` (`kvm` or `tcg`) if set, else what the probe
    /// found. Probes once per process.
    pub fn choose() -> Result<Self> {
        static CHOICE: OnceLock<Accelerator> = OnceLock::new();
        match std::env::var("BULKHEAD_ACCEL") {
            Ok(name) => Self::named(&name),
            Err(_) => Ok(*CHOICE.get_or_init(|| if probe(Self::Kvm).works() { Self::Kvm } else { Self::Tcg })),
        }
    }

    fn named(name: &str) -> Result<Self> {
        match name {
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            _ => Err(Error::Input(format!("BULKHEAD_ACCEL is \"{name}\"; set it to \"kvm\" or \"tcg\", or unset it"))),
        }
    }

    /// How long to wait for something that takes `quiet` on a quiet machine under translation: five times as long, twice under
    /// KVM; never below 10 s. `BULKHEAD_PATIENCE` (a number) multiplies it once more on slow machines.
    pub fn patience(self, quiet: Duration) -> Duration {
        let extra: u32 = std::env::var("BULKHEAD_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        let factor = match self {
            Self::Kvm => 2,
            Self::Tcg => 5,
        };
        (quiet * factor).max(Duration::from_secs(10)) * extra.max(1)
    }

    /// The arguments that select it, and the processor: the host's under KVM; under translation one that spares the emulator
    /// the costly newer vector instructions (boot-chain measurements: 0.3-0.5 s per boot).
    pub(crate) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg", "-cpu", "Nehalem"],
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// What the probe saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The guest ran and said so, within this time.
    Ran(Duration),
    /// The emulator ended otherwise; its last message.
    Failed(String),
    /// The guest did not finish within the limit: too slow to be of use, or stuck.
    TooSlow,
}

impl Probe {
    /// True when the guest ran in time.
    pub fn works(&self) -> bool {
        matches!(self, Self::Ran(_))
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ran(time) => write!(f, "a guest ran in {} ms", time.as_millis()),
            Self::Failed(message) => write!(f, "the emulator ended: {message}"),
            Self::TooSlow => write!(f, "a boot sector did not run within {} s", PROBE_LIMIT.as_secs()),
        }
    }
}

/// Boots the probe's boot sector. Takes 0.1 s where it works and never more than [`PROBE_LIMIT`] plus the emulator's end.
pub fn probe(accelerator: Accelerator) -> Probe {
    match try_probe(accelerator) {
        Ok(probe) => probe,
        Err(error) => Probe::Failed(error.chain()),
    }
}

fn try_probe(accelerator: Accelerator) -> Result<Probe> {
    let mut image = tempfile::NamedTempFile::new().map_err(Error::io("create a file in", std::env::temp_dir()))?;
    image.write_all(&boot_sector()).map_err(Error::io("write", image.path()))?;
    let mut child = Tool::Qemu
        .command()
        .args(accelerator.arguments())
        .args(["-machine", "q35", "-m", "64", "-nodefaults", "-display", "none", "-vga", "none", "-no-reboot"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-device", "virtio-blk-pci,drive=probe"])
        .arg("-drive")
        .arg(format!(
            "if=none,id=probe,format=raw,snapshot=on,file={}",
            image.path().display().to_string().replace(',', ",,")
        ))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Tool::Qemu.not_started(&error))?;
    let started = Instant::now();
    while started.elapsed() < PROBE_LIMIT {
        if let Ok(Some(status)) = child.try_wait() {
            let mut messages = String::new();
            let _ = child.stderr.take().map(|mut pipe| std::io::Read::read_to_string(&mut pipe, &mut messages));
            return Ok(judge(status, &messages, started.elapsed()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    Ok(Probe::TooSlow)
}

fn judge(status: ExitStatus, messages: &str, time: Duration) -> Probe {
    if status.code() == Some(SUCCESS_STATUS) {
        return Probe::Ran(time);
    }
    let last = messages.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    match status.signal() {
        Some(signal) => Probe::Failed(format!("{last} (signal {signal})")),
        None => Probe::Failed(last.to_owned()),
    }
}

/// One MiB (the BIOS ignores smaller disks) whose first sector writes [`SUCCESS_CODE`] to QEMU's exit port.
fn boot_sector() -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    disk[..PROGRAM.len()].copy_from_slice(&PROGRAM);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

const SUCCESS_CODE: u8 = 0x2a;
/// `isa-debug-exit` ends the emulator with `code * 2 + 1`.
const SUCCESS_STATUS: i32 = 0x55;
const PROGRAM: [u8; 7] = [
    0xb0,
    SUCCESS_CODE, // mov al, code
    0xe6,
    0xf4, // out 0xf4, al
    0xf4, // hlt
    0xeb,
    0xfd, // jmp to hlt
];
/// A working KVM needs a tenth of a second, broken nested ones were seen to take five.
pub const PROBE_LIMIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_sees_a_guest_run_under_translation() {
        let probe = probe(Accelerator::Tcg);
        assert!(probe.works(), "{probe}");
    }

    #[test]
    fn the_probe_gives_up_in_time_when_kvm_is_broken() {
        let started = Instant::now();
        let probe = probe(Accelerator::Kvm);
        println!("KVM here: {probe}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }

    #[test]
    fn only_the_guests_own_exit_code_counts() {
        let ran = |code| judge(ExitStatus::from_raw(code), "one\nassertion failed\n\n", Duration::ZERO);
        assert!(ran(SUCCESS_STATUS << 8).works());
        assert_eq!(ran(1 << 8), Probe::Failed("assertion failed".into()));
        assert_eq!(ran(0), Probe::Failed("assertion failed".into()));
        assert_eq!(ran(6), Probe::Failed("assertion failed (signal 6)".into()));
    }

    #[test]
    fn the_environment_overrides_and_refuses_other_words() {
        assert_eq!(Accelerator::named("kvm").unwrap(), Accelerator::Kvm);
        assert!(Accelerator::named("xen").unwrap_err().to_string().contains("\"xen\""));
    }

    #[test]
    fn patience_scales_with_the_accelerator() {
        let quiet = Duration::from_secs(8);
        assert!(Accelerator::Tcg.patience(quiet) >= quiet * 5);
        assert!(Accelerator::Kvm.patience(quiet) < Accelerator::Tcg.patience(quiet));
        assert!(Accelerator::Tcg.patience(Duration::ZERO) >= Duration::from_secs(10));
    }
}
