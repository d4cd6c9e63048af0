//! What the initramfs program and the update agent both do to a running machine: verify a slot on a block device, open it with
//! dm-verity, mount and unmount it, arm watchdogs, grow a partition, and read and write sectors past the page cache.
//!
//! It guarantees that nothing is mounted from a slot without a signed footer and without a hash tree behind every block (`slot`), and
//! that the ioctls get what the kernel reads (`sys`, the only unsafe code that runs on a device). Which slot, when, and what follows
//! from a failure is decided by its two users. What bytes mean is the business of `formats`.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic"))]
#![expect(clippy::unnecessary_debug_formatting, reason = "paths in messages are quoted and escaped on purpose")]

pub mod direct;
pub mod error;
pub mod mount;
pub mod partition;
pub mod slot;
pub mod sys;

pub use error::{At, Doing, Error, Result};
pub use partition::Partition;
