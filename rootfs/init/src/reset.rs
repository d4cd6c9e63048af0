//! A factory reset at this start: the real partition for the algorithm of the crate `reset`, and what follows from how it ends.
//!
//! Nothing here stops a start. A reset that cannot be finished (the disk does not take it) keeps the data partition unmounted for this
//! start and its record for the next one, which tries again: the owner wanted the contents gone, and a disk that failed once may work
//! after a restart. The machine itself comes up, says so, and takes the order back on request.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;

use ::reset::{Place, Step, carry_out};
use appliance::direct::{Access, Direct};
use appliance::sys::block;
use appliance::sys::watchdog::Watchdog;
use appliance::{Doing, Error, Partition, Result};
use formats::reset_record::{self, ResetRecord, Then};
use formats::state_volume::RESET_OFFSET;

use crate::console::say;
use crate::disk::Disk;
use crate::state::patiently;
use crate::{failure, machine};

/// Carries out the reset that was asked for, if any. What is odd but no reason not to mount the data partition is returned; an error is
/// such a reason. Does not return when the machine is to be turned off.
pub fn before_mount(disk: &Disk, data: &Partition, watchdogs: &[Watchdog]) -> Result<Option<String>> {
    let record = match asked_for(disk) {
        Ok(None) => return Ok(None),
        Ok(Some(record)) => record,
        // Destroys nothing: whatever is there, it is no order that can be believed.
        Err(problem) => {
            return Ok(Some(format!("no factory reset: {problem}; \"update-agent factory-reset --cancel\" clears it")));
        }
    };
    say(&format!("factory reset, asked for by {}", record.by));
    let finished = Device::open(disk, data, watchdogs)
        .map_err(|problem| problem.to_string())
        .and_then(|place| carry_out(&place, &record).map_err(|failure| failure.to_string()));
    let done = finished.map_err(|problem| {
        // Nor may the log of a failure later in this start go there.
        failure::note(|known| known.data_device = None);
        Error::Refused(format!(
            "the factory reset is not finished: {problem}; the next start tries again, \
             \"update-agent factory-reset --cancel\" takes the order back"
        ))
    })?;
    say(if done.formatted { "factory reset: done" } else { "factory reset: was done at an earlier start" });
    if let Some(failure) = done.not_cleared {
        // Off now would mean off at every start. The data partition is new and will not be destroyed again for this record.
        return Ok(Some(format!(
            "the factory reset is done, but {failure}; clear it with \"update-agent factory-reset --cancel\""
        )));
    }
    if record.then == Then::PowerOff {
        say("factory reset: turning off");
        machine::power_off();
    }
    Ok(None)
}

/// The order, read without touching the data partition. A disk without a state partition has none.
fn asked_for(disk: &Disk) -> io::Result<Option<ResetRecord>> {
    let Ok(state) = disk.partition("state") else { return Ok(None) };
    let mut sector = [0; reset_record::SIZE];
    patiently(|| Direct::open(&state.node, Access::Read)?.read(RESET_OFFSET, &mut sector))?;
    ResetRecord::parse(&sector).map_err(io::Error::other)
}

/// The data partition, the state partition and the watchdogs of this machine.
struct Device<'a> {
    /// Past the page cache; nobody else has it.
    data: Direct,
    /// The same, for ioctls.
    node: File,
    size: u64,
    state: Direct,
    watchdogs: &'a [Watchdog],
    /// Step and tenth that were told last.
    told: Cell<Option<(Step, u64)>>,
}

impl<'a> Device<'a> {
    fn open(disk: &Disk, data: &Partition, watchdogs: &'a [Watchdog]) -> Result<Self> {
        let state = disk.partition("state")?.node;
        let opening = |path: &PathBuf| format!("open {path:?}");
        Ok(Self {
            data: Direct::open(&data.node, Access::ExclusiveWrite).doing(|| opening(&data.node))?,
            node: OpenOptions::new().write(true).open(&data.node).doing(|| opening(&data.node))?,
            size: data.bytes,
            state: Direct::open(&state, Access::DurableWrite).doing(|| opening(&state))?,
            watchdogs,
            told: Cell::new(None),
        })
    }

    /// Zeros by hand, where the kernel knows no better way for this device.
    fn write_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        let zeros = vec![0; BUFFER];
        let mut done = 0;
        while done < length {
            let piece = usize::try_from(length.saturating_sub(done)).unwrap_or(BUFFER).min(BUFFER);
            let bytes = zeros.get(..piece).ok_or(io::ErrorKind::InvalidInput)?;
            self.data.write(offset.saturating_add(done), bytes)?;
            done = done.saturating_add(piece as u64);
        }
        Ok(())
    }
}

impl Place for Device<'_> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.data.read(offset, buffer)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.data.write(offset, bytes)
    }

    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        block::discard(&self.node, offset, length)
    }

    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        match block::zero_out(&self.node, offset, length) {
            Err(problem) if matches!(problem.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => {
                self.write_zeros(offset, length)
            }
            other => other,
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.data.flush()
    }

    fn read_record(&self, sector: &mut [u8]) -> io::Result<()> {
        self.state.read(RESET_OFFSET, sector)
    }

    fn write_record(&self, sector: &[u8]) -> io::Result<()> {
        self.state.write(RESET_OFFSET, sector)?;
        self.state.flush()
    }

    fn progress(&self, step: Step, done: u64, all: u64) {
        for watchdog in self.watchdogs {
            if let Err(problem) = watchdog.feed() {
                say(&format!("warning: cannot feed {}: {problem}", watchdog.path().display()));
            }
        }
        let tenth = done.saturating_mul(10).checked_div(all).unwrap_or(10);
        if self.told.replace(Some((step, tenth))) != Some((step, tenth)) {
            say(&format!("factory reset: {} {} %", doing(step), tenth.saturating_mul(10)));
        }
    }
}

const fn doing(step: Step) -> &'static str {
    match step {
        Step::Destroy => "destroying the contents,",
        Step::Format => "formatting,",
        Step::Clear => "finishing,",
    }
}

const BUFFER: usize = 1 << 20;
