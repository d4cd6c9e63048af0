//! The program itself on a disk image file: pre-provisioning, and the same code as on the appliance.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

mod disk_file;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fixtures::{release, release_with, trust};
use formats::manifest::Kind;

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    /// An image with base 1 and site 10 in their slots A, each partition one MiB, and a trust store beside it.
    fn new() -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        disk_file::write(&bench.path("disk.img"), |_| 1);
        fs::write(bench.path("trust.json"), trust().encode().unwrap()).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn package(&self, kind: Kind, sequence: u64) -> PathBuf {
        let path = self.path(&format!("{kind}-{sequence}.pkg"));
        fs::write(&path, release(kind, sequence).package).unwrap();
        path
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_update-agent"))
            .args(arguments)
            .arg("--disk")
            .arg(self.path("disk.img"))
            .arg("--trust")
            .arg(self.path("trust.json"))
            .output()
            .unwrap()
    }

    fn install(&self, package: &Path) -> Output {
        self.run(&["install", package.to_str().unwrap()])
    }

    fn status(&self) -> String {
        let output = self.run(&["status"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn problem(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn a_base_is_installed_and_taken_back() {
    let bench = Bench::new();
    assert!(bench.status().contains("slot A is good; nothing is pending"), "{}", bench.status());
    let output = bench.install(&bench.package(Kind::Base, 2));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let status = bench.status();
    for wanted in [
        "slot B starts on trial at the next restart",
        "next      slot B, demo-base 2.0.0; else slot A, demo-base 1.0.0",
    ] {
        assert!(status.contains(wanted), "{status}");
    }
    assert_eq!(bench.run(&["rollback"]).status.code(), Some(0));
    assert!(bench.status().contains("next      slot A, demo-base 1.0.0"), "{}", bench.status());
}

#[test]
fn an_ordinary_user_is_told_what_the_reader_of_the_package_keeps() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    let bench = Bench::new();
    let package = bench.package(Kind::Base, 2);
    let mut command = Command::new(env!("CARGO_BIN_EXE_update-agent"));
    command.arg("install").arg(&package).arg("--disk").arg(bench.path("disk.img"));
    command.arg("--trust").arg(bench.path("trust.json"));
    if nix::unistd::geteuid().is_root() {
        // Whoever may start the program and write to the image; a program of its own, for it may lie where only root looks.
        let program = bench.path("update-agent");
        fs::copy(env!("CARGO_BIN_EXE_update-agent"), &program).unwrap();
        for (path, mode) in [(bench.directory.path(), 0o755), (&bench.path("disk.img"), 0o666), (&program, 0o755)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut other = Command::new(program);
        other.args(command.get_args()).uid(65_531).gid(65_531);
        command = other;
    }
    let output = command.output().unwrap();
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("is not confined as on an appliance: it keeps the rights of user "), "{said}");
}

#[test]
fn a_site_is_switched() {
    let bench = Bench::new();
    assert_eq!(bench.install(&bench.package(Kind::Site, 11)).status.code(), Some(0));
    assert!(bench.status().contains("next site slot B, demo-site 11.0.0"), "{}", bench.status());
    assert_eq!(bench.run(&["rollback", "--site"]).status.code(), Some(0));
    assert!(bench.status().contains("next site slot A, demo-site 10.0.0"), "{}", bench.status());
}

#[test]
fn refusals_have_their_exit_codes_and_change_nothing() {
    let bench = Bench::new();
    let before = fs::read(bench.path("disk.img")).unwrap();
    let good = bench.package(Kind::Base, 2);
    let cut = bench.path("cut.pkg");
    let bytes = fs::read(&good).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 2048]).unwrap();
    let forged = bench.path("forged.pkg");
    let mut changed = bytes.clone();
    let at = changed.windows(9).position(|window| window == b"demo-base").unwrap();
    changed[at] = b'x';
    fs::write(&forged, changed).unwrap();
    let long = bench.path("long.pkg");
    fs::write(&long, [bytes.as_slice(), &[0; 512]].concat()).unwrap();

    assert!(problem(&bench.install(&cut), 3).contains("cut off"));
    assert!(problem(&bench.install(&long), 3).contains("something follows it"));
    assert!(problem(&bench.install(&forged), 4).contains("did not sign these bytes"));
    assert!(problem(&bench.install(&bench.package(Kind::Base, 0)), 5).contains("going back is refused"));
    assert!(problem(&bench.install(&bench.path("none.pkg")), 6).contains("none.pkg"));
    problem(&bench.run(&["rollback"]), 5);
    problem(&bench.run(&["frobnicate"]), 2);
    let image = bench.path("disk.img");
    let output =
        Command::new(env!("CARGO_BIN_EXE_update-agent")).arg("status").arg("--disk").arg(&image).output().unwrap();
    assert!(problem(&output, 2).contains("--trust FILE"));
    assert!(fs::read(image).unwrap() == before, "a refusal wrote to the image");
}

#[test]
fn a_swapped_payload_is_refused_before_the_image_changes() {
    let bench = Bench::new();
    let path = bench.package(Kind::Base, 2);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() - 1024 - 700;
    bytes[at] ^= 0x55;
    fs::write(&path, bytes).unwrap();
    let before = fs::read(bench.path("disk.img")).unwrap();
    assert!(problem(&bench.install(&path), 3).ends_with("[digest-mismatch]\n"));
    assert!(fs::read(bench.path("disk.img")).unwrap() == before);
}

#[test]
fn a_package_whose_signed_root_hash_is_not_that_of_its_image_is_the_packages_fault_and_leaves_the_slot_empty() {
    let bench = Bench::new();
    let wrong = release_with(Kind::Base, 2, |manifest| {
        let image = manifest.image.as_mut().unwrap();
        image.root_hash = formats::Digest::of(b"something else");
    });
    let path = bench.path("wrong.pkg");
    fs::write(&path, wrong.package).unwrap();
    let text = problem(&bench.install(&path), 4);
    assert!(text.contains("does not match the root hash") && text.ends_with("[wrong-root-hash]\n"), "{text}");
    let status = bench.status();
    assert!(status.contains("next      slot A, demo-base 1.0.0"), "{status}");
    assert!(status.lines().any(|line| line.trim() == "base B    empty"), "{status}");
    // What it is really made of goes in.
    assert_eq!(bench.install(&bench.package(Kind::Base, 2)).status.code(), Some(0));
}

#[test]
fn two_agents_do_not_change_one_image() {
    let bench = Bench::new();
    let _held = update_agent::disk::image::Image::open(&bench.path("disk.img")).unwrap();
    assert!(problem(&bench.install(&bench.package(Kind::Base, 2)), 5).contains("another update-agent"));
}

#[test]
fn a_factory_reset_is_ordered_shown_and_taken_back() {
    let bench = Bench::new();
    let before = fs::read(bench.path("disk.img")).unwrap();
    // No terminal to ask on.
    assert!(problem(&bench.run(&["factory-reset"]), 2).contains("--confirm demo.example"));
    assert!(problem(&bench.run(&["factory-reset", "--confirm", "yes"]), 5).contains("the text \"demo.example\""));
    problem(&bench.run(&["factory-reset", "--cancel"]), 5);
    assert!(fs::read(bench.path("disk.img")).unwrap() == before, "a refusal wrote to the image");

    let output = bench.run(&["factory-reset", "--confirm", "demo.example", "--power-off"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let status = bench.status();
    assert!(status.contains("reset     the next restart destroys everything in /data"), "{status}");
    assert!(status.contains("turns itself off; asked for by"), "{status}");
    assert!(problem(&bench.install(&bench.package(Kind::Base, 2)), 5).contains("[reset-pending]"));
    assert_eq!(bench.run(&["factory-reset", "--cancel"]).status.code(), Some(0));
    assert!(fs::read(bench.path("disk.img")).unwrap() == before, "taking it back leaves something");
}
