//! The writer: directories first, then files, each contiguous, in the order they were added.
//!
//! The same cluster arithmetic gives the offsets the volume reports and the bytes it writes.

use super::name::{ShortName, label};
use super::{
    ATTRIBUTE_ARCHIVE, ATTRIBUTE_DIRECTORY, ATTRIBUTE_VOLUME_LABEL, BACKUP_BOOT_SECTOR, FS_INFO_SECTOR, FatKind,
    Geometry, MEDIA,
};
use crate::le::put;
use crate::{Bytes, Error, Result};

/// A volume to be written once.
#[derive(Debug, Clone)]
pub struct FatVolume {
    geometry: Geometry,
    label: [u8; 11],
    serial: u32,
    /// The root is number 0; a parent always has a lower number than its children.
    directories: Vec<Directory>,
    files: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Default)]
struct Directory {
    parent: usize,
    entries: Vec<(ShortName, Child)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Child {
    Directory(usize),
    File(usize),
}

/// A run of clusters: first and count; an empty file has `(0, 0)`.
type Run = (u32, u32);

/// Where everything stands.
struct Places {
    directories: Vec<Run>,
    files: Vec<Run>,
    /// First cluster never used.
    free: u32,
}

impl FatVolume {
    /// An empty volume of `size` bytes. `label` is 1 to 11 capital letters and digits.
    ///
    /// # Errors
    /// `Invalid` when the size has no whole sectors or makes too few or too many clusters for `kind`, or the label does not fit.
    pub fn new(kind: FatKind, size: Bytes, label_text: &str, serial: u32) -> Result<Self> {
        let geometry = Geometry::plan(kind, size)?;
        let directories = vec![Directory::default()];
        Ok(Self { geometry, label: label(label_text)?, serial, directories, files: Vec::new() })
    }

    /// Adds a file; missing directories of its path (`EFI/BOOT/BOOTX64.EFI`) are made.
    ///
    /// # Errors
    /// `Invalid` when a name is not 8.3, the path exists, or the content is 4 GiB or more.
    pub fn file(mut self, path: &str, content: Vec<u8>) -> Result<Self> {
        if u32::try_from(content.len()).is_err() {
            return Err(invalid(format!("\"{path}\" has {} bytes; FAT files are below 4 GiB", content.len())));
        }
        let mut parents: Vec<&str> = path.split('/').collect();
        let name = parents.pop().unwrap_or_default();
        let mut at = 0;
        for parent in parents {
            at = self.directory(at, path, ShortName::new(parent)?)?;
        }
        let name = ShortName::new(name)?;
        if self.child(at, name).is_some() {
            return Err(invalid(format!("\"{path}\" is added twice (case does not count)")));
        }
        let file = Child::File(self.files.len());
        self.files.push(content);
        self.add(at, name, file);
        Ok(self)
    }

    /// Byte offset in the volume and length of the file at `path`; an empty file has no place.
    ///
    /// # Errors
    /// `Invalid` when the volume is too small for its files.
    pub fn extent(&self, path: &str) -> Result<Option<(Bytes, Bytes)>> {
        let places = self.places()?;
        let mut at = Child::Directory(0);
        for name in path.split('/') {
            let Child::Directory(directory) = at else { return Ok(None) };
            let Some(child) = self.child(directory, ShortName::new(name)?) else { return Ok(None) };
            at = child;
        }
        let Child::File(index) = at else { return Ok(None) };
        let length = self.files.get(index).map_or(0, |content| u64::try_from(content.len()).unwrap_or(u64::MAX));
        let place = places.files.get(index).filter(|(_, count)| *count > 0);
        Ok(place.map(|(first, _)| (self.geometry.cluster_offset(*first), Bytes(length))))
    }

    /// The size of the volume.
    pub fn size(&self) -> Bytes {
        self.geometry.sector_offset(self.geometry.total_sectors)
    }

