//! Signatures on what firmware and GRUB load: the GRUB image in the ESP and the boot files inside a base slot.

use std::fs::File;
use std::os::unix::fs::FileExt;

use ext4_view::{Ext4, Ext4Read};
use formats::Bytes;
use formats::fat::Volume;
use formats::manifest::ImageInfo;
use formats::verity::BLOCK_SIZE;

use super::{Report, Trust, chain};
use crate::boot::{authenticode, grub, openpgp, uki};
use crate::layout::Region;
use crate::opened::OpenedImage;
use crate::{Error, Result};

/// The ESP holds GRUB, signed by the boot key, and nothing else.
pub(super) fn esp(image: &OpenedImage, trust: &Trust, report: &mut Report) -> Result<()> {
    let region = image.region("esp")?;
    let mut loader = false;
    let read = files(image, &region, &mut |path, content| {
        let name = format!("esp {path}");
        if path == LOADER {
            loader = true;
            report.add(name, authenticode::verify(content, trust.certificate()).map(|()| SIGNED.into()));
        } else {
            report.fail(name, "does not belong there: the ESP holds the boot loader only");
        }
    });
    if let Err(problem) = read {
        report.fail("esp", chain(&problem));
    } else if !loader {
        report.fail("esp", format!("has no {LOADER}"));
    }
    Ok(())
}

/// Shows `visit` path and content of every file of the FAT volume in `region`, one at a time: an image from anywhere may claim many
/// large ones.
pub(crate) fn files(image: &OpenedImage, region: &Region, visit: &mut dyn FnMut(&str, &[u8])) -> formats::Result<()> {
    let mut volume = Volume::open(|offset: Bytes, buffer: &mut [u8]| {
        let end = offset.0.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > region.size.0) {
            return Err(formats::Error::corrupt(FAT, format!("byte {offset} is behind its end")));
        }
        let read = image.file.read_exact_at(buffer, region.start.0 + offset.0);
        read.map_err(|cause| formats::Error::corrupt(FAT, format!("it cannot be read: {cause}")))
    })?;
    let found = volume.files()?;
    if found.iter().map(|file| file.size.0).sum::<u64>() > region.size.0 {
        return Err(formats::Error::corrupt(FAT, "its files together are larger than itself"));
    }
    for file in &found {
        visit(&file.path, &volume.read_file(file)?);
    }
    Ok(())
}

/// The boot files of a base whose blocks are already known to be good.
pub(super) fn base(
    image: &OpenedImage,
    region: &Region,
    info: &ImageInfo,
    trust: &Trust,
    report: &mut Report,
) -> Result<()> {
    let reader = Slot {
        file: image.file.try_clone().map_err(Error::io("read", &image.path))?,
        start: region.start.0,
        size: info.data_blocks * BLOCK_SIZE as u64,
    };
    let name = format!("slot {}", region.name);
    let fs = match Ext4::load(Box::new(reader)) {
        Ok(fs) => fs,
        Err(problem) => {
            report.fail(name, format!("its file system cannot be read: {problem}"));
            return Ok(());
        }
    };
    let mut places = None;
    for file in ["uki.efi", "slot.env"] {
        let check = format!("{name} /boot/{file}");
        let path = format!("/boot/{file}");
        match (fs.read(path.as_str()), fs.read(format!("{path}.sig").as_str())) {
            (Ok(bytes), Ok(signature)) => {
                report.add(check.clone(), openpgp::verify(trust.openpgp(), &bytes, &signature).map(|()| SIGNED.into()));
                if file == "uki.efi" {
                    let result =
                        authenticode::verify(&bytes, trust.certificate()).map(|()| "Secure Boot signature".into());
                    report.add(check, result);
                    places = uki::places(&bytes).ok();
                } else {
                    let named = places.is_some_and(|places| grub::names_places(&bytes, &places));
                    let problem =
                        "does not say where kernel and initrd are in /boot/uki.efi; BIOS machines cannot start it";
                    report.add(check, if named { Ok(PLACES.into()) } else { Err(Error::Verification(problem.into())) });
                }
            }
            (Err(problem), _) | (_, Err(problem)) => report.fail(check, problem.to_string()),
        }
    }
    Ok(())
}

/// The file system of a slot inside the image file.
struct Slot {
    file: File,
    start: u64,
    size: u64,
}

impl Ext4Read for Slot {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        let end = start_byte.saturating_add(dst.len() as u64);
        if end > self.size {
            return Err(format!("byte {end} is behind the end of the slot's file system").into());
        }
        Ok(self.file.read_exact_at(dst, self.start + start_byte)?)
    }
}

/// The path every UEFI firmware starts from removable media.
const LOADER: &str = "EFI/BOOT/BOOTX64.EFI";
const FAT: &str = "FAT volume";
const PLACES: &str = "names the places of kernel and initrd";
const SIGNED: &str = "signed by the boot key";
