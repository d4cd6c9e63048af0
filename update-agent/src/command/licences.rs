//! `licences`: what is licensed, and until when.

use crate::error::Result;
use crate::licence::Standing;
use crate::serve::log;
use crate::status::{licence_lines, print_json};

/// Options of `licences`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: super::Agent,
}

/// Prints it.
pub fn run(options: &Options) -> Result<()> {
    let standing: Standing = options.agent.client()?.get("/v1/licences")?;
    if options.json {
        return print_json(&standing);
    }
    let mut text = String::new();
    licence_lines(&mut text, &standing);
    if text.is_empty() {
        log("no licence is installed, and the site counts none");
    }
    print!("{text}");
    Ok(())
}
