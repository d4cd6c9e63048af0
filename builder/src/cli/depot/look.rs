//! `bulkhead depot show` and `bulkhead depot lint`.

use std::path::PathBuf;

use builder::depot::{Depot, lint, show};
use builder::{Error, Result};
use formats::tuf::Freshness;
use serde_json::json;

use super::super::keys::now;
use super::super::output;

#[derive(Debug, clap::Args)]
pub struct Show {
    /// The depot
    #[arg(value_name = "DEPOT")]
    directory: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct Lint {
    /// The depot
    #[arg(value_name = "DEPOT")]
    directory: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    pub fn run(self) -> Result<()> {
        let state = Depot::new(&self.directory).state(Freshness::Waived)?;
        if self.json {
            return output::line(format_args!("{:#}", show::facts(&state)?));
        }
        output::text(show::Shown(&state))
    }
}

impl Lint {
    pub fn run(self) -> Result<()> {
        let (findings, tried) = lint::examine(&Depot::new(&self.directory), now()?)?;
        if self.json {
            output::line(format_args!("{:#}", json!({"format": 1, "findings": findings, "tried": tried})))?;
        } else {
            for one in &findings {
                output::line(format_args!("{:<12} {}: {}", one.code, one.subject, one.problem))?;
            }
        }
        if !self.json {
            output::line(format_args!("tried {} pair(s) of base and site", tried.pairs))?;
            if tried.left_out > 0 {
                output::line(format_args!("left out {} more: a depot is followed to 8,388,608 pairs", tried.left_out))?;
            }
        }
        match findings.len() {
            0 if self.json => Ok(()),
            0 => output::line("nothing found"),
            count => Err(Error::Verification(format!("\"{}\": {count} finding(s)", self.directory.display()))),
        }
    }
}
