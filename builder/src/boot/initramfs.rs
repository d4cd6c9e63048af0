//! The initramfs: a cpio archive in the "new ASCII" format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst),
//! compressed with zstd.
//!
//! The same entries give the same bytes: order by path, inode numbers counted, one time for all, owner root, one compression level and
//! one thread. Directories above an entry are created. What goes in is decided by [`crate::build`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use crate::tree::{Content, path};
use crate::{Error, Result};

/// An initramfs being put together.
#[derive(Debug, Clone)]
pub struct Archive {
    mtime: u32,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    mode: u32,
    device: (u32, u32),
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Nothing,
    Text(String),
    File(Content),
}

impl Archive {
    /// An empty archive whose entries all have this time, in seconds since 1970.
    pub const fn new(mtime: u32) -> Self {
        Self { mtime, entries: BTreeMap::new() }
    }

    /// Adds a directory with these permission bits.
    pub fn directory(&mut self, path: &str, mode: u16) -> Result<()> {
        self.put(path, DIRECTORY, mode, (0, 0), Body::Nothing)
    }

    /// Adds a regular file with these permission bits.
    pub fn file(&mut self, path: &str, mode: u16, content: Content) -> Result<()> {
        self.put(path, REGULAR, mode, (0, 0), Body::File(content))
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.put(path, SYMLINK, 0o777, (0, 0), Body::Text(target.to_owned()))
    }

    /// Adds a character device.
    pub fn device(&mut self, path: &str, mode: u16, major: u32, minor: u32) -> Result<()> {
        self.put(path, CHAR_DEVICE, mode, (major, minor), Body::Nothing)
    }

    /// Writes the archive, uncompressed.
    pub fn write(&self, out: &mut impl Write) -> Result<()> {
        let mut inode = 0;
        let mut written = 0;
        for (path, entry) in &self.entries {
            inode += 1;
            written += self.write_entry(out, path, entry, inode)?;
        }
        let end = Entry { mode: 0, device: (0, 0), body: Body::Nothing };
        written += Self { mtime: 0, ..Self::new(0) }.write_entry(out, "TRAILER!!!", &end, 0)?;
        pad(out, written, 512)
    }

    /// The archive as one zstd frame with a checksum.
    pub fn compressed(&self) -> Result<Vec<u8>> {
        let failed = |cause| Error::Io { action: "compress", path: "initramfs".into(), source: cause };
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL).map_err(failed)?;
        encoder.include_checksum(true).map_err(failed)?;
        self.write(&mut encoder)?;
        encoder.finish().map_err(failed)
    }

    fn put(&mut self, path: &str, kind: u32, mode: u16, device: (u32, u32), body: Body) -> Result<()> {
        let place = path.trim_start_matches('/');
        let refuse = |why: &str| Error::Input(format!("initramfs entry \"{path}\" is impossible: {why}"));
        for part in place.split('/') {
            path::check_name(part).map_err(|why| refuse(&why))?;
        }
        let parents: Vec<&str> = path::ancestors(place).filter(|parent| !parent.is_empty()).collect();
        for parent in &parents {
            if self.entries.get(*parent).is_some_and(|entry| entry.mode & KIND != DIRECTORY) {
                return Err(refuse(&format!("\"{parent}\" is not a directory")));
            }
        }
        let implied = Entry { mode: DIRECTORY | 0o755, device: (0, 0), body: Body::Nothing };
        let known = self.entries.get(place).map(|entry| entry.mode & KIND);
        if known.is_some_and(|known| known != DIRECTORY || kind != DIRECTORY) {
            return Err(refuse("it is there already"));
        }
        for parent in parents {
            self.entries.entry(parent.to_owned()).or_insert_with(|| implied.clone());
        }
        let entry = Entry { mode: kind | u32::from(mode & 0o7777), device, body };
        self.entries.insert(place.to_owned(), entry);
        Ok(())
    }

    /// Writes one entry and returns how many bytes it took.
    fn write_entry(&self, out: &mut impl Write, path: &str, entry: &Entry, inode: u32) -> Result<u64> {
        let length = match &entry.body {
            Body::Nothing => 0,
            Body::Text(text) => text.len() as u64,
            Body::File(content) => content.length(),
        };
        let size = u32::try_from(length).map_err(|_| {
            Error::Input(format!("initramfs file \"{path}\" has {length} bytes; the format ends at 4 GiB"))
        })?;
        let name_size = u32::try_from(path.len() + 1).map_err(|_| Error::Bug("a path of 4 GiB".into()))?;
        let links = if entry.mode & KIND == DIRECTORY { 2 } else { 1 };
        let mut header = String::from("070701");
        let (major, minor) = entry.device;
        for field in [inode, entry.mode, 0, 0, links, self.mtime, size, 0, 0, major, minor, name_size, 0] {
            // OK to ignore: writing into a string cannot fail
            let _ = write!(header, "{field:08X}");
        }
        header.push_str(path);
        header.push('\0');
        put(out, header.as_bytes())?;
        let header = header.len() as u64;
        pad(out, header, 4)?;
        match &entry.body {
            Body::Nothing => {}
            Body::Text(text) => put(out, text.as_bytes())?,
            Body::File(content) => content.for_each_piece(|piece| put(out, piece))?,
        }
        pad(out, length, 4)?;
        Ok(header.next_multiple_of(4) + length.next_multiple_of(4))
    }
}

fn put(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(Error::io("write", "initramfs"))
}

/// Zeros up to the next multiple of `unit`, which is at most 512.
fn pad(out: &mut impl Write, written: u64, unit: u64) -> Result<()> {
    let missing = usize::try_from(written.next_multiple_of(unit) - written).unwrap_or(0);
    put(out, &[0; 512][..missing])
}

/// File type bits of the mode (inode(7)).
const KIND: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHAR_DEVICE: u32 = 0o020_000;
/// Unpacking speed does not depend on the level, and every byte is read by the firmware and hashed.
const LEVEL: i32 = 19;

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Content {
        Content::Bytes(text.as_bytes().into())
    }

    fn sample(reverse: bool) -> Archive {
        let mut archive = Archive::new(1_700_000_000);
        let mut names = ["init", "lib/modules/list", "etc/bulkhead/trust.json"];
        if reverse {
            names.reverse();
        }
        for name in names {
            archive.file(name, 0o755, content(name)).unwrap();
        }
        archive.directory("/dev", 0o700).unwrap();
        archive.device("/dev/console", 0o600, 5, 1).unwrap();
        archive.symlink("bin", "usr/bin").unwrap();
        archive
    }

    #[test]
    fn bytes_do_not_depend_on_the_order_of_calls() {
        let bytes = sample(false).compressed().unwrap();
        assert_eq!(bytes, sample(true).compressed().unwrap());
        let mut plain = Vec::new();
        sample(false).write(&mut plain).unwrap();
        assert_eq!(plain.len() % 512, 0);
        assert_eq!(zstd::decode_all(&bytes[..]).unwrap(), plain);
        assert!(plain.starts_with(b"07070100000001"));
    }

    #[test]
    fn refuses_names_that_collide_or_leave_the_archive() {
        let mut archive = sample(false);
        for path in ["../x", "", "a//b", "init", "init/x", "dev/console/y"] {
            assert!(archive.file(path, 0o644, content("")).is_err(), "{path}");
        }
        archive.directory("dev", 0o755).unwrap();
    }
}
