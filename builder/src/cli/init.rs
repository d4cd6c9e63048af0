//! `bulkhead init`.

use std::path::PathBuf;

use builder::{Result, scaffold};

use super::keys::now;
use super::output;

/// Make a folder with a recipe, an overlay and development keys to start from
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder to make; it must not exist
    directory: PathBuf,
    /// Product name; default: the folder's name
    #[arg(long)]
    name: Option<String>,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        let made = scaffold::scaffold(&self.directory, self.name.as_deref(), now()?)?;
        output::text(&made)
    }
}
