//! Tools of others that judge what we read and write.

use std::process::Command;

/// True when the tool runs. Without it the test fails in CI and is skipped, loudly, elsewhere.
pub fn have(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "{tool} is missing: install it (scripts/setup)");
    if !found {
        eprintln!("SKIPPED: needs {tool}");
    }
    found
}
