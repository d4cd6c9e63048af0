//! The `.modinfo` section of a kernel module (ELF64, little-endian: System V ABI, "ELF Header" and "Sections").
//!
//! Reads the headers and that one section, never the whole module; every offset is checked against the length of the file.

use crate::tree::Content;

/// What a module says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Modules that must be loaded first.
    pub depends: Vec<String>,
    /// Modules that should be loaded first, when they exist.
    pub before: Vec<String>,
    /// Modules that should be loaded after it, when they exist.
    pub after: Vec<String>,
    /// Patterns and names by which it is asked for.
    pub aliases: Vec<String>,
}

/// Reads `.modinfo` of the module in `content`. The error is a sentence without subject.
pub fn read(content: &Content) -> Result<ModuleInfo, String> {
    let range = |offset: u64, length: usize| {
        let bytes = content.read_range(offset, length).map_err(|cause| cause.to_string())?;
        if bytes.len() == length { Ok(bytes) } else { Err(format!("is truncated at {} bytes", content.length())) }
    };
    let header = range(0, 64)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Err("is not a 64-bit little-endian ELF file".to_owned());
    }
    let table = u64_at(&header, 0x28);
    let (entry, count, names) = (u16_at(&header, 0x3a), u16_at(&header, 0x3c), u16_at(&header, 0x3e));
    if entry != 64 || count > MAX_SECTIONS || names >= count {
        return Err(format!("has an unusable section table: {count} sections of {entry} bytes, names in {names}"));
    }
    let table = range(table, usize::from(count) * 64)?;
    let section = |index: u16| {
        let header = &table[usize::from(index) * 64..][..64];
        (u32_at(header, 0), u64_at(header, 0x18), u64_at(header, 0x20))
    };
    let bounded = |what: &str, (offset, length): (u64, u64)| {
        let small = usize::try_from(length).ok().filter(|length| *length <= MAX_SECTION);
        small.ok_or_else(|| format!("has {length} bytes of {what}")).and_then(|length| range(offset, length))
    };
    let (_, offset, length) = section(names);
    let names = bounded("section names", (offset, length))?;
    for index in 0..count {
        let (name, offset, length) = section(index);
        let name = usize::try_from(name).ok().and_then(|at| names.get(at..)).unwrap_or_default();
        if name.starts_with(b".modinfo\0") {
            return Ok(parse(&bounded("module information", (offset, length))?));
        }
    }
    Err("has no .modinfo section".to_owned())
}

/// `KEY=VALUE` texts separated by NULs.
fn parse(bytes: &[u8]) -> ModuleInfo {
    let mut info = ModuleInfo::default();
    for text in bytes.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok()) {
        match text.split_once('=') {
            Some(("depends", names)) => {
                info.depends.extend(names.split(',').filter(|name| !name.is_empty()).map(super::normal));
            }
            Some(("alias", pattern)) => info.aliases.push(pattern.to_owned()),
            Some(("softdep", text)) => {
                let mut after = false;
                for word in text.split_whitespace() {
                    match word {
                        "pre:" => after = false,
                        "post:" => after = true,
                        name if after => info.after.push(super::normal(name)),
                        name => info.before.push(super::normal(name)),
                    }
                }
            }
            _ => {}
        }
    }
    info
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Largest number of sections that is looked at; Debian's largest module has a few hundred.
const MAX_SECTIONS: u16 = 16_384;
/// Largest `.modinfo` or section name table; drivers with thousands of aliases stay below 1 MiB.
const MAX_SECTION: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dependencies_of_every_kind() {
        let info = parse(
            b"depends=dm-bufio,dm-mod\0softdep=pre: crc32c post: late-one\0alias=fs-ext4\0\0license=GPL\0depends=\0",
        );
        assert_eq!(info.depends, ["dm_bufio", "dm_mod"]);
        assert_eq!((info.before, info.after), (vec!["crc32c".to_owned()], vec!["late_one".to_owned()]));
        assert_eq!(info.aliases, ["fs-ext4"]);
    }

    #[test]
    fn never_panics_on_damaged_headers() {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        for at in 0x28..0x40 {
            for value in [1, 0x40, 0x7f, 0xff] {
                let mut damaged = file.clone();
                damaged[at] = value;
                assert!(read(&Content::Bytes(damaged.into())).is_err());
            }
        }
        assert!(read(&Content::Bytes(file[..20].into())).unwrap_err().contains("truncated"));
        assert!(read(&Content::Bytes(vec![b'x'; 64].into())).unwrap_err().contains("ELF"));
    }
}
