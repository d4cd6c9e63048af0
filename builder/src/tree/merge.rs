//! Lays trees over each other: one deterministic result, whatever made the layers.
//!
//! Later layers win over earlier ones. A file named `.wh.NAME` deletes `NAME` of the layers below, `.wh..wh..opq` empties its
//! directory (the convention of container layers). A directory over a symbolic link to a directory lands in that directory, so that
//! `bin/tool` reaches `usr/bin/tool` of a tree with merged `/usr`; no link leads out of the root. Turning a directory into something
//! else, or something else into a directory, is refused unless the layer deletes it first. Implied directories
//! ([`Tree::implied`]) never change attributes.

use std::collections::{BTreeMap, BTreeSet};

use super::path::{self, Resolution};
use super::{Content, Kind, Node, Tree};
use crate::{Error, Result};

/// One tree and how messages call it.
#[derive(Debug)]
pub struct Layer {
    /// For example `tar archive "rootfs.tar.zst"`.
    pub name: String,
    /// Its content.
    pub tree: Tree,
}

/// What happens when two layers have a file at one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// The later layer wins: overlays.
    LaterWins,
    /// Refused, unless both are the same: Debian packages. Attributes of directories are those of the first.
    Refuse,
}

/// Lays `layers` over each other, the first at the bottom; later layers win.
pub fn merge(layers: Vec<Layer>) -> Result<Tree> {
    lay(layers, OnConflict::LaterWins)
}

/// Lays `layers` over each other with a choice of what a conflict means.
pub fn lay(layers: Vec<Layer>, rule: OnConflict) -> Result<Tree> {
    let mut result = Merger { tree: Tree::default(), origin: BTreeMap::new(), names: Vec::new(), rule };
    for layer in layers {
        result.add(layer)?;
    }
    Ok(result.tree)
}

struct Merger {
    tree: Tree,
    /// The layer each path came from.
    origin: BTreeMap<String, usize>,
    names: Vec<String>,
    rule: OnConflict,
}

/// What a layer does to the tree below it, decided before anything is changed.
#[derive(Default)]
struct Changes {
    /// Path in the layer → path in the result; `None` when the entry itself does not appear.
    places: BTreeMap<String, Option<String>>,
    remove: BTreeSet<String>,
}

impl Merger {
    fn add(&mut self, layer: Layer) -> Result<()> {
        self.names.push(format!("layer {} ({})", self.names.len() + 1, layer.name));
        let changes = self.decide(&layer.tree)?;
        self.tree.remove_all(&changes.remove);
        let number = self.names.len() - 1;
        for (path, node) in layer.tree.nodes {
            let Some(Some(place)) = changes.places.get(&path) else { continue };
            let implied = layer.tree.implied.contains(&path);
            self.put(place, node, implied, &changes, number);
        }
        Ok(())
    }

    fn put(&mut self, place: &str, mut node: Node, implied: bool, changes: &Changes, number: usize) {
        if let Kind::HardLink(target) = &mut node.kind
            && let Some(Some(place)) = changes.places.get(target)
        {
            target.clone_from(place);
        }
        let present = self.tree.nodes.contains_key(place);
        if node.is_directory() && present && (implied || self.rule == OnConflict::Refuse) {
            let known = self.tree.implied.contains(place);
            if implied || !known {
                return;
            }
        }
        // A place reached through a link of the lower layer may not exist yet.
        self.tree.make_parents(place, node.mtime);
        if implied {
            self.tree.implied.insert(place.to_owned());
        } else {
            self.tree.implied.remove(place);
        }
        self.origin.insert(place.to_owned(), number);
        self.tree.nodes.insert(place.to_owned(), node);
    }

    /// Finds the place of every entry of `upper` and what has to go, or the conflict.
    fn decide(&self, upper: &Tree) -> Result<Changes> {
        let mut changes = Changes::default();
        // Place of each directory, and whether nothing of the layers below remains in it.
        let mut directories: BTreeMap<&str, (String, bool)> = BTreeMap::new();
        let mut taken: BTreeMap<String, &str> = BTreeMap::new();
        for (path, node) in &upper.nodes {
            let (place, mut fresh) = match directories.get(path::parent(path)) {
                Some((parent, fresh)) if !path.is_empty() => (path::join(parent, path::name(path)), *fresh),
                _ => (path.clone(), false),
            };
            if let Some(name) = path::name(path).strip_prefix(WHITEOUT) {
                self.white_out(path, &place, name, &mut changes)?;
                continue;
            }
            fresh |= !path.is_empty() && is_deleted(upper, path);
            if node.is_directory() {
                let place = if fresh { place } else { self.directory_place(path, place)? };
                changes.places.insert(path.clone(), Some(place.clone()));
                directories.insert(path, (place, fresh));
                continue;
            }
            if let Some(other) = taken.insert(place.clone(), path) {
                return Err(self.conflict(&place, &format!("\"/{other}\" and \"/{path}\" become one file")));
            }
            let kept = !fresh && self.same_or_replace(upper, path, &place, node, &mut changes)?;
            changes.places.insert(path.clone(), (!kept).then_some(place));
        }
        self.keep_links_together(upper, &mut changes);
        Ok(changes)
    }

    /// Where a directory of the upper layer lands.
    fn directory_place(&self, path: &str, place: String) -> Result<String> {
        match self.tree.nodes.get(&place).map(|node| &node.kind) {
            None | Some(Kind::Directory) => Ok(place),
            Some(Kind::Symlink(target)) => match path::resolve(&self.tree, &place) {
                Resolution::Found(real) if self.tree.nodes.get(&real).is_some_and(Node::is_directory) => Ok(real),
                Resolution::Missing(real) => Ok(real),
                _ => Err(self.conflict(
                    &place,
                    &format!(
                        "it has the directory \"/{path}\" where a symbolic link to \"{target}\" leads to no directory"
                    ),
                )),
            },
            Some(kind) => {
                let noun = kind.noun();
                Err(self
                    .conflict(&place, &format!("it has the directory \"/{path}\" where {noun} is; {}", way_out(path))))
            }
        }
    }

