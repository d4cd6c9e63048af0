//! Where licences lie: one file for each package line in a folder of the data partition.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use formats::footer::FOOTER_SIZE;
use formats::manifest::check_name;

use crate::plain_file;

/// Something that keeps licences, by the names of their lines.
pub trait Store {
    /// All of them, sorted, at most [`LIMIT`].
    fn load(&self) -> io::Result<Vec<(String, io::Result<Vec<u8>>)>>;
    /// Puts the licence of a line in the place of the one before: after a power cut one of the two is there, whole. Durable on return.
    fn replace(&self, line: &str, bytes: &[u8]) -> io::Result<()>;
}

/// Most package lines of licences on one appliance.
pub const LIMIT: usize = 64;
// A download key tells of all of them.
const _: () = assert!(LIMIT <= formats::download_key::MAX_LICENCES);

/// The folder on the data partition.
pub struct Directory(PathBuf);

impl Directory {
    /// That of the data partition mounted at `data`.
    pub fn new(data: &Path) -> Self {
        Self(data.join("bulkhead/licences"))
    }

    /// Makes the folder, and its name durable.
    fn make(&self) -> io::Result<()> {
        match fs::symlink_metadata(&self.0) {
            Ok(metadata) if metadata.is_dir() => return Ok(()),
            Ok(_) => return Err(io::Error::other("it is no directory")),
            Err(_) => fs::create_dir_all(&self.0)?,
        }
        self.0.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }
}

impl Store for Directory {
    fn load(&self) -> io::Result<Vec<(String, io::Result<Vec<u8>>)>> {
        let names = plain_file::names(&self.0)?;
        let lines = names.iter().filter_map(|name| name.to_str()?.strip_suffix(ENDING));
        let lines = lines.filter(|line| check_name("licence", line).is_ok());
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        // The ending sorts differently from the end of a name.
        lines.sort();
        lines.truncate(LIMIT);
        let read = |line: String| {
            let content = plain_file::read(&self.0.join(format!("{line}{ENDING}")), FOOTER_SIZE);
            (line, content)
        };
        Ok(lines.into_iter().map(read).collect())
    }

    fn replace(&self, line: &str, bytes: &[u8]) -> io::Result<()> {
        check_name("licence", line).map_err(io::Error::other)?;
        self.make()?;
        // What an earlier cut left has another line's name, or this one's, and is no licence either way.
        plain_file::remove_unfinished(&self.0)?;
        let path = self.0.join(format!("{line}{ENDING}"));
        if self.load()?.len() >= LIMIT && OpenOptions::new().read(true).open(&path).is_err() {
            return Err(io::Error::other(format!("there are {LIMIT} licences of other lines")));
        }
        plain_file::replace(&path, &self.0.join(format!("{line}.new")), bytes, 0o600)
    }
}

const ENDING: &str = ".licence";
