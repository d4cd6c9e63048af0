//! Partition tables, FAT volumes and state blocks, judged by tools we did not write: sgdisk, sfdisk, fsck.fat, mtools, GRUB's own.
//!
//! A missing tool fails the test where `CI` is set and skips it loudly elsewhere.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Output};

use formats::boot_state::{BootState, newest};
use formats::fat::{FatKind, FatVolume, open_slice};
use formats::gpt::{Copies, Gpt, Partition, types};
use formats::mbr::{self, Mbr, bios_boot};
use formats::{Bytes, Guid, Lba, SectorSize, SlotId, state_volume};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// Runs a tool; `None` when it is not installed and that is allowed.
fn run(tool: &str, arguments: &[&str]) -> Option<Output> {
    // sbin is not in every user's path
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    match Command::new(tool).args(arguments).env("PATH", path).env("LC_ALL", "C").output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "needs {tool}: {error}");
            eprintln!("SKIPPED: needs {tool}");
            None
        }
    }
}

/// Standard output of a tool that must succeed.
fn accepted(tool: &str, arguments: &[&str]) -> Option<String> {
    let output = run(tool, arguments)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{tool} {arguments:?}: {}\n{out}{err}", output.status);
    Some(out)
}

/// The layout of an appliance, small.
fn appliance(sector: SectorSize, disk_sectors: u64) -> Gpt {
    let unit = MIB / sector.bytes();
    let rows = [
        ("bios", 1, 1, types::BIOS_BOOT),
        ("esp", 2, 36, types::ESP),
        ("state", 38, 1, types::BASIC_DATA),
        ("base-a", 39, 8, types::LINUX_DATA),
        ("base-b", 47, 8, types::LINUX_DATA),
        ("site-a", 55, 2, types::LINUX_DATA),
        ("site-b", 57, 2, types::LINUX_DATA),
        ("data", 59, 4, types::LINUX_DATA),
    ];
    let partitions: BTreeMap<u32, Partition> = (1..)
        .zip(rows)
        .map(|(number, (name, start, length, type_guid))| {
            let partition = Partition {
                type_guid,
                guid: Guid::derive("oracle", &format!("partition:{name}")),
                first: Lba(start * unit),
                last: Lba((start + length) * unit - 1),
                attributes: 0,
                name: name.to_owned(),
            };
            (number, partition)
        })
        .collect();
    Gpt::new(Guid::derive("oracle", "disk"), sector, disk_sectors, partitions).unwrap()
}

/// Writes the table as an appliance does: backup, primary, protective MBR around what is in the first sector.
fn write_table(path: &Path, gpt: &Gpt) {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    file.set_len(gpt.disk_sectors() * gpt.sector().bytes()).unwrap();
    let (at, backup) = gpt.encode_backup();
    file.write_all_at(&backup, at.offset(gpt.sector()).0).unwrap();
    file.write_all_at(&gpt.encode_primary(), gpt.sector().bytes()).unwrap();
    let mut first = [0; 512];
    file.read_exact_at(&mut first, 0).unwrap();
    file.write_all_at(&mbr::with_protective(&first, gpt.disk_sectors()), 0).unwrap();
}

fn read_table(path: &Path, sector: SectorSize) -> (Gpt, Copies) {
    let bytes = fs::read(path).unwrap();
    let edge = 34 * usize::try_from(sector.bytes()).unwrap();
    let sectors = bytes.len() as u64 / sector.bytes();
    Gpt::read(&bytes[..edge], &bytes[bytes.len() - edge..], sector, sectors).unwrap()
}

fn sgdisk_finds_nothing(path: &str) {
    if let Some(report) = accepted("sgdisk", &["-v", path]) {
        assert!(report.contains("No problems found"), "{report}");
        for complaint in ["Warning", "Caution", "Problem:"] {
            assert!(!report.contains(complaint), "{report}");
        }
    }
}

fn write_volume(path: &Path, volume: &FatVolume) {
    let file = File::create(path).unwrap();
    file.set_len(volume.size().0).unwrap();
    for (offset, bytes) in volume.extents().unwrap() {
        file.write_all_at(&bytes, offset.0).unwrap();
    }
}

fn fsck_finds_nothing(path: &str) {
    if let Some(report) = accepted("fsck.fat", &["-n", "-v", path]) {
        for complaint in ["differ", "wrong", "Free cluster", "orphan", "dirty", "Truncat", "nvalid"] {
            assert!(!report.contains(complaint), "{report}");
        }
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..=252).cycle().take(length).collect()
}

fn scratch(name: &str) -> (TempDir, std::path::PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let text = path.to_str().unwrap().to_owned();
    (folder, path, text)
}

