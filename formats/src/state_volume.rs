//! The volume in the `state` partition: FAT12, 1 MiB, with the two copies of the boot state as files `state1` and `state2`.
//!
//! It is a file system only because GRUB can save an environment block in place to a file and to nothing else. The image is the same
//! on every disk apart from the two sectors at [`COPY_OFFSETS`], which lie in separate 4 KiB blocks so that a torn physical sector
//! never takes both, and the one at [`RESET_OFFSET`]. Linux never mounts it: the agent reads and writes those sectors by offset.
//!
//! The sector of the reset record belongs to no file: GRUB never writes to free clusters, and disks made before the record existed have
//! the same volume, so nothing about them has to change.

use crate::boot_state::{BLOCK_SIZE, BootState};
use crate::fat::{FatKind, FatVolume};
use crate::reset_record::{self, ResetRecord};
use crate::{Bytes, Error, Result};

/// Size of the volume and of its partition.
pub const SIZE: Bytes = Bytes::MIB;

/// Byte offsets of the two copies in the partition, for 512-byte sectors.
pub const COPY_OFFSETS: [u64; 2] = [4096, 8192];

/// Names of the two files, as GRUB's script reads them.
pub const COPY_NAMES: [&str; 2] = ["state1", "state2"];

/// Byte offset of the reset record, in a 4 KiB block of its own.
pub const RESET_OFFSET: u64 = 12_288;

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

/// The sector of the reset record in the bytes of a volume; empty when it is outside the bytes.
pub fn reset_sector(volume: &[u8]) -> &[u8] {
    let start = usize::try_from(RESET_OFFSET).unwrap_or(usize::MAX);
    volume.get(start..).and_then(|rest| rest.get(..reset_record::SIZE)).unwrap_or_default()
}

/// [`image`] for a disk whose volume is to be made whole: `sector`, its reset record, stays unless it is damaged.
///
/// # Errors
/// As [`image`].
pub fn mended(state: &BootState, sector: &[u8]) -> Result<Vec<u8>> {
    let mut volume = image(state)?;
    keep(&mut volume, sector);
    Ok(volume)
}

/// The first byte outside the two copies that is not as it must be for GRUB to find them, or is a damaged reset record. The way out of
/// damage is to write what [`mended`] says.
///
/// # Errors
/// None in practice: only what encoding the constant image may return.
pub fn first_damage(bytes: &[u8]) -> Result<Option<Bytes>> {
    let mut blank = volume(&[[0; BLOCK_SIZE]; 2])?.image()?;
    keep(&mut blank, reset_sector(bytes));
    let in_a_copy =
        |at: u64| COPY_OFFSETS.iter().any(|offset| at.checked_sub(*offset).is_some_and(|within| within < 512));
    let differing = (0_u64..).zip(&blank).zip(bytes).find(|((at, wanted), found)| wanted != found && !in_a_copy(*at));
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let short = (length(bytes) < length(&blank)).then(|| Bytes(length(bytes)));
    Ok(differing.map(|((at, _), _)| Bytes(at)).or(short))
}

/// Puts the sector of a reset record into `volume`, also one of a later format; a damaged one is not kept.
fn keep(volume: &mut [u8], sector: &[u8]) {
    if matches!(ResetRecord::parse(sector), Ok(Some(_)) | Err(Error::Unsupported { .. })) {
        crate::le::put(volume, usize::try_from(RESET_OFFSET).unwrap_or(usize::MAX), sector);
    }
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
    use crate::journal::Floor;
    use crate::manifest::Kind;
    use crate::reset_record::Then;

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
        let cases =
            [(0, Some(0)), (1024, Some(1024)), (4096, None), (8703, None), (8704, Some(8704)), (12_300, Some(12_300))];
        for (at, expected) in cases {
            let mut bytes = good.clone();
            bytes[at] ^= 0xff;
            assert_eq!(first_damage(&bytes), Ok(expected.map(Bytes)), "{at}");
        }
        assert_eq!(first_damage(&good[..5000]), Ok(Some(Bytes(5000))));
    }

    fn pending() -> [u8; 512] {
        let floors = vec![Floor { kind: Kind::Base, name: "demo".into(), sequence: 3 }];
        let id = crate::Guid::derive("test", "request");
        ResetRecord { id, then: Then::Start, by: "root".into(), asked: 1, floors }.encode().unwrap()
    }

    #[test]
    fn the_reset_record_is_in_a_block_no_file_uses_and_is_zero_on_a_new_disk() {
        let volume = volume(&[[0; BLOCK_SIZE]; 2]).unwrap();
        for name in COPY_NAMES {
            let (start, _) = volume.extent(name).unwrap().unwrap();
            assert!(RESET_OFFSET.abs_diff(start.0) >= 4096, "{name}");
        }
        assert!(RESET_OFFSET.is_multiple_of(4096) && RESET_OFFSET + 512 <= SIZE.0);
        assert_eq!(ResetRecord::parse(reset_sector(&image(&state()).unwrap())), Ok(None));
    }

    #[test]
    fn a_pending_reset_is_no_damage_and_mending_keeps_it() {
        let mut volume = image(&state()).unwrap();
        volume[12_288..12_800].copy_from_slice(&pending());
        assert_eq!(first_damage(&volume), Ok(None));
        assert_eq!(mended(&state(), reset_sector(&volume)).unwrap(), volume);
        volume[12_310] ^= 1;
        assert_eq!(first_damage(&volume), Ok(Some(Bytes(12_288))));
        assert_eq!(mended(&state(), reset_sector(&volume)), image(&state()));
        assert_eq!(mended(&state(), &[]), image(&state()));
    }

    #[test]
    fn missing_bytes_are_missing_copies() {
        assert_eq!(newest(copies(&[])), None);
        assert_eq!(reset_sector(&[0; 12_300]), b"");
        assert_eq!(copies(&image(&state()).unwrap()[..5000])[1], b"");
    }
}
