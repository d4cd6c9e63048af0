//! The real policy script in the real GRUB, started by QEMU from disks we write, compared with its model in `formats::boot_state`.
//!
//! The kernel is a few bytes of our own that print the command line they were given and reset the machine, so a case takes as long as
//! the firmware and GRUB alone. A missing tool fails the test in CI and skips it elsewhere.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use builder::boot::uki::{BlockList, Places};
use builder::boot::{authenticode, grub, openpgp, uki};
use builder::keys::{self, Keys};
use formats::boot_state::{self, BootState, Selection, SlotState, Start};
use formats::fat::{FatKind, FatVolume};
use formats::gpt::{Gpt, Partition, types};
use formats::mbr::bios_boot;
use formats::{Bytes, Guid, Lba, SectorSize, SlotId, mbr, state_volume};

const TIMEOUT: Duration = Duration::from_mins(3);
const COMMAND_LINE: &str = "console=ttyS0 panic=5 gpt oops=panic";
const BEHIND_THE_END: BlockList = BlockList { first: 1 << 20, count: 3 };
const DEAD_END: &str = "GRUB: no slot can be started";
const OVMF: [&str; 2] = ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"];
const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
/// MiB of bios, esp, state, base-a, base-b.
const SIZES: [(&str, u64); 5] = [("bios", 1), ("esp", 34), ("state", 1), ("base-a", 4), ("base-b", 4)];

struct Shared {
    keys: Keys,
    foreign: Keys,
    images: grub::GrubImages,
    scratch: tempfile::TempDir,
}

/// Keys and GRUB images, made once; `None` when a tool is missing.
fn shared() -> Option<&'static Shared> {
    static SHARED: OnceLock<Option<Shared>> = OnceLock::new();
    let make = || {
        let wanted = ["/usr/lib/grub/x86_64-efi/normal.mod", "/usr/lib/grub/i386-pc/normal.mod", OVMF[0], STUB];
        let missing = wanted.into_iter().find(|file| !Path::new(file).exists());
        let missing =
            missing.or(["qemu-system-x86_64", "mke2fs", "grub-mkimage"].into_iter().find(|tool| !on_path(tool)));
        if let Some(tool) = missing {
            assert!(std::env::var_os("CI").is_none(), "needs {tool}");
            println!("SKIPPED: needs {tool}");
            return None;
        }
        let scratch = tempfile::tempdir().unwrap();
        let set = |name: &str| {
            keys::generate(&scratch.path().join(name), true, 1_700_000_000, name, None).unwrap();
            Keys::load(&scratch.path().join(name)).unwrap()
        };
        let (keys, foreign) = (set("demo"), set("foreign"));
        let images = grub::images(Path::new("/usr/lib/grub"), &keys.openpgp, scratch.path()).unwrap();
        Some(Shared { keys, foreign, images, scratch })
    };
    SHARED.get_or_init(make).as_ref()
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(program).is_file())
}

/// A Linux kernel as far as the boot protocol goes (Documentation/arch/x86/boot.rst, version 2.06): prints its command line on the
/// first serial port, then resets the machine through the keyboard controller.
fn kernel() -> Vec<u8> {
    let code: [u8; 38] = [
        0x8b, 0xbe, 0x28, 0x02, 0x00, 0x00, // mov edi, [esi + 0x228]: the command line
        0x8a, 0x1f, 0x84, 0xdb, 0x74, 0x13, // next: mov bl, [edi]; test bl, bl; jz done
        0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x20, 0x74,
        0xf7, // wait: mov dx, 0x3fd; in al, dx; test al, 0x20; jz wait
        0x66, 0xba, 0xf8, 0x03, 0x88, 0xd8, 0xee, 0x47, 0xeb,
        0xe7, // mov dx, 0x3f8; mov al, bl; out dx, al; inc edi; jmp next
        0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfe, // done: mov al, 0xfe; out 0x64, al; hlt; jmp $
    ];
    let mut out = vec![0; 3 * 512];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[1]); // one more setup sector
    put(0x1fe, &[0x55, 0xaa]);
    put(0x200, &[0xeb, 0x66]);
    put(0x202, b"HdrS");
    put(0x206, &0x0206_u16.to_le_bytes());
    put(0x211, &[1]); // loaded high
    put(0x214, &0x10_0000_u32.to_le_bytes());
    put(0x22c, &0x37ff_ffff_u32.to_le_bytes());
    put(0x238, &2047_u32.to_le_bytes());
    put(1024, &code);
    out
}

