//! Recordings made by hand: right ones, and ones with a mistake that has to be found.

use super::*;
use crate::power_cut::fixture::{Mistake, small_disk, trust, update};
use formats::manifest::Kind;

/// A recording of an update of the small appliance.
fn recording(mistake: Mistake) -> (tempfile::TempDir, Replay) {
    let folder = tempfile::tempdir().unwrap();
    let disk = small_disk();
    let log = update(disk.path(), mistake);
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    put("before.img", &fs::read(disk.path()).unwrap());
    put("writes.log", &log.bytes());
    put("trust.json", &trust().encode().unwrap());
    let recording = Recording {
        format: 1,
        kind: Kind::Base,
        name: "demo-base".into(),
        version: "2.0.0".into(),
        firmware: "bios".into(),
        entries: 0,
        log_bytes: 0,
        seconds: 0,
        folder: folder.path().to_owned(),
    };
    put("recording.json", &serde_json::to_vec(&recording).unwrap());
    let replay = Replay {
        recording: Recording::open(folder.path()).unwrap(),
        agent: None,
        seed: 1,
        variants: 100,
        judge: None,
        boot: 0,
        jobs: 1,
        firmwares: vec![Firmware::Bios],
        then: None,
        only: None,
        keep: None,
    };
    (folder, replay)
}

fn problems(report: &Report) -> String {
    report.violations.iter().flat_map(|violation| violation.problems.clone()).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_update_in_the_right_order_has_no_violation() {
    let (_folder, replay) = recording(Mistake::None);
    let mut last = None;
    let report = replay.run(&mut |progress| last = Some(progress.judged)).unwrap();
    assert_eq!(report.violations, [], "{}", problems(&report));
    assert_eq!((report.boundaries, report.entries), (8, 18));
    assert!(report.judged > 150 && report.judged == report.disks, "{report:?}");
    assert_eq!(last, Some((report.judged, report.judged)));
    assert_eq!((report.judged_boundaries, report.judged_torn), (8, report.judged - 8));
    // Before, on trial, kept; nothing else ever starts.
    let starts: Vec<&str> = report.starts.keys().map(String::as_str).collect();
    assert_eq!(starts, ["slot A 1.0.0 (good)", "slot B 2.0.0 (good)", "slot B 2.0.0 (on trial)"]);
    // Slot A never changes and slot B is startable only when it is complete: each is proved once.
    assert_eq!(report.proofs, 2);
}

#[test]
fn a_forgotten_flush_is_found() {
    let (_folder, replay) = recording(Mistake::ForgottenFlush);
    let report = replay.run(&mut |_| {}).unwrap();
    assert!(problems(&report).contains("base slot B would be started (on trial, 3 tries left), but"), "{report:?}");
    // At the flushes themselves everything is well: only what lies between them shows the mistake.
    assert!(report.violations.iter().all(|violation| !violation.cut.ends_with(".0")), "{report:?}");
    let report = Replay { variants: 0, ..replay }.run(&mut |_| {}).unwrap();
    assert!(report.violations.is_empty() && report.judged == report.boundaries, "{report:?}");
}

#[test]
fn every_other_mistake_is_found_too() {
    for (mistake, expected) in [
        (Mistake::SlotNotGivenAway, "base slot B would be started (good, 5 tries left), but"),
        (Mistake::BothCopies, "neither block of the boot state is whole"),
        (Mistake::Lost, "release 2 of the base was kept for good; this disk starts release 1"),
    ] {
        let (_folder, replay) = recording(mistake);
        let report = replay.run(&mut |_| {}).unwrap();
        assert!(problems(&report).contains(expected), "{expected}: {report:?}");
    }
}

#[test]
fn one_disk_is_made_again_by_its_name() {
    let (folder, replay) = recording(Mistake::ForgottenFlush);
    let report = replay.run(&mut |_| {}).unwrap();
    let violation = &report.violations[0];
    let kept = folder.path().join("kept.img");
    let again = Replay { only: Some(violation.cut.parse().unwrap()), keep: Some(kept.clone()), ..replay };
    let report = again.run(&mut |_| {}).unwrap();
    assert_eq!((report.judged, &report.violations[0]), (1, violation));
    let disk = WorkingCopy::open(&kept, tempfile::tempfile().unwrap()).unwrap();
    let verdict = Judge::new(trust()).look(&disk).unwrap();
    // Nothing was known of the order of things when the image was looked at alone.
    assert_eq!(verdict.problems.len(), violation.problems.len(), "{verdict:?}");
    let unknown = Replay { only: Some("99.0".parse().unwrap()), ..again };
    assert!(unknown.run(&mut |_| {}).unwrap_err().to_string().contains("there is no disk 99.0"));
}

#[test]
fn a_sample_judges_as_many_as_asked_for_and_applies_the_rest() {
    let (_folder, replay) = recording(Mistake::None);
    let report = Replay { judge: Some(20), ..replay.clone() }.run(&mut |_| {}).unwrap();
    assert_eq!(report.judged, 20);
    assert!(report.disks > 150 && report.violations.is_empty(), "{report:?}");
    // The last of three moments sees what was written in those that were passed over.
    let report = Replay { judge: Some(3), variants: 0, ..replay }.run(&mut |_| {}).unwrap();
    assert_eq!((report.disks, report.judged), (8, 3));
    assert!(report.starts.contains_key("slot B 2.0.0 (on trial)"), "{report:?}");
}

#[test]
fn a_log_that_ends_early_or_does_not_fit_the_disk_is_an_error() {
    let (folder, replay) = recording(Mistake::None);
    let path = folder.path().join("writes.log");
    let log = fs::read(&path).unwrap();
    fs::write(&path, &log[..log.len() - 512]).unwrap();
    assert!(replay.run(&mut |_| {}).unwrap_err().chain().contains("it ends at byte"));
    fs::write(&path, &log).unwrap();
    let before = File::options().write(true).open(folder.path().join("before.img")).unwrap();
    before.set_len(1 << 20).unwrap();
    assert!(replay.run(&mut |_| {}).unwrap_err().chain().contains("beyond a disk"));
}

#[test]
fn nothing_of_the_work_stays_in_the_folder() {
    let (folder, replay) = recording(Mistake::None);
    replay.run(&mut |_| {}).unwrap();
    let mut names: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["before.img", "recording.json", "trust.json", "writes.log"]);
}
