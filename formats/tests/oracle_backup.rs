//! Backups beside `age` and `tar`: who has a passphrase or a key opens one without our software, by the commands of `docs/backup.md`.

mod tool;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output};

use formats::age::{self, Identity, Key, Lock, Recipient};
use formats::backup::{self, Contents};
use formats::{Bytes, Digest};
use tool::have;

const MANUAL: &str = include_str!("../../docs/backup.md");
const TABLE: &[u8] = include_bytes!("../fuzz/corpus/backup/table");
const PASSPHRASE: &str = "vier ganz einfache Wörter";

fn run(folder: &Path, tool: &str, arguments: &[&str]) -> Output {
    let output = Command::new(tool).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs a shell script on a terminal of its own and answers each question about a passphrase there.
fn at_a_terminal(folder: &Path, script: &str) -> String {
    let python = "import os, pty, sys
pid, terminal = pty.fork()
if pid == 0: os.execvp('sh', ['sh', '-ec', sys.argv[1]])
said, answered = b'', 0
while True:
    try: piece = os.read(terminal, 4096)
    except OSError: break
    if not piece: break
    said += piece
    if said.lower().count(b'passphrase') > answered and said.rstrip().endswith(b':'):
        answered = said.lower().count(b'passphrase')
        os.write(terminal, sys.argv[2].encode() + b'\\n')
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.stdout.buffer.write(said)
sys.exit(status)";
    let output = run(folder, "python3", &["-c", python, script, PASSPHRASE]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn chance() -> impl FnMut(&mut [u8]) -> std::io::Result<()> {
    |buffer| fs::File::open("/dev/urandom")?.read_exact(buffer)
}

/// A backup with one file, encrypted.
fn sealed(lock: Lock<'_>) -> Vec<u8> {
    let contents = Contents::parse(TABLE).unwrap();
    let to = age::seal(Vec::new(), lock, &mut chance()).unwrap();
    backup::write(to, &contents, |_| Ok(b"abc".as_slice()), |_| {}).unwrap().finish().unwrap()
}

/// The commands below a heading of the manual.
fn commands(heading: &str) -> &'static str {
    let section = MANUAL.split(heading).nth(1).unwrap_or_else(|| panic!("the manual has no \"{heading}\""));
    section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap()
}

fn check_unpacked(folder: &Path) {
    let table = fs::read(folder.join(backup::CONTENTS)).unwrap();
    let contents = Contents::parse(&table).unwrap();
    assert_eq!(contents, Contents::parse(TABLE).unwrap());
    for file in &contents.files {
        let content = fs::read(folder.join(&file.path)).unwrap();
        assert_eq!((Digest::of(&content), Bytes(content.len() as u64)), (file.sha256, Bytes(file.bytes)));
    }
}

#[test]
fn the_commands_of_the_manual_open_a_backup_with_its_passphrase() {
    if !have("age") || !have("python3") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("FILE.backup.age"), sealed(Lock::Passphrase(PASSPHRASE))).unwrap();
    let said = at_a_terminal(folder.path(), commands("With the passphrase"));
    assert!(said.contains("backup.json") && said.contains("bulkhead/network.json: OK"), "{said}");
    check_unpacked(folder.path());
}

#[test]
fn the_commands_of_the_manual_make_a_key_and_open_a_backup_with_it() {
    if !have("age") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = run(folder.path(), "sh", &["-ec", commands("Making a key")]);
    let public = String::from_utf8(made.stdout).unwrap();
    let recipient: Recipient = public.trim().parse().unwrap();
    let key = Identity::parse(&fs::read_to_string(folder.path().join("key.txt")).unwrap()).unwrap();
    assert_eq!(key.recipient().unwrap(), recipient, "both halves as age-keygen says");
    fs::write(folder.path().join("FILE.backup.age"), sealed(Lock::Recipients(&[recipient]))).unwrap();
    run(folder.path(), "sh", &["-ec", commands("With a key")]);
    check_unpacked(folder.path());
}

#[test]
fn what_age_encrypts_is_opened_here() {
    if !have("age") || !have("python3") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Longer than a chunk, and exactly one.
    for length in [0, 64 << 10, 100_000] {
        let content: Vec<u8> = (0..length).map(|at: u32| u8::try_from(at % 251).unwrap()).collect();
        fs::write(folder.path().join("content"), &content).unwrap();
        run(
            folder.path(),
            "sh",
            &["-ec", "rm -f key.txt; age-keygen -o key.txt 2>/dev/null; age-keygen -y key.txt >public"],
        );
        run(folder.path(), "sh", &["-ec", "age -r \"$(cat public)\" -o for-key content"]);
        at_a_terminal(folder.path(), "rm -f for-words; age -p -o for-words content");
        let key = Identity::parse(&fs::read_to_string(folder.path().join("key.txt")).unwrap()).unwrap();
        for (file, key) in [("for-key", Key::Identity(&key)), ("for-words", Key::Passphrase(PASSPHRASE))] {
            let mut back = Vec::new();
            age::open(fs::File::open(folder.path().join(file)).unwrap(), key).unwrap().read_to_end(&mut back).unwrap();
            assert!(back == content, "{file}, {length}");
        }
    }
}

#[test]
fn age_refuses_what_we_refuse() {
    if !have("age") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "sh", &["-ec", "age-keygen -o key.txt 2>/dev/null"]);
    let key = Identity::parse(&fs::read_to_string(folder.path().join("key.txt")).unwrap()).unwrap();
    let mut file = age::seal(Vec::new(), Lock::Recipients(&[key.recipient().unwrap()]), &mut chance()).unwrap();
    file.write_all(&vec![7; 100_000]).unwrap();
    let good = file.finish().unwrap();
    for bad in [good[..good.len() - 1].to_vec(), [good.as_slice(), b"x"].concat(), good[..good.len() - 34_480].to_vec()]
    {
        fs::write(folder.path().join("bad"), &bad).unwrap();
        let mut theirs = Command::new("age");
        theirs.args(["-d", "-i", "key.txt", "-o", "/dev/null", "bad"]).current_dir(folder.path());
        assert!(!theirs.output().unwrap().status.success());
        let ours = age::open(bad.as_slice(), Key::Identity(&key)).unwrap().read_to_end(&mut Vec::new());
        assert!(ours.is_err());
    }
}
