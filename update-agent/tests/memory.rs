//! An update takes little memory, however large it is: the real program installs a base of more than 128 MiB into an image file.
//!
//! Measured is `VmHWM` of that process and of every process it starts, added up, each at its highest. It is the program cargo builds
//! for tests; the one on an appliance is static, and smaller.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

mod disk_file;
mod large_package;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fixtures::trust;
use formats::SlotId::B;
use update_agent::disk::Part;

#[test]
fn installing_a_base_of_128_mib_takes_at_most_32_mib() {
    let directory = tempfile::tempdir().unwrap();
    let [disk, package, store] = ["disk.img", "base.pkg", "trust.json"].map(|name| directory.path().join(name));
    disk_file::write(&disk, |part| if part == Part::Base(B) { IMAGE_MIB + 8 } else { 1 });
    fs::write(&store, trust().encode().unwrap()).unwrap();
    large_package::write(&package, IMAGE_MIB);
    let mut agent = Command::new(env!("CARGO_BIN_EXE_update-agent"))
        .arg("install")
        .arg(&package)
        .arg("--disk")
        .arg(&disk)
        .arg("--trust")
        .arg(&store)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peaks = BTreeMap::new();
    let status = loop {
        observe(agent.id(), &mut peaks);
        match agent.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    assert!(status.success(), "{status}");
    let sum: u64 = peaks.values().sum();
    println!("peak memory by process in KiB: {:?}; together {sum} KiB", peaks.values());
    // Program, two pieces and a decompressor: less than this and nothing was measured.
    assert!(sum > 3 << 10, "{peaks:?}");
    assert!(sum <= 32 << 10, "the agent and what it started took {sum} KiB: {peaks:?}");
}

/// Notes the highest resident size of a process and of all below it.
fn observe(id: u32, peaks: &mut BTreeMap<u32, u64>) {
    let process = Path::new("/proc").join(id.to_string());
    if let Some(peak) = fs::read_to_string(process.join("status")).ok().as_deref().and_then(peak_kib) {
        peaks.entry(id).and_modify(|known| *known = (*known).max(peak)).or_insert(peak);
    }
    let Ok(threads) = fs::read_dir(process.join("task")) else { return };
    for thread in threads.filter_map(Result::ok) {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.split_whitespace().filter_map(|id| id.parse().ok()).for_each(|child| observe(child, peaks));
    }
}

/// A process that has ended has none.
fn peak_kib(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

const IMAGE_MIB: u64 = 136;
