//! Putting what was unpacked in the place of what is in use: all of it or nothing.
//!
//! The order, and why a power cut is harmless. Everything is unpacked and flushed beside first; then the record, which says what is to be
//! exchanged with what, is written with one rename: from here on the restore will be completed. Then one exchange (or rename, where nothing
//! is in the place) for each path, each flushed; then the record is removed; then what is left beside. A start that finds a record does the
//! steps that were not done: whether one was is told by the number of the file in the place, which an exchange moves with it. A start that
//! finds no record removes what lies beside. When a step fails while the machine runs, the record is turned round first, and the steps done
//! are undone by the same rule. At no moment is a path missing that was there before and after.

use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde::{Deserialize, Serialize};

use super::Trouble;
use crate::error::Result;
use crate::plain_file;

/// The folder of restores, below the data partition.
pub const FOLDER: &str = "bulkhead/restore";
/// What was unpacked.
pub const NEW: &str = "bulkhead/restore/new";
/// Where what is removed goes.
pub const OLD: &str = "bulkhead/restore/old";
const RECORD: &str = "bulkhead/restore/record.json";

/// What is to be exchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    format: u32,
    /// The steps, in their order.
    pub steps: Vec<Step>,
    /// They are undone.
    #[serde(default)]
    back: bool,
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// Where it is in use, below the data partition.
    pub path: String,
    /// Where the other one lies.
    pub beside: String,
    /// What is done.
    pub change: Change,
    /// The number (inode) of what moves: of the new one, or of what is removed.
    pub number: u64,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Puts something where nothing is.
    Place,
    /// Puts something in the place of something.
    Replace,
    /// Takes something away.
    Remove,
}

/// What a restore does to a file system; paths are below the data partition.
pub trait Tree {
    /// The number of what is there.
    fn number(&self, path: &str) -> io::Result<Option<u64>>;
    /// Exchanges two that are there, at once.
    fn exchange(&self, one: &str, other: &str) -> io::Result<()>;
    /// Moves something to where nothing is.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes what was renamed in the folder of this path durable.
    fn flush(&self, path: &str) -> io::Result<()>;
    /// The record, if there is one.
    fn load(&self) -> io::Result<Option<Vec<u8>>>;
    /// Replaces the record, durable on return.
    fn keep(&self, record: &[u8]) -> io::Result<()>;
    /// Removes the record, durable on return.
    fn forget(&self) -> io::Result<()>;
    /// Removes everything that lies beside.
    fn clear(&self) -> io::Result<()>;
}

impl Plan {
    /// These steps, in this order.
    pub const fn new(steps: Vec<Step>) -> Self {
        Self { format: FORMAT, steps, back: false }
    }
}

/// Does it. What failed is undone.
pub fn carry_out(tree: &dyn Tree, plan: &Plan) -> Result<()> {
    let keep = |plan: &Plan| serde_json::to_vec(plan).map_err(io::Error::other).and_then(|bytes| tree.keep(&bytes));
    if let Err(problem) = keep(plan) {
        // Whether it was kept is not known: nothing was begun, so undoing does nothing and removes it.
        return back(tree, &Plan { back: true, ..plan.clone() }, &problem);
    }
    if let Err(problem) = walk(tree, plan) {
        let plan = Plan { back: true, ..plan.clone() };
        return match keep(&plan) {
            Ok(()) => back(tree, &plan, &problem),
            Err(second) => Err(Trouble::Halfway(format!("{problem}; {second}")).into()),
        };
    }
    // Done. That it is forgotten late does no harm: the next start finds nothing left to do.
    tree.forget().and_then(|()| tree.clear()).unwrap_or(());
    Ok(())
}

fn back(tree: &dyn Tree, plan: &Plan, problem: &io::Error) -> Result<()> {
    match walk(tree, plan).and_then(|()| tree.forget()) {
        Ok(()) => {
            tree.clear().unwrap_or(());
            Err(Trouble::TakenBack(problem.to_string()).into())
        }
        Err(second) => Err(Trouble::Halfway(format!("{problem}; {second}")).into()),
    }
}

/// What is to be done about a restore that was cut off.
pub fn unfinished(tree: &dyn Tree) -> io::Result<Option<Plan>> {
    let plan = tree.load()?.and_then(|bytes| serde_json::from_slice::<Plan>(&bytes).ok());
    Ok(plan.filter(|plan| plan.format == FORMAT))
}

