//! Where reports lie: a small file each on the data partition, the newest fifty.
//!
//! A file is replaced by one rename, so after a power cut there is the report before or after a change, whole. It is begun before the
//! journal begins the installation: whatever the journal tells of has a report, and one that the journal does not know of tells of
//! something that changed nothing.

use std::fs;
use std::path::{Path, PathBuf};

use super::{FORMAT, Report};
use crate::backup::store::free_id;
use crate::error::{Doing, Result};
use crate::plain_file;

/// Most reports that are kept.
pub const KEPT: usize = 50;

/// The reports of a data partition.
#[derive(Debug, Clone)]
pub struct Store(PathBuf);

impl Store {
    /// On this mounted data partition.
    pub fn new(data: &Path) -> Self {
        Self(data.join("bulkhead/reports"))
    }

    /// A name for one that begins at this second, seconds since 1970; of two in one second the later one is called a second later.
    pub fn name(&self, started: u64) -> Result<String> {
        let started = i64::try_from(started).unwrap_or(i64::MAX);
        free_id(started, |id| self.file(id)).doing(|| "name a report".into())
    }

    /// Keeps one, and removes the oldest when there are too many. Durable on return.
    pub fn save(&self, report: &Report) -> Result<()> {
        let path = self.file(&report.id);
        let doing = || format!("write \"{}\"", path.display());
        fs::create_dir_all(&self.0).doing(doing)?;
        let bytes = serde_json::to_vec(report).doing(doing)?;
        plain_file::replace(&path, &path.with_extension("new"), &bytes, 0o600).doing(doing)?;
        for old in self.ids()?.iter().skip(KEPT) {
            plain_file::remove_if_there(&self.file(old)).doing(doing)?;
        }
        Ok(())
    }

    /// Removes one.
    pub fn remove(&self, id: &str) -> Result<()> {
        plain_file::remove_if_there(&self.file(id)).doing(|| format!("remove the report \"{id}\""))
    }

    /// All of them, the newest first. What is damaged or of a later version is left out.
    pub fn all(&self) -> Result<Vec<Report>> {
        let read = |id: String| {
            let bytes = plain_file::read(&self.file(&id), LONGEST).ok()?;
            serde_json::from_slice(&bytes).ok().filter(|report: &Report| report.format == FORMAT && report.id == id)
        };
        Ok(self.ids()?.into_iter().take(KEPT).filter_map(read).collect())
    }

    fn ids(&self) -> Result<Vec<String>> {
        let names = plain_file::names(&self.0).doing(|| format!("list \"{}\"", self.0.display()))?;
        let ids = names.iter().filter_map(|name| name.to_str()?.strip_suffix(".json"));
        let mut ids: Vec<String> = ids.map(str::to_owned).collect();
        ids.sort_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    fn file(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.json"))
    }
}

/// Most bytes of one.
const LONGEST: usize = 256 << 10;
