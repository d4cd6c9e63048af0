//! What a depot offers this appliance: asking it ([`check`]), remembering what it said ([`store`]), and what follows for this appliance
//! ([`offer`]).
//!
//! Bytes come from [`crate::fetch`], are believed because of [`formats::tuf`], and are kept, whole and signed, on the data partition. What
//! is said about updates is derived anew each time from what is kept and from what is installed, so a list never tells of another state
//! than the one it is read in. Metadata is verified in the program that may write slots; why is said in
//! `docs/decisions/0008-metadata-is-verified-where-it-is-believed.md`.

pub mod check;
pub mod clock;
pub mod download;
pub mod offer;
pub mod setting;
pub mod store;
mod trouble;
pub mod window;

use std::path::PathBuf;

pub use trouble::Trouble;

use crate::reader::Program;
use crate::workplace::DATA;

/// The folder in the base with what its makers say about depots.
pub const SHIPPED: &str = "/usr/lib/bulkhead";

/// Where the parts of this are.
#[derive(Debug, Clone)]
pub struct Places {
    /// `depot.json` and `root.json` of the base; its bytes are as trusted as the base.
    pub shipped: PathBuf,
    /// The mounted data partition.
    pub data: PathBuf,
    /// Who fetches.
    pub fetch: Program,
}

impl Places {
    /// Those of a running appliance.
    pub fn of_this_machine() -> Self {
        Self { shipped: SHIPPED.into(), data: DATA.into(), fetch: Program::fetching("/proc/self/exe") }
    }
}
