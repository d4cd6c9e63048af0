//! Declaring, sealing and writing one file system: the narrow door to the engine.

use std::collections::BTreeMap;
use std::io::{self, Read};

use mkext4::{FsBuilder, InodeCount, InodeHandle, Meta, RegionSink, SpecialKind};

use super::{Attributes, BLOCK_SIZE, FIRST_INODES, Options, Sink, geometry, xattr};
use crate::{Bytes, Error, Result};

/// A declared inode of one [`Volume`], valid in that volume and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inode {
    handle: InodeHandle,
    directory: bool,
}

/// The root directory; it exists from the start, with mode 0755 and owner 0:0.
pub const ROOT: Inode = Inode { handle: mkext4::ROOT, directory: true };

/// What a special file stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A character device: major (to 4095), minor (to 1048575).
    Char(u32, u32),
    /// A block device: major (to 4095), minor (to 1048575).
    Block(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A file system being declared. The order of the calls is part of the result; parents come before their children.
#[derive(Debug)]
pub struct Volume {
    builder: FsBuilder,
    size: Bytes,
    inodes: u32,
    declared_inodes: u32,
    declared_content: u64,
    last_file: Option<InodeHandle>,
}

/// A file system whose every block has its place and whose metadata is complete.
#[derive(Debug)]
pub struct Sealed {
    layout: mkext4::Layout,
    end: Bytes,
}

/// A file system being written: metadata is out, content is being filled in.
pub struct Writer<'a, S: Sink> {
    layout: &'a mkext4::Layout,
    writer: mkext4::build::ImageWriter<'a, WholeBlocks<S>>,
}

impl Volume {
    /// Starts a file system; refuses options which cannot be represented.
    pub fn new(options: &Options) -> Result<Self> {
        geometry::check(options)?;
        let mut engine = mkext4::Options::new(options.size.0, options.uuid.to_uuid_bytes(), options.timestamp);
        let seed = options.hash_seed.to_uuid_bytes();
        let (words, _) = seed.as_chunks::<4>();
        for (word, bytes) in engine.hash_seed.iter_mut().zip(words) {
            *word = u32::from_le_bytes(*bytes);
        }
        engine.inodes = InodeCount::Exact(options.inodes.max(FIRST_INODES));
        engine.label = (!options.label.is_empty()).then(|| options.label.clone());
        // Linux keeps its own reserve for metadata; a share for root would only hide space, as everything here runs as root.
        engine.reserved_percent = 0;
        engine.journal_blocks = Some(options.journal_blocks);
        Ok(Self {
            builder: FsBuilder::new(engine).map_err(refused)?,
            size: options.size,
            inodes: options.inodes.max(FIRST_INODES),
            declared_inodes: FIRST_INODES,
            declared_content: 0,
            last_file: None,
        })
    }

    /// Sets the attributes of an inode, in particular of [`ROOT`].
    pub fn set_attributes(&mut self, inode: Inode, attributes: &Attributes) -> Result<()> {
        self.builder.set_meta(inode.handle, meta(attributes)?).map_err(refused)
    }

    /// Declares a directory. `lost+found` in the root is made by the file system itself and refused here.
    pub fn directory(&mut self, parent: Inode, name: &str, attributes: &Attributes) -> Result<Inode> {
        let meta = self.prepare(parent, name, attributes)?;
        let handle = self.builder.mkdir(parent.handle, name, meta).map_err(refused)?;
        Ok(self.count(handle, true))
    }

    /// Declares a regular file of exactly `length` bytes, to be filled later unless it is empty.
    pub fn file(&mut self, parent: Inode, name: &str, attributes: &Attributes, length: Bytes) -> Result<Inode> {
        let meta = self.prepare(parent, name, attributes)?;
        self.declared_content = self
            .declared_content
            .checked_add(length.0)
            .filter(|sum| *sum <= geometry::MAX_SIZE.0)
            .ok_or_else(|| invalid(format!("more content than {}", geometry::MAX_SIZE)))?;
        let handle = self.builder.file(parent.handle, name, meta, length.0).map_err(refused)?;
        if length.0 > 0 {
            self.last_file = Some(handle);
        }
        Ok(self.count(handle, false))
    }

