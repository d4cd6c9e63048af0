//! What `grub-bios-setup` does for a GPT disk with a BIOS boot partition, on bytes: `boot.img` becomes LBA 0 and learns where the core
//! image is; the core image learns where its own remaining sectors are (`include/grub/i386/pc/boot.h`, `kernel.h` and
//! `grub-core/boot/i386/pc/diskboot.S` of GRUB 2.06).
//!
//! Only 512-byte sectors; the core image is contiguous and gets no Reed-Solomon codes. That it fits its partition is the layout's check.

use super::SIZE;
use crate::le::{put, u16_at, u32_at};
use crate::{Error, Lba, Result};

/// Most sectors GRUB's first stage can load: 0x9000 to 0x78000 in low memory.
pub const MAX_CORE_SECTORS: u16 = 888;

/// `boot.img` made the first sector of a disk whose first sector was `old` (a protective MBR) and whose core image begins at `core_first`.
///
/// # Errors
/// `Invalid` when `boot_img` is not GRUB's.
pub fn patch_boot_img(boot_img: &[u8], old: &[u8; SIZE], core_first: Lba) -> Result<[u8; SIZE]> {
    let invalid = |problem: String| Error::invalid("BIOS boot sector", problem);
    let mut sector: [u8; SIZE] =
        boot_img.try_into().map_err(|_| invalid(format!("boot.img has {} bytes, not {SIZE}", boot_img.len())))?;
    if sector.get(0x1fe..) != Some([0x55, 0xaa].as_slice()) || !sector.windows(5).any(|text| text == b"GRUB ") {
        return Err(invalid("boot.img is not GRUB's: \"GRUB \" or its signature 55 aa is missing".to_owned()));
    }
    if !matches!(sector.get(DRIVE_CHECK_AT..DRIVE_CHECK_END), Some([0xeb, _] | [0x90, 0x90])) {
        return Err(invalid("boot.img has no jump at 0x66; this version of GRUB is not known".to_owned()));
    }
    put(&mut sector, BPB_AT, old.get(BPB_AT..BPB_END).unwrap_or_default());
    put(&mut sector, KERNEL_SECTOR_AT, &core_first.0.to_le_bytes());
    put(&mut sector, BOOT_DRIVE_AT, &[USE_BIOS_DRIVE]);
    put(&mut sector, DRIVE_CHECK_AT, &[NOP, NOP]);
    put(&mut sector, DISK_SIGNATURE_AT, old.get(DISK_SIGNATURE_AT..0x1fe).unwrap_or_default());
    Ok(sector)
}

/// The core image as it must stand on the disk from `core_first`: padded to whole sectors, its block list naming them.
///
/// # Errors
/// `Invalid` when `core` is not what `grub-mkimage -O i386-pc` writes, or is too large for low memory.
pub fn patch_core_img(core: &[u8], core_first: Lba) -> Result<Vec<u8>> {
    let invalid = |problem: String| Error::invalid("BIOS core image", problem);
    let sectors = u16::try_from(core.len().div_ceil(SIZE)).unwrap_or(u16::MAX);
    if !(2..=MAX_CORE_SECTORS).contains(&sectors) {
        let problem = format!("{} bytes are not 2 to {MAX_CORE_SECTORS} sectors; leave modules out", core.len());
        return Err(invalid(problem));
    }
    let mut image = core.to_vec();
    image.resize(SIZE.saturating_mul(usize::from(sectors)), 0);
    let rest = sectors.saturating_sub(1);
    let (count, segment) = (u16_at(&image, BLOCK_LIST_COUNT_AT), u16_at(&image, BLOCK_LIST_SEGMENT_AT));
    if count != Some(rest) || segment != Some(LOAD_SEGMENT) {
        let shown = |field: Option<u16>| field.unwrap_or(0);
        return Err(invalid(format!(
            "its block list says {} sectors at segment {:#x}, expected {rest} at {LOAD_SEGMENT:#x}",
            shown(count),
            shown(segment)
        )));
    }
    if u32_at(&image, REDUNDANCY_AT) != Some(0) {
        return Err(invalid("it carries Reed-Solomon codes already".to_owned()));
    }
    let second = core_first.0.checked_add(1).ok_or_else(|| invalid(format!("{core_first} has no next sector")))?;
    put(&mut image, BLOCK_LIST_AT, &second.to_le_bytes());
    put(&mut image, BLOCK_LIST_TERMINATOR_AT, &[0; 12]);
    Ok(image)
}

