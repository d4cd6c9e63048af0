//! `bulkhead build`.

use std::path::PathBuf;

use builder::Result;
use builder::build::{Options, build};
use builder::export::Format;
use builder::recipe::Recipe;

use super::output;
use super::progress::Bar;

/// Build the disk image a recipe describes, and the packages that update to it
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Arguments {
    /// The recipe
    recipe: PathBuf,
    /// Folder for the results; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Image formats, separated by commas: raw, qcow2, vmdk, ova, vhd
    #[arg(long, value_delimiter = ',', default_value = "raw")]
    format: Vec<Format>,
    /// Do not keep the packages of base and site
    #[arg(long)]
    no_packages: bool,
    /// Build the packages and no image, also when signatures are missing that
    /// co-signers add with "bulkhead sign"
    #[arg(long, conflicts_with_all = ["no_packages", "format"])]
    packages_only: bool,
    /// Replace results that exist
    #[arg(long)]
    force: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        let recipe = Recipe::load(&self.recipe)?;
        let formats = if self.packages_only { Vec::new() } else { self.format };
        let options = Options { output: self.output, formats, packages: !self.no_packages, force: self.force };
        let mut bar = Bar::new();
        let built = build(&recipe, &options, &mut bar)?;
        bar.finish();
        if self.json { output::line(format_args!("{:#}", built.to_json())) } else { output::text(&built) }
    }
}
