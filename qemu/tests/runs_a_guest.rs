//! The machine itself, tested with a guest of 174 bytes instead of an appliance.

mod support;

use std::time::Duration;

use qemu::{Disk, Error, Machine, Verdict};
use support::boot_sector_disk;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_disk_keeps_what_was_written_across_boots_and_the_image_stays_untouched() {
    let image = boot_sector_disk();
    let disk = Disk::overlay(image.file()).unwrap();
    let mut machine = Machine::new(&disk);
    for boot in ["boot=1", "boot=2", "boot=3"] {
        let mut guest = machine.boot().unwrap();
        guest.expect(["BOOT SECTOR", boot], SOON).unwrap();
        guest.quit().unwrap();
    }
    assert_eq!(image.edit(|raw| raw.read(512, 1)).unwrap(), [0]);
    assert_eq!(disk.edit(|raw| raw.read(512, 1)).unwrap(), [3]);
}

#[test]
fn the_guest_is_typed_to_and_switches_itself_off() {
    let mut guest = Machine::new(&boot_sector_disk()).boot().unwrap();
    guest.expect("boot=1", SOON).unwrap();
    guest.send("hi\n").unwrap();
    guest.expect("hi", SOON).unwrap();
    guest.send("x").unwrap();
    guest.expect_not("y", Duration::from_millis(100)).unwrap();
    guest.send("o").unwrap();
    assert_eq!(guest.wait(SOON).unwrap(), Verdict::PoweredOff);
}

#[test]
fn resets_are_counted_whoever_asks_for_them() {
    let mut guest = Machine::new(&boot_sector_disk()).boot().unwrap();
    guest.expect("boot=1", SOON).unwrap();
    assert_eq!(guest.resets(), 0);
    guest.send("r").unwrap();
    guest.expect("boot=2", SOON).unwrap();
    assert_eq!(guest.resets(), 1);
    std::thread::sleep(qemu::monitor::RESET_BURST);
    guest.reset().unwrap();
    guest.expect("boot=3", SOON).unwrap();
    assert_eq!(guest.resets(), 2);
}

#[test]
fn a_machine_that_does_not_reboot_ends_with_the_reset() {
    let mut guest = Machine::new(&boot_sector_disk()).no_reboot().boot().unwrap();
    guest.expect("boot=1", SOON).unwrap();
    guest.send("r").unwrap();
    assert_eq!(guest.wait(SOON).unwrap(), Verdict::Reset);
}

#[test]
fn the_power_can_be_cut_and_the_disk_booted_again() {
    let disk = boot_sector_disk();
    let mut machine = Machine::new(&disk);
    let mut guest = machine.boot().unwrap();
    guest.expect("boot=1", SOON).unwrap();
    assert!(disk.edit(|_| Ok(())).is_err(), "the disk is in use");
    guest.power_cut().unwrap();
    machine.boot().unwrap().expect("boot=2", SOON).unwrap();
}

#[test]
fn a_failed_expectation_shows_the_console_and_keeps_the_log() {
    let mut guest = Machine::new(&boot_sector_disk()).boot().unwrap();
    guest.expect("BOOT", SOON).unwrap();
    let error = guest.expect("never", Duration::from_millis(200)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no line with \"never\"") && text.contains("BOOT SECTOR boot=1"), "{text}");
    let Error::Guest { log, .. } = error else { panic!("{text}") };
    drop(guest);
    assert!(std::fs::read_to_string(&log).unwrap().contains("BOOT SECTOR boot=1"));
    std::fs::remove_file(log).unwrap();
}

#[test]
fn the_end_of_the_guest_ends_an_expectation_at_once() {
    let mut guest = Machine::new(&boot_sector_disk()).boot().unwrap();
    guest.expect("boot=1", SOON).unwrap();
    guest.send("o").unwrap();
    let error = guest.expect("never", Duration::from_mins(10)).unwrap_err();
    assert!(error.to_string().contains("the guest ended (powered off)"), "{error}");
}

#[test]
fn a_forbidden_line_that_comes_first_is_a_failure() {
    let mut guest = Machine::new(&boot_sector_disk()).boot().unwrap();
    let error = guest.expect_before("boot=2", "boot=1", SOON).unwrap_err();
    assert!(error.to_string().contains("a line with \"boot=1\" came before"), "{error}");
    guest.reset().unwrap();
    guest.expect_before("boot=2", "boot=1", SOON).unwrap();
}

#[test]
fn two_guests_get_different_free_ports_and_a_taken_one_is_refused() {
    let mut machine = Machine::new(&boot_sector_disk()).forward(80);
    let first = machine.boot().unwrap();
    let mut second = Machine::new(&boot_sector_disk()).forward(80);
    let port = first.port(80).unwrap();
    assert_ne!(port, second.boot().unwrap().port(80).unwrap());
    assert!(first.port(443).unwrap_err().to_string().contains("add .forward(443)"));
    let taken = Machine::diskless().forward_from(qemu::Forward { host: port, guest: 80 }).boot().unwrap_err();
    assert!(taken.to_string().contains("Could not set up host forwarding rule"), "{taken}");
}

#[test]
fn the_emulators_own_refusal_is_shown() {
    let error = Machine::diskless().extra(["-device", "no-such-device"]).boot().unwrap_err();
    assert!(error.to_string().contains("'no-such-device' is not a valid device"), "{error}");
}
