//! `install`: one package file into the slot nothing runs from.

use std::fs;
use std::path::{Path, PathBuf};

use super::progress::Bar;
use super::{concluded, say};
use crate::api::{Install, Intent, Package};
use crate::error::{Doing, Error, Result};
use crate::eula;
use crate::lifecycle::Model;
use crate::reader::Program;
use crate::serve::log;
use crate::slot::Phase;
use crate::source::PackageFile;
use crate::staging::is_id;
use crate::workplace::{self, Access, Workplace};

/// Options of `install`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Package file, path bundle, id of a staged package, or id of a
    /// package of the depot such as base/demo-base-2.0.0
    #[arg(value_name = "FILE|ID")]
    package: PathBuf,
    #[command(flatten)]
    place: workplace::Place,
    #[command(flatten)]
    agent: super::Agent,
    /// Hardware model, for packages made for certain models; by default
    /// what the firmware says or what the present base is for
    #[arg(long, value_name = "MODEL")]
    hardware: Option<String>,
    /// Accept the licence terms that come with the package
    #[arg(long)]
    accept_eula: bool,
    /// Restart into the new base at once
    #[arg(long, conflicts_with = "disk")]
    restart: bool,
    #[command(flatten)]
    expired: AcceptExpired,
    /// Make no backup before it although one is set; why. The history keeps
    /// it
    #[arg(long, value_name = "REASON", conflicts_with = "disk")]
    no_backup: Option<String>,
    /// Make a backup before it, whatever is set
    #[arg(long, conflicts_with_all = ["disk", "no_backup"])]
    backup: bool,
}

/// Whether a path bundle is taken whatever day it is.
#[derive(Debug, clap::Args)]
pub struct AcceptExpired {
    /// Take a path bundle whose last day has passed; signatures are
    /// checked all the same
    #[arg(long, requires = "reason")]
    accept_expired: bool,
    /// Why; kept in the history
    #[arg(long, value_name = "TEXT", requires = "accept_expired")]
    reason: Option<String>,
}

impl AcceptExpired {
    /// The reason, if so.
    pub(super) fn reason(&self) -> Option<String> {
        self.reason.clone().filter(|_| self.accept_expired)
    }
}

/// Has it installed by the agent of this appliance, or installs into an image file.
pub fn run(options: &Options) -> Result<()> {
    if options.place.disk.is_some() {
        if options.expired.reason().is_some() {
            return Err(Error::Usage(
                "--accept-expired is for path bundles, which an appliance takes and no image file".into(),
            ));
        }
        return into_image(options);
    }
    let order = Install {
        package: named(&options.package)?,
        hardware: options.hardware.clone(),
        accept_eula: options.accept_eula,
        restart: options.restart,
        accept_expired: options.expired.reason(),
        no_backup: options.no_backup.clone(),
        backup: options.backup,
    };
    super::preflight::before(&options.agent, &Intent::Package(order.package.clone()));
    options.agent.run("/v1/install", &order)
}

/// What someone means by the argument of a command: a file if there is one, else a package that is staged, or of the depot, if it is
/// called so.
pub(super) fn named(package: &Path) -> Result<Package> {
    if let Some(id) = package.to_str().filter(|_| !package.exists()).and_then(|id| id.parse().ok()) {
        return Ok(Package::Depot(id));
    }
    if let Some(id) = package.to_str().filter(|id| is_id(id) && !package.exists()) {
        return Ok(Package::Staged(id.into()));
    }
    let path = std::path::absolute(package).doing(|| format!("find \"{}\"", package.display()))?;
    Ok(Package::File(path))
}

fn into_image(options: &Options) -> Result<()> {
    let workplace = Workplace::open(&options.place, Access::Change)?;
    let mut package = PackageFile::open(&options.package, workplace.trust(), &Program::own())?;
    package.unconfined().for_each(|kept| log(&kept));
    let verified = package.verified().clone();
    let release = verified.manifest();
    log(&format!("{} {}, signed by {}", release.name, release.version, verified.signer_names()));
    let bar = Bar::new();
    let progress = |phase: Phase, done, all| bar.show(phase.words(), done, all);
    let agent = workplace.agent(&progress);
    if let Some(step) = eula::pass(&agent.journal, &package, options.accept_eula)? {
        log(&step);
    }
    let result = agent.install(&verified, &mut package, &Model { said: options.hardware.clone(), firmware: None });
    bar.end();
    say(&concluded(&workplace, &result?));
    Ok(())
}

/// What the firmware calls this machine, in the characters a manifest may use for a hardware model.
pub(crate) fn firmware_model() -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firmware_name_becomes_a_hardware_model() {
        assert_eq!(normalized("Standard PC (Q35 + ICH9, 2009)\n"), "standard-pc-q35-ich9-2009");
        assert_eq!(normalized(" -- "), "");
    }
}
