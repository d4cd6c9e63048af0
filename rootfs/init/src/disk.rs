//! Disks and partitions as the kernel shows them, joined with the partition table as we read it.
//!
//! Our own parse decides where a partition is; the kernel's device is used only when it agrees about that.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use appliance::{Doing, Error, Partition, Result};
use formats::gpt::Gpt;
use formats::{Bytes, SectorSize, SlotId};

use crate::console::say;
use crate::failure;
use crate::identity::{self, Clues};
use crate::state::{self, State};

/// USB disks take seconds to appear.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
const SYSFS: &str = "/sys/block";
/// sysfs counts in these whatever the disk's sectors are.
const SYSFS_SECTOR: u64 = 512;

/// A disk with a readable GUID partition table.
#[derive(Debug, Clone)]
pub struct Disk {
    /// The kernel's name: `vda`.
    pub name: String,
    /// Its logical sector size.
    pub sector: SectorSize,
    /// Its size in logical sectors.
    pub sectors: u64,
    /// Its partition table.
    pub gpt: Gpt,
}

/// The disk and slot this program was started from, and what to warn about.
pub struct Found {
    /// The disk.
    pub disk: Disk,
    /// The slot.
    pub slot: SlotId,
    /// The boot state on it.
    pub state: State,
    /// Oddities for the boot report.
    pub warnings: Vec<String>,
}

/// Waits for the disk `clues` point at.
pub fn find(clues: &Clues) -> Result<Found> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let disks = readable()?;
        let slot_on = |disk: &Disk| identity::slot_on(&disk.gpt, clues, || state::read(disk).newest?.last);
        let matching = disks.iter().filter_map(|disk| Some((slot_on(disk)?, disk.clone())));
        if let Some(found) = choose(matching.collect(), clues) {
            return Ok(found);
        }
        // Without a clue the boot state of our disk would have to tell, and it does not: waiting changes nothing.
        let hopeless = clues.is_empty() && disks.iter().any(|disk| disk.gpt.disk_guid() == clues.disk_guid);
        if hopeless || Instant::now() > deadline {
            return Err(not_found(&disks, clues));
        }
        sleep(POLL);
    }
}

/// Says what was looked for and what is there, and lets the failure be kept on the disk of this build if that is among it.
fn not_found(disks: &[Disk], clues: &Clues) -> Error {
    if let Some(ours) = disks.iter().find(|disk| disk.gpt.disk_guid() == clues.disk_guid) {
        note_data_partition(ours);
    }
    let seen = disks.iter().map(|disk| format!("\"{}\"", disk.name)).collect::<Vec<_>>().join(", ");
    let seen = if seen.is_empty() { "no disk with a partition table".into() } else { seen };
    Error::Refused(format!("cannot find {}; seen: {seen}", identity::wanted(clues)))
}

/// Tells the failure log where it can go.
pub fn note_data_partition(disk: &Disk) {
    let device = disk.partition("data").ok().map(|partition| partition.node);
    failure::note(|known| known.data_device = device);
}

/// The most plausible of several disks; see [`identity`] for the argument.
fn choose(matching: Vec<(SlotId, Disk)>, clues: &Clues) -> Option<Found> {
    let names = matching.iter().map(|(_, disk)| format!("\"{}\"", disk.name)).collect::<Vec<_>>();
    let mut candidates: Vec<_> = matching.into_iter().map(|(slot, disk)| (state::read(&disk), slot, disk)).collect();
    candidates.sort_by_key(|(state, slot, _)| identity::preference(*slot, state.newest.as_ref()));
    let (state, slot, disk) = candidates.into_iter().next()?;
    let mut warnings: Vec<String> = identity::contradiction(slot, clues, state.newest.as_ref()).into_iter().collect();
    if names.len() > 1 {
        let names = names.join(", ");
        warnings.push(format!("disks {names} are copies of one another; using \"{}\"; detach the others", disk.name));
    }
    for warning in &warnings {
        say(&format!("warning: {warning}"));
    }
    Some(Found { disk, slot, state, warnings })
}

/// Every disk whose partition table can be read, in the kernel's order.
fn readable() -> Result<Vec<Disk>> {
    let mut names: Vec<String> = fs::read_dir(SYSFS)
        .doing(|| format!("list \"{SYSFS}\""))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| may_hold_us(name))
        .collect();
    // "vdb" before "vdaa", as the kernel counts.
    names.sort_by_key(|name| (name.len(), name.clone()));
    Ok(names.into_iter().filter_map(|name| read(name).ok()).collect())
}

