//! `bulkhead depot import`.

use std::path::PathBuf;

use builder::Result;
use builder::ceremony::{Collected, Request};
use builder::depot::{Depot, RealStorage, Signers, import};

use super::super::keys::now;
use super::super::output;
use super::set_up::good_until;

/// Go on with a change that was signed elsewhere
///
/// The request is the file "--request" wrote, unchanged; the answers come from
/// "bulkhead keys answer-request". A request that is out of date is refused.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The depot; for a request by "depot init" the folder to make
    #[arg(value_name = "DEPOT")]
    directory: PathBuf,
    /// The request
    request: PathBuf,
    /// The answers to it
    answers: Vec<PathBuf>,
    /// Folder with private keys of the depot, of the online roles above all;
    /// repeatable
    #[arg(long, value_name = "DIR")]
    keys: Vec<PathBuf>,
    /// Command that signs with keys no folder has, see "depot add"; repeatable
    #[arg(long, value_name = "CMD")]
    sign_command: Vec<String>,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        let request = Request::read(&self.request)?;
        let collected = Collected::of(&request, &self.answers)?;
        let signers = Signers { folders: self.keys, collected, commands: self.sign_command };
        let state = import(&Depot::new(&self.directory), &request, &signers, &mut RealStorage, now()?)?;
        for part in &request.parts {
            let version = state.draft.document(&part.role)?.version();
            output::line(format_args!("{} has version {version}", part.role))?;
        }
        good_until(&state)
    }
}
