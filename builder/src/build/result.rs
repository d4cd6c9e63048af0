//! What a build made, for people and for machines.

use std::fmt;
use std::path::{Path, PathBuf};

use formats::manifest::Kind;
use formats::{Bytes, Digest};
use serde_json::{Value, json};

use crate::{Error, Result};

/// The results of a build.
#[derive(Debug, Clone, Default)]
pub struct Built {
    /// The slots in the image.
    pub slots: Vec<BuiltSlot>,
    /// The image files and their sizes.
    pub images: Vec<(PathBuf, Bytes)>,
    /// The package files and their sizes.
    pub packages: Vec<(PathBuf, Bytes)>,
    /// How many signatures each package still needs before an appliance takes it.
    pub missing_signatures: u32,
}

/// One finished slot.
#[derive(Debug, Clone)]
pub struct BuiltSlot {
    /// Base or site.
    pub kind: Kind,
    /// Name of its package.
    pub name: String,
    /// Version of its package.
    pub version: semver::Version,
    /// Partition it was written to.
    pub partition: &'static str,
    /// File system, superblock and hash tree.
    pub used: Bytes,
    /// The partition.
    pub capacity: Bytes,
    /// Root of the hash tree.
    pub root_hash: Digest,
    /// Digest of everything that went into it.
    pub build_id: Digest,
}

impl Built {
    /// Notes a finished image file.
    pub(super) fn add_image(&mut self, path: &Path) -> Result<()> {
        self.images.push(measured(path)?);
        Ok(())
    }

    /// Notes a finished package file.
    pub(super) fn add_package(&mut self, path: &Path) -> Result<()> {
        self.packages.push(measured(path)?);
        Ok(())
    }

    /// The result for machines.
    pub fn to_json(&self) -> Value {
        let slot = |slot: &BuiltSlot| {
            json!({
                "kind": slot.kind, "name": slot.name, "version": slot.version, "partition": slot.partition,
                "used": slot.used, "capacity": slot.capacity, "root-hash": slot.root_hash, "build-id": slot.build_id,
            })
        };
        let file = |(path, size): &(PathBuf, Bytes)| json!({"path": path, "size": size});
        json!({
            "format": 1,
            "images": self.images.iter().map(file).collect::<Vec<_>>(),
            "packages": self.packages.iter().map(file).collect::<Vec<_>>(),
            "missing-signatures": self.missing_signatures,
            "slots": self.slots.iter().map(slot).collect::<Vec<_>>(),
        })
    }
}

fn measured(path: &Path) -> Result<(PathBuf, Bytes)> {
    let size = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    Ok((path.to_owned(), Bytes(size)))
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for slot in &self.slots {
            let percent = slot.used.0 * 100 / slot.capacity.0.max(1);
            writeln!(
                f,
                "{} {} {} in {}: {} MiB of {}, {percent} % full, root hash {}",
                slot.kind,
                slot.name,
                slot.version,
                slot.partition,
                slot.used.0.div_ceil(Bytes::MIB.0),
                slot.capacity,
                slot.root_hash.short()
            )?;
        }
        for (path, size) in self.images.iter().chain(&self.packages) {
            writeln!(f, "{}  {size}", path.display())?;
        }
        if self.missing_signatures > 0 {
            let missing = self.missing_signatures;
            writeln!(f, "each package needs {missing} more signature(s): bulkhead sign PACKAGE --keys DIR -o SIGNED")?;
        }
        Ok(())
    }
}
