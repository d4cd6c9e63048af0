//! GUIDs in the mixed-endian byte order of UEFI (UEFI 2.10, appendix A) and as RFC 4122 text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Digest, Error, Result};

/// A globally unique identifier, held in its textual (big-endian) byte order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Guid([u8; 16]);

impl Guid {
    /// All zero bits: an unused GPT entry.
    pub const ZERO: Self = Self([0; 16]);

    /// From the number its text spells, for constants: `Guid::new(0xC12A7328_F81F_11D2_BA4B_00A0C93EC93B)`.
    pub const fn new(number: u128) -> Self {
        Self(number.to_be_bytes())
    }

    /// The deterministic GUID for `purpose` under `seed`: a SHA-256 based UUID of version 8 (RFC 9562, section 5.8).
    pub fn derive(seed: &str, purpose: &str) -> Self {
        let digest = Digest::of_parts([b"bulkhead-guid-v1\0".as_slice(), seed.as_bytes(), b"\0", purpose.as_bytes()]);
        let mut number = u128::from_be_bytes(*digest.0.first_chunk::<16>().unwrap_or(&[0; 16]));
        number &= !(0xF000_u128 << 64) & !(0xC000_u128 << 48);
        number |= (0x8000_u128 << 64) | (0x8000_u128 << 48);
        Self::new(number)
    }

    /// As stored in a GPT or an EFI variable: the first three fields little-endian.
    pub const fn to_efi_bytes(self) -> [u8; 16] {
        swap(self.0)
    }

    /// From the bytes of a GPT or an EFI variable.
    pub const fn from_efi_bytes(bytes: [u8; 16]) -> Self {
        Self(swap(bytes))
    }

    /// In textual order, as ext4 and dm-verity store UUIDs.
    pub const fn to_uuid_bytes(self) -> [u8; 16] {
        self.0
    }

    /// From bytes in textual order.
    pub const fn from_uuid_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

const fn swap(b: [u8; 16]) -> [u8; 16] {
    let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15] = b;
    [b3, b2, b1, b0, b5, b4, b7, b6, b8, b9, b10, b11, b12, b13, b14, b15]
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({self})")
    }
}

impl FromStr for Guid {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::corrupt("GUID", format!("\"{}\" is not of the form 8-4-4-4-12", text.escape_debug()));
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        if lengths != [8, 4, 4, 4, 12] {
            return Err(bad());
        }
        let mut bytes = [0; 16];
        hex::decode_to_slice(text.replace('-', ""), &mut bytes).map_err(|_| bad())?;
        Ok(Self(bytes))
    }
}

impl Serialize for Guid {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_efi_bytes_follow_the_uefi_example() {
        let esp = Guid::new(0xC12A_7328_F81F_11D2_BA4B_00A0_C93E_C93B);
        assert_eq!(esp.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
        assert_eq!(esp.to_efi_bytes()[..8], [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11]);
        assert_eq!(Guid::from_efi_bytes(esp.to_efi_bytes()), esp);
        assert_eq!("C12A7328-F81F-11D2-BA4B-00A0C93EC93B".parse::<Guid>(), Ok(esp));
    }

    #[test]
    fn derived_guids_differ_by_purpose_and_are_version_8() {
        let one = Guid::derive("demo", "disk");
        assert_ne!(one, Guid::derive("demo", "esp"));
        assert_eq!(one.to_string().as_bytes()[14], b'8');
        assert!(matches!(one.to_string().as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }

    #[test]
    fn refuses_text_that_is_not_a_guid() {
        for text in ["", "c12a7328", "c12a7328-f81f-11d2-ba4b-00a0c93ec93", "g12a7328-f81f-11d2-ba4b-00a0c93ec93b"] {
            assert!(text.parse::<Guid>().is_err(), "{text}");
        }
    }
}
