//! Licence terms that come with a package: nothing is installed before someone accepted them, and nobody is asked twice for the same
//! text. What was accepted is known by its digest, which the signed manifest names; who accepted it and when is in the journal.

use formats::Digest;

use crate::error::{Error, Result};
use crate::journal::{Journal, Release};
use crate::source::PackageFile;

/// Lets a package pass whose terms were accepted before, are accepted now, or do not exist. Returns what was noted down, if anything.
pub fn pass(journal: &Journal<'_>, package: &PackageFile, agreed: bool) -> Result<Option<String>> {
    let Some(text) = package.eula() else { return Ok(None) };
    let digest = Digest::of(text.as_bytes());
    let release = Release::from(package.verified().manifest());
    if stands(journal, &release, digest, agreed)? { Ok(None) } else { accept(journal, release, digest).map(Some) }
}

/// Whether the terms with this digest were accepted before. An error when they were not, and nobody does so now.
pub fn stands(journal: &Journal<'_>, release: &Release, digest: Digest, agreed: bool) -> Result<bool> {
    let before = journal.history()?.accepted(digest);
    if before || agreed {
        return Ok(before);
    }
    Err(Error::TermsNotAccepted { release: release.to_string(), digest })
}

/// Notes down that they are accepted now; a sentence about it.
pub fn accept(journal: &Journal<'_>, release: Release, digest: Digest) -> Result<String> {
    let step = format!("licence terms of {release} accepted (SHA-256 {digest})");
    journal.accept(release, digest)?;
    Ok(step)
}
