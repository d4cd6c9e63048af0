//! Does what a slot holds belong to this start?

use appliance::{Error, Result};
use formats::manifest::Manifest;

use crate::config::Build;

/// Refuses a base other than the one this program belongs to: kernel and root file system are never mixed.
pub fn check_base(manifest: &Manifest, build: &Build) -> Result<()> {
    if manifest.build_id == build.build_id && manifest.product == build.product {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "kernel and slot do not belong together: this is {} {} (build {}), the slot holds {} {} (build {})",
        build.product,
        build.version,
        build.build_id.short(),
        manifest.product,
        manifest.version,
        manifest.build_id.short()
    )))
}
