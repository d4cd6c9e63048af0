//! A sample of `scripts/power-cuts`: a real base update is recorded, power cuts of it are judged, and some of what they leave is started.
//!
//! The lab (images and packages) is built by `scripts/lab` from the programs under test, which `BULKHEAD_TEST_BIN` names.

use std::path::{Path, PathBuf};
use std::process::Command;

use formats::Bytes;
use qemu::power_cut::{Recorder, Recording, Replay};
use qemu::{Firmware, Result};

#[test]
fn no_power_cut_of_a_base_update_leaves_a_disk_that_does_not_start() {
    let Some((bin, lab)) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    if let Err(error) = cuts(&bin, &lab, folder.path()) {
        panic!("{}", error.chain());
    }
}

fn cuts(bin: &Path, lab: &Path, folder: &Path) -> Result<()> {
    let recorder = Recorder {
        image: lab.join("first.img"),
        package: lab.join("good-base.pkg"),
        folder: folder.to_owned(),
        firmware: Firmware::Bios,
        size: Some(Bytes::GIB),
        tap: None,
    };
    let recording = recorder.record(&mut |step| println!("{step}"))?;
    assert_eq!(Recording::open(folder)?, recording);
    let replay = Replay {
        recording,
        agent: Some(bin.join("update-agent")),
        seed: 1,
        variants: 10,
        judge: Some(200),
        boot: 2,
        jobs: 1,
        firmwares: vec![Firmware::Bios, Firmware::Uefi],
        then: Some("update-agent status".into()),
        only: None,
        keep: None,
    };
    let report = replay.run(&mut |_| {})?;
    println!("{report:#?}");
    assert!(report.violations.is_empty(), "{report:#?}");
    assert!(report.judged == 200 && report.asked == 200 && report.boundaries > 30, "{report:#?}");
    // The history is there from its beginning to its end: before, on trial, kept.
    let seen = |text: &str| report.starts.keys().any(|start| start.starts_with(text));
    assert!(
        seen("slot A 1.0.0 (good)") && seen("slot B 1.1.0 (on trial)") && seen("slot B 1.1.0 (good)"),
        "{report:#?}"
    );
    assert_eq!(report.booted.values().sum::<usize>(), 2, "{report:#?}");
    Ok(())
}

/// The programs under test and the folder with the lab, or `None` with a loud line; in CI their absence is a failure.
fn lab() -> Option<(PathBuf, PathBuf)> {
    let Some(bin) = std::env::var_os("BULKHEAD_TEST_BIN").map(PathBuf::from) else {
        assert!(std::env::var_os("CI").is_none(), "CI must set BULKHEAD_TEST_BIN");
        println!("SKIPPED: needs BULKHEAD_TEST_BIN (scripts/test sets it)");
        return None;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let lab = root.join("out/lab");
    let output = Command::new(root.join("scripts/lab")).arg(&lab).env("BULKHEAD_TEST_BIN", &bin).output().unwrap();
    assert!(output.status.success(), "scripts/lab: {}", String::from_utf8_lossy(&output.stderr));
    Some((bin, lab))
}
