use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::sync::Arc;

use super::*;
use crate::tree::{Content, Kind, Node};

fn node(kind: Kind) -> Node {
    Node { kind, mode: 0o755, uid: 0, gid: 0, mtime: 1_700_000_000, xattrs: BTreeMap::new() }
}

fn bytes(bytes: &[u8]) -> Kind {
    Kind::File(Content::Bytes(bytes.into()))
}

fn tree(entries: impl IntoIterator<Item = (&'static str, Kind)>) -> Tree {
    let mut tree = Tree::new(0);
    tree.nodes.extend(entries.into_iter().map(|(path, kind)| (path.to_owned(), node(kind))));
    tree
}

fn options() -> Options {
    Options::derived("test", "base", 1_700_000_000)
}

struct Nowhere;

impl ext4::Sink for Nowhere {
    fn data(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn zeros(&mut self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Nowhere {
    fn path(&self) -> &Path {
        Path::new("nowhere")
    }
}

fn refusal(tree: &Tree, options: &Options) -> String {
    let error = write(tree, options, &mut Nowhere).unwrap_err();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

#[test]
fn zero_blocks_are_left_out_and_everything_else_is_written() {
    let file = tempfile::tempfile().unwrap();
    let mut expected = vec![0; 64 << 10];
    expected[4096..12288].fill(1);
    expected[20480] = 2;
    expected[65535] = 3;
    let mut sink = SparseFile::new(&file, "image", 4096);
    ext4::Sink::data(&mut sink, 0, &expected).unwrap();
    let mut found = Vec::new();
    (&file).take(1 << 20).read_to_end(&mut found).unwrap();
    assert!(found[4096..] == expected[..]);
    let mut sparse = SparseFile::new(&file, "image", 1 << 20);
    ext4::Sink::data(&mut sparse, 0, &vec![0; 1 << 16]).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 4096 + (64 << 10), "zeros do not even extend the file");
}

#[test]
fn the_minimum_is_exact_and_a_fixed_size_below_it_is_refused_with_directions() {
    let content = |size| Kind::File(Content::Bytes(vec![1; size].into()));
    let tree = tree([
        ("usr", Kind::Directory),
        ("usr/lib", Kind::Directory),
        ("usr/lib/modules", Kind::Directory),
        ("usr/lib/modules/big.ko", content(17 << 20)),
        ("usr/share", Kind::Directory),
        ("usr/share/doc", content(3 << 20)),
    ]);
    let minimum = sizing::minimum(&tree, &options()).unwrap();
    assert!(minimum > Bytes::mib(24) && minimum < Bytes::mib(25), "{minimum}");
    let fixed = |size| Options { size: Some(size), ..options() };
    assert_eq!(write(&tree, &fixed(minimum), &mut Nowhere).unwrap().size, minimum);
    assert_eq!(write(&tree, &options(), &mut Nowhere).unwrap().size, minimum);
    let text = refusal(&tree, &fixed(Bytes(minimum.0 - 4096)));
    assert!(
        text.contains("too much") && text.contains("\"/usr/lib/modules\" 17.0 MiB, \"/usr/share\" 3.0 MiB"),
        "{text}"
    );
}

#[test]
fn a_source_that_changed_since_it_was_listed_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, [1; 5000]).unwrap();
    let of = |length| tree([("file", Kind::File(Content::HostFile { path: path.clone(), length }))]);
    assert_eq!(write(&of(5000), &options(), &mut Nowhere).unwrap().content, Bytes(5000));
    assert!(refusal(&of(4999), &options()).contains("it had 4999 bytes and now has 5000"));
    assert!(refusal(&of(5001), &options()).contains("changed during the build"));
    fs::remove_file(&path).unwrap();
    assert!(refusal(&of(5000), &options()).contains("cannot read"));
}

#[test]
fn a_range_beyond_its_file_is_refused_and_named() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    file.set_len(10_000).unwrap();
    let of = |offset| tree([("file", Kind::File(Content::Range { file: Arc::clone(&file), offset, length: 6000 }))]);
    write(&of(4000), &options(), &mut Nowhere).unwrap();
    assert!(refusal(&of(4001), &options()).contains("the source of \"/file\" ends before its 6000 bytes do"));
}

#[test]
fn a_full_disk_is_the_fault_of_the_output() {
    if let Ok(full) = File::options().write(true).open("/dev/full") {
        let mut sink = SparseFile::new(&full, "image.raw", 0);
        let error = write(&tree([]), &options(), &mut sink).unwrap_err();
        assert_eq!(error.to_string(), "cannot write \"image.raw\"");
    }
}

#[test]
fn trees_ext4_cannot_hold_are_refused_with_the_path() {
    let long: &'static str = Box::leak(format!("usr/{}", "n".repeat(256)).into_boxed_str());
    for (entries, expected) in [
        (vec![("a/b", Kind::Directory)], "parent \"/a\" is not a directory"),
        (vec![("a", bytes(b"")), ("a/b", Kind::Directory)], "parent \"/a\" is not a directory"),
        (vec![("a", Kind::HardLink("b".into()))], "not a file of the tree"),
        (vec![("a", Kind::Directory), ("b", Kind::HardLink("a".into()))], "not a file of the tree"),
        (vec![("usr", Kind::Directory), (long, Kind::Directory)], "256 bytes"),
        (vec![("lost+found", bytes(b""))], "keeps this name"),
        (vec![("lost+found", Kind::Directory), ("lost+found/x", bytes(b""))], "parent \"/lost+found\""),
        (vec![("dev", Kind::CharDevice(5000, 1))], "\"/dev\" cannot be stored"),
    ] {
        let text = refusal(&tree(entries), &options());
        assert!(text.contains(expected), "{text}");
    }
    write(&tree([("lost+found", Kind::Directory)]), &options(), &mut Nowhere).unwrap();
    let mut attributes = tree([("file", bytes(b""))]);
    attributes.nodes.get_mut("file").unwrap().xattrs.insert("system.posix_acl_access".into(), vec![1, 2]);
    assert!(refusal(&attributes, &options()).contains("\"/file\" cannot be stored"));
}
