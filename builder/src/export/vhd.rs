//! Fixed VHD: the raw disk followed by one 512-byte footer.
//!
//! Microsoft "Virtual Hard Disk Image Format Specification" 1.0, section "Hard Disk Footer Format". All fields big-endian. The
//! creator is `win ` because readers (QEMU and Azure among them) then take the size from its field; for other creators some derive it
//! from the geometry, which loses the disk's end.

use std::os::unix::fs::FileExt;

use formats::guid::Guid;

use super::Description;
use super::geometry::Geometry;
use super::partial::Partial;
use super::raw::RawImage;
use crate::{Error, Result};

/// Copies `image` and appends the footer.
pub(super) fn write(image: &RawImage, out: &Partial, description: &Description) -> Result<()> {
    let size = image.size();
    if size > MAX_SIZE {
        let path = image.path().display();
        return Err(Error::input(format!(
            "disk image \"{path}\" has {size} bytes; a VHD holds at most {MAX_SIZE} (2040 GiB), use another format"
        )));
    }
    image.copy_into(out)?;
    out.file().write_all_at(&footer(size, description), size).map_err(out.write_error())
}

/// The footer of a fixed disk of `size` bytes.
fn footer(size: u64, description: &Description) -> [u8; 512] {
    let geometry = Geometry::of_vhd(size / 512);
    let guid = Guid::derive(&description.seed, &format!("export:vhd:{}", description.version));
    let seconds = u32::try_from(description.timestamp.saturating_sub(YEAR_2000).max(0)).unwrap_or(u32::MAX);
    let mut footer = [0; 512];
    let mut put = |offset: usize, bytes: &[u8]| footer[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0x00, b"conectix");
    put(0x08, &2_u32.to_be_bytes()); // features: the reserved bit that is always set
    put(0x0C, &0x0001_0000_u32.to_be_bytes()); // file format version 1.0
    put(0x10, &u64::MAX.to_be_bytes()); // data offset: none in a fixed disk
    put(0x18, &seconds.to_be_bytes());
    put(0x1C, b"win ");
    put(0x20, &0x000A_0000_u32.to_be_bytes()); // creator version 10.0
    put(0x24, b"Wi2k"); // creator host: Windows
    put(0x28, &size.to_be_bytes()); // original size
    put(0x30, &size.to_be_bytes()); // current size
    put(0x38, &geometry.cylinders.to_be_bytes());
    put(0x3A, &[geometry.heads, geometry.sectors]);
    put(0x3C, &2_u32.to_be_bytes()); // disk type: fixed
    put(0x44, &guid.to_uuid_bytes());
    let sum = footer.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    footer[0x40..0x44].copy_from_slice(&(!sum).to_be_bytes());
    footer
}

/// 2000-01-01 00:00:00 UTC, where VHD time begins.
const YEAR_2000: i64 = 946_684_800;
/// 2040 GiB, the limit of Microsoft's implementations.
const MAX_SIZE: u64 = 2040 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Description {
        Description {
            name: "demo".into(),
            title: "Demo".into(),
            version: semver::Version::new(1, 2, 3),
            seed: "seed".into(),
            memory_mib: 512,
            cpus: 1,
            timestamp: YEAR_2000 + 0x0102_0304,
        }
    }

    #[test]
    fn footer_fields_are_where_the_specification_puts_them() {
        let footer = footer(64 << 20, &sample());
        assert_eq!(&footer[..8], b"conectix");
        assert_eq!(footer[0x18..0x1C], [1, 2, 3, 4]);
        assert_eq!(footer[0x30..0x38], (64_u64 << 20).to_be_bytes());
        assert_eq!(footer[0x3C..0x40], [0, 0, 0, 2]);
        let stored = u32::from_be_bytes(footer[0x40..0x44].try_into().unwrap());
        let sum: u32 =
            footer.iter().enumerate().filter(|(at, _)| !(0x40..0x44).contains(at)).map(|(_, b)| u32::from(*b)).sum();
        assert_eq!(stored, !sum);
    }

    #[test]
    fn times_before_vhd_time_and_after_it_saturate() {
        for (timestamp, wanted) in [(0, [0; 4]), (-5, [0; 4]), (i64::MAX, [0xFF; 4])] {
            assert_eq!(footer(1 << 20, &Description { timestamp, ..sample() })[0x18..0x1C], wanted);
        }
    }
}
