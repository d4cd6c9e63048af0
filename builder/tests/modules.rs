//! Kernel modules chosen by name, and the initramfs that carries them, judged by cpio.

mod samples;

use std::io::Write;
use std::process::{Command, Stdio};

use builder::boot::initramfs::Archive;
use builder::boot::modules::{Selection, kernel_image, release, select};
use builder::tree::{Node, Tree};
use samples::{module, text};

const DIRECTORY: &str = "usr/lib/modules/6.1-test";

/// A usr-merged tree with a handful of modules, plain and compressed.
fn kernel() -> Tree {
    let mut tree = Tree::new(0);
    let xz = |bytes: Vec<u8>| {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
        encoder.write_all(&bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zst = |bytes: Vec<u8>| zstd::encode_all(&bytes[..], 3).unwrap();
    for (path, bytes) in [
        ("drivers/md/dm-mod.ko", module(&["name=dm_mod", "alias=devname:mapper/control"])),
        ("drivers/md/dm-bufio.ko.xz", xz(module(&["depends=dm-mod"]))),
        ("drivers/md/dm-verity.ko.zst", zst(module(&["depends=dm-bufio,dm-mod,reed_solomon"]))),
        ("lib/reed_solomon/reed_solomon.ko", module(&["depends="])),
        ("fs/ext4/ext4.ko", module(&["depends=jbd2", "softdep=pre: crc32c post: late", "alias=fs-ext4"])),
        ("fs/jbd2/jbd2.ko", module(&[])),
        ("crypto/crc32c_generic.ko", module(&["alias=crc32c", "softdep=pre: ext4"])),
        ("extra/late.ko", module(&["depends=ext4"])),
        ("extra/broken.ko", module(&["depends=gone"])),
        ("extra/loop-a.ko", module(&["depends=loop_b"])),
        ("extra/loop-b.ko", module(&["depends=loop_a"])),
    ] {
        tree.insert(format!("{DIRECTORY}/kernel/{path}"), Node::file(bytes, 0o644, 0));
    }
    tree.insert(format!("{DIRECTORY}/modules.builtin"), Node::file("kernel/drivers/virtio/virtio.ko\n", 0o644, 0));
    tree.insert(format!("{DIRECTORY}/modules.builtin.modinfo"), Node::file("sha256.alias=crypto-sha256\0", 0o644, 0));
    tree.insert(format!("{DIRECTORY}/modules.dep.bin"), Node::file("stale", 0o644, 0));
    tree.insert("boot/vmlinuz-6.1-test", Node::file("kernel", 0o644, 0));
    tree.insert("lib", Node::symlink("usr/lib", 0));
    tree
}

fn chosen(names: &[&str]) -> builder::Result<Selection> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    select(&kernel(), "6.1-test", &names)
}

fn order(names: &[&str]) -> Vec<String> {
    chosen(names).unwrap().modules.into_iter().map(|module| module.name).collect()
}

fn refusal(names: &[&str]) -> String {
    chosen(names).unwrap_err().to_string()
}

#[test]
fn finds_the_kernel_and_its_release() {
    let tree = kernel();
    assert_eq!(release(&tree).unwrap(), "6.1-test");
    assert_eq!(kernel_image(&tree, "6.1-test").unwrap().0, "boot/vmlinuz-6.1-test");
    assert!(kernel_image(&tree, "6.2").unwrap_err().to_string().contains("boot/vmlinuz-6.2"));
    assert!(release(&Tree::new(0)).unwrap_err().to_string().contains("no kernel"));
    let mut two = kernel();
    two.insert("usr/lib/modules/6.2/x", Node::file("", 0o644, 0));
    assert!(release(&two).unwrap_err().to_string().contains("several kernels (6.1-test, 6.2)"));
}

#[test]
fn dependencies_come_first_whatever_the_spelling_and_compression() {
    assert_eq!(order(&["dm-verity"]), ["dm_mod", "dm_bufio", "reed_solomon", "dm_verity"]);
    assert_eq!(order(&["reed_solomon", "dm_verity"]), ["reed_solomon", "dm_mod", "dm_bufio", "dm_verity"]);
}

#[test]
fn soft_dependencies_are_found_by_alias_and_may_point_back() {
    assert_eq!(order(&["ext4"]), ["jbd2", "crc32c_generic", "ext4", "late"]);
    assert_eq!(order(&["fs-ext4"]), order(&["ext4"]));
    assert_eq!(order(&["crc32c"]), ["jbd2", "ext4", "late", "crc32c_generic"]);
}

#[test]
fn built_in_names_need_no_module() {
    assert_eq!(order(&["virtio", "crypto-sha256", "jbd2"]), ["jbd2"]);
}

#[test]
fn refuses_unknown_and_unusable_modules() {
    assert!(refusal(&["dm-veritas"]).contains("has no module \"dm-veritas\"; nearest: \"dm_verity\""));
    assert!(refusal(&["broken"]).contains("\"broken\" needs \"gone\""));
    assert!(refusal(&["loop-a"]).contains("depend on each other"));
    let error = select(&kernel(), "5.10", &[]).unwrap_err().to_string();
    assert!(error.contains("no modules of kernel 5.10") && error.contains("6.1-test"), "{error}");
    let mut tree = kernel();
    tree.insert(format!("{DIRECTORY}/kernel/bad.ko"), Node::file("text", 0o644, 0));
    let error = select(&tree, "6.1-test", &["bad".into()]).unwrap_err().to_string();
    assert!(error.contains("kernel/bad.ko") && error.contains("truncated"), "{error}");
    tree.insert(format!("{DIRECTORY}/kernel/again/bad.ko"), Node::file("text", 0o644, 0));
    assert!(select(&tree, "6.1-test", &[]).err().unwrap().to_string().contains("one module twice"));
}

#[test]
fn pruning_leaves_the_chosen_modules_and_fresh_indexes() {
    let mut tree = kernel();
    let selection = select(&tree, "6.1-test", &["dm-verity".into()]).unwrap();
    selection.prune(&mut tree).unwrap();
    tree.validate().unwrap();
    let left: Vec<&str> =
        tree.below(DIRECTORY).filter(|(_, node)| !node.is_directory()).map(|(path, _)| path.as_str()).collect();
    let expected = [
        "kernel/drivers/md/dm-bufio.ko.xz",
        "kernel/drivers/md/dm-mod.ko",
        "kernel/drivers/md/dm-verity.ko.zst",
        "kernel/lib/reed_solomon/reed_solomon.ko",
        "modules.alias",
        "modules.builtin",
        "modules.builtin.modinfo",
        "modules.dep",
    ];
    assert_eq!(left, expected.map(|path| format!("{DIRECTORY}/{path}")));
    assert!(!tree.nodes.contains_key(&format!("{DIRECTORY}/kernel/extra")));
    let dep = text(&tree, &format!("{DIRECTORY}/modules.dep"));
    assert!(dep.contains(
        "kernel/drivers/md/dm-verity.ko.zst: kernel/lib/reed_solomon/reed_solomon.ko \
         kernel/drivers/md/dm-bufio.ko.xz kernel/drivers/md/dm-mod.ko\n"
    ));
    assert_eq!(text(&tree, &format!("{DIRECTORY}/modules.alias")), "alias devname:mapper/control dm_mod\n");
}

#[test]
fn cpio_lists_the_initramfs_with_modules_in_load_order() {
    let mut archive = Archive::new(1_700_000_000);
    chosen(&["dm-verity"]).unwrap().add_to(&mut archive).unwrap();
    archive.directory("dev", 0o755).unwrap();
    archive.device("dev/console", 0o600, 5, 1).unwrap();
    archive.symlink("init", "/bin/init").unwrap();
    let bytes = zstd::decode_all(&archive.compressed().unwrap()[..]).unwrap();
    let Some(listing) = cpio(&bytes, &["-tv", "--quiet", "--numeric-uid-gid"]) else { return };
    assert_eq!(listing.lines().count(), 10, "{listing}");
    assert!(listing.contains("crw-------   1 0        0          5,   1 Nov 14  2023 dev/console"), "{listing}");
    assert!(listing.contains("lib/modules/dm-verity.ko\n") && listing.contains("init -> /bin/init"), "{listing}");
    let list = cpio(&bytes, &["-i", "--quiet", "--to-stdout", "lib/modules/list"]).unwrap();
    assert_eq!(list, "dm-mod.ko\ndm-bufio.ko\nreed_solomon.ko\ndm-verity.ko\n");
}

/// Runs cpio on an archive; `None` when it is not installed, which is an error in CI.
fn cpio(archive: &[u8], arguments: &[&str]) -> Option<String> {
    let started = Command::new("cpio")
        .args(arguments)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        assert!(std::env::var_os("CI").is_none(), "needs cpio");
        println!("SKIPPED: needs cpio");
        return None;
    };
    let mut input = child.stdin.take().unwrap();
    let bytes = archive.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    drop(writer.join());
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}
