//! The description of a virtual machine, and its start.
//!
//! A machine is a disk, a firmware and a few choices; [`Machine::boot`] turns it into emulator arguments (a pure step) and a
//! running [`Guest`]. The machine keeps its firmware variables from boot to boot, the disk keeps what was written to it. The guest
//! reaches nothing outside unless it is allowed to.

use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use formats::Bytes;
use serde_json::Value;
use tempfile::TempDir;

use crate::clock::Clock;
use crate::console::{Console, Tap};
use crate::disk::Disk;
use crate::guest::{Guest, Parts};
use crate::log::SerialLog;
use crate::monitor::Monitor;
use crate::network::{Card, Forward};
use crate::tool::Tool;
use crate::{Accelerator, Error, Firmware, Result};

/// How the disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bus {
    /// virtio-blk: `/dev/vda`.
    #[default]
    Virtio,
    /// `NVMe`: `/dev/nvme0n1`.
    Nvme,
    /// AHCI: `/dev/sda`.
    Sata,
    /// A stick on xHCI: `/dev/sda`.
    Usb,
}

/// A virtual machine that can be booted, again and again.
#[derive(Debug, Clone)]
pub struct Machine {
    disk: Option<Disk>,
    /// Further disks, in the order they are attached.
    drives: Vec<(Disk, Bus)>,
    firmware: Firmware,
    memory: Bytes,
    bus: Bus,
    forwards: Vec<Forward>,
    card: Option<Card>,
    clock: Option<Clock>,
    reboots: bool,
    accelerator: Option<Accelerator>,
    extra: Vec<String>,
    log: Option<PathBuf>,
    tap: Option<Tap>,
    /// The firmware's variables, from the first boot on.
    nvram: Option<(Arc<TempDir>, PathBuf)>,
}

impl Machine {
    /// A BIOS machine with 512 MiB that starts from `disk`.
    pub fn new(disk: &Disk) -> Self {
        Self { disk: Some(disk.clone()), ..Self::diskless() }
    }

    /// The same without a disk: for guests given with [`Self::extra`], such as `-kernel`.
    pub fn diskless() -> Self {
        Self {
            disk: None,
            drives: Vec::new(),
            firmware: Firmware::Bios,
            memory: Bytes::mib(512),
            bus: Bus::default(),
            forwards: Vec::new(),
            card: Some(Card::default()),
            clock: None,
            reboots: true,
            accelerator: None,
            extra: Vec::new(),
            log: None,
            tap: None,
            nvram: None,
        }
    }

    /// Chooses the firmware; its variables start fresh.
    #[must_use]
    pub fn firmware(mut self, firmware: Firmware) -> Self {
        self.firmware = firmware;
        self.nvram = None;
        self
    }

    /// Sets the memory (whole MiB are used).
    #[must_use]
    pub fn memory(mut self, memory: Bytes) -> Self {
        self.memory = memory;
        self
    }

    /// Attaches the disk to another bus.
    #[must_use]
    pub fn bus(mut self, bus: Bus) -> Self {
        self.bus = bus;
        self
    }

    /// Attaches a further disk, such as a stick. Nothing starts from it. [`Bus::Usb`] needs a guest with USB drivers.
    #[must_use]
    pub fn drive(mut self, disk: &Disk, bus: Bus) -> Self {
        self.drives.push((disk.clone(), bus));
        self
    }

    /// The same machine, firmware variables included, with the disks of another one.
    pub(crate) fn disks_of(mut self, other: &Self) -> Self {
        (self.disk, self.bus, self.drives) = (other.disk.clone(), other.bus, other.drives.clone());
        self
    }

    /// Forwards a free host port to the guest's TCP `port`; [`Guest::port`] tells which.
    #[must_use]
    pub fn forward(self, port: u16) -> Self {
        self.forward_from(Forward { host: 0, guest: port })
    }

    /// Forwards a given host port.
    #[must_use]
    pub fn forward_from(mut self, forward: Forward) -> Self {
        self.forwards.push(forward);
        self
    }

    /// Makes a reset end the guest with [`crate::Verdict::Reset`] instead of starting it again.
    #[must_use]
    pub fn no_reboot(mut self) -> Self {
        self.reboots = false;
        self
    }

    /// Lets the guest reach the host's network; without this only forwarded ports work.
    #[must_use]
    pub fn reach_outside(mut self) -> Self {
        self.card.get_or_insert_default().outside = true;
        self
    }

    /// Takes the network card out: the guest has no network at all, and forwarded ports lead nowhere.
    #[must_use]
    pub fn no_network(mut self) -> Self {
        self.card = None;
        self
    }

    /// Answers the guest at `address` (such as `10.0.2.100:80`): the emulator starts `command` for each connection, with the
    /// connection as its standard input and output.
    #[must_use]
    pub fn answer(mut self, address: &str, command: &[String]) -> Self {
        self.card.get_or_insert_default().answer(address, command);
        self
    }