/// Where boot.img keeps the LBA of the core image.
pub(super) const KERNEL_SECTOR_AT: usize = 0x5c;

const BPB_AT: usize = 0x03;
const BPB_END: usize = 0x5a;
const BOOT_DRIVE_AT: usize = 0x64;
const USE_BIOS_DRIVE: u8 = 0xff;
/// A jump over the code that distrusts the BIOS drive number; on hard disks it must fall through.
const DRIVE_CHECK_AT: usize = 0x66;
const DRIVE_CHECK_END: usize = 0x68;
const NOP: u8 = 0x90;
const DISK_SIGNATURE_AT: usize = 0x1b8;

/// The last 12 bytes of the first sector: u64 LBA, u16 sectors, u16 segment. Further entries would grow downwards.
const BLOCK_LIST_AT: usize = 0x1f4;
const BLOCK_LIST_COUNT_AT: usize = 0x1fc;
const BLOCK_LIST_SEGMENT_AT: usize = 0x1fe;
const BLOCK_LIST_TERMINATOR_AT: usize = 0x1e8;
const LOAD_SEGMENT: u16 = 0x820;
const REDUNDANCY_AT: usize = 0x210;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mbr::{Mbr, protective};

    fn boot_img() -> [u8; SIZE] {
        let mut sector = [0xcc; SIZE];
        sector[0x66..0x68].copy_from_slice(&[0xeb, 5]);
        sector[0x180..0x186].copy_from_slice(b"GRUB \0");
        sector[0x1b8..0x1fe].fill(0);
        sector[0x1fe..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    fn core_img(sectors: u16) -> Vec<u8> {
        let mut core = vec![0xcc; 512 * usize::from(sectors) - 100];
        core[0x1f4..0x1fc].copy_from_slice(&1_u64.to_le_bytes());
        core[0x1fc..0x1fe].copy_from_slice(&(sectors - 1).to_le_bytes());
        core[0x1fe..0x200].copy_from_slice(&0x820_u16.to_le_bytes());
        core[0x210..0x214].fill(0);
        core
    }

    #[test]
    fn the_boot_sector_keeps_the_partition_table_and_learns_the_core_image() {
        let old = protective(4096);
        let sector = patch_boot_img(&boot_img(), &old, Lba(2048)).unwrap();
        assert_eq!(sector[0x1b8..], old[0x1b8..]);
        assert_eq!(sector[0x5c..0x68], [0, 8, 0, 0, 0, 0, 0, 0, 0xff, 0xcc, 0x90, 0x90]);
        assert_eq!(sector[3..0x5a], [0; 0x57]);
        assert_eq!(sector[..3], [0xcc; 3]);
        assert_eq!(Mbr::parse(&sector, 4096).unwrap().core_first, Some(Lba(2048)));
    }

    #[test]
    fn the_core_image_learns_its_own_place() {
        let image = patch_core_img(&core_img(5), Lba(2048)).unwrap();
        assert_eq!(image.len(), 5 * 512);
        assert_eq!(image[0x1e8..0x200], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0, 0, 4, 0, 0x20, 8]);
        assert!(image[5 * 512 - 100..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn refuses_images_that_are_not_grubs() {
        let old = protective(4096);
        let mut unsigned = boot_img();
        unsigned[0x1ff] = 0;
        let mut no_jump = boot_img();
        no_jump[0x66] = 0;
        let mut nameless = boot_img();
        nameless[0x180] = 0;
        for (bytes, expected) in [
            (&boot_img()[..511], "511 bytes, not 512"),
            (&unsigned, "55 aa is missing"),
            (&nameless, "\"GRUB \""),
            (&no_jump, "no jump at 0x66"),
        ] {
            let error = patch_boot_img(bytes, &old, Lba(2048)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let mut wrong_count = core_img(5);
        wrong_count[0x1fc] = 9;
        let mut codes = core_img(5);
        codes[0x210] = 1;
        for (bytes, expected) in [
            (vec![0; 512], "not 2 to 888 sectors"),
            (core_img(889), "not 2 to 888 sectors"),
            (wrong_count, "9 sectors at segment 0x820, expected 4 at 0x820"),
            (codes, "Reed-Solomon"),
        ] {
            let error = patch_core_img(&bytes, Lba(2048)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(patch_core_img(&core_img(5), Lba(u64::MAX)).is_err());
    }
}
