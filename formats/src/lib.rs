//! What the bytes inside a Bulkhead disk or package mean.
//!
//! Every on-disk structure has one type here with `parse` (bounded, for untrusted bytes), `encode` (deterministic) and a readable
//! dump. The crate is pure: it never opens a path, reads a clock, draws a random number or talks to a network, so the builder,
//! the initramfs program, the agent and the tests all share exactly one opinion about every byte.
//!
//! Envelopes *around* a disk (qcow2, VMDK, OVA, VHD) belong to the builder; deciding what to write when belongs to the agent.

#![forbid(unsafe_code)]
#![deny(clippy::as_conversions, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::as_conversions, clippy::arithmetic_side_effects, reason = "tests may panic"))]

#[cfg(feature = "backup")]
pub mod age;
#[cfg(feature = "backup")]
pub mod backup;
pub mod boot_report;
pub mod boot_state;
#[cfg(feature = "package")]
pub mod bundle;
pub mod calendar;
pub mod catalogue;
pub mod depot;
pub mod digest;
pub mod download_key;
pub mod error;
#[cfg(feature = "ext4")]
pub mod ext4;
pub mod fat;
pub mod footer;
pub mod gpt;
pub mod guid;
pub mod health;
pub mod image_record;
pub mod journal;
mod json;
mod le;
pub mod mail;
pub mod manifest;
pub mod mbr;
pub mod network;
#[cfg(feature = "package")]
pub mod package;
pub mod plan;
pub mod reset_record;
pub mod results;
pub mod signature;
pub mod site;
pub mod slot;
pub mod smbios;
pub mod state_volume;
pub mod trust;
pub mod tuf;
pub mod units;
pub mod verity;
pub mod window;

pub use digest::Digest;
pub use error::{Damage, Distrust, Error, Result};
pub use guid::Guid;
pub use slot::SlotId;
pub use units::{Bytes, Lba, SectorSize};
