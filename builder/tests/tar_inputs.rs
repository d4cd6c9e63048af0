//! Tar archives: what they may contain, and every way in which they are refused.

mod samples;

use std::io::Write;
use std::process::Command;

use builder::source::Source;
use builder::tree::{Content, Kind};
use samples::{Tar, load, load_tar, text};
use tar::EntryType;

fn sample() -> Tar {
    Tar::default()
        .directory("./")
        .directory("./etc/")
        .file("./etc/hostname", "appliance\n")
        .hard_link("./etc/second", "./etc/hostname")
        .symlink("./etc/mtab", "../proc/self/mounts")
        .member(EntryType::Char, "./dev/ttyS0", "", b"")
        .member(EntryType::Fifo, "./run/pipe", "", b"")
}

/// The message with which an archive is refused; it always names the archive and exits with code 3.
fn refusal(bytes: &[u8]) -> String {
    let error = load_tar(bytes).expect_err("the archive was accepted");
    let text = error.to_string();
    assert_eq!(error.exit_code(), 3, "{text}");
    assert!(text.contains("sample.tar"), "{text}");
    text
}

#[test]
fn reads_every_kind_of_member() {
    let tree = load_tar(&sample().bytes()).unwrap();
    tree.validate().unwrap();
    assert_eq!(text(&tree, "etc/hostname"), "appliance\n");
    assert!(matches!(&tree.nodes["etc/second"].kind, Kind::HardLink(target) if target == "etc/hostname"));
    assert!(matches!(tree.nodes["dev/ttyS0"].kind, Kind::CharDevice(4, 64)));
    assert!(matches!(tree.nodes["run/pipe"].kind, Kind::Fifo));
    let node = &tree.nodes["etc/hostname"];
    assert_eq!((node.uid, node.gid, node.mode, node.mtime), (1000, 1001, 0o644, 1_600_000_000));
    assert_eq!(tree.nodes["dev"].mtime, 1_700_000_000);
    assert!(tree.implied.contains("dev") && !tree.implied.contains("etc"));
}

#[test]
fn every_compression_gives_the_same_tree() {
    let plain = sample().bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
    xz.write_all(&plain).unwrap();
    let expected = load_tar(&plain).unwrap().digest().unwrap();
    for packed in [gzip.finish().unwrap(), xz.finish().unwrap(), zstd::encode_all(&plain[..], 3).unwrap()] {
        assert_eq!(load_tar(&packed).unwrap().digest().unwrap(), expected);
        for length in [packed.len() / 2, packed.len() - 1] {
            let text = refusal(&packed[..length]);
            assert!(text.contains("truncated"), "{text}");
        }
        let mut damaged = packed.clone();
        damaged[packed.len() / 2] ^= 0x55;
        refusal(&damaged);
    }
}

#[test]
fn content_of_a_plain_archive_stays_in_place() {
    let tree = load_tar(&sample().bytes()).unwrap();
    assert!(matches!(tree.file("etc/hostname"), Some(Content::Range { offset: 1536, length: 10, .. })));
}

#[test]
fn pax_headers_give_names_sizes_owners_times_and_binary_attributes() {
    let long = format!("{}/file", "d".repeat(200));
    let capability = b"\x01\0\0\x02\0\x20\0\n=\n\0";
    let tar = Tar::default()
        .pax("path", long.as_bytes())
        .pax("uid", b"4000000000")
        .pax("mtime", b"-1.5")
        .pax("SCHILY.xattr.security.capability", capability)
        .file("short", "x")
        .file("next", "y");
    let tree = load_tar(&tar.bytes()).unwrap();
    let node = &tree.nodes[&long];
    assert_eq!((node.uid, node.mtime), (4_000_000_000, -2));
    assert_eq!(node.xattrs["security.capability"], capability);
    assert_eq!(tree.nodes["next"].uid, 1000);
    assert!(tree.nodes["next"].xattrs.is_empty());
}

