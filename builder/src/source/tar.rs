//! Tar archives (POSIX.1-2017 ustar and pax interchange formats, GNU extensions) as trees.
//!
//! Archives are untrusted bytes. Known attacks and what stops them: names that leave the root (`..`, absolute) and members that pass
//! through a symbolic link are refused, as are hard links to anything but an earlier or later regular member, loops of links, and
//! directories that turn into something else; every length is checked against the archive before it is used; headers have a size
//! limit. A truncated archive is an error even when it ends between two members. Of duplicate members the last counts.
//!
//! Contents of a plain archive are referenced in place; a compressed one goes through the spool once. Owners count by number.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ::tar::{EntryType, Header};

use super::Context;
use super::pax::Extensions;
use super::spool::{Compression, Spool, Window};
use crate::tree::{Content, Kind, Node, Tree, path};
use crate::{Error, Result};

/// Reads the archive at `path`, compressed or not.
pub fn load(path: &Path, context: &mut Context) -> Result<Tree> {
    let what = format!("tar archive \"{}\"", path.display());
    let window = unpacked(Window::open(path)?, &what, &mut context.spool)?;
    read(&window, &what, context.source_date_epoch)
}

/// The window itself when it is not compressed, else what it unpacks to.
pub fn unpacked(window: Window, what: &str, spool: &mut Spool) -> Result<Window> {
    let head = window.head(6).map_err(Error::io("read", what))?;
    match Compression::detect(&head).map_err(|why| Error::Input(format!("{what} cannot be read: {why}")))? {
        Compression::Plain => Ok(window),
        compression => spool.unpack(window.reader(), compression, what),
    }
}

/// Reads an uncompressed archive. `mtime` is for directories that have no member of their own.
pub fn read(window: &Window, what: &str, mtime: i64) -> Result<Tree> {
    let mut archive = Archive { window, what, at: 0, tree: Tree::new(mtime), mtime, targets: BTreeSet::new() };
    let mut extensions = Extensions::default();
    for _ in 0..MAX_MEMBERS {
        let Some(header) = archive.next_header()? else {
            archive.settle_links()?;
            return Ok(archive.tree);
        };
        archive.member(&header, &mut extensions)?;
    }
    Err(Error::Input(format!("{what} has more than {MAX_MEMBERS} members")))
}

/// The state of reading one archive.
struct Archive<'a> {
    window: &'a Window,
    what: &'a str,
    at: u64,
    tree: Tree,
    mtime: i64,
    /// Targets of the hard links so far.
    targets: BTreeSet<String>,
}

