//! Licence packages through the real program: made, looked at, verified, compared, signed by a second person, published.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use builder::keys;

const ACME: &str = r#"licence = 1
product = "demo"
name = "demo-support"
version = "1.0.0"
sequence = 1
source-date-epoch = 1767225600
hostname = "demo.example"
count = 15
features = ["chat", "recording"]
expires = "2027-12-31"
grace-days = 30
entitled-until = "2028-06-30"
notes = "notes.md"
eula = "eula.txt"
"#;

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        keys::depot::make(&desk.path("keys"), &roles(), true, 1_700_000_000, "demo").unwrap();
        desk.write("acme.toml", ACME);
        desk.write("notes.md", "For Acme.\n");
        desk.write("eula.txt", "Be kind.\n");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Runs the program in this folder; its output, and its exit code as expected.
    fn run(&self, code: i32, line: &str) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_bulkhead"))
            .args(line.split(' '))
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {text}");
        text
    }
}

fn roles() -> Vec<&'static str> {
    [&["base", "site"][..], &keys::depot::ROLES[..]].concat()
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "\"{word}\" in {text}");
    }
}

const MAKE: &str = "package licence acme.toml -o out --keys keys";
const PACKAGE: &str = "out/demo-support-licence-1.0.0.pkg";

#[test]
fn a_licence_is_made_the_same_twice_and_every_verb_for_packages_takes_it() {
    let desk = Desk::new();
    has(
        &desk.run(0, MAKE),
        &[PACKAGE, "demo-support 1.0.0", "15 licences, features chat and recording, for demo.example"],
    );
    desk.run(0, "package licence acme.toml -o again --keys keys");
    let first = fs::read(desk.path(PACKAGE)).unwrap();
    assert_eq!(first, fs::read(desk.path("again/demo-support-licence-1.0.0.pkg")).unwrap());
    assert_eq!(fs::metadata(desk.path(PACKAGE)).unwrap().permissions().mode() & 0o777, 0o644);
    has(
        &desk.run(0, &format!("inspect {PACKAGE}")),
        &[
            "licence package demo-support 1.0.0 (development)",
            "licences     15",
            "feature      chat",
            "then 30 days of grace",
        ],
    );
    has(&desk.run(0, &format!("verify {PACKAGE} --trust keys")), &["licence demo-support 1.0.0 by licence.pub"]);

    desk.write("acme.toml", &ACME.replace("1.0.0", "1.1.0").replace("= 15", "= 20").replace("\"chat\", ", ""));
    desk.run(0, MAKE);
    has(
        &desk.run(0, &format!("diff {PACKAGE} out/demo-support-licence-1.1.0.pkg")),
        &["licences: 15 -> 20", "features: chat; recording -> recording", "version: 1.0.0 -> 1.1.0"],
    );

    // A second signer who has nothing but a licence key.
    keys::depot::make(&desk.path("second"), &["licence"], true, 1_700_000_000, "demo").unwrap();
    has(&desk.run(0, &format!("sign {PACKAGE} --keys second -o both.pkg")), &["2 signature(s)"]);
    has(&desk.run(5, &format!("sign {PACKAGE} --keys keys -o more.pkg")), &["signed by the licence key"]);
    desk.run(0, "package licence acme.toml -o two --keys keys --keys second");

    desk.run(0, "depot init depot --keys keys --product demo");
    has(
        &desk.run(0, &format!("depot add depot {PACKAGE} --keys keys --channel stable")),
        &["licence/demo-support-1.0.0"],
    );
    has(&desk.run(0, "depot lint depot"), &[]);
    has(&desk.run(0, "depot show depot"), &["licence/demo-support-1.0.0"]);
}

#[test]
fn the_same_content_has_the_same_build_and_any_other_another() {
    let desk = Desk::new();
    let build = |text: &str| {
        desk.write("acme.toml", text);
        let folder = tempfile::tempdir_in(desk.0.path()).unwrap();
        let made = builder::licence::make(&desk.path("acme.toml"), folder.path(), &[desk.path("keys")]).unwrap();
        made.manifest.build_id
    };
    let first = build(ACME);
    assert_eq!(build(&format!("# a comment\n{ACME}")), first);
    for (from, to) in [("= 15", "= 16"), ("demo.example", "other.example"), ("2027", "2029"), ("\"chat\", ", "")] {
        assert_ne!(build(&ACME.replacen(from, to, 1)), first, "{to}");
    }
    desk.write("notes.md", "For somebody else.\n");
    assert_ne!(build(ACME), first);
}

#[test]
fn what_is_wrong_with_a_licence_is_said_and_nothing_is_made() {
    let desk = Desk::new();
    for (from, to, words) in [
        ("count = 15", "cout = 15", &["acme.toml:8:1", "unknown key \"cout\"", "did you mean \"count\""][..]),
        ("licence = 1", "licence = 2", &["licence = 2", "reads 1"]),
        ("grace-days = 30", "grace-days = 9999", &["9999 days of grace"]),
        ("2027-12-31", "2027-02-30", &["2027-02-30"]),
        ("\"chat\"", "\"Chat\"", &["feature \"Chat\""]),
        ("name = \"demo-support\"", "name = \"../x\"", &["name \"../x\""]),
        ("version = \"1.0.0\"", "version = \"1\"", &["acme.toml:4:"]),
        ("sequence = 1\n", "sequence = -1\n", &["acme.toml:5:"]),
    ] {
        desk.write("acme.toml", &ACME.replacen(from, to, 1));
        has(&desk.run(3, MAKE), words);
    }
    desk.write("acme.toml", ACME);
    desk.write("eula.txt", "\u{1b}[2J");
    has(&desk.run(3, MAKE), &["eula", "control character"]);
    desk.write("eula.txt", "Be kind.\n");
    fs::create_dir(desk.path("empty")).unwrap();
    has(&desk.run(3, "package licence acme.toml -o out --keys empty"), &["no licence.key", "bulkhead keys depot"]);
    has(&desk.run(6, "package licence missing.toml -o out --keys keys"), &["missing.toml"]);
    assert!(!Path::new(&desk.path(PACKAGE)).exists());
    desk.run(0, MAKE);
    let before = fs::read(desk.path(PACKAGE)).unwrap();
    desk.write("acme.toml", &ACME.replace("= 15", "= 99"));
    has(&desk.run(5, MAKE), &["exists"]);
    assert_eq!(fs::read(desk.path(PACKAGE)).unwrap(), before);
    assert_eq!(fs::read_dir(desk.path("out")).unwrap().count(), 1, "nothing unfinished is left");
}
