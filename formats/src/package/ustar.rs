//! The tar header of one member (POSIX.1-2017 `pax`, "ustar Interchange Format").
//!
//! A header says only a name and a length here; everything else is fixed: a plain file, mode 0644, owner 0, time 0, as
//! `tar --format=ustar --owner=0 --group=0 --numeric-owner --mode=0644 --mtime=@0` writes it. A header that differs from the one
//! this module writes in a single bit is refused, so two readers cannot disagree about an archive.

use crate::error::Damage;
use crate::{Bytes, Error, Result, json, le};

/// Length of a header, and what every member is padded to.
pub const BLOCK: u64 = 512;

/// A header as bytes.
pub type Block = [u8; 512];

/// The longest member: eleven octal digits.
pub const MAX_MEMBER: Bytes = Bytes(0o777_7777_7777);

/// What ends an archive: two blocks of zeros.
pub const TRAILER: [u8; 1024] = [0; 1024];

/// The header of a member. `Invalid` for names above 99 bytes and lengths above [`MAX_MEMBER`].
pub fn encode(name: &str, size: Bytes) -> Result<Block> {
    encode_as(PLAIN_FILE, name, size)
}

/// The header of a member of another type than a plain file.
pub(crate) fn encode_as(kind: u8, name: &str, size: Bytes) -> Result<Block> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Error::invalid(WHAT, format!("a member name of {} bytes; 1 to {MAX_NAME} fit", name.len())));
    }
    if size > MAX_MEMBER {
        return Err(Error::invalid(WHAT, format!("member \"{name}\" of {size}; at most {MAX_MEMBER} fit")));
    }
    let mut block = [0; 512];
    let length = format!("{:011o}\0", size.0);
    let fields: [(usize, &[u8]); 11] = [
        (0, name.as_bytes()),
        (MODE, b"0000644\0"),
        (UID, b"0000000\0"),
        (GID, b"0000000\0"),
        (SIZE, length.as_bytes()),
        (MTIME, b"00000000000\0"),
        (CHECKSUM, b"        "),
        (TYPE, &[kind]),
        (MAGIC, b"ustar\x0000"),
        (DEV_MAJOR, b"0000000\0"),
        (DEV_MINOR, b"0000000\0"),
    ];
    for (at, field) in fields {
        le::put(&mut block, at, field);
    }
    let checksum = checksum_field(&block);
    le::put(&mut block, CHECKSUM, checksum.as_bytes());
    Ok(block)
}

/// Name and length of a header. Says what is wrong: checksum, kind of entry, or the field that is not as [`encode`] writes it.
pub fn parse(block: &Block) -> Result<(String, Bytes)> {
    if block.iter().all(|byte| *byte == 0) {
        return Err(Error::damaged(WHAT, Damage::Truncated, "the archive ends before its last member"));
    }
    if le::bytes_at::<8>(block, CHECKSUM).as_ref().map(<[u8; 8]>::as_slice) != Some(checksum_field(block).as_bytes()) {
        return Err(Error::corrupt(WHAT, "the checksum of a tar header does not match"));
    }
    let name = field(block, 0, 100);
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let shown = json::shown(&String::from_utf8_lossy(name));
    match field(block, TYPE, 1) {
        [PLAIN_FILE] => {}
        [kind] => {
            return Err(Error::corrupt(
                WHAT,
                format!("entry \"{shown}\" is {}; only plain files may be", entry(*kind)),
            ));
        }
        _ => {}
    }
    let size = octal(field(block, SIZE, 12))
        .ok_or_else(|| Error::corrupt(WHAT, format!("the length of entry \"{shown}\" is not eleven octal digits")))?;
    let name = std::str::from_utf8(name)
        .map_err(|_| Error::corrupt(WHAT, format!("the entry name \"{shown}\" is not UTF-8")))?;
    let expected = encode(name, Bytes(size)).map_err(|error| Error::corrupt(WHAT, error.to_string()))?;
    let differs = |at, length| at != CHECKSUM && field(block, at, length) != field(&expected, at, length);
    match FIELDS.iter().find(|(_, at, length)| differs(*at, *length)) {
        Some((what, ..)) => Err(Error::corrupt(WHAT, format!("entry \"{shown}\" has an unexpected {what} field"))),
        None => Ok((name.to_owned(), Bytes(size))),
    }
}

/// The length that a header of this type and name states, when it is canonical.
pub(crate) fn parse_as(kind: u8, name: &str, block: &Block) -> Option<Bytes> {
    let size = Bytes(octal(field(block, SIZE, 12))?);
    encode_as(kind, name, size).is_ok_and(|expected| expected == *block).then_some(size)
}

