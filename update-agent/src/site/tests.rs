use formats::SlotId::{self, A, B};

use super::*;
use crate::disk::simulated::{Disk, Fault, Medium, Operation, SiteStep};

fn running(slot: Option<SlotId>) -> Disk {
    let mut medium = Medium::new();
    medium.site = Some(Now { slot, started: true });
    Disk::new(medium)
}

fn runs(disk: &Disk) -> Now {
    disk.now().unwrap()
}

#[test]
fn a_switch_stops_closes_opens_and_starts_in_this_order() {
    let disk = running(Some(A));
    activate(&disk, Some(B), Some(A)).unwrap();
    let now = |slot, started| Operation::Site(Now { slot, started });
    assert_eq!(disk.log(), [now(Some(A), false), now(None, false), now(Some(B), false), now(Some(B), true)]);
}

#[test]
fn whatever_step_fails_the_site_before_runs_again() {
    for (step, slot) in [(SiteStep::Close, A), (SiteStep::Open, B), (SiteStep::Start, B)] {
        let disk = running(Some(A)).with_fault(Fault::Site(step, slot));
        let problem = activate(&disk, Some(B), Some(A)).unwrap_err().to_string();
        assert_eq!(problem, format!("the site is not switched: injected failure of {step:?}"));
        assert_eq!(runs(&disk), Now { slot: Some(A), started: true }, "{step:?}");
    }
}

#[test]
fn a_first_site_that_does_not_start_is_taken_away_again() {
    let disk = running(None).with_fault(Fault::Site(SiteStep::Start, B));
    activate(&disk, Some(B), None).unwrap_err();
    assert_eq!(runs(&disk).slot, None);
}

#[test]
fn when_the_site_before_does_not_come_back_either_both_reasons_are_told() {
    let disk = running(Some(A)).with_fault(Fault::Site(SiteStep::Stop, A));
    // Nothing but a stop was tried, and what was to be stopped is simply started again.
    activate(&disk, Some(B), Some(A)).unwrap_err();
    assert_eq!(runs(&disk), Now { slot: Some(A), started: true });
    let disk = running(None).with_fault(Fault::Site(SiteStep::Open, A));
    let problem = activate(&disk, Some(A), Some(A)).unwrap_err().to_string();
    assert!(problem.contains("injected failure of Open"), "{problem}");
}

#[test]
fn wherever_a_switch_is_cut_off_the_next_one_completes_it() {
    for cut in 0..4 {
        let disk = running(Some(A));
        activate(&disk, Some(B), Some(A)).unwrap();
        let mut medium = Medium::new();
        medium.site = Some(Now { slot: Some(A), started: true });
        disk.log().iter().take(cut).for_each(|operation| medium.apply(operation));
        for wanted in [A, B] {
            let disk = Disk::new(medium.clone());
            activate(&disk, Some(wanted), None).unwrap();
            assert_eq!(runs(&disk), Now { slot: Some(wanted), started: true }, "cut {cut}");
        }
    }
}
