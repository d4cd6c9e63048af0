//! A sample of the scenarios, each on one firmware: what `scripts/scenarios` plays in full.
//!
//! The lab (images and packages) is built by `scripts/lab` from the programs under test, which `BULKHEAD_TEST_BIN` names.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use qemu::scenario::{Files, Setting, StepResult, play};
use qemu::{FirmwareName, Scenario};

#[test]
fn a_base_update_is_installed_tried_committed_and_stays() {
    passes("base-update", FirmwareName::SecureBoot);
}

#[test]
fn a_release_that_panics_gives_way_and_status_says_why() {
    passes("kernel-panic", FirmwareName::Bios);
}

#[test]
fn a_power_cut_while_a_slot_is_written_leaves_the_old_release_and_a_retry_completes() {
    passes("power-cut-write", FirmwareName::Uefi);
}

#[test]
fn an_update_changes_the_disk_that_was_started_and_not_its_twin() {
    passes("two-disks", FirmwareName::Bios);
}

#[test]
fn a_site_update_goes_live_without_a_restart_is_committed_and_stays() {
    passes("site-update", FirmwareName::Bios);
}

#[test]
fn a_release_that_keeps_the_application_from_running_is_given_up_with_the_reason() {
    passes("dead-application", FirmwareName::Uefi);
}

#[test]
fn a_scenario_that_expects_something_else_fails_with_the_step_and_the_console() {
    let Some(lab) = lab() else { return };
    let text = "title = \"t\"\nsteps = [\n{ power = \"on\" },\n{ expect = \"BULKHEAD READY\" },\n\
        { status = { \"/lifecycle/running/slot\" = \"b\" } },\n]\n[disk]\nimage = \"$first\"\n";
    let scenario = Scenario::parse(text, "wrong.toml").unwrap();
    let error = run(&scenario, FirmwareName::Bios, lab).expect_err("slot B is empty");
    assert!(error.contains("step 3 (line 5, status /lifecycle/running/slot is \"b\")"), "{error}");
    assert!(error.contains("it is \"a\"") && error.contains("last 40 serial lines"), "{error}");
}

#[test]
fn every_scenario_file_is_right_and_named_in_the_documentation() {
    let text = std::fs::read_to_string(root().join("docs/scenarios.md")).unwrap();
    let (mut count, mut secure) = (0, 0);
    for entry in
        ["qemu/scenarios", "qemu/release"].iter().flat_map(|folder| std::fs::read_dir(root().join(folder)).unwrap())
    {
        let path = entry.unwrap().path();
        let file = std::fs::read_to_string(&path).unwrap();
        let scenario = Scenario::parse(&file, &path.display().to_string()).unwrap_or_else(|error| panic!("{error}"));
        assert!(
            text.contains(&format!("| `{}` |", scenario.name)),
            "docs/scenarios.md does not list {}",
            scenario.name
        );
        // Said, not left to the default: whether Secure Boot matters is a decision.
        assert!(file.contains("\nfirmware = ["), "{} does not name its firmware", scenario.name);
        for needed in [FirmwareName::Bios, FirmwareName::Uefi] {
            assert!(scenario.firmware.contains(&needed), "{} is not for {needed}", scenario.name);
        }
        secure += u32::from(scenario.firmware.contains(&FirmwareName::SecureBoot));
        count += 1;
    }
    assert!(count >= 30 && secure >= 4, "only {count} scenarios, {secure} of them for Secure Boot");
}

fn passes(name: &str, firmware: FirmwareName) {
    let Some(lab) = lab() else { return };
    let path = root().join(format!("qemu/scenarios/{name}.toml"));
    let scenario = Scenario::parse(&std::fs::read_to_string(&path).unwrap(), &path.display().to_string()).unwrap();
    assert!(scenario.firmware.contains(&firmware), "{name} is not for {firmware}");
    if let Err(error) = run(&scenario, firmware, lab) {
        panic!("{error}");
    }
}

fn run(scenario: &Scenario, firmware: FirmwareName, lab: &Path) -> Result<(), String> {
    let mut files = Files::default();
    files.look_in(lab);
    let logs = root().join("out/scenarios");
    std::fs::create_dir_all(&logs).unwrap();
    let told =
        |step: &StepResult<'_>| println!("{:3} {:6.1} s {}", step.number, step.time.as_secs_f64(), step.step.action);
    let setting = Setting {
        files: &files,
        folder: &root().join("qemu/scenarios"),
        firmware: firmware.firmware(Some(&root().join("rootfs/minimal/keys"))).unwrap(),
        program: Path::new(env!("CARGO_BIN_EXE_bulkhead-vm")),
        logs: &logs,
        stop: &AtomicBool::new(false),
        told: &told,
    };
    play(scenario, &setting).map_err(|error| error.chain())
}

/// The lab's folder, or `None` with a loud line; in CI its absence is a failure.
fn lab() -> Option<&'static Path> {
    static LAB: OnceLock<Option<PathBuf>> = OnceLock::new();
    LAB.get_or_init(|| {
        if std::env::var_os("BULKHEAD_TEST_BIN").is_none() {
            assert!(std::env::var_os("CI").is_none(), "CI must set BULKHEAD_TEST_BIN");
            println!("SKIPPED: needs BULKHEAD_TEST_BIN (scripts/test sets it)");
            return None;
        }
        let folder = root().join("out/lab");
        let status = Command::new(root().join("scripts/lab")).arg(&folder).status().unwrap();
        assert!(status.success(), "scripts/lab failed: {status}");
        Some(folder)
    })
    .as_deref()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