/// The files of one base slot's /boot, signed.
struct Slot(Vec<(&'static str, Vec<u8>)>);

impl Slot {
    fn empty() -> Self {
        Self(Vec::new())
    }

    fn whole(shared: &Shared) -> Self {
        Self::signed_by(&shared.keys)
    }

    fn signed_by(keys: &Keys) -> Self {
        Self::naming(keys, |places| places)
    }

    /// Signed, with other places in its `slot.env`.
    fn naming(keys: &Keys, places: impl FnOnce(Places) -> Places) -> Self {
        let mut files = Vec::new();
        let parts = uki::Parts {
            os_release: b"ID=demo\n",
            command_line: COMMAND_LINE,
            kernel_release: "0",
            initrd: b"initial file system",
            kernel: &kernel(),
        };
        let image = uki::assemble(&fs::read(STUB).unwrap(), &parts).unwrap();
        let image = authenticode::sign(&image, &keys.boot, &keys.boot_certificate).unwrap();
        let named = places(uki::places(&image).unwrap());
        let environment = grub::slot_env(COMMAND_LINE, &named).unwrap();
        for (file, signature, content) in [("uki.efi", "uki.efi.sig", image), ("slot.env", "slot.env.sig", environment)]
        {
            files.push((signature, openpgp::sign(&keys.boot, &keys.openpgp_key, &content, 1_700_000_000).unwrap()));
            files.push((file, content));
        }
        Self(files)
    }

    fn with_changed_byte(mut self, name: &str) -> Self {
        let file = self.0.iter_mut().find(|(file, _)| *file == name).unwrap();
        let middle = file.1.len() / 2;
        file.1[middle] ^= 1;
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(file, _)| *file != name);
        self
    }

    /// The ext4 partition image.
    fn image(&self, scratch: &Path) -> Vec<u8> {
        let root = tempfile::tempdir_in(scratch).unwrap();
        fs::create_dir(root.path().join("boot")).unwrap();
        for (file, content) in &self.0 {
            fs::write(root.path().join("boot").join(file), content).unwrap();
        }
        let image = tempfile::NamedTempFile::new_in(scratch).unwrap();
        let status = Command::new("mke2fs")
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-O", "^has_journal,^resize_inode", "-d"])
            .args([root.path(), image.path()])
            .arg("4M")
            .status();
        assert!(status.unwrap().success());
        fs::read(image.path()).unwrap()
    }
}

struct Machine {
    directory: tempfile::TempDir,
    gpt: Gpt,
}

impl Machine {
    fn new(shared: &Shared, state: &[u8], slots: [&Slot; 2]) -> Self {
        let directory = tempfile::tempdir_in(shared.scratch.path()).unwrap();
        let gpt = table();
        let machine = Self { directory, gpt };
        let mut disk = fs::File::create(machine.disk()).unwrap();
        disk.set_len(machine.gpt.disk_sectors() * 512).unwrap();
        let first = machine.gpt.partition("bios").unwrap().1.first;
        let empty = [0; 512];
        let boot = bios_boot::patch_boot_img(&shared.images.boot_img, &empty, first).unwrap();
        Self::put(&mut disk, 0, &mbr::with_protective(&boot, machine.gpt.disk_sectors()));
        Self::put(&mut disk, 512, &machine.gpt.encode_primary());
        let (backup_at, backup) = machine.gpt.encode_backup();
        Self::put(&mut disk, backup_at.offset(SectorSize::S512).0, &backup);
        let core = bios_boot::patch_core_img(&shared.images.core, first).unwrap();
        Self::put(&mut disk, machine.offset("bios"), &core);
        let esp = FatVolume::new(FatKind::Fat32, Bytes::mib(34), "ESP", 1).unwrap();
        let efi = authenticode::sign(&shared.images.efi, &shared.keys.boot, &shared.keys.boot_certificate).unwrap();
        for (at, bytes) in esp.file("EFI/BOOT/BOOTX64.EFI", efi).unwrap().extents().unwrap() {
            Self::put(&mut disk, machine.offset("esp") + at.0, &bytes);
        }
        Self::put(&mut disk, machine.offset("state"), state);
        for (name, slot) in ["base-a", "base-b"].into_iter().zip(slots) {
            Self::put(&mut disk, machine.offset(name), &slot.image(machine.directory.path()));
        }
        machine
    }

    fn disk(&self) -> PathBuf {
        self.directory.path().join("disk.raw")
    }

    fn offset(&self, name: &str) -> u64 {
        self.gpt.partition(name).unwrap().1.first.offset(SectorSize::S512).0
    }

    fn put(disk: &mut fs::File, at: u64, bytes: &[u8]) {
        use std::io::{Seek as _, SeekFrom};
        disk.seek(SeekFrom::Start(at)).unwrap();
        disk.write_all(bytes).unwrap();
    }

    fn state(&self) -> Option<BootState> {
        let disk = fs::read(self.disk()).unwrap();
        let start = usize::try_from(self.offset("state")).unwrap();
        boot_state::newest(state_volume::copies(&disk[start..start + (1 << 20)])).map(|(_, state)| state)
    }

    fn bios(&self) -> Vec<String> {
        self.run(&["-machine", "pc"])
    }

    fn uefi(&self) -> Vec<String> {
        let variables = self.directory.path().join("vars.fd");
        fs::copy(OVMF[1], &variables).unwrap();
        let code = format!("if=pflash,format=raw,unit=0,readonly=on,file={}", OVMF[0]);
        let variables = format!("if=pflash,format=raw,unit=1,file={}", variables.display());
        self.run(&["-machine", "q35", "-drive", &code, "-drive", &variables])
    }

    /// The console until GRUB is at its end, the kernel's command line has appeared, or the machine resets.
    fn run(&self, firmware: &[&str]) -> Vec<String> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let drive = format!("if=none,id=d0,format=raw,cache=unsafe,file={}", self.disk().display());
        let mut child = Command::new("qemu-system-x86_64")
            .args(firmware)
            .args(["-accel", "tcg", "-m", "256", "-smp", "1", "-nodefaults", "-display", "none", "-vga", "none"])
            .args(["-serial", "stdio", "-boot", "menu=off", "-no-reboot", "-drive", &drive])
            .args(["-device", "virtio-blk-pci,drive=d0,bootindex=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut console = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut line = Vec::new();
            while console.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                if sender.send(plain(&line)).is_err() {
                    break;
                }
                line.clear();
            }
        });
        let mut log = Vec::new();
        while let Ok(line) = lines.recv_timeout(TIMEOUT) {
            log.push(line);
            if log.last().is_some_and(|line| line.contains(DEAD_END)) {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        drop(lines);
        reader.join().unwrap();
        log
    }
}

/// Text without escape sequences and carriage returns.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split('\x1b');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(part.trim_start_matches(|c: char| "[0123456789;=?(".contains(c)).get(1..).unwrap_or_default());
    }
    out.trim().to_owned()
}

