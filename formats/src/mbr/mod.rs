//! The first sector of a disk: the protective MBR (UEFI 2.10, chapter 5.2.3) and, for BIOS, GRUB's boot code around it.
//!
//! The protective entry keeps tools that do not know GPT away from the disk. [`bios_boot`] puts GRUB's first stage beside it.

pub mod bios_boot;

use std::fmt;

use crate::le::{bytes_at, put, u32_at, u64_at};
use crate::{Error, Lba, Result};

/// Bytes of the sector, on disks with larger sectors too.
pub const SIZE: usize = 512;

/// What an MBR says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mbr {
    /// Sectors covered by the protective entry, from LBA 1; `u32::MAX` stands for "all" on disks beyond 2 TiB.
    pub covered_sectors: u32,
    /// Where GRUB's boot code, if present, loads its core image from.
    pub core_first: Option<Lba>,
}

/// The protective MBR of a disk of `disk_sectors` sectors, without boot code.
pub fn protective(disk_sectors: u64) -> [u8; SIZE] {
    with_protective(&[0; SIZE], disk_sectors)
}

/// `sector` with its partition table replaced by a protective one: how a grown disk keeps its boot code.
pub fn with_protective(sector: &[u8; SIZE], disk_sectors: u64) -> [u8; SIZE] {
    let mut sector = *sector;
    put(&mut sector, TABLE, &[0; 64]);
    put(&mut sector, TABLE, &PROTECTIVE_ENTRY_START);
    put(&mut sector, TABLE_SIZE_IN_LBA, &covered(disk_sectors).to_le_bytes());
    put(&mut sector, BOOT_SIGNATURE_AT, &BOOT_SIGNATURE);
    sector
}

impl Mbr {
    /// Reads the first sector of a disk of `disk_sectors` sectors.
    ///
    /// # Errors
    /// `Corrupt` when there is no boot signature, when the table is not one protective entry, or when that entry leaves the disk.
    pub fn parse(sector: &[u8], disk_sectors: u64) -> Result<Self> {
        let corrupt = |problem: String| Error::corrupt("protective MBR", problem);
        let sector: [u8; SIZE] =
            bytes_at(sector, 0).ok_or_else(|| corrupt(format!("{} bytes of 512", sector.len())))?;
        if bytes_at(&sector, BOOT_SIGNATURE_AT) != Some(BOOT_SIGNATURE) {
            return Err(corrupt("its signature 55 aa is missing".to_owned()));
        }
        let os_type = sector.get(TABLE.saturating_add(4)).copied().unwrap_or(0);
        if os_type != PROTECTIVE_TYPE {
            return Err(corrupt(format!("its first partition has type {os_type:#04x}, not {PROTECTIVE_TYPE:#04x}")));
        }
        let others = sector.get(TABLE.saturating_add(16)..BOOT_SIGNATURE_AT).unwrap_or_default();
        if others.iter().any(|byte| *byte != 0) {
            return Err(corrupt("it has more than one partition".to_owned()));
        }
        let first = u32_at(&sector, TABLE.saturating_add(8)).unwrap_or(0);
        let covered_sectors = u32_at(&sector, TABLE_SIZE_IN_LBA).unwrap_or(0);
        if first != 1 || (covered_sectors > covered(disk_sectors) && covered_sectors != u32::MAX) {
            return Err(corrupt(format!(
                "it covers {covered_sectors} sectors from LBA {first} of a disk of {disk_sectors} sectors"
            )));
        }
        let has_grub = sector.windows(5).any(|text| text == b"GRUB ");
        let core_first = u64_at(&sector, bios_boot::KERNEL_SECTOR_AT).filter(|_| has_grub).map(Lba);
        Ok(Self { covered_sectors, core_first })
    }
}

impl fmt::Display for Mbr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.core_first {
            Some(first) => write!(f, "protective, with GRUB boot code that loads its core image from {first}"),
            None => f.write_str("protective, without boot code"),
        }
    }
}

fn covered(disk_sectors: u64) -> u32 {
    u32::try_from(disk_sectors.saturating_sub(1)).unwrap_or(u32::MAX)
}

const TABLE: usize = 0x1be;
const TABLE_SIZE_IN_LBA: usize = 0x1ca;
const BOOT_SIGNATURE_AT: usize = 0x1fe;
const BOOT_SIGNATURE: [u8; 2] = [0x55, 0xaa];
const PROTECTIVE_TYPE: u8 = 0xee;
/// Not bootable, CHS 0/0/2, type 0xee, CHS beyond all limits, first LBA 1; the size follows.
const PROTECTIVE_ENTRY_START: [u8; 12] = [0, 0, 2, 0, PROTECTIVE_TYPE, 0xff, 0xff, 0xff, 1, 0, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_covers_the_disk() {
        let mbr = protective(2048);
        assert_eq!(mbr[0x1be..0x1ce], [0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 7, 0, 0]);
        assert!(mbr[..0x1be].iter().chain(&mbr[0x1ce..0x1fe]).all(|byte| *byte == 0));
        assert_eq!(Mbr::parse(&mbr, 2048), Ok(Mbr { covered_sectors: 2047, core_first: None }));
        assert_eq!(Mbr::parse(&mbr, 2048).unwrap().to_string(), "protective, without boot code");
    }

    #[test]
    fn a_disk_beyond_2_tib_is_covered_as_far_as_32_bits_reach() {
        let mbr = protective(1 << 33);
        assert_eq!(Mbr::parse(&mbr, 1 << 33).unwrap().covered_sectors, u32::MAX);
    }

    #[test]
    fn growing_keeps_boot_code() {
        let mut old = protective(2048);
        old[..4].copy_from_slice(b"code");
        let new = with_protective(&old, 4096);
        assert_eq!(&new[..4], b"code");
        assert_eq!(Mbr::parse(&new, 4096).unwrap().covered_sectors, 4095);
    }

    #[test]
    fn refuses_sectors_that_protect_nothing() {
        let good = protective(2048);
        let with = |at: usize, byte: u8| {
            let mut sector = good;
            sector[at] = byte;
            Mbr::parse(&sector, 2048).unwrap_err().to_string()
        };
        assert!(with(0x1fe, 0).contains("55 aa"));
        assert!(with(0x1c2, 0x83).contains("type 0x83, not 0xee"));
        assert!(with(0x1d2, 0x83).contains("more than one partition"));
        assert!(with(0x1c6, 2).contains("from LBA 2"));
        assert!(with(0x1cb, 9).contains("of a disk of 2048 sectors"));
        assert!(Mbr::parse(&good[..511], 2048).is_err());
    }
}
