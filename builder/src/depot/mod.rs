//! The publishing side of updates: a depot is a folder of static files that any web server can serve, and TUF metadata by which an appliance
//! believes it or not (`docs/depot.md`; what appliances do with it: [`formats::tuf`]).
//!
//! It guarantees that a change is seen whole or not at all, that nothing is signed on top of metadata that does not verify, and that a package
//! goes in only when every byte of it is what the keys in the depot stand for. Where keys are kept is left to
//! [`Signer`]: a file, a command, or somebody who is asked with a request ([`crate::ceremony`]).

pub mod answer;
pub mod bundle;
mod create;
mod document;
mod edit;
pub mod ledger;
pub mod lint;
mod offer;
mod patience;
pub mod portal;
pub mod prune;
mod ranged;
mod renew;
mod request;
mod results;
mod rotate;
pub mod serve;
pub mod show;
mod signer;
pub mod simulate;
mod state;
mod storage;

pub use answer::Hiding;
pub use create::{Creation, usual_lifetime};
pub(crate) use document::{is_signed_by, time};
pub use edit::Edit;
pub use offer::Opens;
pub use request::import;
pub use results::Policy;
pub use rotate::Rotation;
pub use signer::{KeyFile, SignCommand, Signer, Signers};
pub(crate) use state::trust_store;
pub use state::{Depot, Draft, INDEX, OFFLINE, ONLINE, PACKAGES, State, TOP};
pub use storage::{RealStorage, Storage};