/// Completes a restore that was cut off, or takes it back, whichever it was at; removes what one left that was never begun. What was done.
pub fn finish(tree: &dyn Tree) -> io::Result<Option<&'static str>> {
    // A record that went bad says nothing; each path is whole as it is.
    let plan = unfinished(tree)?;
    if let Some(plan) = &plan {
        walk(tree, plan)?;
    }
    tree.forget()?;
    tree.clear()?;
    Ok(plan.map(|plan| {
        if plan.back { "a restore that failed is taken back" } else { "a restore that was cut off is completed" }
    }))
}

fn walk(tree: &dyn Tree, plan: &Plan) -> io::Result<()> {
    let mut forth = plan.steps.iter();
    let mut back = plan.steps.iter().rev();
    while let Some(step) = if plan.back { back.next() } else { forth.next() } {
        if plan.back {
            undo(tree, step)?;
        } else {
            perform(tree, step)?;
        }
        tree.flush(&step.path)?;
        tree.flush(&step.beside)?;
    }
    Ok(())
}

/// Does a step that was not done.
fn perform(tree: &dyn Tree, step: &Step) -> io::Result<()> {
    let there = tree.number(&step.path)?;
    match step.change {
        Change::Place | Change::Replace if there == Some(step.number) => Ok(()),
        // Somebody put something there meanwhile, or took it away: both are possible between the record and a later start.
        Change::Place | Change::Replace if there.is_some() => tree.exchange(&step.beside, &step.path),
        Change::Place | Change::Replace => tree.rename(&step.beside, &step.path),
        Change::Remove if there == Some(step.number) => tree.rename(&step.path, &step.beside),
        Change::Remove => Ok(()),
    }
}

/// Undoes a step that was done.
fn undo(tree: &dyn Tree, step: &Step) -> io::Result<()> {
    let there = tree.number(&step.path)?;
    match step.change {
        Change::Place if there == Some(step.number) => tree.rename(&step.path, &step.beside),
        Change::Replace if there == Some(step.number) => tree.exchange(&step.beside, &step.path),
        Change::Remove if there.is_none() && tree.number(&step.beside)? == Some(step.number) => {
            tree.rename(&step.beside, &step.path)
        }
        _ => Ok(()),
    }
}

/// The data partition.
pub struct Mounted(PathBuf);

impl Mounted {
    /// The one mounted at `data`.
    pub fn new(data: &Path) -> Self {
        Self(data.into())
    }

    fn renamed(&self, from: &str, to: &str, flags: RenameFlags) -> io::Result<()> {
        Ok(renameat2(AT_FDCWD, &self.0.join(from), AT_FDCWD, &self.0.join(to), flags)?)
    }
}

impl Tree for Mounted {
    fn number(&self, path: &str) -> io::Result<Option<u64>> {
        match std::fs::symlink_metadata(self.0.join(path)) {
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(None),
            metadata => metadata.map(|metadata| Some(std::os::unix::fs::MetadataExt::ino(&metadata))),
        }
    }

    fn exchange(&self, one: &str, other: &str) -> io::Result<()> {
        self.renamed(one, other, RenameFlags::RENAME_EXCHANGE)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.renamed(from, to, RenameFlags::RENAME_NOREPLACE)
    }

    fn flush(&self, path: &str) -> io::Result<()> {
        let path = self.0.join(path);
        std::fs::File::open(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?.sync_all()
    }

    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        match plain_file::read(&self.0.join(RECORD), LONGEST) {
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => bytes.map(Some),
        }
    }

    fn keep(&self, record: &[u8]) -> io::Result<()> {
        let path = self.0.join(RECORD);
        plain_file::replace(&path, &path.with_extension("json.new"), record, 0o600)
    }

    fn forget(&self) -> io::Result<()> {
        plain_file::remove_if_there(&self.0.join(RECORD))?;
        match std::fs::File::open(self.0.join(FOLDER)) {
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(()),
            folder => folder?.sync_all(),
        }
    }

    fn clear(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(self.0.join(FOLDER)) {
            Err(problem) if problem.kind() != io::ErrorKind::NotFound => Err(problem),
            _ => Ok(()),
        }
    }
}

const FORMAT: u32 = 1;
const LONGEST: usize = 8 << 20;
