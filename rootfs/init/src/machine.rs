//! Mounts, the switch to the real root, and the restart: everything this program does to the system by safe calls.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use appliance::mount::mount as mount_one;
use appliance::sys::watchdog::Watchdog;
use appliance::{Doing, Error, Result};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::unistd::{chdir, chroot, dup2_stderr, dup2_stdin, dup2_stdout, execv, sync};

use crate::console::say;
use crate::{failure, firmware};

/// Where the base is mounted before it becomes the root.
pub const NEW_ROOT: &str = "/new";
/// `<linux/magic.h>`; `nix` does not have it.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// `/proc`, `/sys`, `/dev`.
pub fn mount_kernel_file_systems() -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    mount_one("proc", Path::new("/proc"), "proc", flags, "")?;
    mount_one("sysfs", Path::new("/sys"), "sysfs", flags, "")?;
    mount_one("devtmpfs", Path::new("/dev"), "devtmpfs", MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, "mode=0755")
}

/// efivarfs, read-only, where the machine has variables. Needs its module loaded.
pub fn mount_firmware_variables() -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV | MsFlags::MS_RDONLY;
    mount_one("efivarfs", firmware::variables(), "efivarfs", flags, "")
}

/// The data partition. Errors in it make it read-only instead of spreading.
pub fn mount_data(device: &Path, target: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount_one(&device.to_string_lossy(), target, "ext4", flags, "errors=remount-ro")
}

/// An empty file system in memory.
pub fn mount_memory(target: &Path) -> Result<()> {
    mount_one("tmpfs", target, "tmpfs", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=0755")
}

/// Starts every watchdog and returns those that run. One that refuses is reported; a machine without any still boots.
pub fn arm_watchdogs(seconds: u32) -> Vec<Watchdog> {
    if seconds == 0 {
        return Vec::new();
    }
    // `/dev/watchdog` without a number is the first one once more.
    let numbered = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix("watchdog").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let entries = fs::read_dir("/dev").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let devices: Vec<PathBuf> = entries.filter(numbered).collect();
    if devices.is_empty() {
        say("warning: no watchdog device; a hang will not end by itself");
    }
    let arm = |device: &PathBuf| match Watchdog::arm(device, seconds) {
        Ok(armed) => {
            say(&format!("watchdog {} armed, {} s", device.display(), armed.seconds()));
            Some(armed)
        }
        Err(problem) => {
            say(&format!("warning: cannot arm {}: {problem}", device.display()));
            None
        }
    };
    devices.iter().filter_map(arm).collect()
}

/// Makes [`NEW_ROOT`] the root, gives the memory of the initramfs back, and becomes `program`.
pub fn hand_over(program: &str) -> Result<Infallible> {
    for name in ["dev", "proc", "sys"] {
        let (from, to) = (Path::new("/").join(name), Path::new(NEW_ROOT).join(name));
        mount(Some(&from), &to, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
            .doing(|| format!("move {from:?} to {to:?}"))?;
    }
    free_initramfs();
    // pivot_root(2) does not work on the initial root; moving the new root over it does.
    chdir(NEW_ROOT).doing(|| format!("enter \"{NEW_ROOT}\""))?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .doing(|| "move the new root to \"/\"".into())?;
    chroot(".").doing(|| "change the root".into())?;
    failure::root_changed();
    chdir("/").doing(|| "enter the new root".into())?;
    open_standard_streams();
    let program = CString::new(program).map_err(|_| Error::Refused(format!("{program:?} contains a zero byte")))?;
    execv(&program, &[&program]).doing(|| format!("start {program:?} of the base"))
}

/// Deletes the files of the initramfs: they live in memory and nobody can reach them any more. Never crosses into a mount.
fn free_initramfs() {
    if !statfs("/").is_ok_and(|root| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&root.filesystem_type())) {
        return;
    }
    let Ok(root) = fs::metadata("/") else { return };
    for path in fs::read_dir("/").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.dev() == root.dev() {
            let removed = if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if let Err(problem) = removed {
                say(&format!("warning: cannot free {path:?} of the initramfs: {problem}"));
            }
        }
    }
}

/// The base's init gets the console as its three streams, wherever ours were.
fn open_standard_streams() {
    let Ok(console) = OpenOptions::new().read(true).write(true).open("/dev/console") else { return };
    let console: File = console;
    for duplicated in [dup2_stdin(&console), dup2_stdout(&console), dup2_stderr(&console)] {
        if let Err(problem) = duplicated {
            say(&format!("warning: cannot give the console to the base: {problem}"));
        }
    }
}

/// Restarts the machine at once.
pub fn restart() -> ! {
    end(RebootMode::RB_AUTOBOOT)
}

/// Turns the machine off at once.
pub fn power_off() -> ! {
    end(RebootMode::RB_POWER_OFF)
}

fn end(mode: RebootMode) -> ! {
    sync();
    match reboot(mode) {
        Ok(never) => match never {},
        // Only without the privilege. PID 1 ends, so the kernel panics and restarts by itself.
        Err(problem) => say(&format!("cannot restart or turn off: {problem}")),
    }
    std::process::abort()
}
