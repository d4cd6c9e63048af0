//! What the firmware says, through EFI variables (UEFI 2.10, section 8.2; systemd's Boot Loader Interface).

use std::fs;
use std::path::Path;

use formats::Guid;
use formats::boot_report::Firmware;

const VARIABLES: &str = "/sys/firmware/efi/efivars";
const LOADER_PARTITION: &str = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const SECURE_BOOT: &str = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// BIOS or UEFI.
pub fn kind() -> Firmware {
    if Path::new("/sys/firmware/efi").is_dir() { Firmware::Uefi } else { Firmware::Bios }
}

/// Where efivarfs has to be mounted for the other functions.
pub fn variables() -> &'static Path {
    Path::new(VARIABLES)
}

/// The partition the UKI was loaded from.
pub fn loader_partition() -> Option<Guid> {
    partition_guid(&fs::read(variables().join(LOADER_PARTITION)).ok()?)
}

/// True when the firmware enforces signatures.
pub fn secure_boot() -> bool {
    fs::read(variables().join(SECURE_BOOT)).is_ok_and(|variable| enabled(&variable))
}

/// A variable as efivarfs shows it: four bytes of attributes, then here one byte of value.
fn enabled(variable: &[u8]) -> bool {
    matches!(variable, [_, _, _, _, 1])
}

/// Attributes, then the GUID as UTF-16LE text, usually with a terminating zero.
///
/// systemd-stub makes the variable anew at each start, never to be stored, but keeps one that is there already: a stored one is a
/// leftover or a lie, and would name the same slot at every start.
fn partition_guid(variable: &[u8]) -> Option<Guid> {
    let (attributes, text) = variable.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*attributes) & NON_VOLATILE != 0 {
        return None;
    }
    let units = text.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).take_while(|unit| *unit != 0);
    String::from_utf16(&units.collect::<Vec<_>>()).ok()?.parse().ok()
}

/// `EFI_VARIABLE_NON_VOLATILE` (UEFI 2.10, section 8.2.1).
const NON_VOLATILE: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_loader_partition_with_and_without_a_terminator() {
        let text = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
        let mut variable = vec![6, 0, 0, 0];
        variable.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        let guid = text.parse().ok();
        assert_eq!(partition_guid(&variable), guid);
        variable.extend([0, 0]);
        assert_eq!(partition_guid(&variable), guid);
    }

    #[test]
    fn a_loader_partition_from_an_earlier_start_is_not_believed() {
        let mut variable = vec![7, 0, 0, 0];
        variable.extend("C12A7328-F81F-11D2-BA4B-00A0C93EC93B".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(partition_guid(&variable), None);
    }

    #[test]
    fn damaged_variables_mean_nothing() {
        for bytes in [b"".as_slice(), b"\x06\0\0", b"\x06\0\0\0", b"\x06\0\0\0x\0y\0", b"\x06\0\0\0\x00\xd8\x00\xd8"] {
            assert_eq!(partition_guid(bytes), None);
        }
        assert!(enabled(&[6, 0, 0, 0, 1]));
        assert!(!enabled(&[6, 0, 0, 0, 0]) && !enabled(&[1]) && !enabled(&[]));
    }
}
