//! What the builder put into the initramfs: which image this is and whom to trust.
//!
//! The initramfs is verified by GRUB and, under Secure Boot, by the firmware, so these files are trusted as they are.

use std::fs;

use appliance::{At, Doing, Error, Result};
use formats::trust::TrustStore;
use formats::{Digest, Guid};
use serde::Deserialize;

const BUILD: &str = "/etc/bulkhead/build.json";
const TRUST: &str = "/etc/bulkhead/trust.json";

/// `/etc/bulkhead/build.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::struct_field_names, reason = "\"build id\" is the word of the glossary")]
pub struct Build {
    /// Version of the record: 1.
    pub format: u32,
    /// The product this base belongs to.
    pub product: String,
    /// The version of the base.
    pub version: String,
    /// The build of the base; its footer must name the same.
    pub build_id: Digest,
    /// The disk GUID every image of this product carries.
    pub disk_guid: Guid,
    /// How long the system may stay silent before the watchdog resets it; 0 leaves watchdogs alone.
    #[serde(default)]
    pub watchdog_seconds: u32,
}

/// Both files.
pub fn load() -> Result<(Build, TrustStore)> {
    let build = parse(&fs::read(BUILD).doing(|| format!("read \"{BUILD}\""))?)?;
    let trust = fs::read(TRUST).doing(|| format!("read \"{TRUST}\""))?;
    Ok((build, TrustStore::parse(&trust).at(|| TRUST.into())?))
}

fn parse(bytes: &[u8]) -> Result<Build> {
    let build: Build =
        serde_json::from_slice(bytes).map_err(|cause| Error::Refused(format!("\"{BUILD}\" is damaged: {cause}")))?;
    if build.format != 1 {
        return Err(Error::Refused(format!("\"{BUILD}\" has format {}, this program reads 1", build.format)));
    }
    Ok(build)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: u32) -> String {
        format!(
            r#"{{"format":{format},"product":"demo","version":"1.0.0","build-id":"{}",
                "disk-guid":"c12a7328-f81f-11d2-ba4b-00a0c93ec93b","watchdog-seconds":60,"later":true}}"#,
            Digest::of(b"x")
        )
    }

    #[test]
    fn reads_the_builders_record_and_ignores_what_it_does_not_know() {
        let build = parse(text(1).as_bytes()).unwrap();
        assert_eq!((build.product.as_str(), build.watchdog_seconds), ("demo", 60));
    }

    #[test]
    fn refuses_another_format_and_damage() {
        assert!(parse(text(2).as_bytes()).unwrap_err().to_string().contains("format 2"));
        assert!(parse(b"{").is_err());
    }
}
