//! The file systems we write, judged by programs and a reader we did not write: e2fsck, debugfs, ext4-view, GRUB and veritysetup.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use builder::filesystem::{self, Options, SparseFile};
use builder::slot_image::{self, SlotImage, SlotOptions};
use builder::tree::{Content, Kind, Node, Tree};
use ext4_view::{Ext4, FileType};
use formats::{Bytes, Guid, ext4};

#[test]
fn e2fsck_has_no_complaint_about_any_shape_and_debugfs_sees_every_attribute() {
    if !has("e2fsck") || !has("debugfs") {
        return;
    }
    let bench = Bench::new();
    let (tree, image) = bench.write_shapes();
    Bench::fsck(&image);
    let found = bench.debugfs_stat(&image, tree.nodes.keys().filter(|path| !path.contains('\n')));
    for (path, node) in &tree.nodes {
        let Some(found) = found.get(path) else {
            assert!(path.contains('\n'), "debugfs does not know \"{path}\"");
            continue;
        };
        let inode = tree.inode(node);
        assert_eq!(u16::from_str_radix(found.field("Mode:"), 8), Ok(inode.mode), "{path}");
        assert_eq!(found.owner("User:"), inode.uid, "{path}");
        assert_eq!(found.owner("Group:"), inode.gid, "{path}");
        assert_eq!(found.time("mtime:"), inode.mtime, "{path}");
        assert_eq!(found.field("Links:"), tree.links(path).to_string(), "{path}");
        match inode.kind {
            Kind::CharDevice(major, minor) => {
                assert_eq!(found.field("Type:"), "character");
                assert!(found.text.contains(&format!("number: {major:02}:{minor:02} ")), "{path}: {}", found.text);
            }
            Kind::BlockDevice(major, minor) => {
                assert_eq!(found.field("Type:"), "block");
                assert!(found.text.contains(&format!("number: {major:02}:{minor:02} ")), "{path}: {}", found.text);
            }
            Kind::Fifo => assert_eq!(found.field("Type:"), "FIFO"),
            Kind::Socket => assert_eq!(found.field("Type:"), "socket"),
            Kind::Directory => assert_eq!(found.field("Type:"), "directory"),
            Kind::Symlink(_) => assert_eq!(found.field("Type:"), "symlink"),
            Kind::File(_) | Kind::HardLink(_) => assert_eq!(found.field("Type:"), "regular"),
        }
    }
    let (one, other) = (found["hard/one"].field("Inode:"), found["zz-late-name"].field("Inode:"));
    assert_eq!(one, other, "two names, one inode");
}

#[test]
fn debugfs_reads_every_extended_attribute_back_acls_included() {
    if !has("debugfs") {
        return;
    }
    let bench = Bench::new();
    let (tree, image) = bench.write_shapes();
    let mut seen = 0;
    for (path, node) in &tree.nodes {
        for (name, value) in &node.xattrs {
            let file = bench.path("value");
            // debugfs shows ACLs in the form getxattr returns them, so this checks the conversion both ways.
            run(Command::new("debugfs")
                .arg("-R")
                .arg(format!("ea_get -f {} /{path} {name}", file.display()))
                .arg(&image));
            let mut found = fs::read(&file).unwrap_or_default();
            if name.starts_with("system.posix_acl") {
                // debugfs leaves the number of entries that have none at 0, the kernel shows -1.
                for entry in found[4..].as_chunks_mut::<8>().0.iter_mut().filter(|entry| ![2, 8].contains(&entry[0])) {
                    entry[4..].fill(0xff);
                }
            }
            assert_eq!(found, *value, "{path} {name}");
            let _ = fs::remove_file(&file);
            seen += 1;
        }
    }
    assert!(seen >= 12, "{seen}");
}

