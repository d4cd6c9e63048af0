//! What a depot offers: facts about each package, and what its operator says about them today.
//!
//! An [`Entry`] is signed by the role of its package and never changes for one build; it is the `custom` part of the package's TUF
//! target. The [`Index`] is signed by the depot role and changes often: channels, rollout rings, withdrawals. Signatures, versions and
//! expiry of both are TUF's matter. What an appliance may have of it is decided by [`Catalogue::availability`], on the appliance.
//!
//! Known attacks and our defence, beside TUF's: every length and count is bounded before it costs memory; an entry that names another
//! target than its own is refused by [`Entry::check_target`], so that a depot cannot show one release and deliver another; two entries with
//! one id are refused; an index may list packages the depot does not have (they are not offered) but not one package twice in a channel.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::manifest::{Date, Effects, Kind, LicenceInfo, MAX_UNIX, Manifest, Requires, SiteInfo, check_name};
use crate::{Bytes, Digest, Error, Result, json};

mod availability;
mod index;

pub use availability::{Availability, Place, permille};
pub use index::{Index, Listing, MAX_SIZE as MAX_INDEX, Ring, Withdrawal};

/// Longest entry in bytes.
pub const MAX_ENTRY: usize = 8 << 10;
/// Most packages of a catalogue: the planner keeps two bytes for each pair of a base and a site.
pub const MAX_ENTRIES: usize = 4096;

/// Names one package of a depot: `base/demo-base-3.3.2`, the path of its target without `.pkg`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId {
    kind: Kind,
    name: String,
    version: Version,
}

/// What has to be known of a package before it is fetched. Built from its manifest, and as trustworthy as the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The product line.
    pub product: String,
    /// Hardware models it runs on; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hardware: Vec<String>,
    /// The package line.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Its build.
    pub build_id: Digest,
    /// Its number in the line.
    pub sequence: u64,
    /// What else must be installed.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
    /// What installing it does to users.
    pub effects: Effects,
    /// Length of the package file.
    pub size: Bytes,
    /// Length of the slot image; zero for a licence.
    #[serde(default)]
    pub image_size: Bytes,
    /// Build time, seconds since 1970.
    pub created: i64,
    /// Last day of support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_end: Option<Date>,
    /// What only a site has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteInfo>,
    /// What only a licence has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<LicenceInfo>,
    /// SHA-256 of the release notes.
    pub notes: Digest,
    /// SHA-256 of the licence terms to accept, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eula: Option<Digest>,
    /// A build with development keys.
    #[serde(default)]
    pub development: bool,
}

/// Everything a depot offers, each fact signed by whom it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    entries: BTreeMap<PackageId, Entry>,
    index: Index,
}

impl PackageId {
    /// The id of a package with these facts. `Invalid` when the name breaks the rule for names.
    pub fn new(kind: Kind, name: &str, version: Version) -> Result<Self> {
        check_name("package name", name)?;
        Ok(Self { kind, name: name.into(), version })
    }

    /// The kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The package line.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version.
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// The name of its target in the depot.
    pub fn target(&self) -> String {
        format!("{self}.pkg")
    }

    /// The name of the target with its release notes.
    pub fn notes_target(&self) -> String {
        format!("{self}.notes.md")
    }

    /// The name of the target with its licence terms.
    pub fn eula_target(&self) -> String {
        format!("{self}.eula.txt")
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}-{}", self.kind, self.name, self.version)
    }
}

impl FromStr for PackageId {
    type Err = Error;

    /// The name may have hyphens and digits itself: the version begins behind the first hyphen from which on the rest is a version.
    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::invalid("package id", format!("\"{}\" is not like \"base/NAME-1.2.3\"", json::shown(text)));
        if text.len() > MAX_ID {
            return Err(bad());
        }
        let (kind, rest) = text.split_once('/').ok_or_else(bad)?;
        let (name, version) = rest
            .match_indices('-')
            .find_map(|(at, _)| {
                let (name, version) = (rest.get(..at)?, rest.get(at.checked_add(1)?..)?);
                Some((name, version.parse::<Version>().ok()?))
            })
            .ok_or_else(bad)?;
        Self::new(Kind::named(kind).ok_or_else(bad)?, name, version).map_err(|_| bad())
    }
}

