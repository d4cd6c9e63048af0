//! Letting the data partition fill a disk that is larger than its partition table says. Pure: tables in, writes out.
//!
//! **Order, and why an interruption at any point is continued at the next start.**
//! 1. *Backup at the new end, flush.* The primary still describes the old size and is what everybody reads. Interrupted: the next
//!    start finds the old primary, plans the same again and overwrites the same sectors.
//! 2. *Zero the old backup header, flush.* It will lie inside the data partition, where a later tool could take it for real. It must go
//!    while the primary still says where it is, and before the file system may use that sector. Interrupted: primary and new backup
//!    are whole; as in 1.
//! 3. *Primary, flush.* Interrupted: the primary is torn, but the backup at the end is whole and already grown; the next start
//!    rewrites the primary from it ([`Copies::BackupOnly`]). Only with a whole primary is the backup ever written, and the reverse.
//!
//! Telling the kernel and growing the file system come after, and are repeated whenever sizes differ, see [`crate::data`].

use formats::gpt::{Copies, Gpt};
use formats::{Bytes, Lba, Result};

/// One thing to do to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes at this offset.
    Write(Bytes, Vec<u8>),
    /// Make everything written so far durable.
    Flush,
}

/// What brings the table `gpt`, of which `copies` were usable, one stage nearer to a disk of `disk_sectors`; nothing when it is there.
/// After a stage, read the table again and plan again.
pub fn plan(gpt: &Gpt, copies: &Copies, disk_sectors: u64) -> Result<Vec<Step>> {
    if matches!(copies, Copies::BackupOnly { .. }) {
        return Ok(vec![primary(gpt), Step::Flush]);
    }
    let grown = gpt.grown_to(disk_sectors)?;
    if grown == *gpt && *copies == Copies::Both {
        return Ok(Vec::new());
    }
    let (backup_first, backup) = grown.encode_backup();
    let mut steps = vec![Step::Write(backup_first.offset(gpt.sector()), backup), Step::Flush];
    if gpt.disk_sectors() < disk_sectors {
        let old_header = Lba(gpt.disk_sectors().saturating_sub(1)).offset(gpt.sector());
        let zeros = vec![0; usize::try_from(gpt.sector().bytes()).unwrap_or(512)];
        steps.extend([Step::Write(old_header, zeros), Step::Flush]);
    }
    if grown != *gpt {
        steps.extend([primary(&grown), Step::Flush]);
    }
    Ok(steps)
}

fn primary(gpt: &Gpt) -> Step {
    Step::Write(Lba(1).offset(gpt.sector()), gpt.encode_primary())
}

/// Number of blocks of the ext4 whose first 2048 bytes are `head`, and its block size in bytes
/// (`Documentation/filesystems/ext4/super.rst` of the kernel: offsets count from byte 1024).
pub fn ext4_size(head: &[u8]) -> Option<(u64, u64)> {
    let superblock = head.get(1024..)?;
    let u32_at = |at: usize| superblock.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let magic = superblock.get(0x38..0x3a)?;
    let log = u32_at(0x18).filter(|log| *log <= 6)?;
    let low = u64::from(u32_at(0x04)?);
    let wide = u32_at(0x60)? & INCOMPAT_64BIT != 0;
    let high = if wide { u64::from(u32_at(0x150)?) } else { 0 };
    (magic == [0x53, 0xef]).then_some((low | high << 32, 1024 << log))
}

