//! Growing a partition and the file system mounted from it, and emptying a partition.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::check;

/// `struct blkpg_partition` of `<linux/blkpg.h>`; offsets and lengths in bytes.
#[repr(C)]
struct Partition {
    start: libc::c_longlong,
    length: libc::c_longlong,
    number: libc::c_int,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

/// `struct blkpg_ioctl_arg` of `<linux/blkpg.h>`.
#[repr(C)]
struct PartitionRequest {
    operation: libc::c_int,
    flags: libc::c_int,
    length: libc::c_int,
    partition: *mut Partition,
}

const BLKPG: libc::Ioctl = 0x1269;
const BLKPG_RESIZE_PARTITION: libc::c_int = 3;
const EXT4_IOC_RESIZE_FS: libc::Ioctl = 0x4008_6610;
/// `<linux/fs.h>`: `_IO(0x12, 119)` and `_IO(0x12, 127)`; both take two `u64`, start and length in bytes.
const BLKDISCARD: libc::Ioctl = 0x1277;
const BLKZEROOUT: libc::Ioctl = 0x127f;

/// Tells the kernel that partition `number` of `disk` now is `length` bytes from byte `start`. The table on disk is not read.
pub fn resize_partition(disk: &File, number: u32, start: u64, length: u64) -> io::Result<()> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut partition = Partition {
        start: start.try_into().map_err(invalid)?,
        length: length.try_into().map_err(invalid)?,
        number: number.try_into().map_err(invalid)?,
        device_name: [0; 64],
        volume_name: [0; 64],
    };
    let mut request = PartitionRequest {
        operation: BLKPG_RESIZE_PARTITION,
        flags: 0,
        length: size_of::<Partition>().try_into().map_err(invalid)?,
        partition: &raw mut partition,
    };
    // SAFETY: both structures match the kernel's layout, live until the call returns, and the kernel writes to neither.
    check(unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG, &raw mut request) })
}

/// Grows the mounted ext4 that contains `directory` to `blocks` of its own block size, online.
pub fn grow_ext4(directory: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: the kernel reads one u64 through the pointer, which outlives the call.
    check(unsafe { libc::ioctl(directory.as_raw_fd(), EXT4_IOC_RESIZE_FS, &raw const blocks) })
}

/// Tells the medium behind the block device `device` that nobody needs `length` bytes from `start` any more; what they hold then is
/// undefined. An error where the medium cannot.
pub fn discard(device: &File, start: u64, length: u64) -> io::Result<()> {
    range_request(device, BLKDISCARD, start, length)
}

/// Makes `length` bytes from `start` of the block device `device` read as zeros: the medium's own way if it has one, else by writing.
pub fn zero_out(device: &File, start: u64, length: u64) -> io::Result<()> {
    range_request(device, BLKZEROOUT, start, length)
}

fn range_request(device: &File, request: libc::Ioctl, start: u64, length: u64) -> io::Result<()> {
    let range = [start, length];
    // SAFETY: the kernel reads two u64 through the pointer, which outlives the call.
    check(unsafe { libc::ioctl(device.as_raw_fd(), request, range.as_ptr()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_kernels_size() {
        assert_eq!(size_of::<Partition>(), 152);
        assert_eq!(size_of::<PartitionRequest>(), 24);
    }

    #[test]
    fn a_file_that_is_no_disk_is_an_error_not_a_crash() {
        let file = tempfile();
        assert!(resize_partition(&file, 8, 0, 4096).is_err());
        assert!(resize_partition(&file, 8, u64::MAX, 4096).is_err());
        assert!(grow_ext4(&file, u64::MAX).is_err());
        assert!(discard(&file, 0, 512).is_err() && zero_out(&file, u64::MAX, u64::MAX).is_err());
    }

    fn tempfile() -> File {
        File::open("/dev/null").unwrap()
    }
}
