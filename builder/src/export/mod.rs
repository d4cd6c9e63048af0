//! Envelopes for hypervisors: the finished raw disk, wrapped so that VirtualBox, ESXi, Hyper-V, Azure or libvirt take it as it is.
//!
//! Guarantees: the guest sees exactly the raw disk's bytes; the same disk and description give the same file (no clock, no chance);
//! the raw disk is streamed once with bounded memory and its holes are skipped; a file under its final name is always whole
//! ([`partial`]). Every format is one file of this module: [`raw`], [`qcow2`], [`vmdk`], [`ova`], [`vhd`].
//!
//! Leaves to others: what is on the disk (`build`), and where the files go and what they are called in the end (`build`, `cli`).

mod geometry;
mod ova;
mod ovf;
mod partial;
mod qcow2;
mod raw;
mod vhd;
mod vmdk;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use formats::units::Bytes;

use crate::{Error, Result};
use partial::Partial;
use raw::RawImage;

/// A disk image format the builder can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// The disk byte for byte, holes kept: for `dd`, bare metal and everything else.
    Raw,
    /// QEMU copy-on-write version 3, compressed: KVM, Proxmox, OpenStack.
    Qcow2,
    /// An OVF package in one file (descriptor, manifest, VMDK): ESXi, vCenter, Workstation, VirtualBox, Nutanix.
    Ova,
    /// Fixed VHD: Azure and Hyper-V generation 1.
    Vhd,
    /// Stream-optimised VMDK alone: `govc import.vmdk`, Workstation.
    Vmdk,
}

/// What an envelope says about the appliance inside. Everything that could come from a clock or from chance is here instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Short product name for file names and identifiers: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// The product's name for people: any text without control characters.
    pub title: String,
    /// The version of the base in the image.
    pub version: semver::Version,
    /// The recipe's seed, from which identifiers are derived.
    pub seed: String,
    /// Memory of the virtual machine in MiB, at least 1.
    pub memory_mib: u32,
    /// Processors of the virtual machine, at least 1.
    pub cpus: u32,
    /// Seconds since 1970 (UTC), from the recipe.
    pub timestamp: i64,
}

/// What to do when the target is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse and leave it alone.
    Refuse,
    /// Replace it, in one step, once the new file is whole (`--force`).
    Replace,
}

/// Writes the raw disk `raw` as `format` to `target`.
///
/// The work happens in `TARGET.partial`, which becomes `target` by a rename after it reached the disk, and vanishes on any error.
///
/// # Errors
/// [`Error::Input`] when the disk does not fit the format, [`Error::Refused`] when `target` exists, [`Error::Io`] with the path
/// otherwise; [`Error::Environment`] when `qemu-img` is needed and missing.
pub fn write(format: Format, raw: &Path, target: &Path, description: &Description, existing: Existing) -> Result<()> {
    description.check()?;
    let image = RawImage::open(raw, format)?;
    let partial = Partial::create(target, existing)?;
    match format {
        Format::Raw => image.copy_into(&partial)?,
        Format::Qcow2 => qcow2::write(&image, &partial)?,
        Format::Ova => ova::write(&image, &partial, description)?,
        Format::Vhd => vhd::write(&image, &partial, description)?,
        Format::Vmdk => {
            vmdk::write(&image, &partial, &Format::Vmdk.file_name(&description.stem()))?;
        }
    }
    partial.commit()
}

impl Format {
    /// Every format, in the order of the help text.
    pub const ALL: [Self; 5] = [Self::Raw, Self::Qcow2, Self::Ova, Self::Vhd, Self::Vmdk];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Ova => "ova",
            Self::Vhd => "vhd",
            Self::Vmdk => "vmdk",
        }
    }

    /// The file name of an image called `stem`: `stem.img` for the raw disk, else `stem.FORMAT`.
    pub fn file_name(self, stem: &str) -> String {
        match self {
            Self::Raw => format!("{stem}.img"),
            other => format!("{stem}.{other}"),
        }
    }

    /// What the disk's size must be a multiple of. Azure takes only whole MiB, vSphere rounds others and then complains.
    const fn size_unit(self) -> Bytes {
        match self {
            Self::Raw | Self::Qcow2 => Bytes(512),
            Self::Ova | Self::Vhd | Self::Vmdk => Bytes::MIB,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|format| format.name()).collect();
            Error::input(format!("unknown image format \"{}\"; use one of {}", text.escape_debug(), names.join(", ")))
        })
    }
}

impl Description {
    /// `name-version`, the stem of every file name inside an envelope.
    pub fn stem(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// Refuses what no envelope could carry.
    pub(crate) fn check(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !self.name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !self.name.chars().all(plain) {
            let name = self.name.escape_debug();
            return Err(Error::input(format!(
                "product name \"{name}\" cannot be part of a file name; start with a letter or digit and use only letters, \
                 digits, \".\", \"_\" and \"-\""
            )));
        }
        // The longest name made of it is STEM-disk1.vmdk, and a ustar member name has 100 bytes.
        let length = self.stem().len();
        if length > MAX_STEM {
            return Err(Error::input(format!(
                "product name and version \"{}\" are {length} bytes long; an OVA allows at most {MAX_STEM}",
                self.stem()
            )));
        }
        if self.title.chars().any(char::is_control) {
            let title = self.title.escape_debug();
            return Err(Error::input(format!(
                "title \"{title}\" has a control character; XML cannot carry it, remove it"
            )));
        }
        if self.cpus == 0 || self.memory_mib == 0 {
            let (cpus, memory) = (self.cpus, self.memory_mib);
            return Err(Error::input(format!(
                "a virtual machine with {cpus} processors and {memory} MiB of memory cannot start; use at least 1 of each"
            )));
        }
        Ok(())
    }
}

const MAX_STEM: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Description {
        Description {
            name: "demo".into(),
            title: "Demo".into(),
            version: semver::Version::new(1, 2, 3),
            seed: "seed".into(),
            memory_mib: 512,
            cpus: 1,
            timestamp: 1_700_000_000,
        }
    }

    #[test]
    fn every_format_parses_its_own_name() {
        for format in Format::ALL {
            assert_eq!(format.name().parse::<Format>().unwrap(), format);
        }
        assert_eq!(Format::Raw.file_name(&sample().stem()), "demo-1.2.3.img");
        assert_eq!(Format::Ova.file_name(&sample().stem()), "demo-1.2.3.ova");
    }

    #[test]
    fn refuses_an_unknown_format_and_names_the_known_ones() {
        for text in ["", "RAW", "vdi", "raw,qcow2"] {
            let error = text.parse::<Format>().unwrap_err();
            assert_eq!(error.exit_code(), 3);
            assert!(error.to_string().ends_with("use one of raw, qcow2, ova, vhd, vmdk"), "{error}");
        }
    }

    #[test]
    fn refuses_descriptions_no_envelope_can_carry() {
        type Spoil = fn(&mut Description);
        let cases: [(&str, Spoil); 7] = [
            ("cannot be part of a file name", |d| d.name = String::new()),
            ("cannot be part of a file name", |d| d.name = "../demo".into()),
            ("cannot be part of a file name", |d| d.name = "Größe".into()),
            ("at most 80", |d| d.name = "x".repeat(90)),
            ("control character", |d| d.title = "two\nlines".into()),
            ("0 processors", |d| d.cpus = 0),
            ("0 MiB", |d| d.memory_mib = 0),
        ];
        assert!(sample().check().is_ok());
        for (wanted, spoil) in cases {
            let mut description = sample();
            spoil(&mut description);
            let error = description.check().unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