#[test]
fn sgdisk_accepts_the_table_and_the_grown_table() {
    let (_folder, path, text) = scratch("disk");
    let gpt = appliance(SectorSize::S512, 64 * 2048);
    write_table(&path, &gpt);
    sgdisk_finds_nothing(&text);
    for disk_sectors in [65 * 2048, 300 * 2048 + 17] {
        File::options().write(true).open(&path).unwrap().set_len(disk_sectors * 512).unwrap();
        let (found, copies) = read_table(&path, SectorSize::S512);
        assert!(matches!(copies, Copies::PrimaryOnly { .. }), "{copies}");
        let grown = found.grown_to(disk_sectors).unwrap();
        write_table(&path, &grown);
        sgdisk_finds_nothing(&text);
        assert_eq!(read_table(&path, SectorSize::S512), (grown.clone(), Copies::Both));
        for name in ["bios", "esp", "state", "base-a", "base-b", "site-a", "site-b"] {
            assert_eq!(grown.partition(name), gpt.partition(name));
        }
        let data = grown.partition("data").unwrap().1;
        assert_eq!((data.first, (data.last.0 + 1) % 2048), (gpt.partition("data").unwrap().1.first, 0));
    }
}

#[test]
fn sfdisk_reads_the_table_as_we_mean_it() {
    let (_folder, path, text) = scratch("disk");
    write_table(&path, &appliance(SectorSize::S512, 64 * 2048));
    let Some(dump) = accepted("sfdisk", &["--dump", &text]) else { return };
    let dump = dump.replace(&text, "disk");
    let golden = include_str!("golden/appliance.sfdisk");
    let normal = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(normal(&dump), normal(golden), "{dump}");
}

#[test]
fn a_table_written_by_sgdisk_is_read() {
    let (_folder, path, text) = scratch("disk");
    File::create(&path).unwrap().set_len(64 * MIB).unwrap();
    let made = accepted("sgdisk", &["-n", "3:2048:+4M", "-c", "3:data", "-t", "3:8300", "-A", "3:set:2", &text]);
    if made.is_none() {
        return;
    }
    let (gpt, copies) = read_table(&path, SectorSize::S512);
    assert_eq!(copies, Copies::Both);
    let (number, data) = gpt.partition("data").unwrap();
    assert_eq!((number, data.first, data.sectors(), data.attributes), (3, Lba(2048), 8192, 4));
    assert_eq!(data.type_guid, types::LINUX_DATA);
}

#[test]
fn grubs_images_take_the_patches() {
    let modules = Path::new("/usr/lib/grub/i386-pc");
    let (folder, core_path, core_text) = scratch("core.img");
    let Ok(boot_img) = fs::read(modules.join("boot.img")) else {
        assert!(std::env::var_os("CI").is_none(), "needs grub-pc-bin");
        eprintln!("SKIPPED: needs grub-pc-bin");
        return;
    };
    let arguments = ["-O", "i386-pc", "-p", "/", "-o", &core_text, "biosdisk", "part_gpt", "fat", "normal"];
    if accepted("grub-mkimage", &arguments).is_none() {
        return;
    }
    let core = fs::read(&core_path).unwrap();
    let patched = bios_boot::patch_core_img(&core, Lba(2048)).unwrap();
    let changed: Vec<usize> = (0..core.len()).filter(|at| core[*at] != patched[*at]).collect();
    assert!(changed.iter().all(|at| (0x1e8..0x1fc).contains(at)), "{changed:?}");
    let gpt = appliance(SectorSize::S512, 64 * 2048);
    let disk = folder.path().join("disk");
    write_table(&disk, &gpt);
    let old = mbr::protective(gpt.disk_sectors());
    let first = bios_boot::patch_boot_img(&boot_img, &old, Lba(2048)).unwrap();
    File::options().write(true).open(&disk).unwrap().write_all_at(&first, 0).unwrap();
    sgdisk_finds_nothing(disk.to_str().unwrap());
    assert_eq!(Mbr::parse(&first, gpt.disk_sectors()).unwrap().core_first, Some(Lba(2048)));
}

