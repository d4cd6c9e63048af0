//! Is this machine healthy, and what does the boot state need? Pure.

use formats::SlotId;
use formats::boot_report::BootReport;
use formats::boot_state::{BootState, Event, GOOD_TRIES};

use crate::health::Finding;

/// Why the machine is not healthy yet; nothing when it is.
///
/// A data partition that cannot be mounted is a known, reported fault: another slot would not mount it either, so it is no reason to
/// leave this one. A data partition that vanished after the start is not known.
pub fn complaint(report: &BootReport, data_mounted: bool) -> Option<String> {
    if !report.base.verified {
        return Some("the base is not verified".into());
    }
    if !data_mounted && report.data.error.is_none() {
        return Some("\"/data\" is not mounted".into());
    }
    None
}

/// The same as a finding among others.
pub fn finding(report: &BootReport, data_mounted: bool) -> Finding {
    let wanted = "the base is verified and \"/data\" is mounted";
    Finding { problem: complaint(report, data_mounted), ..Finding::failed("agent/start", wanted, "") }
}

/// The change the boot state needs now that `running` has proved healthy, if any. `whole` tells whether both blocks are whole: a
/// damaged one is rebuilt by the next write, so a write is made.
pub fn due(state: &BootState, running: SlotId, whole: bool) -> Option<Event> {
    let other = state.slot(!running);
    // The other slot, on trial or good once, was started until nothing was left, and this one had to step in: put this one first
    // again. A good first choice that is left there would be taken out of order at each start and never be explained.
    if state.order == !running && other.tries == 0 && state.slot(running).good {
        return Some(Event::GiveUp(!running));
    }
    let own = state.slot(running);
    if !own.good {
        return Some(Event::Commit(running));
    }
    (own.tries < GOOD_TRIES || !whole).then_some(Event::Refill(running))
}

/// One line for the log.
pub fn describe(event: Event) -> String {
    match event {
        Event::Commit(slot) => format!("slot {slot} is healthy and committed"),
        Event::Refill(slot) => format!("slot {slot} is healthy and has all its tries again"),
        Event::GiveUp(slot) => format!("slot {slot} is given up"),
        Event::BeginWrite(slot) => format!("slot {slot} is given away to be written"),
        Event::Arm(slot) => format!("slot {slot} starts on trial at the next restart"),
        Event::SwitchSite(slot) => format!("site slot {slot} is the one to run from now on"),
        Event::CountTry(slot) | Event::LastResort(slot) => format!("slot {slot} is started"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use formats::Digest;
    use formats::boot_report::{Content, DataReport, Firmware, StateReport};
    use formats::boot_state::SlotState;

    /// A report of a healthy start.
    pub fn sample() -> BootReport {
        let content = Content {
            name: "demo".into(),
            version: "1.0.0".into(),
            build_id: Digest::of(b"demo"),
            sequence: 1,
            verified: true,
            signers: vec!["release".into()],
        };
        BootReport {
            format: 1,
            product: "demo".into(),
            slot: SlotId::A,
            base: content,
            site: None,
            data: DataReport { device: Some("/dev/vda8".into()), grown: false, error: None },
            state: StateReport::default(),
            firmware: Firmware::Uefi,
            secure_boot: true,
            disk: "/dev/vda".into(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn healthy_means_verified_and_data_mounted_or_known_to_be_broken() {
        let mut report = sample();
        assert_eq!(complaint(&report, true), None);
        assert!(complaint(&report, false).is_some());
        report.data.error = Some("no superblock".into());
        assert_eq!(complaint(&report, false), None);
        report.base.verified = false;
        assert!(complaint(&report, true).is_some());
    }

    fn state(order: SlotId, a: SlotState, b: SlotState) -> BootState {
        BootState { sequence: 3, order, a, b, last: Some(SlotId::A), site: None }
    }

    #[test]
    fn a_trial_is_committed_and_a_good_slot_refilled() {
        let trial = SlotState { good: false, tries: 1 };
        let used = SlotState { good: true, tries: 4 };
        assert_eq!(due(&state(SlotId::A, trial, SlotState::GOOD), SlotId::A, true), Some(Event::Commit(SlotId::A)));
        assert_eq!(due(&state(SlotId::A, used, SlotState::EMPTY), SlotId::A, true), Some(Event::Refill(SlotId::A)));
    }

    #[test]
    fn nothing_is_written_when_nothing_changed_but_a_damaged_block_is_rebuilt() {
        let settled = state(SlotId::A, SlotState::GOOD, SlotState::GOOD);
        assert_eq!(due(&settled, SlotId::A, true), None);
        assert_eq!(due(&settled, SlotId::A, false), Some(Event::Refill(SlotId::A)));
    }

    #[test]
    fn a_failed_update_is_given_up_by_the_slot_that_stepped_in() {
        let failed = state(SlotId::B, SlotState::GOOD, SlotState::EMPTY);
        assert_eq!(due(&failed, SlotId::A, true), Some(Event::GiveUp(SlotId::B)));
        // One that was good and rots is no different.
        let rotten = state(SlotId::B, SlotState::GOOD, SlotState { good: true, tries: 0 });
        assert_eq!(due(&rotten, SlotId::A, true), Some(Event::GiveUp(SlotId::B)));
        let last_try = state(SlotId::B, SlotState::GOOD, SlotState { good: true, tries: 1 });
        assert_eq!(due(&last_try, SlotId::A, true), None);
        // Armed a moment ago, not tried yet: none of this boot's business.
        let armed = state(SlotId::B, SlotState::GOOD, SlotState::TRIAL);
        assert_eq!(due(&armed, SlotId::A, true), None);
    }
}
