//! Files that somebody who asks names by their path, such as package files.
//!
//! Known attacks and our defence: a device or pipe, on which opening alone does something or never ends (found out before it is opened:
//! the path is resolved to a handle that does nothing, looked at, and only then opened for reading, the same file and no other), a link
//! in `/proc` that leads into another process (not followed), a file of the kernel's that reads without end or with side effects
//! (refused by its file system), a file that is exchanged in between (the handle holds it). An ordinary link is followed: what counts
//! is what it leads to.
//!
//! Clients name paths and do not hand over open files, because only root may ask, who can open everything anyway, and because HTTP has
//! no place for a descriptor: the process that takes requests apart would have to be allowed to hold and pass on files.

use std::fs::{File, FileType, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::statfs::{self, FsType, fstatfs};

use crate::error::{Doing, Error, Result};

/// Opens the regular file at `path` for reading; `name` is what errors call it.
///
/// # Errors
/// `NotAFile` when it is anything else, `System` when it cannot be found or opened.
pub fn open(path: &Path, name: &str) -> Result<File> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let handle = match openat2(AT_FDCWD, path, how) {
        Err(Errno::ELOOP) => return Err(not_a_file(name, "a link into a process, or one that leads in circles")),
        handle => handle.map(File::from).doing(|| format!("open {name}"))?,
    };
    let kind = handle.metadata().doing(|| format!("measure {name}"))?.file_type();
    if !kind.is_file() {
        return Err(not_a_file(name, word(kind)));
    }
    let system = fstatfs(&handle).doing(|| format!("measure {name}"))?.filesystem_type();
    if OF_THE_KERNEL.contains(&system) {
        return Err(not_a_file(name, "a file of the kernel's"));
    }
    // The same file, whatever the path leads to by now.
    let again = format!("/proc/self/fd/{}", handle.as_raw_fd());
    OpenOptions::new().read(true).custom_flags(libc::O_CLOEXEC).open(again).doing(|| format!("open {name}"))
}

fn not_a_file(name: &str, what: &'static str) -> Error {
    Error::NotAFile { name: name.into(), what }
}

fn word(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() {
        "a block device"
    } else if kind.is_char_device() {
        "a character device"
    } else {
        "something else"
    }
}

/// File systems whose files are no files.
const OF_THE_KERNEL: [FsType; 7] = [
    statfs::PROC_SUPER_MAGIC,
    statfs::SYSFS_MAGIC,
    statfs::DEBUGFS_MAGIC,
    statfs::TRACEFS_MAGIC,
    statfs::SECURITYFS_MAGIC,
    statfs::CGROUP_SUPER_MAGIC,
    statfs::CGROUP2_SUPER_MAGIC,
];

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_regular_file_is_opened_also_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "content").unwrap();
        symlink(&file, &link).unwrap();
        for path in [file, link] {
            let mut text = String::new();
            open(&path, "it").unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "content");
        }
    }

    #[test]
    fn nothing_else_is_opened_and_the_refusal_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink(path("pipe"), path("link-to-pipe")).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        for (path, what) in [
            (path("pipe"), "a pipe"),
            (path("link-to-pipe"), "a pipe"),
            (path("socket"), "a socket"),
            (path(""), "a directory"),
            ("/dev/zero".into(), "a character device"),
            ("/proc/self/status".into(), "a file of the kernel's"),
        ] {
            let problem = open(&path, "package \"x\"").unwrap_err();
            assert_eq!(problem.code(), "not-a-file", "{}: {problem}", path.display());
            assert!(problem.to_string().contains(what), "{}: {problem}", path.display());
        }
        let problem = open(&path("none"), "package \"x\"").unwrap_err();
        assert_eq!(problem.code(), "not-found", "{problem}");
    }

    #[test]
    fn a_pipe_is_not_even_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(open(&pipe, "it").is_err());
        // Whoever had opened it for reading, without waiting, would let this succeed for a moment; nobody ever did.
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                let writing = || OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&pipe);
                (0..2000).any(|_| writing().is_ok())
            }
        });
        for _ in 0..500 {
            assert!(open(&pipe, "it").is_err());
        }
        assert!(!writer.join().unwrap(), "somebody had opened it");
    }

    #[test]
    fn a_link_into_a_process_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("file")).unwrap();
        let magic = format!("/proc/self/fd/{}", file.as_raw_fd());
        assert!(File::open(&magic).is_ok());
        let problem = open(Path::new(&magic), "it").unwrap_err();
        assert_eq!(problem.code(), "not-a-file", "{problem}");
    }
}
