//! A real mmdebstrap run. Needs the network and a minute, so it runs only when `BULKHEAD_SLOW_TESTS` is set.

mod samples;

use builder::source::{Mmdebstrap, Source};
use samples::{load, text};

#[test]
fn mmdebstrap_makes_a_tree_that_is_kept_for_the_next_build() {
    if std::env::var_os("BULKHEAD_SLOW_TESTS").is_none() {
        println!("SKIPPED: needs BULKHEAD_SLOW_TESTS and the network");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let source = Source::Mmdebstrap(Mmdebstrap {
        suite: "bookworm".into(),
        variant: "essential".into(),
        include: vec!["busybox-static".into()],
        mirror: Some("http://deb.debian.org/debian".into()),
    });
    let tree = load(&source, directory.path()).unwrap();
    tree.validate().unwrap();
    assert!(text(&tree, "etc/os-release").contains("bookworm"));
    assert_eq!(tree.lookup("bin/busybox").unwrap().0, "usr/bin/busybox");
    let again = load(&source, directory.path()).unwrap();
    assert_eq!(tree.digest().unwrap(), again.digest().unwrap());
}