    /// Declares a symbolic link to `target` (1 to 4095 bytes).
    pub fn symlink(&mut self, parent: Inode, name: &str, target: &str, attributes: &Attributes) -> Result<Inode> {
        let meta = self.prepare(parent, name, attributes)?;
        if target.is_empty() || target.len() > MAX_TARGET || target.contains('\0') {
            return Err(invalid(format!(
                "a symbolic link target of {} bytes; 1 to {MAX_TARGET} are possible",
                target.len()
            )));
        }
        let handle = self.builder.symlink(parent.handle, name, target, meta).map_err(refused)?;
        Ok(self.count(handle, false))
    }

    /// Declares another name of `target`, which is not a directory; at most 65,000 names.
    pub fn hard_link(&mut self, parent: Inode, name: &str, target: Inode) -> Result<()> {
        check_name(parent, name)?;
        self.builder.hardlink(parent.handle, name, target.handle).map_err(refused)
    }

    /// Declares a device, pipe or socket.
    pub fn special(&mut self, parent: Inode, name: &str, device: Device, attributes: &Attributes) -> Result<Inode> {
        let meta = self.prepare(parent, name, attributes)?;
        let kind = match device {
            Device::Char(major, minor) => SpecialKind::Char { major, minor },
            Device::Block(major, minor) => SpecialKind::Block { major, minor },
            Device::Fifo => SpecialKind::Fifo,
            Device::Socket => SpecialKind::Socket,
        };
        let handle = self.builder.mknod(parent.handle, name, meta, kind).map_err(refused)?;
        Ok(self.count(handle, false))
    }

    /// Sets all extended attributes of an inode: full names, values as `getxattr` returns them. POSIX ACLs are converted to the form
    /// ext4 stores.
    pub fn xattrs(&mut self, inode: Inode, attributes: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        for (name, value) in xattr::prepare(attributes, inode.directory)? {
            self.builder.set_xattr(inode.handle, name, &value).map_err(refused)?;
        }
        Ok(())
    }

    /// Decides every block. `None`: what was declared does not fit into the size ([`super::smallest_size`] finds one that does).
    pub fn seal(self) -> Result<Option<Sealed>> {
        if self.declared_inodes > self.inodes {
            return Err(invalid(format!("{} inodes are needed, {} were asked for", self.declared_inodes, self.inodes)));
        }
        if self.declared_content > self.size.0 {
            return Ok(None);
        }
        match self.builder.seal() {
            Ok(layout) => {
                let end = end_of(&layout, self.last_file).map_err(|error| invalid(error.to_string()))?;
                Ok(Some(Sealed { layout, end }))
            }
            // Names, attributes and counts were checked before: only the allocator is left to object.
            Err(mkext4::Error::Invalid(_)) => Ok(None),
            Err(other) => Err(refused(other)),
        }
    }

    fn prepare(&self, parent: Inode, name: &str, attributes: &Attributes) -> Result<Meta> {
        check_name(parent, name)?;
        if self.declared_inodes >= MAX_INODES {
            return Err(invalid(format!("more than {MAX_INODES} inodes")));
        }
        meta(attributes)
    }

    fn count(&mut self, handle: InodeHandle, directory: bool) -> Inode {
        self.declared_inodes = self.declared_inodes.saturating_add(1);
        Inode { handle, directory }
    }
}

impl Sealed {
    /// Size of the file system.
    pub fn size(&self) -> Bytes {
        Bytes(self.layout.image_len())
    }

    /// The first byte behind the last block in use; the backup structures of later groups count.
    pub fn end(&self) -> Bytes {
        self.end
    }

    /// Emits all metadata and all free space to `sink`; content follows by [`Writer::fill`].
    pub fn write<S: Sink>(&self, sink: S) -> io::Result<Writer<'_, S>> {
        let writer = self.layout.writer(WholeBlocks { sink }).map_err(into_io)?;
        Ok(Writer { layout: &self.layout, writer })
    }
}

impl<S: Sink> Writer<'_, S> {
    /// Copies the declared length of `file` from `content`; fails when there is less, and leaves the rest unread when there is more.
    /// Fill in the order of declaration to write in ascending order. After a failure the file system cannot be finished.
    pub fn fill(&mut self, file: Inode, content: &mut dyn Read) -> io::Result<()> {
        if self.layout.extents(file.handle).is_empty() {
            return Ok(());
        }
        let mut content = content;
        self.writer.fill(file.handle, &mut content).map_err(into_io)
    }

    /// Ends the file system; fails when a file was not filled.
    pub fn finish(self) -> io::Result<()> {
        self.writer.finish().map(|_| ()).map_err(into_io)
    }
}

