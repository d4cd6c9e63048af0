//! `bulkhead verify`.

use std::path::PathBuf;

use builder::bundle_file::BundleFile;
use builder::package::PackageFile;
use builder::verify::{Trust, package_keys, verify, verify_bundle, verify_package};
use builder::{Error, Result};

use super::keys::now;
use super::output;

/// Check every digest and signature of a disk image, package or path bundle and
/// name the place that is wrong
///
/// A shipped image must match in every byte it records. With --in-use, regions
/// that a running appliance changes (boot state, partition table, data) are
/// reported and not judged.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A raw disk image, a package, or a path bundle
    image: PathBuf,
    /// Folder with base.pub, site.pub and, for an image, boot.crt and boot.pgp (a
    /// keys folder will do); for a bundle with root.json or root.pub, or the file
    /// metadata/1.root.json of the depot
    #[arg(long, value_name = "DIR")]
    trust: PathBuf,
    /// The disk has been running: do not judge boot state, partition tables, data
    /// and slots that updates may have changed
    #[arg(long)]
    in_use: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        let report = match PackageFile::detect(&self.image)? {
            Some(_) if self.in_use => return Err(Error::input("--in-use is for disks; a package never changes")),
            Some(package) => verify_package(&package, &package_keys(&self.trust)?)?,
            None => match BundleFile::detect(&self.image)? {
                Some(_) if self.in_use => return Err(Error::input("--in-use is for disks; a bundle never changes")),
                Some(bundle) => verify_bundle(&bundle, &self.trust, now()?)?,
                None => verify(&self.image, &Trust::load(&self.trust)?, self.in_use)?,
            },
        };
        if self.json {
            output::line(format_args!("{:#}", report.to_json()))?;
        } else {
            output::text(&report)?;
        }
        match report.failures() {
            0 => Ok(()),
            1 => Err(Error::Verification(format!("\"{}\": 1 check failed", self.image.display()))),
            n => Err(Error::Verification(format!("\"{}\": {n} checks failed", self.image.display()))),
        }
    }
}
