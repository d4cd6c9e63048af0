//! The superblock `veritysetup` writes: `struct verity_sb` of cryptsetup, version 1, little-endian, zero-padded to a block.

use std::fmt;

use super::{BLOCK_SIZE, Block, Layout, Parameters};
use crate::{Error, Guid, Result, le};

/// A superblock of the one kind this crate writes: hash type 1, SHA-256, 4096-byte blocks, 32-byte salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock(pub Parameters);

impl From<Parameters> for Superblock {
    fn from(params: Parameters) -> Self {
        Self(params)
    }
}

impl Superblock {
    /// The whole block.
    pub fn encode(&self) -> Block {
        let Self(params) = self;
        let mut block = [0; BLOCK_SIZE];
        le::put(&mut block, 0x00, SIGNATURE);
        le::put(&mut block, 0x08, &VERSION.to_le_bytes());
        le::put(&mut block, 0x0c, &HASH_TYPE.to_le_bytes());
        le::put(&mut block, 0x10, &params.uuid.to_uuid_bytes());
        le::put(&mut block, 0x20, ALGORITHM);
        le::put(&mut block, 0x40, &BLOCK_BYTES.to_le_bytes());
        le::put(&mut block, 0x44, &BLOCK_BYTES.to_le_bytes());
        le::put(&mut block, 0x48, &params.data_blocks.to_le_bytes());
        le::put(&mut block, 0x50, &SALT_BYTES.to_le_bytes());
        le::put(&mut block, 0x58, &params.salt);
        block
    }

    /// Reads a superblock (at least 512 bytes). Other hash types, algorithms and sizes are `Unsupported`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < SIZE {
            return Err(Error::corrupt(WHAT, format!("{} bytes of {SIZE}", bytes.len())));
        }
        if !bytes.starts_with(SIGNATURE) {
            return Err(Error::corrupt(WHAT, "it does not begin with \"verity\""));
        }
        expect("version", le::u32_at(bytes, 0x08), VERSION)?;
        expect("hash type", le::u32_at(bytes, 0x0c), HASH_TYPE)?;
        expect("data block size", le::u32_at(bytes, 0x40), BLOCK_BYTES)?;
        expect("hash block size", le::u32_at(bytes, 0x44), BLOCK_BYTES)?;
        expect("salt size", le::u16_at(bytes, 0x50), SALT_BYTES)?;
        if le::bytes_at(bytes, 0x20) != Some(*ALGORITHM) {
            return Err(Error::unsupported(WHAT, "its algorithm is not \"sha256\""));
        }
        let short = || Error::corrupt(WHAT, "it is cut off");
        let data_blocks = le::u64_at(bytes, 0x48).ok_or_else(short)?;
        Layout::new(data_blocks).map_err(|error| Error::corrupt(WHAT, error.to_string()))?;
        let uuid = Guid::from_uuid_bytes(le::bytes_at(bytes, 0x10).ok_or_else(short)?);
        Ok(Self(Parameters { data_blocks, salt: le::bytes_at(bytes, 0x58).ok_or_else(short)?, uuid }))
    }
}

impl fmt::Display for Superblock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Parameters { data_blocks, salt, uuid }) = self;
        writeln!(f, "dm-verity superblock version {VERSION}")?;
        writeln!(f, "  uuid         {uuid}")?;
        writeln!(f, "  algorithm    sha256, {BLOCK_BYTES}-byte blocks")?;
        writeln!(f, "  data blocks  {data_blocks}")?;
        writeln!(f, "  salt         {}", hex::encode(salt))
    }
}

fn expect(name: &str, found: Option<impl Into<u32>>, understood: impl Into<u32>) -> Result<()> {
    let (found, understood) = (found.map_or(0, Into::into), understood.into());
    if found == understood {
        return Ok(());
    }
    Err(Error::unsupported(WHAT, format!("its {name} is {found}; {understood} is understood")))
}

const WHAT: &str = "dm-verity superblock";
const SIGNATURE: &[u8; 8] = b"verity\0\0";
const ALGORITHM: &[u8; 32] = b"sha256\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const SIZE: usize = 512;
const VERSION: u32 = 1;
const HASH_TYPE: u32 = 1;
const BLOCK_BYTES: u32 = 4096;
const SALT_BYTES: u16 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Superblock {
        Superblock(Parameters { data_blocks: 129, salt: [0xab; 32], uuid: Guid::derive("demo", "verity") })
    }

    #[test]
    fn reads_back_what_it_wrote() {
        assert_eq!(Superblock::parse(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn prints_for_people() {
        assert_eq!(
            sample().to_string(),
            format!(
                "dm-verity superblock version 1\n  uuid         {}\n  algorithm    sha256, 4096-byte blocks\n  \
                 data blocks  129\n  salt         {}\n",
                Guid::derive("demo", "verity"),
                "ab".repeat(32)
            )
        );
    }

    #[test]
    fn refuses_what_it_cannot_read_and_says_which_field() {
        for (offset, value, part) in [
            (0, 0_u8, "begin with \"verity\""),
            (8, 2, "version is 2; 1 is understood"),
            (12, 0, "hash type is 0"),
            (0x20, b'x', "algorithm"),
            (0x41, 8, "data block size is 2048"),
            (0x45, 8, "hash block size is 2048"),
            (0x50, 33, "salt size is 33"),
            (0x4f, 1, "data blocks"),
        ] {
            let mut block = sample().encode();
            block[offset] = value;
            let message = Superblock::parse(&block).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        assert!(Superblock::parse(&sample().encode()[..511]).unwrap_err().to_string().contains("511 bytes of 512"));
    }
}
