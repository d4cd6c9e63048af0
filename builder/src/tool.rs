//! The only place of the builder that starts other programs: each has a name, a reason and a way to get it.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// A program of the build host that some stage needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Links GRUB modules and the boot policy into one image.
    GrubMkimage,
    /// Unpacks a Debian system without root.
    Mmdebstrap,
    /// Writes qcow2.
    QemuImg,
}

impl Tool {
    /// The program's name on the search path.
    pub const fn program(self) -> &'static str {
        match self {
            Self::GrubMkimage => "grub-mkimage",
            Self::Mmdebstrap => "mmdebstrap",
            Self::QemuImg => "qemu-img",
        }
    }

    /// The Debian package that has it.
    pub const fn package(self) -> &'static str {
        match self {
            Self::GrubMkimage => "grub-common",
            Self::Mmdebstrap => "mmdebstrap",
            Self::QemuImg => "qemu-utils",
        }
    }

    /// Runs the program to its end with these arguments, a C locale and extra environment; fails with the rendered command and the
    /// last lines of its output unless it succeeds. Returns its standard output.
    pub fn run(self, arguments: &[OsString], environment: &[(&str, &str)]) -> Result<Vec<u8>> {
        let mut command = Command::new(self.program());
        command.args(arguments).env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null());
        command.envs(environment.iter().copied());
        let output = command.output().map_err(|cause| {
            if cause.kind() == std::io::ErrorKind::NotFound {
                let (program, package) = (self.program(), self.package());
                Error::Environment(format!("\"{program}\" is not installed; run: apt-get install {package}"))
            } else {
                Error::Io { action: "run", path: self.program().into(), source: cause }
            }
        })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(12)..].join("\n  ");
        Err(Error::Environment(format!("{} failed ({}):\n  {tail}", render(self.program(), arguments), output.status)))
    }
}

/// The command as a person would type it.
fn render(program: &str, arguments: &[OsString]) -> String {
    let mut text = program.to_owned();
    for argument in arguments {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
