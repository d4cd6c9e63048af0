//! Writing both copies of a table (UEFI 2.10, tables 5.5 "GPT Header" and 5.6 "GPT Partition Entry").

use super::{ENTRIES_SIZE, ENTRY_COUNT, ENTRY_SIZE, Gpt, Partition, entry_sectors};
use crate::Lba;
use crate::le::put;

pub(super) const SIGNATURE: &[u8; 8] = b"EFI PART";
pub(super) const REVISION_1_0: u32 = 0x0001_0000;
pub(super) const HEADER_SIZE: u32 = 92;

impl Gpt {
    /// The primary copy: header and entries, to be written from LBA 1. LBA 0 holds [`crate::mbr::protective`].
    pub fn encode_primary(&self) -> Vec<u8> {
        let entries = self.entries();
        let mut bytes = self.header(Lba(1), self.backup_header(), Lba(2), &entries);
        bytes.extend_from_slice(&entries);
        bytes
    }

    /// The backup copy, entries and header, and where to write it: it ends with the disk.
    pub fn encode_backup(&self) -> (Lba, Vec<u8>) {
        let mut bytes = self.entries();
        let first = Lba(self.backup_header().0.saturating_sub(entry_sectors(self.sector)));
        bytes.extend(self.header(self.backup_header(), Lba(1), first, &bytes));
        (first, bytes)
    }

    fn backup_header(&self) -> Lba {
        Lba(self.disk_sectors.saturating_sub(1))
    }

    fn entries(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(ENTRIES_SIZE.0).unwrap_or(0)];
        let slots = bytes.chunks_exact_mut(usize::try_from(ENTRY_SIZE).unwrap_or(usize::MAX));
        for (number, slot) in (1_u32..).zip(slots) {
            if let Some(partition) = self.partitions.get(&number) {
                put_entry(slot, partition);
            }
        }
        bytes
    }

    /// One sector.
    fn header(&self, my_lba: Lba, alternate_lba: Lba, entries_lba: Lba, entries: &[u8]) -> Vec<u8> {
        let mut sector = vec![0; usize::try_from(self.sector.bytes()).unwrap_or(0)];
        put(&mut sector, 0, SIGNATURE);
        put(&mut sector, 8, &REVISION_1_0.to_le_bytes());
        put(&mut sector, 12, &HEADER_SIZE.to_le_bytes());
        // 16: HeaderCRC32, computed with zero here; 20: reserved
        put(&mut sector, 24, &my_lba.0.to_le_bytes());
        put(&mut sector, 32, &alternate_lba.0.to_le_bytes());
        put(&mut sector, 40, &self.first_usable().0.to_le_bytes());
        put(&mut sector, 48, &self.last_usable().0.to_le_bytes());
        put(&mut sector, 56, &self.disk_guid.to_efi_bytes());
        put(&mut sector, 72, &entries_lba.0.to_le_bytes());
        put(&mut sector, 80, &ENTRY_COUNT.to_le_bytes());
        put(&mut sector, 84, &ENTRY_SIZE.to_le_bytes());
        put(&mut sector, 88, &crc32fast::hash(entries).to_le_bytes());
        let crc = crc32fast::hash(sector.get(..92).unwrap_or_default());
        put(&mut sector, 16, &crc.to_le_bytes());
        sector
    }
}

fn put_entry(slot: &mut [u8], partition: &Partition) {
    put(slot, 0, &partition.type_guid.to_efi_bytes());
    put(slot, 16, &partition.guid.to_efi_bytes());
    put(slot, 32, &partition.first.0.to_le_bytes());
    put(slot, 40, &partition.last.0.to_le_bytes());
    put(slot, 48, &partition.attributes.to_le_bytes());
    let name: Vec<u8> = partition.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    put(slot, 56, &name);
}
