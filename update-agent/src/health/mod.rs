//! Is this appliance well? Which checks apply, what they found, and what that means for a release on trial.
//!
//! The checks are data ([`formats::health`]); [`Checklist`] collects those of base, site and operator, [`Rounds`] runs all of them at
//! once, each with its time limit, through [`Probes`] (the real machine, or a simulated one), [`Shared`] does so for whoever asks, and
//! [`verdict`] judges. What follows from a verdict is decided in `serve::overseer`.

mod appliance;
mod checklist;
mod command;
mod examiner;
mod finding;
mod http;
mod process;
mod rounds;
mod shared;
pub mod simulated;

pub use appliance::Appliance;
pub use checklist::{Asked, Checklist, OPERATOR_PATH};
pub use examiner::{Examiner, Nothing, operators_file};
pub use finding::{Finding, Verdict, verdict};
pub use rounds::Rounds;
pub use shared::Shared;

/// What a check saw: nothing to complain about, or what was wrong.
pub type Seen = Result<(), Miss>;

/// Why a check failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Miss {
    /// In a few words.
    pub saw: String,
    /// The end of what a program printed.
    pub output: String,
}

impl Miss {
    /// Without output.
    pub fn new(saw: impl Into<String>) -> Self {
        Self { saw: saw.into(), output: String::new() }
    }
}

/// Something that can look whether a check holds. It is asked from several threads at once.
pub trait Probes: Send + Sync {
    /// Looks once; takes little longer than the check's time limit if it can help it.
    fn look(&self, asked: &Asked) -> Seen;
}
