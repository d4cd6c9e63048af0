//! The reader: lists and reads the files of an untrusted FAT12 or FAT32 volume.
//!
//! Bounds: directories nest at most [`MAX_DEPTH`] deep, a volume shows at most [`MAX_ENTRIES`] entries, a file is at most
//! [`MAX_FILE_SIZE`], and a chain never has more clusters than its file needs, so loops end. Only short names are shown.

use std::fmt;

use super::name::ShortName;
use super::{ATTRIBUTE_DIRECTORY, ATTRIBUTE_VOLUME_LABEL, FatKind, Geometry};
use crate::le::{bytes_at, u16_at, u32_at};
use crate::{Bytes, Error};

/// How deep directories may nest.
pub const MAX_DEPTH: usize = 8;
/// How many directory entries, files and directories, a volume may have.
pub const MAX_ENTRIES: usize = 4096;
/// The largest file read.
pub const MAX_FILE_SIZE: Bytes = Bytes(64 << 20);

/// An open volume over bytes reached through a closure that fills a buffer from an offset. `E` is the caller's error, which also
/// carries this crate's.
pub struct Volume<'a, E> {
    read: Read<'a, E>,
    geometry: Geometry,
    label: String,
    serial: u32,
}

type Read<'a, E> = Box<dyn FnMut(Bytes, &mut [u8]) -> Result<(), E> + 'a>;

/// A file in a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Path from the root, with `/`.
    pub path: String,
    /// Length in bytes.
    pub size: Bytes,
    /// Where its first cluster is in the volume; `None` for an empty file.
    pub offset: Option<Bytes>,
    first_cluster: u32,
}

/// Opens a volume that is in memory.
///
/// # Errors
/// `Corrupt` or `Unsupported` when it does not begin with a FAT12 or FAT32 boot sector; later reads outside `bytes` are `Corrupt`.
pub fn open_slice(bytes: &[u8]) -> Result<Volume<'_, Error>, Error> {
    Volume::open(move |offset: Bytes, buffer: &mut [u8]| {
        let start = usize::try_from(offset.0).unwrap_or(usize::MAX);
        let end = start.checked_add(buffer.len());
        let found = end.and_then(|end| bytes.get(start..end));
        let cut_off = || corrupt(format!("it has {} bytes and continues at byte {}", bytes.len(), offset.0));
        buffer.copy_from_slice(found.ok_or_else(cut_off)?);
        Ok(())
    })
}

impl<'a, E: From<Error>> Volume<'a, E> {
    /// Opens a volume; `read` fills its buffer from an offset in the volume.
    ///
    /// # Errors
    /// What `read` returns; `Corrupt` or `Unsupported` when the boot sector is not FAT12 or FAT32.
    pub fn open(read: impl FnMut(Bytes, &mut [u8]) -> Result<(), E> + 'a) -> Result<Self, E> {
        let mut read = Box::new(read);
        let mut sector = [0; 512];
        read(Bytes(0), &mut sector)?;
        let geometry = Geometry::parse(&sector)?;
        let extension = if geometry.kind == FatKind::Fat32 { 64_usize } else { 36 };
        let label: [u8; 11] = bytes_at(&sector, extension.saturating_add(7)).unwrap_or_default();
        let label = String::from_utf8_lossy(label.trim_ascii_end()).into_owned();
        let serial = u32_at(&sector, extension.saturating_add(3)).unwrap_or(0);
        Ok(Self { read, geometry, label, serial })
    }

    /// FAT12 or FAT32.
    pub fn kind(&self) -> FatKind {
        self.geometry.kind
    }

    /// Size of the volume by its boot sector.
    pub fn size(&self) -> Bytes {
        self.geometry.sector_offset(self.geometry.total_sectors)
    }

