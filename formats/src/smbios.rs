//! What a hypervisor or maker wrote into the firmware's tables for whoever runs there: the OEM strings (SMBIOS 3.7, DSP0134, section 7.12).
//!
//! Only what is looked for is read. A table that is cut off or makes no sense gives what came before; nothing is believed about lengths
//! beyond the bytes there are.

/// Most bytes of a table that is looked at: firmware's are a few KiB.
pub const MAX_TABLE: usize = 256 << 10;

/// The OEM strings of a structure table that are text, in their order.
pub fn oem_strings(table: &[u8]) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = table.get(..MAX_TABLE).unwrap_or(table);
    while let Some((kind, strings, after)) = structure(rest) {
        match kind {
            OEM_STRINGS => found.extend(strings.split(|byte| *byte == 0).filter_map(text)),
            END_OF_TABLE => break,
            _ => {}
        }
        rest = after;
    }
    found
}

/// The first structure: its type, its strings without the two zero bytes that end them, and what comes after it (section 6.1).
fn structure(table: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [kind, length, ..] = table else { return None };
    let formatted = usize::from(*length);
    if formatted < HEADER {
        return None;
    }
    let strings = table.get(formatted..)?;
    let end = strings.windows(2).position(|pair| pair == [0, 0])?;
    let (own, after) = strings.split_at_checked(end)?;
    Some((*kind, own, after.get(2..)?))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// Type, length, handle.
const HEADER: usize = 4;
const OEM_STRINGS: u8 = 11;
const END_OF_TABLE: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    /// A structure with a formatted area of `formatted` bytes.
    fn made(kind: u8, formatted: &[u8], strings: &[&str]) -> Vec<u8> {
        let length = u8::try_from(HEADER + formatted.len()).unwrap();
        let mut bytes = vec![kind, length, 0, 0];
        bytes.extend(formatted);
        for string in strings {
            bytes.extend(string.as_bytes());
            bytes.push(0);
        }
        bytes.resize(bytes.len() + if strings.is_empty() { 2 } else { 1 }, 0);
        bytes
    }

    fn table() -> Vec<u8> {
        let system = made(1, &[1, 2, 3], &["QEMU", "pc"]);
        let none = made(32, &[0; 7], &[]);
        let own = made(OEM_STRINGS, &[2], &["first=1", "second: two words"]);
        let end = made(END_OF_TABLE, &[], &[]);
        let late = made(OEM_STRINGS, &[1], &["after the end"]);
        [system, none, own, end, late].concat()
    }

    #[test]
    fn the_strings_of_the_maker_are_found_between_all_others() {
        assert_eq!(oem_strings(&table()), ["first=1", "second: two words"]);
        assert!(oem_strings(&[]).is_empty());
        let twice = [made(OEM_STRINGS, &[1], &["a"]), made(OEM_STRINGS, &[1], &["b"])].concat();
        assert_eq!(oem_strings(&twice), ["a", "b"]);
    }

    #[test]
    fn a_table_that_is_cut_off_or_nonsense_gives_what_came_before() {
        let whole = table();
        for length in 0..whole.len() {
            let found = oem_strings(&whole[..length]);
            assert!(found.is_empty() || found == ["first=1", "second: two words"], "{length}: {found:?}");
        }
        for short in [0, 3] {
            assert!(oem_strings(&[OEM_STRINGS, short, 0, 0, b'a', 0, 0]).is_empty(), "a length of {short}");
        }
        let mut no_text = made(OEM_STRINGS, &[1], &["good", "bad"]);
        let place = no_text.len() - 3;
        no_text[place] = 0xff;
        assert_eq!(oem_strings(&no_text), ["good"]);
    }

    #[test]
    fn no_more_is_looked_at_than_firmware_has() {
        let filler = made(1, &[], &[&"x".repeat(1000)]);
        let mut long = filler.repeat(MAX_TABLE / filler.len() + 1);
        long.extend(made(OEM_STRINGS, &[1], &["too far away"]));
        assert!(oem_strings(&long).is_empty());
    }
}