/// Bytes between the end of a member of this length and the next block.
pub fn padding(size: Bytes) -> Bytes {
    let rest = size.0.checked_rem(BLOCK).unwrap_or(0);
    Bytes(if rest == 0 { 0 } else { BLOCK.saturating_sub(rest) })
}

/// Header, content and padding of a member; saturates.
pub fn stored(size: Bytes) -> Bytes {
    Bytes(BLOCK.saturating_add(size.0).saturating_add(padding(size).0))
}

fn field(block: &Block, at: usize, length: usize) -> &[u8] {
    at.checked_add(length).and_then(|end| block.get(at..end)).unwrap_or_default()
}

/// Sum of all bytes, the checksum field itself taken as spaces: six octal digits, zero, space.
fn checksum_field(block: &Block) -> String {
    let byte = |(at, byte): (usize, &u8)| if (CHECKSUM..TYPE).contains(&at) { 32 } else { u32::from(*byte) };
    let sum: u32 = block.iter().enumerate().map(byte).sum();
    format!("{sum:06o}\0 ")
}

fn octal(field: &[u8]) -> Option<u64> {
    let (digits, end) = field.split_at_checked(11)?;
    if end != [0] || !digits.iter().all(|digit| (b'0'..=b'7').contains(digit)) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

fn entry(kind: u8) -> &'static str {
    match kind {
        b'1' => "a hard link",
        b'2' => "a symbolic link",
        b'3' | b'4' | b'6' => "a device or pipe",
        b'5' => "a directory",
        b'x' | b'g' => "a pax header",
        b'L' | b'K' | b'S' | b'M' | b'D' | b'V' | b'N' => "a GNU extension",
        _ => "of an unknown type",
    }
}

const WHAT: &str = "package";
/// Longest name of a member in bytes.
pub(crate) const MAX_NAME: usize = 99;
const PLAIN_FILE: u8 = b'0';
const MODE: usize = 100;
const UID: usize = 108;
const GID: usize = 116;
const SIZE: usize = 124;
const MTIME: usize = 136;
const CHECKSUM: usize = 148;
const TYPE: usize = 156;
const LINK: usize = 157;
const MAGIC: usize = 257;
const OWNER_NAMES: usize = 265;
const DEV_MAJOR: usize = 329;
const DEV_MINOR: usize = 337;
const PREFIX: usize = 345;
/// Every field, in order and without gaps: name, offset, length.
const FIELDS: [(&str, usize, usize); 13] = [
    ("name", 0, 100),
    ("mode", MODE, 8),
    ("owner", UID, 8),
    ("group", GID, 8),
    ("length", SIZE, 12),
    ("time", MTIME, 12),
    ("checksum", CHECKSUM, 9),
    ("link", LINK, 100),
    ("magic", MAGIC, 8),
    ("owner name", OWNER_NAMES, 64),
    ("device number", DEV_MAJOR, 16),
    ("prefix", PREFIX, 155),
    ("reserved", 500, 12),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_table_covers_the_whole_header() {
        let end = FIELDS.iter().fold(0, |end, (name, at, length)| {
            assert_eq!(end, *at, "{name}");
            at + length
        });
        assert_eq!(end, 512);
    }

    #[test]
    fn reads_back_what_it_wrote() {
        for size in [0, 1, 511, 512, 513, MAX_MEMBER.0] {
            let block = encode("manifest.json", Bytes(size)).unwrap();
            assert_eq!(parse(&block), Ok(("manifest.json".to_owned(), Bytes(size))));
            assert_eq!((size + padding(Bytes(size)).0) % 512, 0);
        }
    }

    #[test]
    fn any_single_changed_byte_is_refused_even_with_a_right_checksum() {
        let good = encode("manifest.json", Bytes(0o1234)).unwrap();
        for at in (0..512).filter(|at| !(CHECKSUM..TYPE).contains(at)) {
            for change in [0x01, 0x80, good[at].wrapping_add(1) ^ good[at]] {
                let mut block = good;
                block[at] ^= change;
                assert!(parse(&block).is_err(), "{at}: checksum");
                let sum = checksum_field(&block);
                block[CHECKSUM..TYPE].copy_from_slice(sum.as_bytes());
                // A changed name or length is another header, just as canonical.
                let accepted = parse(&block).is_ok();
                assert!(!accepted || at < 14 || (SIZE..SIZE + 11).contains(&at), "{at}: {:?}", parse(&block));
            }
        }
    }

    #[test]
    fn refuses_names_and_lengths_that_do_not_fit() {
        assert!(encode(&"n".repeat(100), Bytes(0)).is_err());
        assert!(encode("", Bytes(0)).is_err());
        assert!(encode("image.zst", Bytes(MAX_MEMBER.0 + 1)).unwrap_err().to_string().contains("at most"));
    }
}