#[test]
fn ext4_view_reads_the_tree_that_was_written() {
    let bench = Bench::new();
    let (tree, image) = bench.write_shapes();
    let view = Ext4::load_from_path(&image).unwrap();
    assert_eq!(view.label().to_str().unwrap(), "shapes");
    let mut expected: Vec<&str> = tree.nodes.keys().map(String::as_str).filter(|path| !path.is_empty()).collect();
    expected.push("lost+found");
    expected.sort_unstable();
    assert_eq!(listing(&view), expected);
    for (path, node) in &tree.nodes {
        let inode = tree.inode(node);
        if inode.mtime.rem_euclid(1 << 32) >= 1 << 31 {
            // The reader's own limit; debugfs has checked these.
            continue;
        }
        let absolute = format!("/{path}");
        let metadata = view.symlink_metadata(absolute.as_str()).unwrap();
        assert_eq!(metadata.mode() & 0o7777, inode.mode, "{path}");
        assert_eq!((metadata.uid(), metadata.gid()), (inode.uid, inode.gid), "{path}");
        assert_eq!(metadata.modified().seconds(), inode.mtime, "{path}");
        match &inode.kind {
            Kind::File(content) => {
                assert_eq!(metadata.len(), content.length(), "{path}");
                same_content(&mut view.open(absolute.as_str()).unwrap(), content, path);
            }
            Kind::Symlink(target) => {
                let found = view.read_link(absolute.as_str()).unwrap();
                assert_eq!(found.to_str().unwrap(), target, "{path}");
            }
            other => assert_eq!(metadata.file_type(), file_type(other), "{path}"),
        }
    }
}

#[test]
fn grub_lists_and_reads_files() {
    if !has("grub-fstest") {
        return;
    }
    let bench = Bench::new();
    let (_, image) = bench.write_shapes();
    let listing = run(Command::new("grub-fstest").arg(&image).args(["ls", "(loop0)/sizes"]));
    assert!(listing.contains("bytes-4097"), "{listing}");
    let listing = run(Command::new("grub-fstest").arg(&image).args(["ls", "(loop0)/many"]));
    assert_eq!(listing.split_whitespace().count(), 3000, "a directory with an index");
    for size in [1, 4095, 4096, 4097, 300_000] {
        let local = bench.path("local");
        fs::write(&local, pattern(size)).unwrap();
        run(Command::new("grub-fstest").arg(&image).args(["cmp", &format!("(loop0)/sizes/bytes-{size}")]).arg(&local));
    }
    let local = bench.path("local");
    fs::write(&local, pattern(4097)).unwrap();
    run(Command::new("grub-fstest").arg(&image).args(["cmp", "(loop0)/links/slow/to-file"]).arg(&local));
}

#[test]
fn holes_take_no_space_in_the_image_file() {
    let bench = Bench::new();
    let (_, image) = bench.write_shapes();
    let metadata = fs::metadata(&image).unwrap();
    assert!(
        metadata.len() > 100 << 20 && metadata.blocks() * 512 < 24 << 20,
        "{} {}",
        metadata.len(),
        metadata.blocks()
    );
}

#[test]
fn veritysetup_accepts_the_slot_image_and_sees_a_changed_bit() {
    if !has("veritysetup") || !has("e2fsck") {
        return;
    }
    let bench = Bench::new();
    let disk = bench.path("disk");
    let image = Bench::write_slot(&bench.shapes(), &disk, 3 << 20);
    let slot = bench.path("slot");
    copy_range(&disk, 3 << 20, image.size.0, &slot);
    let (status, text) = verity(&slot, &image);
    assert!(status, "{text}");
    let dump = run(Command::new("veritysetup").arg("dump").arg(&slot).arg(hash_offset(&image)));
    for expected in [image.hash_uuid.to_string(), format!("Data blocks:     \t{}", image.data_blocks), hex(&image.salt)]
    {
        assert!(dump.contains(&expected), "{expected} not in {dump}");
    }
    let filesystem = bench.path("filesystem");
    copy_range(&slot, 0, image.data_blocks * 4096, &filesystem);
    Bench::fsck(&filesystem);
    let file = File::options().read(true).write(true).open(&slot).unwrap();
    for at in [5_u64, 4096 * 1000 + 77, (image.hash_start + 3) * 4096 + 9] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        assert!(!verity(&slot, &image).0, "a changed bit at {at}");
        file.write_all_at(&byte, at).unwrap();
    }
    assert!(verity(&slot, &image).0);
}

