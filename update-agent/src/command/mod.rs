//! The commands that change what is installed, one file each, and what they print.

pub mod account;
pub mod backup;
mod backup_set;
pub mod cert;
pub mod download_key;
pub mod factory_reset;
pub mod health;
pub mod history;
pub mod install;
pub mod licences;
pub mod mail;
pub mod network;
pub mod notes;
pub mod packages;
pub mod passphrase;
pub mod preflight;
pub mod progress;
pub mod report;
pub mod simple;
pub mod support;
pub mod updates;
pub mod upgrade;

use std::path::PathBuf;

use formats::Bytes;
use serde::Serialize;
use serde_json::Value;

use self::progress::Bar;
use crate::api::client::Client;
use crate::api::{Job, SOCKET};
use crate::error::Result;
use crate::lifecycle::Done;
use crate::serve::log;
use crate::workplace::Workplace;

/// What was done and what happens next, a sentence each.
pub(crate) fn concluded(workplace: &Workplace, done: &Done) -> Vec<String> {
    let mut steps = done.steps.clone();
    if steps.is_empty() {
        steps.push("nothing to do".into());
    }
    let where_ = if workplace.is_image() { "image" } else { "appliance" };
    steps.push(format!("{where_}: {}", done.state));
    steps.push(format!("site: {}", done.site));
    steps
}

/// Prints it.
fn say(steps: &[String]) {
    for step in steps {
        log(step);
    }
}

/// Prints what an answer says was done.
fn say_answer(answer: &Value) {
    let steps = answer.get("steps").and_then(Value::as_array).into_iter().flatten();
    steps.filter_map(Value::as_str).for_each(log);
}

/// Where the agent of this appliance listens.
#[derive(Debug, Clone, clap::Args)]
pub struct Agent {
    /// Socket of the running update agent
    #[arg(long, value_name = "FILE", default_value = SOCKET, global = true)]
    socket: PathBuf,
}

impl Agent {
    fn client(&self) -> Result<Client> {
        Client::new(&self.socket)
    }

    /// Begins a job, shows how far it is, prints what it did. The error is the job's.
    fn run(&self, path: &str, body: &impl Serialize) -> Result<()> {
        let client = self.client()?;
        let job: Job = client.post(path, body)?;
        let bar = Bar::new();
        let steps = client.follow(&job, |job| {
            if let Some(phase) = &job.phase {
                bar.show(phase, Bytes(job.done), Bytes(job.of));
            }
        });
        bar.end();
        say(&steps?);
        Ok(())
    }

    /// Removes something and prints what was done.
    fn remove(&self, path: &str) -> Result<()> {
        say_answer(&self.client()?.delete(path)?);
        Ok(())
    }
}
