//! A stick: one FAT32 file system over the whole disk, with files of the host in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use formats::Bytes;
use formats::fat::{FatKind, FatVolume};

use crate::{Disk, Error, Result};

/// Makes the stick; without a size it has room for the files and a little more.
///
/// # Errors
/// [`Error::Format`] for names that are not 8.3 and for too small a size.
pub fn stick(files: &BTreeMap<String, PathBuf>, size: Option<Bytes>) -> Result<Disk> {
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
    let disk = Disk::empty(size)?;
    let extents = volume.extents().map_err(wrong())?;
    disk.edit(|raw| extents.iter().try_for_each(|(offset, bytes)| raw.write(offset.0, bytes)))?;
    Ok(disk)
}

/// FAT32 needs 65,525 clusters.
const SMALLEST_MIB: u64 = 40;
const SPARE_MIB: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stick_holds_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("package");
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        let disk = stick(&BTreeMap::from([("UPDATE.PKG".to_owned(), path.clone())]), None).unwrap();
        let bytes = std::fs::read(disk.file()).unwrap();
        let mut volume = formats::fat::open_slice(&bytes).unwrap();
        let files = volume.files().unwrap();
        assert_eq!(files[0].path.to_uppercase(), "UPDATE.PKG");
        assert_eq!(volume.read_file(&files[0]).unwrap(), vec![7; 100_000]);
        let long = stick(&BTreeMap::from([("a-long-name.package".to_owned(), path)]), None);
        assert!(long.unwrap_err().chain().contains("8.3"));
    }
}
