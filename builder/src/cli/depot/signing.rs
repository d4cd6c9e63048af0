//! What every verb that changes a depot is told: where, and who signs.

use std::path::{Path, PathBuf};

use builder::Result;
use builder::ceremony::{Request, Shown};
use builder::depot::{Depot, Edit, RealStorage, Signers, State};

use super::super::keys::now;
use super::super::output;

/// Where, and who signs.
#[derive(Debug, clap::Args)]
pub struct Signing {
    /// The depot
    #[arg(value_name = "DEPOT")]
    pub directory: PathBuf,
    /// Folder with private keys of the depot; repeatable. Those that are needed
    /// and there are used
    #[arg(long, value_name = "DIR")]
    pub keys: Vec<PathBuf>,
    /// Command that signs with keys no folder has: message on standard input, 64
    /// bytes or 128 hexadecimal digits on standard output, the wanted key in
    /// `BULKHEAD_PUBLIC_KEY`; repeatable
    #[arg(long, value_name = "CMD")]
    pub sign_command: Vec<String>,
    /// Instead of publishing, write what somebody else has to sign into this new
    /// file; "keys answer-request" signs it, "depot import" goes on
    #[arg(long, value_name = "FILE")]
    pub request: Option<PathBuf>,
}

impl Signing {
    /// Makes one change and shows it. Nothing: it was written down as a request.
    pub fn change<T>(&self, change: impl FnOnce(&mut Edit<'_>, &State) -> Result<T>) -> Result<Option<(T, State)>> {
        let depot = Depot::new(&self.directory);
        let (folders, commands) = (self.keys.clone(), self.sign_command.clone());
        let signers = Signers { folders, commands, ..Signers::default() };
        let mut storage = RealStorage;
        let (mut edit, before) = Edit::begin(&depot, &signers, &mut storage, now()?)?;
        let done = change(&mut edit, &before)?;
        match &self.request {
            None => Ok(Some((done, edit.publish()?))),
            Some(path) => requested(&edit.request(&before)?, path, &self.directory).map(|()| None),
        }
    }
}

/// Writes a request and says what to do with it.
pub fn requested(request: &Request, path: &Path, depot: &Path) -> Result<()> {
    request.write(path)?;
    output::text(Shown { request, own: &[] })?;
    let (path, depot) = (path.display(), depot.display());
    output::line(format_args!(
        "take {path} to where the keys are: bulkhead keys answer-request {path} --keys DIR -o ANSWER"
    ))?;
    output::line(format_args!("then, here: bulkhead depot import {depot} {path} ANSWER --keys DIR"))
}