const INCOMPAT_64BIT: u32 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;
    use formats::gpt::{ENTRIES_SIZE, Partition, types};
    use formats::{Guid, SectorSize};
    use std::collections::BTreeMap;

    const SECTOR: u64 = 512;
    const OLD: u64 = 8 << 11;
    const NEW: u64 = 64 << 11;

    fn table(disk_sectors: u64) -> Gpt {
        let partition = |name: &str, first: u64, last: u64| Partition {
            type_guid: types::LINUX_DATA,
            guid: Guid::derive("test", name),
            first: Lba(first),
            last: Lba(last),
            attributes: 0,
            name: name.into(),
        };
        let partitions = BTreeMap::from([
            (1, partition("state", 1 << 11, (2 << 11) - 1)),
            (8, partition("data", 2 << 11, (7 << 11) - 1)),
        ]);
        Gpt::new(Guid::derive("test", "disk"), SectorSize::S512, disk_sectors, partitions).unwrap()
    }

    fn apply(disk: &mut [u8], offset: u64, bytes: &[u8]) {
        let offset = usize::try_from(offset).unwrap();
        disk[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// A small image copied to a larger disk.
    fn enlarged_disk() -> Vec<u8> {
        let mut disk = vec![0; usize::try_from(NEW * SECTOR).unwrap()];
        let gpt = table(OLD);
        apply(&mut disk, SECTOR, &gpt.encode_primary());
        let (first, backup) = gpt.encode_backup();
        apply(&mut disk, first.0 * SECTOR, &backup);
        disk
    }

    fn read(disk: &[u8]) -> (Gpt, Copies) {
        let entries = usize::try_from(ENTRIES_SIZE.0).unwrap();
        let tail = disk.len() - entries - 512;
        Gpt::read(&disk[..entries + 1024], &disk[tail..], SectorSize::S512, NEW).expect("one copy is always whole")
    }

    fn finish(disk: &mut [u8]) -> usize {
        for round in 0..3 {
            let (gpt, copies) = read(disk);
            let steps = plan(&gpt, &copies, NEW).unwrap();
            if steps.is_empty() {
                return round;
            }
            for step in steps {
                if let Step::Write(offset, bytes) = step {
                    apply(disk, offset.0, &bytes);
                }
            }
        }
        panic!("does not settle");
    }

    fn settled() -> Vec<u8> {
        let mut disk = enlarged_disk();
        assert_eq!(finish(&mut disk), 1);
        disk
    }

    #[test]
    fn grows_data_to_the_last_whole_mebibyte_and_leaves_no_old_header() {
        let disk = settled();
        let (gpt, copies) = read(&disk);
        assert_eq!(copies, Copies::Both);
        assert_eq!(gpt.partition("data").unwrap().1.last, Lba((63 << 11) - 1));
        let headers = disk.chunks(512).filter(|sector| sector.starts_with(b"EFI PART")).count();
        assert_eq!(headers, 2);
    }

    #[test]
    fn a_disk_of_the_right_size_is_left_alone() {
        let (gpt, copies) = read(&settled());
        assert_eq!(plan(&gpt, &copies, NEW), Ok(Vec::new()));
    }

    /// Every crash state: any number of whole steps, then any number of whole sectors of the next write, in order or reversed.
    #[test]
    fn every_interruption_is_continued_to_the_same_disk() {
        let wanted = settled();
        let (gpt, copies) = read(&enlarged_disk());
        let steps = plan(&gpt, &copies, NEW).unwrap();
        for done in 0..steps.len() {
            let Step::Write(offset, bytes) = &steps[done] else { continue };
            for sectors in 0..=bytes.len() / 512 {
                for reversed in [false, true] {
                    let mut disk = enlarged_disk();
                    for step in &steps[..done] {
                        if let Step::Write(offset, bytes) = step {
                            apply(&mut disk, offset.0, bytes);
                        }
                    }
                    let cut = if reversed { bytes.len() - sectors * 512 } else { sectors * 512 };
                    let (part, at) = if reversed { (&bytes[cut..], cut) } else { (&bytes[..cut], 0) };
                    apply(&mut disk, offset.0 + u64::try_from(at).unwrap(), part);
                    finish(&mut disk);
                    assert!(disk == wanted, "step {done}, {sectors} sectors, reversed {reversed}");
                }
            }
        }
    }

    #[test]
    fn a_destroyed_copy_is_rebuilt_from_the_other() {
        for at in [SECTOR, (NEW - 1) * SECTOR] {
            let mut disk = settled();
            apply(&mut disk, at, &[0; 512]);
            finish(&mut disk);
            assert!(disk == settled());
        }
    }

    #[test]
    fn reads_the_size_of_an_ext4_and_nothing_else() {
        let mut head = vec![0; 2048];
        assert_eq!(ext4_size(&head), None);
        head[1024 + 0x38..1024 + 0x3a].copy_from_slice(&[0x53, 0xef]);
        head[1024 + 0x04..1024 + 0x08].copy_from_slice(&8192_u32.to_le_bytes());
        head[1024 + 0x18] = 2;
        head[1024 + 0x150] = 1;
        assert_eq!(ext4_size(&head), Some((8192, 4096)));
        head[1024 + 0x60] = 0x80;
        assert_eq!(ext4_size(&head), Some((8192 | 1 << 32, 4096)));
        assert_eq!(ext4_size(&head[..1300]), None);
    }
}
