//! `bulkhead sign`.

use std::path::PathBuf;

use builder::{Result, sign};

use super::output;

/// Add a signature to a package, for appliances that want more than one
///
/// Look at it first with "bulkhead inspect". How many signers an appliance
/// wants, and which, is said by "threshold" and "co-signers" in the recipe of
/// its image.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The package
    package: PathBuf,
    /// Folder with the signer's keys, base.key or site.key among them
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// The package with the signature; it must not exist
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        let signed = sign::sign(&self.package, &self.keys, &self.output)?;
        let path = self.output.display();
        output::line(format_args!("{path}: {}, {} signature(s)", signed.release, signed.signatures))
    }
}
