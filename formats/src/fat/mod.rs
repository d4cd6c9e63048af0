//! FAT volumes (Microsoft "FAT: General Overview of On-Disk Format" 1.03): a write-once writer for FAT12 and FAT32 and a small reader.
//!
//! The writer is deterministic and made for boot partitions: 512-byte sectors, short (8.3) names, contiguous files in the order they
//! were added, fixed timestamps. Not supported, and refused: long names, FAT16, changing a volume. The running system never mounts one.

mod name;
mod read;
mod write;

use crate::le::{put, u16_at, u32_at};
use crate::{Bytes, Error, Result};

pub use read::{FoundFile, MAX_DEPTH, MAX_ENTRIES, MAX_FILE_SIZE, Volume, open_slice};
pub use write::FatVolume;

/// Width of a file allocation table's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FatKind {
    /// 12 bits: tiny volumes such as the boot state's.
    Fat12,
    /// 32 bits: the EFI system partition; at least 65,525 clusters, so about 33 MiB.
    Fat32,
}

/// Where the parts of a volume are. Sectors are counted from the start of the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    kind: FatKind,
    /// 512 or 4096 when reading; 512 when writing.
    sector_size: u16,
    sectors_per_cluster: u8,
    reserved_sectors: u16,
    fats: u8,
    /// Entries of the fixed root directory; 0 for FAT32.
    root_entries: u16,
    total_sectors: u32,
    fat_sectors: u32,
    /// First cluster of the root directory; 0 for FAT12.
    root_cluster: u32,
}

impl FatKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Fat12 => "FAT12",
            Self::Fat32 => "FAT32",
        }
    }
}

impl Geometry {
    /// For a new volume. FAT12: 4 KiB clusters, the first one at byte 4096. FAT32: 512-byte clusters up to 260 MiB, then 4 KiB.
    fn plan(kind: FatKind, size: Bytes) -> Result<Self> {
        let invalid = |problem: String| Err(Error::invalid("FAT volume", problem));
        let sectors = u32::try_from(size.0 >> 9).ok().filter(|_| size.is_multiple_of(Bytes(512)));
        let Some(total_sectors) = sectors else {
            return invalid(format!("{size} is not a multiple of 512 B below 2 TiB"));
        };
        let mut geometry = match kind {
            FatKind::Fat12 => {
                Self { sectors_per_cluster: 8, reserved_sectors: 2, root_entries: 64, root_cluster: 0, ..BASE }
            }
            FatKind::Fat32 => {
                let sectors_per_cluster = if size <= Bytes::mib(260) { 1 } else { 8 };
                Self { sectors_per_cluster, reserved_sectors: 32, root_entries: 0, root_cluster: 2, ..BASE }
            }
        };
        geometry = Self { kind, total_sectors, ..geometry };
        while geometry.clusters() > geometry.fat_capacity() {
            geometry.fat_sectors = geometry.fat_sectors.saturating_add(1);
        }
        let (clusters, kind_name) = (geometry.clusters(), kind.name());
        match kind {
            FatKind::Fat12 if !(1..4085).contains(&clusters) => {
                invalid(format!("{size} makes {clusters} clusters of 4 KiB; {kind_name} has 1 to 4084"))
            }
            FatKind::Fat32 if !(65_525..0x0fff_fff5).contains(&clusters) => {
                invalid(format!("{size} makes {clusters} clusters; {kind_name} needs at least 65525, which is 33 MiB"))
            }
            _ => Ok(geometry),
        }
    }

    /// Clusters of the data area; their numbers begin at 2.
    fn clusters(&self) -> u32 {
        let data = self.total_sectors.saturating_sub(self.data_start());
        data.checked_div(u32::from(self.sectors_per_cluster)).unwrap_or(0)
    }

    /// Clusters one table has room for.
    fn fat_capacity(&self) -> u32 {
        let bits = u64::from(self.fat_sectors).saturating_mul(u64::from(self.sector_size)).saturating_mul(8);
        let width = match self.kind {
            FatKind::Fat12 => 12,
            FatKind::Fat32 => 32,
        };
        let entries = bits.checked_div(width).unwrap_or(0).saturating_sub(2);
        u32::try_from(entries).unwrap_or(u32::MAX)
    }

    fn root_start(&self) -> u32 {
        let tables = self.fat_sectors.saturating_mul(u32::from(self.fats));
        tables.saturating_add(u32::from(self.reserved_sectors))
    }

    fn root_sectors(&self) -> u32 {
        let bytes = u32::from(self.root_entries).saturating_mul(32);
        bytes.div_ceil(u32::from(self.sector_size).max(1))
    }

    /// First sector of cluster 2.
    fn data_start(&self) -> u32 {
        self.root_start().saturating_add(self.root_sectors())
    }

    fn cluster_size(&self) -> u32 {
        u32::from(self.sector_size).saturating_mul(u32::from(self.sectors_per_cluster))
    }

    fn sector_offset(&self, sector: u32) -> Bytes {
        Bytes(u64::from(sector).saturating_mul(u64::from(self.sector_size)))
    }

    /// Byte offset of a cluster in the volume.
    fn cluster_offset(&self, cluster: u32) -> Bytes {
        let within = u64::from(cluster.saturating_sub(2)).saturating_mul(u64::from(self.cluster_size()));
        Bytes(self.sector_offset(self.data_start()).0.saturating_add(within))
    }

