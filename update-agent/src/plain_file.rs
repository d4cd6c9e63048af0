//! Files on the data partition. Whoever had the disk in hand may have prepared them: no link is followed, only regular files are
//! opened (a pipe would block for ever), and reading has a limit.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use formats::digest::Hasher;
use formats::{Bytes, Digest};

/// Opens `path` with these options if it is a regular file itself.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

/// The content of `path`, at most `limit` bytes.
pub fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let file = open(path, OpenOptions::new().read(true))?;
    let mut bytes = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(bound).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {limit} bytes")));
    }
    Ok(bytes)
}

/// Length and SHA-256 of what can be read from here on.
pub fn digest(mut from: impl Read) -> io::Result<(u64, Digest)> {
    let (mut hasher, mut length, mut piece) = (Hasher::default(), 0_u64, vec![0; PIECE]);
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            return Ok((length, hasher.finish()));
        }
        hasher.update(piece.get(..read).unwrap_or_default());
        length = length.saturating_add(read as u64);
    }
}

/// Replaces `path`: after a power cut there is the old or the new content, whole. Durable on return. `beside` is in the same directory;
/// `mode` are the permissions of the file, less those the process masks.
pub fn replace(path: &Path, beside: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_with(path, beside, bytes, mode, |_| Ok(()))
}

/// The same, with something to do to the new file before it counts. When that fails the old one stays.
pub fn replace_with(
    path: &Path,
    beside: &Path,
    bytes: &[u8],
    mode: u32,
    prepare: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    // What lies there is left from a cut, or a trap: the name is made anew either way.
    remove_if_there(beside)?;
    let mut file = open(beside, OpenOptions::new().write(true).create_new(true).mode(mode))?;
    if let Err(problem) = file.write_all(bytes).and_then(|()| prepare(&file)) {
        // What room it took is needed more elsewhere; the first problem is the one to report.
        remove_if_there(beside).unwrap_or(());
        return Err(problem);
    }
    // Before the rename: a name must never lead to a file whose content a power cut can still take.
    file.sync_all()?;
    fs::rename(beside, path)?;
    File::open(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?.sync_all()
}

/// Removes a file or link; nothing is there afterwards, or the error says why something is.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => Err(problem),
        _ => Ok(()),
    }
}

/// The names in a folder, sorted. A folder that is not there has none.
pub fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = match fs::read_dir(folder) {
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<OsString>>>()?;
    names.sort();
    Ok(names)
}

/// Removes what [`replace`] left when the power went: the files in a folder that is there whose names end with `.new`.
pub fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for name in names(folder)? {
        let path = folder.join(name);
        if path.extension().is_some_and(|ending| ending == "new") {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}

/// Writes a file of this mode for somebody else to take away, never over something that is there. Durable but for its name.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = open(path, OpenOptions::new().write(true).create_new(true).mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What is free on the file system of a folder that is there, less what is kept for root.
pub fn free(folder: &Path) -> io::Result<Bytes> {
    let space = nix::sys::statvfs::statvfs(folder)?;
    Ok(Bytes(space.blocks_available().saturating_mul(space.fragment_size())))
}

const PIECE: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_regular_files_up_to_their_limit_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "12345").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        assert_eq!(read(&file, 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(read(&link, 5).is_err());
        assert!(open(&link, OpenOptions::new().append(true)).is_err());
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(&pipe, 5).is_err());
        assert!(read(folder.path(), 5).is_err());
    }

    #[test]
    fn a_folder_tells_its_names_in_order_and_one_that_is_not_there_has_none() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.new", "a", "c"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(names(folder.path()).unwrap(), ["a", "b.new", "c"]);
        assert!(names(&folder.path().join("nowhere")).unwrap().is_empty());
        assert!(names(&folder.path().join("a")).is_err(), "a file is no folder without names");
    }

    #[test]
    fn what_a_cut_left_goes_and_a_new_file_is_written_over_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        write_new(&path, b"x", 0o600).unwrap();
        assert_eq!(write_new(&path, b"y", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        std::fs::write(folder.path().join("one.new"), "").unwrap();
        remove_unfinished(folder.path()).unwrap();
        assert_eq!(
            (names(folder.path()).unwrap(), std::fs::read(&path).unwrap()),
            (vec!["kept".into()], b"x".to_vec())
        );
    }

    #[test]
    fn what_is_free_is_what_others_than_root_can_write() {
        let folder = tempfile::tempdir().unwrap();
        let told =
            std::process::Command::new("df").args(["--block-size=1", "--output=avail"]).arg(folder.path()).output();
        let told = String::from_utf8(told.unwrap().stdout).unwrap();
        let told: u64 = told.lines().last().unwrap().trim().parse().unwrap();
        // Others write meanwhile.
        assert!(free(folder.path()).unwrap().0.abs_diff(told) < 1 << 30, "{told}");
        assert!(free(&folder.path().join("nowhere")).is_err());
    }
}
