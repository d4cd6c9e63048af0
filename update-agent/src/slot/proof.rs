//! Comparing what is in a slot with its signed root hash, block by block, as the initramfs program and the kernel would.
//!
//! One thread reads and another one compares, and the next piece is read while one is compared: neither the disk nor the processor waits
//! for the other. What is read, and in which order, is decided by the one that compares and does not depend on how fast they are.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use formats::Bytes;
use formats::manifest::ImageInfo;
use formats::verity::{BLOCK_SIZE, Block, Checker, Fault};

use super::{Phase, Progress};
use crate::disk::{Disk, Part};
use crate::error::{At, Doing, Error, Result};

/// Each block against the tree, the tree against the root hash; the first block that is wrong. `head` stands in for the first block
/// while that is not on the disk yet.
pub(super) fn check(
    disk: &dyn Disk,
    part: Part,
    image: &ImageInfo,
    head: Option<&Block>,
    progress: Progress<'_>,
) -> Result<Option<Fault>> {
    let checker = Checker::new(&image.parameters(), image.root_hash).at(|| part.to_string())?;
    let (orders, ordered) = channel();
    thread::scope(|scope| {
        let compare = move || compare(&checker, image.data_blocks, head, &orders);
        let comparing = thread::Builder::new()
            .name("compare".into())
            .spawn_scoped(scope, compare)
            .doing(|| format!("start the thread that compares {part}"))?;
        for order in ordered {
            order.carry_out(disk, part, image.data_blocks, progress);
        }
        let found =
            comparing.join().map_err(|_| Error::Bug(format!("the thread that compares {part} has panicked")))?;
        found.doing(|| format!("read back {part}"))
    })
}

/// The comparing thread: ends with the first fault or the first error of a read.
fn compare(
    checker: &Checker,
    data_blocks: u64,
    head: Option<&Block>,
    orders: &Sender<Order>,
) -> io::Result<Option<Fault>> {
    let mut data = Window::new(DATA_WINDOW, data_blocks, true, orders.clone());
    let mut tree = Window::new(TREE_WINDOW, checker.layout().total_blocks(), false, orders.clone());
    checker.run(|block, buffer: &mut Block| {
        if let (0, Some(head)) = (block, head) {
            *buffer = *head;
            return Ok(());
        }
        let window = if block < data_blocks { &mut data } else { &mut tree };
        window.block(block, buffer)
    })
}

/// A piece to be read.
struct Order {
    /// Its first block.
    first: u64,
    /// To be filled.
    bytes: Vec<u8>,
    answer: Sender<io::Result<Vec<u8>>>,
}

impl Order {
    fn carry_out(mut self, disk: &dyn Disk, part: Part, data_blocks: u64, progress: Progress<'_>) {
        let at = self.first.saturating_mul(BLOCK);
        if self.first < data_blocks {
            progress(Phase::Proving, Bytes(at), Bytes(data_blocks.saturating_mul(BLOCK)));
        }
        let read = disk.read(part, at, &mut self.bytes);
        // Nobody wants it any more when a block before it was wrong.
        drop(self.answer.send(read.map(|()| self.bytes)));
    }
}

/// Consecutive blocks in one piece, and, where blocks are asked for in order, the next piece on its way.
struct Window {
    first: u64,
    bytes: Vec<u8>,
    /// Blocks in a piece.
    room: u64,
    /// Blocks that exist.
    limit: u64,
    /// Whether blocks are asked for in order.
    ahead: bool,
    /// The piece on its way, by its first block.
    coming: Option<(u64, Answer)>,
    orders: Sender<Order>,
}

/// Where a piece arrives. Its other end is in the order, so that waiting ends when there is nobody to carry that out.
type Answer = Receiver<io::Result<Vec<u8>>>;

impl Window {
    const fn new(room: u64, limit: u64, ahead: bool, orders: Sender<Order>) -> Self {
        Self { first: 0, bytes: Vec::new(), room, limit, ahead, coming: None, orders }
    }

    fn block(&mut self, block: u64, buffer: &mut Block) -> io::Result<()> {
        if self.find(block).is_none() {
            self.fetch(block)?;
        }
        *buffer = *self.find(block).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(())
    }

    fn find(&self, block: u64) -> Option<&Block> {
        let at = usize::try_from(block.checked_sub(self.first)?.checked_mul(BLOCK)?).ok()?;
        self.bytes.get(at..)?.first_chunk()
    }

    /// Makes the piece from `block` on the present one.
    fn fetch(&mut self, block: u64) -> io::Result<()> {
        let used = std::mem::take(&mut self.bytes);
        let (answer, spare) = match self.coming.take().filter(|(first, _)| *first == block) {
            Some((_, answer)) => (answer, used),
            None => (self.order(block, used)?, Vec::new()),
        };
        self.bytes = answer.recv().map_err(|_| nobody())??;
        self.first = block;
        let next = block.saturating_add(self.room);
        if self.ahead && next < self.limit {
            self.coming = Some((next, self.order(next, spare)?));
        }
        Ok(())
    }

    fn order(&self, first: u64, mut bytes: Vec<u8>) -> io::Result<Answer> {
        let number = self.limit.saturating_sub(first).min(self.room);
        bytes.resize(usize::try_from(number.saturating_mul(BLOCK)).map_err(io::Error::other)?, 0);
        let (answer, answered) = channel();
        self.orders.send(Order { first, bytes, answer }).map_err(|_| nobody())?;
        Ok(answered)
    }
}

fn nobody() -> io::Error {
    io::Error::other("nobody reads any more")
}

const BLOCK: u64 = BLOCK_SIZE as u64;
/// Blocks of data in a piece: 1 MiB.
const DATA_WINDOW: u64 = 256;
/// Blocks of the hash tree in a piece: 64 KiB, which prove 8 MiB of data.
const TREE_WINDOW: u64 = 16;
