//! Where the images and packages are that scenarios name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Finds files. A name that begins with `$` is a variable; every other one is a path, seen from the scenario's folder.
#[derive(Debug, Clone, Default)]
pub struct Files {
    set: BTreeMap<String, PathBuf>,
    folders: Vec<PathBuf>,
}

impl Files {
    /// Says which file a variable stands for.
    pub fn set(&mut self, name: impl Into<String>, file: impl Into<PathBuf>) {
        self.set.insert(name.into(), file.into());
    }

    /// Adds a folder by the naming rule: `$good-base` is `good-base`, `good-base.pkg` or `good-base.img` in it.
    pub fn look_in(&mut self, folder: impl Into<PathBuf>) {
        self.folders.push(folder.into());
    }

    /// The file that `text`, written in a scenario in `folder`, stands for.
    ///
    /// # Errors
    /// [`Error::Input`] when there is none, with the ways to say where it is.
    pub fn find(&self, text: &str, folder: &Path) -> Result<PathBuf> {
        self.find_that(text, folder, Path::is_file, "file")
    }

    /// The same for a folder.
    ///
    /// # Errors
    /// As with [`Self::find`].
    pub fn find_folder(&self, text: &str, folder: &Path) -> Result<PathBuf> {
        self.find_that(text, folder, Path::is_dir, "folder")
    }

    fn find_that(&self, text: &str, folder: &Path, is_one: fn(&Path) -> bool, what: &str) -> Result<PathBuf> {
        let Some(name) = text.strip_prefix('$') else {
            let path = folder.join(text);
            if is_one(&path) {
                return Ok(path);
            }
            return Err(Error::Input(format!("\"{}\" is not a {what}; the scenario names it", path.display())));
        };
        if let Some(path) = self.set.get(name) {
            if is_one(path) {
                return Ok(path.clone());
            }
            return Err(Error::Input(format!("\"{}\" is not a {what}; --set {name}=FILE named it", path.display())));
        }
        let candidates = self.folders.iter().flat_map(|folder| ENDINGS.map(|end| folder.join(format!("{name}{end}"))));
        if let Some(path) = candidates.into_iter().find(|path| is_one(path)) {
            return Ok(path);
        }
        Err(Error::Input(format!(
            "nobody said which {what} \"${name}\" is; give it with --set {name}=FILE, or put \"{name}.pkg\" or \"{name}.img\" into a \
             folder given with --files DIR"
        )))
    }
}

const ENDINGS: [&str; 3] = ["", ".pkg", ".img"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_variables_and_folders_are_looked_up_in_this_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["good-base.pkg", "first.img", "other.pkg", "near.pkg"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let mut files = Files::default();
        files.look_in(dir.path());
        let find =
            |files: &Files, text: &str| files.find(text, dir.path()).map(|path| path.file_name().unwrap().to_owned());
        assert_eq!(find(&files, "$good-base").unwrap(), "good-base.pkg");
        assert_eq!(find(&files, "$first").unwrap(), "first.img");
        assert_eq!(find(&files, "near.pkg").unwrap(), "near.pkg");
        files.set("good-base", dir.path().join("other.pkg"));
        assert_eq!(find(&files, "$good-base").unwrap(), "other.pkg");
    }

    #[test]
    fn what_is_missing_is_said_with_the_option_that_helps() {
        let mut files = Files::default();
        let error = |files: &Files, text| files.find(text, Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error(&files, "$first").contains("--set first=FILE"));
        assert!(error(&files, "x.img").contains("/nowhere/x.img"));
        files.set("first", "/nowhere/first.img");
        assert!(error(&files, "$first").contains("--set first=FILE named it"));
    }
}
