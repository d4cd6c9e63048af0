//! Reading the boot state. This program never writes it: GRUB counts, the agent decides.

use std::fs::File;
use std::path::PathBuf;

use formats::boot_report::{StateReport, StateSummary};
use formats::boot_state::{self, BootState};
use formats::state_volume::COPY_OFFSETS;

use crate::console::say;
use crate::disk::Disk;
use crate::sys::direct;

/// The boot state of a disk.
#[derive(Debug, Default)]
pub struct State {
    /// The partition.
    pub node: Option<PathBuf>,
    /// How many of the two blocks are whole.
    pub whole: u8,
    /// The newest whole block.
    pub newest: Option<BootState>,
}

/// The boot state of `disk`. Whatever is wrong with it, it does not stop a start.
pub fn read(disk: &Disk) -> State {
    let node = match disk.partition("state") {
        Ok(partition) => partition.node,
        Err(problem) => {
            say(&format!("warning: no boot state: {problem}"));
            return State::default();
        }
    };
    let sector = usize::try_from(disk.sector.bytes()).unwrap_or(512);
    let blocks = COPY_OFFSETS.map(|offset| {
        let mut block = direct::read(&node, offset, sector).unwrap_or_default();
        block.truncate(512);
        block
    });
    let whole = blocks.iter().filter(|block| BootState::parse(block).is_ok()).count();
    let newest = boot_state::newest([&blocks[0], &blocks[1]]).map(|(_, state)| state);
    // GRUB has just counted this start and cannot flush. If power fails now, the count must not be lost.
    if let Err(problem) = File::open(&node).and_then(|file| file.sync_all()) {
        say(&format!("warning: cannot flush the boot state: {problem}"));
    }
    State { node: Some(node), whole: u8::try_from(whole).unwrap_or(0), newest }
}

impl State {
    /// One line for the console.
    pub fn describe(&self) -> String {
        match &self.newest {
            Some(state) => format!("boot state {} with {} of 2 blocks whole", state.sequence, self.whole),
            None => "no boot state".into(),
        }
    }

    /// For the boot report.
    pub fn report(&self) -> StateReport {
        StateReport {
            device: self.node.as_ref().map(|node| node.display().to_string()),
            whole_blocks: self.whole,
            newest: self.newest.as_ref().map(StateSummary::from),
        }
    }
}
