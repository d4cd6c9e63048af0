//! Reading a package in a process of its own, one that may do nothing else.
//!
//! A package comes from anybody until its last byte is checked, and taking one apart needs a tar reader, a JSON parser and zstd. So
//! the program that may write slots starts itself a second time as `read-package`: [`child`] gives away every privilege
//! ([`confine`]) before it reads the first byte, and hands over what it finds in frames ([`frame`]). [`Delivery`] is the receiving
//! end, and believes nothing of it:
//!
//! 1. Nothing is parsed before it is verified: manifest and signatures arrive as they were in the package and are verified here; only
//!    then the reader gets the trust store, which is its leave to go on.
//! 2. Notes and licence terms must have the digest in the signed manifest.
//! 3. The chunk index must too, and each piece the digest and length in that index. What is written is proved once more against the
//!    signed root hash (see [`crate::slot::write`]).
//! 4. Frames have a limit each and one order; anything else ends the reading.
//! 5. A frame that takes longer than [`PATIENCE`] ends it as well, and the reader with it.
//!
//! So a reader that was taken over can refuse a good package or leave a slot empty, and nothing else.

pub mod child;
pub mod confine;
mod delivery;
pub mod frame;
mod process;

pub use delivery::Delivery;
pub use process::{PATIENCE, Patient, Process, Program};