#[test]
fn reads_long_names_of_gnu_archives() {
    let long = format!("{}/file", "n".repeat(150));
    let tar = Tar::default()
        .member(EntryType::GNULongName, "././@LongLink", "", format!("{long}\0").as_bytes())
        .file("short", "x")
        .member(EntryType::GNULongLink, "././@LongLink", "", format!("{long}\0").as_bytes())
        .hard_link("link", "short");
    let tree = load_tar(&tar.bytes()).unwrap();
    assert!(matches!(&tree.nodes["link"].kind, Kind::HardLink(target) if *target == long));
}

#[test]
fn refuses_members_that_escape_the_root() {
    for name in ["../etc/passwd", "a/../../b", "/etc/passwd", "a/.."] {
        let text = refusal(&Tar::default().file(name, "x").bytes());
        assert!(text.contains(&format!("member \"{name}\"")), "{text}");
    }
}

#[test]
fn refuses_members_that_pass_through_links_and_files() {
    let through_link = Tar::default().symlink("lib", "/etc").file("lib/passwd", "x");
    assert!(refusal(&through_link.bytes()).contains("passes through the symbolic link \"lib\" to \"/etc\""));
    let below_file = Tar::default().file("a", "x").file("a/b", "x");
    assert!(refusal(&below_file.bytes()).contains("lies below \"a\", which is a file"));
}

#[test]
fn refuses_hard_links_without_a_file() {
    for (target, expected) in [
        ("missing", "which is not in the archive"),
        ("/etc/passwd", "is absolute"),
        ("../../etc/passwd", "could leave the root"),
        ("directory", "which is a directory"),
        ("link", "hard links loop"),
    ] {
        let text = refusal(&Tar::default().directory("directory").hard_link("link", target).bytes());
        assert!(text.contains("member \"link\"") && text.contains(expected), "{text}");
    }
}

#[test]
fn refuses_loops_of_links() {
    let hard = Tar::default().hard_link("a", "b").hard_link("b", "c").hard_link("c", "a");
    assert!(refusal(&hard.bytes()).contains("hard links loop: \"a\" to \"b\" to \"c\""));
    let symbolic = Tar::default().symlink("a", "/b").symlink("b", "./a");
    assert!(refusal(&symbolic.bytes()).contains("leads back to itself"));
}

#[test]
fn a_hard_link_to_a_symbolic_link_becomes_a_copy_and_chains_lead_to_the_file() {
    let tar =
        Tar::default().symlink("s", "x").hard_link("t", "s").file("a", "1").hard_link("b", "a").hard_link("c", "b");
    let tree = load_tar(&tar.bytes()).unwrap();
    assert!(matches!(&tree.nodes["t"].kind, Kind::Symlink(target) if target == "x"));
    assert!(matches!(&tree.nodes["c"].kind, Kind::HardLink(target) if target == "a"));
}

#[test]
fn the_last_of_duplicate_members_counts() {
    let tree =
        load_tar(&Tar::default().file("a", "1").symlink("b", "x").file("a", "2").file("b", "3").bytes()).unwrap();
    assert_eq!((text(&tree, "a").as_str(), text(&tree, "b").as_str()), ("2", "3"));
}

#[test]
fn refuses_duplicates_that_change_what_others_rely_on() {
    let directory = Tar::default().directory("d").file("d/x", "1").symlink("d", "/");
    assert!(refusal(&directory.bytes()).contains("was a directory with content before"));
    let linked = Tar::default().file("a", "1").hard_link("b", "a").file("a", "2");
    assert!(refusal(&linked.bytes()).contains("appears twice and other members are hard links to it"));
}

#[test]
fn refuses_truncated_archives_wherever_they_end() {
    let whole = sample().without_end();
    for length in [whole.len(), whole.len() - 512, 1536 + 4, 700] {
        let text = refusal(&whole[..length]);
        assert!(text.contains("truncated"), "{length}: {text}");
    }
}

#[test]
fn refuses_what_is_not_a_tar_archive() {
    assert!(refusal(b"hello").contains("not a tar archive"));
    assert!(refusal(&[b'x'; 2048]).contains("not a tar archive"));
    assert!(refusal(b"BZh91AY").contains("bzip2"));
    let mut damaged = sample().bytes();
    damaged[512 + 3] ^= 1;
    assert!(refusal(&damaged).contains("the header at byte 512 has no valid checksum"));
}

