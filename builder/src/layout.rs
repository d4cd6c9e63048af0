//! Which bytes of the disk belong to whom.
//!
//! Everything that occupies sectors is a [`Region`], boot code and both partition tables included, and one function refuses overlaps
//! naming both sides. Partition numbers, labels and order are design section 4: the data partition is physically last because it
//! grows at first boot.

use std::fmt;

use formats::gpt::{Gpt, Partition, types};
use formats::{Bytes, Guid, Lba, SectorSize};

use crate::recipe::Disk;
use crate::{Error, Result};

/// A named range of bytes of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Partition label, or `protective-mbr`, `gpt-primary`, `gpt-backup`.
    pub name: String,
    /// First byte.
    pub start: Bytes,
    /// Length in bytes.
    pub size: Bytes,
    /// GPT entry number, for partitions.
    pub number: Option<u32>,
}

/// The whole disk.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Regions in order of their first byte.
    pub regions: Vec<Region>,
    /// The partition table that describes them.
    pub gpt: Gpt,
    /// Size of the disk.
    pub size: Bytes,
}

impl Region {
    /// First byte behind the region.
    pub fn end(&self) -> Bytes {
        Bytes(self.start.0 + self.size.0)
    }
}

impl Layout {
    /// Places the partitions of `disk` one after the other, 1 MiB aligned, under identifiers derived from `seed`.
    pub fn new(disk: &Disk, seed: &str) -> Result<Self> {
        let sector = SectorSize::S512;
        let mut regions = Vec::new();
        let mut partitions = std::collections::BTreeMap::new();
        let mut start = Bytes::MIB;
        for (number, (label, size, type_guid)) in (1_u32..).zip(partition_plan(disk)) {
            let first = start.0 / sector.bytes();
            let last = (start.0 + size.0) / sector.bytes() - 1;
            partitions.insert(
                number,
                Partition {
                    type_guid,
                    guid: Guid::derive(seed, &format!("partition:{label}")),
                    first: Lba(first),
                    last: Lba(last),
                    attributes: 0,
                    name: label.to_owned(),
                },
            );
            regions.push(Region { name: label.to_owned(), start, size, number: Some(number) });
            start = Bytes(start.0 + size.0);
        }
        let size = Bytes(start.0 + Bytes::MIB.0);
        let sectors = size.0 / sector.bytes();
        let gpt = Gpt::new(Guid::derive(seed, "disk"), sector, sectors, partitions)
            .map_err(Error::format("the partition table of this recipe"))?;
        let (backup, bytes) = gpt.encode_backup();
        regions.push(region("protective-mbr", 0, 512));
        regions.push(region("gpt-primary", 512, gpt.encode_primary().len() as u64));
        regions.push(region("gpt-backup", backup.offset(sector).0, bytes.len() as u64));
        regions.sort_by_key(|region| region.start);
        check_overlap(&regions, size)?;
        Ok(Self { regions, gpt, size })
    }

    /// The region with this name.
    pub fn region(&self, name: &str) -> Result<&Region> {
        self.regions
            .iter()
            .find(|region| region.name == name)
            .ok_or_else(|| Error::Bug(format!("the layout has no region \"{name}\"")))
    }
}

/// Refuses two regions that share a byte, and one that leaves the disk. `regions` are sorted by their start.
pub fn check_overlap(regions: &[Region], disk: Bytes) -> Result<()> {
    for pair in regions.windows(2) {
        if let [first, second] = pair
            && first.end() > second.start
        {
            return Err(Error::input(format!(
                "region \"{}\" ({} at {}) overlaps \"{}\" ({} at {}); move one or shrink \"{}\"",
                first.name, first.size, first.start, second.name, second.size, second.start, first.name
            )));
        }
    }
    match regions.iter().find(|region| region.end() > disk) {
        Some(region) => Err(Error::input(format!(
            "region \"{}\" ({} at {}) ends beyond the disk of {disk}",
            region.name, region.size, region.start
        ))),
        None => Ok(()),
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "disk {} ({})", self.gpt.disk_guid(), self.size)?;
        for region in &self.regions {
            let number = region.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
            let (start, size) = (region.start.to_string(), region.size.to_string());
            writeln!(f, "  {number:>2}  {:<15} {start:>12}  {size:>12}", region.name)?;
        }
        Ok(())
    }
}

fn region(name: &str, start: u64, size: u64) -> Region {
    Region { name: name.to_owned(), start: Bytes(start), size: Bytes(size), number: None }
}

/// Label, size and type of each partition, in order of number and place.
fn partition_plan(disk: &Disk) -> [(&'static str, Bytes, Guid); 8] {
    [
        ("bios", Bytes::MIB, types::BIOS_BOOT),
        ("esp", disk.esp, types::ESP),
        ("state", Bytes::MIB, types::LINUX_DATA),
        ("base-a", disk.base_slot, types::LINUX_ROOT_X86_64),
        ("base-b", disk.base_slot, types::LINUX_ROOT_X86_64),
        ("site-a", disk.site_slot, types::LINUX_DATA),
        ("site-b", disk.site_slot, types::LINUX_DATA),
        ("data", disk.data, types::LINUX_DATA),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, start: u64, size: u64) -> Region {
        region(name, start << 20, size << 20)
    }

    #[test]
    fn places_every_partition_on_a_whole_mebibyte_with_data_last() {
        let layout = Layout::new(&Disk::default(), "demo").unwrap();
        let partitions: Vec<_> = layout.regions.iter().filter(|region| region.number.is_some()).collect();
        assert_eq!(partitions.len(), 8);
        assert!(partitions.iter().all(|region| region.start.is_multiple_of(Bytes::MIB)));
        assert_eq!(partitions.last().map(|region| region.name.as_str()), Some("data"));
        assert_eq!(layout.regions.last().map(|region| region.name.as_str()), Some("gpt-backup"));
        assert_eq!(layout.regions.last().map(Region::end), Some(layout.size));
    }

    #[test]
    fn refuses_overlapping_regions_naming_both() {
        let error = check_overlap(&[sample("root-a", 1, 2048), sample("boot", 2048, 64)], Bytes::GIB).unwrap_err();
        assert_eq!(
            error.to_string(),
            "region \"root-a\" (2 GiB at 1 MiB) overlaps \"boot\" (64 MiB at 2 GiB); move one or shrink \"root-a\""
        );
    }

    #[test]
    fn refuses_a_region_beyond_the_disk() {
        let error = check_overlap(&[sample("data", 1, 64)], Bytes::mib(64)).unwrap_err();
        assert_eq!(error.to_string(), "region \"data\" (64 MiB at 1 MiB) ends beyond the disk of 64 MiB");
    }
}
