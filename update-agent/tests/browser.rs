//! The console in a real browser (Chromium), driven from outside: what it shows, with and without its script, and what it never does.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

#[expect(dead_code, reason = "shared with the tests of depots, which use all of it")]
mod appliance;
mod disk_file;
#[expect(dead_code, reason = "shared with the tests of the network, which use all of it")]
mod loopback;
#[expect(dead_code, reason = "shared with the tests of the console, which use all of it")]
mod web_console;

use std::path::{Path, PathBuf};
use std::process::Command;

use fixtures::release;
use formats::manifest::Kind;
use loopback::{Habits, Sink};
use web_console::{Console, PASSWORD};

/// With `BULKHEAD_CONSOLE_PICTURES` set to a folder, a picture of every page is left there.
#[test]
fn an_administrator_claims_looks_at_every_page_and_installs_with_the_script_and_without_it() {
    let console = Console::new();
    let id = console.staged("site.pkg", &release(Kind::Site, 11));
    let code = console.desk.people.claim_code().unwrap().unwrap();
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/browser/node_modules");
    assert!(tools.join("playwright-core").is_dir(), "playwright-core is missing; run scripts/setup");
    let kept = std::env::var_os("BULKHEAD_CONSOLE_PICTURES").map(PathBuf::from);
    let pictures = kept.unwrap_or_else(|| console.directory.path().join("pictures"));
    std::fs::create_dir_all(&pictures).unwrap();
    let sink = Sink::start(Habits::default());
    let output = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/console.mjs"))
        .arg(format!("https://{}", console.address))
        .args([code.as_str(), PASSWORD, id.as_str()])
        .args([&pictures, &tools])
        .arg(console.directory.path().join("data/bulkhead/depot.json"))
        .arg(sink.port.to_string())
        .output()
        .expect("node is missing; run scripts/setup");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let count = std::fs::read_dir(&pictures).unwrap().count();
    assert!(count >= 72, "{count} pictures: {told}");
    assert_eq!(sink.letters().len(), 1, "the test of the page Mail");
    assert!(console.desk.people.log().unwrap().lines.iter().any(|line| line.action == "install"));
}
