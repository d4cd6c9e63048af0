//! A disk image opened for reading: its partition table, and bounded access to its regions.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use formats::footer::{FOOTER_SIZE, Footer};
use formats::gpt::{Gpt, Partition};
use formats::image_record::RECORD_SIZE;
use formats::{Bytes, Error as FormatError, SectorSize, SlotId, state_volume};

use crate::layout::Region;
use crate::{Error, Result};

/// A raw disk image.
pub struct OpenedImage {
    /// The open file.
    pub file: File,
    /// Its path, for messages.
    pub path: PathBuf,
    /// Its size.
    pub size: Bytes,
    /// The partition table: the primary one, or the backup when the primary is damaged.
    pub gpt: Gpt,
    /// What is wrong with the primary table, if anything.
    pub primary: formats::Result<()>,
    /// What is wrong with the backup table, if anything.
    pub backup: formats::Result<()>,
}

impl OpenedImage {
    /// Opens the raw image at `path`.
    ///
    /// # Errors
    /// [`Error::Input`] when it has no readable partition table at all.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let metadata = file.metadata().map_err(Error::io("read", path))?;
        if !metadata.is_file() {
            return Err(Error::input(format!("\"{}\" is not a regular file, so no raw disk image", path.display())));
        }
        let size = metadata.len();
        let sectors = size / SECTOR.bytes();
        let table = TABLE_SECTORS * SECTOR.bytes();
        if size < 2 * table {
            return Err(Error::input(format!("\"{}\" has {size} bytes; a disk image is far larger", path.display())));
        }
        let head = read(&file, path, 0, table)?;
        let tail = read(&file, path, (sectors - TABLE_SECTORS) * SECTOR.bytes(), table)?;
        let primary = Gpt::parse_primary(&head, SECTOR).and_then(|gpt| match gpt.disk_sectors() {
            planned if planned == sectors => Ok(gpt),
            planned => Err(FormatError::corrupt(
                "primary GPT",
                format!("it describes a disk of {planned} sectors, the image has {sectors}"),
            )),
        });
        let backup = Gpt::parse_backup(&tail, SECTOR, sectors);
        let gpt = match (&primary, &backup) {
            (Ok(gpt), _) | (Err(_), Ok(gpt)) => gpt.clone(),
            (Err(first), Err(second)) => {
                return Err(Error::input(format!("\"{}\" is not a raw disk image: {first}; {second}", path.display())));
            }
        };
        let (primary, backup) = (primary.map(|_| ()), backup.map(|_| ()));
        Ok(Self { file, path: path.to_owned(), size: Bytes(size), gpt, primary, backup })
    }

    /// The partition with this label.
    pub fn partition(&self, label: &str) -> Result<(u32, &Partition)> {
        self.gpt.partition(label).ok_or_else(|| {
            Error::input(format!("\"{}\" has no partition \"{label}\"; it is not one of ours", self.path.display()))
        })
    }

    /// Where the partition with this label is.
    pub fn region(&self, label: &str) -> Result<Region> {
        let (number, partition) = self.partition(label)?;
        Ok(region(number, partition))
    }

    /// Every partition as a region, by number.
    pub fn regions(&self) -> impl Iterator<Item = Region> {
        self.gpt.partitions().iter().map(|(number, partition)| region(*number, partition))
    }

    /// `size` bytes at `start`.
    pub fn read(&self, start: Bytes, size: u64) -> Result<Vec<u8>> {
        read(&self.file, &self.path, start.0, size)
    }

    /// The footer of a slot's partition.
    pub fn footer(&self, slot: &Region) -> Result<formats::Result<Footer>> {
        Ok(Footer::parse(&self.footer_area(slot)?))
    }

    /// The last bytes of a slot's partition, where its footer is.
    pub fn footer_area(&self, slot: &Region) -> Result<Vec<u8>> {
        let size = FOOTER_SIZE as u64;
        let start = slot.end().0.checked_sub(size).filter(|start| *start >= slot.start.0);
        let start =
            start.ok_or_else(|| Error::input(format!("partition \"{}\" is smaller than a footer", slot.name)))?;
        self.read(Bytes(start), size)
    }

    /// Both copies of the boot state.
    pub fn boot_state(&self) -> Result<[Vec<u8>; 2]> {
        let state = self.region("state")?;
        let copy = |offset: u64| self.read(Bytes(state.start.0 + offset), formats::boot_state::BLOCK_SIZE as u64);
        let [first, second] = state_volume::COPY_OFFSETS;
        Ok([copy(first)?, copy(second)?])
    }

    /// The sector of the reset record.
    pub fn reset_sector(&self) -> Result<Vec<u8>> {
        let state = self.region("state")?;
        self.read(Bytes(state.start.0 + state_volume::RESET_OFFSET), formats::reset_record::SIZE as u64)
    }

    /// The area of the image record, at the end of the `bios` partition.
    pub fn record_area(&self) -> Result<Vec<u8>> {
        let bios = self.region("bios")?;
        self.read(Bytes(bios.end().0.saturating_sub(RECORD_SIZE as u64)), RECORD_SIZE as u64)
    }
}

/// Labels of the partitions that hold slots, with their slot.
pub const SLOT_PARTITIONS: [(&str, SlotId); 4] =
    [("base-a", SlotId::A), ("base-b", SlotId::B), ("site-a", SlotId::A), ("site-b", SlotId::B)];

fn region(number: u32, partition: &Partition) -> Region {
    let start = partition.first.offset(SECTOR);
    let sectors = partition.last.0.saturating_sub(partition.first.0).saturating_add(1);
    let size = Bytes(sectors.saturating_mul(SECTOR.bytes()));
    Region { name: partition.name.clone(), start, size, number: Some(number) }
}

fn read(file: &File, path: &Path, start: u64, size: u64) -> Result<Vec<u8>> {
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact_at(&mut buffer, start).map_err(Error::io("read", path))?;
    Ok(buffer)
}

/// Images are written for 512-byte sectors: BIOS machines boot from nothing else.
const SECTOR: SectorSize = SectorSize::S512;
/// Protective MBR, header and 128 entries.
const TABLE_SECTORS: u64 = 34;