#[test]
fn fsck_mtools_and_grub_read_the_efi_system_partition() {
    for (size, loader) in [(Bytes::mib(33), 700_001), (Bytes::mib(64), 0), (Bytes::mib(272), 5_000_000)] {
        let (folder, path, text) = scratch("esp");
        let volume = FatVolume::new(FatKind::Fat32, size, "ESP", 0x1234_5678).unwrap();
        let volume = volume.file("EFI/BOOT/BOOTX64.EFI", pattern(loader)).unwrap();
        let volume = volume.file("EFI/BOOT/notes.txt", pattern(40)).unwrap();
        write_volume(&path, &volume);
        fsck_finds_nothing(&text);
        for (name, length) in [("EFI/BOOT/BOOTX64.EFI", loader), ("EFI/BOOT/notes.txt", 40)] {
            let copy = folder.path().join("copy");
            let copy_text = copy.to_str().unwrap();
            if accepted("mcopy", &["-n", "-o", "-i", &text, &format!("::{name}"), copy_text]).is_some() {
                assert_eq!(fs::read(&copy).unwrap(), pattern(length));
            }
            if let Some(output) = run("grub-fstest", &[&text, "cat", &format!("/{name}")]) {
                assert_eq!(output.stdout, pattern(length), "{}", String::from_utf8_lossy(&output.stderr));
            }
        }
        if let Some(listing) = accepted("mdir", &["-/", "-b", "-i", &text, "::"]) {
            assert_eq!(listing, "::/EFI/\n::/EFI/BOOT/\n::/EFI/BOOT/BOOTX64.EFI\n::/EFI/BOOT/notes.txt\n");
        }
    }
}

#[test]
fn a_volume_made_by_mkfs_and_mtools_is_read() {
    let (folder, path, text) = scratch("esp");
    File::create(&path).unwrap().set_len(64 * MIB).unwrap();
    let source = folder.path().join("source");
    fs::write(&source, pattern(123_457)).unwrap();
    let made = accepted("mkfs.vfat", &["-F", "32", "-s", "1", "-n", "OTHER", &text])
        .and_then(|_| accepted("mmd", &["-i", &text, "::EFI"]))
        .and_then(|_| accepted("mcopy", &["-i", &text, source.to_str().unwrap(), "::EFI/A.BIN"]))
        .and_then(|_| accepted("mcopy", &["-i", &text, source.to_str().unwrap(), "::a long name.text"]));
    if made.is_none() {
        return;
    }
    let bytes = fs::read(&path).unwrap();
    let mut volume = open_slice(&bytes).unwrap();
    let files = volume.files().unwrap();
    assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["ALONGN~1.TEX", "EFI/A.BIN"]);
    for file in files {
        assert_eq!(volume.read_file(&file).unwrap(), pattern(123_457));
    }
}

#[test]
fn fsck_mtools_and_grub_read_the_state_volume() {
    let (folder, path, text) = scratch("state");
    let state = BootState::initial(SlotId::A, Some(SlotId::A));
    let image = state_volume::image(&state).unwrap();
    fs::write(&path, &image).unwrap();
    fsck_finds_nothing(&text);
    for (name, offset) in state_volume::COPY_NAMES.into_iter().zip([4096, 8192]) {
        let expected = &image[offset..offset + 512];
        let copy = folder.path().join(name);
        let copy_text = copy.to_str().unwrap();
        if accepted("mcopy", &["-i", &text, &format!("::{name}"), copy_text]).is_some() {
            assert_eq!(fs::read(&copy).unwrap(), expected);
        }
        if let Some(output) = run("grub-fstest", &[&text, "cat", &format!("/{name}")]) {
            assert_eq!(output.stdout, expected, "{}", String::from_utf8_lossy(&output.stderr));
        }
        // GRUB's own block list: in sectors of 512 bytes, the very sector the agent writes
        if let Some(output) = run("grub-fstest", &[&text, "blocklist", &format!("/{name}")]) {
            let blocks = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(blocks.contains(&format!("{}+1", offset / 512)), "{blocks}");
        }
    }
    if let Some(listing) = accepted("mdir", &["-b", "-i", &text, "::"]) {
        assert_eq!(listing, "::/state1\n::/state2\n");
    }
}

/// `grub-editenv` edits with the code that GRUB's `save_env` uses.
#[test]
fn a_block_edited_by_grub_stays_whole() {
    let (_folder, path, text) = scratch("state1");
    let before = BootState { sequence: 41, ..BootState::initial(SlotId::A, None) };
    fs::write(&path, before.encode().unwrap()).unwrap();
    let Some(listing) = accepted("grub-editenv", &[&text, "list"]) else { return };
    let expected = "seq=41\norder=ab\na_ok=1\na_tries=5\nb_ok=0\nb_tries=0\nlast=\nsite=\nend=41\n";
    assert_eq!(listing, expected);
    accepted("grub-editenv", &[&text, "set", "a_tries=4", "last=a"]);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 512);
    let counted = formats::boot_state::next(&before, formats::boot_state::Event::CountTry(SlotId::A)).unwrap();
    assert_eq!(BootState::parse(&bytes), Ok(counted));
    assert_eq!(bytes, counted.encode().unwrap());
    accepted("grub-editenv", &[&text, "set", "a_tries=3", "last=b", "colour=blue"]);
    let bytes = fs::read(&path).unwrap();
    let found = newest([&[], &bytes]).unwrap();
    assert_eq!((found.0, found.1.a.tries, found.1.last), (1, 3, Some(SlotId::B)));
}