    /// What the clock says at the next boots; without it, the right time.
    #[must_use]
    pub fn clock(mut self, clock: Option<Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the accelerator instead of probing.
    #[must_use]
    pub fn accelerator(mut self, accelerator: Accelerator) -> Self {
        self.accelerator = Some(accelerator);
        self
    }

    /// Writes a text into the OEM strings of the firmware's table (SMBIOS type 11), where whoever runs there finds it.
    #[must_use]
    pub fn oem_string(self, text: &str) -> Self {
        // The emulator separates values by commas, and takes two for one.
        self.extra(["-smbios".to_owned(), format!("type=11,value={}", text.replace(',', ",,"))])
    }

    /// Adds emulator arguments, after all others.
    #[must_use]
    pub fn extra<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.extra.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Keeps the serial log in this file, whatever happens. Each boot overwrites it.
    #[must_use]
    pub fn log(mut self, file: impl Into<PathBuf>) -> Self {
        self.log = Some(file.into());
        self
    }

    /// Shows the console to someone while it is read.
    #[must_use]
    pub fn tap(mut self, tap: Tap) -> Self {
        self.tap = Some(tap);
        self
    }

    /// Starts the guest. Chosen (not given) host ports that were taken in the meantime are chosen anew.
    pub fn boot(&mut self) -> Result<Guest> {
        if self.nvram.is_none() {
            let directory = scratch()?;
            if let Some(path) = self.firmware.make_nvram(directory.path())? {
                self.nvram = Some((Arc::new(directory), path));
            }
        }
        let chosen = self.forwards.iter().any(|forward| forward.host == 0);
        let mut tries = if chosen { PORT_TRIES } else { 1 };
        loop {
            tries -= 1;
            match self.start() {
                Err(Error::Guest { problem, .. }) if tries > 0 && problem.contains(PORT_TAKEN) => {}
                result => return result,
            }
        }
    }

    fn start(&self) -> Result<Guest> {
        let accelerator = self.accelerator.map_or_else(Accelerator::choose, Ok)?;
        let forwards = self.forwards.iter().map(|forward| forward.resolve()).collect::<Result<Vec<_>>>()?;
        let mut leases = Vec::new();
        let mut nodes = Vec::new();
        for (number, (disk, _)) in self.disks() {
            let (lease, described) = disk.lease(&node_name(number))?;
            leases.push(lease);
            nodes.extend(described);
        }
        let directory = scratch()?;
        let socket = directory.path().join("qmp");
        let listener = UnixListener::bind(&socket).map_err(Error::io("listen on", &socket))?;
        let log = SerialLog::create(self.log.as_deref())?;
        let console = Console::create(log.path(), self.tap.clone())?;
        let mut child = Tool::Qemu
            .command()
            .args(self.arguments(accelerator, &forwards, &nodes, &socket)?)
            // its own process group: an interrupt on the terminal reaches only us, and we end the guest in order
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Tool::Qemu.not_started(&error))?;
        if let (Some(serial), Some(messages)) = (child.stdout.take(), child.stderr.take()) {
            console.read_serial(serial);
            console.read_messages(messages);
        }
        let firmware = self.firmware.clone();
        let monitor = match connect(&listener, &mut child) {
            Ok(monitor) => monitor,
            Err(problem) => return Err(not_started(&mut child, &console, log, &problem)),
        };
        Ok(Guest::new(Parts { child, monitor, console, log, forwards, firmware, accelerator, leases, directory }))
    }

    /// Every disk with its number and bus: 0 is the one the machine starts from.
    fn disks(&self) -> impl Iterator<Item = (usize, (&Disk, Bus))> {
        let first = self.disk.iter().map(|disk| (0, (disk, self.bus)));
        first.chain(self.drives.iter().enumerate().map(|(index, (disk, bus))| (index + 1, (disk, *bus))))
    }

    /// The emulator's arguments.
    fn arguments(
        &self,
        accelerator: Accelerator,
        forwards: &[Forward],
        nodes: &[Value],
        monitor: &Path,
    ) -> Result<Vec<String>> {
        let mut arguments: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
        add(&accelerator.arguments());
        // one processor: less work and less spread than two under translation
        add(&["-machine", self.firmware.machine(), "-smp", "1", "-m", &(self.memory.0 >> 20).to_string()]);
        add(&["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-boot", "menu=off"]);
        add(&["-serial", "stdio", "-device", "virtio-rng-pci"]);
        let socket = monitor.display().to_string().replace(',', ",,");
        add(&["-chardev", &format!("socket,id=qmp,path={socket}"), "-mon", "chardev=qmp,mode=control"]);
        if !self.reboots {
            add(&["-no-reboot"]);
        }
        arguments.extend(self.clock.map(Clock::arguments).unwrap_or_default());
        arguments.extend(self.card.as_ref().map(|card| card.arguments(forwards)).unwrap_or_default());
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
        for node in nodes {
            add(&["-blockdev", &node.to_string()]);
        }
        let disks: Vec<(usize, Bus)> = self.disks().map(|(number, (_, bus))| (number, bus)).collect();
        if disks.iter().any(|(_, bus)| *bus == Bus::Usb) {
            add(&["-device", "qemu-xhci,id=xhci"]);
        }
        for (number, bus) in disks {
            add(&["-device", &bus.device(number)]);
        }
        arguments.extend(self.firmware.arguments(self.nvram.as_ref().map(|(_, path)| path.as_path()))?);
        arguments.extend(self.extra.iter().cloned());
        Ok(arguments)
    }
}

