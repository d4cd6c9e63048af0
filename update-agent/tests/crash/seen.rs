//! Which media were judged already.

use std::collections::BTreeSet;

use formats::SlotId;
use update_agent::disk::Part;
use update_agent::disk::simulated::Medium;
use update_agent::site::Now;

/// Distinct media of one scenario, by a 128-bit mix of all bytes.
#[derive(Default)]
pub struct Seen(BTreeSet<[u64; 2]>);

impl Seen {
    /// A mix of the medium when it was not seen with this salt.
    pub fn is_new(&mut self, medium: &Medium, salt: u64) -> Option<u64> {
        let mut hash = [salt ^ 0x9e37_79b9_7f4a_7c15, salt.wrapping_mul(0xff51_afd7_ed55_8ccd)];
        let parts = Part::ALL.map(|part| medium.part(part));
        for bytes in parts.into_iter().chain([medium.journal.as_slice()]) {
            let zeros =
                bytes.rchunks(4096).take_while(|piece| **piece == ZEROS[..piece.len()]).map(<[u8]>::len).sum::<usize>();
            let bytes = &bytes[..bytes.len() - zeros];
            for word in bytes.chunks(8) {
                let mut padded = [0; 8];
                padded[..word.len()].copy_from_slice(word);
                let word = u64::from_le_bytes(padded);
                hash[0] = (hash[0] ^ word).wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(29);
                hash[1] = (hash[1].rotate_left(7) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
            }
        }
        self.0.insert(hash).then_some(hash[0])
    }
}

/// A salt for machines that run on: what is mounted is on no medium.
pub fn mounted(medium: &Medium) -> u64 {
    let Now { slot, started } = medium.site.unwrap_or(Now { slot: None, started: true });
    1 + slot.map_or(0, |slot| 1 + u64::from(slot == SlotId::B)) * 2 + u64::from(started)
}

const ZEROS: [u8; 4096] = [0; 4096];
