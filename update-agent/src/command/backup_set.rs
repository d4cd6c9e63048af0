//! `backup set`: when backups are made by themselves, for whom they are encrypted, and how many are kept.

use clap::ValueEnum;
use formats::age::Recipient;
use formats::backup::Limits;
use formats::backup::schedule::Schedule;
use formats::backup::setting::{BeforeUpdates, Setting};
use serde_json::Value;

use super::passphrase::Source;
use crate::api::SetBackups;
use crate::error::{Error, Result};

/// What is not said is as usual: to change one thing, say all.
#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// Public key ("age1…") for which backups are encrypted; may be given
    /// several times
    #[arg(long, value_name = "KEY")]
    recipient: Vec<Recipient>,
    /// A passphrase to keep on the appliance, where no recipients are said.
    #[command(flatten)]
    passphrase: Source,
    /// Time of day, for example 02:30; by default none are made by themselves
    #[arg(long, value_name = "HH:MM")]
    at: Option<String>,
    /// Only on this day, for example sun; may be given several times
    #[arg(long, value_name = "DAY", requires = "at")]
    day: Vec<String>,
    /// By how much local time is ahead of UTC
    #[arg(long, value_name = "+HH:MM", requires = "at", default_value = "+00:00")]
    utc_offset: String,
    /// How many are kept
    #[arg(long, value_name = "COUNT")]
    keep: Option<u32>,
    /// Leave logged history out
    #[arg(long)]
    no_history: bool,
    /// Largest file of the site's file store that is in
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().file_bytes)]
    file_bytes: u64,
    /// Most files of the site's file store
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().files)]
    files: u32,
    /// What is done before an update
    #[arg(long, value_enum, value_name = "WHAT", default_value = "make")]
    before_updates: Before,
    #[command(flatten)]
    agent: super::Agent,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Before {
    /// Nothing
    No,
    /// A backup, when there is somebody to encrypt it for
    Make,
    /// A backup, without which nothing is installed
    Require,
}

impl Set {
    /// Keeps it.
    pub(super) fn run(&self) -> Result<()> {
        let usage = |problem: formats::Error| Error::Usage(problem.to_string());
        let schedule =
            self.at.as_ref().map(|at| Schedule::new(&self.day, at, &self.utc_offset)).transpose().map_err(usage)?;
        let passphrase = self.passphrase.named()?;
        let setting = Setting {
            recipients: self.recipient.clone(),
            schedule,
            keep: self.keep,
            history: !self.no_history,
            limits: Limits { file_bytes: self.file_bytes, files: self.files },
            before_updates: match self.before_updates {
                Before::No => BeforeUpdates::No,
                Before::Make => BeforeUpdates::Make,
                Before::Require => BeforeUpdates::Require,
            },
            ..Setting::default()
        };
        let answer: Value = self.agent.client()?.post("/v1/backup-setting", &SetBackups { setting, passphrase })?;
        super::say_answer(&answer);
        Ok(())
    }
}
