//! `bulkhead inspect`.

use std::path::PathBuf;

use builder::Result;
use builder::inspect::inspect;

use super::output;

/// Print what is inside a disk image, package or path bundle, read with our own
/// code only
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A raw disk image, a package, or a path bundle
    image: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        let report = inspect(&self.image)?;
        if self.json { output::line(format_args!("{:#}", report.to_json())) } else { output::text(&report) }
    }
}
