//! The index: channels, rings and withdrawals.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{MAX_ENTRIES, PackageId};
use crate::manifest::{Date, MAX_UNIX, check_name};
use crate::{Error, Result, json};

/// The version of the index format.
pub const FORMAT: u32 = 1;
/// Longest index in bytes.
pub const MAX_SIZE: usize = 4 << 20;

/// What the operator of a depot says today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Index {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The product of every package here.
    pub product: String,
    /// When it was made, seconds since 1970. No appliance believes that it is earlier than this.
    pub created: i64,
    /// Rollout rings in the order in which they open; an appliance is in exactly one. Empty: no rings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rings: Vec<Ring>,
    /// What each channel offers, by the name of the channel.
    pub channels: BTreeMap<String, Vec<Listing>>,
}

/// A part of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ring {
    /// Its name.
    pub name: String,
    /// How many of 1000 appliances are in it. The shares of all rings add up to 1000.
    pub share: u16,
}

/// One package in one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listing {
    /// Which.
    pub package: PackageId,
    /// Since when, seconds since 1970. An appliance whose entitlement ended before does not get it.
    pub added: i64,
    /// When it opens for a ring, seconds since 1970, by the ring's name. A ring that is not named: at once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub opens: BTreeMap<String, i64>,
    /// Offered to appliances whose entitlement has ended as well: a security fix, for example.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub for_all: bool,
    /// It is not offered any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Withdrawal>,
}

/// Why a package is not offered any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Withdrawal {
    /// Since when.
    pub date: Date,
    /// For whoever wanted to install it, or has it.
    pub reason: String,
}

impl Index {
    /// An index without channels.
    pub fn new(product: &str, created: i64) -> Self {
        Self { format: FORMAT, product: product.into(), created, rings: Vec::new(), channels: BTreeMap::new() }
    }

    /// The JSON of this index. `Invalid` when it breaks a rule.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check().map_err(|problem| Error::invalid(WHAT, problem))?;
        json::encode_within(WHAT, self, MAX_SIZE)
    }

    /// Reads and checks an index.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let index: Self = json::document(WHAT, bytes, MAX_SIZE, FORMAT)?;
        index.check().map_err(|problem| Error::corrupt(WHAT, problem))?;
        Ok(index)
    }

    /// What a channel says about a package.
    pub fn listing(&self, channel: &str, package: &PackageId) -> Option<&Listing> {
        self.channels.get(channel)?.iter().find(|listing| listing.package == *package)
    }

    fn check(&self) -> std::result::Result<(), String> {
        check_name("product", &self.product).map_err(|error| error.to_string())?;
        time("created", self.created)?;
        self.check_rings()?;
        if self.channels.len() > MAX_CHANNELS {
            return Err(format!("{} channels; at most {MAX_CHANNELS} are allowed", self.channels.len()));
        }
        self.channels.iter().try_for_each(|(name, listings)| self.check_channel(name, listings))
    }

    fn check_rings(&self) -> std::result::Result<(), String> {
        let mut names = BTreeSet::new();
        for ring in &self.rings {
            check_name("ring", &ring.name).map_err(|error| error.to_string())?;
            if !names.insert(&ring.name) {
                return Err(format!("ring \"{}\" appears twice", ring.name));
            }
        }
        let sum: u32 = self.rings.iter().map(|ring| u32::from(ring.share)).fold(0, u32::saturating_add);
        if !self.rings.is_empty() && sum != 1000 {
            return Err(format!("the shares of the rings add up to {sum} of 1000"));
        }
        Ok(())
    }

    fn check_channel(&self, name: &str, listings: &[Listing]) -> std::result::Result<(), String> {
        check_name("channel", name).map_err(|error| error.to_string())?;
        if listings.len() > MAX_ENTRIES {
            return Err(format!("channel \"{name}\" lists {}; at most {MAX_ENTRIES} are allowed", listings.len()));
        }
        let mut seen = BTreeSet::new();
        for listing in listings {
            if !seen.insert(&listing.package) {
                return Err(format!("channel \"{name}\" lists {} twice", listing.package));
            }
            time("added", listing.added)?;
            for (ring, opens) in &listing.opens {
                time("opens", *opens)?;
                if !self.rings.iter().any(|one| one.name == *ring) {
                    return Err(format!(
                        "{} opens for ring \"{}\", which is not one",
                        listing.package,
                        json::shown(ring)
                    ));
                }
            }
            if let Some(withdrawn) = &listing.withdrawn {
                check_reason(&withdrawn.reason)?;
            }
        }
        Ok(())
    }
}

/// A reason is one line for people, in any language.
fn check_reason(reason: &str) -> std::result::Result<(), String> {
    let one_line = !reason.chars().any(char::is_control) && reason.trim() == reason;
    if one_line && (1..=MAX_REASON).contains(&reason.len()) {
        return Ok(());
    }
    Err(format!("the reason \"{}\" is not one line of 1 to {MAX_REASON} bytes", json::shown(reason)))
}

fn time(what: &str, seconds: i64) -> std::result::Result<(), String> {
    if (0..=MAX_UNIX).contains(&seconds) {
        return Ok(());
    }
    Err(format!("{what} {seconds} is not a second of the years 1970 to 9999"))
}

const WHAT: &str = "depot index";
const MAX_CHANNELS: usize = 64;
const MAX_REASON: usize = 400;
