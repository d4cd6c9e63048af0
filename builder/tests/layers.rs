//! Layers over each other: later ones win, deletions delete, and nothing changes its nature by accident.

mod samples;

use builder::tree::{Kind, Layer, Node, Tree, merge};
use samples::text;

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new(0);
    for (path, content) in files {
        tree.insert(*path, Node::file(content, 0o644, 0));
    }
    tree
}

fn merged(trees: Vec<Tree>) -> builder::Result<Tree> {
    let tree = merge(trees.into_iter().map(|tree| Layer { name: "test".into(), tree }).collect())?;
    tree.validate()?;
    Ok(tree)
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.nodes.keys().map(String::as_str).filter(|path| !path.is_empty()).collect()
}

#[test]
fn later_layers_win() {
    let tree =
        merged(vec![tree(&[("a", "1"), ("b", "1")]), tree(&[("b", "2"), ("c", "2")]), tree(&[("c", "3")])]).unwrap();
    assert_eq!([text(&tree, "a"), text(&tree, "b"), text(&tree, "c")], ["1", "2", "3"]);
}

#[test]
fn whiteouts_delete_files_and_whole_directories() {
    let lower = tree(&[("etc/a", ""), ("etc/d/x", ""), ("etc/d-y", ""), ("etc/keep", "")]);
    let upper = tree(&[("etc/.wh.a", ""), ("etc/.wh.d", "")]);
    assert_eq!(paths(&merged(vec![lower, upper]).unwrap()), ["etc", "etc/d-y", "etc/keep"]);
}

#[test]
fn an_opaque_directory_hides_everything_below_it() {
    let lower = tree(&[("d/a", ""), ("d/-/b", ""), ("d/x/deep", ""), ("e", "")]);
    let upper = tree(&[("d/.wh..wh..opq", ""), ("d/-", "now a file"), ("d/x/new", "")]);
    assert_eq!(paths(&merged(vec![lower, upper]).unwrap()), ["d", "d/-", "d/x", "d/x/new", "e"]);
}

#[test]
fn deleting_what_is_not_there_is_refused() {
    let error = merged(vec![tree(&[("a", "")]), tree(&[(".wh.b", "")])]).unwrap_err().to_string();
    assert!(error.contains("layer 2") && error.contains("which no layer below has"), "{error}");
}

#[test]
fn a_directory_and_a_file_do_not_replace_each_other_unless_deleted_first() {
    let (directory, file) = (|| tree(&[("x/y", "")]), || tree(&[("x", "f")]));
    for layers in [vec![directory(), tree(&[]), file()], vec![file(), tree(&[]), directory()]] {
        let error = merged(layers).unwrap_err().to_string();
        assert!(
            error.contains("layer 3 (test) does not fit over layer 1 (test)") && error.contains(".wh.x"),
            "{error}"
        );
    }
    let mut replacing = file();
    replacing.insert(".wh.x", Node::file("", 0o644, 0));
    assert_eq!(text(&merged(vec![directory(), replacing]).unwrap(), "x"), "f");
}

#[test]
fn a_directory_over_a_link_lands_where_the_link_leads() {
    let mut lower = tree(&[("usr/bin/sh", "")]);
    lower.insert("bin", Node::symlink("usr/bin", 0));
    lower.insert("opt", Node::symlink("/usr/local/opt", 0));
    let merged = merged(vec![lower, tree(&[("bin/tool", "t"), ("opt/x", "")])]).unwrap();
    assert_eq!(text(&merged, "usr/bin/tool"), "t");
    assert!(merged.nodes.contains_key("usr/local/opt/x"));
}

#[test]
fn a_directory_over_a_link_to_a_file_is_refused() {
    let mut lower = tree(&[("file", "")]);
    lower.insert("bin", Node::symlink("file", 0));
    assert!(merged(vec![lower, tree(&[("bin/tool", "")])]).unwrap_err().to_string().contains("leads to no directory"));
}

#[test]
fn two_names_for_one_place_in_one_layer_are_refused() {
    let mut lower = tree(&[("usr/bin/sh", "")]);
    lower.insert("bin", Node::symlink("usr/bin", 0));
    let error = merged(vec![lower, tree(&[("bin/tool", "1"), ("usr/bin/tool", "2")])]).unwrap_err().to_string();
    assert!(error.contains("\"/bin/tool\" and \"/usr/bin/tool\" become one file"), "{error}");
}

#[test]
fn an_overlay_does_not_open_private_directories() {
    let mut lower = tree(&[]);
    lower.insert("root", Node::new(Kind::Directory, 0o700, 0));
    lower.insert("tmp", Node::new(Kind::Directory, 0o1777, 0));
    let mut upper = tree(&[("root/.profile", "")]);
    upper.insert("tmp", Node::new(Kind::Directory, 0o755, 0));
    let merged = merged(vec![lower, upper]).unwrap();
    assert_eq!((merged.nodes["root"].mode, merged.nodes["tmp"].mode), (0o700, 0o755));
}

#[test]
fn replacing_a_file_leaves_its_other_names_alone() {
    let mut lower = tree(&[("a", "old")]);
    for name in ["b", "c"] {
        lower.insert(name, Node::new(Kind::HardLink("a".into()), 0o644, 0));
    }
    let tree = merged(vec![lower, tree(&[("a", "new")])]).unwrap();
    assert_eq!([text(&tree, "a"), text(&tree, "b"), text(&tree, "c")], ["new", "old", "old"]);
    assert!(matches!(&tree.nodes["c"].kind, Kind::HardLink(target) if target == "b"));
}

#[test]
fn hard_links_of_a_layer_follow_it_through_links() {
    let mut lower = tree(&[("usr/bin/sh", "")]);
    lower.insert("bin", Node::symlink("usr/bin", 0));
    let mut upper = tree(&[("bin/one", "1")]);
    upper.insert("bin/two", Node::new(Kind::HardLink("bin/one".into()), 0o644, 0));
    let tree = merged(vec![lower, upper]).unwrap();
    assert_eq!(text(&tree, "usr/bin/two"), "1");
}

#[test]
fn excluded_paths_take_everything_below_and_unused_ones_are_reported() {
    let mut tree = tree(&[("usr/share/doc/a/b", ""), ("usr/share/doc-base", ""), ("usr/share/x", "")]);
    let unused = tree.exclude(&["/usr/share/doc/".into(), "usr/share/dco".into()]);
    assert_eq!(unused, ["usr/share/dco"]);
    assert_eq!(paths(&tree), ["usr", "usr/share", "usr/share/doc-base", "usr/share/x"]);
}
