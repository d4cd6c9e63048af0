//! A real Debian tree becomes a slot, and tools we did not write find in it what the archive holds: Python's tar reader on one side,
//! e2fsck, debugfs, veritysetup and the ext4-view crate on the other.
//!
//! `scripts/test` makes the archive with mmdebstrap and names it in `BULKHEAD_TEST_DEBIAN_TAR`.

#[path = "support/product.rs"]
mod product;
mod samples;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use builder::slot_image::{SlotImage, SlotOptions, salt, size_of, write_slot};
use builder::source::{Context, Source, Spool};
use ext4_view::{Ext4, Ext4Read, FileType};
use formats::Bytes;
use formats::footer::FOOTER_SIZE;
use product::{Outcome, Product, names};
use samples::Tar;
use serde::Deserialize;
use support::Oracle;
use tar::EntryType;

/// What one entry is, whoever says so.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Fact {
    path: String,
    kind: String,
    mode: u16,
    uid: u32,
    gid: u32,
    mtime: i64,
    /// Target of a symbolic link; in an archive also that of a hard link.
    link: Option<String>,
    device: Option<(u32, u32)>,
    /// Values in hexadecimal.
    xattrs: BTreeMap<String, String>,
    sha256: Option<String>,
}

type Facts = BTreeMap<String, Fact>;

/// The first names of files with several names, each with its other names.
type Groups = BTreeMap<String, BTreeSet<String>>;

/// The archive of a Debian system, or `None` with a loud line; in CI its absence is a failure.
fn debian() -> Option<PathBuf> {
    let Some(path) = std::env::var_os("BULKHEAD_TEST_DEBIAN_TAR") else {
        assert!(std::env::var_os("CI").is_none(), "CI must set BULKHEAD_TEST_DEBIAN_TAR");
        println!("SKIPPED: needs BULKHEAD_TEST_DEBIAN_TAR; run scripts/test");
        return None;
    };
    Some(path.into())
}

/// What Python finds in an archive: the entries, hard links with the attributes of what they are links to, and the groups.
fn archived(archive: &Path) -> (Facts, Groups) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tar_facts.py");
    let lines = Oracle::new("python3").arg(script).arg(archive).run();
    let mut facts: Facts = lines
        .lines()
        .map(|line| serde_json::from_str::<Fact>(line).unwrap())
        .map(|fact| (fact.path.clone(), fact))
        .collect();
    let mut groups = Groups::new();
    let linked: Vec<Fact> = facts.values().filter(|fact| fact.kind == "hardlink").cloned().collect();
    for link in linked {
        let mut target = link.link.clone().unwrap();
        while facts[&target].kind == "hardlink" && !groups.contains_key(&target) {
            target = facts[&target].link.clone().unwrap();
        }
        groups.entry(target).or_default().insert(link.path);
    }
    for (target, others) in &groups {
        for other in others {
            let fact = Fact { path: other.clone(), ..facts[target].clone() };
            facts.insert(other.clone(), fact);
        }
    }
    (facts, groups)
}

/// A slot image of an archive in a file of its own.
fn slot(archive: &Path, file: &Path) -> SlotImage {
    let scratch = tempfile::tempdir().unwrap();
    let mut context = Context {
        spool: Spool::new(scratch.path()).unwrap(),
        cache: scratch.path().to_owned(),
        source_date_epoch: 1_767_225_600,
        packages: std::collections::BTreeSet::new(),
    };
    let tree = Source::Tar(archive.to_owned()).load(&mut context).unwrap();
    tree.validate().unwrap();
    let (label, seed, timestamp) = ("base", "debian", 1_767_225_600);
    let partition_size = Bytes(size_of(&tree, label, seed, timestamp).unwrap().0 + FOOTER_SIZE as u64);
    let output = File::options().read(true).write(true).create_new(true).open(file).unwrap();
    output.set_len(partition_size.0).unwrap();
    let salt = salt(seed, label);
    let image = write_slot(
        &tree,
        &SlotOptions { label, seed, salt, timestamp, partition_size, file: &output, path: file, offset: 0 },
    );
    image.unwrap()
}

/// A file system image for ext4-view.
struct Disk(File);

