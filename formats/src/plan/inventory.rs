//! What is installed on an appliance, as far as updates depend on it: what a planner on another machine has to be told.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::catalogue::Entry;
use crate::journal::Floor;
use crate::manifest::{Date, Kind, Manifest, Requires};
use crate::{Digest, Error, Result, json};

/// The version of the inventory format.
pub const FORMAT: u32 = 1;
/// Longest inventory in bytes.
pub const MAX_SIZE: usize = 64 << 10;

/// An appliance, seen by a planner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inventory {
    /// Always [`FORMAT`].
    pub format: u32,
    /// Its name among all: what its rings are drawn by.
    pub appliance: String,
    /// The product line.
    pub product: String,
    /// The models this may be; a release has to be for all of them. Empty: nothing is known.
    #[serde(default)]
    pub hardware: Vec<String>,
    /// The base that runs.
    pub base: Installed,
    /// The site that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Installed>,
    /// The highest sequence committed of each package line.
    #[serde(default)]
    pub floors: Vec<Floor>,
    /// The channel it follows.
    pub channel: String,
    /// The ring its operator chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<String>,
    /// The last day for which it is entitled to new packages; none: no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitled_until: Option<Date>,
    /// Ids of licences that are installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licences: Vec<Digest>,
}

/// One installed release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Installed {
    /// The package line.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Its build.
    pub build_id: Digest,
    /// Its number in the line.
    pub sequence: u64,
    /// What it needs beside it.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
    /// The host name a site is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Until when clients need time for fetching this step, seconds since 1970: no other site before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soaks_until: Option<i64>,
}

impl Installed {
    /// What an inventory says of a slot with this manifest.
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            build_id: manifest.build_id,
            sequence: manifest.sequence,
            requires: manifest.requires.clone(),
            hostname: manifest.site.as_ref().map(|site| site.hostname.clone()),
            soaks_until: None,
        }
    }

    /// What an inventory would say of a slot with this package.
    pub fn of_entry(entry: &Entry) -> Self {
        Self {
            name: entry.name.clone(),
            version: entry.version.clone(),
            build_id: entry.build_id,
            sequence: entry.sequence,
            requires: entry.requires.clone(),
            hostname: entry.site.as_ref().map(|site| site.hostname.clone()),
            soaks_until: None,
        }
    }
}

impl Inventory {
    /// Reads an inventory that was made elsewhere.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let inventory: Self = json::document(WHAT, bytes, MAX_SIZE, FORMAT)?;
        if inventory.appliance.is_empty() || inventory.appliance.len() > MAX_NAME {
            return Err(Error::corrupt(WHAT, format!("the name of the appliance is not 1 to {MAX_NAME} bytes long")));
        }
        Ok(inventory)
    }

    /// The JSON of this inventory.
    pub fn encode(&self) -> Result<Vec<u8>> {
        json::encode(WHAT, self)
    }

    /// The floor of a line.
    pub fn floor(&self, kind: Kind, name: &str) -> Option<u64> {
        Floor::of(&self.floors, kind, name)
    }
}

const WHAT: &str = "inventory";
const MAX_NAME: usize = 128;
