//! A reset runs in the initramfs, beside nothing but the kernel, on machines with little memory and large disks.

use std::cell::Cell;
use std::fs;
use std::io;

use formats::Guid;
use formats::reset_record::{ResetRecord, Then};
use reset::{Place, Step, carry_out};

/// A partition that takes everything and keeps the sector that makes the file system valid.
#[derive(Default)]
struct Sink {
    valid: Cell<Option<[u8; 512]>>,
    written: Cell<u64>,
    longest: Cell<u64>,
    since: Cell<u64>,
}

const SIZE: u64 = 256 << 30;

impl Sink {
    fn count(&self, length: u64) {
        self.since.set(self.since.get() + length);
        self.longest.set(self.longest.get().max(self.since.get()));
    }
}

impl Place for Sink {
    fn size(&self) -> io::Result<u64> {
        Ok(SIZE)
    }
    fn read(&self, _: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.copy_from_slice(&self.valid.get().unwrap_or([0; 512])[..buffer.len()]);
        Ok(())
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.written.set(self.written.get() + bytes.len() as u64);
        self.count(bytes.len() as u64);
        if offset == 1024 {
            self.valid.set(bytes.try_into().ok());
        }
        Ok(())
    }
    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn zero(&self, _: u64, length: u64) -> io::Result<()> {
        self.count(length);
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
    fn read_record(&self, sector: &mut [u8]) -> io::Result<()> {
        sector.fill(0);
        Ok(())
    }
    fn write_record(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn progress(&self, _: Step, _: u64, _: u64) {
        self.since.set(0);
    }
}

/// The most memory this process ever had, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_quarter_of_a_terabyte_is_formatted_in_little_memory_and_the_watchdog_gets_its_food() {
    let sink = Sink::default();
    let before = peak();
    let record = ResetRecord { id: Guid::new(1), then: Then::Start, by: "root".into(), asked: 1, floors: Vec::new() };
    assert!(carry_out(&sink, &record).unwrap().formatted);
    let grown = peak() - before;
    println!(
        "{grown} KiB more memory, {} KiB written, at most {} KiB between two calls",
        sink.written.get() >> 10,
        sink.longest.get() >> 10
    );
    assert!(grown < 48 << 10, "{grown} KiB");
    // The first MiB of the next step may come on top of a piece.
    assert!(sink.longest.get() <= (16 << 20) + (2 << 20), "{} bytes without a sign of life", sink.longest.get());
}
