//! What an attacker, or a bad cable, can do to a package: each refused with its own code, and nothing has changed.

#[path = "attack/crafted.rs"]
mod crafted;
#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;
#[path = "attack/matrix.rs"]
mod matrix;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use fixtures::{agent, medium, release, running, state, steady, trust};
use formats::Bytes;
use formats::SlotId::{A, B};
use formats::boot_state::SlotState;
use formats::manifest::Kind;
use formats::trust::{Role, TrustStore, TrustedKey};
use update_agent::disk::simulated::Disk;
use update_agent::error::Error;
use update_agent::journal::{Journal, Outcome};
use update_agent::lifecycle::{Agent, Model};
use update_agent::reader::child::deliver;
use update_agent::reader::{Delivery, Program, frame};
use update_agent::slot::Content;
use update_agent::source::PackageFile;

const GOOD: SlotState = SlotState::GOOD;

/// Base 2 runs from slot A, base 1 is the way back; site 10 runs.
fn disk() -> Disk {
    Disk::new(steady())
}

fn with_agent<T>(disk: &Disk, trust: &TrustStore, work: impl FnOnce(&Agent<'_>) -> T) -> T {
    with_clock(disk, trust, || 1_700_000_000, work)
}

fn with_clock<T>(disk: &Disk, trust: &TrustStore, clock: fn() -> u64, work: impl FnOnce(&Agent<'_>) -> T) -> T {
    let agent = agent(disk, trust, Some(running(A, Some(A))));
    work(&Agent { journal: Journal::new(disk, clock), site: None, ..agent })
}

/// As `update-agent install FILE` does: the file, a reader process, the agent.
fn install(path: &Path, disk: &Disk, trust: &TrustStore, clock: fn() -> u64) -> Result<(), Error> {
    let mut package = PackageFile::open(path, trust, &Program::at(env!("CARGO_BIN_EXE_update-agent")))?;
    let verified = package.verified().clone();
    let model = Model { said: Some("model-x".into()), firmware: None };
    with_clock(disk, trust, clock, |agent| agent.install(&verified, &mut package, &model)).map(drop)
}

#[test]
fn every_attack_is_refused_with_its_code_and_nothing_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.pkg");
    let attacks = matrix::all();
    for attack in &attacks {
        let mut medium = disk().medium();
        (attack.prepare)(&mut medium);
        let disk = Disk::new(medium.clone());
        fs::write(&path, &attack.package).unwrap();
        let problem = match install(&path, &disk, &attack.trust, || 1_700_000_000) {
            Ok(()) => panic!("accepted: {}", attack.name),
            Err(problem) => problem,
        };
        assert_eq!(problem.code(), attack.code, "{}: {problem}", attack.name);
        assert_eq!(disk.log(), [], "{}: {problem}", attack.name);
        assert!(disk.medium() == medium, "{}", attack.name);
    }
    let codes = matrix::tally(&attacks);
    println!("{} attacks: {codes:?}", attacks.len());
    let codes: BTreeSet<&str> = codes.into_keys().collect();
    assert!(matrix::DISTINCT.iter().all(|code| codes.contains(code)));
    assert_eq!(BTreeSet::from(matrix::DISTINCT).len(), matrix::DISTINCT.len());
}

#[test]
fn what_is_attacked_is_good_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.pkg");
    fs::write(&path, release(Kind::Base, 3).package).unwrap();
    install(&path, &disk(), &matrix::trust(), || 1_700_000_000).unwrap();
}

#[test]
fn two_of_three_keys_are_enough_whichever_they_are() {
    let (folder, trust) = (tempfile::tempdir().unwrap(), matrix::two_of_three());
    let path = folder.path().join("some.pkg");
    let [one, two] = [1, 2].map(|number| matrix::resigned(&release(Kind::Base, number), &[6, 7], &trust));
    for keys in [[1, 6], [1, 7], [6, 7]] {
        let disk = Disk::new(medium([Some(&two), Some(&one)], [None, None], &state(A, GOOD, GOOD, None)));
        fs::write(&path, matrix::resigned(&release(Kind::Base, 3), &keys, &trust).package).unwrap();
        install(&path, &disk, &trust, || 1_700_000_000).unwrap();
        with_agent(&disk, &trust, |agent| assert!(agent.facts().unwrap().base.get(B).manifest().is_some()));
    }
}

/// The key of release 3 is valid until the day the running base was made, 2023-11-14.
#[test]
fn a_key_is_judged_by_the_later_of_clock_and_running_base() {
    let expiring = |day: &str| {
        let expires = Some(day.parse().unwrap());
        let keys = trust().keys().values().map(|key| TrustedKey { expires, ..key.clone() }).collect();
        TrustStore::new("demo", keys, [(Role::Base, 1), (Role::Site, 1)].into(), false).unwrap()
    };
    let (on_its_last_day, too_late) = (expiring("2023-11-14"), expiring("2023-11-13"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base-3.pkg");
    fs::write(&path, release(Kind::Base, 3).package).unwrap();

    install(&path, &disk(), &on_its_last_day, || 1_700_000_000).unwrap();
    install(&path, &disk(), &on_its_last_day, || 0).unwrap();
    // A clock that was reset does not bring the key back: the running base is younger.
    for clock in [|| 0, || 1_600_000_000, || u64::MAX] {
        let problem = install(&path, &disk(), &too_late, clock).unwrap_err();
        assert_eq!(problem.code(), "expired-key", "{problem}");
    }
    // A wrong clock refuses what is good, and says so.
    let problem = install(&path, &disk(), &on_its_last_day, || 4_000_000_000).unwrap_err();
    assert_eq!(problem.code(), "expired-key");
    for part in ["valid on 2096-10-02", "(\"base\") was valid until 2023-11-14", "set this machine's clock"] {
        assert!(problem.to_string().contains(part), "{problem}");
    }
    // What is installed keeps running, can be committed and gone back to, whatever day it is.
    let disk = disk();
    with_clock(
        &disk,
        &too_late,
        || 4_000_000_000,
        |agent| {
            agent.commit().unwrap();
            agent.rollback(Kind::Base).unwrap();
        },
    );
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
    let result =
        with_agent(&disk, &trust(), |agent| agent.install(&release.verified, &mut delivery, &Model::default()));
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
        with_agent(&disk, &trust(), |agent| {
            let facts = agent.facts().unwrap();
            assert_eq!(*facts.base.get(B), Content::Empty);
            assert_eq!(facts.boot.unwrap().order, A);
            let (_, _, outcome, _) = facts.history.last(Kind::Base).unwrap();
            assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
        });
    }
}