impl Bus {
    /// The `-device` value for the disk of this number. The machine starts from disk 0.
    fn device(self, number: usize) -> String {
        let driver = match self {
            Self::Virtio => "virtio-blk-pci",
            Self::Nvme => "nvme",
            Self::Sata => "ide-hd",
            Self::Usb => "usb-storage,bus=xhci.0",
        };
        let serial = if self == Self::Nvme { format!(",serial=bulkhead{number}") } else { String::new() };
        let boot = if number == 0 { ",bootindex=1" } else { "" };
        format!("{driver},id={},drive={}{serial}{boot}", device_id(number), node_name(number))
    }
}

/// The emulator's name for the device of this disk.
pub(crate) fn device_id(number: usize) -> String {
    format!("{}-device", node_name(number))
}

fn node_name(number: usize) -> String {
    format!("disk{number}")
}

/// Waits for the emulator to connect and to be ready: then its whole configuration was accepted.
fn connect(listener: &UnixListener, child: &mut Child) -> std::result::Result<Monitor, String> {
    let text = |error: std::io::Error| format!("monitor connection: {error}");
    listener.set_nonblocking(true).map_err(text)?;
    let deadline = Instant::now() + START_LIMIT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).map_err(text)?;
                return Monitor::connect(stream, START_LIMIT);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(text(error)),
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("it ended with {status}"));
        }
        if Instant::now() > deadline {
            return Err(format!("it did not connect its monitor within {} s", START_LIMIT.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The error for an emulator that refused its configuration: its own words say why.
fn not_started(child: &mut Child, console: &Console, mut log: SerialLog, problem: &str) -> Error {
    let _ = child.kill();
    let _ = child.wait();
    console.search(&[], Duration::from_secs(5)); // until both pipes are closed
    let said = console.lines().into_iter().rev().find(|line| line.text.starts_with("qemu: "));
    let reason = said.map_or_else(|| problem.to_owned(), |line| line.text.trim_start_matches("qemu: ").to_owned());
    log.keep();
    Error::Guest {
        problem: format!("the emulator did not start: {reason}"),
        tail: console.tail(crate::guest::TAIL),
        log: log.path().to_owned(),
    }
}

fn scratch() -> Result<TempDir> {
    let parent = std::env::temp_dir();
    tempfile::Builder::new().prefix("bulkhead-vm-").tempdir().map_err(Error::io("create a directory in", parent))
}

/// What QEMU says when a forwarded port is in use.
const PORT_TAKEN: &str = "Could not set up host forwarding rule";
const PORT_TRIES: u32 = 5;
/// The emulator is up within 0.2 s; a loaded machine may need longer.
const START_LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(machine: &Machine) -> String {
        let forwards = machine.forwards.clone();
        machine.arguments(Accelerator::Tcg, &forwards, &[], Path::new("/tmp/q")).unwrap().join(" ")
    }

    #[test]
    fn a_machine_reaches_nothing_outside_unless_allowed() {
        let machine = Machine::diskless().forward_from(Forward { host: 8080, guest: 80 });
        assert!(arguments(&machine).contains("restrict=on,hostfwd=tcp:127.0.0.1:8080-:80"));
        assert!(arguments(&machine.clone().reach_outside()).contains("restrict=off"));
        assert!(!arguments(&machine.no_network()).contains("net0"), "no card at all");
    }

    #[test]
    fn a_program_can_answer_the_guest_and_the_clock_can_be_wrong() {
        let command = ["/a b/it's".to_owned(), "x,y".to_owned()];
        let machine = Machine::diskless().answer("10.0.2.100:80", &command).clock("-1 day".parse().ok());
        let text = arguments(&machine);
        assert!(text.contains(r",guestfwd=tcp:10.0.2.100:80-cmd:'/a b/it'\''s' 'x,,y' -device"), "{text}");
        assert!(text.contains("-rtc base=20"), "{text}");
        assert!(!arguments(&machine.clock(None)).contains("-rtc"));
    }

    #[test]
    fn choices_become_arguments_and_extras_come_last() {
        let machine = Machine::diskless().memory(Bytes::mib(256)).no_reboot().extra(["-kernel", "vmlinuz"]);
        let text = arguments(&machine);
        assert!(text.contains("-m 256") && text.contains("-no-reboot") && text.ends_with("-kernel vmlinuz"), "{text}");
        assert!(!arguments(&Machine::diskless()).contains("-no-reboot"));
    }
}
