//! One slot: footer, signature, superblock, every block of file system and hash tree, and the unused rest.

use std::os::unix::fs::FileExt;

use formats::SlotId;
use formats::footer::FOOTER_SIZE;
use formats::manifest::{ImageInfo, Manifest};
use formats::trust::{Role, TrustStore};
use formats::verity::{Block, Checker};

use super::{Report, Trust, boot_files, chain, first_nonzero};
use crate::layout::Region;
use crate::opened::OpenedImage;
use crate::{Error, Result};

/// Checks the slot in partition `label`. An empty slot is fine when it is really empty. True for a slot that could start: signed, and
/// every block as signed.
pub(super) fn check(
    image: &OpenedImage,
    label: &str,
    id: SlotId,
    trust: &Trust,
    store: Option<&TrustStore>,
    in_use: bool,
    report: &mut Report,
) -> Result<bool> {
    let region = image.region(label)?;
    let name = format!("slot {label}");
    let footer = match image.footer(&region)? {
        Ok(footer) => footer,
        Err(problem) => {
            match first_nonzero(image, region.start.0, region.end().0)? {
                None if id == SlotId::B || label.starts_with("site") => report.good(name, "empty"),
                None => report.differs(name, "empty: there is nothing to boot", in_use),
                Some(_) => report.differs(name, chain(&problem), in_use),
            }
            return Ok(false);
        }
    };
    let role = if label.starts_with("site") { Role::Site } else { Role::Base };
    // Without a believable record the product is taken from the footer itself: its signature still has to hold.
    let own = Manifest::parse(&footer.manifest).and_then(|manifest| trust.store(&manifest.product));
    let store = store.cloned().map_or(own, Ok);
    let verified = match store.and_then(|store| footer.verify(&store, role)) {
        Ok(verified) => verified,
        Err(problem) => {
            report.fail(format!("{name} signature"), chain(&problem));
            return Ok(false);
        }
    };
    let manifest = verified.manifest();
    report.good(format!("{name} signature"), format!("{} {} {}", manifest.kind, manifest.name, manifest.version));
    if let Some(info) = &manifest.image {
        return blocks(image, &region, info, trust, report);
    }
    report.fail(name, "its manifest describes no image");
    Ok(false)
}

fn blocks(image: &OpenedImage, region: &Region, info: &ImageInfo, trust: &Trust, report: &mut Report) -> Result<bool> {
    let name = format!("slot {}", region.name);
    let used = info.size.0;
    if used > region.size.0 - FOOTER_SIZE as u64 {
        report.fail(name, format!("its manifest claims {} bytes, more than the partition has", info.size.0));
        return Ok(false);
    }
    let parameters = info.parameters();
    let read = |index: u64, buffer: &mut Block| {
        let offset = region.start.0 + index * buffer.len() as u64;
        image.file.read_exact_at(buffer, offset).map_err(Error::io("read", &image.path))
    };
    let fault = match Checker::new(&parameters, info.root_hash) {
        Ok(checker) => checker.run(read)?.map(|fault| fault.to_string()),
        Err(problem) => Some(chain(&problem)),
    };
    let sound = fault.is_none();
    match fault {
        None => report.good(format!("{name} blocks"), format!("root hash {}", info.root_hash.short())),
        Some(fault) => report.fail(format!("{name} blocks"), fault),
    }
    let footer = region.end().0 - FOOTER_SIZE as u64;
    match first_nonzero(image, region.start.0 + used, footer)? {
        None => report.good(format!("{name} unused rest"), "all zero"),
        Some(at) => report.fail(format!("{name} unused rest"), format!("byte {at} of the disk is not zero")),
    }
    // Reading files only makes sense from a file system that is whole.
    if sound && region.name.starts_with("base") {
        boot_files::base(image, region, info, trust, report)?;
    }
    Ok(sound)
}
