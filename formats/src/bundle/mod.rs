//! The path bundle: one file, made by a depot for one appliance, that carries a way from what is installed to what is wanted to a place
//! without a network.
//!
//! A plain tar archive, ending `.path`: first [`LABEL`]; then files of the depot's metadata as they are, `metadata/NAME`; then files of its
//! targets under the names they have in the depot, `targets/ROLE/DIGEST.NAME`: index, release notes, licence terms, packages.
//! Unpacked it is a depot again, with fewer packages. Names above 99 bytes stand in a pax header, as tar programs write it.
//!
//! Nothing is believed because it is in a bundle: metadata is verified by [`crate::tuf`], every target by the digest that metadata
//! signs for, packages by their own signatures as well, and the way is planned anew. [`Label`] is for people, and to find out
//! before anything is copied that a bundle is for another appliance.

mod header;
mod read;

use std::io;

use serde::{Deserialize, Serialize};

pub use header::{TRAILER, header, padding, stored};
pub use read::{Bundle, Span};

use crate::catalogue::PackageId;
use crate::manifest::{MAX_UNIX, appliance_rule, check_name};
use crate::package::ustar;
use crate::{Error as FormatError, json};

/// The first member.
pub const LABEL: &str = "bundle.json";
/// What stands before the names of metadata.
pub const METADATA: &str = "metadata/";
/// What stands before the paths of targets.
pub const TARGETS: &str = "targets/";
/// The ending of a bundle's name. Bundles are known by their content.
pub const EXTENSION: &str = "path";
/// The version of the label.
pub const FORMAT: u32 = 1;
/// Longest label in bytes.
pub const MAX_LABEL: usize = 64 << 10;
/// All metadata of a bundle together, in bytes.
pub const MAX_METADATA: u64 = 48 << 20;
/// Most members.
pub const MAX_MEMBERS: usize = 2048;
/// Most steps of a way.
pub const MAX_ORDER: usize = 256;

/// What a bundle says of itself. Not signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Label {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The product line.
    pub product: String,
    /// The appliance whose download key was answered.
    pub appliance: String,
    /// The packages, in the order in which the depot's planner would install them.
    pub order: Vec<PackageId>,
    /// When it was made, seconds since 1970.
    pub created: i64,
}

/// Why a bundle cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read at all; trying again may help.
    #[error("cannot read the path bundle")]
    Io(#[source] io::Error),
    /// It was read, and is damaged or too new; trying again does not help.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// Result of reading a bundle.
pub type Result<T> = std::result::Result<T, Error>;

impl Label {
    /// The JSON of this label. `Invalid` when it breaks a rule.
    pub fn encode(&self) -> crate::Result<Vec<u8>> {
        self.check().map_err(|problem| FormatError::invalid(WHAT, problem))?;
        json::encode_within(WHAT, self, MAX_LABEL)
    }

    /// Reads and checks a label.
    pub fn parse(bytes: &[u8]) -> crate::Result<Self> {
        let label: Self = json::document(WHAT, bytes, MAX_LABEL, FORMAT)?;
        label.check().map_err(|problem| FormatError::corrupt(WHAT, problem))?;
        Ok(label)
    }

    fn check(&self) -> std::result::Result<(), String> {
        check_name("product", &self.product).map_err(|error| error.to_string())?;
        appliance_rule(&self.appliance)?;
        if self.order.len() > MAX_ORDER {
            return Err(format!("{} steps; at most {MAX_ORDER} are allowed", self.order.len()));
        }
        if !(0..=MAX_UNIX).contains(&self.created) {
            return Err(format!("it was made at second {}, which is not between 1970 and 9999", self.created));
        }
        Ok(())
    }
}

/// True for the first 512 bytes of a file that is a bundle, whatever its name.
pub fn is_bundle(start: &[u8]) -> bool {
    start.first_chunk().is_some_and(|block| ustar::parse(block).is_ok_and(|(name, _)| name == LABEL))
}

const WHAT: &str = "path bundle";

#[cfg(test)]
mod tests;
