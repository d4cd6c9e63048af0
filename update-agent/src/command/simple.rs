//! `commit` and `rollback`: one decision each, everything else is the lifecycle's. `restart` and `shutdown`: none at all.

use formats::manifest::Kind;
use serde_json::json;

use super::{concluded, say};
use crate::api;
use crate::error::Result;
use crate::lifecycle::silent;
use crate::workplace::{self, Access, Workplace};

/// Options of `commit`.
#[derive(Debug, clap::Args)]
pub struct Commit {
    #[command(flatten)]
    place: workplace::Place,
    #[command(flatten)]
    agent: super::Agent,
}

/// Options of `rollback`.
#[derive(Debug, clap::Args)]
pub struct Rollback {
    /// Go back to the other site, at once, instead of to the base before
    #[arg(long)]
    site: bool,
    #[command(flatten)]
    place: workplace::Place,
    #[command(flatten)]
    agent: super::Agent,
}

/// Options of `restart` and `shutdown`.
#[derive(Debug, clap::Args)]
pub struct Down {
    #[command(flatten)]
    agent: super::Agent,
}

/// Restarts the appliance, unless something is at work on it.
pub fn restart(options: &Down) -> Result<()> {
    options.agent.run("/v1/restart", &json!({}))
}

/// Turns it off, unless something is at work on it.
pub fn shutdown(options: &Down) -> Result<()> {
    options.agent.run("/v1/shutdown", &json!({}))
}

/// Keeps what runs.
pub fn commit(options: &Commit) -> Result<()> {
    if options.place.disk.is_none() {
        return options.agent.run("/v1/commit", &json!({}));
    }
    let workplace = Workplace::open(&options.place, Access::Change)?;
    let done = workplace.agent(&silent).commit()?;
    say(&concluded(&workplace, &done));
    Ok(())
}

/// Goes back.
pub fn rollback(options: &Rollback) -> Result<()> {
    if options.place.disk.is_none() {
        return options.agent.run("/v1/rollback", &api::Rollback { site: options.site });
    }
    let workplace = Workplace::open(&options.place, Access::Change)?;
    let kind = if options.site { Kind::Site } else { Kind::Base };
    let done = workplace.agent(&silent).rollback(kind)?;
    say(&concluded(&workplace, &done));
    Ok(())
}