#[test]
fn the_same_tree_gives_the_same_bytes_and_a_touched_one_others() {
    let bench = Bench::new();
    let tree = bench.shapes();
    let (one, two) = (bench.path("one"), bench.path("two"));
    let first = Bench::write_slot(&tree, &one, 0);
    assert_eq!(first, Bench::write_slot(&bench.shapes(), &two, 0));
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap());
    let mut touched = tree;
    touched.nodes.get_mut("many").unwrap().mtime += 1;
    assert_ne!(first.root_hash, Bench::write_slot(&touched, &two, 0).root_hash);
}

#[test]
fn sizes_at_the_edges_of_block_groups_are_clean_for_e2fsck() {
    if !has("e2fsck") {
        return;
    }
    let bench = Bench::new();
    let source = File::create_new(bench.path("source")).unwrap();
    source.set_len(700 << 20).unwrap();
    let source = Arc::new(File::open(bench.path("source")).unwrap());
    for groups in [1_u64, 2, 3, 4] {
        // The content ends shortly before and after the end of a group, whose metadata moves the boundary about.
        for step in 0..6 {
            let length = (groups * 32768 - 1024 - 40 - 30 * groups + 15 * step) * 4096;
            let mut tree = Tree::new(0);
            let content = Content::Range { file: Arc::clone(&source), offset: 0, length };
            tree.insert("content", node(Kind::File(content)));
            for number in 0..500 {
                tree.insert(format!("empty-{number}"), file(b""));
            }
            let image = bench.path("image");
            Bench::write(&tree, &Options::derived("seed", "edge", 1_700_000_000), &image);
            Bench::fsck(&image);
        }
    }
}

#[test]
fn an_empty_data_file_system_is_clean_and_resize2fs_grows_it() {
    if !has("e2fsck") || !has("resize2fs") {
        return;
    }
    let bench = Bench::new();
    for mebibytes in [16, 64, 200, 1024] {
        let image = bench.path("data");
        let file = File::create(&image).unwrap();
        file.set_len(mebibytes << 20).unwrap();
        let sealed = ext4::empty(Bytes::mib(mebibytes), Guid::derive("seed", "data"), "data", 1_700_000_000).unwrap();
        sealed.write(SparseFile::new(&file, &image, 0)).unwrap().finish().unwrap();
        Bench::fsck(&image);
        file.set_len((mebibytes * 20) << 20).unwrap();
        run(Command::new("resize2fs").arg(&image));
        Bench::fsck(&image);
    }
}

