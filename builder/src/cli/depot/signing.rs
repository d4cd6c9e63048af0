//! What every verb that changes a depot is told: where, and who signs.

use std::path::PathBuf;

use builder::Result;
use builder::depot::{Depot, Edit, RealStorage, Signers, State};

use super::super::keys::now;

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
}

impl Signing {
    /// Makes one change and shows it.
    pub fn change<T>(&self, change: impl FnOnce(&mut Edit<'_>, &State) -> Result<T>) -> Result<(T, State)> {
        let depot = Depot::new(&self.directory);
        let signers = Signers { folders: self.keys.clone(), commands: self.sign_command.clone() };
        let mut storage = RealStorage;
        let (mut edit, before) = Edit::begin(&depot, &signers, &mut storage, now()?)?;
        let done = change(&mut edit, &before)?;
        Ok((done, edit.publish()?))
    }
}
