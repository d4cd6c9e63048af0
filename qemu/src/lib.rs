//! Boots disk images in QEMU and believes nobody.
//!
//! ```no_run
//! use std::time::Duration;
//! use qemu::{Disk, Firmware, Machine};
//!
//! # fn main() -> qemu::Result<()> {
//! let disk = Disk::overlay("appliance.raw")?; // the image itself is never modified
//! let mut machine = Machine::new(&disk).firmware(Firmware::Uefi).forward(80);
//! let mut guest = machine.boot()?;
//! guest.expect(["BULKHEAD READY", "slot=A"], Duration::from_secs(60))?;
//! assert_eq!(guest.http_get(80, "/", Duration::from_secs(10))?.status, 200);
//! guest.power_cut()?;
//! let mut guest = machine.boot()?; // the same disk and firmware variables
//! guest.expect("BULKHEAD READY", Duration::from_secs(60))?;
//! # Ok(()) }
//! ```
//!
//! The crate decides nothing about appliances: it starts them, watches, pulls the plug, damages disks, and reports what it saw.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may panic and report"))]

pub mod accelerator;
pub mod clock;
pub mod console;
pub mod depot;
pub mod disk;
pub mod error;
pub mod firmware;
pub mod forge;
pub mod guest;
pub mod junit;
mod log;
pub mod machine;
pub mod mail;
pub mod monitor;
pub mod network;
pub mod pattern;
pub mod power_cut;
pub mod scenario;
pub mod surgery;
pub mod tool;
pub mod variables;

pub use accelerator::Accelerator;
pub use clock::Clock;
pub use console::{Console, Line, Tap};
pub use depot::Depot;
pub use disk::Disk;
pub use error::{Error, Result};
pub use firmware::{Firmware, FirmwareName};
pub use guest::{Guest, Verdict};
pub use machine::{Bus, Machine};
pub use network::{Forward, Response};
pub use pattern::Pattern;
pub use scenario::Scenario;