impl Archive<'_> {
    /// The header at the current position, or `None` at the end-of-archive marker.
    fn next_header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        if self.at + BLOCK > self.window.length {
            let length = self.window.length;
            return Err(self.wrong(&match self.at {
                0 => format!("is not a tar archive: it has only {length} bytes"),
                _ => format!("is truncated: it ends at byte {length} without an end-of-archive marker; fetch it again"),
            }));
        }
        self.window.read_exact_at(header.as_mut_bytes(), self.at).map_err(Error::io("read", self.what))?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if header.cksum().ok() != Some(checksum(header.as_bytes())) {
            return Err(self.wrong(&match self.at {
                0 => "is not a tar archive: its first header has no valid checksum".to_owned(),
                at => format!("is damaged: the header at byte {at} has no valid checksum"),
            }));
        }
        self.at += BLOCK;
        Ok(Some(header))
    }

    /// Takes one header and its data: remembers extensions, or puts a member into the tree.
    fn member(&mut self, header: &Header, extensions: &mut Extensions) -> Result<()> {
        let raw_name = header.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&raw_name).into_owned();
        let field = |name: &str| format!("its header has a damaged {name}");
        let size = header.entry_size().map_err(|_| self.member_error(&shown, &field("size")))?;
        match header.entry_type() {
            EntryType::XHeader => {
                let data = self.extension(size, &shown)?;
                return extensions.add(&data).map_err(|why| self.member_error(&shown, &why));
            }
            EntryType::GNULongName => {
                extensions.path.get_or_insert(self.extension(size, &shown)?);
                return Ok(());
            }
            EntryType::GNULongLink => {
                extensions.linkpath.get_or_insert(self.extension(size, &shown)?);
                return Ok(());
            }
            EntryType::XGlobalHeader => {
                let data = self.extension(size, &shown)?;
                return check_global(&data).map_err(|why| self.member_error(&shown, &why));
            }
            _ => {}
        }
        let extensions = std::mem::take(extensions);
        let raw_name = extensions.path.clone().unwrap_or(raw_name);
        let shown = String::from_utf8_lossy(until_nul(&raw_name)).into_owned();
        let name = path::clean(until_nul(&raw_name)).map_err(|why| self.member_error(&shown, &why))?;
        let directory = raw_name.ends_with(b"/");
        let node = self.node(header, extensions, size, directory).map_err(|why| self.member_error(&shown, &why))?;
        self.put(name, node).map_err(|why| self.member_error(&shown, &why))
    }

    /// The entry a header describes; moves on behind its data.
    fn node(&mut self, header: &Header, extensions: Extensions, size: u64, slash: bool) -> Result<Node, String> {
        let kind = self.kind(header, &extensions, size, slash)?;
        let damaged = |name: &str| format!("its header has a damaged {name}");
        let id = |name: &str, extended: Option<u64>, value: std::io::Result<u64>| {
            let id = extended.map_or(value, Ok).map_err(|_| damaged(name))?;
            u32::try_from(id).map_err(|_| format!("its {name} {id} does not fit into 32 bits"))
        };
        let mode = if matches!(kind, Kind::Symlink(_)) { Ok(0o777) } else { header.mode() };
        let mode = mode.map_err(|_| damaged("mode"))? & 0o7777;
        let mtime = extensions.mtime.map_or_else(|| header.mtime().map(u64::cast_signed), Ok);
        Ok(Node {
            kind,
            mode: u16::try_from(mode).map_err(|_| damaged("mode"))?,
            uid: id("owner", extensions.uid, header.uid())?,
            gid: id("group", extensions.gid, header.gid())?,
            mtime: mtime.map_err(|_| damaged("time"))?,
            xattrs: extensions.xattrs,
        })
    }

    /// What a member is; only regular files have data.
    fn kind(&mut self, header: &Header, extensions: &Extensions, size: u64, slash: bool) -> Result<Kind, String> {
        let device = || -> Result<(u32, u32), String> {
            let pair = header.device_major().ok().flatten().zip(header.device_minor().ok().flatten());
            pair.ok_or_else(|| "its header has no device number".to_owned())
        };
        Ok(match header.entry_type() {
            EntryType::Regular | EntryType::Continuous if slash => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => {
                let data = self.data(extensions.size.unwrap_or(size))?;
                Kind::File(Content::Range { file: data.file, offset: data.offset, length: data.length })
            }
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(link_target(header, extensions)?),
            EntryType::Link => {
                let target = link_target(header, extensions)?;
                Kind::HardLink(path::clean(target.as_bytes()).map_err(|why| {
                    let why = why.replace("its name", "that name");
                    format!("it is a hard link to \"{}\": {why}", target.escape_debug())
                })?)
            }
            EntryType::Char => device().map(|(major, minor)| Kind::CharDevice(major, minor))?,
            EntryType::Block => device().map(|(major, minor)| Kind::BlockDevice(major, minor))?,
            EntryType::Fifo => Kind::Fifo,
            EntryType::GNUSparse => {
                return Err("it is stored as a sparse file; make the archive without --sparse".to_owned());
            }
            other => {
                let letter = char::from(other.as_byte());
                return Err(format!("its type \"{}\" is not supported", letter.escape_debug()));
            }
        })
    }

    /// Puts an entry into the tree unless it would pass through a link or change what a directory is.
    fn put(&mut self, name: String, node: Node) -> Result<(), String> {
        for above in path::ancestors(&name) {
            match self.tree.nodes.get(above).map(|node| &node.kind) {
                Some(Kind::Directory) => {}
                Some(Kind::Symlink(target)) => {
                    return Err(format!("it passes through the symbolic link \"{above}\" to \"{target}\""));
                }
                Some(kind) => return Err(format!("it lies below \"{above}\", which is {}", kind.noun())),
                None => break,
            }
        }
        if let Some(earlier) = self.tree.nodes.get(&name) {
            if earlier.is_directory()
                && !node.is_directory()
                && (name.is_empty() || self.tree.below(&name).next().is_some())
            {
                return Err(format!("it is {} but was a directory with content before", node.kind.noun()));
            }
            if self.targets.contains(&name) {
                return Err("it appears twice and other members are hard links to it".to_owned());
            }
        }
        if let Kind::HardLink(target) = &node.kind {
            self.targets.insert(target.clone());
        }
        self.tree.make_parents(&name, self.mtime);
        self.tree.implied.remove(&name);
        self.tree.nodes.insert(name, node);
        Ok(())
    }

    /// Gives every hard link its file, its attributes, and refuses those that have none; refuses looping symbolic links.
    fn settle_links(&mut self) -> Result<()> {
        let mut settled: BTreeMap<String, Node> = BTreeMap::new();
        for (name, node) in &self.tree.nodes {
            if let Kind::HardLink(_) = &node.kind {
                settled.insert(name.clone(), self.behind(name).map_err(|why| self.member_error(name, &why))?);
            }
        }
        self.tree.nodes.extend(settled);
        for (name, node) in &self.tree.nodes {
            self.tree.check_links(name, node).map_err(|why| self.member_error(name, &why))?;
        }
        Ok(())
    }

    /// What a hard link becomes: a link to the regular file at the end of the chain, or a copy of a link, device or pipe.
    fn behind(&self, name: &str) -> Result<Node, String> {
        let mut chain = vec![name];
        loop {
            let at = chain.last().copied().unwrap_or(name);
            let Some(node) = self.tree.nodes.get(at) else {
                return Err(format!("it is a hard link to \"{at}\", which is not in the archive"));
            };
            match &node.kind {
                Kind::HardLink(target) if chain.contains(&target.as_str()) => {
                    return Err(format!("hard links loop: \"{}\" to \"{target}\"", chain.join("\" to \"")));
                }
                Kind::HardLink(_) if chain.len() >= MAX_CHAIN => {
                    return Err("a chain of too many hard links".to_owned());
                }
                Kind::HardLink(target) => chain.push(target),
                Kind::Directory => return Err(format!("it is a hard link to \"{at}\", which is a directory")),
                Kind::File(_) => return Ok(Node { kind: Kind::HardLink(at.to_owned()), ..node.clone() }),
                _ => return Ok(node.clone()),
            }
        }
    }

    /// The data of the current member; moves on behind it.
    fn data(&mut self, length: u64) -> Result<Window, String> {
        let total = self.window.length;
        let Some(data) = self.window.part(self.at, length) else {
            let have = total.saturating_sub(self.at);
            return Err(format!(
                "the archive is truncated: it has {have} of the member's {length} bytes; fetch it again"
            ));
        };
        self.at += length.next_multiple_of(BLOCK);
        Ok(data)
    }

    /// The data of an extension header.
    fn extension(&mut self, size: u64, shown: &str) -> Result<Vec<u8>> {
        if size > MAX_EXTENSION {
            return Err(self
                .member_error(shown, &format!("its extended header has {size} bytes, the limit is {MAX_EXTENSION}")));
        }
        let data = self.data(size).map_err(|why| self.member_error(shown, &why))?;
        data.head(usize::try_from(size).unwrap_or(0)).map_err(Error::io("read", self.what))
    }

    fn wrong(&self, why: &str) -> Error {
        Error::Input(format!("{} {why}", self.what))
    }

    fn member_error(&self, member: &str, why: &str) -> Error {
        Error::Input(format!("{}, member \"{}\": {why}", self.what, member.escape_debug()))
    }
}

