//! Short (8.3) names. Letters are stored in upper case; an all lower-case base or extension is marked in the reserved byte, as Windows
//! NT, Linux and mtools do. Names that need more than that would need long-name entries and are refused.

use crate::{Error, Result};

/// A name as a directory entry stores it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShortName {
    /// Base and extension, upper case, padded with spaces.
    pub(super) raw: [u8; 11],
    /// `DIR_NTRes`: which parts are to be shown in lower case.
    pub(super) case: u8,
}

impl ShortName {
    pub(super) const DOT: Self = Self { raw: *b".          ", case: 0 };
    pub(super) const DOT_DOT: Self = Self { raw: *b"..         ", case: 0 };

    pub(super) fn new(name: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let name = name.escape_debug();
            Error::invalid(
                "FAT file name",
                format!("\"{name}\" {why}; use up to 8.3 letters of one case, such as \"BOOTX64.EFI\""),
            )
        };
        let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        if base.is_empty() || base.len() > 8 || extension.len() > 3 || (name.contains('.') && extension.is_empty()) {
            return Err(refuse("is not of the form 8.3"));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"$%'-_@~`!(){}^#&".contains(&byte);
        if !base.bytes().chain(extension.bytes()).all(allowed) {
            return Err(refuse("has a character that short names do not have"));
        }
        let mut raw = [b' '; 11];
        let mut case = 0;
        for (part, at, flag) in [(base, 0, LOWER_BASE), (extension, 8, LOWER_EXTENSION)] {
            let lower = part.bytes().any(|byte| byte.is_ascii_lowercase());
            if lower && part.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return Err(refuse("mixes upper and lower case"));
            }
            if lower {
                case |= flag;
            }
            crate::le::put(&mut raw, at, part.to_ascii_uppercase().as_bytes());
        }
        Ok(Self { raw, case })
    }

    /// The name to show; bytes outside ASCII become U+FFFD.
    pub(super) fn text(&self) -> String {
        let (base, extension) = self.raw.split_at(8);
        let part = |bytes: &[u8], flag: u8| {
            let text: String = bytes
                .trim_ascii_end()
                .iter()
                .map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { char::REPLACEMENT_CHARACTER })
                .collect();
            if self.case & flag == 0 { text } else { text.to_ascii_lowercase() }
        };
        let (base, extension) = (part(base, LOWER_BASE), part(extension, LOWER_EXTENSION));
        if extension.is_empty() { base } else { format!("{base}.{extension}") }
    }
}

/// The 11 bytes of a volume label.
pub(super) fn label(text: &str) -> Result<[u8; 11]> {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" -_".contains(&byte);
    if text.is_empty() || text.len() > 11 || text.starts_with(' ') || !text.bytes().all(allowed) {
        let text = text.escape_debug();
        return Err(Error::invalid("FAT label", format!("\"{text}\" is not 1 to 11 capital letters and digits")));
    }
    let mut raw = [b' '; 11];
    crate::le::put(&mut raw, 0, text.as_bytes());
    Ok(raw)
}

const LOWER_BASE: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_case_survive() {
        for (name, raw, case) in [
            ("BOOTX64.EFI", b"BOOTX64 EFI", 0),
            ("state1", b"STATE1     ", 8),
            ("EFI", b"EFI        ", 0),
            ("core.IMG", b"CORE    IMG", 8),
            ("a-b_c.d", b"A-B_C   D  ", 0x18),
        ] {
            let short = ShortName::new(name).unwrap();
            assert_eq!((&short.raw, short.case), (raw, case));
            assert_eq!(short.text(), name);
        }
    }

    #[test]
    fn refuses_names_that_need_a_long_name_entry() {
        for (name, why) in [
            ("verylongname", "8.3"),
            ("kernel.conf", "8.3"),
            ("", "8.3"),
            (".", "8.3"),
            ("..", "8.3"),
            ("x.", "8.3"),
            (".x", "8.3"),
            ("a.b.c", "character"),
            ("a b", "character"),
            ("ä", "character"),
            ("a+b", "character"),
            ("Boot", "mixes"),
        ] {
            let error = ShortName::new(name).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn refuses_labels_that_do_not_fit() {
        assert_eq!(label("ESP"), Ok(*b"ESP        "));
        for text in ["", "twelve chars", "TWELVE CHARS", "lower", " X"] {
            assert!(label(text).is_err(), "{text}");
        }
    }
}