    /// Everything that is not zero, as runs of bytes with their offsets, ascending. The rest of a new volume must read as zeros.
    ///
    /// # Errors
    /// `Invalid` when the volume is too small for its files.
    pub fn extents(&self) -> Result<Vec<(Bytes, Vec<u8>)>> {
        let places = self.places()?;
        let geometry = &self.geometry;
        let mut extents = self.reserved(&places);
        let table = self.table(&places);
        for copy in 0..u32::from(geometry.fats) {
            let sector = u32::from(geometry.reserved_sectors).saturating_add(copy.saturating_mul(geometry.fat_sectors));
            extents.push((geometry.sector_offset(sector), table.clone()));
        }
        for (index, (first, _)) in places.directories.iter().enumerate() {
            let fixed_root = index == 0 && geometry.kind == FatKind::Fat12;
            let offset = if fixed_root {
                geometry.sector_offset(geometry.root_start())
            } else {
                geometry.cluster_offset(*first)
            };
            extents.push((offset, self.directory_bytes(index, &places)));
        }
        for (content, (first, count)) in self.files.iter().zip(&places.files) {
            if *count > 0 {
                extents.push((geometry.cluster_offset(*first), content.clone()));
            }
        }
        Ok(extents)
    }

    /// The whole volume in memory, for small ones.
    ///
    /// # Errors
    /// `Invalid` when the volume is too small for its files.
    pub fn image(&self) -> Result<Vec<u8>> {
        let mut image = vec![0; usize::try_from(self.size().0).map_err(|_| invalid("it exceeds memory".to_owned()))?];
        for (offset, bytes) in self.extents()? {
            put(&mut image, usize::try_from(offset.0).unwrap_or(usize::MAX), &bytes);
        }
        Ok(image)
    }

    fn child(&self, directory: usize, name: ShortName) -> Option<Child> {
        let entries = &self.directories.get(directory)?.entries;
        entries.iter().find(|(other, _)| other.raw == name.raw).map(|(_, child)| *child)
    }

    /// The directory `name` in `parent`, made if need be.
    fn directory(&mut self, parent: usize, path: &str, name: ShortName) -> Result<usize> {
        match self.child(parent, name) {
            Some(Child::Directory(index)) => Ok(index),
            Some(Child::File(_)) => Err(invalid(format!("\"{}\" in \"{path}\" is a file already", name.text()))),
            None => {
                let index = self.directories.len();
                self.directories.push(Directory { parent, entries: Vec::new() });
                self.add(parent, name, Child::Directory(index));
                Ok(index)
            }
        }
    }

    fn add(&mut self, directory: usize, name: ShortName, child: Child) {
        if let Some(directory) = self.directories.get_mut(directory) {
            directory.entries.push((name, child));
        }
    }

    /// Gives every directory and file its clusters.
    fn places(&self) -> Result<Places> {
        let cluster = u64::from(self.geometry.cluster_size());
        let mut next = 2_u32;
        let mut take = |bytes: u64| -> Result<Run> {
            let count = u32::try_from(bytes.div_ceil(cluster)).unwrap_or(u32::MAX);
            let first = if count == 0 { 0 } else { next };
            next = next.checked_add(count).ok_or_else(|| self.too_small())?;
            Ok((first, count))
        };
        let mut directories = Vec::new();
        for index in 0..self.directories.len() {
            let bytes = self.directory_size(index);
            if index == 0 && self.geometry.kind == FatKind::Fat12 {
                let room = u64::from(self.geometry.root_entries).saturating_mul(32);
                if bytes > room {
                    return Err(invalid(format!("the root directory needs {bytes} bytes of {room}")));
                }
                directories.push((0, 0));
            } else {
                directories.push(take(bytes)?);
            }
        }
        let length = |content: &Vec<u8>| u64::try_from(content.len()).unwrap_or(u64::MAX);
        let files = self.files.iter().map(|content| take(length(content))).collect::<Result<Vec<Run>>>()?;
        if next.saturating_sub(2) > self.geometry.clusters() {
            return Err(self.too_small());
        }
        Ok(Places { directories, files, free: next })
    }

    fn too_small(&self) -> Error {
        let needed: u64 = self.files.iter().map(|content| u64::try_from(content.len()).unwrap_or(u64::MAX)).sum();
        invalid(format!("files of {} do not fit a volume of {}; make it larger", Bytes(needed), self.size()))
    }

    /// Bytes of a directory: one entry per child, and the label or `.` and `..`.
    fn directory_size(&self, index: usize) -> u64 {
        let children = self.directories.get(index).map_or(0, |directory| directory.entries.len());
        let fixed = if index == 0 { 1 } else { 2 };
        u64::try_from(children).unwrap_or(u64::MAX).saturating_add(fixed).saturating_mul(32)
    }

