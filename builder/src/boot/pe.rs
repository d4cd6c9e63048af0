//! Reading PE32+ images (Microsoft PE and COFF specification, revision 11): EFI stubs, UKIs and GRUB images.
//!
//! Everything read here may come from a hostile file: each offset is checked against the length of the file before use, sections must
//! lie whole inside it and may not overlap. Only x86-64 is accepted, because nothing else boots here.

use formats::{Error, Result};

/// A PE image whose headers have been checked.
#[derive(Debug, Clone)]
pub struct Pe<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    /// Offset of the COFF file header (after the `PE\0\0` signature).
    pub coff: usize,
    /// Offset of the optional header.
    pub optional: usize,
    /// Offset of the first section header.
    pub section_table: usize,
    /// Bytes occupied by all headers, rounded up to the file alignment; at most the length of the file.
    pub headers_size: usize,
    /// Section addresses are multiples of this.
    pub section_alignment: u32,
    /// Section offsets in the file are multiples of this.
    pub file_alignment: u32,
    /// The certificate table: offset and length in the file; (0, 0) when the image is not signed.
    pub certificates: (usize, usize),
    /// The sections in the order of the section table.
    pub sections: Vec<Section>,
}

/// One section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Name, at most 8 bytes; bytes that are not printable ASCII are shown escaped.
    pub name: String,
    /// Bytes in memory; for data sections of a UKI the exact size of the content.
    pub virtual_size: u32,
    /// Address in memory, relative to the image.
    pub virtual_address: u32,
    /// Offset of the content in the file.
    pub raw_offset: u32,
    /// Bytes of content in the file.
    pub raw_size: u32,
}

impl<'a> Pe<'a> {
    /// Checks the headers of a whole file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        if !bytes.starts_with(b"MZ") {
            return Err(corrupt("it does not start with \"MZ\""));
        }
        let signature = to_usize(u32_at(bytes, 0x3c)?)?;
        if array_at::<4>(bytes, signature)? != *b"PE\0\0" {
            return Err(corrupt(format!("there is no PE signature at offset {signature}")));
        }
        let coff = offset(signature, 4)?;
        let machine = u16_at(bytes, coff)?;
        if machine != MACHINE_X86_64 {
            return Err(Error::unsupported(
                WHAT,
                format!("it is for machine {machine:#06x}, not {MACHINE_X86_64:#06x}"),
            ));
        }
        let optional = offset(coff, 20)?;
        let optional_size = usize::from(u16_at(bytes, offset(coff, 16)?)?);
        let magic = u16_at(bytes, optional)?;
        if magic != MAGIC_PE32_PLUS {
            return Err(Error::unsupported(
                WHAT,
                format!("optional header {magic:#06x} is not PE32+ ({MAGIC_PE32_PLUS:#06x})"),
            ));
        }
        let mut pe = Self {
            bytes,
            coff,
            optional,
            section_table: offset(optional, optional_size)?,
            headers_size: to_usize(u32_at(bytes, offset(optional, 60)?)?)?,
            section_alignment: alignment(u32_at(bytes, offset(optional, 32)?)?)?,
            file_alignment: alignment(u32_at(bytes, offset(optional, 36)?)?)?,
            certificates: (0, 0),
            sections: Vec::new(),
        };
        let directories = u32_at(bytes, offset(optional, 108)?)?;
        if directories <= CERTIFICATE_DIRECTORY || optional_size < 112 + 8 * (1 + 4) {
            return Err(Error::unsupported(
                WHAT,
                format!("it has {directories} data directories, no room for signatures"),
            ));
        }
        pe.read_sections()?;
        pe.read_certificates()?;
        Ok(pe)
    }

    /// Offset of the image checksum.
    pub fn checksum_field(&self) -> usize {
        self.optional + 64
    }

    /// Offset of the data directory entry of the certificate table.
    pub fn certificate_field(&self) -> usize {
        self.optional + 112 + 8 * 4
    }

    /// The content of the first section with this name, cut to its size in memory.
    pub fn content(&self, name: &str) -> Option<&'a [u8]> {
        let section = self.sections.iter().find(|section| section.name == name)?;
        let start = usize::try_from(section.raw_offset).ok()?;
        let length = usize::try_from(section.raw_size.min(section.virtual_size)).ok()?;
        self.bytes.get(start..start.checked_add(length)?)
    }

    /// The end of the last section (or of the headers) in the file.
    pub fn end_of_sections(&self) -> usize {
        let ends = self.sections.iter().map(|section| u64::from(section.raw_offset) + u64::from(section.raw_size));
        // OK to fall back: parse has checked that every section lies inside the file
        usize::try_from(ends.max().unwrap_or(0)).unwrap_or(0).max(self.headers_size)
    }

    fn read_sections(&mut self) -> Result<()> {
        let count = u16_at(self.bytes, offset(self.coff, 2)?)?;
        if count > MAX_SECTIONS {
            return Err(corrupt(format!("it claims {count} sections; the format allows {MAX_SECTIONS}")));
        }
        let table_end = offset(self.section_table, 40 * usize::from(count))?;
        if table_end > self.headers_size || self.headers_size > self.bytes.len() {
            let (headers, length) = (self.headers_size, self.bytes.len());
            return Err(corrupt(format!(
                "its section table ends at {table_end}, its headers at {headers}, the file at {length}"
            )));
        }
        for index in 0..usize::from(count) {
            let section = Section::read(self.bytes, offset(self.section_table, 40 * index)?)?;
            self.sections.push(section);
        }
        self.check_places()
    }

    /// Every section inside the file, after the headers, and no two over each other.
    fn check_places(&self) -> Result<()> {
        let mut places: Vec<&Section> = self.sections.iter().filter(|section| section.raw_size > 0).collect();
        places.sort_by_key(|section| section.raw_offset);
        let mut free = u64::try_from(self.headers_size).unwrap_or(u64::MAX);
        for section in places {
            let (start, size) = (u64::from(section.raw_offset), u64::from(section.raw_size));
            let name = &section.name;
            if start < free {
                return Err(corrupt(format!("section \"{name}\" at {start} overlaps what ends at {free}")));
            }
            free = start.saturating_add(size);
            if free > u64::try_from(self.bytes.len()).unwrap_or(0) {
                let length = self.bytes.len();
                return Err(corrupt(format!("section \"{name}\" ends at {free}, the file at {length}; it is cut off")));
            }
        }
        Ok(())
    }

    fn read_certificates(&mut self) -> Result<()> {
        let start = to_usize(u32_at(self.bytes, self.certificate_field())?)?;
        let length = to_usize(u32_at(self.bytes, offset(self.certificate_field(), 4)?)?)?;
        if length == 0 {
            return Ok(());
        }
        let end = offset(start, length)?;
        if start < self.end_of_sections() || end != self.bytes.len() || !start.is_multiple_of(8) {
            let size = self.bytes.len();
            return Err(corrupt(format!(
                "its certificate table ({start} to {end}) is not the end of the file ({size})"
            )));
        }
        self.certificates = (start, length);
        Ok(())
    }
}

