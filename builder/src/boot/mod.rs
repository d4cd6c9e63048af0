//! Everything between the firmware and the first instruction of our initramfs program.

pub mod authenticode;
pub mod grub;
pub mod initramfs;
pub mod modules;
pub mod openpgp;
pub mod pe;
pub mod uki;
