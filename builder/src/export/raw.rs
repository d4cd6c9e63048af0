//! The raw disk image: what every other format is made from, read in order, holes and zero blocks skipped, memory bounded by one
//! block; and the raw format itself, a copy that keeps the holes.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use formats::units::Bytes;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use super::Format;
use super::partial::Partial;
use crate::{Error, Result};

/// A disk image opened for reading; its size is a positive multiple of what the wanted format needs.
pub(super) struct RawImage {
    file: File,
    path: PathBuf,
    size: u64,
}

impl RawImage {
    /// Opens `path` and checks that it can become a `format`.
    pub(super) fn open(path: &Path, format: Format) -> Result<Self> {
        let shown = path.display();
        let file = OpenOptions::new().read(true).open(path).map_err(Error::io("read", path))?;
        let metadata = file.metadata().map_err(Error::io("read", path))?;
        if !metadata.is_file() {
            return Err(Error::input(format!("disk image \"{shown}\" is not a regular file")));
        }
        let (size, unit) = (metadata.len(), format.size_unit());
        if size == 0 {
            return Err(Error::input(format!("disk image \"{shown}\" is empty; build it again")));
        }
        if !Bytes(size).is_multiple_of(unit) {
            let way_out =
                if unit > Bytes(512) { "change its size in the recipe, or use raw or qcow2" } else { "build it again" };
            return Err(Error::input(format!(
                "disk image \"{shown}\" has {size} bytes, which is not a multiple of {unit} as {format} needs; {way_out}"
            )));
        }
        Ok(Self { file, path: path.to_owned(), size })
    }

    /// The disk's size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Where the image is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Calls `visit` with offset and content of every block of `block` bytes that is not all zero, in ascending order. The last
    /// block is shorter when the disk's size is not a multiple of `block`.
    pub(super) fn for_each_block(&self, block: usize, visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let step = u64::try_from(block).map_err(|_| Error::Bug("block size beyond 64 bits".into()))?;
        let mut buffer = vec![0; block];
        let mut offset = 0;
        while let Some(data) = self.next_data(offset).map_err(Error::io("read", &self.path))? {
            offset = offset.max(data.start - data.start % step);
            while offset < data.end {
                let length = usize::try_from(self.size - offset).map_or(block, |rest| rest.min(block));
                let content = &mut buffer[..length];
                self.file.read_exact_at(content, offset).map_err(Error::io("read", &self.path))?;
                if content.iter().any(|byte| *byte != 0) {
                    visit(offset, content)?;
                }
                offset += step;
            }
        }
        Ok(())
    }

    /// Copies the disk into `out`, which ends up as long as the disk and has holes where the disk has zeros.
    pub(super) fn copy_into(&self, out: &Partial) -> Result<()> {
        out.file().set_len(self.size).map_err(out.write_error())?;
        self.for_each_block(COPY_BLOCK, &mut |offset, content| {
            out.file().write_all_at(content, offset).map_err(out.write_error())
        })
    }

    /// The next range at or after `offset` that may hold data. A file system that cannot say reports everything as data.
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        if offset >= self.size {
            return Ok(None);
        }
        let seek = |from: u64, whence| -> std::result::Result<u64, Errno> {
            let from = i64::try_from(from).map_err(|_| Errno::EOVERFLOW)?;
            lseek(&self.file, from, whence).map(i64::cast_unsigned)
        };
        let start = match seek(offset, Whence::SeekData) {
            Ok(start) => start,
            Err(Errno::ENXIO) => return Ok(None),
            Err(Errno::EINVAL) => return Ok(Some(offset..self.size)),
            Err(errno) => return Err(errno.into()),
        };
        let end = seek(start, Whence::SeekHole)?.min(self.size);
        Ok((start < end).then_some(start..end))
    }
}

const COPY_BLOCK: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::Existing;
    use std::os::unix::fs::MetadataExt;

    fn image(size: u64, pieces: &[(u64, &[u8])]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(size).unwrap();
        for (offset, bytes) in pieces {
            file.as_file().write_all_at(bytes, *offset).unwrap();
        }
        file
    }

    #[test]
    fn visits_blocks_with_data_once_and_in_order() {
        let file = image(
            10 << 20,
            &[(0, b"a"), (4095, b"bc"), (1 << 20, &[0; 8192]), (5 << 20, b"d"), ((10 << 20) - 1, b"e")],
        );
        let raw = RawImage::open(file.path(), Format::Raw).unwrap();
        for block in [512, 4096, 65536, 3 << 20] {
            let mut seen = Vec::new();
            raw.for_each_block(block, &mut |offset, content| {
                seen.push(offset);
                assert!(content.len() == block || offset + content.len() as u64 == 10 << 20);
                Ok(())
            })
            .unwrap();
            let step = block as u64;
            let mut wanted: Vec<u64> =
                [0, 4095, 4096, 5 << 20, (10 << 20) - 1].iter().map(|at| at - at % step).collect();
            wanted.dedup();
            assert_eq!(seen, wanted, "block size {block}");
        }
    }

    #[test]
    fn copies_content_and_keeps_holes() {
        let file = image(64 << 20, &[(3 << 20, b"content"), (9 << 20, &vec![0; 1 << 20])]);
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("copy");
        let partial = Partial::create(&target, Existing::Refuse).unwrap();
        RawImage::open(file.path(), Format::Raw).unwrap().copy_into(&partial).unwrap();
        partial.commit().unwrap();
        assert!(std::fs::read(&target).unwrap() == std::fs::read(file.path()).unwrap());
        let used = target.metadata().unwrap().blocks() * 512;
        assert!(used <= 1 << 20, "{used} bytes in use");
    }

    #[test]
    fn refuses_what_is_not_a_disk_image() {
        let directory = tempfile::tempdir().unwrap();
        let cases = [
            (0, Format::Raw, "is empty"),
            (1000, Format::Qcow2, "multiple of 512 B"),
            (513 << 10, Format::Vhd, "multiple of 1 MiB"),
        ];
        for (size, format, wanted) in cases {
            let file = image(size, &[]);
            let error = RawImage::open(file.path(), format).err().unwrap();
            assert_eq!(error.exit_code(), 3);
            assert!(error.to_string().contains(wanted), "{error}");
        }
        let error = RawImage::open(directory.path(), Format::Raw).err().unwrap();
        assert!(error.to_string().contains("not a regular file"), "{error}");
        let error = RawImage::open(&directory.path().join("none"), Format::Raw).err().unwrap();
        assert_eq!(error.exit_code(), 6);
    }
}
