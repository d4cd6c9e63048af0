//! The metadata of The Update Framework (specification 1.0), as a client reads it: root, timestamp, snapshot, targets and the roles
//! that targets delegates to. Pure: [`refresh`] is told how to fetch a file and what the time is, and does the rest.
//!
//! The profile: ed25519 keys; consistent snapshots; SHA-256; one level of delegations, told apart by paths. Depots written to it are read by
//! any TUF client. Why not another one on the appliance: `docs/decisions/0007-own-tuf-client.md`.
//!
//! Known attacks and our defence (the list of the TUF specification, section 1.5.2, each with a test in `attack_tests.rs`): arbitrary
//! software (signatures by a threshold of distinct keys over the canonical form, before any other field means something); rollback
//! (versions of timestamp, snapshot and every targets file never go down, kept across restarts); freeze (each file has a last second);
//! endless data (every length is bounded before it is fetched); mix-and-match and extraneous files (snapshot names version, length and
//! digest of each); fast-forward (a root that rotates the keys of timestamp or snapshot starts their versions anew); key compromise
//! (a root counts only when the one before and itself sign it, one version after the other); wrong role or wrong path (a delegated role
//! speaks only for its paths). JSON is read by [`crate::json`]: keys given twice, depth and length are refused there.

mod canonical;
mod metadata;
mod refresh;
mod role;

use std::fmt;

pub use canonical::canonical;
pub use metadata::{Delegation, Root, Target, Targets};
pub use refresh::{Depot, Fetch, Freshness, Kept, Trouble, path, refresh};
pub use role::{Keys, key_id, key_value};

/// Why metadata was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct Refusal {
    /// Name of the file in the depot, for example `timestamp.json`.
    pub file: String,
    /// The kind of refusal, for programs.
    pub why: Why,
    /// What is wrong, with numbers.
    pub problem: String,
}

/// Kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Too few of the keys that must sign did.
    Signatures,
    /// It is older than what was seen before.
    Rollback,
    /// Its last second has passed.
    Expired,
    /// It is not the file that was signed for: another version, length or digest.
    Mismatch,
    /// The depot does not have it.
    Missing,
    /// It is longer than it may be.
    TooLong,
    /// It breaks a rule of its format.
    Malformed,
}

impl Refusal {
    pub(crate) fn new(file: &str, why: Why, problem: impl fmt::Display) -> Self {
        Self { file: file.into(), why, problem: problem.to_string() }
    }
}

/// Longest root, timestamp, snapshot and targets file; the entries of a whole catalogue have room in the last.
pub const MAX_ROOT: usize = 256 << 10;
/// Longest timestamp.
pub const MAX_TIMESTAMP: usize = 16 << 10;
/// Longest snapshot.
pub const MAX_SNAPSHOT: usize = 256 << 10;
/// Longest file of targets.
pub const MAX_TARGETS: usize = 16 << 20;
/// Most roots one after the other in one refresh.
pub const MAX_ROOTS: u64 = 256;

#[cfg(test)]
mod attack_tests;
#[cfg(test)]
pub(crate) mod fixture;
