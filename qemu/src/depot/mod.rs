//! A depot for a guest: the emulator answers at `http://10.0.2.100/` with the files of a folder, and nothing else of the host is there;
//! where that is wanted also at `https://10.0.2.100/` ([`tls`]).
//!
//! The emulator starts a program for each connection of the guest ([`connection`]), so no port of the host is taken and two guests
//! never meet. What that program may do, and what it did, are two files: the order, replaced by a rename and looked at before each
//! piece, and a log to which each piece adds a line. Whether the files are a depot is not known here.

pub mod connection;
pub mod tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use formats::Bytes;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::{Error, Pattern, Result};

/// A folder of files that a guest can ask for.
#[derive(Debug)]
pub struct Depot {
    /// With the order and the log.
    state: TempDir,
    order: Order,
}

/// What a connection does.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    /// The files.
    folder: PathBuf,
    /// Connections are answered; else they end, those that are open too.
    on: bool,
    /// How often it was switched off: connections that were open then end, also when it is on again before they look.
    breaks: u64,
    /// Most bytes each second for each connection.
    rate: Option<u64>,
}

/// What was sent of some files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Bytes of them that were sent, again and again counted each time.
    pub bytes: u64,
    /// Bytes they have, each file counted once.
    pub length: u64,
    /// How often one of them was asked for.
    pub requests: u64,
}

impl Depot {
    /// Serves this folder from now on.
    ///
    /// # Errors
    /// [`Error::Input`] when it is not a folder, [`Error::Io`] when the order cannot be written.
    pub fn new(folder: &Path, rate: Option<Bytes>) -> Result<Self> {
        let folder = folder.canonicalize().map_err(Error::io("find", folder))?;
        let prefix = tempfile::Builder::new().prefix("bulkhead-vm-depot-").tempdir();
        let state = prefix.map_err(Error::io("create a directory in", std::env::temp_dir()))?;
        let mut depot = Self { state, order: Order { folder, on: true, breaks: 0, rate: None } };
        depot.switch(true, rate)?;
        Ok(depot)
    }

    /// Switches it on or off, for open connections too.
    pub fn switch(&mut self, on: bool, rate: Option<Bytes>) -> Result<()> {
        let breaks = self.order.breaks + u64::from(!on);
        self.order = Order { on, breaks, rate: rate.map(|rate| rate.0), ..self.order.clone() };
        let (new, path) = (self.state.path().join("new"), self.state.path().join(ORDER));
        let text = serde_json::to_vec(&self.order).map_err(|error| Error::Environment(error.to_string()))?;
        std::fs::write(&new, text).map_err(Error::io("write", &new))?;
        std::fs::rename(&new, &path).map_err(Error::io("replace", &path))
    }

    /// What the emulator starts for each connection: `program` is `bulkhead-vm`.
    pub fn command(&self, program: &Path) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        vec![text(program), VERB.to_owned(), text(self.state.path())]
    }

    /// The same for each encrypted connection. Certificates are made for it.
    pub fn encrypted_command(&self, program: &Path) -> Result<Vec<String>> {
        let address = ENCRYPTED.split(':').next().unwrap_or_default();
        tls::prepare(self.state.path(), address)?;
        Ok([self.command(program), vec![TLS.to_owned()]].concat())
    }

    /// What was sent of the files whose path has `pattern`, since the beginning.
    pub fn sent(&self, pattern: &Pattern) -> Result<Sent> {
        let path = self.state.path().join(LOG);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.map_err(Error::io("read", &path))?,
        };
        Ok(counted(&text, pattern))
    }
}

/// Adds up the log's lines, `BYTES LENGTH PATH`; one with 0 bytes begins a file.
fn counted(log: &str, pattern: &Pattern) -> Sent {
    let mut sent = Sent::default();
    let mut lengths = BTreeMap::new();
    for line in log.lines() {
        let mut words = line.splitn(3, ' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(bytes), Some(length)) = (number(), number()) else { continue };
        let Some(path) = words.next().filter(|path| pattern.matches(path)) else { continue };
        sent.requests += u64::from(bytes == 0);
        sent.bytes += bytes;
        lengths.insert(path, length);
    }
    sent.length = lengths.values().sum();
    sent
}

/// The subcommand of `bulkhead-vm` that serves a connection.
pub const VERB: &str = "depot-connection";
/// Its option for an encrypted connection.
const TLS: &str = "--tls";
/// Where the guest finds the depot.
pub const ADDRESS: &str = "10.0.2.100:80";
/// And where with HTTPS.
pub const ENCRYPTED: &str = "10.0.2.100:443";
const ORDER: &str = "order.json";
const LOG: &str = "log";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_counted_by_file_and_repetitions_count_again() {
        let log = "0 100 /a.pkg\n60 100 /a.pkg\n0 7 /b.json\n7 7 /b.json\n0 100 /a.pkg\n40 100 /a.pkg\n1 100 /a.pkg\nrubbish\n";
        assert_eq!(counted(log, &"/a.pkg".into()), Sent { bytes: 101, length: 100, requests: 2 });
        assert_eq!(counted(log, &"/".into()), Sent { bytes: 108, length: 107, requests: 3 });
        assert_eq!(counted(log, &"/c".into()), Sent::default());
    }
}
