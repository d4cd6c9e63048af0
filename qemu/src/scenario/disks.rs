//! The disks of one run of a scenario: made from what the file describes, changed between starts, swapped, compared.

use std::collections::BTreeMap;
use std::path::Path;

use formats::Bytes;

use super::{Change, DISK, DiskSpec, DriveContent, DriveSpec, Files, Scenario, volume};
use crate::surgery::RawImage;
use crate::{Bus, Disk, Error, Machine, Result};

/// Every disk, the one the machine starts from first.
#[derive(Debug)]
pub struct Disks {
    disks: Vec<Named>,
}

#[derive(Debug)]
struct Named {
    name: String,
    bus: Bus,
    disk: Disk,
    /// The size the scenario says.
    size: Option<Bytes>,
    /// A disk that was made the same way and that nobody touches, for comparison.
    untouched: Option<Disk>,
}

impl Disks {
    /// Makes them. `folder` is where the scenario's paths start.
    pub fn make(scenario: &Scenario, files: &Files, folder: &Path) -> Result<Self> {
        let first = of_image(&scenario.disk, files, folder)?;
        let mut disks = vec![Named {
            name: DISK.to_owned(),
            bus: scenario.disk.bus,
            disk: first,
            size: scenario.disk.size,
            untouched: None,
        }];
        for spec in &scenario.drives {
            let make = || drive(spec, &scenario.disk, files, folder);
            let compared = scenario.steps.iter().any(|step| step.action == super::Action::Unchanged(spec.name.clone()));
            let untouched = if compared { Some(make()?) } else { None };
            disks.push(Named { name: spec.name.clone(), bus: spec.bus, disk: make()?, size: spec.size, untouched });
        }
        Ok(Self { disks })
    }

    /// A machine with all of them.
    pub fn machine(&self) -> Machine {
        let mut disks = self.disks.iter();
        let mut machine = disks.next().map_or_else(Machine::diskless, |named| Machine::new(&named.disk).bus(named.bus));
        for named in disks {
            machine = machine.drive(&named.disk, named.bus);
        }
        machine
    }

    /// The number of a drive, as [`crate::Guest::freeze`] counts.
    pub fn number(&self, name: &str) -> Result<usize> {
        let found = self.disks.iter().position(|named| named.name == name);
        found.ok_or_else(|| Error::Input(format!("there is no drive \"{name}\"")))
    }

    /// Lets the disk and another drive change places. Names stay with the places.
    pub fn exchange(&mut self, name: &str) -> Result<()> {
        let other = self.number(name)?;
        let disk = self.disks[0].disk.clone();
        self.disks[0].disk = std::mem::replace(&mut self.disks[other].disk, disk);
        Ok(())
    }

    /// The size the scenario gives a drive.
    pub fn wanted_size(&self, name: &str) -> Result<Option<Bytes>> {
        Ok(self.disks[self.number(name)?].size)
    }

    /// Puts another disk in the place of a drive.
    pub fn replace(&mut self, name: &str, disk: Disk) -> Result<()> {
        let place = self.number(name)?;
        self.disks[place].disk = disk;
        Ok(())
    }

    /// Changes a drive.
    pub fn change(&self, name: &str, change: &Change) -> Result<()> {
        let disk = &self.disks[self.number(name)?].disk;
        disk.edit(|raw| match change {
            Change::FlipByte(place) => raw.flip_in(&place.partition, offset(raw, place)?),
            Change::Zero(place, length) => {
                let extent = raw.partition(&place.partition)?;
                let start = offset(raw, place)?;
                if start.checked_add(length.0).is_none_or(|end| end > extent.length) {
                    let label = &place.partition;
                    return Err(Error::Input(format!("{length} at byte {start} go beyond partition \"{label}\"")));
                }
                let zeros = vec![0; usize::try_from(length.0).unwrap_or(0)];
                raw.write(extent.offset + start, &zeros)
            }
            Change::CopyPartition { from, to } => raw.copy_partition(from, to),
            Change::DestroyBootState => raw.destroy_boot_state(),
        })
    }

