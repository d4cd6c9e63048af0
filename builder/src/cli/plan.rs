//! `bulkhead plan`.

use std::path::PathBuf;

use builder::Result;
use builder::plan::Plan;
use builder::recipe::Recipe;

use super::output;

/// Print what a build would do, and stop
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The recipe
    recipe: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        let plan = Plan::new(&Recipe::load(&self.recipe)?)?;
        if self.json { output::line(format_args!("{:#}", plan.to_json())) } else { output::text(&plan) }
    }
}
