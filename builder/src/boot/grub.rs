//! The GRUB images: GRUB 2.06 from Debian's modules, our policy script and the boot key in one file per firmware.
//!
//! The images have no prefix on a disk and no menu, so nothing outside them decides anything; see `policy.cfg` beside this file and
//! `docs/boot.md`. The EFI image still has to be signed ([`crate::boot::authenticode`]); the BIOS image is placed by
//! [`formats::mbr`]. Same modules, script and key give the same bytes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::boot::uki::Places;
use crate::tool::Tool;
use crate::{Error, Result};

/// What the firmware starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrubImages {
    /// `EFI/BOOT/BOOTX64.EFI`, not yet signed.
    pub efi: Vec<u8>,
    /// The core image for the BIOS boot partition, not yet told where it lies.
    pub core: Vec<u8>,
    /// The 512 bytes of boot code for sector 0, not yet told where the core image lies.
    pub boot_img: Vec<u8>,
}

/// The policy script that every image carries.
pub const POLICY: &str = include_str!("policy.cfg");
/// Size of `slot.env`.
pub const SLOT_ENV_SIZE: usize = 1024;

/// Builds both images. `modules` is GRUB's library directory (`/usr/lib/grub`), `public_key` the binary OpenPGP key whose signatures
/// GRUB shall demand, `scratch` an existing directory for intermediate files.
pub fn images(modules: &Path, public_key: &[u8], scratch: &Path) -> Result<GrubImages> {
    let inputs = Inputs::write(scratch, public_key)?;
    let efi = inputs.link(modules, "x86_64-efi", "grub-efi-amd64-bin", &["--disable-shim-lock"], EFI_MODULES)?;
    let core = inputs.link(modules, "i386-pc", "grub-pc-bin", &[], BIOS_MODULES)?;
    if core.len() > MAX_CORE {
        let length = core.len();
        return Err(Error::Environment(format!(
            "GRUB's core image has {length} bytes; BIOS start code reads at most {MAX_CORE}; use the modules of GRUB 2.06"
        )));
    }
    let path = modules.join("i386-pc").join("boot.img");
    let boot_img = fs::read(&path).map_err(Error::io("read", &path))?;
    if boot_img.len() != 512 {
        return Err(Error::input(format!("\"{}\" has {} bytes, not 512", path.display(), boot_img.len())));
    }
    Ok(GrubImages { efi, core, boot_img })
}

/// `slot.env`: the kernel command line of a base slot for BIOS, and where its kernel and initrd are in the unified kernel image, as
/// the GRUB environment block that the policy script reads.
///
/// # Errors
/// `Input` when the line would reach the kernel changed (quotes, backslashes, characters of file patterns, line breaks, anything beyond
/// printable ASCII), names a slot itself, or does not fit into [`SLOT_ENV_SIZE`].
pub fn slot_env(command_line: &str, places: &Places) -> Result<Vec<u8>> {
    let refuse =
        |problem: String| Error::input(format!("kernel command line \"{}\" {problem}", command_line.escape_debug()));
    if command_line.trim().is_empty() {
        return Err(refuse("is empty; it needs at least \"panic=5 gpt oops=panic\"".into()));
    }
    if let Some(bad) = command_line.chars().find(|c| !matches!(c, ' '..='~') || CHANGED_BY_GRUB.contains(c)) {
        return Err(refuse(format!(
            "has the character '{}', which GRUB would change; leave it out",
            bad.escape_debug()
        )));
    }
    if command_line.split(' ').any(|word| word.starts_with("slot=")) {
        return Err(refuse("has \"slot=\", which only GRUB may add; leave it out".into()));
    }
    let mut block = format!("# GRUB Environment Block\ncmdline={command_line}\n{}", place_lines(places)).into_bytes();
    if block.len() > SLOT_ENV_SIZE {
        let over = block.len() - SLOT_ENV_SIZE;
        return Err(refuse(format!("is {over} bytes too long for BIOS machines")));
    }
    block.resize(SLOT_ENV_SIZE, b'#');
    Ok(block)
}

/// Whether this `slot.env` says that kernel and initrd are at these places.
pub fn names_places(slot_env: &[u8], places: &Places) -> bool {
    let lines = format!("\n{}", place_lines(places));
    slot_env.windows(lines.len()).any(|window| window == lines.as_bytes())
}

fn place_lines(places: &Places) -> String {
    format!("kernel={}\ninitrd={}\n", places.kernel, places.initrd)
}

/// The input files of `grub-mkimage`.
struct Inputs {
    scratch: PathBuf,
    memdisk: PathBuf,
    early: PathBuf,
    public_key: PathBuf,
}

impl Inputs {
    fn write(scratch: &Path, public_key: &[u8]) -> Result<Self> {
        let put = |name: &str, content: &[u8]| {
            let path = scratch.join(name);
            fs::write(&path, content).map_err(Error::io("write", &path))?;
            Ok::<_, Error>(path)
        };
        Ok(Self {
            scratch: scratch.to_owned(),
            memdisk: put("memdisk.tar", &memdisk()?)?,
            early: put("early.cfg", EARLY.as_bytes())?,
            public_key: put("boot.pgp", public_key)?,
        })
    }

