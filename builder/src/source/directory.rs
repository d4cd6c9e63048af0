//! A directory of the build host as a tree that is the same on every machine.
//!
//! Checkouts differ in owner, umask and times, so none of these count: everything belongs to root, files are 0755 when their owner may
//! execute them and 0644 otherwise, directories 0755, every time is the source date epoch. A file `.bulkhead-permissions` at the top
//! states exceptions, one per line: `MODE UID GID PATH`, for example `0640 0 42 etc/shadow`; it is not copied itself, and neither is
//! any `.gitkeep`. Directories without such a line keep what lower layers say about them. Devices, pipes and sockets are refused.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::tree::{Content, Kind, Node, Tree, path};
use crate::{Error, Result};

/// Lists `root` into a tree; contents stay where they are.
pub fn load(root: &Path, mtime: i64) -> Result<Tree> {
    let metadata = fs::metadata(root).map_err(Error::io("read", root))?;
    if !metadata.is_dir() {
        return Err(Error::Input(format!("source \"{}\" is not a directory", root.display())));
    }
    let mut tree = Tree::new(mtime);
    let mut open = vec![(root.to_owned(), String::new())];
    while let Some((directory, inside)) = open.pop() {
        for entry in fs::read_dir(&directory).map_err(Error::io("read", &directory))? {
            let entry = entry.map_err(Error::io("read", &directory))?;
            let host = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(Error::Input(format!("the name of \"{}\" is not UTF-8; rename it", host.display())));
            };
            path::check_name(name).map_err(|why| Error::Input(format!("\"{}\": {why}", host.display())))?;
            if name == KEEP || (inside.is_empty() && name == PERMISSIONS) {
                continue;
            }
            let place = path::join(&inside, name);
            let node = node(&host, mtime)?;
            if node.is_directory() {
                tree.implied.insert(place.clone());
                open.push((host, place.clone()));
            }
            tree.nodes.insert(place, node);
        }
    }
    apply_permissions(root, &mut tree)?;
    Ok(tree)
}

fn node(host: &Path, mtime: i64) -> Result<Node> {
    let metadata = fs::symlink_metadata(host).map_err(Error::io("read", host))?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Ok(Node::directory(mtime));
    }
    if kind.is_file() {
        let mode = if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
        let content = Content::HostFile { path: host.to_owned(), length: metadata.len() };
        return Ok(Node::new(Kind::File(content), mode, mtime));
    }
    if kind.is_symlink() {
        let target = fs::read_link(host).map_err(Error::io("read", host))?;
        let Some(target) = target.to_str() else {
            return Err(Error::Input(format!("the target of the link \"{}\" is not UTF-8", host.display())));
        };
        return Ok(Node::symlink(target, mtime));
    }
    Err(Error::Input(format!(
        "\"{}\" is neither file, directory nor symbolic link; a directory source cannot carry devices, pipes or sockets (a tar \
         archive can)",
        host.display()
    )))
}

/// Applies the lines of the permissions file, if there is one.
fn apply_permissions(root: &Path, tree: &mut Tree) -> Result<()> {
    let file = root.join(PERMISSIONS);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(Error::io("read", &file)(cause)),
    };
    let mut seen = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: &str| Error::Input(format!("{}:{}: {why}", file.display(), number + 1));
        let mut words = line.splitn(4, ' ');
        let (mode, uid, gid, path) = (words.next(), words.next(), words.next(), words.next());
        let mode = mode.and_then(|word| u16::from_str_radix(word, 8).ok()).filter(|mode| *mode <= 0o7777);
        let ids = uid.and_then(|word| word.parse().ok()).zip(gid.and_then(|word| word.parse().ok()));
        let (Some(mode), Some((uid, gid)), Some(path)) = (mode, ids, path) else {
            return Err(wrong("expected MODE UID GID PATH, for example \"0640 0 42 etc/shadow\""));
        };
        let path = path.trim().trim_matches('/');
        let Some(node) = tree.nodes.get_mut(path) else {
            return Err(wrong(&format!("\"{path}\" does not exist in \"{}\"", root.display())));
        };
        if !seen.insert(path.to_owned()) {
            return Err(wrong(&format!("\"{path}\" has a line above already")));
        }
        (node.mode, node.uid, node.gid) = (mode, uid, gid);
        tree.implied.remove(path);
    }
    Ok(())
}

