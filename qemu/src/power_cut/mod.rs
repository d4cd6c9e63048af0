//! Real power cuts: everything a guest's disk was told is recorded, and every disk a cut could have left is made from it and judged.
//!
//! `update-agent/tests/crash_states.rs` does the same with a simulated disk, more thoroughly, for the agent alone. Here nothing is
//! simulated: the writes are those of the real boot loader, kernel, initramfs program and agent, through their real caches.
//!
//! The pipeline: [`record`] runs a guest that updates itself, and keeps the disk before it and a [`write_log`]; [`stretches`] cuts the
//! log at its flushes; [`cuts`] chooses what of an unflushed stretch reaches the disk; [`working_copy`] makes that disk; [`judge`] and
//! [`agent`] look at it; [`boots`] starts some of them; [`replay`] is the order of it all. `docs/power-cuts.md` explains it to users.

pub mod agent;
pub mod boots;
pub mod cuts;
#[cfg(test)]
mod fixture;
pub mod judge;
pub mod record;
pub mod replay;
pub mod stretches;
pub mod working_copy;
pub mod write_log;

pub use record::{Recorder, Recording};
pub use replay::{Replay, Report};
