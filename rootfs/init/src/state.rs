//! Reading the boot state. GRUB counts in it and the agent decides; this program writes it in one case only, when it is lost.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use appliance::direct::{Access, Direct};
use appliance::{At, Doing, Error, Result};
use formats::SlotId;
use formats::boot_report::{StateReport, StateSummary};
use formats::boot_state::{self, BootState, SlotState};
use formats::reset_record;
use formats::state_volume::{self, COPY_OFFSETS, RESET_OFFSET};

use crate::console::say;
use crate::disk::Disk;

/// The boot state of a disk.
#[derive(Debug, Default)]
pub struct State {
    /// The partition.
    pub node: Option<PathBuf>,
    /// How many of the two blocks are whole.
    pub whole: u8,
    /// The newest whole block.
    pub newest: Option<BootState>,
    /// True when both blocks could be read and neither is whole. A disk that merely did not answer has lost nothing.
    pub lost: bool,
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
    let answers = COPY_OFFSETS.map(|offset| {
        let mut block = vec![0; sector];
        patiently(|| Direct::open(&node, Access::Read)?.read(offset, &mut block)).map(|()| block)
    });
    let answered = answers.iter().all(std::io::Result::is_ok);
    let blocks = answers.map(|answer| {
        let mut block = answer.unwrap_or_default();
        block.truncate(512);
        block
    });
    let whole = blocks.iter().filter(|block| BootState::parse(block).is_ok()).count();
    let newest = boot_state::newest([&blocks[0], &blocks[1]]).map(|(_, state)| state);
    // GRUB has just counted this start and cannot flush. If power fails now, the count must not be lost.
    if let Err(problem) = File::open(&node).and_then(|file| file.sync_all()) {
        say(&format!("warning: cannot flush the boot state: {problem}"));
    }
    State { node: Some(node), whole: u8::try_from(whole).unwrap_or(0), lost: answered && newest.is_none(), newest }
}

/// Reads again what could not be read. A copy that is taken for lost because of one hiccup may be the newest, and the other one names
/// the site that was left. Nothing worse comes of it: this program writes only when both copies could be read, and a disk that stays
/// silent is no reason not to start from what is verified.
pub fn patiently<T>(mut read: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    let mut answer = read();
    for _ in 1..ATTEMPTS {
        if answer.is_ok() {
            break;
        }
        answer = read();
    }
    answer
}

/// The state to go on with when both blocks are lost: this start is counted, and the other slot is there to fall back to if what it
/// holds is signed.
pub fn rebuilt(slot: SlotId, other_is_signed: bool) -> BootState {
    let counted = SlotState { good: true, tries: SlotState::GOOD.tries.saturating_sub(1) };
    let other = if other_is_signed { SlotState::GOOD } else { SlotState::EMPTY };
    let mut state = BootState::initial(slot, None).with_slot(slot, counted).with_slot(!slot, other);
    state.last = Some(slot);
    state
}

/// Writes a whole new state volume with `state`.
///
/// Only called when both blocks were read and neither is whole, so there is nothing to lose: a cut at any point of this write leaves
/// either no whole block, which is where it began, or one of the two, which both say `state`. It comes before the slot is verified,
/// because GRUB starts without a state are not counted: a slot that loads and then fails would be started for ever, and the other one
/// never.
pub fn restore(disk: &Disk, state: &BootState) -> Result<()> {
    let partition = disk.partition("state")?;
    let place = || format!("write the boot state to {:?}", partition.node);
    // A reset somebody asked for is none of what was lost. One that cannot be read is no order.
    let mut sector = [0; reset_record::SIZE];
    let answer = patiently(|| Direct::open(&partition.node, Access::Read)?.read(RESET_OFFSET, &mut sector));
    let volume = state_volume::mended(state, if answer.is_ok() { &sector } else { &[] }).at(place)?;
    if partition.bytes < u64::try_from(volume.len()).unwrap_or(u64::MAX) {
        return Err(Error::Refused(format!("the state partition has {} bytes only", partition.bytes)));
    }
    let mut device = OpenOptions::new().write(true).open(&partition.node).doing(place)?;
    device.write_all(&volume).and_then(|()| device.sync_all()).doing(place)
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

const ATTEMPTS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_fails_twice_is_no_lost_copy() {
        for failing in 0..5 {
            let mut reads = 0;
            let answer = patiently(|| {
                reads += 1;
                if reads > failing { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) }
            });
            assert_eq!(answer.is_ok(), failing < ATTEMPTS, "{failing}");
        }
    }

    #[test]
    fn a_lost_state_is_rebuilt_so_that_a_slot_that_keeps_failing_gives_way() {
        let mut state = rebuilt(SlotId::A, true);
        assert_eq!(state.last, Some(SlotId::A));
        for _ in 0..4 {
            let selection = boot_state::select(&state);
            assert_eq!(selection.started(|_| true).map(|attempt| attempt.slot), Some(SlotId::A));
            state = selection.state_after(&state, |_| true);
        }
        assert_eq!(boot_state::select(&state).started(|_| true).map(|attempt| attempt.slot), Some(SlotId::B));
    }

    #[test]
    fn a_slot_without_a_signature_is_not_made_bootable() {
        assert_eq!(rebuilt(SlotId::B, false).slot(SlotId::A), SlotState::EMPTY);
        assert!(rebuilt(SlotId::B, false).encode().is_ok());
    }
}
