//! The only unsafe code on a device: ioctls the standard library and `nix` have no safe form of.
//!
//! Each function wraps one system call, checks what can be checked in Rust, and returns `io::Result`. No decision is taken here.
#![expect(unsafe_code, reason = "ioctls take raw pointers; this folder is the one place that has them")]

pub mod block;
pub mod device_mapper;
pub mod watchdog;

use std::io;

/// The result of a system call as the standard library would give it.
fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
