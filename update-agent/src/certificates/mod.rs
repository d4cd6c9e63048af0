//! The certificates of the appliance: by which its console is known, and which its site may use.
//!
//! What people bring is read by [`reader`], put together by [`assemble`], judged in [`finding`], kept in [`store`], and given to servers as
//! [`serving`]: a server asks for all there is to
//! show, picks by name and address, and takes up what changed by asking again.

pub mod assemble;
pub mod binding;
pub mod certificate;
pub mod entry;
pub mod export;
pub mod finding;
pub mod folder;
pub mod import;
pub mod key;
pub mod listing;
pub mod pem;
pub mod read;
pub mod reader;
pub mod request;
pub mod self_signed;
pub mod serving;
pub mod store;
mod trouble;

pub use binding::{Bindings, Place};
pub use certificate::{Certificate, Facts};
pub use entry::Entry;
pub use finding::{Finding, Kind as FindingKind, Light, Severity};
pub use key::Key;
pub use self_signed::Names;
pub use serving::{Identity, Serving};
pub use store::Store;
pub use trouble::Trouble;

#[cfg(test)]
mod tests;
