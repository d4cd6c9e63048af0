//! What of a depot one appliance may have, and from when. Decided on the appliance, from signed facts.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Catalogue, Index, PackageId};
use crate::Digest;
use crate::manifest::{Date, Kind};

/// Where an appliance stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'a> {
    /// Its channel.
    pub channel: &'a str,
    /// Its name among all: decides its ring where nobody has.
    pub appliance: &'a str,
    /// The ring its operator chose.
    pub ring: Option<&'a str>,
    /// The last day for which it is entitled to new packages; none: no end.
    pub entitled_until: Option<Date>,
    /// The time, seconds since 1970.
    pub now: i64,
}

/// Whether a package may be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Availability {
    /// Yes.
    Available,
    /// Not yet.
    NotOpen {
        /// From when on, seconds since 1970.
        opens: i64,
        /// The ring the appliance is in.
        ring: String,
    },
    /// It came after the appliance's entitlement ended.
    NotEntitled {
        /// The last day.
        ended: Date,
    },
    /// It was taken back.
    Withdrawn {
        /// Since when.
        date: Date,
        /// Why.
        reason: String,
    },
}

impl Availability {
    /// True for [`Availability::Available`].
    pub const fn is_available(&self) -> bool {
        matches!(self, Self::Available)
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Available => f.write_str("available"),
            Self::NotOpen { opens, ring } => match Date::of_unix(*opens) {
                Some(day) => write!(f, "not available: opens on {day} for ring \"{ring}\""),
                None => write!(f, "not available: not open for ring \"{ring}\""),
            },
            Self::NotEntitled { ended } => write!(f, "not available: entitlement ended on {ended}"),
            Self::Withdrawn { date, reason } => write!(f, "not available: withdrawn on {date}: {reason}"),
        }
    }
}

/// Where an appliance stands among 1000 for one package: a number that is different for each package, so that not always the same
/// appliances come first. Everybody can compute it: the first 8 bytes of SHA-256 of `package`, a zero byte and `appliance`, big-endian,
/// modulo 1000.
pub fn permille(package: &PackageId, appliance: &str) -> u16 {
    let digest = Digest::of(format!("{package}\0{appliance}").as_bytes());
    let head = digest.0.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    u16::try_from(head % 1000).unwrap_or(0)
}

impl Catalogue {
    /// Whether the appliance may have this package; nothing when its channel does not list it.
    pub fn availability(&self, package: &PackageId, place: &Place<'_>) -> Option<Availability> {
        self.entries().get(package)?;
        let listing = self.index().listing(place.channel, package)?;
        if let Some(withdrawn) = &listing.withdrawn {
            let reason = withdrawn.reason.clone();
            return Some(Availability::Withdrawn { date: withdrawn.date, reason });
        }
        let added = Date::of_unix(listing.added);
        // A licence is how an entitlement is renewed, so it needs none.
        let needed = package.kind() != Kind::Licence && !listing.for_all;
        let bound = place.entitled_until.filter(|_| needed);
        if let Some(ended) = bound.filter(|end| added.is_none_or(|added| added > *end)) {
            return Some(Availability::NotEntitled { ended });
        }
        let ring = self.index().ring(package, place);
        let opens = ring.and_then(|ring| Some((ring, *listing.opens.get(ring)?)));
        Some(match opens.filter(|(_, opens)| *opens > place.now) {
            Some((ring, opens)) => Availability::NotOpen { opens, ring: ring.into() },
            None => Availability::Available,
        })
    }
}

impl Index {
    /// The ring of an appliance for a package: what its operator chose, where there is such a ring; else by chance, the same each time.
    pub fn ring(&self, package: &PackageId, place: &Place<'_>) -> Option<&str> {
        if let Some(chosen) = place.ring.and_then(|name| self.rings.iter().find(|ring| ring.name == name)) {
            return Some(&chosen.name);
        }
        let number = permille(package, place.appliance);
        let mut below = 0_u16;
        let found = self.rings.iter().find(|ring| {
            below = below.saturating_add(ring.share);
            number < below
        });
        found.or(self.rings.last()).map(|ring| ring.name.as_str())
    }
}
