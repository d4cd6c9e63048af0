//! Keeps an appliance up to date and tells the truth about it.
//!
//! `lifecycle` decides when a slot may change and is the place to start reading; `slot` writes and proves slots, `state` the boot
//! state blocks, `journal` remembers, `disk` is the door to all of them. `serve` feeds the watchdog and commits the slot the machine
//! runs from once it is healthy; `status` says what runs, what is on trial, what failed and why, and what the next restart does.
//!
//! `backup` makes backups and restores them. `depot` asks a depot what there is, `fetch` gets its bytes in a process without rights. `calendar` decides what is done by itself and
//! when, `mail` tells people.
//!
//! `web` is the console in the browser, a process without rights again; `account` says who may do what there, `audit` keeps who did.
//!
//! `support` puts together what somebody who helps needs, without secrets.
//!
//! What bytes mean is the business of `formats`; verifying and mounting happened before, in the initramfs program.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic"))]

pub mod account;
pub mod airgap;
pub mod api;
pub mod audit;
pub mod backup;
pub mod calendar;
pub mod certain;
pub mod certificates;
mod chance;
pub mod code;
pub mod command;
pub mod console;
pub mod depot;
pub mod disk;
pub mod error;
pub mod eula;
pub mod failed_boot;
pub mod fetch;
pub mod health;
mod hook;
pub mod journal;
pub mod judge;
mod kernel_log;
pub mod licence;
pub mod lifecycle;
pub mod mail;
mod named_file;
pub mod network;
pub mod notes;
mod plain_file;
pub mod power;
pub mod preflight;
pub mod reader;
pub mod report;
pub mod secret;
pub mod serve;
pub mod site;
pub mod slot;
pub mod source;
pub mod staging;
pub mod state;
pub mod status;
pub mod support;
pub mod upgrade;
pub mod upload;
pub mod watchdog;
pub mod web;
pub mod workplace;
