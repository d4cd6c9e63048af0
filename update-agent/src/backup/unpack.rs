//! Reading a backup to its end: to try it, or beside what is in use.
//!
//! Nothing that is read counts before the end was: until then nobody knows whether it is whole. Files are made anew below a folder that was
//! empty, and are on the medium when [`unpack`] returns.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use formats::age::{self, Opened};
use formats::backup::{self, Contents, Folder, Reader, Sink};

use super::Key;
use super::trouble::{told, told_of_age};
use crate::error::{Doing, Result};
use crate::plain_file;

/// A backup whose table of contents was read.
pub struct Archive {
    name: String,
    reader: Reader<Opened<io::BufReader<File>>>,
}

impl Archive {
    /// Opens it. `name` is what errors call it.
    ///
    /// # Errors
    /// `WrongKey` for another passphrase or key, after one try of it, and before anything else is read.
    pub fn open(file: File, name: &str, key: &Key) -> Result<Self> {
        let opened = age::open(file, key.as_age()).map_err(|problem| told_of_age(problem, name))?;
        let reader = Reader::open(opened).map_err(|problem| told(problem, name))?;
        Ok(Self { name: name.into(), reader })
    }

    /// What it says about itself. That it is whole is not known yet.
    pub const fn contents(&self) -> &Contents {
        self.reader.contents()
    }

    /// Reads everything and keeps nothing.
    pub fn test(self) -> Result<Contents> {
        self.read(&mut Nowhere)
    }

    /// Unpacks the files and folders of these parts below `into`, an empty folder. All of the backup is read either way.
    pub fn unpack(self, into: &Path, parts: &BTreeSet<String>) -> Result<Contents> {
        let folders = self.contents().folders.clone();
        let mut to = Unpacking { into, parts, open: None, made: BTreeSet::from([into.to_path_buf()]) };
        let contents = self.read(&mut to)?;
        let doing = || format!("unpack into \"{}\"", into.display());
        for folder in folders.iter().filter(|folder| parts.contains(&folder.part)) {
            to.folder(&into.join(&folder.path)).doing(doing)?;
        }
        // Those below first: a folder may lose the right to be written to.
        folders
            .iter()
            .rev()
            .filter(|folder| parts.contains(&folder.part))
            .try_for_each(|folder| dress(into, folder))
            .doing(doing)?;
        to.made.iter().try_for_each(|folder| File::open(folder)?.sync_all()).doing(doing)?;
        Ok(contents)
    }

    fn read(self, sink: &mut dyn Sink) -> Result<Contents> {
        self.reader.files(sink).map_err(|problem| told(problem, &self.name))
    }
}

fn dress(into: &Path, folder: &Folder) -> io::Result<()> {
    let path = into.join(&folder.path);
    chown(&path, Some(folder.user), Some(folder.group))?;
    fs::set_permissions(&path, Permissions::from_mode(folder.mode))
}

struct Unpacking<'a> {
    into: &'a Path,
    parts: &'a BTreeSet<String>,
    /// The file at work; nothing for one that is passed over.
    open: Option<(File, backup::File)>,
    made: BTreeSet<PathBuf>,
}

impl Unpacking<'_> {
    /// Makes a folder and those above it, readable by nobody else: whose they are is said at the end.
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        let mut missing: Vec<&Path> = path.ancestors().take_while(|above| !self.made.contains(*above)).collect();
        missing.reverse();
        for folder in missing {
            DirBuilder::new().mode(0o700).create(folder)?;
            self.made.insert(folder.into());
        }
        Ok(())
    }
}

impl Sink for Unpacking<'_> {
    fn begin(&mut self, file: &backup::File) -> io::Result<()> {
        self.open = None;
        if !self.parts.contains(&file.part) {
            return Ok(());
        }
        let path = self.into.join(&file.path);
        self.folder(path.parent().unwrap_or(self.into))?;
        let made = plain_file::open(&path, OpenOptions::new().write(true).create_new(true).mode(0o600))?;
        self.open = Some((made, file.clone()));
        Ok(())
    }

    fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |(file, _)| file.write_all(bytes))
    }

    fn end(&mut self) -> io::Result<()> {
        let Some((file, said)) = self.open.take() else { return Ok(()) };
        std::os::unix::fs::fchown(&file, Some(said.user), Some(said.group))?;
        file.set_permissions(Permissions::from_mode(said.mode))?;
        let modified = UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(said.modified).unwrap_or(0)));
        file.set_times(FileTimes::new().set_modified(modified.unwrap_or(UNIX_EPOCH)))?;
        file.sync_all()
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn begin(&mut self, _: &backup::File) -> io::Result<()> {
        Ok(())
    }
    fn piece(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The SHA-256 of a file; nothing when there is none, or something else.
pub(super) fn digest(path: &Path) -> Option<formats::Digest> {
    let file = plain_file::open(path, OpenOptions::new().read(true)).ok()?;
    plain_file::digest(file).ok().map(|(_, digest)| digest)
}
