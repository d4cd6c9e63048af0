//! A slot: its signed footer, and the hash tree the footer's manifest binds it to.
//!
//! Order matters: signature over the exact bytes, then parse, then everything else. Sizes, salt and root hash come from the signed
//! manifest only; the superblock in front of the tree is never read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use formats::boot_report::Content;
use formats::footer::{self, FOOTER_SIZE, Footer};
use formats::manifest::{ImageInfo, Manifest};
use formats::signature::VerifiedManifest;
use formats::trust::{Role, TrustStore};
use formats::{Bytes, Digest};

use crate::config::Build;
use crate::disk::Partition;
use crate::error::{At, Doing, Error, Result};
use crate::machine;
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

/// Refuses a base other than the one this program belongs to: kernel and root file system are never mixed.
pub fn check_base(manifest: &Manifest, build: &Build) -> Result<()> {
    if manifest.build_id == build.build_id && manifest.product == build.product {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "kernel and slot do not belong together: this is {} {} (build {}), the slot holds {} {} (build {})",
        build.product,
        build.version,
        build.build_id.short(),
        manifest.product,
        manifest.version,
        manifest.build_id.short()
    )))
}

/// Refuses a site for another product or for another base.
pub fn check_site(site: &Manifest, base: &Manifest) -> Result<()> {
    if site.product != base.product {
        return Err(Error::Refused(format!("it is for product \"{}\", this is \"{}\"", site.product, base.product)));
    }
    match &site.requires.base {
        Some(needed) if !needed.matches(&base.version) => Err(Error::Refused(format!(
            "{} {} needs base {needed}, this is base {}",
            site.name, site.version, base.version
        ))),
        _ => Ok(()),
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
    let mounted = machine::mount_verified(Path::new(&format!("/dev/dm-{minor}")), target);
    if mounted.is_err() {
        // The first error is the one to report; a name left over only hinders the other slot.
        drop(device_mapper::remove(name));
    }
    mounted
}

/// What is mounted, for the boot report.
pub fn content(verified: &VerifiedManifest) -> Content {
    let manifest = verified.manifest();
    Content {
        name: manifest.name.clone(),
        version: manifest.version.to_string(),
        build_id: manifest.build_id,
        sequence: manifest.sequence,
        verified: true,
        signers: verified.signers().iter().map(|signer| signer.name.clone()).collect(),
    }
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
    fn refuses_images_that_cannot_be_in_the_slot() {
        let room = u64::try_from((16 << 20) - FOOTER_SIZE).unwrap();
        assert!(table(&partition(), &ImageInfo { size: Bytes(room), ..image() }, Corruption::Panic).is_ok());
        let too_big = table(&partition(), &ImageInfo { size: Bytes(room + 1), ..image() }, Corruption::Panic);
        assert!(too_big.unwrap_err().to_string().contains("exceed the partition"));
    }
}
