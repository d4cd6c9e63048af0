//! `bulkhead diff`.

use std::path::PathBuf;

use builder::Result;
use builder::diff::diff;
use builder::package::PackageFile;

use super::output;

/// Say what changes from one package to another, and how much of it must be
/// fetched
///
/// Signatures are not checked: use bulkhead verify.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The package an appliance has
    old: PathBuf,
    /// The package it is to get
    new: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        let difference = diff(&PackageFile::open(&self.old)?, &PackageFile::open(&self.new)?)?;
        if self.json { output::line(format_args!("{:#}", difference.to_json())) } else { output::text(&difference) }
    }
}
