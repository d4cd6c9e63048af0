//! `stage`, `staged`, `discard`, `eula` and `job`: what the running agent does with packages, and what it is doing.

use std::path::PathBuf;

use formats::Digest;
use serde::Deserialize;

use super::install::{AcceptExpired, named};
use crate::api::{self, Outcome, Package, Wanted};
use crate::code::Code;
use crate::error::{Error, Result};
use crate::journal::Release;
use crate::serve::log;
use crate::staging;
use crate::status::print_json;

/// Options of `stage`.
#[derive(Debug, clap::Args)]
pub struct Stage {
    /// Package file, path bundle, or id of a package of the depot
    #[arg(value_name = "FILE|ID")]
    package: PathBuf,
    #[command(flatten)]
    expired: AcceptExpired,
    #[command(flatten)]
    agent: super::Agent,
}

/// Options of `staged`.
#[derive(Debug, clap::Args)]
pub struct Staged {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: super::Agent,
}

/// Options of `discard`.
#[derive(Debug, clap::Args)]
pub struct Discard {
    /// Id, as listed by "update-agent staged"
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    agent: super::Agent,
}

/// Options of `eula`.
#[derive(Debug, clap::Args)]
pub struct Eula {
    /// Package file, id of a staged package, or of one of the depot
    #[arg(value_name = "FILE|ID")]
    package: PathBuf,
    #[command(flatten)]
    agent: super::Agent,
}

/// Options of `job`.
#[derive(Debug, clap::Args)]
pub struct Job {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: super::Agent,
}

/// The answer of `/v1/eula`, as far as it is shown.
#[derive(Deserialize)]
struct Terms {
    release: Release,
    text: Option<String>,
    digest: Option<Digest>,
    accepted: bool,
}

/// Copies a package.
pub fn stage(options: &Stage) -> Result<()> {
    let what = match (named(&options.package)?, options.expired.reason()) {
        (Package::File(file), Some(reason)) => api::Stage::Expired(api::ExpiredBundle { file, reason }),
        (_, Some(_)) => return Err(Error::Usage("only a path bundle can be taken whatever day it is".into())),
        (Package::Depot(id), None) => api::Stage::Depot(id),
        (Package::File(file), None) => api::Stage::File(file),
        (Package::Staged(id), None) => return Err(Error::Usage(format!("{id} is staged already"))),
    };
    options.agent.run("/v1/stage", &what)
}

/// Lists them.
pub fn staged(options: &Staged) -> Result<()> {
    let staged: Vec<staging::Staged> = options.agent.client()?.get("/v1/staged")?;
    if options.json {
        return print_json(&staged);
    }
    for one in &staged {
        let what = match (&one.release, &one.problem) {
            (Some(release), _) => release.to_string(),
            (None, problem) => problem.clone().unwrap_or_default(),
        };
        println!("{}  {:>12} bytes  {what}", one.id, one.bytes);
    }
    if staged.is_empty() {
        println!("no package is staged");
    }
    Ok(())
}

/// Removes one.
pub fn discard(options: &Discard) -> Result<()> {
    if !staging::is_id(&options.id) {
        return Err(Error::NotStaged(options.id.clone()));
    }
    options.agent.remove(&format!("/v1/staged/{}", options.id))
}

/// Prints the terms.
pub fn eula(options: &Eula) -> Result<()> {
    let (client, package) = (options.agent.client()?, named(&options.package)?);
    let told = match (client.post("/v1/eula", &package), &package) {
        // Neither staged nor fetched yet: the text alone is fetched.
        (Err(problem), Package::Depot(id)) if problem.reason() == Code::NotFound => {
            let wanted = Wanted { to: Some(id.clone()), ..Wanted::default() };
            let job = client.post("/v1/texts", &wanted)?;
            client.follow(&job, |_| ())?;
            client.post("/v1/eula", &package)
        }
        (told, _) => told,
    };
    let terms: Terms = told?;
    let Some(text) = terms.text else {
        log(&format!("{} comes without licence terms", terms.release));
        return Ok(());
    };
    print!("{text}");
    let digest = terms.digest.map(|digest| digest.to_string()).unwrap_or_default();
    let accepted = if terms.accepted { "accepted on this appliance" } else { "not accepted on this appliance" };
    eprintln!("update-agent: licence terms of {}, SHA-256 {digest}, {accepted}", terms.release);
    Ok(())
}

/// Prints the job at work, or the last one.
pub fn job(options: &Job) -> Result<()> {
    let job: Option<api::Job> = options.agent.client()?.get("/v1/job")?;
    if options.json {
        return print_json(&job);
    }
    let Some(job) = job else {
        println!("the agent has had no job since it started");
        return Ok(());
    };
    println!("job {}: {} for {}", job.id, job.what, job.by);
    match job.result {
        None => match job.phase {
            Some(phase) => println!("{phase}: {} of {} bytes", job.done, job.of),
            None => println!("at work"),
        },
        Some(Outcome::Done { steps }) => println!("{}", steps.join("\n")),
        Some(Outcome::Failed(problem)) => println!("failed: {} [{}]", problem.message, problem.code),
    }
    Ok(())
}
