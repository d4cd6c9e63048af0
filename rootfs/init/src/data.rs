//! The data partition: grown to the disk, mounted, and its file system grown to the partition.
//!
//! Nothing here stops a start. A data partition that cannot be mounted is replaced by memory and reported: an appliance that starts
//! and says what it lost can be repaired from afar.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use appliance::sys::block;
use appliance::sys::watchdog::Watchdog;
use appliance::{At, Doing, Error, Partition, Result};
use formats::boot_report::DataReport;
use formats::gpt::{Copies, Gpt};

use crate::console::say;
use crate::disk::{self, Disk};
use crate::growth::{self, Step};
use crate::{failure, machine, reset};

/// Mounts the data partition on `target`, grown as far as the disk allows. A factory reset that was asked for comes first; `watchdogs`
/// are fed while it lasts. Does not return when the machine is to be turned off after it.
pub fn prepare(disk: &Disk, target: &Path, watchdogs: &[Watchdog]) -> Result<DataReport> {
    let mut problems = Vec::new();
    let mut disk = disk.clone();
    let partition_grown = grow_table(&mut disk).and_then(|()| announce(&disk));
    problems.extend(partition_grown.err().map(|problem| format!("it cannot grow: {problem}")));

    let mut report = DataReport { device: None, grown: false, error: None };
    let mounted = disk.partition("data").and_then(|partition| {
        report.device = Some(partition.node.display().to_string());
        problems.extend(reset::before_mount(&disk, &partition, watchdogs)?);
        machine::mount_data(&partition.node, target).map(|()| partition)
    });
    match mounted {
        Ok(partition) => {
            failure::note(|known| known.data_directory = Some(target.into()));
            match grow_file_system(&partition, target) {
                Ok(grown) => report.grown = grown,
                Err(problem) => problems.push(format!("its file system cannot grow: {problem}")),
            }
        }
        Err(problem) => {
            problems.push(format!("{problem}; using memory instead, which is lost at restart"));
            machine::mount_memory(target)?;
        }
    }
    for problem in &problems {
        say(&format!("warning: data partition: {problem}"));
    }
    report.error = (!problems.is_empty()).then(|| problems.join("; "));
    Ok(report)
}

/// Brings the partition table to the size of the disk, on the disk and in `disk`.
fn grow_table(disk: &mut Disk) -> Result<()> {
    let node = disk.node();
    let file = OpenOptions::new().read(true).write(true).open(&node).doing(|| format!("open {node:?}"))?;
    // At most: repair the primary, grow. A third round means the disk does not keep what is written to it.
    for _ in 0..3 {
        let bytes = disk.sectors.saturating_mul(disk.sector.bytes());
        let (gpt, copies) =
            disk::table(&file, disk.sector, bytes).doing(|| format!("read the partition table of {node:?}"))?;
        let steps = growth::plan(&gpt, &copies, disk.sectors).at(|| format!("disk {node:?}"))?;
        disk.gpt = gpt;
        if steps.is_empty() {
            return Ok(());
        }
        say(&format!("partition table of {node:?}: {}; writing it", state_of(&copies, &disk.gpt, disk.sectors)));
        for step in steps {
            match step {
                Step::Write(offset, bytes) => file.write_all_at(&bytes, offset.0),
                Step::Flush => file.sync_all(),
            }
            .doing(|| format!("write the partition table of {node:?}"))?;
        }
    }
    Err(Error::Refused(format!("{node:?} does not keep its partition table")))
}

/// Why the table is about to be written, in words.
fn state_of(copies: &Copies, gpt: &Gpt, sectors: u64) -> String {
    let made_for = gpt.disk_sectors();
    match copies {
        Copies::BackupOnly { primary } => primary.to_string(),
        _ if made_for < sectors => format!("made for {made_for} sectors, the disk has {sectors}"),
        Copies::PrimaryOnly { backup } => backup.to_string(),
        Copies::Differ => "its two copies differ".into(),
        Copies::Both => "the last partition ends early".into(),
    }
}

/// Tells the kernel the new size, if it does not know it: it read the table before we wrote it.
fn announce(disk: &Disk) -> Result<()> {
    let Some((number, entry)) = disk.gpt.partition("data") else { return Ok(()) };
    let (start, length) = disk.gpt.extent(entry);
    if disk.partition("data")?.bytes < length.0 {
        let node = disk.node();
        let file = File::open(&node).doing(|| format!("open {node:?}"))?;
        block::resize_partition(&file, number, start.0, length.0)
            .doing(|| format!("resize partition {number} of {node:?} for the kernel"))?;
        say(&format!("data partition grown to {} MiB", length.0 >> 20));
    }
    Ok(())
}

/// Grows the mounted file system to its partition. Compared at every start, so that an interrupted growth, which ext4 itself leaves
/// consistent after each block group, is continued.
fn grow_file_system(partition: &Partition, target: &Path) -> Result<bool> {
    let before = file_system_size(partition)?;
    let (blocks, block_size) = before;
    let wanted = partition.bytes / block_size;
    if blocks >= wanted {
        return Ok(false);
    }
    let directory = File::open(target).doing(|| format!("open {target:?}"))?;
    block::grow_ext4(&directory, wanted).doing(|| format!("grow from {blocks} to {wanted} blocks"))?;
    // The kernel leaves out a last group too small for its own tables, so the same request may come again and change nothing.
    let (now, _) = file_system_size(partition)?;
    if now > blocks {
        say(&format!(
            "data file system grown from {} MiB to {} MiB",
            (blocks * block_size) >> 20,
            (now * block_size) >> 20
        ));
    }
    Ok(now > blocks)
}

fn file_system_size(partition: &Partition) -> Result<(u64, u64)> {
    let mut head = [0; 2048];
    let node = &partition.node;
    let file = File::open(node).doing(|| format!("open {node:?}"))?;
    file.read_exact_at(&mut head, 0).doing(|| format!("read the superblock of {node:?}"))?;
    growth::ext4_size(&head).ok_or_else(|| Error::Refused(format!("{node:?} has no ext4 superblock")))
}
