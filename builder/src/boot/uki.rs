//! Unified kernel images (UAPI specification UKI): an EFI stub with kernel, initrd, command line and names as additional sections.
//!
//! One signature over the result covers all of it. Nothing of the stub moves: new section headers go into the free room of its header
//! block, the contents behind its last section. Without room the stub is refused rather than rewritten. The stub's symbol table (for
//! debuggers) is dropped, because it would have to lie behind the sections.

use std::fmt;

use crate::boot::pe::Pe;
use crate::{Error, Result};

/// What goes into a UKI.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// `.osrel`: the os-release file of the system.
    pub os_release: &'a [u8],
    /// `.cmdline`: the kernel command line, without a final line break.
    pub command_line: &'a str,
    /// `.uname`: the kernel release, as `uname -r` prints it.
    pub kernel_release: &'a str,
    /// `.initrd`: the initial RAM file system.
    pub initrd: &'a [u8],
    /// `.linux`: the kernel, an EFI application itself.
    pub kernel: &'a [u8],
}

/// Where GRUB finds what a BIOS machine needs in a UKI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// `.linux`.
    pub kernel: BlockList,
    /// `.initrd`, with zeros behind it up to the end of its last sector, which the kernel skips.
    pub initrd: BlockList,
}

/// A run of sectors of 512 bytes of a file, shown as GRUB reads it: `first+count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockList {
    /// The first sector.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

impl fmt::Display for BlockList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.first, self.count)
    }
}

/// The places in a finished UKI. `Format` when it is none: a section is missing or does not begin with a sector.
pub fn places(image: &[u8]) -> Result<Places> {
    let what = "the UKI";
    let pe = Pe::parse(image).map_err(Error::format(what))?;
    let place = |name: &str| {
        let section = pe.sections.iter().find(|section| section.name == name && section.raw_size > 0);
        let whole = section.filter(|section| section.raw_offset.is_multiple_of(SECTOR));
        let place = whole
            .map(|section| BlockList { first: section.raw_offset / SECTOR, count: section.raw_size.div_ceil(SECTOR) });
        let problem = || formats::Error::corrupt("PE image", format!("it has no \"{name}\" that begins with a sector"));
        place.ok_or_else(|| Error::format(what)(problem()))
    };
    Ok(Places { kernel: place(".linux")?, initrd: place(".initrd")? })
}

/// Joins stub and parts into an unsigned UKI.
///
/// # Errors
/// `Format` when the stub is not a usable PE image, `Input` when it has no room for the sections or already has one of them, or when
/// a part is empty or the whole is beyond 1 GiB.
pub fn assemble(stub: &[u8], parts: &Parts<'_>) -> Result<Vec<u8>> {
    // The kernel is last: it is the one section that a later stub may want to grow in memory.
    let sections: [(&str, &[u8]); 5] = [
        (".osrel", parts.os_release),
        (".cmdline", parts.command_line.as_bytes()),
        (".uname", parts.kernel_release.as_bytes()),
        (".initrd", parts.initrd),
        (".linux", parts.kernel),
    ];
    let pe = Pe::parse(stub).map_err(Error::format("the PE stub of the UKI"))?;
    check(&pe, parts, &sections)?;
    append(&pe, &sections).ok_or_else(|| Error::input("the UKI is beyond 1 GiB; its initrd or kernel is not one"))
}

fn check(pe: &Pe<'_>, parts: &Parts<'_>, sections: &[(&str, &[u8])]) -> Result<()> {
    let used = pe.section_table + 40 * pe.sections.len();
    let first = pe.sections.iter().filter(|section| section.raw_size > 0).map(|section| section.raw_offset).min();
    let end =
        first.and_then(|first| usize::try_from(first).ok()).map_or(pe.headers_size, |first| first.min(pe.headers_size));
    let free = pe.bytes.get(used..end).unwrap_or_default();
    let room = free.iter().take_while(|byte| **byte == 0).count() / 40;
    if room < sections.len() {
        let needed = sections.len();
        return Err(Error::input(format!(
            "the PE stub has room for {room} more sections, {needed} needed; use the stub of package systemd-boot-efi"
        )));
    }
    for (name, content) in sections {
        if pe.sections.iter().any(|section| section.name == *name) {
            return Err(Error::input(format!(
                "the PE stub has a section \"{name}\" already; it is a finished UKI, not a stub"
            )));
        }
        if content.is_empty() {
            return Err(Error::input(format!("section \"{name}\" of the UKI is empty")));
        }
    }
    if parts.command_line.contains(['\n', '\0']) {
        return Err(Error::input("the kernel command line has a line break or zero byte in it"));
    }
    Ok(())
}

