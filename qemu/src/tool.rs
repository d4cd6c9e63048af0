//! The programs of this machine that the crate runs, and how to get them. Nothing else here starts a process.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// A program this crate cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The emulator.
    Qemu,
    /// Makes, resizes and flattens disk overlays.
    QemuImg,
}

impl Tool {
    /// The program's name.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Qemu => "qemu-system-x86_64",
            Self::QemuImg => "qemu-img",
        }
    }

    /// The Debian package that has it.
    pub const fn package(self) -> &'static str {
        match self {
            Self::Qemu => "qemu-system-x86",
            Self::QemuImg => "qemu-utils",
        }
    }

    /// A command for it, arguments still to be added.
    pub fn command(self) -> Command {
        let mut command = Command::new(self.program());
        command.stdin(Stdio::null());
        command
    }

    /// The error for a failed start, with the way out.
    pub fn not_started(self, source: &std::io::Error) -> Error {
        Error::Environment(format!(
            "cannot start \"{}\": {source}; install it with: apt-get install {}",
            self.program(),
            self.package()
        ))
    }

    /// Runs it to its end and returns what it printed.
    pub fn run<A: AsRef<std::ffi::OsStr>>(self, arguments: &[A]) -> Result<String> {
        let output = self.command().args(arguments).output().map_err(|error| self.not_started(&error))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let shown: Vec<_> = arguments.iter().map(|a| a.as_ref().to_string_lossy()).collect();
        Err(Error::Environment(format!(
            "\"{} {}\" failed ({}): {}",
            self.program(),
            shown.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        )))
    }
}

/// Runs one of our own programs, which lies beside this one.
pub(crate) fn run_beside<A: AsRef<std::ffi::OsStr>>(this: &Path, name: &str, arguments: &[A]) -> Result<String> {
    let program = this.with_file_name(name);
    let output = Command::new(&program).args(arguments).stdin(Stdio::null()).output().map_err(|error| {
        Error::Environment(format!(
            "cannot start \"{}\": {error}; it has to lie beside \"{}\": build both into one folder",
            program.display(),
            this.display()
        ))
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Environment(format!("\"{}\" failed ({}): {}", program.display(), output.status, said.trim())))
}

/// Fails with the package to install when a firmware or other file of this machine is missing.
pub(crate) fn require_file(path: &Path, package: &str) -> Result<()> {
    if path.is_file() {
        return Ok(());
    }
    Err(Error::Environment(format!("\"{}\" is missing; install it with: apt-get install {package}", path.display())))
}