/// A scratch directory with the writers and judges of these tests.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A tree with every shape we can think of.
    fn shapes(&self) -> Tree {
        let mut tree = Tree::new(1_700_000_000);
        let mut add = |path: &str, node: Node| tree.insert(path, node);
        for number in 0..3000 {
            add(&format!("many/entry-{number}-{}", "x".repeat(number % 90)), file(&pattern(number % 3)));
        }
        add(&["deep"; 100].join("/"), directory());
        for size in [0, 1, 4095, 4096, 4097, 300_000] {
            add(&format!("sizes/bytes-{size}"), file(&pattern(size)));
        }
        for length in [1, 59, 60, 4095] {
            add(&format!("links/to-{length}"), node(Kind::Symlink("t/".repeat(length)[..length].into())));
        }
        add("links/slow/to-file", node(Kind::Symlink(format!("{}../../sizes/bytes-4097", "./".repeat(30)))));
        add("hard/one", Node { uid: 7, xattrs: xattrs(&[("user.shared", b"yes")]), ..file(b"shared") });
        add("early-name", node(Kind::HardLink("hard/one".into())));
        add("zz-late-name", node(Kind::HardLink("hard/one".into())));
        add("dev/null", Node { mode: 0o666, ..node(Kind::CharDevice(1, 3)) });
        add("dev/big", Node { mode: 0o600, gid: 6, ..node(Kind::BlockDevice(8, 300)) });
        add("dev/biggest", node(Kind::CharDevice(4095, 1_048_575)));
        add("dev/pipe", node(Kind::Fifo));
        add("dev/socket", node(Kind::Socket));
        for (name, attribute) in attributes() {
            let kind =
                if name.starts_with("dir") { Kind::Directory } else { Kind::File(Content::Bytes((*b"x").into())) };
            add(&format!("xattr/{name}"), Node { mode: 0o750, xattrs: attribute, ..node(kind) });
        }
        add("xattr/link", Node { xattrs: xattrs(&[("trusted.on-link", b"1")]), ..node(Kind::Symlink("x".into())) });
        add("times", directory());
        for (name, mtime) in [
            ("1901", -(1_i64 << 31)),
            ("1969", -1),
            ("1970", 0),
            ("2038", 1 << 31),
            ("2106", 1 << 32),
            ("2446", 15_032_385_535),
        ] {
            add(&format!("times/{name}"), Node { mtime, ..file(b"") });
        }
        for mode in [0, 0o4755, 0o2755, 0o1777, 0o7777] {
            add(&format!("modes/{mode:o}"), Node { mode, ..file(b"") });
        }
        add("owners/mapped", Node { uid: 100_000, gid: 70_000, ..file(b"") });
        add("owners/last", Node { uid: u32::MAX - 1, gid: u32::MAX - 1, ..file(b"") });
        add(&format!("names/{}", "n".repeat(255)), file(b""));
        add("names/größe 大きさ", file(b""));
        add("names/new\nline", file(b""));
        add("sparse", node(Kind::File(Content::HostFile { path: self.sparse_file(), length: 100 << 20 })));
        tree
    }

    /// 100 MB with a few bytes here and there.
    fn sparse_file(&self) -> PathBuf {
        let path = self.path("sparse-source");
        let file = File::create(&path).unwrap();
        file.set_len(100 << 20).unwrap();
        for at in [0, 4096 * 3 + 1, 50 << 20, (100 << 20) - 5] {
            file.write_all_at(b"data!", at).unwrap();
        }
        path
    }

    fn write(tree: &Tree, options: &Options, image: &Path) {
        let file = File::options().write(true).create(true).truncate(true).open(image).unwrap();
        let size = filesystem::sizing::minimum(tree, options).unwrap();
        file.set_len(size.0).unwrap();
        let written = filesystem::write(tree, options, &mut SparseFile::new(&file, image, 0)).unwrap();
        assert_eq!(written.size, size);
    }

    fn write_shapes(&self) -> (Tree, PathBuf) {
        let (tree, image) = (self.shapes(), self.path("shapes.ext4"));
        Self::write(&tree, &Options::derived("seed", "shapes", 1_700_000_000), &image);
        (tree, image)
    }

    fn write_slot(tree: &Tree, path: &Path, offset: u64) -> SlotImage {
        let partition_size = Bytes::mib(160);
        let file = File::create(path).unwrap();
        file.set_len(offset + partition_size.0).unwrap();
        let (label, seed, timestamp) = ("base", "seed", 1_700_000_000);
        let salt = slot_image::salt(seed, label);
        let options = SlotOptions { label, seed, salt, timestamp, partition_size, file: &file, path, offset };
        slot_image::write_slot(tree, &options).unwrap()
    }

    fn fsck(image: &Path) {
        run(Command::new("e2fsck").arg("-fn").arg(image));
    }

    /// What `stat` of debugfs says about each path.
    fn debugfs_stat<'a>(&self, image: &Path, paths: impl Iterator<Item = &'a String>) -> BTreeMap<String, Stat> {
        let commands = self.path("commands");
        let mut file = File::create(&commands).unwrap();
        for path in paths {
            writeln!(file, "stat \"/{path}\"").unwrap();
        }
        let output = run(Command::new("debugfs").arg("-f").arg(&commands).arg(image));
        let answers = output.split("debugfs: stat \"/").skip(1);
        answers
            .map(|answer| {
                let (path, text) = answer.split_once("\"\n").unwrap();
                (path.to_owned(), Stat { text: text.to_owned() })
            })
            .collect()
    }
}

