//! The demo appliance boots on every firmware, and nothing damaged, unsigned or forged in it ever runs.
//!
//! Needs the built appliance (`scripts/test` builds it): `BULKHEAD_TEST_IMAGE` and `BULKHEAD_TEST_KEYS`.

mod appliance;

use std::time::Duration;

use appliance::{READY, SlotFile, boot, expect_slot, resign, scenario};
use formats::footer::{self, FOOTER_SIZE, Footer};
use formats::{Bytes, SlotId};
use qemu::{Disk, Error, Firmware, Machine, Result};

/// Boots to a verified slot A with a site whose page answers, loses power, and boots again from the same disk.
fn boots_and_serves(disk: &Disk, firmware: Firmware) -> Result<()> {
    let mut machine = Machine::new(disk).firmware(firmware).forward(80);
    let mut guest = machine.boot()?;
    let ready = guest.expect([READY, "slot=A", "verified=yes"], guest.patience(1))?;
    assert!(!ready.text.contains("site=none"), "{ready}");
    let page = guest.http_get(80, "/", guest.patience(1))?;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("<html") || page.body.contains("<!doctype html"), "{page:?}");
    assert_eq!(guest.resets(), 0);
    guest.power_cut()?;
    let mut guest = machine.boot()?;
    expect_slot(&mut guest, SlotId::A, 1)
}

#[test]
fn boots_on_bios_and_serves_its_site() {
    scenario("boots-on-bios", |appliance| boots_and_serves(&appliance.overlay()?, Firmware::Bios));
}

#[test]
fn boots_on_uefi_and_serves_its_site() {
    scenario("boots-on-uefi", |appliance| boots_and_serves(&appliance.overlay()?, Firmware::Uefi));
}

#[test]
fn boots_with_secure_boot_enforcing_and_serves_its_site() {
    scenario("boots-with-secure-boot", |appliance| boots_and_serves(&appliance.overlay()?, appliance.secure_boot()));
}

#[test]
fn secure_boot_with_other_keys_refuses_the_appliance() {
    scenario("secure-boot-with-other-keys", |appliance| {
        // the same machine, but who may sign is somebody else: this shows that the firmware really enforces
        let other = tempfile::tempdir().unwrap();
        for (from, to) in [("PK.crt", "PK.crt"), ("KEK.crt", "KEK.crt"), ("KEK.crt", "boot.crt")] {
            std::fs::copy(appliance.keys.join(from), other.path().join(to)).unwrap();
        }
        let mut guest = boot(&appliance.overlay()?, Firmware::SecureBoot { keys: other.path().to_owned() })?;
        guest.expect_before("Access Denied", "GRUB", guest.patience(1))?;
        guest.expect_not("GRUB:", Duration::from_secs(2))
    });
}

/// Damages a file of slot A in place; slot B must start in the same run of GRUB.
fn falls_through(disk: &Disk, firmware: Firmware, path: &str) -> Result<()> {
    disk.edit(|raw| {
        let file = SlotFile::read(raw, SlotId::A, path)?;
        let middle = file.content.len() / 2;
        let position = file.position(raw, middle)?;
        raw.flip_in(&file.label, position)
    })?;
    let mut guest = boot(disk, firmware)?;
    expect_slot(&mut guest, SlotId::B, 1)?;
    assert_eq!(guest.resets(), 0, "GRUB itself goes on to the other slot");
    Ok(())
}

#[test]
fn an_altered_uki_is_refused_and_the_other_slot_boots() {
    scenario("altered-uki", |appliance| {
        falls_through(&appliance.two_slots(5)?, appliance.secure_boot(), "/boot/uki.efi")
    });
}

#[test]
fn an_altered_uki_is_refused_without_secure_boot_too() {
    scenario("altered-uki-uefi", |appliance| falls_through(&appliance.two_slots(5)?, Firmware::Uefi, "/boot/uki.efi"));
}

#[test]
fn an_altered_kernel_is_refused_on_bios_and_the_other_slot_boots() {
    scenario("altered-kernel", |appliance| falls_through(&appliance.two_slots(5)?, Firmware::Bios, "/boot/uki.efi"));
}

#[test]
fn an_unsigned_uki_is_refused_by_the_firmware_and_the_other_slot_boots() {
    scenario("unsigned-uki", |appliance| {
        let disk = appliance.two_slots(5)?;
        disk.edit(|raw| {
            // The certificate table entry of the PE header (data directory 4) is cleared: no signature. The OpenPGP signature that
            // GRUB wants is made anew with the right key, so that only the firmware can refuse.
            let uki = SlotFile::read(raw, SlotId::A, "/boot/uki.efi")?;
            let pe = usize::try_from(u32::from_le_bytes(*uki.content[0x3c..].first_chunk().unwrap())).unwrap();
            let certificates = pe + 24 + 112 + 4 * 8;
            assert_ne!(uki.content[certificates..certificates + 8], [0; 8], "the UKI was signed");
            let mut unsigned = uki.content.clone();
            unsigned[certificates..certificates + 8].fill(0);
            let signature = SlotFile::read(raw, SlotId::A, "/boot/uki.efi.sig")?;
            let resigned = resign(&signature.content, &unsigned, &appliance.keys.join("boot.key"));
            signature.overwrite(raw, 0, &resigned)?;
            uki.overwrite(raw, certificates, &[0; 8])
        })?;
        let mut guest = boot(&disk, appliance.secure_boot())?;
        expect_slot(&mut guest, SlotId::B, 1)?;
        drop(guest);
        // The same disk without Secure Boot starts slot A: GRUB accepted the file, so it was the firmware that refused it.
        let mut guest = boot(&disk, Firmware::Uefi)?;
        expect_slot(&mut guest, SlotId::A, 1)
    });
}

