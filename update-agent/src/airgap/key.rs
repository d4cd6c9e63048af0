//! Making a download key: everything a depot elsewhere has to know to plan for this appliance, signed with the appliance's own key.

use std::fs::File;
use std::io::Read as _;

use formats::Digest;
use formats::download_key::{DownloadKey, LIFETIME, Nonce};
use formats::manifest::Date;
use formats::plan::Inventory;
use serde::{Deserialize, Serialize};

use super::identity;
use crate::depot::Places;
use crate::depot::clock::Clock;
use crate::error::{At, Doing, Result};

/// A download key as clients get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Made {
    /// The text to carry to a depot.
    pub key: String,
    /// The appliance's name among all.
    pub appliance: String,
    /// The public half of its own key.
    pub public: Digest,
    /// The newest root it knows.
    pub root: u64,
    /// When it was made, seconds since 1970: by the clock, but never before something that was signed.
    pub made: i64,
    /// The last second it is good for, since 1970.
    pub expires: i64,
    /// What is to be said about it, a sentence each.
    pub notes: Vec<String>,
}

/// Makes one. Each is another one: its nonce is drawn anew.
pub fn make(places: &Places, inventory: Inventory, clock: Clock) -> Result<Made> {
    let (root, damage) = places.newest_root()?;
    let own = identity::own(&places.data)?;
    let mut nonce = Nonce::default();
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut nonce)).doing(|| "draw a nonce".into())?;
    let made = clock.now();
    let expires = made.saturating_add(LIFETIME);
    let appliance = inventory.appliance.clone();
    let key = DownloadKey { inventory, root, nonce, made, expires };
    let key = key.sign(&own).at(|| "this appliance".into()).map_err(|problem| problem.with(clock))?;
    let mut notes: Vec<String> = clock.doubt().into_iter().chain(damage).collect();
    notes.push(format!(
        "good until {} by the clock of this appliance; a depot answers it with a path bundle: \"bulkhead depot answer DEPOT KEY\", or \
         its web page",
        Date::shown(expires)
    ));
    Ok(Made { key, appliance, public: Digest(own.verifying_key().to_bytes()), root, made, expires, notes })
}
