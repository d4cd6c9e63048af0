//! How a depot's files get to disk: few operations, so that a test can end the program, or the power, after each of them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::{Error, Result};

/// Operations on files, in the order in which they are to be durable.
pub trait Storage {
    /// Makes a folder and those above it.
    fn make_folder(&mut self, path: &Path) -> Result<()>;
    /// Writes a file that nobody reads yet; when this returns its content is durable.
    fn write(&mut self, path: &Path, content: &mut dyn Read) -> Result<()>;
    /// Gives a written file its name, in place of what had it before. Durable after [`Storage::sync_folder`].
    fn rename(&mut self, from: &Path, to: &Path) -> Result<()>;
    /// Takes a file away. Durable after [`Storage::sync_folder`].
    fn remove(&mut self, path: &Path) -> Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&mut self, path: &Path) -> Result<()>;
}

/// The file system.
#[derive(Debug, Default)]
pub struct RealStorage;

impl Storage for RealStorage {
    fn make_folder(&mut self, path: &Path) -> Result<()> {
        fs::create_dir_all(path).map_err(Error::io("create", path))
    }

    fn write(&mut self, path: &Path, content: &mut dyn Read) -> Result<()> {
        let mut file = File::create(path).map_err(Error::io("create", path))?;
        io::copy(content, &mut file).and_then(|_| file.sync_all()).map_err(Error::io("write", path))
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(Error::io("create", to))
    }

    fn remove(&mut self, path: &Path) -> Result<()> {
        fs::remove_file(path).map_err(Error::io("remove", path))
    }

    fn sync_folder(&mut self, path: &Path) -> Result<()> {
        File::open(path).and_then(|folder| folder.sync_all()).map_err(Error::io("flush", path))
    }
}
