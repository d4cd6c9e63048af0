//! What an attacker, or a bad cable, can do to a package: each refused with its own code, and nothing has changed.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use fixtures::{medium, release, running, state, trust};
use formats::Bytes;
use formats::SlotId::{A, B};
use formats::boot_state::SlotState;
use formats::manifest::Kind;
use update_agent::disk::simulated::Disk;
use update_agent::error::Error;
use update_agent::journal::{Journal, Outcome};
use update_agent::lifecycle::{Agent, Model, silent};
use update_agent::reader::child::deliver;
use update_agent::reader::{Delivery, frame};
use update_agent::slot::Content;

const GOOD: SlotState = SlotState::GOOD;

/// Base 2 runs from slot A, base 1 is the way back; site 10 runs.
fn disk() -> Disk {
    let [one, two, site] = [release(Kind::Base, 1), release(Kind::Base, 2), release(Kind::Site, 10)];
    Disk::new(medium([Some(&two), Some(&one)], [Some(&site), None], &state(A, GOOD, GOOD, Some(A))))
}

fn with_agent<T>(disk: &Disk, work: impl FnOnce(&Agent<'_>) -> T) -> T {
    let trust = trust();
    let agent = Agent {
        disk,
        journal: Journal::new(disk, || 1_700_000_000),
        trust: &trust,
        running: Some(running(A, Some(A))),
        site: None,
        failures: Vec::new(),
        health: &update_agent::health::Nothing,
        progress: &silent,
    };
    work(&agent)
}

/// A file that somebody writes to between the first pass and the second.
struct Fickle {
    first: Cursor<Vec<u8>>,
    second: Vec<u8>,
}

impl Read for Fickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.first.read(buffer)
    }
}

impl Seek for Fickle {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if matches!(to, SeekFrom::Start(_)) {
            self.first = Cursor::new(self.second.clone());
        }
        self.first.seek(to)
    }
}

/// Both ends of the line between reader and writer, played one after the other.
#[derive(Default)]
struct Line {
    says: Cursor<Vec<u8>>,
    hears: Vec<u8>,
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.says.read(buffer)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hears.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Installs from a file that is changed after it was checked.
fn install_while(change: &dyn Fn(&mut Vec<u8>)) -> (Disk, Error) {
    let release = release(Kind::Base, 3);
    let mut second = release.package.clone();
    change(&mut second);
    let mut reader = Line::default();
    frame::send(&mut reader.says, frame::Kind::Trust, &trust().encode().unwrap()).unwrap();
    reader.says.set_position(0);
    frame::send(&mut reader.hears, frame::Kind::Confined, b"").unwrap();
    let fickle = Fickle { first: Cursor::new(release.package.clone()), second };
    if let Err(frame::Error::Problem(problem)) = deliver(fickle, &mut reader) {
        frame::send(&mut reader.hears, frame::Kind::Problem, &frame::encode_problem(&problem)).unwrap();
    }
    let line = Line { says: Cursor::new(reader.hears), hears: Vec::new() };
    let length = Bytes(release.package.len() as u64);
    let mut delivery = Delivery::open(line, &trust(), length, "package \"base-3.pkg\"").unwrap();
    let disk = disk();
    let result = with_agent(&disk, |agent| agent.install(&release.verified, &mut delivery, &Model::default()));
    (disk, result.unwrap_err())
}

#[test]
fn a_file_that_changes_after_it_was_checked_leaves_an_empty_slot_and_its_own_code() {
    let flip = |file: &mut Vec<u8>| {
        let at = file.len() - 1024 - 700;
        file[at] ^= 1;
    };
    let cut = |file: &mut Vec<u8>| file.truncate(file.len() - 1300);
    let extend = |file: &mut Vec<u8>| file.extend(b"more");
    for change in [&flip as &dyn Fn(&mut Vec<u8>), &cut, &extend] {
        let (disk, problem) = install_while(change);
        assert_eq!(problem.code(), "package-changed", "{problem}");
        with_agent(&disk, |agent| {
            let facts = agent.facts();
            assert_eq!(*facts.base.get(B), Content::Empty);
            assert_eq!(facts.boot.unwrap().order, A);
            let (_, _, outcome, _) = facts.history.last(Kind::Base).unwrap();
            assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
        });
    }
}
