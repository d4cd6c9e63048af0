//! Updates of the running appliance, through the real boot loader: switch, trial, commit, fall back.

mod lab;

use std::time::Duration;

use lab::{FIRST, GOOD, PACKAGE, PANICS, copy, lab, machine, run};
use qemu::{Firmware, Result};

fn scenario(run: impl FnOnce(&'static lab::Lab) -> Result<()>) {
    if let Some(lab) = lab()
        && let Err(error) = run(lab)
    {
        panic!("{}", error.chain());
    }
}

#[test]
fn a_base_update_is_installed_tried_and_kept_on_bios() {
    scenario(|lab| {
        let disk = lab.disk()?;
        let package = lab.base(GOOD);
        let mut guest = machine(&disk, Firmware::Bios, &package).boot()?;
        guest.expect(["BULKHEAD READY", "slot=A", FIRST.version], guest.patience(1))?;
        copy(&mut guest, &package, 2)?;
        guest.send(&format!("update-agent install --restart {PACKAGE}\n"))?;
        guest.expect_before(
            ["BULKHEAD READY", "slot=B", GOOD.version],
            ["BULKHEAD READY", "slot=A"],
            guest.patience(3),
        )?;
        // The trial ends by itself; then the release stays across a restart nobody asked the agent about.
        run(
            &mut guest,
            "until update-agent status | grep -q 'slot B is good; nothing is pending'; do sleep 1; done",
            2,
        )?;
        guest.power_cut()?;
        let mut guest = machine(&disk, Firmware::Bios, &package).boot()?;
        guest.expect_before(["BULKHEAD READY", "slot=B"], ["BULKHEAD READY", "slot=A"], guest.patience(1)).map(drop)
    });
}

#[test]
fn a_release_that_panics_falls_back_and_says_why() {
    scenario(|lab| {
        let disk = lab.disk()?;
        let package = lab.base(PANICS);
        let mut guest = machine(&disk, Firmware::Bios, &package).boot()?;
        guest.expect(["BULKHEAD READY", "slot=A"], guest.patience(1))?;
        copy(&mut guest, &package, 2)?;
        guest.send(&format!("update-agent install --restart {PACKAGE}\n"))?;
        guest.expect("Kernel panic", guest.patience(3))?;
        guest.expect(["BULKHEAD READY", "slot=A", FIRST.version], guest.patience(8))?;
        run(&mut guest, "update-agent status | grep -i 1.2.0 | grep -i fail", 1)
    });
}

#[test]
fn a_site_is_switched_without_a_restart() {
    scenario(|lab| {
        let disk = lab.disk()?;
        let package = lab.site(GOOD);
        let mut guest = machine(&disk, Firmware::Bios, &package).boot()?;
        guest.expect(["BULKHEAD READY", "site=hello 1.0.0"], guest.patience(1))?;
        run(&mut guest, "cat /proc/sys/kernel/random/boot_id >/data/boot-id", 1)?;
        copy(&mut guest, &package, 1)?;
        run(&mut guest, &format!("update-agent install {PACKAGE}"), 1)?;
        run(&mut guest, "cmp /proc/sys/kernel/random/boot_id /data/boot-id", 1)
    });
}

#[test]
fn a_power_cut_while_a_slot_is_written_leaves_the_old_release_and_a_retry_completes() {
    scenario(|lab| {
        let disk = lab.disk()?;
        let package = lab.base(GOOD);
        let mut guest = machine(&disk, Firmware::Bios, &package).boot()?;
        guest.expect(["BULKHEAD READY", "slot=A"], guest.patience(1))?;
        copy(&mut guest, &package, 2)?;
        guest.send(&format!("update-agent install {PACKAGE}\n"))?;
        std::thread::sleep(Duration::from_millis(1500));
        guest.power_cut()?;
        let mut guest = machine(&disk, Firmware::Bios, &package).boot()?;
        guest.expect_before(["BULKHEAD READY", "slot=A"], ["BULKHEAD READY", "slot=B"], guest.patience(1))?;
        run(&mut guest, &format!("update-agent install {PACKAGE}"), 3)
    });
}
