//! `install`: one package file into the slot nothing runs from.

use std::cell::Cell;
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::Command;

use formats::Bytes;
use formats::manifest::Kind;

use super::conclude;
use crate::error::{Doing, Result};
use crate::lifecycle::Model;
use crate::reader::Program;
use crate::serve::log;
use crate::slot::Phase;
use crate::source::PackageFile;
use crate::workplace::{self, Access, Workplace};

/// Options of `install`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Package file
    #[arg(value_name = "FILE")]
    package: PathBuf,
    #[command(flatten)]
    place: workplace::Place,
    /// Hardware model, for packages made for certain models; by default
    /// what the firmware says or what the present base is for
    #[arg(long, value_name = "MODEL")]
    hardware: Option<String>,
    /// Restart into the new base at once
    #[arg(long, conflicts_with = "disk")]
    restart: bool,
}

/// Installs.
pub fn run(options: &Options) -> Result<()> {
    let workplace = Workplace::open(&options.place, Access::Change)?;
    let mut package = PackageFile::open(&options.package, workplace.trust(), &Program::own())?;
    for kept in package.unconfined().lines() {
        log(&format!("the process that reads the package is not confined as on an appliance: {kept}"));
    }
    let verified = package.verified().clone();
    let release = verified.manifest();
    let signers = verified.signers().iter().map(|signer| signer.name.as_str()).collect::<Vec<_>>().join(", ");
    log(&format!("{} {}, signed by {signers}", release.name, release.version));
    let firmware = if workplace.is_image() { None } else { firmware_model() };
    let model = Model { said: options.hardware.clone(), firmware };
    let bar = Bar::new();
    let progress = |phase, done, all| bar.show(phase, done, all);
    let result = workplace.agent(&progress).install(&verified, &mut package, &model);
    bar.end();
    let done = result?;
    conclude(&workplace, &done);
    if release.kind == Kind::Base && !workplace.is_image() {
        if options.restart {
            log("restarting into it");
            return restart();
        }
        log("restart to try it; \"update-agent rollback\" takes it back before that");
    }
    Ok(())
}

/// What the firmware calls this machine, in the characters a manifest may use for a hardware model.
fn firmware_model() -> Option<String> {
    let name = fs::read_to_string("/sys/class/dmi/id/product_name").ok()?;
    let model = normalized(&name);
    (!model.is_empty()).then_some(model)
}

fn normalized(name: &str) -> String {
    let mut model = String::new();
    for letter in name.trim().chars() {
        if letter.is_ascii_alphanumeric() {
            model.push(letter.to_ascii_lowercase());
        } else if !model.is_empty() && !model.ends_with('-') {
            model.push('-');
        }
    }
    model.trim_end_matches('-').to_owned()
}

/// Restarts the machine in an orderly way.
pub(crate) fn restart() -> Result<()> {
    let done = Command::new("reboot").status().doing(|| "start \"reboot\"".into())?;
    if done.success() {
        return Ok(());
    }
    Err(std::io::Error::other(format!("\"reboot\" ended with {done}; restart by hand"))).doing(|| "restart".into())
}

/// Progress on standard error: a line that moves on a terminal, one line every tenth elsewhere.
pub(super) struct Bar {
    terminal: bool,
    last: Cell<Option<(Phase, u64)>>,
}

impl Bar {
    pub(super) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: Cell::new(None) }
    }

    pub(super) fn show(&self, phase: Phase, done: Bytes, all: Bytes) {
        let percent = done.0.saturating_mul(100).checked_div(all.0).unwrap_or(100);
        let step = if self.terminal { percent } else { percent.saturating_sub(percent % 10) };
        if self.last.replace(Some((phase, step))) == Some((phase, step)) {
            return;
        }
        let what = match phase {
            Phase::Writing => "writing",
            Phase::Proving => "reading back",
        };
        let line = format!("update-agent: {what} {percent:3} %");
        // A progress nobody can see is no reason to stop.
        drop(if self.terminal {
            write!(std::io::stderr(), "\r{line:40}")
        } else {
            writeln!(std::io::stderr(), "{line}")
        });
    }

    pub(super) fn end(&self) {
        if self.terminal && self.last.get().is_some() {
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firmware_name_becomes_a_hardware_model() {
        assert_eq!(normalized("Standard PC (Q35 + ICH9, 2009)\n"), "standard-pc-q35-ich9-2009");
        assert_eq!(normalized(" -- "), "");
    }
}
