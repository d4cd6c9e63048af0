//! The boot state blocks of the state partition: read past the cache, written one sector at a time, read back.
//!
//! Only the older copy is ever written, so the newest whole one survives any interruption. Both reads and writes are direct: a buffered
//! access pulls in the neighbours, and one bad sector would then hide the good copy. The volume around the blocks, by which GRUB finds
//! them, is constant and restored when it is damaged.
//!
//! A copy that cannot be read may be the newest. It counts as lost only when the disk answers and does not give it (`crate::certain`);
//! then it is the one that is overwritten, never the other, which is the only one left: the disk may put a good sector in its place, and
//! until then the other one, which is what GRUB sees as well, stays. There are never two copies with one number by it: the new one
//! takes the place of whatever had that number.

use std::io;
use std::path::Path;

use appliance::direct::{Access, Direct};
use formats::boot_state::{self, BLOCK_SIZE, BootState};
use formats::state_volume::{self, COPY_OFFSETS, RESET_OFFSET};
use formats::{Bytes, SlotId};

use crate::certain::{Reading, answers, certain};
use crate::error::{At, Doing, Error, Result};

/// Something with sectors: the state partition, or memory in tests.
pub trait Sectors {
    /// Fills `buffer` from `offset`; both are multiples of 512.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes `bytes` at `offset` durably; both are multiples of 512.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// What the two blocks say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    copies: [Vec<u8>; 2],
    /// The newest whole block.
    pub newest: Option<BootState>,
    /// How many of the two are whole.
    pub whole: usize,
}

/// Reads both blocks; one that is lost counts as damaged. An error when the disk does not answer: then nobody knows which is newest.
pub fn read(sectors: &impl Sectors) -> Result<Blocks> {
    let copy = |offset| sector(sectors, offset).doing(|| "read the boot state".into());
    let [first, second] = COPY_OFFSETS;
    let copies = [copy(first)?, copy(second)?].map(|copy| copy.done().unwrap_or_default());
    let [first, second] = &copies;
    let newest = boot_state::newest([first, second]).map(|(_, state)| state);
    let whole = copies.iter().filter(|copy| BootState::parse(copy).is_ok()).count();
    Ok(Blocks { copies, newest, whole })
}

/// The sector at `offset`, or the certainty that it is lost.
fn sector(sectors: &impl Sectors, offset: u64) -> io::Result<Reading<Vec<u8>>> {
    let read = || {
        let mut block = vec![0; BLOCK_SIZE];
        sectors.read(offset, &mut block).map(|()| block)
    };
    certain(read, || answers(sectors))
}

/// Writes `state` to the older block and reads it back. Returns which block, 1 or 2.
pub fn store(sectors: &impl Sectors, blocks: &Blocks, state: &BootState) -> Result<usize> {
    let [first, second] = &blocks.copies;
    let copy = boot_state::older_copy([first, second]);
    let offset = if copy == 0 { COPY_OFFSETS[0] } else { COPY_OFFSETS[1] };
    let block = state.encode().at(|| "boot state".into())?;
    sectors.write(offset, &block).doing(|| format!("write boot state block {}", copy + 1))?;
    let mut back = vec![0; BLOCK_SIZE];
    sectors.read(offset, &mut back).doing(|| format!("read back boot state block {}", copy + 1))?;
    if back == block {
        Ok(copy + 1)
    } else {
        Err(Error::NotKept(format!("the disk does not keep boot state block {}; replace the disk", copy + 1)))
    }
}

/// Writes the whole volume anew when both blocks are lost, for a machine running healthily from `slot`.
pub fn rebuild(sectors: &impl Sectors, slot: SlotId, site: Option<SlotId>) -> Result<BootState> {
    let state = BootState::initial(slot, site);
    // A reset somebody asked for stays; a sector that is lost asks for nothing.
    let kept = sector(sectors, RESET_OFFSET).doing(|| "read the reset record".into())?.done().unwrap_or_default();
    let volume = state_volume::mended(&state, &kept).at(|| "boot state".into())?;
    write_blocks(sectors, &volume, |_| true)?;
    Ok(state)
}

