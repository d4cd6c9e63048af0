//! Path bundles on the build host or a workstation: known by their content, not by their name.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use formats::Bytes;
use formats::bundle::{self, Bundle, Span};

use crate::package::PackageFile;
use crate::{Error, Result};

/// An opened bundle, read once. None of it is verified.
#[derive(Debug)]
pub struct BundleFile {
    file: File,
    /// Its path, for messages.
    pub path: PathBuf,
    /// What is in it, and where.
    pub bundle: Bundle,
}

impl BundleFile {
    /// Opens `path` when it is a bundle; `None` for anything else.
    ///
    /// # Errors
    /// [`Error::Format`] for a bundle that cannot be read as one.
    pub fn detect(path: &Path) -> Result<Option<Self>> {
        if !std::fs::metadata(path).map_err(Error::io("open", path))?.is_file() {
            return Ok(None);
        }
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let mut start = Vec::new();
        file.by_ref().take(HEADER).read_to_end(&mut start).map_err(Error::io("read", path))?;
        if !bundle::is_bundle(&start) {
            return Ok(None);
        }
        let bundle = Bundle::read(&file).map_err(|error| match error {
            bundle::Error::Io(cause) => Error::io("read", path)(cause),
            bundle::Error::Format(cause) => Error::format(format!("\"{}\"", path.display()))(cause),
        })?;
        Ok(Some(Self { file, path: path.to_owned(), bundle }))
    }

    /// A target as a package file.
    pub fn package(&self, span: Span) -> Result<PackageFile> {
        let file = self.file.try_clone().map_err(Error::io("open", &self.path))?;
        Ok(PackageFile::within(file, &self.path, span))
    }

    /// Length of the whole file.
    pub const fn size(&self) -> Bytes {
        self.bundle.size
    }
}

/// The first header.
const HEADER: u64 = 512;
