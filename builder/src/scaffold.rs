//! `bulkhead init`: a folder a release engineer can build, boot and change within the hour.
//!
//! The files are those of `rootfs/minimal`, compiled in, so what a new user starts from is what our boot tests boot.

use std::fmt;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::recipe::Recipe;
use crate::{Error, Result, keys};

/// What was made, and what to do next.
#[derive(Debug)]
pub struct Scaffold {
    directory: PathBuf,
}

/// Makes `directory` with a recipe, an overlay, a site and development keys. `created` is the time in seconds since 1970.
///
/// # Errors
/// [`Error::Refused`] when the directory exists; [`Error::Input`] when the name cannot be a product name.
pub fn scaffold(directory: &Path, name: Option<&str>, created: i64) -> Result<Scaffold> {
    if directory.exists() {
        return Err(Error::Refused(format!("\"{}\" exists; choose a folder that does not", directory.display())));
    }
    let name = match name {
        Some(name) => name.to_owned(),
        None => directory.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default(),
    };
    let recipe = recipe_text(&name, created);
    // The recipe must hold before anything is written; its only free part is the name.
    Recipe::from_text(&recipe, "recipe.toml", directory)?;

    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let scratch = tempfile::Builder::new()
        .prefix(".bulkhead-init-")
        .tempdir_in(parent)
        .map_err(Error::io("create a folder in", parent))?;
    let root = scratch.path();
    write(&root.join("recipe.toml"), recipe.as_bytes(), false)?;
    write(&root.join(".gitignore"), b"/keys/\n/debs/\n", false)?;
    fs::create_dir(root.join("debs")).map_err(Error::io("create", root))?;
    for starter in STARTERS {
        match starter {
            Starter::File(path, bytes, executable) => write(&root.join(path), bytes, *executable)?,
            Starter::Link(path, target) => link(&root.join(path), target)?,
        }
    }
    keys::generate(&root.join("keys"), true, created, &name, None)?;
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).map_err(Error::io("set the mode of", root))?;
    fs::rename(root, directory).map_err(Error::io("create", directory))?;
    let _moved_away = scratch.keep();
    Ok(Scaffold { directory: directory.to_owned() })
}

/// The recipe of `rootfs/minimal` under another name and time.
fn recipe_text(name: &str, created: i64) -> String {
    let quoted = name.escape_default();
    let lines = MINIMAL_RECIPE.lines().map(|line| match line.split('=').next().unwrap_or_default().trim() {
        "name" if line.contains("bulkhead-demo") => format!("name = \"{quoted}\"\n"),
        "title" => format!("title = \"{quoted}\"\n"),
        "source-date-epoch" => format!("source-date-epoch = {created}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

fn write(path: &Path, bytes: &[u8], executable: bool) -> Result<()> {
    make_parent(path)?;
    fs::write(path, bytes).map_err(Error::io("write", path))?;
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io("set the mode of", path))
}

fn link(path: &Path, target: &str) -> Result<()> {
    make_parent(path)?;
    symlink(target, path).map_err(Error::io("create", path))
}

fn make_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(Error::io("create", parent)),
        None => Ok(()),
    }
}

impl fmt::Display for Scaffold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.display();
        writeln!(f, "{directory}: recipe.toml, overlay (base), site (application), development keys")?;
        writeln!(f, "next:")?;
        writeln!(f, "  scripts/fetch-debs {directory}/debs     # or put there the .deb files recipe.toml names")?;
        writeln!(f, "  bulkhead plan {directory}/recipe.toml")?;
        writeln!(f, "  bulkhead build {directory}/recipe.toml -o out")
    }
}

/// One file or link of `rootfs/minimal`.
enum Starter {
    /// Path, content, executable.
    File(&'static str, &'static [u8], bool),
    /// Path, target.
    Link(&'static str, &'static str),
}

const MINIMAL_RECIPE: &str = include_str!("../../rootfs/minimal/recipe.toml");
const STARTERS: &[Starter] = include!(concat!(env!("OUT_DIR"), "/minimal.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_has_a_recipe_that_plans() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("gateway");
        let made = scaffold(&folder, None, 1_767_225_600).unwrap();
        assert!(made.to_string().contains("bulkhead build"));
        let recipe = Recipe::load(&folder.join("recipe.toml")).unwrap();
        assert_eq!(recipe.product.name, "gateway");
        assert!(crate::plan::Plan::new(&recipe).unwrap().to_string().contains("gateway-1.0.0.img"));
        assert!(fs::symlink_metadata(folder.join("overlay/usr/sbin/init")).unwrap().is_symlink());
        assert!(keys::Keys::load(&folder.join("keys")).unwrap().development);
    }

    #[test]
    fn an_existing_folder_and_an_impossible_name_are_refused_and_nothing_is_left() {
        let scratch = tempfile::tempdir().unwrap();
        let error = scaffold(scratch.path(), Some("x"), 0).unwrap_err();
        assert_eq!(error.exit_code(), 5);
        let folder = scratch.path().join("new");
        let error = scaffold(&folder, Some("Not A Name"), 0).unwrap_err();
        assert!(error.to_string().contains("is not a name"), "{error}");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