fn table() -> Gpt {
    let mut first = 2048;
    let mut partitions = std::collections::BTreeMap::new();
    for (number, (name, size)) in (1..).zip(SIZES) {
        let sectors = size * 2048;
        let type_guid = match name {
            "bios" => types::BIOS_BOOT,
            "esp" => types::ESP,
            _ => types::LINUX_DATA,
        };
        let guid = Guid::derive("test", name);
        let last = Lba(first + sectors - 1);
        partitions
            .insert(number, Partition { type_guid, guid, first: Lba(first), last, attributes: 0, name: name.into() });
        first += sectors;
    }
    Gpt::new(Guid::derive("test", "disk"), SectorSize::S512, first + 2048, partitions).unwrap()
}

fn state(order: SlotId, a: (bool, u8), b: (bool, u8)) -> BootState {
    let record = |(good, tries)| SlotState { good, tries };
    BootState { sequence: 7, order, a: record(a), b: record(b), last: None, site: Some(SlotId::B) }
}

fn volume(state: &BootState) -> Vec<u8> {
    state_volume::image(state).unwrap()
}

/// The decisions among the lines of a console.
fn decisions(log: &[String]) -> Vec<&str> {
    let marks = [" tries left after this one: ", " could not be started"];
    log.iter().map(String::as_str).filter(|line| marks.iter().any(|mark| line.contains(mark))).collect()
}

