//! A slot: its signed footer, and the hash tree the footer's manifest binds it to.
//!
//! Order matters: signature over the exact bytes, then parse, then everything else. Sizes, salt and root hash come from the signed
//! manifest only; the superblock in front of the tree is never read.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use formats::footer::{self, FOOTER_SIZE, Footer};
use formats::manifest::{ImageInfo, Manifest};
use formats::signature::VerifiedManifest;
use formats::trust::{Role, TrustStore};
use formats::{Bytes, Digest, SlotId};

use crate::Partition;
use crate::error::{At, Doing, Error, Result};
use crate::mount::{device_on, mount_verified};
use crate::sys::device_mapper::{self, Target};

/// What the kernel does when a block does not match the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corruption {
    /// Panic, hence restart, hence one try less: the base, without which nothing works and whose other slot is the cure.
    Panic,
    /// An I/O error to the reader, never wrong bytes: the site. Restarting would not help, since every base starts the same site;
    /// a running base can still report it and repair it.
    Error,
}

/// The manifest of the slot in `partition`, signed for `role`; nothing when the slot is empty.
pub fn verify(partition: &Partition, trust: &TrustStore, role: Role) -> Result<Option<VerifiedManifest>> {
    let place = || format!("slot \"{}\"", partition.label);
    let offset = footer::offset(Bytes(partition.bytes)).at(place)?;
    let file = File::open(&partition.node).doing(|| format!("open {:?}", partition.node))?;
    let mut bytes = vec![0; FOOTER_SIZE];
    file.read_exact_at(&mut bytes, offset.0).doing(|| format!("read the footer of {:?}", partition.node))?;
    if footer::is_erased(&bytes) {
        return Ok(None);
    }
    Footer::parse(&bytes).and_then(|footer| footer.verify(trust, role)).map(Some).at(place)
}

/// The device-mapper device a slot is opened as. A site has one for each slot, so that what is mounted on `/site` tells the slot.
pub const fn device_name(role: Role, slot: SlotId) -> &'static str {
    match (role, slot) {
        (Role::Site, SlotId::A) => "bulkhead-site-a",
        (Role::Site, SlotId::B) => "bulkhead-site-b",
        _ => "bulkhead-base",
    }
}

/// Opens the slot's file system as the read-only device `name` and mounts it. Leaves nothing behind when it fails.
pub fn mount(
    name: &str,
    partition: &Partition,
    manifest: &Manifest,
    corruption: Corruption,
    target: &Path,
) -> Result<()> {
    let image = manifest
        .image
        .as_ref()
        .ok_or_else(|| Error::Refused(format!("the manifest in \"{}\" describes no image", partition.label)))?;
    let (sectors, parameters) = table(partition, image, corruption)?;
    let table = Target { sectors, kind: "verity", parameters: &parameters };
    let minor = device_mapper::create_read_only(name, &table)
        .doing(|| format!("open \"{}\" with its hash tree", partition.label))?;
    let mounted = mount_verified(Path::new(&format!("/dev/dm-{minor}")), target);
    if mounted.is_err() {
        // The first error is the one to report; a name left over only hinders the other slot.
        drop(device_mapper::remove(name));
    }
    mounted
}

/// Removes the device `name`, which nothing may use any more.
pub fn close(name: &str) -> Result<()> {
    device_mapper::remove(name).doing(|| format!("close the device \"{name}\""))
}

/// The name of the device-mapper device with this number (`254:1`); nothing for other devices.
pub fn name_of(device: &str) -> Result<Option<String>> {
    let path = format!("/sys/dev/block/{device}/dm/name");
    match fs::read_to_string(&path) {
        Ok(name) => Ok(Some(name.trim_end().to_owned())),
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(problem) => Err(problem).doing(|| format!("read \"{path}\"")),
    }
}

/// The site slot behind what is mounted on `target`. Nothing when nothing is, or something that is no site slot.
pub fn site_on(target: &Path) -> Result<Option<SlotId>> {
    let Some(device) = device_on(target)? else { return Ok(None) };
    let name = name_of(&device)?;
    Ok(SlotId::BOTH.into_iter().find(|slot| name.as_deref() == Some(device_name(Role::Site, *slot))))
}

/// Length in 512-byte sectors and parameters of the dm-verity target
/// (`Documentation/admin-guide/device-mapper/verity.rst` of the kernel). That size, data blocks and hash start agree was checked when
/// the manifest was parsed.
fn table(partition: &Partition, image: &ImageInfo, corruption: Corruption) -> Result<(u64, String)> {
    image.check_fits(Bytes(partition.bytes)).at(|| format!("slot \"{}\"", partition.label))?;
    let (blocks, hash_start) = (image.data_blocks, image.hash_start);
    let device = &partition.device;
    let options = match corruption {
        Corruption::Panic => " 1 panic_on_corruption",
        Corruption::Error => "",
    };
    let root_hash = image.root_hash;
    // Prints as the hexadecimal digits the kernel wants.
    let salt = Digest(image.salt);
    let parameters =
        format!("1 {device} {device} {BLOCK} {BLOCK} {blocks} {hash_start} sha256 {root_hash} {salt}{options}");
    Ok((blocks.saturating_mul(BLOCK / 512), parameters))
}

const BLOCK: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use formats::Guid;

    fn partition() -> Partition {
        Partition { label: "base-a".into(), node: "/dev/vda4".into(), device: "254:4".into(), bytes: 16 << 20 }
    }

    fn image() -> ImageInfo {
        ImageInfo {
            size: Bytes(1025 * 4096),
            data_blocks: 1000,
            hash_start: 1001,
            root_hash: Digest([0xab; 32]),
            salt: [0x01; 32],
            hash_uuid: Guid::ZERO,
        }
    }

    #[test]
    fn the_table_takes_every_number_from_the_manifest() {
        let (sectors, parameters) = table(&partition(), &image(), Corruption::Panic).unwrap();
        let (root, salt) = ("ab".repeat(32), "01".repeat(32));
        assert_eq!(sectors, 8000);
        assert_eq!(parameters, format!("1 254:4 254:4 4096 4096 1000 1001 sha256 {root} {salt} 1 panic_on_corruption"));
    }

    #[test]
    fn a_site_reports_corruption_instead_of_taking_the_base_down() {
        let (_, parameters) = table(&partition(), &image(), Corruption::Error).unwrap();
        assert!(parameters.ends_with(&"01".repeat(32)));
    }

    #[test]
    fn the_two_sites_have_devices_of_their_own() {
        let names = SlotId::BOTH.map(|slot| device_name(Role::Site, slot));
        assert_eq!(names, ["bulkhead-site-a", "bulkhead-site-b"]);
        assert_eq!(device_name(Role::Base, SlotId::B), "bulkhead-base");
    }

    #[test]
    fn what_is_no_device_mapper_device_has_no_name() {
        assert_eq!(name_of("999999:0").unwrap(), None);
        assert_eq!(site_on(Path::new("/proc")).unwrap(), None);
        assert_eq!(site_on(Path::new("/nothing/here")).unwrap(), None);
    }

    #[test]
    fn refuses_images_that_cannot_be_in_the_slot() {
        let room = u64::try_from((16 << 20) - FOOTER_SIZE).unwrap();
        assert!(table(&partition(), &ImageInfo { size: Bytes(room), ..image() }, Corruption::Panic).is_ok());
        let too_big = table(&partition(), &ImageInfo { size: Bytes(room + 1), ..image() }, Corruption::Panic);
        assert!(too_big.unwrap_err().to_string().contains("exceed the partition"));
    }
}
