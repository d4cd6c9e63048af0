//! The disk of a virtual machine: an overlay or a copy that lives as long as the test, so that the image is never modified.
//!
//! A [`Disk`] keeps what the guest wrote across several boots, can be enlarged between them, and can be damaged on purpose. One
//! guest uses it at a time, and nobody edits it while a guest runs. Only [`Disk::persistent`] writes to the file it is given.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use formats::{Bytes, SectorSize};
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::surgery::RawImage;
use crate::tool::Tool;
use crate::{Error, Result};

/// A disk for one or more boots. Cloning gives another handle to the same disk.
#[derive(Debug, Clone)]
pub struct Disk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    format: Format,
    in_use: bool,
    /// Where every write of a guest is recorded.
    write_log: Option<PathBuf>,
    /// Where overlays and copies live; removed with the last handle.
    directory: Option<TempDir>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Raw,
    Qcow2,
}

/// The right to run a guest on a disk; given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease(Disk);

impl Disk {
    /// An empty overlay over a raw image: starts at once, takes only what the guest writes.
    pub fn overlay(image: impl AsRef<Path>) -> Result<Self> {
        let image = existing(image.as_ref())?;
        let directory = scratch()?;
        let file = directory.path().join("overlay.qcow2");
        Tool::QemuImg.run(&[
            "create".as_ref(),
            "-q".as_ref(),
            "-f".as_ref(),
            "qcow2".as_ref(),
            "-F".as_ref(),
            "raw".as_ref(),
            "-b".as_ref(),
            image.as_os_str(),
            file.as_os_str(),
        ])?;
        Ok(Self::new(file, Format::Qcow2, Some(directory)))
    }

    /// A raw copy of a raw image, holes kept: for tests that damage bytes.
    pub fn copy(image: impl AsRef<Path>) -> Result<Self> {
        let image = existing(image.as_ref())?;
        let directory = scratch()?;
        let file = directory.path().join("disk.raw");
        copy_sparse(&image, &file)?;
        Ok(Self::new(file, Format::Raw, Some(directory)))
    }

