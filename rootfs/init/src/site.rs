//! Which site slot to run. Pure.
//!
//! The one named by the boot state; when it is empty or broken, the other; without a name, the higher sequence first.

use formats::SlotId;

/// The site slots worth trying, best first. `sequences` are those of the slots with a valid footer, A first.
pub fn order(active: Option<SlotId>, sequences: [Option<u64>; 2]) -> Vec<SlotId> {
    let [a, b] = sequences;
    let mut slots: Vec<(SlotId, u64)> =
        [(SlotId::A, a), (SlotId::B, b)].into_iter().filter_map(|(slot, n)| n.map(|n| (slot, n))).collect();
    // A stable sort: with equal sequences A stays first.
    slots.sort_by_key(|(slot, sequence)| (Some(*slot) != active, std::cmp::Reverse(*sequence)));
    slots.into_iter().map(|(slot, _)| slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use SlotId::{A, B};

    #[test]
    fn the_active_slot_comes_first_whatever_its_sequence() {
        assert_eq!(order(Some(A), [Some(1), Some(2)]), [A, B]);
        assert_eq!(order(Some(B), [Some(2), Some(1)]), [B, A]);
    }

    #[test]
    fn a_broken_active_slot_is_replaced_by_the_other() {
        assert_eq!(order(Some(A), [None, Some(1)]), [B]);
        assert_eq!(order(Some(B), [Some(1), None]), [A]);
    }

    #[test]
    fn without_an_active_slot_the_higher_sequence_wins_and_a_breaks_ties() {
        assert_eq!(order(None, [Some(1), Some(2)]), [B, A]);
        assert_eq!(order(None, [Some(2), Some(2)]), [A, B]);
        assert_eq!(order(None, [None, None]), []);
    }
}
