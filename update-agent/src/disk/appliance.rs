//! The disk this appliance was started from.
//!
//! Which disk that is was decided once, by the initramfs program, from what firmware and boot loader said (identical copies of the
//! disk may be attached); its boot report names it, and nothing here searches for another. Where a partition is comes from the
//! disk's own table, and the kernel's partition node is used only when it agrees about the size.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use appliance::Partition;
use appliance::direct::{Access, Direct};
use formats::Bytes;

use super::image::read_table;
use super::{Disk, Part};
use crate::error::{Doing, Error, Result};

/// The partitions of the booted disk. Opened when first used: slots for reading by anyone, for writing exclusively.
pub struct Appliance {
    nodes: BTreeMap<Part, Node>,
    readers: RefCell<BTreeMap<Part, Direct>>,
    writers: RefCell<BTreeMap<Part, Direct>>,
}

struct Node {
    path: PathBuf,
    size: Bytes,
}

impl Appliance {
    /// The partitions of `disk`, for example `/dev/vda`.
    pub fn open(disk: &Path) -> Result<Self> {
        let nodes = nodes(disk).doing(|| format!("find the partitions of \"{}\"", disk.display()))?;
        Ok(Self { nodes, readers: RefCell::default(), writers: RefCell::default() })
    }

    fn node(&self, part: Part) -> io::Result<&Node> {
        self.nodes
            .get(&part)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("this disk has no \"{}\"", part.label())))
    }

    fn with<T>(
        &self,
        cache: &RefCell<BTreeMap<Part, Direct>>,
        part: Part,
        access: Access,
        work: impl FnOnce(&Direct) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut cache = cache.try_borrow_mut().map_err(|_| io::ErrorKind::ResourceBusy)?;
        if let Some(open) = cache.get(&part) {
            return work(open);
        }
        let node = self.node(part)?;
        let open = Direct::open(&node.path, access).map_err(|cause| in_use(part, &node.path, &cause))?;
        let answer = work(&open);
        cache.insert(part, open);
        answer
    }
}

impl Appliance {
    /// A partition for the device mapper; nothing when this disk has none of that name.
    pub fn partition(&self, part: Part) -> Result<Option<Partition>> {
        let Some(node) = self.nodes.get(&part) else { return Ok(None) };
        let found = Partition::behind(&part.label(), &node.path, node.size.0);
        found.map(Some).map_err(|problem| Error::SiteNotSwitched(problem.to_string()))
    }
}

impl Disk for Appliance {
    fn size(&self, part: Part) -> io::Result<Bytes> {
        Ok(self.node(part)?.size)
    }

    fn read(&self, part: Part, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.with(&self.readers, part, Access::Read, |open| open.read(offset, buffer))
    }

    fn write(&self, part: Part, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // The state partition is never claimed exclusively: `serve` and a command may both have it open, and take turns by a lock.
        let access = if part == Part::State { Access::DurableWrite } else { Access::ExclusiveWrite };
        self.with(&self.writers, part, access, |open| open.write(offset, bytes))
    }

    fn flush(&self, part: Part) -> io::Result<()> {
        let access = if part == Part::State { Access::DurableWrite } else { Access::ExclusiveWrite };
        self.with(&self.writers, part, access, Direct::flush)
    }

    fn release(&self, part: Part) {
        // Never while it is borrowed: this is not called from inside a write.
        if let Ok(mut writers) = self.writers.try_borrow_mut() {
            writers.remove(&part);
        }
    }
}

/// "Device or resource busy" does not help anyone; the user of the slot does.
fn in_use(part: Part, node: &Path, cause: &io::Error) -> io::Error {
    if cause.kind() != io::ErrorKind::ResourceBusy {
        return io::Error::new(cause.kind(), format!("cannot open \"{}\": {cause}", node.display()));
    }
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let user = mounted_at(&mounts, &node.to_string_lossy()).map_or_else(
        || "another program or a device-mapper device".to_owned(),
        |directory| format!("the mount at \"{directory}\""),
    );
    io::Error::new(cause.kind(), format!("{part} (\"{}\") is in use by {user}", node.display()))
}

/// Where the device `node` is mounted according to the text of `/proc/mounts`.
fn mounted_at<'a>(mounts: &'a str, node: &str) -> Option<&'a str> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        (words.next() == Some(node)).then(|| words.next())?
    })
}

fn nodes(disk: &Path) -> io::Result<BTreeMap<Part, Node>> {
    let file = File::open(disk)?;
    let table = read_table(&file)?;
    let mut nodes = BTreeMap::new();
    for part in Part::ALL {
        let Some((number, entry)) = table.partition(&part.label()) else { continue };
        let path = partition_node(disk, number);
        let (_, size) = table.extent(entry);
        let kernel = super::image::length(&File::open(&path)?)?;
        if kernel != size {
            return Err(io::Error::other(format!(
                "the kernel says \"{}\" has {kernel}, the partition table says {size}; restart the appliance",
                path.display()
            )));
        }
        nodes.insert(part, Node { path, size });
    }
    Ok(nodes)
}

/// `/dev/vda` and 4 make `/dev/vda4`; `/dev/nvme0n1` and 4 make `/dev/nvme0n1p4`.
fn partition_node(disk: &Path, number: u32) -> PathBuf {
    let name = disk.to_string_lossy();
    let separator = if name.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    PathBuf::from(format!("{name}{separator}{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_nodes_follow_the_kernels_naming() {
        for (disk, node) in [("/dev/vda", "/dev/vda4"), ("/dev/nvme0n1", "/dev/nvme0n1p4"), ("/dev/sdaa", "/dev/sdaa4")]
        {
            assert_eq!(partition_node(Path::new(disk), 4), Path::new(node));
        }
    }

    #[test]
    fn a_busy_slot_is_reported_with_its_mount() {
        let mounts = "proc /proc proc rw 0 0\n/dev/vda5 /mnt/old ext4 ro 0 0\n";
        assert_eq!(mounted_at(mounts, "/dev/vda5"), Some("/mnt/old"));
        assert_eq!(mounted_at(mounts, "/dev/vda"), None);
    }
}
