//! The device mapper's ioctl interface (`<linux/dm-ioctl.h>`, version 4), as much as one read-only device needs.
//!
//! A request is one buffer: a 312-byte header, then for a table load one target. The kernel answers in the same buffer.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use super::check;

const CONTROL: &str = "/dev/mapper/control";
const HEADER_SIZE: u32 = 312;
const HEADER: usize = HEADER_SIZE as usize;
const NAME_OFFSET: usize = 48;
const NAME_LIMIT: usize = 127;
const FLAGS_OFFSET: usize = 28;
const DEVICE_OFFSET: usize = 40;
const TARGET: usize = 40;
const BUFFER_SIZE: u32 = 4096;
const BUFFER: usize = BUFFER_SIZE as usize;
const READ_ONLY: u32 = 1;

/// The commands used, with their numbers.
#[derive(Clone, Copy)]
enum Command {
    Create = 3,
    Remove = 4,
    Resume = 6,
    LoadTable = 9,
}

/// What a new device maps: one target over all of it.
pub struct Target<'a> {
    /// Length in 512-byte sectors.
    pub sectors: u64,
    /// Target type, for example `verity`.
    pub kind: &'a str,
    /// The target's parameters.
    pub parameters: &'a str,
}

/// Creates the read-only device `name` over `target` and starts it. Returns its minor number: the device is `/dev/dm-MINOR`.
pub fn create_read_only(name: &str, target: &Target<'_>) -> io::Result<u32> {
    let control = open()?;
    send(&control, Command::Create, &mut request(name, READ_ONLY, None)?)?;
    let started = send(&control, Command::LoadTable, &mut request(name, READ_ONLY, Some(target))?).and_then(|()| {
        let mut resume = request(name, READ_ONLY, None)?;
        send(&control, Command::Resume, &mut resume)?;
        Ok(minor(&resume))
    });
    if started.is_err() {
        // The name must be free for another attempt; the first error is the one worth reporting.
        drop(send(&control, Command::Remove, &mut request(name, 0, None)?));
    }
    started
}

/// Removes the device `name`.
pub fn remove(name: &str) -> io::Result<()> {
    send(&open()?, Command::Remove, &mut request(name, 0, None)?)
}

fn open() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(CONTROL)
}

fn send(control: &File, command: Command, buffer: &mut [u8; BUFFER]) -> io::Result<()> {
    // _IOWR(0xfd, command, struct dm_ioctl)
    let number = 0xC138_FD00 | command as libc::Ioctl;
    // SAFETY: the header in `buffer` states its size as BUFFER, and the kernel reads and writes no more than that.
    check(unsafe { libc::ioctl(control.as_raw_fd(), number, buffer.as_mut_ptr()) })
}

/// The bytes of a request, or an error when a text does not fit.
fn request(name: &str, flags: u32, target: Option<&Target<'_>>) -> io::Result<[u8; BUFFER]> {
    let mut buffer = [0; BUFFER];
    let mut put = |offset: usize, bytes: &[u8], limit: usize| -> io::Result<()> {
        let room = buffer.get_mut(offset..offset + bytes.len()).filter(|_| bytes.len() <= limit);
        room.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?.copy_from_slice(bytes);
        Ok(())
    };
    put(0, &4_u32.to_ne_bytes(), 4)?;
    put(12, &BUFFER_SIZE.to_ne_bytes(), 4)?;
    put(16, &HEADER_SIZE.to_ne_bytes(), 4)?;
    put(20, &u32::from(target.is_some()).to_ne_bytes(), 4)?;
    put(FLAGS_OFFSET, &flags.to_ne_bytes(), 4)?;
    put(NAME_OFFSET, name.as_bytes(), NAME_LIMIT)?;
    if let Some(target) = target {
        put(HEADER + 8, &target.sectors.to_ne_bytes(), 8)?;
        put(HEADER + 24, target.kind.as_bytes(), 15)?;
        put(HEADER + TARGET, target.parameters.as_bytes(), BUFFER - HEADER - TARGET - 1)?;
    }
    Ok(buffer)
}

/// The minor number in an answer; the field holds the kernel's `new_encode_dev`.
fn minor(answer: &[u8; BUFFER]) -> u32 {
    let device = answer.get(DEVICE_OFFSET..).and_then(<[u8]>::first_chunk::<4>);
    let device = u32::from_ne_bytes(device.copied().unwrap_or_default());
    (device & 0xff) | ((device >> 12) & 0x000f_ff00)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_load_has_header_target_and_parameters_where_the_kernel_reads_them() {
        let target = Target { sectors: 8, kind: "verity", parameters: "1 254:4" };
        let bytes = request("base", READ_ONLY, Some(&target)).unwrap();
        assert_eq!(bytes[..4], [4, 0, 0, 0]);
        assert_eq!(bytes[12..16], [0, 16, 0, 0]);
        assert_eq!(bytes[16..20], [0x38, 1, 0, 0]);
        assert_eq!(bytes[20..24], [1, 0, 0, 0]);
        assert_eq!(&bytes[48..53], b"base\0");
        assert_eq!(bytes[320..328], 8_u64.to_le_bytes());
        assert_eq!(&bytes[336..343], b"verity\0");
        assert_eq!(&bytes[352..360], b"1 254:4\0");
    }

    #[test]
    fn refuses_names_and_tables_that_do_not_fit() {
        assert!(request(&"n".repeat(128), 0, None).is_err());
        let parameters = "x".repeat(BUFFER);
        assert!(request("base", 0, Some(&Target { sectors: 8, kind: "verity", parameters: &parameters })).is_err());
    }

    #[test]
    fn decodes_minor_numbers_beyond_eight_bits() {
        let mut answer = [0; BUFFER];
        answer[DEVICE_OFFSET..DEVICE_OFFSET + 4].copy_from_slice(&0x0011_fe03_u32.to_ne_bytes());
        assert_eq!(minor(&answer), 0x0103);
    }
}