    fn link(&self, modules: &Path, platform: &str, package: &str, options: &[&str], names: &[&str]) -> Result<Vec<u8>> {
        let directory = modules.join(platform);
        if !directory.join("normal.mod").is_file() {
            let name = directory.display();
            return Err(Error::Environment(format!("\"{name}\" has no GRUB modules; run: apt-get install {package}")));
        }
        let out = self.scratch.join(format!("grub-{platform}.img"));
        let mut arguments: Vec<OsString> = vec!["-O".into(), platform.into(), "-d".into(), directory.into()];
        arguments.extend(["-m".into(), self.memdisk.clone().into(), "-c".into(), self.early.clone().into()]);
        arguments.extend(["-k".into(), self.public_key.clone().into(), "-o".into(), out.clone().into()]);
        arguments.extend(options.iter().chain(COMMON_MODULES).chain(names).map(OsString::from));
        Tool::GrubMkimage.run(&arguments, &[])?;
        fs::read(&out).map_err(Error::io("read", &out))
    }
}

/// A ustar archive with the policy as its only file; owner, time and mode are fixed.
fn memdisk() -> Result<Vec<u8>> {
    let bug = |cause: std::io::Error| Error::Bug(format!("cannot archive the boot policy: {cause}"));
    let mut header = tar::Header::new_ustar();
    header.set_path("grub.cfg").map_err(bug)?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(POLICY.len() as u64);
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append(&header, POLICY.as_bytes()).map_err(bug)?;
    archive.into_inner().map_err(bug)
}

/// Run by GRUB's first, line-wise parser, which knows no `if` or `for`. The policy never returns; should it be unreadable, restart.
const EARLY: &str = "normal (memdisk)/grub.cfg\nreboot\n";

/// Needed everywhere. `normal` knows the script language, `pgp` demands signatures, `ext2` reads ext4.
const COMMON_MODULES: &[&str] = &[
    "normal",
    "memdisk",
    "tar",
    "part_gpt",
    "fat",
    "ext2",
    "loadenv",
    "test",
    "true",
    "regexp",
    "echo",
    "sleep",
    "reboot",
    "pgp",
    "gcry_rsa",
    "gcry_sha256",
];
/// `chain` starts the UKI. `linux` is missing on purpose: without shim nothing would check a kernel loaded that way.
const EFI_MODULES: &[&str] = &["chain"];
/// `loopback` makes a device of the unified kernel image, from which `linux` takes kernel and initrd.
const BIOS_MODULES: &[&str] = &["biosdisk", "linux", "loopback", "serial"];

/// What `grub-bios-setup` accepts: the area between the load address of the core image and the end of low memory.
const MAX_CORE: usize = 888 * 512;
/// Unquoted expansion in a GRUB script matches patterns; its command line writer escapes quotes and backslashes.
const CHANGED_BY_GRUB: [char; 8] = ['\\', '\'', '"', '*', '?', '[', ']', '~'];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::uki::BlockList;

    const PLACES: Places =
        Places { kernel: BlockList { first: 2915, count: 27_708 }, initrd: BlockList { first: 163, count: 2752 } };

    #[test]
    fn the_command_line_fills_a_block_that_grub_reads() {
        let block = slot_env("console=ttyS0 panic=5 gpt", &PLACES).unwrap();
        assert_eq!(block.len(), SLOT_ENV_SIZE);
        let text = String::from_utf8(block).unwrap();
        let lines = "cmdline=console=ttyS0 panic=5 gpt\nkernel=2915+27708\ninitrd=163+2752\n";
        assert!(text.starts_with(&format!("# GRUB Environment Block\n{lines}####")), "{text}");
        assert!(text.ends_with('#'));
    }

    #[test]
    fn a_block_that_names_other_places_is_told_from_the_right_one() {
        let block = slot_env("console=ttyS0 kernel=2915+27708", &PLACES).unwrap();
        assert!(names_places(&block, &PLACES));
        assert!(!names_places(&block, &Places { initrd: PLACES.kernel, ..PLACES }));
        assert!(!names_places(&block, &Places { kernel: PLACES.initrd, ..PLACES }));
    }

    #[test]
    fn the_longest_command_line_fits_and_one_more_byte_does_not() {
        let room = SLOT_ENV_SIZE - "# GRUB Environment Block\ncmdline=\nkernel=2915+27708\ninitrd=163+2752\n".len();
        assert_eq!(slot_env(&"x".repeat(room), &PLACES).unwrap().len(), SLOT_ENV_SIZE);
        let text = slot_env(&"x".repeat(room + 1), &PLACES).unwrap_err().to_string();
        assert!(text.contains("is 1 bytes too long"), "{text}");
    }

    #[test]
    fn refuses_command_lines_that_would_arrive_changed() {
        for line in
            ["", "  ", "a\nb", "a\\b", "a=\"b c\"", "a='b'", "a=*", "a=?", "a[0]", "ä", "a\tb", "panic=5 slot=a", "~"]
        {
            assert_eq!(slot_env(line, &PLACES).unwrap_err().exit_code(), 3, "{line}");
        }
        slot_env("panic=5 root=/dev/x,y:z;w noslot=1 a.b=c-d_e+f/g@h#i%j(k)", &PLACES).unwrap();
    }

    #[test]
    fn the_policy_is_plain_text_that_ends_in_a_restart() {
        assert!(POLICY.is_ascii());
        assert_eq!(POLICY.lines().last(), Some("reboot"));
        for line in ["GRUB: boot slot $1", "GRUB: slot $1 could not be started", "GRUB: no valid boot state"] {
            assert!(POLICY.contains(line), "{line}");
        }
    }

    #[test]
    fn no_message_is_broken_in_two_by_an_80_column_console() {
        for line in POLICY.lines().filter(|line| line.trim_start().starts_with("echo")) {
            assert!(line.trim().len() < 80, "{line}");
        }
    }

    #[test]
    fn the_archive_is_the_same_every_time() {
        assert_eq!(memdisk().unwrap(), memdisk().unwrap());
        assert_eq!(memdisk().unwrap().len() % 512, 0);
    }
}
