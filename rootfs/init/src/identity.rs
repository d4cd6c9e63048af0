//! Which slot of which disk is running this program? Pure: clues in, answer out.
//!
//! *UEFI.* systemd-stub publishes the partition the UKI was loaded from as `LoaderDevicePartUUID`. It names slot and disk at once and
//! no file on the disk can forge it, so it wins. *BIOS.* GRUB appends `slot=a|b` to the kernel command line; the disk is the one with
//! the disk GUID of this build. The same way serves a direct kernel start, on either firmware. *Neither*, on UEFI whose variables
//! cannot be read or are not to be believed: the slot GRUB has just written down as `last`, on the disk of this build. A wrong guess
//! costs this start, no more: a slot that is not ours has another build id.
//!
//! A clone of the disk attached beside it has the same GUIDs. Whatever is chosen then is still verified by signature; to find the
//! disk that really booted, prefer the one whose boot state names this slot as `last` (GRUB has just written that), then the
//! highest boot state sequence (a clone is as old as the copy), then the fewest tries left, then the first in the kernel's order.

use std::cmp::Reverse;

use formats::boot_state::BootState;
use formats::gpt::Gpt;
use formats::{Guid, SlotId};

/// What firmware, boot loader and builder say.
#[derive(Debug, Clone)]
pub struct Clues {
    /// `LoaderDevicePartUUID`, on UEFI behind systemd-stub.
    pub loader_partition: Option<Guid>,
    /// `slot=` of the kernel command line.
    pub argument: Option<SlotId>,
    /// The disk GUID of this build.
    pub disk_guid: Guid,
}

impl Clues {
    /// True when neither firmware nor command line tells the slot.
    pub fn is_empty(&self) -> bool {
        self.loader_partition.is_none() && self.argument.is_none()
    }
}

/// The slot named by `slot=` on a kernel command line; the last one counts, as for the kernel's own parameters.
pub fn slot_argument(command_line: &str) -> Option<SlotId> {
    let value = command_line.split_ascii_whitespace().filter_map(|word| word.strip_prefix("slot=")).next_back()?;
    match value {
        "a" => Some(SlotId::A),
        "b" => Some(SlotId::B),
        _ => None,
    }
}

/// The slot of `disk` the clues point at, if they point at this disk. `last` reads what GRUB wrote on it.
pub fn slot_on(disk: &Gpt, clues: &Clues, last: impl FnOnce() -> Option<SlotId>) -> Option<SlotId> {
    match clues.loader_partition {
        Some(loaded_from) => SlotId::BOTH
            .into_iter()
            .find(|slot| disk.partition(&base_label(*slot)).is_some_and(|(_, p)| p.guid == loaded_from)),
        None if disk.disk_guid() == clues.disk_guid => clues.argument.or_else(last),
        None => None,
    }
}

/// `base-a` or `base-b`.
pub fn base_label(slot: SlotId) -> String {
    format!("base-{}", slot.letter())
}

/// What was looked for, to complete a sentence about not finding it.
pub fn wanted(clues: &Clues) -> String {
    match (clues.loader_partition, clues.argument) {
        (Some(guid), _) => format!("a base partition with GUID {guid}, from which the firmware loaded the kernel"),
        (None, Some(slot)) => format!("a disk with GUID {} for slot {slot}", clues.disk_guid),
        (None, None) => format!(
            "a disk with GUID {} whose boot state names the slot started last; the firmware gives no LoaderDevicePartUUID and the \
             command line no slot=a or slot=b",
            clues.disk_guid
        ),
    }
}

/// Sorts disks that all carry the wanted slot: smallest key first.
pub fn preference(slot: SlotId, state: Option<&BootState>) -> impl Ord + use<> {
    let last = state.and_then(|state| state.last);
    let tries = state.map(|state| match slot {
        SlotId::A => state.a.tries,
        SlotId::B => state.b.tries,
    });
    (last != Some(slot), Reverse(state.map(|state| state.sequence)), tries)
}