fn may_hold_us(name: &str) -> bool {
    !["loop", "ram", "zram", "dm-", "sr", "fd", "md"].iter().any(|prefix| name.starts_with(prefix))
}

fn read(name: String) -> Result<Disk> {
    let sysfs = Path::new(SYSFS).join(&name);
    let sector = match number(&sysfs.join("queue/logical_block_size"))? {
        4096 => SectorSize::S4096,
        _ => SectorSize::S512,
    };
    let bytes = number(&sysfs.join("size"))?.saturating_mul(SYSFS_SECTOR);
    let node = Path::new("/dev").join(&name);
    let file = File::open(&node).doing(|| format!("open {node:?}"))?;
    let (gpt, _) = table(&file, sector, bytes).doing(|| format!("read the partition table of {node:?}"))?;
    Ok(Disk { name, sector, sectors: bytes / sector.bytes(), gpt })
}

/// Reads both copies of the partition table, 16 KiB of entries each.
pub fn table(file: &File, sector: SectorSize, bytes: u64) -> std::io::Result<(Gpt, formats::gpt::Copies)> {
    let mut head = vec![0; usize::try_from(2 * sector.bytes()).unwrap_or(0) + ENTRIES];
    let mut tail = vec![0; usize::try_from(sector.bytes()).unwrap_or(0) + ENTRIES];
    file.read_exact_at(&mut head, 0)?;
    let tail_at = bytes.saturating_sub(tail.len() as u64);
    file.read_exact_at(&mut tail, tail_at)?;
    Gpt::read(&head, &tail, sector, bytes / sector.bytes()).map_err(std::io::Error::other)
}

const ENTRIES: usize = 128 * 128;

impl Disk {
    /// `/dev/vda`.
    pub fn node(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }

    /// The partition labelled `label`, when the kernel shows it where the table says.
    pub fn partition(&self, label: &str) -> Result<Partition> {
        let (number, entry) = self
            .gpt
            .partition(label)
            .ok_or_else(|| Error::Refused(format!("disk \"{}\" has no partition \"{label}\"", self.name)))?;
        let (Bytes(start), Bytes(bytes)) = self.gpt.extent(entry);
        let (name, sysfs) = self.kernel_name(number)?;
        let device = fs::read_to_string(sysfs.join("dev")).doing(|| format!("read {:?}", sysfs.join("dev")))?;
        let shown_start = self::number(&sysfs.join("start"))?.saturating_mul(SYSFS_SECTOR);
        let shown_bytes = self::number(&sysfs.join("size"))?.saturating_mul(SYSFS_SECTOR);
        // The data partition may be smaller for the kernel until its growth is announced.
        if shown_start != start || shown_bytes > bytes {
            return Err(Error::Refused(format!(
                "the kernel shows \"{name}\" at byte {shown_start} with {shown_bytes} bytes, but the partition table has \
                 \"{label}\" at byte {start} with {bytes} bytes"
            )));
        }
        let node = Path::new("/dev").join(name);
        Ok(Partition { label: label.into(), node, device: device.trim().into(), bytes: shown_bytes })
    }

    /// The kernel's name of partition `number` and its directory in sysfs.
    fn kernel_name(&self, number: u32) -> Result<(String, PathBuf)> {
        let sysfs = Path::new(SYSFS).join(&self.name);
        let entries = fs::read_dir(&sysfs).doing(|| format!("list {sysfs:?}"))?;
        for entry in entries.filter_map(std::result::Result::ok) {
            let directory = entry.path();
            if self::number(&directory.join("partition")).is_ok_and(|n| n == u64::from(number)) {
                return Ok((entry.file_name().to_string_lossy().into_owned(), directory));
            }
        }
        Err(Error::Refused(format!(
            "the kernel shows no partition {number} on \"{}\"; is \"gpt\" missing from its command line?",
            self.name
        )))
    }
}

fn number(path: &Path) -> Result<u64> {
    let text = fs::read_to_string(path).doing(|| format!("read {path:?}"))?;
    text.trim().parse().map_err(|_| Error::Refused(format!("{path:?} holds no number but {text:?}")))
}
