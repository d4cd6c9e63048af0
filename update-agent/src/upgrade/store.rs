//! Where the intent lies: one small file on the data partition, replaced by one rename, removed at the end.
//!
//! Beginning, stopping and ending are written into the journal first and into this file after that. A power cut in between leaves: a
//! beginning in the history that nobody was told of and that nothing follows; an end that the next look finds in the journal, so that
//! it only has to remove the file; a stop that is found out again. Nothing is installed twice by any of them.

use std::io;
use std::path::{Path, PathBuf};

use super::{FORMAT, Upgrade};
use crate::error::{Doing, Error, Result};
use crate::plain_file;

/// The folder `bulkhead` of a data partition, as far as upgrades are concerned.
#[derive(Debug, Clone)]
pub struct Store(PathBuf);

impl Store {
    /// On this mounted data partition.
    pub fn new(data: &Path) -> Self {
        Self(data.join("bulkhead"))
    }

    /// What is kept; nothing when no upgrade is under way.
    ///
    /// # Errors
    /// When the file cannot be read, or is of a version that this agent does not understand: what somebody wanted is not thrown away.
    pub fn load(&self) -> Result<Option<Upgrade>> {
        let path = self.file();
        let bytes = match plain_file::read(&path, LONGEST) {
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.doing(|| format!("read \"{}\"", path.display()))?,
        };
        let upgrade: Option<Upgrade> = serde_json::from_slice(&bytes).ok();
        let known = upgrade.filter(|upgrade| upgrade.format == FORMAT && (1..=MOST).contains(&upgrade.to.len()));
        known.map(Some).ok_or_else(|| Error::Kept(path))
    }

    /// Keeps it. Durable on return; after a power cut there is the old one or this one.
    pub fn save(&self, upgrade: &Upgrade) -> Result<()> {
        let path = self.file();
        let doing = || format!("write \"{}\"", path.display());
        let bytes = serde_json::to_vec(upgrade).doing(doing)?;
        std::fs::create_dir_all(&self.0).doing(doing)?;
        plain_file::replace(&path, &path.with_extension("new"), &bytes, 0o600).doing(doing)
    }

    /// Removes it. Durable on return.
    pub fn remove(&self) -> Result<()> {
        let path = self.file();
        let removed = plain_file::remove_if_there(&path).and_then(|()| std::fs::File::open(&self.0)?.sync_all());
        removed.doing(|| format!("remove \"{}\"", path.display()))
    }

    fn file(&self) -> PathBuf {
        self.0.join("upgrade.json")
    }
}

/// A bundle has at most 256 packages to choose from.
const LONGEST: usize = 64 << 10;
/// A base and a site.
const MOST: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_what_is_not_understood_is_said_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert_eq!(store.load().unwrap(), None);
        let upgrade = Upgrade {
            format: FORMAT,
            to: vec!["base/demo-2.0.0".parse().unwrap()],
            no_soak: Some("nobody is logged in".into()),
            accept_eula: true,
            offline: false,
            among: Vec::new(),
            by: "user 0".into(),
            since: 7,
            record: 3,
            stopped: None,
        };
        store.save(&upgrade).unwrap();
        assert_eq!(store.load().unwrap().as_ref(), Some(&upgrade));
        let text = std::fs::read_to_string(store.file()).unwrap();
        // A field of a later version is no reason to forget what somebody wants.
        std::fs::write(store.file(), text.replace("\"format\":1", "\"format\":1,\"later\":true")).unwrap();
        assert_eq!(store.load().unwrap(), Some(upgrade));
        for wrong in [text.replace("\"format\":1", "\"format\":2"), text.replace("base/demo-2.0.0", "x"), "{}".into()] {
            std::fs::write(store.file(), wrong).unwrap();
            assert_eq!(store.load().unwrap_err().code(), "malformed");
        }
        store.remove().unwrap();
        store.remove().unwrap();
        assert_eq!(store.load().unwrap(), None);
    }
}