/// The target of a link as text.
fn link_target(header: &Header, extensions: &Extensions) -> Result<String, String> {
    let short = header.link_name_bytes().map(std::borrow::Cow::into_owned);
    let raw = extensions.linkpath.clone().or(short).unwrap_or_default();
    let raw = until_nul(&raw).to_vec();
    String::from_utf8(raw).map_err(|_| "the target of the link is not UTF-8".to_owned())
}

/// Accepts global headers that change nothing (git archive writes a comment).
fn check_global(data: &[u8]) -> Result<(), String> {
    match super::pax::records(data)?.into_iter().find(|(key, _)| *key != "comment") {
        Some((key, _)) => Err(format!("a global header that sets \"{}\" is not supported", key.escape_debug())),
        None => Ok(()),
    }
}

/// The checksum of a header: the sum of its bytes with the checksum field taken as spaces.
fn checksum(header: &[u8; 512]) -> u32 {
    let field = 148..156;
    header.iter().enumerate().map(|(at, byte)| if field.contains(&at) { 32 } else { u32::from(*byte) }).sum()
}

/// GNU long names end with a NUL.
fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

const BLOCK: u64 = 512;
/// Largest extended header: names and extended attributes of one member.
const MAX_EXTENSION: u64 = 1 << 20;
/// Most members of one archive.
const MAX_MEMBERS: u32 = 4_000_000;
/// Longest chain of hard links to hard links.
const MAX_CHAIN: usize = 64;
