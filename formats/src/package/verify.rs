//! Who signed a package.

use super::check_members;
use crate::error::Distrust;
use crate::signature::{self, SignatureSet, VerifiedManifest};
use crate::trust::{Role, TrustStore};
use crate::{Error, Result};

/// Verifies a package's manifest for one of `roles`, and that it lists the members of its kind. The roles of the keys that signed are
/// tried first, then those that need signatures at all, so that the refusal told is the one that matters.
pub fn verify(manifest: &[u8], signatures: &[u8], trust: &TrustStore, roles: &[Role]) -> Result<VerifiedManifest> {
    let set = SignatureSet::parse(signatures)?;
    let known = || set.signatures().iter().filter_map(|one| trust.key(&one.key_id));
    if let Some(other) = known().next().filter(|_| !roles.is_empty() && !known().any(|key| roles.contains(&key.role))) {
        let problem = format!("key \"{}\" is for role {}; nothing signed so is accepted here", other.name, other.role);
        return Err(Error::untrusted("manifest", Distrust::KindNotAccepted, problem));
    }
    let signed =
        |role: &Role| set.signatures().iter().any(|one| trust.key(&one.key_id).is_some_and(|key| key.role == *role));
    let mut roles = roles.to_vec();
    roles.sort_by_key(|role| (!signed(role), trust.threshold(*role).is_none()));
    let mut refusal = None;
    for role in roles {
        match signature::verify(manifest, signatures, trust, role) {
            Ok(verified) => {
                check_members(verified.manifest())?;
                return Ok(verified);
            }
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    Err(refusal.unwrap_or_else(|| {
        Error::untrusted("manifest", Distrust::KindNotAccepted, "no kind of package is accepted here")
    }))
}
