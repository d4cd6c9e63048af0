//! The volume in the `state` partition: FAT12, 1 MiB, with the two copies of the boot state as files `state1` and `state2`.
//!
//! It is a file system only because GRUB can save an environment block in place to a file and to nothing else. The image is the same
//! on every disk apart from the two sectors at [`COPY_OFFSETS`], which lie in separate 4 KiB blocks so that a torn physical sector
//! never takes both. Linux never mounts it: the agent reads and writes those two sectors by offset.

use crate::boot_state::{BLOCK_SIZE, BootState};
use crate::fat::{FatKind, FatVolume};
use crate::{Bytes, Result};

/// Size of the volume and of its partition.
pub const SIZE: Bytes = Bytes::MIB;

/// Byte offsets of the two copies in the partition, for 512-byte sectors.
pub const COPY_OFFSETS: [u64; 2] = [4096, 8192];

/// Names of the two files, as GRUB's script reads them.
pub const COPY_NAMES: [&str; 2] = ["state1", "state2"];

/// A fresh volume: `state` in the first copy, the same one sequence number older in the second.
///
/// # Errors
/// `Invalid` when the state cannot be encoded.
pub fn image(state: &BootState) -> Result<Vec<u8>> {
    let older = BootState { sequence: state.sequence.saturating_sub(1), ..*state };
    volume(&[state.encode()?, older.encode()?])?.image()
}

/// The two copies in the bytes of a volume; a copy outside the bytes is empty, so that it reads as damaged.
pub fn copies(volume: &[u8]) -> [&[u8]; 2] {
    COPY_OFFSETS.map(|offset| {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        volume.get(start..).and_then(|rest| rest.get(..BLOCK_SIZE)).unwrap_or_default()
    })
}

/// The first byte outside the two copies that is not as it must be for GRUB to find them. The way out of damage is to write
/// [`image`] of the present state.
///
/// # Errors
/// None in practice: only what encoding the constant image may return.
pub fn first_damage(bytes: &[u8]) -> Result<Option<Bytes>> {
    let blank = volume(&[[0; BLOCK_SIZE]; 2])?.image()?;
    let in_a_copy =
        |at: u64| COPY_OFFSETS.iter().any(|offset| at.checked_sub(*offset).is_some_and(|within| within < 512));
    let differing = (0_u64..).zip(&blank).zip(bytes).find(|((at, wanted), found)| wanted != found && !in_a_copy(*at));
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let short = (length(bytes) < length(&blank)).then(|| Bytes(length(bytes)));
    Ok(differing.map(|((at, _), _)| Bytes(at)).or(short))
}

fn volume(blocks: &[[u8; BLOCK_SIZE]; 2]) -> Result<FatVolume> {
    let [first, second] = blocks.each_ref().map(|block| block.to_vec());
    let [first_name, second_name] = COPY_NAMES;
    FatVolume::new(FatKind::Fat12, SIZE, "STATE", SERIAL)?.file(first_name, first)?.file(second_name, second)
}

/// The same on every disk: a rebuilt volume is the original one.
const SERIAL: u32 = 0x57A7_E001;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SlotId;
    use crate::boot_state::{newest, older_copy};

    fn state() -> BootState {
        BootState::initial(SlotId::A, Some(SlotId::A))
    }

    #[test]
    fn the_copies_are_at_their_offsets() {
        let image = image(&state()).unwrap();
        assert_eq!(image.len(), 1 << 20);
        let volume = volume(&[[0; BLOCK_SIZE]; 2]).unwrap();
        for (name, offset) in COPY_NAMES.into_iter().zip(COPY_OFFSETS) {
            assert_eq!(volume.extent(name).unwrap(), Some((Bytes(offset), Bytes(512))));
        }
        assert_eq!(image[4096..4608], state().encode().unwrap());
        assert_eq!(newest(copies(&image)), Some((0, state())));
        assert_eq!(older_copy(copies(&image)), 1);
    }

    #[test]
    fn damage_outside_the_copies_is_found() {
        let good = image(&state()).unwrap();
        assert_eq!(first_damage(&good), Ok(None));
        for (at, expected) in [(0, Some(0)), (1024, Some(1024)), (4096, None), (8703, None), (8704, Some(8704))] {
            let mut bytes = good.clone();
            bytes[at] ^= 0xff;
            assert_eq!(first_damage(&bytes), Ok(expected.map(Bytes)), "{at}");
        }
        assert_eq!(first_damage(&good[..5000]), Ok(Some(Bytes(5000))));
    }

    #[test]
    fn missing_bytes_are_missing_copies() {
        assert_eq!(newest(copies(&[])), None);
        assert_eq!(copies(&image(&state()).unwrap()[..5000])[1], b"");
    }
}
