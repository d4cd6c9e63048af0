//! `bulkhead package`.

use std::path::PathBuf;

use builder::{Result, licence};
use clap::Subcommand;

use super::output;

/// Make packages that have no image
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a licence package from a file that says what is licensed
    ///
    /// Appliances install it without a restart. Publish it with "bulkhead depot
    /// add", or hand out the file.
    Licence(Licence),
}

#[derive(Debug, clap::Args)]
struct Licence {
    /// The file, in TOML; see docs/licences.md
    file: PathBuf,
    /// Folder for the package; one that is there is never replaced
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Folder with a signer's licence.key; repeatable, for appliances that want
    /// more than one signature
    #[arg(long, value_name = "DIR", required = true)]
    keys: Vec<PathBuf>,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        let Verb::Licence(Licence { file, output, keys }) = self.verb;
        let made = licence::make(&file, &output, &keys)?;
        let (path, manifest) = (made.path.display(), &made.manifest);
        let claims = manifest.licence.as_ref().map(ToString::to_string).unwrap_or_default();
        output::line(format_args!("{path}: {} {}, {claims}", manifest.name, manifest.version))
    }
}
