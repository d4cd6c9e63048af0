//! PID 1 of the initramfs: finds its slot, verifies it, mounts it, and becomes its init. It is the most trusted code of an appliance.
//!
//! It guarantees that nothing without a valid signature by a built-in key is mounted or executed, that a start which cannot go on
//! says why (on the console, and in a log on the data partition) and restarts, and that whatever is not needed to run (boot state,
//! site, data, watchdog) never stops a start.
//!
//! It decides nothing about updates: counting starts is GRUB's work, judging them the agent's.
//!
//! Reading order: [`boot`] is the sequence of steps; [`identity`], [`growth`] and the parsers are pure; [`machine`] touches the system.
//! Opening slots and everything unsafe is in the crate `appliance`. See design sections 4 and 5.

#![forbid(unsafe_code)]
#![expect(clippy::unnecessary_debug_formatting, reason = "paths in messages are quoted and escaped on purpose")]

mod boot;
mod config;
mod console;
mod data;
mod disk;
mod failure;
mod firmware;
mod growth;
mod identity;
mod machine;
mod modules;
mod reset;
mod slot;
mod state;

fn main() {
    if std::process::id() != 1 {
        eprintln!("bulkhead-init: this program is PID 1 of an initramfs and does nothing elsewhere");
        std::process::exit(2);
    }
    failure::catch_panics();
    match boot::boot() {
        Err(problem) => failure::restart(&problem.to_string()),
        Ok(never) => match never {},
    }
}
