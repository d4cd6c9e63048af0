//! The manifest: what one package or one slot contains, for whom it is, and what it needs (design section 6).
//!
//! JSON with kebab-case keys, at most [`MAX_SIZE`] bytes, the same bytes for the same content. Everything a reader acts on or shows
//! is checked when it is parsed: names are safe as file names and on a console, numbers are exact in every JSON reader, the image's
//! sizes agree with its hash tree. A feature named under `required` that this version does not know refuses the manifest; fields
//! it does not know are ignored.
//!
//! Whether a manifest is believed is decided in [`crate::signature`], before it is parsed; nothing here is to be called on bytes
//! whose signature was not checked, except to show them.

mod check;
mod date;
mod licence;
mod shown;

use std::collections::BTreeMap;

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

pub(crate) use check::appliance_rule;
pub use check::{check_name, check_title};
pub use date::{Date, MAX_UNIX};
pub use licence::{LicenceInfo, MAX_FEATURES, MAX_GRACE, Validity};

use crate::health::{self, Check, Trial};
use crate::verity::{Layout, Parameters};
use crate::{Bytes, Digest, Error, Guid, Result, footer, json};

/// The format number this version writes and reads.
pub const FORMAT: u32 = 1;

/// Longest manifest in bytes; it has to fit a slot footer together with its signatures.
pub const MAX_SIZE: usize = 48 << 10;

/// The features this version knows; a manifest that requires another one is refused.
pub const KNOWN_FEATURES: [&str; 1] = [health::FEATURE];

/// Facts about one package. Fields that a check restricts say so; [`Manifest::encode`] and [`Manifest::parse`] check them all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// Always [`FORMAT`].
    pub format: u32,
    /// Names of features a reader must know to use this package; see [`KNOWN_FEATURES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// What the package is; decides which role must have signed it.
    pub kind: Kind,
    /// The product line (a [name](check_name)); an appliance takes only packages of its own product.
    pub product: String,
    /// Hardware models (names) it runs on; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hardware: Vec<String>,
    /// The package line (a name), for example `demo-base`.
    pub name: String,
    /// Version for people and for requirements.
    pub version: Version,
    /// Identifies one build; the initramfs of a base accepts only the slot with its own build id.
    pub build_id: Digest,
    /// Counts up with every release of a line (below 2^53); an appliance refuses to go below the highest one it committed.
    pub sequence: u64,
    /// What else must be installed.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
    /// What installing it does to the users of the appliance.
    pub effects: Effects,
    /// The slot image; base and site packages have one, licence packages do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageInfo>,
    /// The other members of the package file, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<String, Member>,
    /// Build time in seconds since 1970 (the recipe's source date epoch), before the year 10000.
    pub created: i64,
    /// Last day of support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_end: Option<Date>,
    /// What only a site package has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteInfo>,
    /// What only a licence package has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<LicenceInfo>,
    /// What must hold while this release runs; base and site only, and only with the feature [`health::FEATURE`] required.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<Check>,
    /// How long the release has for proving itself after an update; base and site only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// True for builds made with development keys; a release appliance refuses them.
    pub development: bool,
}

/// The kinds of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Kernel and operating system of a slot.
    Base,
    /// The application a base runs.
    Site,
    /// Claims without an image.
    Licence,
}

impl Kind {
    /// The kind that is written so; nothing when none is.
    pub(crate) fn named(word: &str) -> Option<Self> {
        [Self::Base, Self::Site, Self::Licence].into_iter().find(|kind| kind.to_string() == word)
    }
}

/// Version ranges of the other packages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Requires {
    /// Acceptable base versions, for example `>=3.3.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<VersionReq>,
    /// Acceptable site versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<VersionReq>,
}

/// What an installation does to users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Effects {
    /// The appliance restarts.
    pub reboot: bool,
    /// The application is away for a moment.
    pub site_downtime: bool,
    /// Client programs must be upgraded afterwards.
    pub client_upgrade: bool,
    /// Hours a fleet should wait between its first and its next appliance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak_hours: Option<u32>,
}

/// A slot image and its hash tree: everything device-mapper must be told, from a trusted place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageInfo {
    /// Filesystem, superblock and tree together.
    pub size: Bytes,
    /// Blocks of 4096 bytes of the filesystem.
    pub data_blocks: u64,
    /// First block of the tree.
    pub hash_start: u64,
    /// The root of the tree.
    pub root_hash: Digest,
    /// Salt of the tree, hexadecimal in JSON.
    #[serde(with = "salt")]
    pub salt: [u8; 32],
    /// UUID in the tree's superblock.
    pub hash_uuid: Guid,
}