/// What the model expects on the console when nothing loads.
fn expected(selection: &Selection, state: Option<&BootState>) -> Vec<String> {
    let mut lines = Vec::new();
    for attempt in &selection.attempts {
        let slot = attempt.slot.letter();
        if let (Start::Counted { left }, Some(state)) = (attempt.start, state) {
            let ok = u8::from(state.slot(attempt.slot).good);
            lines.push(format!("GRUB: slot {slot} ok={ok}, tries left after this one: {left}"));
        }
        lines.push(format!("GRUB: slot {slot} could not be started"));
    }
    lines
}

#[track_caller]
fn has(log: &[String], text: &str) {
    assert!(log.iter().any(|line| line.contains(text)), "no \"{text}\" in:\n{}", log.join("\n"));
}

#[track_caller]
fn kernel_of(log: &[String], slot: SlotId) {
    has(log, &format!("GRUB: boot slot {}", slot.letter()));
    let line = format!(" {COMMAND_LINE} slot={}", slot.letter());
    assert!(log.iter().any(|text| text.contains("BOOT_IMAGE=(uki)") && text.contains(&line)), "{}", log.join("\n"));
}

#[test]
fn tries_slots_in_the_order_of_the_model_and_leaves_the_models_state() {
    let Some(shared) = shared() else { return };
    let empty = Slot::empty();
    for before in [
        state(SlotId::B, (true, 5), (false, 3)),
        state(SlotId::A, (true, 1), (true, 4)),
        state(SlotId::B, (false, 0), (true, 0)),
        BootState { last: Some(SlotId::B), ..state(SlotId::B, (true, 0), (true, 0)) },
    ] {
        let machine = Machine::new(shared, &volume(&before), [&empty, &empty]);
        let log = machine.bios();
        let selection = boot_state::select(&before);
        assert_eq!(decisions(&log), expected(&selection, Some(&before)), "{before:?}\n{}", log.join("\n"));
        assert_eq!(machine.state(), Some(selection.state_after(&before, |_| false)), "{}", log.join("\n"));
        for slot in SlotId::BOTH.into_iter().filter(|slot| before.slot(*slot).tries == 0) {
            has(&log, &format!("GRUB: slot {} has no tries left", slot.letter()));
        }
    }
}

#[test]
fn starts_the_trial_slot_with_the_whole_command_line_and_counts_it() {
    let Some(shared) = shared() else { return };
    let slot = Slot::whole(shared);
    let before = state(SlotId::B, (true, 5), (false, 3));
    let machine = Machine::new(shared, &volume(&before), [&slot, &slot]);
    let log = machine.bios();
    kernel_of(&log, SlotId::B);
    let after = machine.state().unwrap();
    assert_eq!((after.b.tries, after.last, after.site), (2, Some(SlotId::B), Some(SlotId::B)));
}

