//! Changes to a raw disk image that a test makes on purpose: find a partition, flip a byte, copy a slot, destroy the boot state.
//!
//! Finds partitions by their GPT labels with `formats`. Writes in place and keeps holes; never repairs anything.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use formats::boot_state::{BLOCK_SIZE, BootState, newest};
use formats::gpt::Gpt;
use formats::state_volume::COPY_OFFSETS;
use formats::{Bytes, SectorSize, SlotId, footer};

use crate::{Error, Result};

/// A raw image opened for reading and writing.
#[derive(Debug)]
pub struct RawImage {
    file: File,
    path: PathBuf,
}

impl RawImage {
    /// Opens an existing raw image.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(Error::io("open", &path))?;
        Ok(Self { file, path })
    }

    /// Size of the image.
    pub fn size(&self) -> Result<Bytes> {
        Ok(Bytes(self.file.metadata().map_err(Error::io("examine", &self.path))?.len()))
    }

    /// `length` bytes at byte `offset`.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).map_err(Error::io("read", &self.path))?;
        Ok(bytes)
    }

    /// Writes `bytes` at byte `offset`. Refuses to go beyond the end: a disk has one.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let size = self.size()?;
        let end = offset.checked_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if end.is_none_or(|end| end > size.0) {
            return Err(Error::Input(format!(
                "cannot write {} bytes at byte {offset}: \"{}\" ends at byte {}",
                bytes.len(),
                self.path.display(),
                size.0
            )));
        }
        self.file.write_all_at(bytes, offset).map_err(Error::io("write", &self.path))
    }

    /// Inverts the lowest bit of the byte at `offset`.
    pub fn flip(&mut self, offset: u64) -> Result<()> {
        let byte = self.read(offset, 1)?;
        self.write(offset, &[byte[0] ^ 1])
    }

    /// Sets the image's size; what is new is a hole. Cuts off the end when `size` is smaller.
    pub fn resize(&mut self, size: Bytes) -> Result<()> {
        self.file.set_len(size.0).map_err(Error::io("resize", &self.path))
    }

    /// The partition table: whichever copy is whole.
    pub fn gpt(&self) -> Result<Gpt> {
        let size = self.size()?.0;
        let table = TABLE_SECTORS * SectorSize::S512.bytes();
        if size < 2 * table {
            return Err(Error::Input(format!("\"{}\" has {size} bytes: too few for a disk", self.path.display())));
        }
        let length = usize::try_from(table).unwrap_or(0);
        let (head, tail) = (self.read(0, length)?, self.read(size - table, length)?);
        let sectors = size / SectorSize::S512.bytes();
        let read = Gpt::read(&head, &tail, SectorSize::S512, sectors);
        read.map(|(gpt, _)| gpt).map_err(Error::format(format!("disk \"{}\"", self.path.display())))
    }

    /// Where the partition with this label is.
    pub fn partition(&self, label: &str) -> Result<Extent> {
        let gpt = self.gpt()?;
        let Some((_, partition)) = gpt.partition(label) else {
            return Err(Error::Input(format!("\"{}\" has no partition \"{label}\"", self.path.display())));
        };
        let (offset, length) = gpt.extent(partition);
        Ok(Extent { offset: offset.0, length: length.0 })
    }

    /// Inverts the lowest bit of one byte, `offset` bytes into a partition.
    pub fn flip_in(&mut self, label: &str, offset: u64) -> Result<()> {
        let partition = self.partition(label)?;
        if offset >= partition.length {
            return Err(Error::Input(format!(
                "byte {offset} is not in partition \"{label}\", which has {} bytes",
                partition.length
            )));
        }
        self.flip(partition.offset + offset)
    }

    /// Overwrites a partition with another one of the same size; blocks of zeros become holes where they were.
    pub fn copy_partition(&mut self, from: &str, to: &str) -> Result<()> {
        let (source, target) = (self.partition(from)?, self.partition(to)?);
        if source.length != target.length {
            return Err(Error::Input(format!(
                "cannot copy partition \"{from}\" ({}) to \"{to}\" ({}): the sizes differ",
                Bytes(source.length),
                Bytes(target.length)
            )));
        }
        let mut done = 0;
        while done < source.length {
            let length = usize::try_from((source.length - done).min(CHUNK)).unwrap_or(0);
            let wanted = self.read(source.offset + done, length)?;
            if self.read(target.offset + done, length)? != wanted {
                self.write(target.offset + done, &wanted)?;
            }
            done += CHUNK;
        }
        Ok(())
    }

    /// The byte offset within a partition where `block` is found, looking at multiples of the block's length.
    pub fn find_block(&self, label: &str, block: &[u8]) -> Result<Option<u64>> {
        let partition = self.partition(label)?;
        let step = u64::try_from(block.len()).unwrap_or(u64::MAX).max(1);
        let mut offset = 0;
        while offset + step <= partition.length {
            if self.read(partition.offset + offset, block.len())? == block {
                return Ok(Some(offset));
            }
            offset += step;
        }
        Ok(None)
    }

    /// Where the footer of a slot partition begins, in bytes from the partition's start.
    pub fn footer_offset(&self, label: &str) -> Result<u64> {
        let length = Bytes(self.partition(label)?.length);
        footer::offset(length).map(|offset| offset.0).map_err(Error::format(format!("partition \"{label}\"")))
    }

    /// The newest whole boot state, if there is one.
    pub fn boot_state(&self) -> Result<Option<BootState>> {
        let partition = self.partition(STATE)?;
        let blocks = COPY_OFFSETS.map(|copy| self.read(partition.offset + copy, BLOCK_SIZE));
        let [first, second] = blocks;
        let (first, second) = (first?, second?);
        Ok(newest([&first, &second]).map(|(_, state)| state))
    }

    /// Replaces both copies of the boot state, as if the agent had written `state` last.
    pub fn set_boot_state(&mut self, state: &BootState) -> Result<()> {
        let older = BootState { sequence: state.sequence.saturating_sub(1), ..*state };
        let partition = self.partition(STATE)?;
        for (copy, state) in COPY_OFFSETS.into_iter().zip([state, &older]) {
            let block = state.encode().map_err(Error::format("boot state"))?;
            self.write(partition.offset + copy, &block)?;
        }
        Ok(())
    }

    /// Overwrites both copies of the boot state with bytes that are none.
    pub fn destroy_boot_state(&mut self) -> Result<()> {
        let partition = self.partition(STATE)?;
        COPY_OFFSETS.into_iter().try_for_each(|copy| self.write(partition.offset + copy, &[0xa5; BLOCK_SIZE]))
    }
}

