//! An appliance and a depot that the real publisher made: the agent's own code follows what `bulkhead depot` writes.
//!
//! `BULKHEAD_TEST_BIN` names the folder with `bulkhead`.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

#[expect(dead_code, reason = "shared with the tests of the depot, which use all of it")]
mod appliance;
#[expect(dead_code, reason = "its own publisher is not used here")]
mod depot_server;
mod disk_file;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use appliance::Appliance;
use depot_server::Server;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use fixtures::release;
use formats::manifest::Kind;

struct Bench {
    appliance: Appliance,
    folder: tempfile::TempDir,
    bulkhead: PathBuf,
    server: Server,
}

impl Bench {
    /// An appliance with base 1 and site 10, and a depot with base 2, whose package keys are the fixtures'; nothing without the program.
    fn new() -> Option<Self> {
        let Some(programs) = std::env::var_os("BULKHEAD_TEST_BIN") else {
            assert!(std::env::var_os("CI").is_none(), "CI must set BULKHEAD_TEST_BIN");
            println!("SKIPPED: needs BULKHEAD_TEST_BIN (scripts/test sets it)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let bulkhead = Path::new(&programs).join("bulkhead");
        let run = |arguments: &[&str]| ran(&bulkhead, folder.path(), arguments);
        run(&["keys", "depot", "keys", "--product", "demo"]);
        for (number, role) in [(1, "base"), (2, "site")] {
            write_pair(&path("keys"), role, &SigningKey::from_bytes(&[number; 32]));
        }
        run(&["depot", "init", "depot", "--keys", "keys", "--product", "demo"]);
        fs::write(path("two.pkg"), release(Kind::Base, 2).package).unwrap();
        run(&["depot", "add", "depot", "two.pkg", "--keys", "keys", "--channel", "stable"]);

        let server = Server::start(files(&path("depot")));
        let root = fs::read(path("depot/metadata/1.root.json")).unwrap();
        let appliance = Appliance::with_depot(&root, Some(&server.url));
        Some(Self { appliance, folder, bulkhead, server })
    }

    /// A file of the publisher.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes the depot, and shows it.
    fn publish(&self, arguments: &[&str]) {
        ran(&self.bulkhead, self.folder.path(), arguments);
        self.server.state.lock().unwrap().files = files(&self.path("depot"));
    }

    /// Other keys for a role, which take the place of the old ones.
    fn rotate(&self, role: &str) {
        let new = format!("new-{role}-{}", fs::read_dir(self.folder.path()).unwrap().count());
        ran(&self.bulkhead, self.folder.path(), &["keys", "depot", &new, "--role", "root", "--product", "demo"]);
        if role != "root" {
            write_pair(&self.path(&new), role, &SigningKey::from_bytes(&[77; 32]));
        }
        self.publish(&["depot", "rotate", "depot", role, "--new", &new, "--keys", "keys", "--keys", &new]);
        for file in [format!("{role}.key"), format!("{role}.pub")] {
            fs::copy(self.path(&new).join(&file), self.path("keys").join(&file)).unwrap();
        }
    }

    fn agent(&self, arguments: &[&str], code: i32) -> String {
        self.appliance.text(arguments, code)
    }

    /// Files asked for since the last time.
    fn asked(&self) -> Vec<String> {
        let name = |path: String| path.trim_start_matches("metadata/").to_owned();
        self.server.counts().0.into_iter().map(name).collect()
    }
}

fn ran(bulkhead: &Path, folder: &Path, arguments: &[&str]) {
    let output = Command::new(bulkhead).current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A key pair as `bulkhead keys` writes it.
fn write_pair(folder: &Path, role: &str, key: &SigningKey) {
    let private = folder.join(format!("{role}.key"));
    fs::write(&private, key.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes()).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).unwrap();
    let public = key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
    fs::write(folder.join(format!("{role}.pub")), public).unwrap();
}

/// Every file of a depot by its path.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn an_appliance_two_roots_behind_follows_three_rotations_and_refuses_the_key_that_was_taken_away() {
    let Some(bench) = Bench::new() else { return };
    assert!(bench.agent(&["check"], 0).contains("1 package"));
    bench.rotate("root");
    bench.agent(&["check"], 0);
    bench.asked();

    let before = files(&bench.path("depot"));
    bench.rotate("timestamp");
    bench.rotate("root");
    bench.agent(&["check"], 0);
    let asked = bench.asked();
    assert_eq!(asked[..3], ["3.root.json", "4.root.json", "5.root.json"], "{asked:?}");
    assert!(bench.agent(&["list"], 0).contains("base/demo-base-2.0.0"));

    // Whoever shows the depot of before is not believed any more, and what was known stays.
    let now = std::mem::replace(&mut bench.server.state.lock().unwrap().files, before);
    let text = bench.agent(&["check"], 4);
    assert!(text.contains("[depot-untrusted]"), "{text}");
    bench.server.state.lock().unwrap().files = now;

    bench.rotate("base");
    bench.agent(&["check"], 0);
    let text = bench.agent(&["stage", "base/demo-base-2.0.0"], 4);
    assert!(text.contains("[wrong-key]"), "{text}");
}

#[test]
fn an_unchanged_depot_costs_the_root_that_is_not_there_and_the_timestamp() {
    let Some(bench) = Bench::new() else { return };
    bench.agent(&["check"], 0);
    let (first, news) = bench.server.counts();
    bench.agent(&["check"], 0);
    let (asked, bytes) = bench.server.counts();
    assert_eq!(asked, ["metadata/2.root.json", "metadata/timestamp.json"]);
    assert_eq!(bytes, bench.path("depot/metadata/timestamp.json").metadata().unwrap().len());
    println!(
        "measured: first {} requests, {news} bytes; unchanged {} requests, {bytes} bytes",
        first.len(),
        asked.len()
    );
}
