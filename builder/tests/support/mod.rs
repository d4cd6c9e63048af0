//! Shared by the builder's tests: oracles (other people's tools) and the demo image.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The demo appliance built by `scripts/test`.
pub struct Demo {
    pub image: PathBuf,
    pub keys: PathBuf,
    pub recipe: PathBuf,
    pub bulkhead: PathBuf,
    pub scratch: tempfile::TempDir,
}

/// The demo, or `None` with a loud line; in CI its absence is a failure.
pub fn demo() -> Option<Demo> {
    let (Some(image), Some(keys)) = (std::env::var_os("BULKHEAD_TEST_IMAGE"), std::env::var_os("BULKHEAD_TEST_KEYS"))
    else {
        assert!(std::env::var_os("CI").is_none(), "CI must set BULKHEAD_TEST_IMAGE and BULKHEAD_TEST_KEYS");
        println!("SKIPPED: needs the demo image; run scripts/test");
        return None;
    };
    let keys = PathBuf::from(keys);
    let recipe = keys.parent().unwrap().join("recipe.toml");
    // The one the demo was built with, which still has the same device programs beside it.
    let bulkhead = std::env::var_os("BULKHEAD_TEST_BIN").map(|folder| PathBuf::from(folder).join("bulkhead"));
    let bulkhead = bulkhead.unwrap_or_else(|| env!("CARGO_BIN_EXE_bulkhead").into());
    Some(Demo { image: image.into(), keys, recipe, bulkhead, scratch: tempfile::tempdir().unwrap() })
}

/// A program we did not write.
pub struct Oracle {
    name: &'static str,
    command: Command,
}

impl Oracle {
    pub fn new(name: &'static str) -> Self {
        let mut command = Command::new(name);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
        Self { name, command }
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.command.args(arguments);
        self
    }

    /// Runs it, expects success, and returns what it printed.
    pub fn run(self) -> String {
        String::from_utf8_lossy(&self.run_raw()).into_owned()
    }

    /// The same, as bytes.
    pub fn run_raw(mut self) -> Vec<u8> {
        let output = self.command.output().unwrap_or_else(|cause| panic!("{}: {cause}; run scripts/setup", self.name));
        let text = String::from_utf8_lossy(&output.stdout[..output.stdout.len().min(4000)]).into_owned();
        assert!(output.status.success(), "{}: {text}\n{}", self.name, String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

/// Copies a file, keeping its holes.
pub fn sparse_copy(from: &Path, to: &Path) {
    let (source, target) = (File::open(from).unwrap(), File::create(to).unwrap());
    let length = source.metadata().unwrap().len();
    target.set_len(length).unwrap();
    let mut buffer = vec![0; 1 << 16];
    for offset in (0..length).step_by(buffer.len()) {
        let part = usize::try_from((length - offset).min(1 << 16)).unwrap();
        source.read_exact_at(&mut buffer[..part], offset).unwrap();
        if buffer[..part].iter().any(|byte| *byte != 0) {
            target.write_all_at(&buffer[..part], offset).unwrap();
        }
    }
}