#[test]
fn refuses_what_cannot_be_represented() {
    for (kind, expected) in [(EntryType::GNUSparse, "sparse"), (EntryType::new(b'M'), "type \"M\" is not supported")] {
        assert!(refusal(&Tar::default().member(kind, "x", "", b"").bytes()).contains(expected));
    }
    let name = Tar::default().pax("path", b"caf\xe9").file("x", "");
    assert!(refusal(&name.bytes()).contains("not UTF-8"));
    let acl = Tar::default().pax("SCHILY.acl.access", b"user::rwx").file("x", "");
    assert!(refusal(&acl.bytes()).contains("access control list"));
    let sparse = Tar::default().pax("GNU.sparse.major", b"1").file("x", "");
    assert!(refusal(&sparse.bytes()).contains("sparse"));
    let owner = Tar::default().pax("uid", b"5000000000").file("x", "");
    assert!(refusal(&owner.bytes()).contains("does not fit into 32 bits"));
    let huge = Tar::default().pax("size", b"99999999999").file("x", "");
    assert!(refusal(&huge.bytes()).contains("truncated"));
    let global = Tar::default().member(EntryType::XGlobalHeader, "g", "", b"12 uid=1234\n");
    assert!(refusal(&global.bytes()).contains("global header"));
}

#[test]
fn refuses_missing_archives_and_directories() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(load(&Source::Tar(directory.path().join("gone.tar")), directory.path()).unwrap_err().exit_code(), 6);
    assert_eq!(load(&Source::Tar(directory.path().to_owned()), directory.path()).unwrap_err().exit_code(), 3);
}

#[test]
fn damaged_archives_never_panic() {
    let whole = sample().pax("SCHILY.xattr.user.a", b"b").file("last", "x").bytes();
    for at in 0..whole.len() {
        for value in [0, 0x2f, 0x37, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            // The checksum is made right again, so that the damage reaches the fields.
            let start = at / 512 * 512;
            if damaged[start + 257..start + 262] == *b"ustar" {
                damaged[start + 148..start + 156].fill(b' ');
                let sum: u32 = damaged[start..start + 512].iter().map(|byte| u32::from(*byte)).sum();
                damaged[start + 148..start + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            let _outcome = load_tar_quickly(&damaged);
        }
    }
}

/// Loads without writing a file for each of thousands of variants.
fn load_tar_quickly(bytes: &[u8]) -> builder::Result<builder::tree::Tree> {
    use builder::source::spool::Window;
    use std::sync::Arc;
    thread_local!(static FILE: Arc<std::fs::File> = Arc::new(tempfile::tempfile().unwrap()));
    FILE.with(|file| {
        std::os::unix::fs::FileExt::write_all_at(&**file, bytes, 0).unwrap();
        let window = Window { file: Arc::clone(file), offset: 0, length: bytes.len() as u64 };
        builder::source::tar::read(&window, "sample", 0)
    })
}

#[test]
fn gnu_tar_and_this_reader_agree() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    let long = "long-name-".repeat(12);
    std::fs::create_dir_all(root.join(&long).join(&long)).unwrap();
    std::fs::write(root.join(&long).join(&long).join("file"), "deep").unwrap();
    std::fs::write(root.join("a"), vec![7; 100_000]).unwrap();
    std::fs::hard_link(root.join("a"), root.join("b")).unwrap();
    std::os::unix::fs::symlink(&long, root.join("l")).unwrap();
    for format in ["gnu", "pax"] {
        let archive = directory.path().join(format!("{format}.tar"));
        let status = Command::new("tar")
            .args(["--sort=name", "--mtime=@1500000000", "--owner=:70000", "--group=:5", "--numeric-owner"])
            .arg(format!("--format={format}"))
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(&archive)
            .arg(".")
            .status()
            .unwrap();
        assert!(status.success());
        let tree = load(&Source::Tar(archive), directory.path()).unwrap();
        tree.validate().unwrap();
        assert_eq!(text(&tree, &format!("l/{long}/file")), "deep");
        assert_eq!(tree.file("b").unwrap().read_all("b", 1 << 20).unwrap(), vec![7; 100_000]);
        let node = &tree.nodes["a"];
        assert_eq!((node.uid, node.gid, node.mtime), (70_000, 5, 1_500_000_000));
    }
}
