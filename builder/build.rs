//! Compiles the files of `rootfs/minimal` into `bulkhead init`, so that what a new user starts from is what our boot tests boot.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn main() {
    // Asked for when it runs: the folder may have moved since this program was compiled.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let root = Path::new(&manifest).join("../rootfs/minimal");
    println!("cargo::rerun-if-changed={}", root.join("recipe.toml").display());
    let mut table = String::from("&[\n");
    for folder in ["overlay", "site"] {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        list(&root, &root.join(folder), &mut table);
    }
    table.push_str("]\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("minimal.rs"), table).expect("the output folder of cargo is writable");
}

/// Adds every entry below `folder`, sorted, as a `Starter` expression.
fn list(root: &Path, folder: &Path, table: &mut String) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("rootfs/minimal is readable")
        .map(|entry| entry.expect("readable").path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.strip_prefix(root).expect("below the root").to_str().expect("UTF-8 name").to_owned();
        let metadata = fs::symlink_metadata(&path).expect("readable");
        if metadata.is_symlink() {
            let target = fs::read_link(&path).expect("readable");
            let target = target.to_str().expect("UTF-8 target");
            writeln!(table, "    Starter::Link({name:?}, {target:?}),").expect("writes to memory");
        } else if metadata.is_dir() {
            list(root, &path, table);
        } else {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            let from = path.to_str().expect("UTF-8 path");
            writeln!(table, "    Starter::File({name:?}, include_bytes!({from:?}), {executable}),")
                .expect("writes to memory");
        }
    }
}
