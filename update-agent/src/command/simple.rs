//! `commit` and `rollback`: one decision each, everything else is the lifecycle's.

use formats::manifest::Kind;

use super::conclude;
use crate::error::Result;
use crate::lifecycle::silent;
use crate::serve::log;
use crate::workplace::{self, Access, Workplace};

/// Options of `commit`.
#[derive(Debug, clap::Args)]
pub struct Commit {
    #[command(flatten)]
    place: workplace::Place,
}

/// Options of `rollback`.
#[derive(Debug, clap::Args)]
pub struct Rollback {
    /// Go back to the other site, at once, instead of to the base before
    #[arg(long)]
    site: bool,
    #[command(flatten)]
    place: workplace::Place,
}

/// Keeps what runs.
pub fn commit(options: &Commit) -> Result<()> {
    let workplace = Workplace::open(&options.place, Access::Change)?;
    conclude(&workplace, &workplace.agent(&silent).commit()?);
    Ok(())
}

/// Goes back.
pub fn rollback(options: &Rollback) -> Result<()> {
    let workplace = Workplace::open(&options.place, Access::Change)?;
    let kind = if options.site { Kind::Site } else { Kind::Base };
    let done = workplace.agent(&silent).rollback(kind)?;
    conclude(&workplace, &done);
    if kind == Kind::Base && !workplace.is_image() {
        log("it takes effect at the next restart");
    }
    Ok(())
}
