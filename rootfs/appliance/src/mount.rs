//! Mounting, with errors that name both ends.

use std::fs;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, umount2};

use crate::error::{Doing, Error, Result};

/// Mounts `source`, a file system of `kind`, on the directory `target`.
pub fn mount(source: &str, target: &Path, kind: &str, flags: MsFlags, options: &str) -> Result<()> {
    if !target.is_dir() {
        return Err(Error::Refused(format!(
            "cannot mount \"{source}\": there is no directory {target:?} to mount it on"
        )));
    }
    nix::mount::mount(Some(source), target, Some(kind), flags, Some(options))
        .doing(|| format!("mount \"{source}\" on {target:?}"))
}

/// A verified file system. `noload`: its journal is empty, and replaying one would write.
pub fn mount_verified(device: &Path, target: &Path) -> Result<()> {
    mount(&device.to_string_lossy(), target, "ext4", MsFlags::MS_RDONLY, "noload")
}

/// Unmounts what is on `target`; refused by the kernel while a process uses it.
pub fn unmount(target: &Path) -> Result<()> {
    umount2(target, MntFlags::UMOUNT_NOFOLLOW).doing(|| format!("unmount {target:?}"))
}

/// The device number, as in `254:3`, of what is mounted on `target` in the name space of this process; nothing when nothing is.
pub fn device_on(target: &Path) -> Result<Option<String>> {
    let path = "/proc/self/mountinfo";
    let text = fs::read_to_string(path).doing(|| format!("read \"{path}\""))?;
    Ok(topmost(&text, &target.to_string_lossy()).map(str::to_owned))
}

/// Of several mounts on one directory the last line is the one on top. Directories with spaces are written in octal there and never
/// match; the directories asked for here have none.
fn topmost<'a>(mountinfo: &'a str, target: &str) -> Option<&'a str> {
    mountinfo.lines().rev().find_map(|line| {
        let mut words = line.split(' ').skip(2);
        let (device, _, directory) = (words.next()?, words.next()?, words.next()?);
        (directory == target).then_some(device)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 254:0 / / ro,relatime shared:1 - ext4 /dev/dm-0 ro\n\
        31 22 254:1 / /site ro,relatime - ext4 /dev/dm-1 ro\n\
        32 22 254:8 / /data rw,nosuid,nodev - ext4 /dev/vda8 rw\n\
        40 31 254:2 / /site ro,relatime - ext4 /dev/dm-2 ro\n";

    #[test]
    fn the_mount_on_top_counts() {
        assert_eq!(topmost(MOUNTS, "/site"), Some("254:2"));
        assert_eq!(topmost(MOUNTS, "/data"), Some("254:8"));
        assert_eq!(topmost(MOUNTS, "/sit"), None);
        assert_eq!(topmost("31 22\n\n31 22 254:1 /site /other rw\n", "/site"), None);
    }

    #[test]
    fn refuses_a_missing_directory_in_words() {
        let target = Path::new("/nowhere/at all");
        let problem = mount("tmpfs", target, "tmpfs", MsFlags::empty(), "").unwrap_err().to_string();
        assert!(problem.contains("there is no directory \"/nowhere/at all\""), "{problem}");
    }
}