/// Restores the volume around the two blocks when it is damaged; they themselves are left alone. Tells where damage began.
pub fn mend_volume(sectors: &impl Sectors, state: &BootState) -> Result<Option<Bytes>> {
    let mut volume = vec![0; usize::try_from(state_volume::SIZE.0).unwrap_or(0)];
    for (offset, block) in (0_u64..).step_by(BLOCK_SIZE).zip(volume.chunks_mut(BLOCK_SIZE)) {
        // A sector that is lost is damage; writing it lets the disk replace it.
        match sector(sectors, offset).doing(|| format!("read byte {offset} of the state partition"))? {
            Reading::Done(found) => block.copy_from_slice(&found),
            Reading::Lost(_) => block.fill(0xff),
        }
    }
    let damage = state_volume::first_damage(&volume).at(|| "boot state volume".into())?;
    if damage.is_some() {
        let kept = state_volume::reset_sector(&volume);
        let wanted = state_volume::mended(state, kept).at(|| "boot state".into())?;
        write_blocks(sectors, &wanted, |offset| !COPY_OFFSETS.contains(&offset))?;
    }
    Ok(damage)
}

fn write_blocks(sectors: &impl Sectors, volume: &[u8], wanted: impl Fn(u64) -> bool) -> Result<()> {
    let blocks = (0_u64..).step_by(BLOCK_SIZE).zip(volume.chunks(BLOCK_SIZE));
    for (offset, block) in blocks.filter(|(offset, _)| wanted(*offset)) {
        let mut present = vec![0; block.len()];
        let same = sectors.read(offset, &mut present).is_ok() && present == block;
        if !same {
            sectors.write(offset, block).doing(|| format!("write byte {offset} of the state partition"))?;
        }
    }
    Ok(())
}

/// The state partition itself, opened by [`open`].
impl Sectors for Direct {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        Self::read(self, offset, buffer)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        Self::write(self, offset, bytes)
    }
}