    /// Decides about an entry that is not a directory. True: the lower layer already has the same, keep that one.
    fn same_or_replace(
        &self,
        upper: &Tree,
        path: &str,
        place: &str,
        node: &Node,
        changes: &mut Changes,
    ) -> Result<bool> {
        let Some(lower) = self.tree.nodes.get(place) else { return Ok(false) };
        if lower.is_directory() {
            let noun = node.kind.noun();
            let text = format!("it has {noun} \"/{path}\" where a directory is; {}", way_out(path));
            return Err(self.conflict(place, &text));
        }
        if self.rule == OnConflict::Refuse {
            if same(upper, node, &self.tree, lower)? {
                return Ok(true);
            }
            return Err(self.conflict(place, &format!("it has a different \"/{path}\"")));
        }
        changes.remove.insert(place.to_owned());
        Ok(false)
    }

    /// Takes `name` and everything below it away, or everything beside an opaque marker.
    fn white_out(&self, path: &str, place: &str, name: &str, changes: &mut Changes) -> Result<()> {
        let directory = path::parent(place);
        let target = if name == OPAQUE { directory.to_owned() } else { path::join(directory, name) };
        if name != OPAQUE {
            path::check_name(name).map_err(|why| Error::Input(format!("{}: \"/{path}\": {why}", self.upper())))?;
            if !self.tree.nodes.contains_key(&target) {
                let text = format!("\"/{path}\" deletes \"/{target}\", which no layer below has");
                return Err(Error::Input(format!("{}: {text}", self.upper())));
            }
            changes.remove.insert(target.clone());
        }
        changes.remove.extend(self.tree.below(&target).map(|(path, _)| path.clone()));
        Ok(())
    }

    /// A hard link whose file is already there from below links to that one; the places map stays complete for [`Self::put`].
    fn keep_links_together(&self, upper: &Tree, changes: &mut Changes) {
        for (path, node) in &upper.nodes {
            let Kind::HardLink(target) = &node.kind else { continue };
            let link_appears = matches!(changes.places.get(path), Some(Some(_)));
            if link_appears && matches!(changes.places.get(target), Some(None)) {
                // The same file exists below: store it again rather than link across layers by accident.
                changes.places.insert(target.clone(), Some(self.place_below(target)));
            }
        }
    }

    /// The place of a path whose directories may be links below.
    fn place_below(&self, path: &str) -> String {
        match path::resolve(&self.tree, path::parent(path)) {
            Resolution::Found(parent) | Resolution::Missing(parent) => path::join(&parent, path::name(path)),
            Resolution::Loop(_) | Resolution::NotDirectory(_) => path.to_owned(),
        }
    }

    fn conflict(&self, place: &str, text: &str) -> Error {
        let lower = self.origin.get(place).and_then(|number| self.names.get(*number));
        let lower = lower.map_or("the layers below", String::as_str);
        Error::Input(format!("{} does not fit over {lower}: {text}", self.upper()))
    }

    /// The layer being added.
    fn upper(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }
}

/// True when two entries are the same in kind, mode, owner, extended attributes and content; times do not count.
fn same(a_tree: &Tree, a: &Node, b_tree: &Tree, b: &Node) -> Result<bool> {
    let (a, b) = (behind(a_tree, a), behind(b_tree, b));
    if (a.mode, a.uid, a.gid, &a.xattrs) != (b.mode, b.uid, b.gid, &b.xattrs) {
        return Ok(false);
    }
    Ok(match (&a.kind, &b.kind) {
        (Kind::File(a), Kind::File(b)) => same_content(a, b)?,
        (Kind::Symlink(a), Kind::Symlink(b)) => a == b,
        (Kind::CharDevice(a, b), Kind::CharDevice(c, d)) | (Kind::BlockDevice(a, b), Kind::BlockDevice(c, d)) => {
            (a, b) == (c, d)
        }
        (Kind::Fifo, Kind::Fifo) | (Kind::Socket, Kind::Socket) => true,
        _ => false,
    })
}

/// The file behind a hard link, or the node itself.
fn behind<'a>(tree: &'a Tree, node: &'a Node) -> &'a Node {
    match &node.kind {
        Kind::HardLink(target) => tree.nodes.get(target).unwrap_or(node),
        _ => node,
    }
}

fn same_content(a: &Content, b: &Content) -> Result<bool> {
    if a.length() != b.length() {
        return Ok(false);
    }
    let mut at = 0;
    let mut equal = true;
    a.for_each_piece(|piece| {
        equal = equal && b.read_range(at, piece.len())? == piece;
        at += piece.len() as u64;
        Ok(())
    })?;
    Ok(equal)
}

/// True when the layer takes away what was at `path` before it brings its own.
fn is_deleted(upper: &Tree, path: &str) -> bool {
    let opaque = path::join(path::parent(path), &format!("{WHITEOUT}{OPAQUE}"));
    upper.nodes.contains_key(&whiteout_of(path)) || upper.nodes.contains_key(&opaque)
}

/// The path of the marker that deletes `path`.
fn whiteout_of(path: &str) -> String {
    path::join(path::parent(path), &format!("{WHITEOUT}{}", path::name(path)))
}

fn way_out(path: &str) -> String {
    format!("to replace it, delete it first with an empty file \"{}\" in that layer", whiteout_of(path))
}

const WHITEOUT: &str = ".wh.";
/// What follows the prefix in the name of an opaque marker.
const OPAQUE: &str = ".wh..opq";