    /// The image itself: the guest's writes stay in it.
    pub fn persistent(image: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::new(existing(image.as_ref())?, Format::Raw, None))
    }

    /// An empty raw disk of this size.
    pub fn empty(size: Bytes) -> Result<Self> {
        let directory = scratch()?;
        let file = directory.path().join("disk.raw");
        let handle = File::create(&file).map_err(Error::io("create", &file))?;
        handle.set_len(size.0).map_err(Error::io("enlarge", &file))?;
        Ok(Self::new(file, Format::Raw, Some(directory)))
    }

    /// Enlarges the disk to `size`; what is new reads as zeros. Refuses to shrink, and a disk in use.
    pub fn grow(&self, size: Bytes) -> Result<()> {
        let inner = self.idle("enlarge")?;
        match inner.format {
            Format::Raw => {
                let now = fs::metadata(&inner.file).map_err(Error::io("examine", &inner.file))?.len();
                if size.0 < now {
                    return Err(Error::Input(format!(
                        "cannot shrink the disk from {} to {size}; give a size that is not smaller",
                        Bytes(now)
                    )));
                }
                let file = OpenOptions::new().write(true).open(&inner.file).map_err(Error::io("open", &inner.file))?;
                file.set_len(size.0).map_err(Error::io("enlarge", &inner.file))
            }
            Format::Qcow2 => {
                let file = inner.file.to_string_lossy();
                Tool::QemuImg.run(&["resize", "-q", "-f", "qcow2", &file, &size.0.to_string()]).map(drop)
            }
        }
    }

    /// Changes bytes of the disk between boots. An overlay becomes a raw copy first. Refuses a disk in use.
    pub fn edit<T>(&self, change: impl FnOnce(&mut RawImage) -> Result<T>) -> Result<T> {
        let mut inner = self.idle("edit")?;
        if inner.format == Format::Qcow2 {
            let raw = inner.file.with_file_name("disk.raw");
            let (from, to) = (inner.file.to_string_lossy().into_owned(), raw.to_string_lossy().into_owned());
            Tool::QemuImg.run(&["convert", "-q", "-f", "qcow2", "-O", "raw", &from, &to])?;
            fs::remove_file(&inner.file).map_err(Error::io("remove", &inner.file))?;
            inner.file = raw;
            inner.format = Format::Raw;
        }
        change(&mut RawImage::open(&inner.file)?)
    }

    /// The file that holds the disk now (a qcow2 overlay or raw).
    pub fn file(&self) -> PathBuf {
        self.lock().file.clone()
    }

    /// Records every write and flush of the guests from now on in `log`, for [`crate::power_cut`]. An existing log is continued.
    pub fn record_writes(&self, log: impl Into<PathBuf>) -> Result<()> {
        let mut inner = self.idle("record the writes of")?;
        let log = log.into();
        // The emulator opens it and does not make it.
        OpenOptions::new().append(true).create(true).open(&log).map_err(Error::io("create", &log))?;
        inner.write_log = Some(log);
        Ok(())
    }

    /// Takes the disk for a guest, and says how QEMU opens it (`-blockdev` arguments, the last one with the node name `node`).
    pub(crate) fn lease(&self, node: &str) -> Result<(Lease, Vec<Value>)> {
        let mut inner = self.idle("boot from")?;
        inner.in_use = true;
        // Guest flushes reach the file (so a killed emulator loses only what the guest had not flushed) but do not wait for
        // the host's disk: the host does not lose power in these tests.
        let file = json!({
            "driver": "file", "node-name": format!("{node}-file"), "filename": inner.file, "discard": "unmap",
            "cache": { "no-flush": true },
        });
        let image = if inner.write_log.is_some() { format!("{node}-image") } else { node.to_owned() };
        let format = json!({
            "driver": match inner.format { Format::Raw => "raw", Format::Qcow2 => "qcow2" },
            "node-name": image, "file": format!("{node}-file"), "discard": "unmap",
        });
        let mut nodes = vec![file, format];
        if let Some(log) = &inner.write_log {
            let begun = fs::metadata(log).is_ok_and(|metadata| metadata.len() > 0);
            nodes.push(json!({
                "driver": "file", "node-name": format!("{node}-log"), "filename": log, "cache": { "no-flush": true },
            }));
            nodes.push(json!({
                "driver": "blklogwrites", "node-name": node, "file": image, "log": format!("{node}-log"),
                "log-sector-size": SectorSize::S512.bytes(), "log-append": begun, "discard": "unmap",
            }));
        }
        Ok((Lease(self.clone()), nodes))
    }

    fn new(file: PathBuf, format: Format, directory: Option<TempDir>) -> Self {
        Self { inner: Arc::new(Mutex::new(Inner { file, format, in_use: false, write_log: None, directory })) }
    }

    fn idle(&self, action: &str) -> Result<MutexGuard<'_, Inner>> {
        let inner = self.lock();
        if inner.in_use {
            let file = inner.file.display();
            return Err(Error::Input(format!(
                "cannot {action} \"{file}\" while a guest runs on it; end the guest first"
            )));
        }
        Ok(inner)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.lock().in_use = false;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Named here because dropping the directory is what ends a disk's life.
        drop(self.directory.take());
    }
}

/// Copies `from` to the new file `to`, skipping holes.
pub fn copy_sparse(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).map_err(Error::io("open", from))?;
    let mut target = File::create(to).map_err(Error::io("create", to))?;
    let size = source.metadata().map_err(Error::io("examine", from))?.len();
    target.set_len(size).map_err(Error::io("enlarge", to))?;
    let mut position = 0;
    while let Some((start, end)) = next_data(&source, position, size).map_err(Error::io("read", from))? {
        source.seek(SeekFrom::Start(start)).map_err(Error::io("read", from))?;
        target.seek(SeekFrom::Start(start)).map_err(Error::io("write", to))?;
        let mut part = io::Read::take(&mut source, end - start);
        io::copy(&mut part, &mut target).map_err(Error::io("copy to", to))?;
        position = end;
    }
    Ok(())
}

