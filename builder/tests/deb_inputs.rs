//! Debian packages as a source: what is taken, what is laid over what, and every way in which packages are refused.

mod samples;

use std::fs;
use std::path::Path;

use builder::source::Source;
use builder::tree::{Kind, Tree};
use samples::{Tar, ar, deb, load, text};

/// Loads `names` from a folder with these packages.
fn packages(files: &[(&str, Vec<u8>)], names: &[&str]) -> builder::Result<Tree> {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    load(&source(directory.path(), names), directory.path())
}

fn source(from: &Path, names: &[&str]) -> Source {
    Source::Packages {
        from: from.to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        merged_usr: true,
    }
}

fn busybox() -> Vec<u8> {
    let data = Tar::default().directory("./").directory("./bin/").file("./bin/busybox", "box").bytes();
    deb("busybox-static", "1:1.35", "amd64", &data)
}

fn refusal(files: &[(&str, Vec<u8>)], names: &[&str]) -> String {
    let error = packages(files, names).expect_err("the packages were accepted");
    assert_eq!(error.exit_code(), 3);
    error.to_string()
}

#[test]
fn a_package_that_ships_bin_lands_in_usr_bin() {
    let tree = packages(&[("a.deb", busybox()), ("README", vec![])], &["busybox-static"]).unwrap();
    tree.validate().unwrap();
    assert_eq!(text(&tree, "usr/bin/busybox"), "box");
    assert_eq!(text(&tree, "bin/busybox"), "box");
    assert!(matches!(&tree.nodes["bin"].kind, Kind::Symlink(target) if target == "usr/bin"));
    assert!(!tree.nodes.contains_key("bin/busybox"));
}

#[test]
fn the_same_file_in_two_packages_is_fine_and_a_different_one_is_not() {
    let with = |package: &str, content: &str| {
        let data = Tar::default().file("./usr/share/x", content).file(&format!("./usr/{package}"), "").bytes();
        deb(package, "1", "all", &data)
    };
    let same = [("a.deb", with("one", "same")), ("b.deb", with("two", "same"))];
    let tree = packages(&same, &["one", "two"]).unwrap();
    assert!(tree.nodes.contains_key("usr/one") && tree.nodes.contains_key("usr/two"));
    let different = [("a.deb", with("one", "1")), ("b.deb", with("two", "2"))];
    let text = refusal(&different, &["one", "two"]);
    assert!(
        text.contains("package one 1") && text.contains("package two 1") && text.contains("\"/usr/share/x\""),
        "{text}"
    );
}

#[test]
fn two_versions_of_one_package_are_refused_naming_both_files() {
    let newer = deb("busybox-static", "1:1.36", "amd64", &Tar::default().bytes());
    let text = refusal(&[("old.deb", busybox()), ("new.deb", newer)], &["busybox-static"]);
    assert!(text.contains("old.deb\" (1:1.35)") && text.contains("new.deb\" (1:1.36)"), "{text}");
}

#[test]
fn a_missing_package_is_refused_with_the_nearest_and_the_way_to_get_it() {
    let text = refusal(&[("a.deb", busybox())], &["busybox-statik"]);
    assert!(text.contains("nearest: \"busybox-static\"") && text.contains("apt-get download busybox-statik"), "{text}");
}

#[test]
fn a_pattern_stands_for_the_one_package_that_matches() {
    let tree = packages(&[("a.deb", busybox())], &["busy*static"]).unwrap();
    assert!(tree.file("bin/busybox").is_some());
    assert!(refusal(&[("a.deb", busybox())], &["linux-*"]).contains("matches \"linux-*\""));
    let two = refusal(&[("a.deb", busybox()), ("b.deb", deb("busybox-extra", "1", "all", &[]))], &["busybox-*"]);
    assert!(two.contains("matches 2 packages") && two.contains("busybox-extra, busybox-static"), "{two}");
}

#[test]
fn packages_for_different_architectures_do_not_mix() {
    let other = deb("other", "1", "arm64", &Tar::default().bytes());
    let text = refusal(&[("a.deb", busybox()), ("b.deb", other)], &["busybox-static", "other"]);
    assert!(text.contains("is for arm64 but \"busybox-static\" is for amd64"), "{text}");
}

#[test]
fn truncated_packages_are_refused_wherever_they_end() {
    let whole = busybox();
    for length in [0, 5, 40, 70, 100, 150, 400, whole.len() - 1500, whole.len() - 2] {
        let text = refusal(&[("cut.deb", whole[..length].to_vec())], &["busybox-static"]);
        assert!(text.contains("cut.deb") && text.contains("truncated"), "{length}: {text}");
    }
}

#[test]
fn files_that_are_not_packages_are_refused() {
    for (bytes, expected) in [
        (b"this is no package".to_vec(), "does not start with"),
        (ar(&[("hello", b"x")]), "format 2"),
        (ar(&[("debian-binary", b"3.0\n")]), "format 2"),
        (ar(&[("debian-binary", b"2.0\n"), ("data.tar", b"")]), "where control.tar belongs"),
        (ar(&[("debian-binary", b"2.0\n"), ("control.tar", b""), ("x", b"")]), "where data.tar belongs"),
        (ar(&[("debian-binary", b"2.0\n"), ("control.tar.bz2", b"BZh9xx"), ("data.tar", b"")]), "bzip2"),
        (ar(&[("debian-binary", b"2.0\n"), ("control.tar", &[0; 1024]), ("data.tar", b"")]), "no readable control"),
    ] {
        let text = refusal(&[("x.deb", bytes)], &["x"]);
        assert!(text.contains("x.deb") && text.contains(expected), "{text}");
    }
    let mut damaged = busybox();
    damaged[8 + 50] = b'x';
    assert!(refusal(&[("x.deb", damaged)], &["x"]).contains("member header at byte 8 is not valid"));
}

#[test]
fn hostile_content_is_refused_naming_the_package() {
    let data = Tar::default().file("../../etc/passwd", "x").bytes();
    let text = refusal(&[("evil.deb", deb("evil", "1", "all", &data))], &["evil"]);
    assert!(text.contains("evil.deb") && text.contains("could leave the root"), "{text}");
}
