//! A stick: one FAT32 file system with files of the host in it, over the whole disk or in a partition.

use std::collections::BTreeMap;
use std::path::PathBuf;

use formats::Bytes;
use formats::fat::{FatKind, FatVolume};

use crate::{Disk, Error, Result};

/// Makes the stick; without a size its file system has room for the files and a little more. `partitioned`: the file system is the
/// only partition of an MBR, as on sticks from a shop.
///
/// # Errors
/// [`Error::Format`] for names that are not 8.3 and for too small a size.
pub fn stick(files: &BTreeMap<String, PathBuf>, size: Option<Bytes>, partitioned: bool) -> Result<Disk> {
    let wrong = || Error::format("file system of a drive");
    let mut contents = Vec::new();
    for (name, path) in files {
        contents.push((name, std::fs::read(path).map_err(Error::io("read", path))?));
    }
    let needed: u64 = contents.iter().map(|(_, content)| u64::try_from(content.len()).unwrap_or(u64::MAX)).sum();
    let size = size.unwrap_or_else(|| Bytes::mib(SMALLEST_MIB.max((needed >> 20) + (needed >> 24) + SPARE_MIB)));
    let mut volume = FatVolume::new(FatKind::Fat32, size, "STICK", 1).map_err(wrong())?;
    for (name, content) in contents {
        volume = volume.file(name, content).map_err(wrong())?;
    }
    let start = if partitioned { PARTITION_START } else { 0 };
    let disk = Disk::empty(Bytes(start + size.0))?;
    let extents = volume.extents().map_err(wrong())?;
    disk.edit(|raw| {
        if partitioned {
            raw.write(0, &partition_table(start, size.0)?)?;
        }
        extents.iter().try_for_each(|(offset, bytes)| raw.write(start + offset.0, bytes))
    })?;
    Ok(disk)
}

/// An MBR with one FAT32 partition and no boot code.
fn partition_table(start: u64, length: u64) -> Result<[u8; SECTOR]> {
    let too_large = |_| Error::Input("a partitioned stick has at most 2 TiB".to_owned());
    let sectors = |bytes: u64| u32::try_from(bytes / 512).map_err(too_large);
    let mut table = [0; SECTOR];
    let entry = &mut table[0x1be..0x1ce];
    // Addressed by sector alone: the old cylinders say "beyond".
    entry[..8].copy_from_slice(&[0, 0xfe, 0xff, 0xff, FAT32_LBA, 0xfe, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&sectors(start)?.to_le_bytes());
    entry[12..].copy_from_slice(&sectors(length)?.to_le_bytes());
    table[0x1fe..].copy_from_slice(&[0x55, 0xaa]);
    Ok(table)
}

/// FAT32 needs 65,525 clusters.
const SMALLEST_MIB: u64 = 40;
const SPARE_MIB: u64 = 4;
const SECTOR: usize = 512;
const PARTITION_START: u64 = 1 << 20;
const FAT32_LBA: u8 = 0x0c;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(volume: &[u8]) {
        let mut volume = formats::fat::open_slice(volume).unwrap();
        let files = volume.files().unwrap();
        assert_eq!(files[0].path.to_uppercase(), "UPDATE.PKG");
        assert_eq!(volume.read_file(&files[0]).unwrap(), vec![7; 100_000]);
    }

    #[test]
    fn a_partitioned_stick_holds_them_in_its_only_partition() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("package");
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        let disk = stick(&BTreeMap::from([("UPDATE.PKG".to_owned(), path)]), None, true).unwrap();
        let bytes = std::fs::read(disk.file()).unwrap();
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((bytes[0x1c2], number(0x1c6), &bytes[0x1fe..0x200]), (0x0c, 2048, &[0x55, 0xaa][..]));
        let (start, length) = (2048 * 512, usize::try_from(number(0x1ca)).unwrap() * 512);
        assert_eq!(bytes.len(), start + length);
        check(&bytes[start..]);
    }

    #[test]
    fn a_stick_holds_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("package");
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        let disk = stick(&BTreeMap::from([("UPDATE.PKG".to_owned(), path.clone())]), None, false).unwrap();
        check(&std::fs::read(disk.file()).unwrap());
        let long = stick(&BTreeMap::from([("a-long-name.package".to_owned(), path)]), None, false);
        assert!(long.unwrap_err().chain().contains("8.3"));
    }
}