/// Another file of the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Member {
    /// Length of the file.
    pub size: Bytes,
    /// SHA-256 of the file.
    pub digest: Digest,
}

/// What a site package says about the installation it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SiteInfo {
    /// Primary host name (a [name](check_name)) the site is bound to.
    pub hostname: String,
    /// Licences included; none: not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licences: Option<u32>,
    /// Last day of validity; none: never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Date>,
    /// Where users go: name to URL path, for example `console` to `/console`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub entry_points: BTreeMap<String, String>,
}

impl Manifest {
    /// The JSON bytes to be signed. `Invalid` when a field breaks its rule or the result is above [`MAX_SIZE`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        check::check(self).map_err(|problem| Error::invalid(WHAT, problem))?;
        json::encode_within(WHAT, self, MAX_SIZE)
    }

    /// Reads and checks a manifest. Its signature must have been verified over exactly these bytes before.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let value = json::parse(WHAT, bytes, MAX_SIZE)?;
        json::check_format(WHAT, &value, FORMAT)?;
        check_required(&value)?;
        let manifest: Self = json::decode(WHAT, value)?;
        check::check(&manifest).map_err(|problem| Error::corrupt(WHAT, problem))?;
        Ok(manifest)
    }

    /// The image, or an error for a licence package.
    pub fn image(&self) -> Result<&ImageInfo> {
        self.image.as_ref().ok_or_else(|| Error::invalid(WHAT, format!("a {} package has no image", self.kind)))
    }
}

/// Whether a release for the models `needed` runs on a machine that is one of `ours`, nobody knows which: it has to be for all of them.
/// One that names no model runs on any; one that does, not on a machine of which nothing is known.
pub fn runs_on(needed: &[String], ours: &[String]) -> bool {
    needed.is_empty() || (!ours.is_empty() && ours.iter().all(|model| needed.contains(model)))
}

/// Before the fields are read: a required feature may well change what they look like.
fn check_required(value: &serde_json::Value) -> Result<()> {
    let Some(required) = value.get("required") else { return Ok(()) };
    let names = required.as_array().ok_or_else(|| Error::corrupt(WHAT, "\"required\" is not a list"))?;
    for name in names {
        let name = name.as_str().ok_or_else(|| Error::corrupt(WHAT, "\"required\" is not a list of names"))?;
        if !KNOWN_FEATURES.contains(&name) {
            return Err(Error::unsupported(WHAT, format!("it requires the feature \"{}\"", json::shown(name))));
        }
    }
    Ok(())
}

impl ImageInfo {
    /// The description of an image with this tree. `Invalid` for an impossible number of blocks.
    pub fn new(params: &Parameters, root_hash: Digest) -> Result<Self> {
        let layout = Layout::new(params.data_blocks)?;
        Ok(Self {
            size: layout.size(),
            data_blocks: params.data_blocks,
            hash_start: layout.hash_start(),
            root_hash,
            salt: params.salt,
            hash_uuid: params.uuid,
        })
    }

    /// Parameters of the hash tree.
    pub const fn parameters(&self) -> Parameters {
        Parameters { data_blocks: self.data_blocks, salt: self.salt, uuid: self.hash_uuid }
    }

    /// Whether image and footer fit a slot partition of this size; if not, by how much.
    pub fn check_fits(&self, partition: Bytes) -> Result<()> {
        let room = footer::offset(partition)?;
        match self.size.0.checked_sub(room.0) {
            None | Some(0) => Ok(()),
            Some(over) => Err(Error::invalid(
                "slot",
                format!(
                    "an image of {} and its footer exceed the partition of {partition} by {}",
                    self.size,
                    Bytes(over)
                ),
            )),
        }
    }
}

impl Requires {
    /// True when nothing is required.
    pub const fn is_empty(&self) -> bool {
        self.base.is_none() && self.site.is_none()
    }
}

mod salt {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(salt: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(salt))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut salt = [0; 32];
        hex::decode_to_slice(text, &mut salt).map_err(|_| D::Error::custom("a salt is 64 hexadecimal digits"))?;
        Ok(salt)
    }
}

const WHAT: &str = "manifest";

#[cfg(test)]
#[path = "tests.rs"]
pub(crate) mod tests;
