//! A disk image file with the partitions of an appliance.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use formats::SlotId::A;
use formats::boot_state::BootState;
use formats::gpt::{Gpt, Partition, types};
use formats::manifest::Kind;
use formats::{Guid, Lba, SectorSize, footer};
use update_agent::disk::Part;

use crate::fixtures::{medium, release};

/// Base 1 and site 10 in their slots A, the slots B empty; `mib` is the size of each partition.
pub fn write(path: &Path, mib: impl Fn(Part) -> u64) {
    let (base, site) = (release(Kind::Base, 1), release(Kind::Site, 10));
    let content = medium([Some(&base), None], [Some(&site), None], &BootState::initial(A, Some(A)));
    let disk = File::create_new(path).unwrap();
    let mut partitions = BTreeMap::new();
    let mut next = MIB_SECTORS;
    for (number, part) in (1_u32..).zip(Part::ALL) {
        let (first, end) = (next, next + mib(part) * MIB_SECTORS);
        next = end;
        let entry = Partition {
            type_guid: types::LINUX_DATA,
            guid: Guid::derive("seed", &part.label()),
            first: Lba(first),
            last: Lba(end - 1),
            attributes: 0,
            name: part.label(),
        };
        partitions.insert(number, entry);
        let bytes = content.part(part);
        // A footer is at the end of its partition.
        let (image, tail) =
            if part == Part::State { (bytes, &[][..]) } else { bytes.split_at(bytes.len() - footer::FOOTER_SIZE) };
        disk.write_all_at(image, first * 512).unwrap();
        disk.write_all_at(tail, end * 512 - tail.len() as u64).unwrap();
    }
    let sectors = next + MIB_SECTORS;
    disk.set_len(sectors * 512).unwrap();
    let gpt = Gpt::new(Guid::derive("seed", "disk"), SectorSize::S512, sectors, partitions).unwrap();
    disk.write_all_at(&gpt.encode_primary(), 512).unwrap();
    let (lba, backup) = gpt.encode_backup();
    disk.write_all_at(&backup, lba.0 * 512).unwrap();
}

const MIB_SECTORS: u64 = 2048;