#[test]
fn every_damaged_or_foreign_file_leads_to_the_other_slot_in_the_same_run() {
    let Some(shared) = shared() else { return };
    let good = Slot::whole(shared);
    let before = state(SlotId::B, (true, 5), (false, 3));
    for (what, slot) in [
        ("uki.efi changed", Slot::whole(shared).with_changed_byte("uki.efi")),
        ("slot.env changed", Slot::whole(shared).with_changed_byte("slot.env")),
        ("uki.efi.sig missing", Slot::whole(shared).without("uki.efi.sig")),
        ("slot.env.sig missing", Slot::whole(shared).without("slot.env.sig")),
        ("uki.efi missing", Slot::whole(shared).without("uki.efi")),
        ("foreign keys", Slot::signed_by(&shared.foreign)),
        ("no kernel at its place", Slot::naming(&shared.keys, |it| Places { kernel: it.initrd, ..it })),
        ("a place behind the end", Slot::naming(&shared.keys, |it| Places { kernel: BEHIND_THE_END, ..it })),
    ] {
        println!("{what}");
        let machine = Machine::new(shared, &volume(&before), [&good, &slot]);
        let log = machine.bios();
        has(&log, "GRUB: slot b could not be started");
        kernel_of(&log, SlotId::A);
        let after = machine.state().unwrap();
        assert_eq!((after.a.tries, after.b.tries, after.last), (4, 2, Some(SlotId::A)), "{what}");
    }
}

#[test]
fn a_destroyed_state_still_starts_slot_a() {
    let Some(shared) = shared() else { return };
    let slot = Slot::whole(shared);
    let mut blocks_gone = volume(&state(SlotId::B, (true, 5), (true, 5)));
    for at in state_volume::COPY_OFFSETS {
        let at = usize::try_from(at).unwrap();
        blocks_gone[at..at + 512].fill(0);
    }
    for volume in [blocks_gone, vec![0; 1 << 20]] {
        let log = Machine::new(shared, &volume, [&slot, &slot]).bios();
        has(&log, "GRUB: no valid boot state");
        kernel_of(&log, SlotId::A);
    }
}

#[test]
fn torn_and_illegal_copies_leave_the_other_copy_in_charge() {
    let Some(shared) = shared() else { return };
    let slot = Slot::whole(shared);
    let older = state(SlotId::B, (true, 5), (true, 5));
    let newer = BootState { sequence: 10, ..state(SlotId::A, (true, 5), (true, 5)) };
    let copy = usize::try_from(state_volume::COPY_OFFSETS[1]).unwrap();
    let text = String::from_utf8(newer.encode().unwrap().to_vec()).unwrap();
    for (what, block, started) in [
        ("whole", text.clone(), SlotId::A),
        ("torn", text.replace("end=10", "end=07"), SlotId::B),
        ("torn and talkative", text.replace("end=10", "end=10\\\nBULKHEAD READY"), SlotId::B),
        ("tries=9", text.replace("a_tries=5", "a_tries=9"), SlotId::B),
        ("order=aa", text.replace("order=ab", "order=aa"), SlotId::B),
        ("seq=0x", text.replace("seq=10", "seq=0a").replace("end=10", "end=0a"), SlotId::B),
        ("last=c", text.replace("last=\n", "last=c\n").trim_end_matches('#').to_owned() + "####", SlotId::B),
    ] {
        println!("{what}");
        let mut volume = volume(&older);
        volume[copy..copy + 512].fill(b'#');
        volume[copy..copy + block.len()].copy_from_slice(block.as_bytes());
        let machine = Machine::new(shared, &volume, [&slot, &slot]);
        let log = machine.bios();
        kernel_of(&log, started);
        assert!(!log.iter().any(|line| line.contains("BULKHEAD")), "{}", log.join("\n"));
    }
}

#[test]
fn uefi_verifies_the_uki_and_comes_back_from_one_that_returns() {
    let Some(shared) = shared() else { return };
    let before = state(SlotId::B, (true, 5), (false, 3));
    let changed = Slot::whole(shared).with_changed_byte("uki.efi");
    let machine = Machine::new(shared, &volume(&before), [&Slot::whole(shared), &changed]);
    let log = machine.uefi();
    let selection = boot_state::select(&before);
    assert_eq!(decisions(&log), expected(&selection, Some(&before)), "{}", log.join("\n"));
    has(&log, "GRUB: boot slot a");
    assert!(!log.iter().any(|line| line.contains("GRUB: boot slot b")), "{}", log.join("\n"));
    assert_eq!(machine.state(), Some(selection.state_after(&before, |_| false)));
}
