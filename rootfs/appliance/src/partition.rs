//! A partition with its device, as its finder knows it.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use crate::error::{Doing, Error, Result};

/// A partition whose place and size somebody has compared with the partition table.
#[derive(Debug, Clone)]
pub struct Partition {
    /// The label in the partition table.
    pub label: String,
    /// Its node: `/dev/vda4`.
    pub node: PathBuf,
    /// Its device number as the device mapper wants it: `254:4`.
    pub device: String,
    /// Size in bytes.
    pub bytes: u64,
}

impl Partition {
    /// The partition labelled `label` behind the block device `node`.
    pub fn behind(label: &str, node: &Path, bytes: u64) -> Result<Self> {
        let metadata = fs::metadata(node).doing(|| format!("look at {node:?}"))?;
        if !metadata.file_type().is_block_device() {
            return Err(Error::Refused(format!("{node:?} is no block device")));
        }
        let number = metadata.rdev();
        let device = format!("{}:{}", major(number), minor(number));
        Ok(Self { label: label.into(), node: node.into(), device, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_block_devices_hold_partitions() {
        let problem = Partition::behind("site-a", Path::new("/dev/null"), 4096).unwrap_err().to_string();
        assert_eq!(problem, "\"/dev/null\" is no block device");
    }
}
