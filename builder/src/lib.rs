//! `bulkhead`: one recipe becomes a signed A/B disk image, without root, mounts, loop devices or network.
//!
//! The pipeline, one stage per module: [`recipe`] (text to checked values) → [`plan`] (pure decisions, printable) → [`source`] and
//! [`tree`] (what goes into a file system) → [`boot`] (kernel, GRUB, keys) → [`filesystem`] and [`slot_image`] (bytes of a slot) →
//! [`build`] (bytes of the disk) → [`export`] (envelopes for hypervisors). [`inspect`] and [`verify`] read the result back.

#![forbid(unsafe_code)]

pub mod boot;
pub mod build;
pub mod bundle_file;
pub mod ceremony;
pub mod depot;
pub mod diff;
pub mod error;
pub mod export;
pub mod filesystem;
pub mod inspect;
pub mod keys;
pub mod layout;
pub mod licence;
pub mod nearest;
pub mod opened;
pub mod package;
pub mod plan;
pub mod recipe;
pub mod sbom;
pub mod scaffold;
pub mod sign;
pub mod slot_image;
pub mod source;
pub mod tool;
pub mod tree;
pub mod verify;

pub use error::{Error, Result};
