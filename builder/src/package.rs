//! Package files on the build host: known by their content, not by their name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use formats::Bytes;
use formats::bundle::Span;
use formats::package::{self, Claims};

use crate::{Error, Result};

/// An opened package file.
#[derive(Debug)]
pub struct PackageFile {
    /// The open file.
    pub file: File,
    /// Its path, for messages.
    pub path: PathBuf,
    /// Its length.
    pub size: Bytes,
    /// Where it begins in the file.
    start: u64,
}

impl PackageFile {
    /// Opens `path` when it is a package; `None` for anything else, such as a disk image.
    pub fn detect(path: &Path) -> Result<Option<Self>> {
        // Not even opened: a pipe would make us wait for somebody who writes to it.
        if !std::fs::metadata(path).map_err(Error::io("open", path))?.is_file() {
            return Ok(None);
        }
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let size = Bytes(file.metadata().map_err(Error::io("read", path))?.len());
        let mut start = Vec::new();
        file.by_ref().take(HEADER).read_to_end(&mut start).map_err(Error::io("read", path))?;
        let found = package::is_package(&start);
        Ok(found.then(|| Self { file, path: path.to_owned(), size, start: 0 }))
    }

    /// Opens `path`, which must be a package.
    ///
    /// # Errors
    /// [`Error::Input`] when it is something else.
    pub fn open(path: &Path) -> Result<Self> {
        let not =
            || Error::input(format!("\"{}\" is not a package: it does not begin with its manifest", path.display()));
        Self::detect(path)?.ok_or_else(not)
    }

    /// The part of a larger file that is a package; `path` is for messages.
    pub(crate) fn within(file: File, path: &Path, span: Span) -> Self {
        Self { file, path: path.to_owned(), size: span.size, start: span.offset.0 }
    }

    /// What it says about itself, not verified.
    pub fn claims(&self) -> Result<Claims> {
        package::peek(self.reader()?).map_err(|error| self.refused(error))
    }

    /// The package from its first byte on.
    pub fn reader(&self) -> Result<BufReader<Take<&File>>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.start)).map_err(Error::io("read", &self.path))?;
        // What is behind the length it had when it was opened belongs to somebody else.
        Ok(BufReader::new(file.take(self.size.0)))
    }

    /// An error of the format's own reader, about this file.
    pub fn refused(&self, error: package::Error) -> Error {
        match error {
            package::Error::Io(cause) => Error::io("read", &self.path)(cause),
            package::Error::Format(cause) => Error::format(format!("package \"{}\"", self.path.display()))(cause),
        }
    }
}

/// Writes a package to the new file `to`; it appears whole or not at all.
///
/// # Errors
/// [`Error::Refused`] when `to` exists; [`Error::Format`] when the members are not those of the manifest.
pub fn write_new(
    to: &Path,
    manifest: &[u8],
    signatures: &[u8],
    members: &mut BTreeMap<&str, &mut dyn Read>,
) -> Result<()> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut scratch = tempfile::Builder::new()
        .prefix(".bulkhead-package-")
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(Error::io("create a file in", folder))?;
    package::write(&mut scratch, manifest, signatures, members).map_err(|error| match error {
        package::Error::Io(cause) => Error::io("write", to)(cause),
        package::Error::Format(cause) => Error::format(format!("package \"{}\"", to.display()))(cause),
    })?;
    scratch.as_file().sync_all().map_err(Error::io("sync", to))?;
    match scratch.persist_noclobber(to) {
        Ok(_) => File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", folder)),
        Err(problem) if problem.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Error::Refused(format!("\"{}\" exists; choose another name", to.display())))
        }
        Err(problem) => Err(Error::io("create", to)(problem.error)),
    }
}

/// The first header.
const HEADER: u64 = 512;
