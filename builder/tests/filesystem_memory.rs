//! Building a slot takes memory for entries and hashes, never for content. Alone in its program, because the peak is the process's.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use builder::slot_image::{SlotOptions, salt, write_slot};
use builder::tree::{Content, Kind, Node, Tree};
use formats::Bytes;

#[test]
fn twenty_thousand_files_and_300_mb_take_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    File::create(&source).unwrap().set_len(300 << 20).unwrap();
    let file = Arc::new(File::open(&source).unwrap());
    let mut tree = Tree::new(0);
    for number in 0..20_000_u64 {
        let content = Content::Range { file: Arc::clone(&file), offset: number * 8192, length: 8192 };
        tree.insert(format!("directory-{}/file-{number}", number % 200), Node::new(Kind::File(content), 0o644, 0));
    }
    let big = Content::HostFile { path: source, length: 300 << 20 };
    tree.insert("big", Node::new(Kind::File(big), 0o644, 0));

    let path = directory.path().join("disk");
    let disk = File::create_new(&path).unwrap();
    let partition_size = Bytes::mib(640);
    disk.set_len(partition_size.0).unwrap();
    let (label, seed, timestamp) = ("base", "seed", 0);
    let salt = salt(seed, label);
    let options = SlotOptions { label, seed, salt, timestamp, partition_size, file: &disk, path: &path, offset: 0 };
    let before = peak_kib();
    let image = write_slot(&tree, &options).unwrap();
    let grown = peak_kib() - before;
    assert!(image.size > Bytes::mib(450), "{}", image.size);
    println!("peak memory grew by {grown} KiB for {}", image.size);
    assert!(grown < 48 << 10, "peak memory grew by {grown} KiB");
}

/// The largest resident size this process has had.
fn peak_kib() -> u64 {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