/// Where a partition is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// The label of a base slot's partition.
pub fn base_label(slot: SlotId) -> String {
    format!("base-{}", slot.letter())
}

const STATE: &str = "state";
/// Sectors of a protective MBR or spare one, a header and 128 entries.
const TABLE_SECTORS: u64 = 34;
const CHUNK: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use formats::gpt::Partition;
    use formats::gpt::types::LINUX_DATA;
    use formats::{Guid, Lba};

    use super::*;

    fn disk() -> (tempfile::NamedTempFile, RawImage) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        let part = |first: u64, mib: u64, name: &str| Partition {
            type_guid: LINUX_DATA,
            guid: Guid::derive("test", name),
            first: Lba(first * 2048),
            last: Lba((first + mib) * 2048 - 1),
            attributes: 0,
            name: name.into(),
        };
        let partitions = BTreeMap::from([
            (1, part(1, 1, "state")),
            (2, part(2, 1, "base-a")),
            (3, part(3, 1, "base-b")),
            (4, part(4, 2, "data")),
        ]);
        let gpt = Gpt::new(Guid::derive("test", "disk"), SectorSize::S512, 16384, partitions).unwrap();
        let mut raw = RawImage::open(file.path()).unwrap();
        raw.write(512, &gpt.encode_primary()).unwrap();
        let (lba, backup) = gpt.encode_backup();
        raw.write(lba.0 * 512, &backup).unwrap();
        (file, raw)
    }

    #[test]
    fn finds_partitions_and_copies_one_over_another() {
        let (_file, mut raw) = disk();
        assert_eq!(raw.partition("base-b").unwrap(), Extent { offset: 3 << 20, length: 1 << 20 });
        raw.write((2 << 20) + 8192, &[7; 4096]).unwrap();
        raw.copy_partition("base-a", "base-b").unwrap();
        assert_eq!(raw.find_block("base-b", &[7; 4096]).unwrap(), Some(8192));
        raw.flip_in("base-b", 8192).unwrap();
        assert_eq!(raw.find_block("base-b", &[7; 4096]).unwrap(), None);
        assert_eq!(raw.find_block("base-a", &[7; 4096]).unwrap(), Some(8192));
        assert_eq!(raw.footer_offset("base-a").unwrap(), (1 << 20) - 65536);
    }

    #[test]
    fn refuses_labels_and_bytes_that_are_not_there() {
        let (_file, mut raw) = disk();
        assert!(raw.partition("esp").unwrap_err().to_string().contains("no partition \"esp\""));
        assert!(raw.flip_in("base-a", 1 << 20).unwrap_err().to_string().contains("is not in partition"));
        assert!(raw.copy_partition("base-a", "data").unwrap_err().to_string().contains("the sizes differ"));
        assert!(raw.write(8 << 20, b"x").unwrap_err().to_string().contains("ends at byte"));
        raw.resize(Bytes(100)).unwrap();
        assert!(raw.gpt().unwrap_err().to_string().contains("too few"));
    }

    #[test]
    fn the_boot_state_is_written_read_and_destroyed() {
        let (_file, mut raw) = disk();
        assert_eq!(raw.boot_state().unwrap(), None);
        let state = BootState { sequence: 9, ..BootState::initial(SlotId::B, None) };
        raw.set_boot_state(&state).unwrap();
        assert_eq!(raw.boot_state().unwrap(), Some(state));
        raw.destroy_boot_state().unwrap();
        assert_eq!(raw.boot_state().unwrap(), None);
    }
}
