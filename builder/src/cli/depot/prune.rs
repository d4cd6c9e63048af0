//! `bulkhead depot prune`.

use std::path::PathBuf;

use builder::Result;
use builder::depot::{Depot, RealStorage, prune};
use formats::Bytes;
use serde_json::json;

use super::super::keys::now;
use super::super::output;

/// Remove files that no client needs any more
///
/// Old metadata but for roots, and what only it names. No key is needed. Without
/// --yes it says what would go.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The depot
    #[arg(value_name = "DEPOT")]
    directory: PathBuf,
    /// Days for which metadata stays after newer one took its place; by default as
    /// long as a timestamp lives
    #[arg(long, value_name = "DAYS")]
    keep_days: Option<u32>,
    /// Remove them
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        let depot = Depot::new(&self.directory);
        let found = if self.yes {
            prune::prune(&depot, &mut RealStorage, now()?, self.keep_days)?
        } else {
            prune::find(&depot, now()?, self.keep_days)?
        };
        let bytes: u64 = found.files.iter().map(|old| old.bytes).sum();
        if self.json {
            let file = |old: &prune::Old| json!({"path": old.path, "bytes": old.bytes, "why": old.why});
            let files: Vec<_> = found.files.iter().map(file).collect();
            return output::line(format_args!(
                "{:#}",
                json!({"format": 1, "removed": self.yes, "files": files, "bytes": bytes})
            ));
        }
        for old in &found.files {
            output::line(format_args!("{:>12}  {}: {}", Bytes(old.bytes).to_string(), old.path.display(), old.why))?;
        }
        let (count, bytes) = (found.files.len(), Bytes(bytes));
        match (count, self.yes) {
            (0, _) => output::line("every file is needed"),
            (_, true) => output::line(format_args!("removed {count} file(s), {bytes}")),
            (_, false) => output::line(format_args!("{count} file(s), {bytes}; remove them with --yes")),
        }
    }
}
