//! Licence terms that come with a package: nothing is installed before someone accepted them, and nobody is asked twice for the same
//! text. What was accepted is known by its digest, which the signed manifest names; who accepted it and when is in the journal.

use formats::Digest;

use crate::error::{Error, Result};
use crate::journal::{Journal, Release};
use crate::source::PackageFile;

/// Lets a package pass whose terms were accepted before, are accepted now, or do not exist. Returns what was noted down, if anything.
pub fn pass(journal: &Journal<'_>, package: &PackageFile, accept: bool) -> Result<Option<String>> {
    let Some(text) = package.eula() else { return Ok(None) };
    let digest = Digest::of(text.as_bytes());
    if journal.history()?.accepted(digest) {
        return Ok(None);
    }
    let release = Release::from(package.verified().manifest());
    if !accept {
        return Err(Error::TermsNotAccepted { release: release.to_string(), digest });
    }
    let step = format!("licence terms of {release} accepted (SHA-256 {digest})");
    journal.accept(release, digest)?;
    Ok(Some(step))
}