impl Ext4Read for Disk {
    fn read(&mut self, at: u64, to: &mut [u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(self.0.read_exact_at(to, at)?)
    }
}

/// What the ext4-view crate finds in a file system: everything but devices and extended attributes.
fn viewed(file: &Path) -> Facts {
    let filesystem = Ext4::load(Box::new(Disk(File::open(file).unwrap()))).unwrap();
    let mut facts = Facts::new();
    let mut open = vec![String::new()];
    add(&filesystem, "", &mut facts);
    while let Some(directory) = open.pop() {
        for entry in filesystem.read_dir(&format!("/{directory}")).unwrap() {
            let name = entry.unwrap().file_name().as_str().unwrap().to_owned();
            if name == "." || name == ".." {
                continue;
            }
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            if add(&filesystem, &path, &mut facts) {
                open.push(path);
            }
        }
    }
    facts
}

/// Adds one entry; true for a directory.
fn add(filesystem: &Ext4, path: &str, facts: &mut Facts) -> bool {
    let full = format!("/{path}");
    let metadata = filesystem.symlink_metadata(&full).unwrap();
    let kind = match metadata.file_type() {
        FileType::Regular => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::CharacterDevice => "character",
        FileType::BlockDevice => "block",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
    };
    let link = (kind == "symlink").then(|| filesystem.read_link(&full).unwrap().to_str().unwrap().to_owned());
    let sha256 = (kind == "file").then(|| formats::Digest::of(&filesystem.read(&full).unwrap()).to_string());
    let fact = Fact {
        path: path.to_owned(),
        kind: kind.to_owned(),
        mode: metadata.mode(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: metadata.modified().seconds(),
        link,
        device: None,
        xattrs: BTreeMap::new(),
        sha256,
    };
    facts.insert(path.to_owned(), fact);
    kind == "directory"
}

/// What debugfs says about one inode.
#[derive(Debug, Default)]
struct Inode {
    number: String,
    links: usize,
    fact: Option<Fact>,
}

/// What debugfs finds at these paths: everything but link targets and content, and inode numbers besides.
fn debugged(file: &Path, expected: &Facts) -> BTreeMap<String, Inode> {
    let mut commands = String::new();
    for (path, fact) in expected {
        writeln!(commands, "stat \"/{path}\"").unwrap();
        for name in fact.xattrs.keys() {
            writeln!(commands, "ea_get -x \"/{path}\" {name}").unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("commands");
    fs::write(&script, commands).unwrap();
    let output = Oracle::new("debugfs").arg("-f").arg(&script).arg(file).run();
    let mut found: BTreeMap<String, Inode> = BTreeMap::new();
    for answer in output.split("debugfs: ").skip(1) {
        let (command, text) = answer.split_once('\n').unwrap_or((answer, ""));
        let path = command.split('"').nth(1).unwrap().trim_start_matches('/').to_owned();
        let inode = found.entry(path.clone()).or_default();
        if command.starts_with("stat") {
            *inode = inode_of(&path, text);
        } else if let Some((name, value)) = text.trim().split_once(" = ") {
            let name = name.split(' ').next().unwrap().to_owned();
            inode.fact.as_mut().unwrap().xattrs.insert(name, value.replace(' ', ""));
        }
    }
    found
}

/// Takes the answer to `stat` apart.
fn inode_of(path: &str, text: &str) -> Inode {
    let words: Vec<&str> = text.split_whitespace().collect();
    let after = |key: &str| words.iter().position(|word| *word == key).map(|at| words[at + 1]);
    // debugfs prints owners beyond 2^31 as negative numbers.
    let number = |key: &str| {
        let number: i64 = after(key).unwrap_or_else(|| panic!("{path}: no {key} in {text}")).parse().unwrap();
        u32::try_from(number & 0xffff_ffff).unwrap()
    };
    let kind = match after("Type:").unwrap() {
        "regular" => "file",
        "FIFO" => "fifo",
        other => other,
    };
    let time = after("mtime:").unwrap().trim_start_matches("0x");
    let (seconds, extra) = time.split_once(':').unwrap();
    assert_eq!(extra, "00000000", "{path}: a time within a second");
    // Names only; the values are asked for one by one.
    let attributes = text.lines().skip_while(|line| *line != "Extended attributes:").skip(1);
    let attributes = attributes.take_while(|line| line.starts_with("  "));
    let xattrs = attributes.map(|line| (line.trim().split(' ').next().unwrap().to_owned(), String::new())).collect();
    let device = text.lines().find_map(|line| line.strip_prefix("Device major/minor number: ")).map(|line| {
        let (major, minor) = line.split(' ').next().unwrap().split_once(':').unwrap();
        (major.parse().unwrap(), minor.parse().unwrap())
    });
    let fact = Fact {
        kind: kind.to_owned(),
        mode: u16::from_str_radix(after("Mode:").unwrap(), 8).unwrap(),
        uid: number("User:"),
        gid: number("Group:"),
        mtime: i64::from_str_radix(seconds, 16).unwrap(),
        link: None,
        device,
        xattrs,
        sha256: None,
        path: path.to_owned(),
    };
    Inode { number: after("Inode:").unwrap().to_owned(), links: number("Links:") as usize, fact: Some(fact) }
}

/// Compares entry by entry, so that a difference shows its path.
fn same(what: &str, expected: &Facts, found: &Facts) {
    let paths = |facts: &Facts| facts.keys().cloned().collect::<BTreeSet<_>>();
    let (missing, extra) = (&paths(expected) - &paths(found), &paths(found) - &paths(expected));
    assert!(missing.is_empty() && extra.is_empty(), "{what}: missing {missing:?}, extra {extra:?}");
    for (path, fact) in expected {
        assert_eq!(fact, &found[path], "{what}: {path}");
    }
}

/// Everything about a slot made of `archive`.
fn holds_what_the_archive_holds(archive: &Path) -> (Facts, Groups) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("slot");
    let image = slot(archive, &file);
    let size = (image.data_blocks * 4096).to_string();
    let root = image.root_hash.to_string();
    Oracle::new("veritysetup").arg("verify").arg(&file).arg(&file).args([&root, "--hash-offset", &size]).run();

    let filesystem = folder.path().join("filesystem");
    support::sparse_copy(&file, &filesystem);
    File::options().write(true).open(&filesystem).unwrap().set_len(image.data_blocks * 4096).unwrap();
    Oracle::new("e2fsck").arg("-fn").arg(&filesystem).run();

    let (facts, groups) = archived(archive);
    let seen: Facts = facts
        .iter()
        .map(|(path, fact)| (path.clone(), Fact { device: None, xattrs: BTreeMap::new(), ..fact.clone() }))
        .collect();
    let mut found = viewed(&filesystem);
    // e2fsck demands it; no archive of ours has it.
    let lost = found.remove("lost+found").unwrap();
    assert_eq!((lost.kind.as_str(), lost.mode, lost.uid, lost.gid), ("directory", 0o700, 0, 0));
    same("ext4-view", &seen, &found);

    let inodes = debugged(&filesystem, &facts);
    let told: Facts = inodes.iter().map(|(path, inode)| (path.clone(), inode.fact.clone().unwrap())).collect();
    let known = facts.iter().map(|(path, fact)| (path.clone(), Fact { link: None, sha256: None, ..fact.clone() }));
    same("debugfs", &known.collect(), &told);
    for (first, others) in &groups {
        for name in others.iter().chain([first]) {
            assert_eq!(inodes[name].number, inodes[first].number, "{name} and {first} are one file");
            assert_eq!(inodes[name].links, others.len() + 1, "{name}");
        }
    }
    let grouped: BTreeSet<&String> = groups.iter().flat_map(|(first, others)| others.iter().chain([first])).collect();
    let numbers: BTreeSet<&String> = inodes.values().map(|inode| &inode.number).collect();
    assert_eq!(numbers.len(), facts.len() - grouped.len() + groups.len(), "nothing else shares an inode");

    let again = folder.path().join("again");
    assert_eq!(slot(archive, &again), image);
    Oracle::new("cmp").arg(&file).arg(&again).run();
    (facts, groups)
}

#[test]
fn a_debian_system_is_in_its_slot_unchanged_and_every_time_the_same() {
    let Some(archive) = debian() else { return };
    let (facts, groups) = holds_what_the_archive_holds(&archive);
    assert!(facts.len() > 5000, "{} entries are no Debian", facts.len());
    for kind in ["file", "directory", "symlink", "character"] {
        assert!(facts.values().any(|fact| fact.kind == kind), "no {kind}");
    }
    let owners: BTreeSet<_> = facts.values().map(|fact| (fact.uid, fact.gid)).collect();
    assert!(owners.len() > 3 && facts.values().any(|fact| fact.mode & 0o4000 != 0) && !groups.is_empty());
    println!("compared {} entries, {} with extended attributes", facts.len(), {
        facts.values().filter(|fact| !fact.xattrs.is_empty()).count()
    });
}

/// What a minimal Debian system has none of.
#[test]
fn rare_kinds_of_entries_are_in_their_slot_unchanged() {
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let long = "far/".repeat(40) + "target";
    let archive = Tar::default()
        .directory("./")
        .member(EntryType::Block, "disk", "", b"")
        .member(EntryType::Char, "tty", "", b"")
        .member(EntryType::Fifo, "pipe", "", b"")
        .pax("SCHILY.xattr.security.capability", &capability)
        .file("ping", "program")
        .pax("SCHILY.xattr.user.colour", b"blue and \xff")
        .directory("folder/")
        .pax("SCHILY.xattr.user.large", &[b'x'; 2000])
        .file("folder/one", "shared")
        .hard_link("folder/two", "folder/one")
        .hard_link("three", "folder/two")
        .hard_link("call", "ping")
        .symlink("short", "../../outside")
        .pax("linkpath", long.as_bytes())
        .symlink("long", "x")
        .pax("path", "folder/ümläut und \u{1f427}".as_bytes())
        .file("x", "unicode")
        .pax("uid", b"3000000000")
        .file("owner", "")
        .pax("mtime", b"1500000000.75")
        .file("time", "")
        .bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rare.tar");
    fs::write(&path, archive).unwrap();
    let (facts, groups) = holds_what_the_archive_holds(&path);
    assert_eq!(facts["disk"].device, Some((4, 64)));
    assert_eq!(facts["call"].xattrs["security.capability"], hex::encode(capability));
    assert_eq!(facts["owner"].uid, 3_000_000_000);
    assert_eq!(groups.len(), 2);
}

#[test]
fn building_a_debian_system_with_a_kernel_needs_little_memory() {
    let (Some(archive), Some(keys)) = (debian(), std::env::var_os("BULKHEAD_TEST_KEYS")) else {
        assert!(std::env::var_os("CI").is_none(), "CI must set BULKHEAD_TEST_KEYS");
        println!("SKIPPED: needs BULKHEAD_TEST_DEBIAN_TAR and BULKHEAD_TEST_KEYS; run scripts/test");
        return;
    };
    let debs = Path::new(&keys).parent().unwrap().join("debs");
    let files = names(&debs);
    let kernel = files.iter().find(|name| name.starts_with("linux-image-")).expect("no kernel package");
    let product = Product::new();
    product.layer(&format!("tar = \"{}\"", archive.display()));
    let kernel = kernel.split('_').next().unwrap();
    product.on_top(&format!("packages = [\"{kernel}\"]\nfrom = \"{}\"", debs.display()));
    product.edit("base-slot = \"32MiB\"", "base-slot = \"768MiB\"");
    product.edit("[\"dm-verity\"]", "[\"virtio_blk\", \"dm-verity\", \"ext4\"]\nmodules = [\"*\"]");
    // Python tells the peak of what it started, whatever this process has grown to.
    let script = "import resource, subprocess, sys\n\
                  code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n\
                  print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n\
                  sys.exit(code)";
    let build = product.command();
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(build.get_program()).args(build.get_args()).stdin(Stdio::null());
    let outcome = Outcome::from(command.output().unwrap());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let peak: u64 = outcome.stdout.trim().parse().unwrap();
    println!("peak resident set: {} MiB", peak >> 10);
    assert!(peak <= 256 << 10, "{peak} KiB");
}