/// One answer of debugfs.
struct Stat {
    text: String,
}

impl Stat {
    /// The word behind a label.
    fn field(&self, label: &str) -> &str {
        let (_, rest) = self.text.split_once(label).unwrap_or_else(|| panic!("no {label} in {}", self.text));
        rest.split_whitespace().next().unwrap()
    }

    /// A user or group, which debugfs prints as a signed number.
    fn owner(&self, label: &str) -> u32 {
        let number: i64 = self.field(label).parse().unwrap();
        u32::try_from(number.rem_euclid(1 << 32)).unwrap()
    }

    /// Seconds since 1970 from the raw fields `0xSECONDS:EXTRA`.
    fn time(&self, label: &str) -> i64 {
        let (seconds, extra) = self.field(label).trim_start_matches("0x").split_once(':').unwrap();
        let seconds = u32::from_str_radix(seconds, 16).unwrap().cast_signed();
        let extra = u32::from_str_radix(extra, 16).unwrap();
        assert_eq!(extra >> 2, 0, "nanoseconds");
        i64::from(seconds) + (i64::from(extra & 3) << 32)
    }
}

trait Shapes {
    fn inode<'a>(&'a self, node: &'a Node) -> &'a Node;
    fn links(&self, path: &str) -> usize;
}

impl Shapes for Tree {
    /// The node itself, or what it is another name of.
    fn inode<'a>(&'a self, node: &'a Node) -> &'a Node {
        match &node.kind {
            Kind::HardLink(target) => &self.nodes[target],
            _ => node,
        }
    }

    fn links(&self, path: &str) -> usize {
        let original = match &self.nodes[path].kind {
            Kind::HardLink(target) => target,
            Kind::Directory => {
                let below = |other: &&String| {
                    !other.is_empty() && other.rsplit_once('/').map_or("", |(parent, _)| parent) == path
                };
                let children = self.nodes.keys().filter(below);
                let directories = children.filter(|child| matches!(self.nodes[*child].kind, Kind::Directory)).count();
                return 2 + directories + usize::from(path.is_empty()); // lost+found
            }
            _ => path,
        };
        1 + self.nodes.values().filter(|node| matches!(&node.kind, Kind::HardLink(to) if to == original)).count()
    }
}

fn attributes() -> Vec<(&'static str, BTreeMap<String, Vec<u8>>)> {
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let none = u32::MAX;
    let plain = acl(&[(1, 7, none), (4, 5, none), (0x20, 0, none)]);
    let named =
        acl(&[(1, 7, none), (2, 6, 1000), (2, 4, 100_000), (4, 5, none), (8, 4, 50), (0x10, 5, none), (0x20, 0, none)]);
    let many: Vec<(String, Vec<u8>)> = (0..40).map(|n| (format!("user.number-{n}"), vec![b'v'; 40])).collect();
    vec![
        ("capability", xattrs(&[("security.capability", &capability)])),
        ("small", xattrs(&[("user.note", b"hello"), ("user.other", b"world")])),
        ("empty", xattrs(&[("user.empty", b"")])),
        ("large", xattrs(&[("user.large", &[b'L'; 3000]), ("security.capability", &capability)])),
        ("largest", xattrs(&[("user.a", &[b'M'; 4040])])),
        ("many", many.into_iter().collect()),
        ("selinux", xattrs(&[("security.selinux", b"system_u:object_r:etc_t:s0\0")])),
        ("acl", xattrs(&[("system.posix_acl_access", &named), ("user.note", b"hello")])),
        ("acl-plain", xattrs(&[("system.posix_acl_access", &plain)])),
        ("directory-acl", xattrs(&[("system.posix_acl_access", &named), ("system.posix_acl_default", &named)])),
        ("directory-default", xattrs(&[("system.posix_acl_default", &plain)])),
    ]
}

fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        value.extend(id.to_le_bytes());
    }
    value
}

fn xattrs(pairs: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
}

fn node(kind: Kind) -> Node {
    let mode = if matches!(kind, Kind::Directory) { 0o755 } else { 0o644 };
    Node { kind, mode, uid: 0, gid: 0, mtime: 1_700_000_000, xattrs: BTreeMap::new() }
}

fn directory() -> Node {
    node(Kind::Directory)
}

fn file(bytes: &[u8]) -> Node {
    node(Kind::File(Content::Bytes(bytes.into())))
}

/// Bytes that differ from block to block.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from((n + n / 4096) % 251).unwrap()).collect()
}

fn file_type(kind: &Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File(_) | Kind::HardLink(_) => FileType::Regular,
        Kind::Symlink(_) => FileType::Symlink,
        Kind::CharDevice(..) => FileType::CharacterDevice,
        Kind::BlockDevice(..) => FileType::BlockDevice,
        Kind::Fifo => FileType::Fifo,
        Kind::Socket => FileType::Socket,
    }
}

/// Every path of the file system, sorted.
fn listing(view: &Ext4) -> Vec<String> {
    let mut open = vec![String::new()];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in view.read_dir(format!("/{directory}").as_str()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().as_str().unwrap().to_owned();
            if name == "." || name == ".." {
                continue;
            }
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            if entry.file_type().unwrap() == FileType::Directory {
                open.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort_unstable();
    found
}

fn same_content(found: &mut ext4_view::File, content: &Content, path: &str) {
    let mut expected: Box<dyn std::io::Read> = match content {
        Content::Bytes(bytes) => Box::new(bytes.as_ref()),
        Content::HostFile { path, .. } => Box::new(File::open(path).unwrap()),
        Content::Range { .. } => unreachable!("not in the shapes"),
    };
    let (mut one, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let n = expected.read(&mut one).unwrap();
        found.read_exact(&mut other[..n]).unwrap();
        assert!(one[..n] == other[..n], "content of {path}");
        if n == 0 {
            return assert_eq!(found.read(&mut other).unwrap(), 0, "{path} is longer");
        }
    }
}

fn copy_range(from: &Path, offset: u64, length: u64, to: &Path) {
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    File::open(from).unwrap().read_exact_at(&mut bytes, offset).unwrap();
    fs::write(to, bytes).unwrap();
}

fn verity(slot: &Path, image: &SlotImage) -> (bool, String) {
    let mut command = Command::new("veritysetup");
    command.arg("verify").args([slot, slot]).arg(image.root_hash.to_string()).arg(hash_offset(image));
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// veritysetup wants the superblock, which is in front of the tree.
fn hash_offset(image: &SlotImage) -> String {
    format!("--hash-offset={}", image.data_blocks * 4096)
}

fn hex(bytes: &[u8]) -> String {
    formats::Digest(bytes.try_into().unwrap()).to_string()
}

/// True when a program of the build host is there; its absence is a failure where nothing may be skipped.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).chain(["/sbin".into(), "/usr/sbin".into()]).any(|dir| dir.join(program).exists());
    assert!(found || std::env::var_os("CI").is_none(), "needs {program}");
    if !found {
        eprintln!("SKIPPED: needs {program}");
    }
    found
}

/// Runs a program which must succeed; its output.
fn run(command: &mut Command) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}
