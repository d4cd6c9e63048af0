//! The tar headers of a bundle: those of packages, with a pax header before a member whose name does not fit one.
//!
//! A header that differs from the one written here in a single bit is refused, so two readers cannot disagree about an archive.

use crate::error::Damage;
use crate::package::ustar;
use crate::{Bytes, Error, Result};

pub use crate::package::ustar::{TRAILER, padding};

use super::{METADATA, TARGETS, WHAT};

/// What stands before the content of a member. `Invalid` for a name no bundle may have, and for more than eight GiB.
pub fn header(name: &str, size: Bytes) -> Result<Vec<u8>> {
    check_member_name(name).map_err(|problem| Error::invalid(WHAT, problem))?;
    let mut bytes = Vec::new();
    if name.len() > ustar::MAX_NAME {
        let record = record(name);
        let length = Bytes(u64::try_from(record.len()).unwrap_or(u64::MAX)); // OK: names have at most 255 bytes
        bytes.extend(ustar::encode_as(PAX, PAX_NAME, length)?);
        bytes.extend_from_slice(&record);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.extend(ustar::encode(shortened(name), size)?);
    Ok(bytes)
}

/// Headers, content and padding of a member of this name; saturates.
pub fn stored(name: &str, size: Bytes) -> Bytes {
    let more = if name.len() > ustar::MAX_NAME { 2 * ustar::BLOCK } else { 0 };
    Bytes(ustar::stored(size).0.saturating_add(more))
}

/// What follows a block that may be a pax header: the length of its record.
pub(super) fn pax_length(block: &ustar::Block) -> Option<Bytes> {
    ustar::parse_as(PAX, PAX_NAME, block)
}

/// The name in the block of a pax record, which has to be one that needs it.
pub(super) fn pax_name(block: &ustar::Block, length: Bytes) -> Result<String> {
    let bad = || Error::corrupt(WHAT, "a pax header says something else than one long name");
    let content = usize::try_from(length.0).ok().and_then(|length| block.get(..length)).ok_or_else(bad)?;
    let text = std::str::from_utf8(content).map_err(|_| bad())?;
    let name = text.split_once(" path=").and_then(|(_, name)| name.strip_suffix('\n')).ok_or_else(bad)?;
    if name.len() <= ustar::MAX_NAME || record(name) != content {
        return Err(bad());
    }
    if block.iter().skip(content.len()).any(|byte| *byte != 0) {
        return Err(Error::damaged(WHAT, Damage::TrailingData, "something is hidden behind a pax header"));
    }
    Ok(name.to_owned())
}

/// The name in the header of a member whose full name stands in a pax header.
pub(super) fn shortened(name: &str) -> &str {
    name.get(..ustar::MAX_NAME).unwrap_or(name) // OK: names are ASCII
}

/// Whether a bundle may have a member of this name.
pub(super) fn check_member_name(name: &str) -> std::result::Result<(), String> {
    let shown = || crate::json::shown(name);
    let part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-+_".contains(&byte);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain)
    };
    let rest = name.strip_prefix(METADATA).filter(|rest| !rest.contains('/') && rest.strip_suffix(".json").is_some());
    let rest = rest.or_else(|| name.strip_prefix(TARGETS));
    let good = name == super::LABEL || rest.is_some_and(|rest| rest.split('/').all(part));
    if good && name.len() <= MAX_NAME {
        return Ok(());
    }
    Err(format!("\"{}\" is not the name of a member", shown()))
}

/// `LENGTH path=NAME`, where the length counts all of it.
fn record(name: &str) -> Vec<u8> {
    let rest = format!(" path={name}\n");
    // Its own digits count, and may make it one digit longer.
    let with = |digits: usize| rest.len().saturating_add(digits);
    let digits = (1..=4).find(|digits| with(*digits).to_string().len() == *digits).unwrap_or(4);
    format!("{}{rest}", with(digits)).into_bytes()
}

const PAX: u8 = b'x';
const PAX_NAME: &str = "PaxHeader";
const BLOCK: usize = 512;
/// Longest name, so that a record fits one block.
pub(super) const MAX_NAME: usize = 255;
