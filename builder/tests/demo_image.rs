//! The built demo appliance against tools we did not write, and `bulkhead verify` against every class of single-byte damage.
//!
//! `scripts/test` builds the image first and names it in `BULKHEAD_TEST_IMAGE` and its keys in `BULKHEAD_TEST_KEYS`.

mod support;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use builder::opened::OpenedImage;
use builder::verify::{Trust, verify};
use formats::reset_record::{ResetRecord, Then};
use formats::state_volume::RESET_OFFSET;
use support::{Oracle, demo, sparse_copy};

/// Writes one partition of the image into a file of its own.
fn extract(image: &Path, label: &str, to: &Path) -> u64 {
    let opened = OpenedImage::open(image).unwrap();
    let region = opened.region(label).unwrap();
    let out = File::create(to).unwrap();
    out.set_len(region.size.0).unwrap();
    for offset in (0..region.size.0).step_by(1 << 20) {
        let bytes =
            opened.read(formats::Bytes(region.start.0 + offset), (region.size.0 - offset).min(1 << 20)).unwrap();
        if bytes.iter().any(|byte| *byte != 0) {
            out.write_all_at(&bytes, offset).unwrap();
        }
    }
    region.size.0
}

/// Manifest of a slot, unverified, as JSON.
fn manifest(image: &Path, label: &str) -> serde_json::Value {
    let opened = OpenedImage::open(image).unwrap();
    let footer = opened.footer(&opened.region(label).unwrap()).unwrap().unwrap();
    serde_json::from_slice(&footer.manifest).unwrap()
}

#[test]
fn partition_table_is_clean_for_sgdisk() {
    let Some(demo) = demo() else { return };
    let output = Oracle::new("sgdisk").args(["-v"]).arg(&demo.image).run();
    assert!(output.contains("No problems found"), "{output}");
}

#[test]
fn both_fat_volumes_are_clean_for_fsck() {
    let Some(demo) = demo() else { return };
    for label in ["esp", "state"] {
        let file = demo.scratch.path().join(label);
        extract(&demo.image, label, &file);
        Oracle::new("fsck.fat").args(["-n"]).arg(&file).run();
    }
}

#[test]
fn every_file_system_is_clean_for_e2fsck() {
    let Some(demo) = demo() else { return };
    for label in ["base-a", "site-a", "data"] {
        let file = demo.scratch.path().join(label);
        extract(&demo.image, label, &file);
        if label != "data" {
            let blocks = manifest(&demo.image, label)["image"]["data-blocks"].as_u64().unwrap();
            OpenOptions::new().write(true).open(&file).unwrap().set_len(blocks * 4096).unwrap();
        }
        Oracle::new("e2fsck").args(["-fn"]).arg(&file).run();
    }
}

#[test]
fn hash_trees_verify_with_veritysetup() {
    let Some(demo) = demo() else { return };
    for label in ["base-a", "site-a"] {
        let file = demo.scratch.path().join(label);
        extract(&demo.image, label, &file);
        let info = &manifest(&demo.image, label)["image"];
        let offset = (info["data-blocks"].as_u64().unwrap() * 4096).to_string();
        let root = info["root-hash"].as_str().unwrap();
        Oracle::new("veritysetup").arg("verify").arg(&file).arg(&file).args([root, "--hash-offset", &offset]).run();
    }
}

