//! The process that takes packages apart: what it may do, and what a hostile one can achieve.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

use std::fs::{self, File};
use std::io::{self, Cursor, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fixtures::{Release, agent, medium, release, running, state, trust};
use formats::Bytes;
use formats::SlotId::{A, B};
use formats::boot_state::SlotState;
use formats::manifest::Kind as Package;
use update_agent::disk::simulated::Disk;
use update_agent::error::{Error, Result};
use update_agent::lifecycle::{Agent, Model, State, derive};
use update_agent::reader::child::{self, deliver};
use update_agent::reader::frame::{self, Kind};
use update_agent::reader::{Delivery, Program};
use update_agent::slot::Content;
use update_agent::source::{PackageFile, Source};

/// What one side says, prepared; what the other says to it is kept.
struct Script {
    says: Cursor<Vec<u8>>,
    hears: Vec<u8>,
}

impl Script {
    fn new(says: Vec<u8>) -> Self {
        Self { says: Cursor::new(says), hears: Vec::new() }
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.says.read(buffer)
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hears.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Frames = Vec<(Kind, Vec<u8>)>;

fn frames(frames: &[(Kind, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, content) in frames {
        frame::send(&mut bytes, *kind, content).unwrap();
    }
    bytes
}

/// Everything an honest reader says about a package.
fn transcript(package: &[u8]) -> Vec<u8> {
    let mut script = Script::new(frames(&[(Kind::Trust, &trust().encode().unwrap())]));
    let result = deliver(io::Cursor::new(package), &mut script);
    let mut said = frames(&[(Kind::Confined, b"")]);
    said.append(&mut script.hears);
    if let Err(frame::Error::Problem(problem)) = result {
        said.extend(frames(&[(Kind::Problem, &frame::encode_problem(&problem))]));
    }
    said
}

/// The frames of a transcript.
fn taken_apart(mut transcript: &[u8]) -> Frames {
    let all = [Kind::Confined, Kind::Manifest, Kind::Signatures, Kind::Notes, Kind::Eula, Kind::Index];
    let all = [&all[..], &[Kind::Checked, Kind::Piece, Kind::End]].concat();
    let mut frames = Vec::new();
    while !transcript.is_empty() {
        let mut content = Vec::new();
        let kind = frame::receive(&mut transcript, &all, &mut content).unwrap();
        frames.push((kind, content));
    }
    frames
}

fn put_together(frames: &[(Kind, Vec<u8>)]) -> Vec<u8> {
    self::frames(&frames.iter().map(|(kind, content)| (*kind, content.as_slice())).collect::<Vec<_>>())
}

/// The image handed over, or what went wrong.
fn received(release: &Release, transcript: Vec<u8>) -> Result<Vec<u8>> {
    let length = Bytes(release.package.len() as u64);
    drain(&mut Delivery::open(Script::new(transcript), &trust(), length, "package")?)
}

fn drain(source: &mut dyn Source) -> Result<Vec<u8>> {
    let (mut image, mut piece) = (Vec::new(), Vec::new());
    while source.next_piece(&mut piece)?.is_some() {
        image.extend_from_slice(&piece);
    }
    Ok(image)
}

#[test]
fn an_honest_reader_hands_over_exactly_the_image() {
    let release = release(Package::Base, 2);
    let honest = transcript(&release.package);
    assert!(received(&release, honest).unwrap() == release.image);
}

#[test]
fn what_a_reader_could_not_give_away_comes_as_it_said_it_line_by_line_and_steers_no_terminal() {
    let release = release(Package::Base, 2);
    let mut said = taken_apart(&transcript(&release.package));
    let unconfined = |said: &[(Kind, Vec<u8>)]| {
        let length = Bytes(release.package.len() as u64);
        Delivery::open(Script::new(put_together(said)), &trust(), length, "package").unwrap().unconfined
    };
    assert_eq!(unconfined(&said), Vec::<String>::new());
    said[0].1 = b"it keeps the network: no\nit keeps \x1b[2Jthe\rrest\n".to_vec();
    assert_eq!(unconfined(&said), ["it keeps the network: no", "it keeps ?[2Jthe?rest"]);
}

#[test]
fn the_trust_store_is_sent_only_after_the_manifest_is_verified() {
    let mut release = release(Package::Base, 2);
    let mut script = Script::new(transcript(&release.package));
    let length = Bytes(release.package.len() as u64);
    Delivery::open(&mut script, &trust(), length, "package").unwrap();
    assert_eq!(script.hears, frames(&[(Kind::Trust, &trust().encode().unwrap())]));
    release.manifest[10] ^= 1;
    let said =
        frames(&[(Kind::Confined, b""), (Kind::Manifest, &release.manifest), (Kind::Signatures, &release.signatures)]);
    let mut script = Script::new(said);
    let Err(problem) = Delivery::open(&mut script, &trust(), length, "package") else { unreachable!() };
    assert!(matches!(&problem, Error::Content { cause: formats::Error::Untrusted { .. }, .. }), "{problem}");
    assert_eq!(script.hears, b"");
}

#[test]
fn every_kind_of_lie_is_found_and_named() {
    let release = release(Package::Base, 2);
    let honest = taken_apart(&transcript(&release.package));
    let lie = |change: &dyn Fn(&mut Frames)| {
        let mut frames = honest.clone();
        change(&mut frames);
        received(&release, put_together(&frames)).unwrap_err().to_string()
    };
    let piece = honest.iter().position(|(kind, _)| *kind == Kind::Piece).unwrap();
    let of = |wanted: Kind| honest.iter().position(|(kind, _)| *kind == wanted).unwrap();
    let other = fixtures::release(Package::Base, 3);

    // Another piece than the signed one, a shorter, a longer, one too few, one too many, in another order.
    assert!(lie(&|frames| frames[piece].1[77] ^= 1).contains("is not what was signed"));
    assert!(lie(&|frames| frames[piece].1.truncate(4096)).contains("is not what was signed"));
    assert!(lie(&|frames| frames[piece].1.push(0)).contains("is not what was signed"));
    assert!(lie(&|frames| drop(frames.remove(piece))).contains("is not what was signed"));
    assert!(lie(&|frames| drop(frames.remove(honest.len() - 2))).contains("a End frame where [Piece] must be"));
    assert!(lie(&|frames| frames.insert(piece, frames[piece].clone())).contains("is not what was signed"));
    assert!(
        lie(&|frames| frames.insert(frames.len() - 1, frames[piece].clone()))
            .contains("a Piece frame where [End] must be")
    );
    assert!(lie(&|frames| frames.swap(piece, piece + 1)).contains("is not what was signed"));
    // Never an end.
    assert!(lie(&|frames| drop(frames.pop())).contains("it ended in the middle"));
    // Texts and index nobody signed.
    assert!(lie(&|frames| frames[of(Kind::Notes)].1[0] ^= 1).contains("\"notes.md\""));
    assert!(lie(&|frames| frames[of(Kind::Eula)].1 = b"You agree.".to_vec()).contains("\"eula.txt\""));
    assert!(lie(&|frames| frames[of(Kind::Index)].1[24] ^= 1).contains("\"chunks.idx\""));
    // The manifest of one release, the signatures of another.
    assert!(
        lie(&|frames| frames[of(Kind::Signatures)].1 = other.signatures.clone()).contains("did not sign these bytes")
    );
    // A release that is signed, but is not the file it was said to be in.
    assert!(
        lie(&|frames| {
            let bigger = fixtures::release_with(Package::Base, 3, |manifest| {
                manifest.hardware = (0..40).map(|number| format!("model-with-a-long-name-{number}")).collect();
            });
            frames[of(Kind::Manifest)].1 = bigger.manifest;
            frames[of(Kind::Signatures)].1 = bigger.signatures;
        })
        .contains("it is cut off")
    );
}

#[test]
fn frames_have_limits_and_one_order() {
    let refused = |bytes: &[u8], wanted: &[Kind]| {
        let problem = frame::receive(&mut &bytes[..], wanted, &mut Vec::new()).unwrap_err();
        assert!(matches!(problem, frame::Error::Protocol(_)), "{problem}");
        problem.to_string()
    };
    assert!(refused(&[0, 0, 0, 0, 0], &[Kind::End]).contains("unknown kind 0"));
    assert!(refused(&[12, 0, 0, 0, 0], &[Kind::End]).contains("unknown kind 12"));
    assert!(refused(&[9, 1, 0, 0, 0], &[Kind::End]).contains("1 bytes; at most 0"));
    assert!(refused(&[8, 0xff, 0xff, 0xff, 0xff], &[Kind::Piece]).contains("at most 1048576"));
    assert!(refused(&[8, 1, 0, 0x10, 0], &[Kind::Piece]).contains("1048577 bytes"));
    assert!(refused(&[3, 0, 0, 0, 0], &[Kind::Manifest]).contains("a Signatures frame where [Manifest] must be"));
    assert!(frame::send(&mut Vec::new(), Kind::End, b"x").is_err());
    // Cut in header and content.
    for bytes in [&[8_u8, 4, 0][..], &[8, 4, 0, 0, 0, 1, 2, 3]] {
        let cut = frame::receive(&mut &bytes[..], &[Kind::Piece], &mut Vec::new()).unwrap_err();
        assert!(matches!(cut, frame::Error::Io(_)));
    }
}

#[test]
fn a_problem_keeps_its_kind_and_loses_what_would_steer_a_terminal() {
    let there_and_back = |problem: formats::package::Error| {
        let bytes = frames(&[(Kind::Problem, &frame::encode_problem(&problem))]);
        let Err(frame::Error::Problem(back)) = frame::receive(&mut bytes.as_slice(), &[Kind::End], &mut Vec::new())
        else {
            unreachable!()
        };
        back
    };
    let damaged = formats::Damage::ALL.map(|why| formats::Error::damaged("chunk index", why, "it overlaps"));
    let distrusted = formats::Distrust::ALL.map(|why| formats::Error::untrusted("manifest", why, "nobody"));
    let others = [formats::Error::unsupported("signature set", "version 9"), formats::Error::invalid("package", "no")];
    for problem in damaged.into_iter().chain(distrusted).chain(others) {
        let formats::package::Error::Format(back) = there_and_back(problem.clone().into()) else { unreachable!() };
        assert_eq!(back, problem);
    }
    let full = io::Error::from_raw_os_error(5);
    let formats::package::Error::Io(back) = there_and_back(formats::package::Error::Io(full)) else { unreachable!() };
    assert_eq!(back.raw_os_error(), Some(5));
    let nasty = there_and_back(formats::Error::corrupt("package", "\x1b[2Jgone\r\nok").into()).to_string();
    assert_eq!(nasty, "package is damaged: ?[2Jgone??ok");
    // A problem that says nothing, and one with classes and numbers that do not exist.
    for bytes in [&b""[..], &[0], &[9, 9, 9, 0xff, 0xff, 0xff, 0xff], &[1, 99, 99, 0, 0, 0, 0x80]] {
        let bytes = frames(&[(Kind::Problem, bytes)]);
        let problem = frame::receive(&mut bytes.as_slice(), &[Kind::End], &mut Vec::new()).unwrap_err();
        assert!(matches!(problem, frame::Error::Problem(_)));
    }
}

/// Thousands of mutations: whatever is accepted is the signed image, nothing panics.
#[test]
fn no_mutation_of_what_a_reader_says_gets_other_bytes_through() {
    let release = release(Package::Base, 2);
    let honest = transcript(&release.package);
    let mut chance: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut below = |limit: usize| {
        chance ^= chance >> 12;
        chance ^= chance << 25;
        chance ^= chance >> 27;
        usize::try_from(chance.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % limit.max(1)
    };
    // Headers are where a change goes deepest.
    let mut headers = Vec::new();
    let mut at = 0;
    for (_, content) in taken_apart(&honest) {
        headers.push(at);
        at += 5 + content.len();
    }
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..4000 {
        let mut bytes = honest.clone();
        for _ in 0..=below(3) {
            let at = if below(2) == 0 { headers[below(headers.len())] + below(5) } else { below(bytes.len()) };
            let at = at.min(bytes.len().saturating_sub(1));
            match below(6) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, u8::try_from(below(256)).unwrap()),
                2 => drop(bytes.drain(at..(at + below(64)).min(bytes.len()))),
                3 if !bytes.is_empty() => bytes[at] = u8::try_from(below(12)).unwrap(),
                4 if !bytes.is_empty() => bytes[at] ^= 1 << below(8),
                _ => bytes.extend_from_within(..at),
            }
            if bytes.is_empty() {
                break;
            }
        }
        match received(&release, bytes) {
            Ok(image) => {
                assert!(image == release.image, "round {round} let other bytes through");
                accepted += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 100 && refused > 2000, "{accepted} accepted, {refused} refused");
}

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn honest() -> Program {
    Program::at(env!("CARGO_BIN_EXE_update-agent"))
}

/// A reader that is a shell script; `$0` is a file of its choice.
fn hostile(script: &str, file: &Path) -> Program {
    let arguments = ["-c".into(), script.into(), file.as_os_str().to_owned()];
    Program::other("/bin/sh", arguments).with_patience(Duration::from_millis(400))
}

#[test]
fn the_real_process_hands_over_a_package_and_says_what_is_wrong_with_one() {
    let bench = Bench::new();
    let release = release(Package::Site, 11);
    let path = bench.file("site.pkg", &release.package);
    let mut package = PackageFile::open(&path, &trust(), &honest()).unwrap();
    assert_eq!((package.notes(), package.eula()), ("What is new.\n", None));
    assert!(drain(&mut package).unwrap() == release.image);

    let mut damaged = release.package.clone();
    let at = damaged.len() - 1024 - 700;
    damaged[at] ^= 1;
    let path = bench.file("damaged.pkg", &damaged);
    let Err(problem) = PackageFile::open(&path, &trust(), &honest()) else { unreachable!() };
    assert!(problem.to_string().contains("frame does not match its digest"), "{problem}");
    assert!(matches!(problem, Error::Content { .. }));
    let path = bench.file("rubbish.pkg", &[0x41; 3000]);
    let Err(problem) = PackageFile::open(&path, &trust(), &honest()) else { unreachable!() };
    assert!(matches!(problem, Error::Content { .. }), "{problem}");
}

/// The reader stands still before the first byte of its package: this is all it can ever do.
#[test]
fn a_reader_has_given_everything_away_before_the_first_byte() {
    let (package, mut writer) = pipe();
    // Something of ours that a careless program would hand down.
    let _ours = nix::unistd::pipe().unwrap();
    let (process, mut stream) = honest().start(package).unwrap();
    let mut kept = Vec::new();
    frame::receive(&mut stream, &[Kind::Confined], &mut kept).unwrap();
    let proc = PathBuf::from(format!("/proc/{}", process.id().unwrap()));
    let status = fs::read_to_string(proc.join("status")).unwrap();
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(value("NoNewPrivs:"), "1");
    assert_eq!(value("Threads:"), "1");
    let limits = fs::read_to_string(proc.join("limits")).unwrap();
    for name in ["Max open files", "Max processes", "Max core file size", "Max file size"] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert!(line.trim().starts_with("0 "), "{line}");
    }
    if nix::unistd::geteuid().is_root() {
        let user = child::USER.to_string();
        assert_eq!(value("Uid:"), [user.as_str(); 4].join(" "));
        assert_eq!(value("Gid:"), [user.as_str(); 4].join(" "));
        assert_eq!(value("Groups:"), "");
        for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
            assert_eq!(value(set), "0000000000000000");
        }
        let root = fs::read_link(proc.join("root")).unwrap();
        assert!(root.to_string_lossy().ends_with(" (deleted)"), "{}", root.display());
        let network = |of: &Path| fs::read_link(of.join("ns/net")).unwrap();
        let own = network(&proc) != network(Path::new("/proc/self"));
        assert_eq!(own, kept.is_empty(), "{}", String::from_utf8_lossy(&kept));
    } else {
        eprintln!("SKIPPED: only root can see a reader give its rights away");
        assert!(String::from_utf8_lossy(&kept).contains("only root can give them away"));
    }
    let files = fs::read_dir(proc.join("fd")).unwrap().count();
    assert!(files <= 5, "{files} open files: package, socket, null, and a copy of the first two");
    writer.write_all(b"x").unwrap();
}

fn pipe() -> (File, File) {
    let (read, write): (OwnedFd, OwnedFd) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    (read.into(), write.into())
}

#[test]
fn a_reader_that_dies_hangs_or_babbles_is_ended_with_a_clear_error() {
    let bench = Bench::new();
    let path = bench.file("base.pkg", &release(Package::Base, 2).package);
    for (script, wanted) in [
        ("exit 3", "it ended in the middle (exit status 3)"),
        ("kill -KILL $$", "it ended in the middle (ended by signal 9)"),
        ("exec sleep 1000", "it was silent for too long and was stopped"),
        ("while :; do printf '\\001'; sleep 0.02; done", "it sent a Confined frame of 16843009 bytes"),
        ("exec cat /dev/zero", "it sent a frame of the unknown kind 0"),
        ("exec yes", "it sent a frame of the unknown kind 121"),
        ("printf '\\002\\0\\0\\0\\0'", "it sent a Manifest frame where [Confined] must be"),
        ("printf '\\001\\4\\0\\0\\0abc'; sleep 1000", "it was silent for too long"),
    ] {
        let started = Instant::now();
        let Err(problem) = PackageFile::open(&path, &trust(), &hostile(script, &path)) else { unreachable!() };
        assert!(matches!(problem, Error::Reader(_)), "{script}: {problem}");
        assert!(problem.to_string().contains(wanted), "{script}: {problem}");
        assert!(started.elapsed() < Duration::from_secs(5), "{script}");
    }
}

#[test]
fn a_reader_ends_with_its_package() {
    let (package, _writer) = pipe();
    let (process, _stream) = honest().start(package).unwrap();
    let proc = PathBuf::from(format!("/proc/{}", process.id().unwrap()));
    assert!(proc.exists());
    drop(process);
    assert!(!proc.exists());
}

/// Whatever happens while pieces arrive, the slot stays empty and the boot state as safe as before.
#[test]
fn a_reader_that_fails_in_the_middle_leaves_the_slot_empty() {
    let bench = Bench::new();
    let [one, two, three] = [1, 2, 3].map(|sequence| release(Package::Base, sequence));
    let path = bench.file("base.pkg", &three.package);
    let honest = taken_apart(&transcript(&three.package));
    let piece = honest.iter().position(|(kind, _)| *kind == Kind::Piece).unwrap();
    let mut lying = honest.clone();
    lying[piece + 1].1[5] ^= 1;
    let mut extended = honest.clone();
    extended.insert(honest.len() - 1, honest[piece].clone());
    let whole = put_together(&honest);
    let cut = put_together(&honest[..=piece]);
    for (name, said, script, wanted) in [
        (
            "dies",
            &cut,
            "cat \"$0\"; dd bs=5 count=1 of=/dev/null <&1; exit 9",
            "it ended in the middle (exit status 9)",
        ),
        (
            "killed",
            &cut,
            "cat \"$0\"; dd bs=5 count=1 of=/dev/null <&1; kill -KILL $$",
            "it ended in the middle (ended by signal 9)",
        ),
        ("hangs", &cut, "cat \"$0\"; dd bs=5 count=1 of=/dev/null <&1; exec sleep 1000", "silent for too long"),
        (
            "lies",
            &put_together(&lying),
            "cat \"$0\"; dd bs=5 count=1 of=/dev/null <&1; exec sleep 1000",
            "is not what was signed",
        ),
        (
            "extends",
            &put_together(&extended),
            "cat \"$0\"; dd bs=5 count=1 of=/dev/null <&1; exec sleep 1000",
            "where [End] must be",
        ),
        (
            "never ends",
            &whole[..whole.len() - 5].to_vec(),
            "cat \"$0\"; dd bs=5 count=1 of=/dev/null <&1",
            "it ended in the middle",
        ),
    ] {
        let program = hostile(script, &bench.file(name, said));
        let good = SlotState::GOOD;
        let disk = Disk::new(medium([Some(&two), Some(&one)], [None, None], &state(A, good, good, None)));
        let trust = trust();
        let agent = Agent { site: None, ..agent(&disk, &trust, Some(running(A, None))) };
        let mut package = PackageFile::open(&path, &trust, &program).unwrap();
        let verified = package.verified().clone();
        let problem = agent.install(&verified, &mut package, &Model::default()).unwrap_err();
        assert!(problem.to_string().contains(wanted), "{name}: {problem}");
        let facts = agent.facts().unwrap();
        assert_eq!(*facts.base.get(B), Content::Empty, "{name}");
        assert!(matches!(derive(&facts), State::Steady { home: A, .. }), "{name}: {:?}", derive(&facts));
    }
}

#[test]
fn nobody_gets_anything_from_the_hidden_command_by_hand() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_update-agent")).arg("read-package").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is started by update-agent itself"));
}