    /// The first byte of a drive that is not what it was at the start.
    pub fn difference(&self, name: &str) -> Result<Option<u64>> {
        let named = &self.disks[self.number(name)?];
        let Some(untouched) = &named.untouched else {
            return Err(Error::Input(format!("drive \"{name}\" cannot be compared: it is the disk under test")));
        };
        untouched.edit(|before| named.disk.edit(|now| first_difference(before, now)))
    }
}

fn of_image(spec: &DiskSpec, files: &Files, folder: &Path) -> Result<Disk> {
    let disk = Disk::overlay(files.find(&spec.image, folder)?)?;
    spec.size.map_or(Ok(()), |size| disk.grow(size))?;
    Ok(disk)
}

fn drive(spec: &DriveSpec, under_test: &DiskSpec, files: &Files, folder: &Path) -> Result<Disk> {
    match &spec.content {
        DriveContent::Twin => of_image(under_test, files, folder),
        DriveContent::Image(image) => {
            let image = DiskSpec { image: image.clone(), size: spec.size, bus: spec.bus };
            of_image(&image, files, folder)
        }
        DriveContent::Files { names, partitioned } => {
            let found = names.iter().map(|(name, file)| Ok((name.clone(), files.find(file, folder)?)));
            volume::stick(&found.collect::<Result<BTreeMap<_, _>>>()?, spec.size, *partitioned)
        }
        DriveContent::Empty => Disk::empty(spec.size.unwrap_or_default()),
    }
}

fn offset(raw: &RawImage, place: &super::Place) -> Result<u64> {
    place.offset.map_or_else(|| raw.footer_offset(&place.partition), Ok)
}

fn first_difference(before: &RawImage, now: &RawImage) -> Result<Option<u64>> {
    let (old, new) = (before.size()?.0, now.size()?.0);
    let mut at = 0;
    while at < old.min(new) {
        let length = usize::try_from((old.min(new) - at).min(CHUNK)).unwrap_or(0);
        let (left, right) = (before.read(at, length)?, now.read(at, length)?);
        if let Some(index) = left.iter().zip(&right).position(|(left, right)| left != right) {
            return Ok(Some(at + u64::try_from(index).unwrap_or(0)));
        }
        at += CHUNK;
    }
    Ok((old != new).then_some(old.min(new)))
}

const CHUNK: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn disks(text: &str) -> (tempfile::TempDir, Result<Disks>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("first.img"), vec![1; 1 << 20]).unwrap();
        let text = format!("title = \"t\"\n[disk]\nimage = \"first.img\"\nsize = \"2MiB\"\n{text}");
        let steps = "steps = [{ power = \"on\" }, { unchanged = \"other\" }]\n";
        let scenario = Scenario::parse(&format!("{steps}{text}"), "x.toml").unwrap();
        let disks = Disks::make(&scenario, &Files::default(), dir.path());
        (dir, disks)
    }

    #[test]
    fn a_twin_is_the_same_until_one_byte_of_it_changes_and_swapping_moves_the_change() {
        let (_dir, disks) = disks("[[drive]]\nname = \"other\"\ntwin = true\n");
        let mut disks = disks.unwrap();
        assert_eq!(disks.difference("other").unwrap(), None);
        disks.disks[1].disk.edit(|raw| raw.write(1_500_000, b"x")).unwrap();
        assert_eq!(disks.difference("other").unwrap(), Some(1_500_000));
        disks.exchange("other").unwrap();
        assert_eq!(disks.difference("other").unwrap(), None);
        assert_eq!(disks.disks[0].disk.edit(|raw| raw.read(1_500_000, 1)).unwrap(), b"x");
    }

    #[test]
    fn a_drive_can_be_an_image_or_empty_and_the_disk_itself_is_never_compared() {
        let (_dir, disks) =
            disks("[[drive]]\nname = \"other\"\nimage = \"first.img\"\n[[drive]]\nname = \"e\"\nsize = \"1MiB\"\n");
        let disks = disks.unwrap();
        assert_eq!(disks.number("e").unwrap(), 2);
        assert_eq!(disks.difference("other").unwrap(), None);
        assert!(disks.difference(DISK).unwrap_err().to_string().contains("disk under test"));
        let error = disks.change("other", &Change::DestroyBootState).unwrap_err().to_string();
        assert!(!error.is_empty(), "a disk without partitions has no boot state");
    }
}