impl Section {
    fn read(bytes: &[u8], at: usize) -> Result<Self> {
        let name = array_at::<8>(bytes, at)?;
        let used = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        Ok(Self {
            name: name.get(..used).unwrap_or_default().escape_ascii().to_string(),
            virtual_size: u32_at(bytes, offset(at, 8)?)?,
            virtual_address: u32_at(bytes, offset(at, 12)?)?,
            raw_size: u32_at(bytes, offset(at, 16)?)?,
            raw_offset: u32_at(bytes, offset(at, 20)?)?,
        })
    }
}

impl std::fmt::Display for Pe<'_> {
    /// One line per section for `inspect`, and one for the signature; no final line break.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for section in &self.sections {
            let (name, size, address) = (&section.name, section.virtual_size, section.virtual_address);
            writeln!(f, "{name:<8} {size:>10} B  at {address:#010x}")?;
        }
        match self.certificates.1 {
            0 => write!(f, "not signed"),
            length => write!(f, "certificate table of {length} B"),
        }
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or_else(|| corrupt(format!("it ends before the {N} bytes at offset {at}")))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn to_usize(number: u32) -> Result<usize> {
    usize::try_from(number).map_err(|_| corrupt("an offset is beyond this machine's memory"))
}

fn offset(start: usize, more: usize) -> Result<usize> {
    start.checked_add(more).ok_or_else(|| corrupt("an offset is beyond this machine's memory"))
}

fn alignment(number: u32) -> Result<u32> {
    if number.is_power_of_two() && number <= MAX_ALIGNMENT {
        return Ok(number);
    }
    Err(corrupt(format!("alignment {number} is not a power of two up to {MAX_ALIGNMENT}")))
}