/// Completes the last block of a file, which the engine emits as data and then zeros, so that a [`Sink`] sees whole blocks only.
struct WholeBlocks<S> {
    sink: S,
}

impl<S: Sink> RegionSink for WholeBlocks<S> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (blocks, tail) = bytes.as_chunks::<BLOCK_SIZE>();
        let whole = blocks.as_flattened();
        if !whole.is_empty() {
            self.sink.data(offset, whole)?;
        }
        if tail.is_empty() {
            return Ok(());
        }
        let mut block = [0; BLOCK_SIZE];
        block.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
        self.sink.data(offset.saturating_add(length_of(whole)), &block)
    }

    fn zeros(&mut self, offset: u64, length: u64) -> io::Result<()> {
        if !offset.is_multiple_of(length_of(&[0; BLOCK_SIZE])) {
            // The rest of a block that `data` has completed.
            return Ok(());
        }
        self.sink.zeros(offset, length)
    }
}

/// Where the last block in use ends: the last metadata emitted, or the content of the last file, for which the engine allocates last.
fn end_of(layout: &mkext4::Layout, last_file: Option<InodeHandle>) -> io::Result<Bytes> {
    struct End(u64);
    impl Sink for End {
        fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.0 = self.0.max(offset.saturating_add(length_of(bytes)));
            Ok(())
        }
        fn zeros(&mut self, _: u64, _: u64) -> io::Result<()> {
            Ok(())
        }
    }
    let mut end = End(0);
    layout.writer(WholeBlocks { sink: &mut end }).map_err(into_io)?;
    let content = last_file.and_then(|file| layout.extents(file).last().copied());
    let content = content.map_or(0, |(offset, length)| offset.saturating_add(length));
    Ok(Bytes(end.0.max(content)).round_up(Bytes(length_of(&[0; BLOCK_SIZE]))))
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn check_name(parent: Inode, name: &str) -> Result<()> {
    let shown = name.escape_debug();
    if name.is_empty() || name.len() > MAX_NAME || matches!(name, "." | "..") || name.contains(['/', '\0']) {
        return Err(invalid(format!(
            "the name \"{shown}\" of {} bytes; 1 to {MAX_NAME} without \"/\" are possible",
            name.len()
        )));
    }
    if parent == ROOT && name == "lost+found" {
        return Err(invalid("\"lost+found\" in the root is made by the file system itself"));
    }
    if !parent.directory {
        return Err(invalid(format!("the parent of \"{shown}\" is not a directory")));
    }
    Ok(())
}

fn meta(attributes: &Attributes) -> Result<Meta> {
    let Attributes { mode, uid, gid, mtime } = *attributes;
    if mode > 0o7777 {
        return Err(invalid(format!("mode {mode:#o} has more than permission bits")));
    }
    if !(MIN_TIME..=MAX_TIME).contains(&mtime) {
        return Err(invalid(format!("the modification time {mtime} s is not between 1901-12-13 and 2446-05-10")));
    }
    Ok(Meta::new(mode, uid, gid, (mtime, 0)))
}

fn invalid(problem: impl Into<String>) -> Error {
    Error::invalid("ext4 file system", problem)
}

fn refused(error: mkext4::Error) -> Error {
    match error {
        mkext4::Error::Invalid(problem) | mkext4::Error::Unsupported(problem) => invalid(problem),
        other => invalid(other.to_string()),
    }
}

fn into_io(error: mkext4::Error) -> io::Error {
    match error {
        mkext4::Error::Io(error) => error,
        other => io::Error::other(refused(other)),
    }
}

const MAX_NAME: usize = 255;
const MAX_TARGET: usize = 4095;
/// A bound for memory, far above what 1 TiB would hold by default (one inode per 16 KiB).
const MAX_INODES: u32 = 1 << 28;
/// The 34-bit times of inodes with 32 extra bytes: -2^31 to 2^34 - 2^31 - 1.
const MIN_TIME: i64 = -(1 << 31);
const MAX_TIME: i64 = (1 << 34) - (1 << 31) - 1;
