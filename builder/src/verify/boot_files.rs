//! Signatures on what firmware and GRUB load: the GRUB image in the ESP and the boot files inside a base slot.

use std::fs::File;
use std::os::unix::fs::FileExt;

use ext4_view::{Ext4, Ext4Read};
use formats::manifest::ImageInfo;
use formats::verity::BLOCK_SIZE;

use super::{Report, Trust, chain};
use crate::boot::{authenticode, openpgp};
use crate::layout::Region;
use crate::opened::OpenedImage;
use crate::{Error, Result};

/// The ESP holds GRUB, signed by the boot key, and nothing else.
pub(super) fn esp(image: &OpenedImage, trust: &Trust, report: &mut Report) -> Result<()> {
    let region = image.region("esp")?;
    let bytes = image.read(region.start, region.size.0)?;
    let files = match files(&bytes) {
        Ok(files) => files,
        Err(problem) => {
            report.fail("esp", chain(&problem));
            return Ok(());
        }
    };
    for (path, content) in &files {
        if path == LOADER {
            report
                .add(format!("esp {path}"), authenticode::verify(content, trust.certificate()).map(|()| SIGNED.into()));
        } else {
            report.fail(format!("esp {path}"), "does not belong there: the ESP holds the boot loader only");
        }
    }
    if !files.iter().any(|(path, _)| path == LOADER) {
        report.fail("esp", format!("has no {LOADER}"));
    }
    Ok(())
}

/// Every file of a FAT volume and its content.
pub(crate) fn files(volume: &[u8]) -> formats::Result<Vec<(String, Vec<u8>)>> {
    let mut volume = formats::fat::open_slice(volume)?;
    let found = volume.files()?;
    found.into_iter().map(|file| Ok((file.path.clone(), volume.read_file(&file)?))).collect()
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
    for file in ["uki.efi", "vmlinuz", "initrd", "slot.env"] {
        let check = format!("{name} /boot/{file}");
        let path = format!("/boot/{file}");
        match (fs.read(path.as_str()), fs.read(format!("{path}.sig").as_str())) {
            (Ok(bytes), Ok(signature)) => {
                report.add(check.clone(), openpgp::verify(trust.openpgp(), &bytes, &signature).map(|()| SIGNED.into()));
                if file == "uki.efi" {
                    let result =
                        authenticode::verify(&bytes, trust.certificate()).map(|()| "Secure Boot signature".into());
                    report.add(check, result);
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
const SIGNED: &str = "signed by the boot key";