fn corrupt(problem: impl Into<String>) -> Error {
    Error::corrupt(WHAT, problem)
}

const WHAT: &str = "PE image";
const MACHINE_X86_64: u16 = 0x8664;
const MAGIC_PE32_PLUS: u16 = 0x020b;
const CERTIFICATE_DIRECTORY: u32 = 4;
const MAX_SECTIONS: u16 = 96;
const MAX_ALIGNMENT: u32 = 64 << 10;

/// A stub of two sections with room for `room` more section headers, for tests.
///
/// # Panics
/// Never.
#[cfg(test)]
pub fn sample(room: usize) -> Vec<u8> {
    let mut out = vec![0; 0x600];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    let table = 0x40 + 24 + 0xf0;
    let headers = 0x200;
    put(0, b"MZ");
    put(0x3c, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    put(0x44, &MACHINE_X86_64.to_le_bytes());
    put(0x46, &2_u16.to_le_bytes());
    put(0x4c, &[0, 6, 0, 0, 9, 0, 0, 0]); // a symbol table, to be dropped
    put(0x54, &0xf0_u16.to_le_bytes());
    put(0x58, &MAGIC_PE32_PLUS.to_le_bytes());
    put(0x58 + 32, &0x200_u32.to_le_bytes());
    put(0x58 + 36, &0x200_u32.to_le_bytes());
    put(0x58 + 56, &0x2200_u32.to_le_bytes());
    put(0x58 + 60, &u32::try_from(headers).unwrap().to_le_bytes());
    put(0x58 + 108, &16_u32.to_le_bytes());
    for (index, name) in [b".text\0\0\0", b".sdmagic"].into_iter().enumerate() {
        let at = table + 40 * index;
        let index = u32::try_from(index).unwrap();
        put(at, name);
        for (field, value) in [0x1f0, 0x1000 * (index + 1), 0x200, 0x200 * (index + 1)].into_iter().enumerate() {
            put(at + 8 + 4 * field, &value.to_le_bytes());
        }
    }
    // Room is what is left of the headers: widen or narrow it with bytes that are in use.
    let used = table + 40 * (2 + room);
    if used < headers {
        out[used..headers].fill(0xcc);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sections_and_their_content() {
        let mut bytes = sample(1);
        bytes[0x400..0x406].copy_from_slice(b"marker");
        let pe = Pe::parse(&bytes).unwrap();
        assert_eq!(pe.sections.iter().map(|section| section.name.as_str()).collect::<Vec<_>>(), [".text", ".sdmagic"]);
        assert!(pe.content(".sdmagic").unwrap().starts_with(b"marker"));
        assert_eq!(pe.content(".sdmagic").unwrap().len(), 0x1f0);
        assert_eq!(pe.content(".linux"), None);
        assert!(pe.to_string().ends_with("not signed"));
    }

    #[test]
    fn refuses_files_cut_at_any_byte() {
        let bytes = sample(1);
        for length in 0..bytes.len() {
            assert!(Pe::parse(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn refuses_headers_that_lie() {
        let table = 0x40 + 24 + 0xf0;
        for (at, value, problem) in [
            (0x3c, vec![0xff; 4], "it ends before"),
            (0x40, b"NE\0\0".to_vec(), "no PE signature"),
            (0x44, vec![0x4c, 0x01], "machine 0x014c"),
            (0x46, vec![0xff, 0xff], "65535 sections"),
            (0x46, vec![20, 0], "section table ends"),
            (0x58, vec![0x0b, 0x01], "not PE32+"),
            (0x58 + 36, vec![3, 0, 0, 0], "alignment 3"),
            (0x58 + 60, vec![0, 0, 1, 0], "its headers at 65536"),
            (0x58 + 108, vec![4, 0, 0, 0], "no room for signatures"),
            (0x58 + 112 + 32, vec![0, 4, 0, 0, 8, 0, 0, 0], "certificate table"),
            (0x58 + 112 + 32, vec![0xff; 8], "certificate table"),
            (table + 16, vec![0xff; 4], "cut off"),
            (table + 40 + 20, vec![0, 3, 0, 0], "overlaps"),
            (table + 20, vec![0, 1, 0, 0], "overlaps"),
        ] {
            let mut bytes = sample(1);
            bytes[at..at + value.len()].copy_from_slice(&value);
            let text = Pe::parse(&bytes).unwrap_err().to_string();
            assert!(text.contains(problem), "offset {at:#x}: {text}");
        }
    }
}