/// The next range with data at or after `position`, by `lseek(2)` with `SEEK_DATA` and `SEEK_HOLE`.
fn next_data(file: &File, position: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    if position >= size {
        return Ok(None);
    }
    let seek = |from: u64, whence| -> std::result::Result<u64, Errno> {
        let found = lseek(file, i64::try_from(from).map_err(|_| Errno::EOVERFLOW)?, whence)?;
        u64::try_from(found).map_err(|_| Errno::EOVERFLOW)
    };
    let start = match seek(position, Whence::SeekData) {
        Ok(start) => start,
        Err(Errno::ENXIO) => return Ok(None),
        Err(Errno::EINVAL) => return Ok(Some((position, size))), // a file system without holes
        Err(error) => return Err(error.into()),
    };
    Ok(Some((start, seek(start, Whence::SeekHole)?)))
}

fn existing(image: &Path) -> Result<PathBuf> {
    let found = image.canonicalize();
    let image =
        found.map_err(|error| Error::Input(format!("cannot find the image \"{}\": {error}", image.display())))?;
    if image.is_file() {
        return Ok(image);
    }
    Err(Error::Input(format!("\"{}\" is not a file; give a raw disk image", image.display())))
}

fn scratch() -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("bulkhead-vm-")
        .tempdir()
        .map_err(Error::io("create a directory in", std::env::temp_dir()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn image(dir: &TempDir) -> PathBuf {
        let path = dir.path().join("image.raw");
        let file = File::create(&path).unwrap();
        file.set_len(64 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"here", 32 << 20).unwrap();
        path
    }

    #[test]
    fn a_copy_keeps_bytes_and_holes() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::copy(image(&dir)).unwrap();
        let metadata = fs::metadata(disk.file()).unwrap();
        assert_eq!(metadata.len(), 64 << 20);
        assert!(metadata.blocks() * 512 < 1 << 20, "{} blocks", metadata.blocks());
        assert_eq!(disk.edit(|raw| raw.read(32 << 20, 4)).unwrap(), b"here");
    }

    #[test]
    fn editing_an_overlay_leaves_the_image_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = image(&dir);
        let disk = Disk::overlay(&path).unwrap();
        disk.grow(Bytes::mib(96)).unwrap();
        disk.edit(|raw| raw.write(32 << 20, b"gone")).unwrap();
        assert_eq!(fs::metadata(disk.file()).unwrap().len(), 96 << 20);
        assert_eq!(disk.edit(|raw| raw.read(32 << 20, 4)).unwrap(), b"gone");
        assert_eq!(RawImage::open(&path).unwrap().read(32 << 20, 4).unwrap(), b"here");
    }

    #[test]
    fn refuses_to_edit_grow_or_boot_a_disk_in_use() {
        let disk = Disk::empty(Bytes::MIB).unwrap();
        let lease = disk.lease("disk0").unwrap();
        for text in [
            disk.edit(|_| Ok(())).unwrap_err().to_string(),
            disk.grow(Bytes::GIB).unwrap_err().to_string(),
            disk.lease("disk0").unwrap_err().to_string(),
        ] {
            assert!(text.contains("while a guest runs on it"), "{text}");
        }
        drop(lease);
        disk.grow(Bytes::mib(2)).unwrap();
    }

    #[test]
    fn refuses_to_shrink_and_images_that_are_not_there() {
        let disk = Disk::empty(Bytes::mib(2)).unwrap();
        assert!(disk.grow(Bytes::MIB).unwrap_err().to_string().contains("from 2 MiB to 1 MiB"));
        assert!(Disk::overlay("/nowhere/image.raw").unwrap_err().to_string().contains("/nowhere/image.raw"));
        assert!(Disk::copy("/").unwrap_err().to_string().contains("is not a file"));
    }

    #[test]
    fn a_disk_vanishes_with_its_last_handle() {
        let disk = Disk::empty(Bytes::MIB).unwrap();
        let file = disk.file();
        drop(disk.clone());
        assert!(file.exists());
        drop(disk);
        assert!(!file.exists());
    }
}