/// A warning when firmware or command line contradicts what GRUB wrote down, which should be impossible.
pub fn contradiction(slot: SlotId, clues: &Clues, state: Option<&BootState>) -> Option<String> {
    if let Some(argument) = clues.argument.filter(|argument| *argument != slot) {
        return Some(format!("the kernel was loaded from slot {slot}, but the command line says slot {argument}"));
    }
    let last = state?.last;
    (last != Some(slot)).then(|| match last {
        Some(last) => format!("slot {slot} runs, but the boot state names slot {last} as the last one started"),
        None => format!("slot {slot} runs, but the boot state names no slot as the last one started"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use formats::boot_state::SlotState;
    use formats::gpt::{Partition, types};
    use formats::{Lba, SectorSize};
    use std::collections::BTreeMap;

    fn disk(seed: &str) -> Gpt {
        let partition = |name: &str, first: u64| Partition {
            type_guid: types::LINUX_DATA,
            guid: Guid::derive(seed, name),
            first: Lba(first),
            last: Lba(first + 2047),
            attributes: 0,
            name: name.into(),
        };
        let partitions = BTreeMap::from([(4, partition("base-a", 2048)), (5, partition("base-b", 4096))]);
        Gpt::new(Guid::derive(seed, "disk"), SectorSize::S512, 1 << 20, partitions).unwrap()
    }

    fn clues(loaded_from: Option<&str>, argument: Option<SlotId>) -> Clues {
        Clues {
            loader_partition: loaded_from.map(|name| Guid::derive("ours", name)),
            argument,
            disk_guid: Guid::derive("ours", "disk"),
        }
    }

    fn never() -> Option<SlotId> {
        panic!("the boot state is not asked when there is a clue");
    }

    fn state(sequence: u64, last: Option<SlotId>, tries: u8) -> BootState {
        let slot = SlotState { good: true, tries };
        BootState { sequence, order: SlotId::A, a: slot, b: slot, last, site: None }
    }

    #[test]
    fn finds_the_slot_argument_as_a_whole_word() {
        assert_eq!(slot_argument("quiet gpt slot=b\n"), Some(SlotId::B));
        assert_eq!(slot_argument("slot=a quiet slot=b"), Some(SlotId::B));
        for text in ["", "slot=", "slot=c", "slot=ab", "xslot=a", "SLOT=A"] {
            assert_eq!(slot_argument(text), None, "{text}");
        }
    }

    #[test]
    fn on_uefi_the_partition_the_kernel_came_from_decides() {
        let clues = clues(Some("base-b"), Some(SlotId::A));
        assert_eq!(slot_on(&disk("ours"), &clues, never), Some(SlotId::B));
        assert_eq!(slot_on(&disk("other"), &clues, never), None);
        assert!(contradiction(SlotId::B, &clues, None).unwrap().contains("command line says slot A"));
    }

    #[test]
    fn on_bios_the_argument_decides_on_the_disk_of_this_build_only() {
        let clues = clues(None, Some(SlotId::A));
        assert_eq!(slot_on(&disk("ours"), &clues, never), Some(SlotId::A));
        assert_eq!(slot_on(&disk("other"), &clues, never), None);
    }

    #[test]
    fn without_any_clue_the_slot_grub_wrote_down_counts_on_the_disk_of_this_build_only() {
        let none = clues(None, None);
        assert_eq!(slot_on(&disk("ours"), &none, || Some(SlotId::B)), Some(SlotId::B));
        assert_eq!(slot_on(&disk("other"), &none, || Some(SlotId::B)), None);
        assert_eq!(slot_on(&disk("ours"), &none, || None), None);
        assert!(wanted(&clues(None, None)).contains("slot=a"));
    }

    #[test]
    fn of_clones_the_disk_grub_has_just_counted_is_preferred() {
        let booted = state(7, Some(SlotId::A), 4);
        let clones = [state(7, Some(SlotId::B), 4), state(6, Some(SlotId::A), 5), state(7, Some(SlotId::A), 5)];
        for clone in &clones {
            assert!(preference(SlotId::A, Some(&booted)) < preference(SlotId::A, Some(clone)), "{clone:?}");
        }
        assert!(preference(SlotId::A, Some(&booted)) < preference(SlotId::A, None));
    }

    #[test]
    fn the_boot_state_is_cross_checked() {
        let clues = clues(None, Some(SlotId::A));
        assert_eq!(contradiction(SlotId::A, &clues, Some(&state(1, Some(SlotId::A), 5))), None);
        assert_eq!(contradiction(SlotId::A, &clues, None), None);
        assert!(contradiction(SlotId::A, &clues, Some(&state(1, Some(SlotId::B), 5))).is_some());
        assert!(contradiction(SlotId::A, &clues, Some(&state(1, None, 5))).is_some());
    }
}
