//! Archives, packages and modules made by hand, so that tests of inputs need neither network nor fixtures.

#![allow(dead_code, reason = "every test file uses its part of the samples")]

use std::path::Path;

use builder::source::{Context, Source, Spool};
use builder::tree::Tree;
use tar::{EntryType, Header};

/// An archive being written, with no regard for what is allowed.
#[derive(Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    /// Adds a member with these raw names.
    pub fn member(mut self, kind: EntryType, name: &str, link: &str, content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(1000);
        header.set_gid(1001);
        header.set_mtime(1_600_000_000);
        if matches!(kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(4).unwrap();
            header.set_device_minor(64).unwrap();
        }
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// Adds a regular file.
    pub fn file(self, name: &str, content: &str) -> Self {
        self.member(EntryType::Regular, name, "", content.as_bytes())
    }

    /// Adds a directory.
    pub fn directory(self, name: &str) -> Self {
        self.member(EntryType::Directory, name, "", b"")
    }

    /// Adds a symbolic link.
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.member(EntryType::Symlink, name, target, b"")
    }

    /// Adds a hard link.
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.member(EntryType::Link, name, target, b"")
    }

    /// Adds a pax header for the next member.
    pub fn pax(self, key: &str, value: &[u8]) -> Self {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        let record = [length.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        self.member(EntryType::XHeader, "pax", "", &record)
    }

    /// The archive with its end marker.
    pub fn bytes(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }

    /// The archive cut off behind its last member.
    pub fn without_end(self) -> Vec<u8> {
        self.bytes
    }
}

/// A Debian package with this control data and content.
pub fn deb(package: &str, version: &str, architecture: &str, data: &[u8]) -> Vec<u8> {
    let control = format!("Package: {package}\nVersion: {version}\nArchitecture: {architecture}\nDescription: x\n");
    let control = Tar::default().directory("./").file("./control", &control).bytes();
    let control = zstd::encode_all(&control[..], 3).unwrap();
    ar(&[("debian-binary", b"2.0\n"), ("control.tar.zst", &control), ("data.tar", data)])
}

/// An `ar` archive.
pub fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        bytes.extend_from_slice(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", content.len()).as_bytes(),
        );
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

/// A kernel module: an ELF file with nothing but this `.modinfo`.
pub fn module(information: &[&str]) -> Vec<u8> {
    let modinfo = information.iter().fold(Vec::new(), |all: Vec<u8>, text| [&all, text.as_bytes(), b"\0"].concat());
    let names = b"\0.modinfo\0.shstrtab\0";
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    let table = 64 + modinfo.len() + names.len();
    bytes[0x28..0x30].copy_from_slice(&(table as u64).to_le_bytes());
    for (at, value) in [(0x3a, 64), (0x3c, 3), (0x3e, 2)] {
        bytes[at] = value;
    }
    bytes.extend_from_slice(&modinfo);
    bytes.extend_from_slice(names);
    for (name, offset, length) in [(0, 0, 0), (1, 64, modinfo.len()), (10, 64 + modinfo.len(), names.len())] {
        let mut section = [0; 64];
        section[0] = name;
        section[0x18..0x20].copy_from_slice(&(offset as u64).to_le_bytes());
        section[0x20..0x28].copy_from_slice(&(length as u64).to_le_bytes());
        bytes.extend_from_slice(&section);
    }
    bytes
}

/// Loads a source with its spool and cache in `directory`.
pub fn load(source: &Source, directory: &Path) -> builder::Result<Tree> {
    let mut context = Context {
        spool: Spool::new(directory)?,
        cache: directory.to_owned(),
        source_date_epoch: 1_700_000_000,
        packages: std::collections::BTreeSet::new(),
    };
    source.load(&mut context)
}

/// Loads an archive with these bytes.
pub fn load_tar(bytes: &[u8]) -> builder::Result<Tree> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sample.tar");
    std::fs::write(&path, bytes).unwrap();
    load(&Source::Tar(path), directory.path())
}

/// The text of the file at `path`.
pub fn text(tree: &Tree, path: &str) -> String {
    let content = tree.file(path).unwrap_or_else(|| panic!("no file {path}"));
    String::from_utf8(content.read_all(path, 1 << 20).unwrap()).unwrap()
}
