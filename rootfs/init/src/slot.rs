//! Does what a slot holds belong to this start? And what the boot report says of it.

use appliance::{Error, Result};
use formats::boot_report::Content;
use formats::manifest::Manifest;
use formats::signature::VerifiedManifest;

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

/// What is mounted, for the boot report.
pub fn content(verified: &VerifiedManifest) -> Content {
    let manifest = verified.manifest();
    Content {
        name: manifest.name.clone(),
        version: manifest.version.to_string(),
        build_id: manifest.build_id,
        sequence: manifest.sequence,
        verified: true,
        signers: verified.signers().iter().map(|signer| signer.name.clone()).collect(),
    }
}
