//! An appliance for tests: a keeper over a disk image file with base 1 and site 10, and the real commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use update_agent::backup::table::line;
use update_agent::certificates::Store;
use update_agent::depot::Places;
use update_agent::reader::Program;
use update_agent::serve::desk::Desk;
use update_agent::serve::job::Jobs;
use update_agent::serve::keeper::{Keeper, Setup};
use update_agent::serve::people::People;
use update_agent::workplace::Place;

use crate::disk_file;
use crate::fixtures::trust;

/// The program.
pub const AGENT: &str = env!("CARGO_BIN_EXE_update-agent");

/// An appliance and its keeper.
pub struct Appliance {
    directory: tempfile::TempDir,
    /// The keeper has the same one.
    pub desk: Desk,
    _keeper: Keeper,
}

impl Appliance {
    /// One whose base believes the depot with this root and finds it at this address.
    pub fn with_depot(root: &[u8], url: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        disk_file::write(&path("disk.img"), |_| 1);
        fs::write(path("trust.json"), trust().encode().unwrap()).unwrap();
        fs::create_dir(path("shipped")).unwrap();
        fs::write(path("shipped/root.json"), root).unwrap();
        if let Some(url) = url {
            fs::write(path("shipped/depot.json"), format!(r#"{{"format":1,"url":"{url}"}}"#)).unwrap();
        }
        let desk = desk(directory.path(), Program::at(AGENT));
        let setup = Setup { desk: desk.clone(), socket: path("agent.sock"), program: AGENT.into() };
        Self { desk, _keeper: Keeper::start(setup).unwrap(), directory }
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What a command prints, and its exit code.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(AGENT).args(arguments).arg("--socket").arg(self.path("agent.sock")).output().unwrap()
    }

    /// What a command with this exit code prints.
    pub fn text(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8([output.stdout.as_slice(), output.stderr.as_slice()].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        text
    }

    /// The JSON a command prints.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {errors}"))
    }
}

impl Drop for Appliance {
    /// Whatever a test had the appliance do: everything it left on its data partition has a line in the table of backups.
    fn drop(&mut self) {
        let entries = fs::read_dir(self.path("data/bulkhead")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let strange =
            |name: &String| line(&format!("bulkhead/{name}")).is_none() && !OPERATORS.contains(&name.as_str());
        let strange: Vec<String> = names.filter(strange).filter(|name| !is_unfinished(name)).collect();
        assert!(std::thread::panicking() || strange.is_empty(), "add them to backup/table.rs: {strange:?}");
    }
}

fn is_unfinished(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending == "new")
}

/// Files that tests put beside the settings, as operators do.
const OPERATORS: [&str; 6] = ["backup-passphrase", "ca.pem", "mail-password", "password", "proxy", "secret"];

/// The desk over the disk image file in a folder.
pub fn desk(folder: &Path, reader: Program) -> Desk {
    let path = |name: &str| folder.join(name);
    let place = Place {
        disk: Some(path("disk.img")),
        trust: Some(path("trust.json")),
        report: PathBuf::new(),
        journal: Some(path("data/bulkhead")),
    };
    Desk {
        place,
        data: path("data"),
        program: reader,
        jobs: Jobs::default(),
        depot: Places { shipped: path("shipped"), data: path("data"), fetch: Program::fetching(AGENT) },
        certificates: Store::new(&path("data")),
        network_hook: path("network"),
        power: std::sync::Arc::new(update_agent::power::Simulated::default()),
        people: People::new(&path("data")),
    }
}