/// The stub's bytes with headers patched and sections behind them; `None` when an address leaves [`LIMIT`].
fn append(pe: &Pe<'_>, sections: &[(&str, &[u8])]) -> Option<Vec<u8>> {
    let file_alignment = u64::from(pe.file_alignment.max(SECTOR));
    let page = u64::from(pe.section_alignment.max(4096));
    let stub = pe.bytes.get(..pe.end_of_sections())?;
    let total: usize = sections.iter().map(|(_, content)| content.len() + 4096).sum();
    let mut out = Vec::with_capacity(stub.len().checked_add(total)?);
    out.extend_from_slice(stub);
    pad(&mut out, file_alignment)?;
    let ends = pe
        .sections
        .iter()
        .map(|section| u64::from(section.virtual_address) + u64::from(section.virtual_size.max(section.raw_size)));
    let mut address = ends.max().unwrap_or(page).next_multiple_of(page);
    let mut added: u32 = 0;
    for (index, (name, content)) in sections.iter().enumerate() {
        let (start, length) = (limited(out.len())?, limited(content.len())?);
        out.extend_from_slice(content);
        pad(&mut out, file_alignment)?;
        let raw_length = limited(out.len())?.checked_sub(start)?;
        let header = header(name, length, u32::try_from(address).ok()?, raw_length, start);
        put(&mut out, pe.section_table + 40 * (pe.sections.len() + index), &header);
        added = added.checked_add(raw_length)?;
        address = (address + u64::from(length)).next_multiple_of(page);
    }
    let count = u16::try_from(pe.sections.len() + sections.len()).ok()?;
    put(&mut out, pe.coff + 2, &count.to_le_bytes());
    put(&mut out, pe.coff + 8, &[0; 8]); // symbol table and its length
    let initialized = u32::from_le_bytes(*pe.bytes.get(pe.optional + 8..)?.first_chunk()?);
    put(&mut out, pe.optional + 8, &initialized.checked_add(added)?.to_le_bytes());
    put(&mut out, pe.optional + 56, &u32::try_from(address).ok()?.to_le_bytes()); // size of the image in memory
    put(&mut out, pe.checksum_field(), &[0; 4]);
    put(&mut out, pe.certificate_field(), &[0; 8]);
    Some(out)
}

/// A section header (PE specification, section 4): initialised data, readable.
fn header(name: &str, virtual_size: u32, address: u32, raw_size: u32, raw_offset: u32) -> [u8; 40] {
    let mut out = [0; 40];
    for (to, from) in out.iter_mut().zip(name.bytes().take(8)) {
        *to = from;
    }
    for (index, field) in [virtual_size, address, raw_size, raw_offset].into_iter().enumerate() {
        put(&mut out, 8 + 4 * index, &field.to_le_bytes());
    }
    put(&mut out, 36, &0x4000_0040_u32.to_le_bytes());
    out
}

fn pad(out: &mut Vec<u8>, unit: u64) -> Option<()> {
    out.resize(out.len().checked_next_multiple_of(usize::try_from(unit).ok()?)?, 0);
    Some(())
}

/// Copies `bytes` to an offset that the checks of [`Pe::parse`] have shown to be inside.
fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(target) = out.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
        target.copy_from_slice(bytes);
    }
}

fn limited(length: usize) -> Option<u32> {
    u32::try_from(length).ok().filter(|length| *length <= LIMIT)
}