#[test]
fn grub_reads_the_boot_files_and_sbverify_accepts_what_firmware_loads() {
    let Some(demo) = demo() else { return };
    let certificate = demo.keys.join("boot.crt");
    let esp = demo.scratch.path().join("esp");
    extract(&demo.image, "esp", &esp);
    let loader = demo.scratch.path().join("BOOTX64.EFI");
    Oracle::new("mcopy").arg("-i").arg(&esp).arg("::EFI/BOOT/BOOTX64.EFI").arg(&loader).run();
    let kernel = demo.scratch.path().join("uki.efi");
    let output = Oracle::new("grub-fstest").arg(&demo.image).args(["cat", "(loop0,gpt4)/boot/uki.efi"]).run_raw();
    fs::write(&kernel, output).unwrap();
    for file in [&loader, &kernel] {
        Oracle::new("sbverify").arg("--cert").arg(&certificate).arg(file).run();
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes_in_another_folder_umask_locale_user_and_time_zone() {
    let Some(demo) = demo() else { return };
    let scratch = tempfile::Builder::new().prefix("bulkhead other place ").tempdir().unwrap();
    Oracle::new("chmod").args(["0777"]).arg(scratch.path()).run();
    let folder = scratch.path().join("elsewhere");
    Oracle::new("cp").arg("-r").arg(demo.recipe.parent().unwrap()).arg(&folder).run();
    let script = format!(
        "umask 077; cd / && exec '{}' build '{}' -o '{}'",
        demo.bulkhead.display(),
        folder.join("recipe.toml").display(),
        scratch.path().join("out").display()
    );
    // As root, become another user: the build must need no privilege and must not see who runs it.
    let mut command = if nix::unistd::Uid::effective().is_root() {
        Oracle::new("chown").args(["-R", "65534:65534"]).arg(&folder).run();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", &script]);
        command
    } else {
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        command
    };
    let output = command
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("TZ", "Pacific/Kiritimati")
        .env("HOME", "/nonexistent")
        .env_remove("SOURCE_DATE_EPOCH")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = fs::read_dir(scratch.path().join("out")).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(made.len(), 3, "image, base package, site package: {made:?}");
    for file in made {
        Oracle::new("cmp").arg(demo.image.with_file_name(file.file_name().unwrap())).arg(&file).run();
    }
}

#[test]
fn a_shipped_image_verifies() {
    let Some(demo) = demo() else { return };
    let report = verify(&demo.image, &Trust::load(&demo.keys).unwrap(), false).unwrap();
    assert_eq!(report.failures(), 0, "{report}");
}

#[test]
fn verify_names_the_place_of_every_class_of_single_byte_damage() {
    let Some(demo) = demo() else { return };
    let trust = Trust::load(&demo.keys).unwrap();
    let copy = demo.scratch.path().join("damaged.img");
    sparse_copy(&demo.image, &copy);
    let opened = OpenedImage::open(&copy).unwrap();
    let at = |label: &str, offset: u64| opened.region(label).unwrap().start.0 + offset;
    let end = |label: &str, offset: u64| opened.region(label).unwrap().end().0 - offset;
    let base = manifest(&copy, "base-a");
    let tree = base["image"]["data-blocks"].as_u64().unwrap() * 4096;
    let used = base["image"]["size"].as_u64().unwrap();
    let cases: Vec<(&str, u64, &str)> = vec![
        ("boot code in the master boot record", 0x60, "region protective-mbr"),
        ("primary table header", 512 + 0x20, "primary partition table"),
        ("primary table entry", 1024 + 130, "primary partition table"),
        ("backup table header", opened.size.0 - 512 + 40, "backup partition table"),
        ("GRUB's core image", at("bios", 70_000), "region bios"),
        ("image record", end("bios", 16_000), "image record"),
        ("FAT of the ESP", at("esp", 0x4010), "region esp"),
        ("boot state copy 1", at("state", 4096 + 30), "boot state copy 1"),
        ("boot state copy 2", at("state", 8192 + 30), "boot state copy 2"),
        ("first block of the base", at("base-a", 1024 + 4), "slot base-a blocks"),
        ("hash tree superblock", at("base-a", tree + 9), "slot base-a blocks"),
        ("hash tree", at("base-a", tree + 4096 + 77), "slot base-a blocks"),
        ("unused rest of a slot", at("base-a", used + 5000), "slot base-a unused rest"),
        ("footer", end("base-a", 65_000), "slot base-a"),
        ("empty slot", at("base-b", 12_345), "slot base-b"),
        ("site", at("site-a", 2_000), "slot site-a blocks"),
        ("data", at("data", 1030), "region data"),
        ("between the tables and the first partition", 40_000, "unowned bytes"),
    ];
    for (what, offset, expected) in cases {
        let file = OpenOptions::new().read(true).write(true).open(&copy).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
        let report = verify(&copy, &trust, false).unwrap();
        let text = report.to_string();
        assert!(text.lines().any(|line| line.starts_with(&format!("FAILED  {expected}"))), "{what}:\n{text}");
        file.write_all_at(&byte, offset).unwrap();
    }
    let report = verify(&copy, &trust, false).unwrap();
    assert_eq!(report.failures(), 0, "{report}");
}

#[test]
fn verify_notices_any_single_byte_wherever_it_is() {
    let Some(demo) = demo() else { return };
    let trust = Trust::load(&demo.keys).unwrap();
    let copy = demo.scratch.path().join("sampled.img");
    sparse_copy(&demo.image, &copy);
    let file = OpenOptions::new().read(true).write(true).open(&copy).unwrap();
    let opened = OpenedImage::open(&copy).unwrap();
    let mut random = Random(0x0b17_f11b);
    // Anywhere: mostly zeros, mostly empty slots. Then where something is, one region after the other.
    let mut places: Vec<u64> = (0..8).map(|_| random.below(opened.size.0)).collect();
    let ends = [(0, 34 * 512), (opened.size.0 - 33 * 512, opened.size.0)];
    let regions = opened.regions().map(|region| (region.start.0, region.end().0)).chain(ends);
    for (start, end) in regions.collect::<Vec<_>>() {
        let mut used = None;
        for _ in 0..1000 {
            let at = start + random.below(end - start);
            let mut block = [0; 512];
            file.read_exact_at(&mut block, at - at % 512).unwrap();
            if block.iter().any(|byte| *byte != 0) {
                used = Some(at);
                break;
            }
        }
        places.push(used.unwrap_or_else(|| start + random.below(end - start)));
    }
    for at in places {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        let bit = 1 << random.below(8);
        file.write_all_at(&[byte[0] ^ bit], at).unwrap();
        let report = verify(&copy, &trust, false).unwrap();
        assert_ne!(report.failures(), 0, "bit {bit:#04x} of byte {at}:\n{report}");
        file.write_all_at(&byte, at).unwrap();
    }
}

/// `SplitMix64`: the same places in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[test]
fn signed_slots_that_were_not_shipped_do_not_verify() {
    let Some(demo) = demo() else { return };
    let trust = Trust::load(&demo.keys).unwrap();
    let copy = demo.scratch.path().join("stuffed.img");
    sparse_copy(&demo.image, &copy);
    let (opened, file) = (OpenedImage::open(&copy).unwrap(), OpenOptions::new().write(true).open(&copy).unwrap());
    let (from, to) = (opened.region("site-a").unwrap(), opened.region("site-b").unwrap());
    file.write_all_at(&opened.read(from.start, from.size.0).unwrap(), to.start.0).unwrap();
    let report = verify(&copy, &trust, false).unwrap().to_string();
    assert!(report.contains("FAILED  region site-b footer"), "{report}");
    let report = verify(&copy, &trust, true).unwrap();
    assert_eq!(report.failures(), 0, "what an update does: {report}");
    assert!(report.to_string().contains("1 changed in use"), "{report}");
}

#[test]
fn a_disk_in_use_still_needs_a_base_that_starts() {
    let Some(demo) = demo() else { return };
    let trust = Trust::load(&demo.keys).unwrap();
    let copy = demo.scratch.path().join("erased.img");
    sparse_copy(&demo.image, &copy);
    let end = OpenedImage::open(&copy).unwrap().region("base-a").unwrap().end().0;
    let file = OpenOptions::new().write(true).open(&copy).unwrap();
    file.write_all_at(&formats::footer::erased(), end - formats::footer::FOOTER_SIZE as u64).unwrap();
    let report = verify(&copy, &trust, true).unwrap();
    assert_eq!(report.failures(), 1, "{report}");
    assert!(report.to_string().contains("FAILED  base slots"), "{report}");
}

#[test]
fn bytes_behind_the_last_sector_do_not_verify() {
    let Some(demo) = demo() else { return };
    let copy = demo.scratch.path().join("longer.img");
    sparse_copy(&demo.image, &copy);
    let file = OpenOptions::new().write(true).open(&copy).unwrap();
    file.set_len(file.metadata().unwrap().len() + 100).unwrap();
    let report = verify(&copy, &Trust::load(&demo.keys).unwrap(), false).unwrap();
    assert_eq!(report.failures(), 1, "{report}");
    assert!(report.to_string().contains("100 bytes behind the last whole sector"), "{report}");
}

#[test]
fn an_image_signed_by_others_does_not_verify() {
    let Some(demo) = demo() else { return };
    let strangers: PathBuf = demo.scratch.path().join("strangers");
    builder::keys::generate(&strangers, true, 1_767_225_600, "stranger", None).unwrap();
    let report = verify(&demo.image, &Trust::load(&strangers).unwrap(), false).unwrap().to_string();
    for expected in
        ["FAILED  image record", "FAILED  slot base-a signature", "FAILED  slot site-a signature", "FAILED  esp"]
    {
        assert!(report.contains(expected), "{expected}:\n{report}");
    }
}

#[test]
fn inspect_prints_every_region_digest_key_and_slot() {
    let Some(demo) = demo() else { return };
    let report = builder::inspect::inspect(&demo.image).unwrap();
    let text = report.to_string();
    for expected in
        ["disk GUID", "base-a", "base-b", "site-a", "state1", "EFI/BOOT/BOOTX64.EFI", "root hash", "image record"]
    {
        assert!(text.contains(expected), "{expected}:\n{text}");
    }
    let facts = report.to_json();
    assert_eq!(facts["disk"]["partitions"].as_array().unwrap().len(), 8);
    assert_eq!(facts["slot base-a"]["manifest"]["kind"], "base");
    assert!(facts["slot base-a"]["signatures"]["signatures"][0]["key-id"].is_string());
}

#[test]
fn inspect_shows_a_factory_reset_that_waits_and_verify_does_not_take_the_image_for_a_shipped_one() {
    let Some(demo) = demo() else { return };
    let copy = demo.scratch.path().join("ordered.img");
    sparse_copy(&demo.image, &copy);
    assert!(!builder::inspect::inspect(&copy).unwrap().to_string().contains("factory reset"));
    let floors =
        vec![formats::journal::Floor { kind: formats::manifest::Kind::Base, name: "demo".into(), sequence: 7 }];
    let id = formats::Guid::derive("test", "reset");
    let record = ResetRecord { id, then: Then::PowerOff, by: "root".into(), asked: 1_772_368_205, floors };
    let at = OpenedImage::open(&copy).unwrap().region("state").unwrap().start.0 + RESET_OFFSET;
    let file = OpenOptions::new().write(true).open(&copy).unwrap();
    file.write_all_at(&record.encode().unwrap(), at).unwrap();
    let report = builder::inspect::inspect(&copy).unwrap();
    let text = report.to_string();
    for expected in ["destroys the data partition", "turns itself off", "asked for by root", "floor 7 of base demo"] {
        assert!(text.contains(expected), "{expected}:\n{text}");
    }
    assert_eq!(report.to_json()["factory reset"]["floors"][0]["sequence"], 7);
    assert_ne!(verify(&copy, &Trust::load(&demo.keys).unwrap(), false).unwrap().failures(), 0);
    file.write_all_at(&[1], at).unwrap();
    assert!(builder::inspect::inspect(&copy).unwrap().to_string().contains("reset record is damaged"));
}