    /// The boot sector.
    fn encode(&self, label: [u8; 11], serial: u32) -> [u8; 512] {
        let mut sector = [0; 512];
        let (total16, total32) = match u16::try_from(self.total_sectors) {
            Ok(total) if self.kind == FatKind::Fat12 => (total, 0),
            _ => (0, self.total_sectors),
        };
        put(&mut sector, 3, b"BULKHEAD"); // BS_OEMName
        put(&mut sector, 11, &self.sector_size.to_le_bytes());
        put(&mut sector, 13, &[self.sectors_per_cluster]);
        put(&mut sector, 14, &self.reserved_sectors.to_le_bytes());
        put(&mut sector, 16, &[self.fats]);
        put(&mut sector, 17, &self.root_entries.to_le_bytes());
        put(&mut sector, 19, &total16.to_le_bytes());
        put(&mut sector, 21, &[MEDIA]);
        put(&mut sector, 24, &63_u16.to_le_bytes()); // BPB_SecPerTrk, BPB_NumHeads: what nobody uses must not be 0
        put(&mut sector, 26, &255_u16.to_le_bytes());
        put(&mut sector, 32, &total32.to_le_bytes());
        let (extension, fs_type) = match self.kind {
            FatKind::Fat12 => {
                put(&mut sector, 22, &u16::try_from(self.fat_sectors).unwrap_or(u16::MAX).to_le_bytes());
                (36_usize, b"FAT12   ")
            }
            FatKind::Fat32 => {
                put(&mut sector, 36, &self.fat_sectors.to_le_bytes());
                put(&mut sector, 44, &self.root_cluster.to_le_bytes());
                put(&mut sector, 48, &FS_INFO_SECTOR.to_le_bytes());
                put(&mut sector, 50, &BACKUP_BOOT_SECTOR.to_le_bytes());
                (64_usize, b"FAT32   ")
            }
        };
        put(&mut sector, extension, &[0x80, 0, 0x29]); // BS_DrvNum, reserved, BS_BootSig
        put(&mut sector, extension.saturating_add(3), &serial.to_le_bytes());
        put(&mut sector, extension.saturating_add(7), &label);
        put(&mut sector, extension.saturating_add(18), fs_type);
        // a jump to code that stops, should a BIOS ever start this sector: hlt, and jump back to it
        let code = extension.saturating_add(26);
        put(&mut sector, 0, &[0xeb, u8::try_from(code.saturating_sub(2)).unwrap_or(0), 0x90]);
        put(&mut sector, code, &[0xf4, 0xeb, 0xfd]);
        put(&mut sector, 510, &[0x55, 0xaa]);
        sector
    }

    /// From the boot sector of an untrusted volume: every later offset is bounded by `total_sectors` checked here.
    fn parse(sector: &[u8]) -> Result<Self> {
        let corrupt = |problem: String| Error::corrupt("FAT boot sector", problem);
        let short = || corrupt("it is cut off".to_owned());
        if u16_at(sector, 510) != Some(0xaa55) {
            return Err(corrupt("its signature 55 aa is missing".to_owned()));
        }
        let byte = |at: usize| sector.get(at).copied().ok_or_else(short);
        let word = |at: usize| u16_at(sector, at).ok_or_else(short);
        let long = |at: usize| u32_at(sector, at).ok_or_else(short);
        let (fat_size16, total16) = (word(22)?, word(19)?);
        let fat32 = fat_size16 == 0;
        let geometry = Self {
            kind: if fat32 { FatKind::Fat32 } else { FatKind::Fat12 },
            sector_size: word(11)?,
            sectors_per_cluster: byte(13)?,
            reserved_sectors: word(14)?,
            fats: byte(16)?,
            root_entries: word(17)?,
            total_sectors: if total16 == 0 { long(32)? } else { u32::from(total16) },
            fat_sectors: if fat32 { long(36)? } else { u32::from(fat_size16) },
            root_cluster: if fat32 { long(44)? } else { 0 },
        };
        geometry.check()?;
        Ok(geometry)
    }

    fn check(&self) -> Result<()> {
        let corrupt = |problem: String| Err(Error::corrupt("FAT boot sector", problem));
        if !matches!(self.sector_size, 512 | 4096) {
            return corrupt(format!("sectors of {} bytes; 512 and 4096 are known", self.sector_size));
        }
        if !self.sectors_per_cluster.is_power_of_two() || !(1..=2).contains(&self.fats) || self.reserved_sectors == 0 {
            return corrupt(format!(
                "{} sectors per cluster, {} tables, {} reserved sectors",
                self.sectors_per_cluster, self.fats, self.reserved_sectors
            ));
        }
        let clusters = self.clusters();
        if clusters == 0 || clusters > self.fat_capacity() {
            return corrupt(format!(
                "{clusters} clusters in {} sectors do not agree with tables of {} sectors",
                self.total_sectors, self.fat_sectors
            ));
        }
        match self.kind {
            FatKind::Fat12 if clusters >= 4085 => {
                Err(Error::unsupported("FAT volume", format!("{clusters} clusters make it FAT16")))
            }
            FatKind::Fat32 if clusters >= 0x0fff_fff5 || self.root_entries != 0 => {
                corrupt(format!("{clusters} clusters and {} root entries are impossible in FAT32", self.root_entries))
            }
            _ => Ok(()),
        }
    }
}

const BASE: Geometry = Geometry {
    kind: FatKind::Fat12,
    sector_size: 512,
    sectors_per_cluster: 1,
    reserved_sectors: 1,
    fats: 2,
    root_entries: 0,
    total_sectors: 0,
    fat_sectors: 1,
    root_cluster: 0,
};
const MEDIA: u8 = 0xf8;
const FS_INFO_SECTOR: u16 = 1;
const BACKUP_BOOT_SECTOR: u16 = 6;
const ATTRIBUTE_VOLUME_LABEL: u8 = 0x08;
const ATTRIBUTE_DIRECTORY: u8 = 0x10;
const ATTRIBUTE_ARCHIVE: u8 = 0x20;

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "tests may panic")]
mod tests;