/// GRUB counts in these.
const SECTOR: u32 = 512;
/// A UKI this large does not load: firmware has to read it into memory below 4 GiB.
const LIMIT: u32 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::pe::sample;

    const PARTS: Parts<'_> = Parts {
        os_release: b"ID=demo\n",
        command_line: "panic=5 gpt",
        kernel_release: "6.1.0",
        initrd: &[1; 5000],
        kernel: &[2; 9000],
    };

    /// A sample with its headers and sections moved back, so that there is room for `room` more headers.
    fn stub(room: usize) -> Vec<u8> {
        let mut bytes = sample(0);
        let table = 0x40 + 24 + 0xf0;
        let shift = 0x400;
        let mut out = bytes[..table + 80].to_vec();
        out.resize(table + 80 + 40 * room, 0);
        out.resize(0x200 + shift, 0xcc);
        out.extend(bytes.drain(0x200..));
        out[0x58 + 60..0x58 + 64].copy_from_slice(&u32::try_from(0x200 + shift).unwrap().to_le_bytes());
        for index in 0..2_usize {
            let at = table + 40 * index + 20;
            let offset = u32::try_from(0x200 * (index + 1) + shift).unwrap();
            out[at..at + 4].copy_from_slice(&offset.to_le_bytes());
        }
        out
    }

    #[test]
    fn sections_read_back_behind_the_stubs_own() {
        let stub = stub(5);
        let bytes = assemble(&stub, &PARTS).unwrap();
        assert_eq!(bytes, assemble(&stub, &PARTS).unwrap());
        let pe = Pe::parse(&bytes).unwrap();
        assert_eq!(pe.content(".osrel"), Some(PARTS.os_release));
        assert_eq!(pe.content(".cmdline"), Some(PARTS.command_line.as_bytes()));
        assert_eq!(pe.content(".uname"), Some(PARTS.kernel_release.as_bytes()));
        assert_eq!(pe.content(".initrd"), Some(PARTS.initrd));
        assert_eq!(pe.content(".linux"), Some(PARTS.kernel));
        let mut end = 0;
        for section in &pe.sections {
            assert!(section.virtual_address >= end, "{section:?}");
            assert!(section.virtual_address.is_multiple_of(4096), "{section:?}");
            end = section.virtual_address + section.virtual_size;
        }
        assert_eq!(&bytes[0x4c..0x54], &[0; 8], "the symbol table is still named");
        assert_eq!(bytes.len(), pe.end_of_sections());
    }

    #[test]
    fn places_are_the_sectors_of_kernel_and_initrd() {
        let image = assemble(&stub(5), &PARTS).unwrap();
        let places = places(&image).unwrap();
        for (place, content) in [(places.kernel, PARTS.kernel), (places.initrd, PARTS.initrd)] {
            let start = place.first as usize * 512;
            let found = &image[start..start + place.count as usize * 512];
            assert!(found.starts_with(content) && found.len() < content.len() + 512, "{place}");
            assert!(found[content.len()..].iter().all(|byte| *byte == 0), "{place}");
        }
        assert_eq!(BlockList { first: 3, count: 20 }.to_string(), "3+20");
    }

    #[test]
    fn an_image_without_kernel_has_no_places() {
        let text = super::places(&stub(5)).unwrap_err();
        let text = std::error::Error::source(&text).unwrap().to_string();
        assert!(text.contains("no \".linux\" that begins with a sector"), "{text}");
    }

    #[test]
    fn refuses_a_stub_without_room() {
        for room in 0..5 {
            let text = assemble(&stub(room), &PARTS).unwrap_err().to_string();
            assert!(text.contains(&format!("has room for {room} more sections, 5 needed")), "{text}");
        }
    }

    #[test]
    fn refuses_finished_ukis_empty_parts_and_things_that_are_no_stub() {
        let stub = stub(12);
        let uki = assemble(&stub, &PARTS).unwrap();
        assert!(assemble(&uki, &PARTS).unwrap_err().to_string().contains("has a section \".osrel\" already"));
        let empty = Parts { initrd: &[], ..PARTS };
        assert!(assemble(&stub, &empty).unwrap_err().to_string().contains("\".initrd\" of the UKI is empty"));
        let broken = Parts { command_line: "a\nb", ..PARTS };
        assert!(assemble(&stub, &broken).unwrap_err().to_string().contains("line break"));
        assert_eq!(assemble(b"\x7fELF", &PARTS).unwrap_err().exit_code(), 3);
    }
}
