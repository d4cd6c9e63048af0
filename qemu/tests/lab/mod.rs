//! The lab: the demo appliance with a root shell on its serial console, and releases of it that work and that do not.
//!
//! Built once per test run from `rootfs/minimal` with the keys of the demo, by the program under test (`BULKHEAD_TEST_BIN`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use formats::Bytes;
use qemu::{Disk, Firmware, Guest, Machine, Result};

/// Where the lab's files are.
pub struct Lab {
    folder: tempfile::TempDir,
}

/// A release of the lab.
#[derive(Clone, Copy)]
pub struct Release {
    /// Version of base and site, and sequence number.
    pub version: &'static str,
    /// Folder under `tests/lab` laid over the base.
    pub over: &'static str,
}

/// What the appliance starts with.
pub const FIRST: Release = Release { version: "1.0.0", over: "overlay" };
/// A release that works.
pub const GOOD: Release = Release { version: "1.1.0", over: "overlay" };
/// A release whose userland panics the kernel.
pub const PANICS: Release = Release { version: "1.2.0", over: "panics" };

/// The lab, or `None` with a loud line; in CI its absence is a failure.
pub fn lab() -> Option<&'static Lab> {
    static LAB: OnceLock<Option<Lab>> = OnceLock::new();
    LAB.get_or_init(|| {
        let Some(bin) = std::env::var_os("BULKHEAD_TEST_BIN").map(PathBuf::from) else {
            assert!(std::env::var_os("CI").is_none(), "CI must set BULKHEAD_TEST_BIN");
            println!("SKIPPED: needs BULKHEAD_TEST_BIN (scripts/test sets it)");
            return None;
        };
        let lab = Lab { folder: tempfile::tempdir().unwrap() };
        for release in [FIRST, GOOD, PANICS] {
            lab.build(&bin, release);
        }
        Some(lab)
    })
    .as_ref()
}

impl Lab {
    /// A disk with the first release, larger than the image so that packages fit the data partition.
    pub fn disk(&self) -> Result<Disk> {
        let disk = Disk::copy(self.out(FIRST).join("bulkhead-demo-1.0.0.img"))?;
        disk.grow(Bytes::GIB)?;
        Ok(disk)
    }

    /// The base package of a release.
    pub fn base(&self, release: Release) -> PathBuf {
        self.out(release).join(format!("bulkhead-demo-base-{}.pkg", release.version))
    }

    /// The site package of a release.
    pub fn site(&self, release: Release) -> PathBuf {
        self.out(release).join(format!("hello-site-{}.pkg", release.version))
    }

    fn out(&self, release: Release) -> PathBuf {
        self.folder.path().join(release.version)
    }

    fn build(&self, bin: &Path, release: Release) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let minimal = root.join("rootfs/minimal").canonicalize().unwrap();
        let over = root.join("qemu/tests/lab").canonicalize().unwrap();
        let absolute = |text: &str, name: &str| {
            let from = minimal.join(name);
            text.replace(&format!("= \"{name}\""), &format!("= \"{}\"", from.display()))
        };
        let sequence = release.version.replace('.', "").trim_start_matches('0').to_owned();
        let mut text = std::fs::read_to_string(minimal.join("recipe.toml")).unwrap();
        for name in ["keys", "debs", "overlay", "site"] {
            text = absolute(&text, name);
        }
        text = text.replace("version = \"1.0.0\"", &format!("version = \"{}\"", release.version));
        text = text.replace("sequence = 1\n", &format!("sequence = {sequence}\n"));
        let layer = |folder: &str| format!("\n[[base.layer]]\ndirectory = \"{}\"\n", over.join(folder).display());
        text += &layer("overlay");
        if release.over != "overlay" {
            text += &layer(release.over);
        }
        let recipe = self.folder.path().join(format!("{}.toml", release.version));
        std::fs::write(&recipe, text).unwrap();
        let output =
            Command::new(bin.join("bulkhead")).arg("build").arg(&recipe).arg("-o").arg(self.out(release)).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A machine with a package in its second disk, like a USB stick.
pub fn machine(disk: &Disk, firmware: Firmware, package: &Path) -> Machine {
    Machine::new(disk).firmware(firmware).extra([
        "-drive".to_owned(),
        format!("if=none,id=stick,format=raw,readonly=on,file={}", package.display()),
        "-device".to_owned(),
        "virtio-blk-pci,drive=stick".to_owned(),
    ])
}

/// Types a command and waits, as long as `boots` starts may take, until it has ended well.
pub fn run(guest: &mut Guest, command: &str, boots: u32) -> Result<()> {
    let patience = guest.patience(boots);
    // The words are put together by the shell, so that the echo of the typed line is not taken for the answer.
    guest.send(&format!("{{ {command}; }} && echo \"LAB\" \"good\" || echo \"LAB\" \"bad\"\n"))?;
    guest.expect_before("LAB good", "LAB bad", patience).map(drop)
}

/// Copies the package from the second disk to the data partition, as [`PACKAGE`].
pub fn copy(guest: &mut Guest, package: &Path, boots: u32) -> Result<()> {
    let length = std::fs::metadata(package).unwrap().len();
    run(guest, &format!("head -c {length} /dev/vdb >{PACKAGE}; sync"), boots)
}

/// Where [`copy`] puts a package.
pub const PACKAGE: &str = "/data/update.pkg";
