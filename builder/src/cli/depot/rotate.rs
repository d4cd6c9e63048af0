//! `bulkhead depot rotate`.

use std::path::PathBuf;

use builder::Result;
use builder::depot::Rotation;

use super::super::output;
use super::set_up::good_until;
use super::signing::Signing;

/// Give a role other keys
///
/// A role of TUF (root, targets, snapshot, timestamp) needs root's keys and its
/// own, old and new; a delegated one (base, site, licence, depot) those of
/// targets, its own new ones, and the three online keys.
#[derive(Debug, clap::Args)]
pub struct Rotate {
    #[command(flatten)]
    signing: Signing,
    /// The role
    role: String,
    /// Folder with the public half of a new key; repeatable
    #[arg(long, value_name = "DIR")]
    new: Vec<PathBuf>,
    /// Keep the old keys beside the new ones; else they are replaced
    #[arg(long)]
    keep: bool,
    /// Take only this key away, by 8 or more digits of its id (see "depot
    /// show"); repeatable
    #[arg(long, value_name = "ID")]
    remove: Vec<String>,
    /// How many must sign from now on
    #[arg(long, value_name = "N")]
    threshold: Option<u32>,
    /// The old key of targets, snapshot or timestamp is lost and cannot sign
    #[arg(long)]
    lost: bool,
}

impl Rotate {
    pub fn run(self) -> Result<()> {
        let Self { signing, role, new, keep, remove, threshold, lost } = self;
        let rotation = Rotation { new, remove, keep, threshold, lost };
        let Some(((), state)) = signing.change(|edit, _| edit.rotate(&role, &rotation))? else { return Ok(()) };
        let keys = state.draft.keys(&role)?;
        output::line(format_args!("{role}: {} of {} key(s) sign", keys.threshold, keys.keys.len()))?;
        good_until(&state)
    }
}