/// Exceptions from the default owner and modes.
const PERMISSIONS: &str = ".bulkhead-permissions";
/// What people put into directories that git would not keep otherwise.
const KEEP: &str = ".gitkeep";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn sample() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/empty")).unwrap();
        fs::write(root.path().join("etc/empty/.gitkeep"), "").unwrap();
        fs::write(root.path().join("etc/shadow"), "root:*").unwrap();
        fs::write(root.path().join("run.sh"), "#!/bin/sh").unwrap();
        fs::set_permissions(root.path().join("run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(root.path().join("etc/shadow"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("/run.sh", root.path().join("start")).unwrap();
        root
    }

    #[test]
    fn modes_owners_and_times_do_not_depend_on_the_host() {
        let root = sample();
        let tree = load(root.path(), 77).unwrap();
        assert_eq!(tree.nodes.keys().collect::<Vec<_>>(), ["", "etc", "etc/empty", "etc/shadow", "run.sh", "start"]);
        assert_eq!(tree.nodes["etc/shadow"].mode, 0o644);
        assert_eq!(tree.nodes["run.sh"].mode, 0o755);
        assert!(tree.nodes.values().all(|node| (node.uid, node.gid, node.mtime) == (0, 0, 77)));
        assert!(matches!(&tree.nodes["start"].kind, Kind::Symlink(target) if target == "/run.sh"));
        assert_eq!(tree.file("start").unwrap().read_all("start", 100).unwrap(), b"#!/bin/sh");
    }

    #[test]
    fn a_permissions_file_states_exceptions() {
        let root = sample();
        fs::write(root.path().join(PERMISSIONS), "# who may read\n0640 0 42 etc/shadow\n0700 0 0 etc/empty\n").unwrap();
        let tree = load(root.path(), 0).unwrap();
        let shadow = &tree.nodes["etc/shadow"];
        assert_eq!((shadow.mode, shadow.uid, shadow.gid), (0o640, 0, 42));
        assert!(!tree.implied.contains("etc/empty") && tree.implied.contains("etc"));
        assert!(!tree.nodes.contains_key(PERMISSIONS));
    }

    #[test]
    fn refuses_wrong_permission_lines_with_file_and_line() {
        for (line, expected) in [
            ("0999 0 0 run.sh", "expected MODE"),
            ("0644 0 run.sh", "expected MODE"),
            ("0644 0 0 gone", "\"gone\" does not exist"),
            ("0644 0 0 run.sh\n0644 0 0 run.sh", "line above"),
        ] {
            let root = sample();
            fs::write(root.path().join(PERMISSIONS), line).unwrap();
            let text = load(root.path(), 0).unwrap_err().to_string();
            assert!(text.contains(expected) && text.contains(PERMISSIONS), "{text}");
        }
    }

    #[test]
    fn refuses_specials_missing_sources_and_names_that_are_not_utf8() {
        let root = sample();
        let socket = root.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(load(root.path(), 0).unwrap_err().to_string().contains("socket"));
        fs::remove_file(socket).unwrap();
        let odd = std::os::unix::ffi::OsStrExt::from_bytes(b"caf\xe9");
        fs::write(root.path().join(<std::ffi::OsStr as AsRef<Path>>::as_ref(odd)), "").unwrap();
        assert!(load(root.path(), 0).unwrap_err().to_string().contains("not UTF-8"));
        assert_eq!(load(&root.path().join("gone"), 0).unwrap_err().exit_code(), 6);
        assert!(load(&root.path().join("run.sh"), 0).unwrap_err().to_string().contains("not a directory"));
    }

    #[test]
    fn a_file_that_changes_during_the_build_is_an_error() {
        let root = sample();
        let tree = load(root.path(), 0).unwrap();
        fs::write(root.path().join("run.sh"), "longer than before").unwrap();
        let text = tree.digest().unwrap_err().to_string();
        assert!(text.contains("changed during the build"), "{text}");
    }
}
