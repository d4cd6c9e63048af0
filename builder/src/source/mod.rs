//! Where the content of a root file system comes from: directories, tar archives, Debian packages, mmdebstrap.
//!
//! Every source becomes a [`Tree`] whose file contents stay on disk; [`crate::tree::merge`] lays several over each other.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use crate::Result;
use crate::tree::{Layer, Tree};

pub mod deb;
pub mod directory;
pub mod mmdebstrap;
mod pax;
pub mod spool;
pub mod tar;

pub use mmdebstrap::Mmdebstrap;
pub use spool::Spool;

/// One layer of a root file system, as a recipe names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory of the build host; see [`directory`] for what becomes of owners and modes.
    Directory(PathBuf),
    /// A tar archive: plain, gzip, xz or zstd.
    Tar(PathBuf),
    /// Debian packages unpacked without being installed: no maintainer script runs, nothing is configured.
    Packages {
        /// A directory with `.deb` files.
        from: PathBuf,
        /// Package names, in the order in which they are laid over each other.
        names: Vec<String>,
        /// Start with `/bin`, `/sbin`, `/lib` and `/lib64` as links into `/usr`, as every current Debian does.
        merged_usr: bool,
    },
    /// A Debian system made by mmdebstrap, from the network.
    Mmdebstrap(Mmdebstrap),
}

/// What loading needs besides the source.
#[derive(Debug)]
pub struct Context {
    /// Takes the content of compressed archives.
    pub spool: Spool,
    /// An existing directory for results worth keeping (mmdebstrap's archives).
    pub cache: PathBuf,
    /// The time of everything that has no time of its own, in seconds since 1970.
    pub source_date_epoch: i64,
    /// The Debian packages unpacked so far.
    pub packages: BTreeSet<deb::Control>,
}

impl Source {
    /// Reads the source. File contents are referenced, not read, except those that must be unpacked first.
    pub fn load(&self, context: &mut Context) -> Result<Tree> {
        match self {
            Self::Directory(path) => directory::load(path, context.source_date_epoch),
            Self::Tar(path) => tar::load(path, context),
            Self::Packages { from, names, merged_usr } => deb::load(from, names, *merged_usr, context),
            Self::Mmdebstrap(system) => system.load(context),
        }
    }

    /// Reads the source as a layer that messages call by its description.
    pub fn load_layer(&self, context: &mut Context) -> Result<Layer> {
        Ok(Layer { name: self.to_string(), tree: self.load(context)? })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "directory \"{}\"", path.display()),
            Self::Tar(path) => write!(f, "tar archive \"{}\"", path.display()),
            Self::Packages { from, names, .. } => write!(f, "packages {} of \"{}\"", names.join(", "), from.display()),
            Self::Mmdebstrap(system) => write!(f, "mmdebstrap {}", system.suite),
        }
    }
}