    fn directory_bytes(&self, index: usize, places: &Places) -> Vec<u8> {
        let first = |directory: usize| places.directories.get(directory).map_or(0, |(first, _)| *first);
        let Some(directory) = self.directories.get(index) else { return Vec::new() };
        let mut bytes = Vec::new();
        if index == 0 {
            bytes.extend(entry(ShortName { raw: self.label, case: 0 }, ATTRIBUTE_VOLUME_LABEL, 0, 0));
        } else {
            // the root is cluster 0 here, even in FAT32
            let parent = if directory.parent == 0 { 0 } else { first(directory.parent) };
            bytes.extend(entry(ShortName::DOT, ATTRIBUTE_DIRECTORY, first(index), 0));
            bytes.extend(entry(ShortName::DOT_DOT, ATTRIBUTE_DIRECTORY, parent, 0));
        }
        for (name, child) in &directory.entries {
            bytes.extend(match *child {
                Child::Directory(child) => entry(*name, ATTRIBUTE_DIRECTORY, first(child), 0),
                Child::File(file) => {
                    let start = places.files.get(file).map_or(0, |(first, _)| *first);
                    let length = self.files.get(file).map_or(0, Vec::len);
                    entry(*name, ATTRIBUTE_ARCHIVE, start, u32::try_from(length).unwrap_or(u32::MAX))
                }
            });
        }
        bytes
    }

    /// One copy of the allocation table, up to its last used entry.
    fn table(&self, places: &Places) -> Vec<u8> {
        let end = END_OF_CHAIN;
        let mut table = vec![(END_OF_CHAIN & !0xff) | u32::from(MEDIA), end];
        for (first, count) in places.directories.iter().chain(&places.files) {
            let chain = (1..*count).map(|step| first.saturating_add(step));
            table.extend(chain.chain((*count > 0).then_some(end)));
        }
        match self.geometry.kind {
            FatKind::Fat32 => table.iter().flat_map(|value| value.to_le_bytes()).collect(),
            FatKind::Fat12 => table
                .chunks(2)
                .flat_map(|pair| {
                    let [low, high] = [pair.first(), pair.get(1)].map(|value| value.map_or(0, |value| value & 0xfff));
                    let [one, two, three, _] = (low | high << 12).to_le_bytes();
                    [one, two, three].into_iter().take(pair.len().saturating_add(1))
                })
                .collect(),
        }
    }

    /// Boot sector; for FAT32 also `FSInfo` and the backups of both.
    fn reserved(&self, places: &Places) -> Vec<(Bytes, Vec<u8>)> {
        let boot = self.geometry.encode(self.label, self.serial).to_vec();
        if self.geometry.kind == FatKind::Fat12 {
            return vec![(Bytes(0), boot)];
        }
        let used = places.free.saturating_sub(2);
        let mut info = vec![0; 512];
        put(&mut info, 0, b"RRaA");
        put(&mut info, 484, b"rrAa");
        put(&mut info, 488, &self.geometry.clusters().saturating_sub(used).to_le_bytes());
        put(&mut info, 492, &places.free.to_le_bytes());
        put(&mut info, 510, &[0x55, 0xaa]);
        let at = |sector: u16| self.geometry.sector_offset(u32::from(sector));
        let backup_info = BACKUP_BOOT_SECTOR.saturating_add(FS_INFO_SECTOR);
        vec![
            (Bytes(0), boot.clone()),
            (at(FS_INFO_SECTOR), info.clone()),
            (at(BACKUP_BOOT_SECTOR), boot),
            (at(backup_info), info),
        ]
    }
}

/// A directory entry, dated 1980-01-01 00:00:00, the beginning of FAT's time.
fn entry(name: ShortName, attributes: u8, first_cluster: u32, size: u32) -> [u8; 32] {
    let mut entry = [0; 32];
    let [low0, low1, high0, high1] = first_cluster.to_le_bytes();
    put(&mut entry, 0, &name.raw);
    put(&mut entry, 11, &[attributes, name.case]);
    for date_at in [16, 18, 24] {
        put(&mut entry, date_at, &DATE_1980_01_01);
    }
    put(&mut entry, 20, &[high0, high1]);
    put(&mut entry, 26, &[low0, low1]);
    put(&mut entry, 28, &size.to_le_bytes());
    entry
}

fn invalid(problem: String) -> Error {
    Error::invalid("FAT volume", problem)
}

const END_OF_CHAIN: u32 = 0x0fff_ffff;
const DATE_1980_01_01: [u8; 2] = [0x21, 0];