    /// All files, directory by directory.
    ///
    /// # Errors
    /// What `read` returns; `Corrupt` when a chain or entry is impossible or a bound is exceeded.
    pub fn files(&mut self) -> Result<Vec<FoundFile>, E> {
        let mut files = Vec::new();
        let mut seen = 0_usize;
        let mut open = vec![(String::new(), self.geometry.root_cluster, 0_usize)];
        while let Some((path, cluster, depth)) = open.pop() {
            let bytes = if depth == 0 && self.geometry.kind == FatKind::Fat12 {
                self.fixed_root()?
            } else {
                self.chain(cluster, MAX_DIRECTORY_SIZE, true)?
            };
            let entries = bytes.chunks_exact(32).take_while(|entry| entry.first() != Some(&0));
            for entry in entries.filter(|entry| is_shown(entry)) {
                seen = seen.saturating_add(1);
                if seen > MAX_ENTRIES || depth >= MAX_DEPTH {
                    let problem = format!("it has more than {MAX_ENTRIES} entries or {MAX_DEPTH} levels");
                    return Err(corrupt(problem).into());
                }
                let (name, cluster, size) = fields(entry);
                let path = if path.is_empty() { name } else { format!("{path}/{name}") };
                if attributes(entry) & ATTRIBUTE_DIRECTORY != 0 {
                    open.push((path, cluster, depth.saturating_add(1)));
                } else {
                    let offset = (size > 0).then(|| self.geometry.cluster_offset(cluster));
                    files.push(FoundFile { path, size: Bytes(u64::from(size)), offset, first_cluster: cluster });
                }
            }
        }
        Ok(files)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// What `read` returns; `Unsupported` above [`MAX_FILE_SIZE`]; `Corrupt` when its chain is broken.
    pub fn read_file(&mut self, file: &FoundFile) -> Result<Vec<u8>, E> {
        if file.size > MAX_FILE_SIZE {
            let problem = format!("\"{}\" has {}; the limit is {MAX_FILE_SIZE}", file.path, file.size);
            return Err(Error::unsupported("FAT file", problem).into());
        }
        if file.size > self.size() {
            let problem = format!("\"{}\" has {} in a volume of {}", file.path, file.size, self.size());
            return Err(corrupt(problem).into());
        }
        if file.size.0 == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = self.chain(file.first_cluster, file.size.0, false)?;
        bytes.truncate(usize::try_from(file.size.0).unwrap_or(0));
        Ok(bytes)
    }

    #[cfg(test)]
    pub(super) fn geometry_for_tests(&self) -> Geometry {
        self.geometry
    }

    fn fixed_root(&mut self) -> Result<Vec<u8>, E> {
        let mut bytes = vec![0; usize::from(self.geometry.root_entries).saturating_mul(32)];
        (self.read)(self.geometry.sector_offset(self.geometry.root_start()), &mut bytes)?;
        Ok(bytes)
    }

    /// The clusters of a chain: as many as `length` needs, or, `to_end`, up to the end mark but no more than that.
    fn chain(&mut self, first: u32, length: u64, to_end: bool) -> Result<Vec<u8>, E> {
        let size = usize::try_from(self.geometry.cluster_size()).unwrap_or(0);
        let mut bytes = Vec::new();
        let mut cluster = first;
        loop {
            let index = cluster.wrapping_sub(2);
            if index >= self.geometry.clusters() {
                let clusters = self.geometry.clusters();
                return Err(corrupt(format!("a chain leads to cluster {cluster} of {clusters}")).into());
            }
            let start = bytes.len();
            bytes.resize(start.saturating_add(size), 0);
            (self.read)(self.geometry.cluster_offset(cluster), bytes.get_mut(start..).unwrap_or_default())?;
            let enough = u64::try_from(bytes.len()).unwrap_or(u64::MAX) >= length;
            if enough && !to_end {
                return Ok(bytes);
            }
            cluster = self.next_cluster(cluster)?;
            if to_end && cluster >= END_OF_CHAIN_FROM {
                return Ok(bytes);
            }
            if enough {
                return Err(corrupt(format!("a directory exceeds {MAX_DIRECTORY_SIZE} bytes or loops")).into());
            }
        }
    }

    /// The table entry of a cluster; end marks of every width are returned as FAT32's.
    fn next_cluster(&mut self, cluster: u32) -> Result<u32, E> {
        let table = self.geometry.sector_offset(u32::from(self.geometry.reserved_sectors)).0;
        let cluster = u64::from(cluster);
        match self.geometry.kind {
            FatKind::Fat32 => {
                let mut entry = [0; 4];
                (self.read)(Bytes(table.saturating_add(cluster.saturating_mul(4))), &mut entry)?;
                Ok(u32::from_le_bytes(entry) & 0x0fff_ffff)
            }
            FatKind::Fat12 => {
                let mut pair = [0; 2];
                let at = cluster.saturating_add(cluster >> 1);
                (self.read)(Bytes(table.saturating_add(at)), &mut pair)?;
                let pair = u16::from_le_bytes(pair);
                let entry = u32::from(if cluster & 1 == 0 { pair & 0xfff } else { pair >> 4 });
                Ok(if entry >= 0xff8 { END_OF_CHAIN_FROM | entry } else { entry })
            }
        }
    }
}

impl<E> fmt::Display for Volume<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.geometry.sector_offset(self.geometry.total_sectors);
        let cluster = Bytes(u64::from(self.geometry.cluster_size()));
        let label = self.label.escape_debug();
        let [one, two, three, four] = self.serial.to_be_bytes();
        let kind = self.geometry.kind.name();
        write!(f, "{kind} \"{label}\", {size}, clusters of {cluster}, serial {one:02X}{two:02X}-{three:02X}{four:02X}")
    }
}

impl<E> fmt::Debug for Volume<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Volume({self})")
    }
}

/// Not deleted, no label, no part of a long name, not `.` or `..`.
fn is_shown(entry: &[u8]) -> bool {
    let first = entry.first().copied().unwrap_or(DELETED);
    first != DELETED && first != b'.' && attributes(entry) & ATTRIBUTE_VOLUME_LABEL == 0
}

fn attributes(entry: &[u8]) -> u8 {
    entry.get(11).copied().unwrap_or(0)
}

/// Name, first cluster, size.
fn fields(entry: &[u8]) -> (String, u32, u32) {
    let raw = bytes_at(entry, 0).unwrap_or([b' '; 11]);
    let case = entry.get(12).copied().unwrap_or(0);
    let [high, low] = [20, 26].map(|at| u32::from(u16_at(entry, at).unwrap_or(0)));
    (ShortName { raw, case }.text(), high << 16 | low, u32_at(entry, 28).unwrap_or(0))
}

fn corrupt(problem: String) -> Error {
    Error::corrupt("FAT volume", problem)
}

const DELETED: u8 = 0xe5;
const END_OF_CHAIN_FROM: u32 = 0x0fff_fff8;
const MAX_DIRECTORY_SIZE: u64 = 128 << 10;