/// Opens the state partition `path`; `writable` for [`store`], whose writes are durable on return.
pub fn open(path: &Path, writable: bool) -> Result<Direct> {
    let access = if writable { Access::DurableWrite } else { Access::Read };
    Direct::open(path, access).doing(|| format!("open \"{}\"", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use formats::boot_state::{Event, SlotState, next};
    use formats::reset_record;
    use std::cell::RefCell;

    /// A partition in memory; `bad` sectors cannot be read, `deaf` ones forget what is written.
    struct Memory {
        bytes: RefCell<Vec<u8>>,
        bad: Vec<u64>,
        /// Reads that fail, whatever they are of.
        outage: std::ops::Range<usize>,
        reads: std::cell::Cell<usize>,
        deaf: bool,
        writes: RefCell<Vec<u64>>,
    }

    impl Memory {
        fn new(bytes: Vec<u8>) -> Self {
            let (reads, writes) = Default::default();
            Self { bytes: RefCell::new(bytes), bad: Vec::new(), outage: 0..0, reads, deaf: false, writes }
        }
        fn sample() -> Self {
            Self::new(state_volume::image(&BootState::initial(SlotId::A, None)).unwrap())
        }
    }

    impl Sectors for Memory {
        fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let number = self.reads.replace(self.reads.get() + 1);
            if self.bad.contains(&offset) || self.outage.contains(&number) {
                return Err(io::ErrorKind::Other.into());
            }
            let at = usize::try_from(offset).unwrap();
            buffer.copy_from_slice(&self.bytes.borrow()[at..at + buffer.len()]);
            Ok(())
        }
        fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            assert_eq!((offset % 512, bytes.len()), (0, 512));
            self.writes.borrow_mut().push(offset);
            if !self.deaf {
                let at = usize::try_from(offset).unwrap();
                self.bytes.borrow_mut()[at..at + 512].copy_from_slice(bytes);
            }
            Ok(())
        }
    }

    fn refill(state: &BootState) -> BootState {
        next(state, Event::Refill(SlotId::A)).unwrap()
    }

    #[test]
    fn stores_alternate_between_the_copies_with_one_write_each() {
        let memory = Memory::sample();
        for wanted in [2, 1, 2] {
            let blocks = read(&memory).unwrap();
            let state = refill(&blocks.newest.unwrap());
            assert_eq!(store(&memory, &blocks, &state).unwrap(), wanted);
            assert_eq!(read(&memory).unwrap().newest, Some(state));
        }
        assert_eq!(*memory.writes.borrow(), [8192, 4096, 8192]);
    }

    #[test]
    fn a_damaged_copy_is_the_one_overwritten() {
        for (damaged, copy) in [(4096, 1), (8192, 2)] {
            let memory = Memory::sample();
            memory.bytes.borrow_mut()[damaged] = b'X';
            let blocks = read(&memory).unwrap();
            assert_eq!(blocks.whole, 1);
            assert_eq!(store(&memory, &blocks, &refill(&blocks.newest.unwrap())).unwrap(), copy);
            assert_eq!(read(&memory).unwrap().whole, 2);
        }
    }

    #[test]
    fn an_unreadable_sector_does_not_hide_the_other_copy() {
        let mut memory = Memory::sample();
        memory.bad = vec![4096];
        assert!(read(&memory).unwrap().newest.is_some());
        memory.bad = vec![4096, 8192];
        assert_eq!(read(&memory).unwrap().newest, None);
    }

    #[test]
    fn a_disk_that_does_not_answer_for_a_moment_never_makes_the_older_copy_count() {
        let mut memory = Memory::sample();
        let blocks = read(&memory).unwrap();
        let newest = refill(&blocks.newest.unwrap());
        store(&memory, &blocks, &newest).unwrap();
        let mut refused = 0;
        for from in 0..6 {
            for length in 0..8 {
                memory.outage = from..from + length;
                memory.reads.set(0);
                match read(&memory) {
                    Ok(blocks) => assert_eq!((blocks.newest, blocks.whole), (Some(newest), 2), "{from} {length}"),
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > 0);
    }

    #[test]
    fn of_a_copy_that_is_lost_the_sector_is_written_and_the_other_one_left_alone() {
        let mut memory = Memory::sample();
        let blocks = read(&memory).unwrap();
        store(&memory, &blocks, &refill(&blocks.newest.unwrap())).unwrap();
        memory.bad = vec![8192];
        let blocks = read(&memory).unwrap();
        assert_eq!(blocks.whole, 1);
        store(&memory, &blocks, &refill(&blocks.newest.unwrap())).unwrap_err();
        assert_eq!(*memory.writes.borrow(), [8192, 8192]);
    }

    #[test]
    fn a_disk_that_forgets_is_an_error() {
        let mut memory = Memory::sample();
        memory.deaf = true;
        let blocks = read(&memory).unwrap();
        let problem = store(&memory, &blocks, &refill(&blocks.newest.unwrap())).unwrap_err();
        assert!(problem.to_string().contains("does not keep"), "{problem}");
    }

    #[test]
    fn a_zeroed_partition_is_rebuilt_whole() {
        let memory = Memory::new(vec![0; 1 << 20]);
        assert_eq!(read(&memory).unwrap().newest, None);
        let state = rebuild(&memory, SlotId::B, Some(SlotId::A)).unwrap();
        assert_eq!((state.order, state.b, state.a), (SlotId::B, SlotState::GOOD, SlotState::EMPTY));
        assert_eq!(read(&memory).unwrap().whole, 2);
        assert_eq!(mend_volume(&memory, &state).unwrap(), None);
    }

    #[test]
    fn mending_the_volume_leaves_the_blocks_alone() {
        let memory = Memory::sample();
        let blocks = read(&memory).unwrap();
        store(&memory, &blocks, &refill(&blocks.newest.unwrap())).unwrap();
        let before = read(&memory).unwrap();
        memory.bytes.borrow_mut()[..1536].fill(0);
        assert_eq!(mend_volume(&memory, &before.newest.unwrap()).unwrap(), Some(Bytes(0)));
        assert_eq!(read(&memory).unwrap(), before);
        assert_eq!(state_volume::first_damage(&memory.bytes.borrow()).unwrap(), None);
        assert_eq!(mend_volume(&memory, &before.newest.unwrap()).unwrap(), None);
    }

    #[test]
    fn rebuilding_and_mending_keep_a_pending_reset_and_remove_a_damaged_one() {
        let floors = Vec::new();
        let id = formats::Guid::derive("test", "reset");
        let then = reset_record::Then::Start;
        let record = reset_record::ResetRecord { id, then, by: "root".into(), asked: 1, floors }.encode().unwrap();
        let sector = |memory: &Memory| memory.bytes.borrow()[12_288..12_800].to_vec();

        let mut bytes = vec![0; 1 << 20];
        bytes[12_288..12_800].copy_from_slice(&record);
        let memory = Memory::new(bytes);
        let state = rebuild(&memory, SlotId::A, None).unwrap();
        assert_eq!(sector(&memory), record);
        memory.bytes.borrow_mut()[..512].fill(0);
        assert_eq!(mend_volume(&memory, &state).unwrap(), Some(Bytes(0)));
        assert_eq!(sector(&memory), record);
        memory.bytes.borrow_mut()[12_400] ^= 1;
        assert_eq!(mend_volume(&memory, &state).unwrap(), Some(Bytes(12_288)));
        assert_eq!(sector(&memory), [0; 512]);
    }
}