impl Serialize for PackageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PackageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Entry {
    /// The entry of a package file of `size` bytes with this manifest. `Invalid` for a manifest without notes: no builder makes one.
    pub fn of(manifest: &Manifest, size: Bytes) -> Result<Self> {
        let digest = |member: &str| manifest.members.get(member).map(|member| member.digest);
        let notes = digest("notes.md").ok_or_else(|| Error::invalid(ENTRY, "the package has no release notes"))?;
        let entry = Self {
            kind: manifest.kind,
            product: manifest.product.clone(),
            hardware: manifest.hardware.clone(),
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            build_id: manifest.build_id,
            sequence: manifest.sequence,
            requires: manifest.requires.clone(),
            effects: manifest.effects,
            size,
            image_size: manifest.image.as_ref().map_or(Bytes(0), |image| image.size),
            created: manifest.created,
            support_end: manifest.support_end,
            site: manifest.site.clone(),
            licence: manifest.licence.clone(),
            notes,
            eula: digest("eula.txt"),
            development: manifest.development,
        };
        entry.check()?;
        Ok(entry)
    }

    /// Reads an entry, with its rules checked.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let entry: Self = json::decode(ENTRY, json::parse(ENTRY, bytes, MAX_ENTRY)?)?;
        entry.check().map_err(|error| Error::corrupt(ENTRY, error.to_string()))?;
        Ok(entry)
    }

    /// What this entry says that differs from the package it stands for; nothing when package and entry agree.
    pub fn differs_from(&self, manifest: &Manifest, size: Bytes) -> bool {
        Self::of(manifest, size).as_ref() != Ok(self)
    }

    /// The id.
    pub fn id(&self) -> PackageId {
        PackageId { kind: self.kind, name: self.name.clone(), version: self.version.clone() }
    }

    /// The host name it is bound to, if it is bound to one.
    pub fn hostname(&self) -> Option<&str> {
        let site = self.site.as_ref().map(|site| site.hostname.as_str());
        site.or_else(|| self.licence.as_ref()?.hostname.as_deref())
    }

    /// Refuses an entry that stands at a target for another package.
    pub fn check_target(&self, target: &str) -> Result<()> {
        if self.id().target() == target {
            return Ok(());
        }
        let problem = format!("it describes {}, and stands at \"{}\"", self.id(), json::shown(target));
        Err(Error::corrupt(ENTRY, problem))
    }

    fn check(&self) -> Result<()> {
        check_name("product", &self.product)?;
        check_name("package name", &self.name)?;
        self.hardware.iter().try_for_each(|model| check_name("hardware", model))?;
        if let Some(site) = &self.site {
            check_name("hostname", &site.hostname)?;
        }
        if let Some(licence) = &self.licence {
            licence.check().map_err(|problem| Error::invalid(ENTRY, problem))?;
        }
        let long_version = self.version.to_string().len() > MAX_VERSION;
        let numbers = self.sequence < MAX_EXACT && (0..=MAX_UNIX).contains(&self.created);
        let sizes = self.size.0 < MAX_EXACT && self.image_size.0 < MAX_EXACT;
        if long_version || !numbers || !sizes || self.hardware.len() > MAX_MODELS {
            return Err(Error::invalid(
                ENTRY,
                format!("a number or text of {} is out of range", json::shown(&self.name)),
            ));
        }
        Ok(())
    }
}

impl Catalogue {
    /// A catalogue of these entries. Refuses more than [`MAX_ENTRIES`] and two for one id.
    pub fn new(entries: Vec<Entry>, index: Index) -> Result<Self> {
        if entries.len() > MAX_ENTRIES {
            let problem = format!("{} packages; at most {MAX_ENTRIES} are allowed", entries.len());
            return Err(Error::invalid(CATALOGUE, problem));
        }
        let mut by_id = BTreeMap::new();
        for entry in entries {
            if entry.product != index.product {
                let problem =
                    format!("{} is for product \"{}\", the depot for \"{}\"", entry.id(), entry.product, index.product);
                return Err(Error::invalid(CATALOGUE, problem));
            }
            if let Some(other) = by_id.insert(entry.id(), entry) {
                return Err(Error::invalid(CATALOGUE, format!("{} appears twice", other.id())));
            }
        }
        Ok(Self { entries: by_id, index })
    }

    /// Every package, by id.
    pub const fn entries(&self) -> &BTreeMap<PackageId, Entry> {
        &self.entries
    }

    /// What the depot's operator says about them.
    pub const fn index(&self) -> &Index {
        &self.index
    }
}

const ENTRY: &str = "catalogue entry";
const CATALOGUE: &str = "catalogue";
const MAX_ID: usize = 150;
const MAX_VERSION: usize = 64;
const MAX_MODELS: usize = 64;
/// Above this not every JSON reader keeps an integer exact.
const MAX_EXACT: u64 = 1 << 53;

#[cfg(test)]
pub(crate) mod tests;
