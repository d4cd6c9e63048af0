//! The built demo appliance that the boot tests start and damage: its image, its keys, and what is inside its slots.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ext4_view::{Ext4, Ext4Read};
use formats::SlotId;
use formats::boot_state::{BootState, SlotState};
use qemu::junit::{Outcome, Report};
use qemu::surgery::{RawImage, base_label};
use qemu::{Disk, Firmware, Guest, Machine, Result};

/// Printed by the appliance when its userland is up.
pub const READY: &str = "BULKHEAD READY";

/// The appliance under test.
pub struct Appliance {
    image: PathBuf,
    pub keys: PathBuf,
}

/// Runs a scenario on the appliance that `BULKHEAD_TEST_IMAGE` and `BULKHEAD_TEST_KEYS` name. Without them: fails in CI, else says
/// that it was skipped. Writes a report into the directory `BULKHEAD_JUNIT_DIR` names, if any.
pub fn scenario(name: &str, run: impl FnOnce(&Appliance) -> Result<()>) {
    let path = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let (Some(image), Some(keys)) = (path("BULKHEAD_TEST_IMAGE"), path("BULKHEAD_TEST_KEYS")) else {
        assert!(std::env::var_os("CI").is_none(), "BULKHEAD_TEST_IMAGE and BULKHEAD_TEST_KEYS are not set");
        println!("SKIPPED: needs BULKHEAD_TEST_IMAGE and BULKHEAD_TEST_KEYS (scripts/test builds both)");
        report(name, Duration::ZERO, Outcome::Skipped("needs BULKHEAD_TEST_IMAGE and BULKHEAD_TEST_KEYS".into()));
        return;
    };
    let started = Instant::now();
    let result = run(&Appliance { image, keys });
    let outcome = result.as_ref().map_or_else(|error| Outcome::Failed(error.chain()), |()| Outcome::Passed);
    report(name, started.elapsed(), outcome);
    if let Err(error) = result {
        panic!("{}", error.chain());
    }
}

fn report(name: &str, time: Duration, outcome: Outcome) {
    if let Some(directory) = std::env::var_os("BULKHEAD_JUNIT_DIR") {
        let mut report = Report::new("boot image");
        report.add(name, time, outcome, "");
        report.write(&Path::new(&directory).join(format!("{name}.xml"))).unwrap();
    }
}

impl Appliance {
    pub fn overlay(&self) -> Result<Disk> {
        Disk::overlay(&self.image)
    }

    pub fn secure_boot(&self) -> Firmware {
        Firmware::SecureBoot { keys: self.keys.clone() }
    }

    /// A copy of the disk with the same system in both slots, A first with `tries_of_a` left, both good.
    pub fn two_slots(&self, tries_of_a: u8) -> Result<Disk> {
        let disk = Disk::copy(&self.image)?;
        disk.edit(|raw| {
            raw.copy_partition("base-a", "base-b")?;
            let before = raw.boot_state()?.expect("the image has a boot state");
            raw.set_boot_state(&BootState {
                sequence: before.sequence + 1,
                order: SlotId::A,
                a: SlotState { good: true, tries: tries_of_a },
                b: SlotState::GOOD,
                ..before
            })
        })?;
        Ok(disk)
    }
}

/// Boots a machine with this disk and firmware.
pub fn boot(disk: &Disk, firmware: Firmware) -> Result<Guest> {
    Machine::new(disk).firmware(firmware).boot()
}

/// Waits until `slot` is up after at most `boots` starts, and fails as soon as the other one is.
pub fn expect_slot(guest: &mut Guest, slot: SlotId, boots: u32) -> Result<()> {
    let (wanted, other) = (format!("slot={slot}"), format!("slot={}", !slot));
    let patience = guest.patience(boots);
    guest.expect_before([READY, &wanted, "verified=yes"], [READY, &other], patience).map(drop)
}

/// A file inside a slot, found where GRUB and the kernel find it: in the ext4 file system of a partition.
pub struct SlotFile {
    pub label: String,
    pub content: Vec<u8>,
}

impl SlotFile {
    pub fn read(raw: &RawImage, slot: SlotId, path: &str) -> Result<Self> {
        let label = base_label(slot);
        let start = raw.partition(&label)?.offset;
        let length = usize::try_from(raw.partition(&label)?.length).unwrap();
        let reader = PartitionReader(raw.read(start, length)?);
        let content =
            Ext4::load(Box::new(reader)).and_then(|fs| fs.read(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Ok(Self { label, content })
    }

    /// Where byte `at` of the file is in its partition. The block around it must occur once, which is so for compressed content.
    pub fn position(&self, raw: &RawImage, at: usize) -> Result<u64> {
        let first = at / BLOCK * BLOCK;
        let mut block = self.content[first..self.content.len().min(first + BLOCK)].to_vec();
        block.resize(BLOCK, 0);
        let found = raw.find_block(&self.label, &block)?.expect("the file's block is in its partition");
        Ok(found + u64::try_from(at - first).unwrap())
    }

    /// Writes `bytes` over the file from byte `at` on, in place, behind every check.
    pub fn overwrite(&self, raw: &mut RawImage, at: usize, bytes: &[u8]) -> Result<()> {
        let partition = raw.partition(&self.label)?.offset;
        let position = self.position(raw, at)?;
        raw.write(partition + position, bytes)
    }
}

struct PartitionReader(Vec<u8>);

impl Ext4Read for PartitionReader {
    fn read(
        &mut self,
        start: u64,
        target: &mut [u8],
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let start = usize::try_from(start)?;
        target.copy_from_slice(self.0.get(start..start + target.len()).ok_or("beyond the partition")?);
        Ok(())
    }
}

/// The detached `OpenPGP` signature `old` (RFC 4880, section 5.2.3, version 4) made anew over `data` with an RSA key in PEM: everything
/// in it stays, but the digest's first bytes and the signature itself. Signs with the `openssl` program, so that the judge of our
/// own signer is somebody else's.
pub fn resign(old: &[u8], data: &[u8], key: &Path) -> Vec<u8> {
    // old and new packet formats (section 4.2); ours are 300 to 400 bytes long
    let body = match old[0] {
        0x88 => 2,
        0xc2 if old[1] < 192 => 2,
        0x89 | 0xc2 => 3,
        tag => panic!("not a signature packet: {tag:#x}"),
    };
    let u16_at = |at: usize| usize::from(u16::from_be_bytes([old[at], old[at + 1]]));
    assert_eq!((old[body], old[body + 2], old[body + 3]), (4, 1, 8), "a version 4 signature with RSA and SHA-256");
    let hashed_end = body + 6 + u16_at(body + 4);
    let left = hashed_end + 2 + u16_at(hashed_end);
    let hashed = &old[body..hashed_end];
    let trailer = [&[4, 0xff][..], &u32::try_from(hashed.len()).unwrap().to_be_bytes()].concat();
    let signed = [data, hashed, &trailer].concat();
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("signed");
    std::fs::write(&input, &signed).unwrap();
    let output = Command::new("openssl").args(["dgst", "-sha256", "-sign"]).arg(key).arg(&input).output().unwrap();
    assert!(
        output.status.success() && output.stdout.len() == 256,
        "openssl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let digest = formats::Digest::of(&signed).0;
    let bits = 2048 - output.stdout[0].leading_zeros();
    let mut new = old[..left].to_vec();
    new.extend(&digest[..2]);
    new.extend(u16::try_from(bits).unwrap().to_be_bytes());
    new.extend(&output.stdout);
    assert_eq!(new.len(), old.len(), "the signature keeps its length");
    new
}

const BLOCK: usize = 4096;