#[test]
fn a_flipped_byte_in_a_base_block_restarts_and_falls_back_when_the_slot_stays_broken() {
    scenario("flipped-base-block", |appliance| {
        let disk = appliance.two_slots(2)?;
        disk.edit(|raw| {
            // every start needs it, and only the kernel reads it: dm-verity is the one judge
            let program = SlotFile::read(raw, SlotId::A, "/bin/busybox")?;
            let position = program.position(raw, 8192)?;
            raw.flip_in(&program.label, position)
        })?;
        let mut guest = boot(&disk, Firmware::Bios)?;
        for _ in 0..2 {
            guest.expect_before("is corrupted", READY, guest.patience(2))?;
        }
        expect_slot(&mut guest, SlotId::B, 2)?;
        assert_eq!(guest.resets(), 2, "one restart for each try of the broken slot");
        Ok(())
    });
}

/// Replaces the footer of slot A; its one try must end in a refusal that says `reason`, then slot B starts.
fn refuses_footer(disk: &Disk, reason: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Result<()> {
    disk.edit(|raw| {
        let offset = raw.partition("base-a")?.offset + raw.footer_offset("base-a")?;
        let changed = change(raw.read(offset, FOOTER_SIZE)?);
        raw.write(offset, &changed)
    })?;
    let mut guest = boot(disk, Firmware::Uefi)?;
    guest.expect_before(["bulkhead-init: FATAL", reason], [READY, "slot=A"], guest.patience(1))?;
    expect_slot(&mut guest, SlotId::B, 2)?;
    assert_eq!(guest.resets(), 1);
    Ok(())
}

#[test]
fn a_slot_whose_footer_signature_is_invalid_never_boots() {
    scenario("forged-footer", |appliance| {
        refuses_footer(&appliance.two_slots(1)?, "trust", |bytes| {
            let footer = Footer::parse(&bytes).unwrap();
            // a manifest nobody signed, in a footer whose checksum is right
            let manifest = String::from_utf8(footer.manifest).unwrap();
            let forged = manifest.replacen("\"name\"", " \"name\"", 1);
            assert_ne!(forged, manifest);
            footer::encode(forged.as_bytes(), &footer.signatures).unwrap()
        })
    });
}

#[test]
fn a_slot_without_a_footer_never_boots() {
    scenario("erased-footer", |appliance| refuses_footer(&appliance.two_slots(1)?, "is empty", |_| footer::erased()));
}

#[test]
fn boots_although_both_boot_state_blocks_are_destroyed() {
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        scenario(&format!("destroyed-boot-state-{firmware}"), |appliance| {
            let disk = appliance.overlay()?;
            disk.edit(qemu::surgery::RawImage::destroy_boot_state)?;
            expect_slot(&mut boot(&disk, firmware.clone())?, SlotId::A, 1)
        });
    }
}

#[test]
fn a_lost_boot_state_does_not_tie_the_machine_to_a_slot_that_fails() {
    // GRUB does not count starts without a state: the initramfs program has to begin a new one before anything can fail.
    scenario("destroyed-boot-state-and-bad-slot", |appliance| {
        let disk = appliance.two_slots(5)?;
        disk.edit(|raw| {
            raw.destroy_boot_state()?;
            let offset = raw.partition("base-a")?.offset + raw.footer_offset("base-a")?;
            raw.write(offset, &vec![0; FOOTER_SIZE])
        })?;
        let mut guest = boot(&disk, Firmware::Bios)?;
        guest.expect_before("a new one was begun", [READY], guest.patience(1))?;
        expect_slot(&mut guest, SlotId::B, 6)
    });
}

#[test]
fn the_data_partition_fills_a_larger_disk() {
    scenario("data-fills-the-disk", |appliance| {
        let disk = appliance.overlay()?;
        let before = disk.edit(|raw| raw.size())?;
        let larger = before.plus(Bytes::mib(700)).map_err(Error::format("disk size"))?;
        disk.grow(larger)?;
        let mut machine = Machine::new(&disk);
        let mut guest = machine.boot()?;
        expect_slot(&mut guest, SlotId::A, 1)?;
        // ext4 writes its journal every five seconds
        std::thread::sleep(Duration::from_secs(6));
        guest.power_cut()?;
        let mut guest = machine.boot()?;
        expect_slot(&mut guest, SlotId::A, 1)?; // replays the journal
        guest.power_cut()?;
        disk.edit(|raw| {
            let data = raw.partition("data")?;
            assert!(data.offset + data.length > larger.0 - (3 << 20), "the partition ends at the disk's end: {data:?}");
            // ext4 superblock at byte 1024: 0x04 block count, 0x18 block size
            let superblock = raw.read(data.offset + 1024, 1024)?;
            let number = |at: usize| u64::from(u32::from_le_bytes(*superblock[at..].first_chunk().unwrap()));
            let filled = number(4) << (10 + number(0x18));
            assert!(filled > data.length - (16 << 20), "the file system has {filled} bytes of {}", data.length);
            Ok(())
        })
    });
}
