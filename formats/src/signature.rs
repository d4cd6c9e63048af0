//! Signatures over manifests: ed25519, a number of distinct keys per role.
//!
//! The signed message is `"bulkhead-manifest-v1\0" || SHA-256(manifest bytes)`: nothing else that these keys may sign one day can
//! be passed off as a manifest. OpenSSL checks it too:
//! `(printf 'bulkhead-manifest-v1\0'; openssl dgst -sha256 -binary manifest.json) >message`, then
//! `openssl pkeyutl -verify -pubin -inkey base.pub -rawin -in message -sigfile signature`.
//!
//! Known attacks and our defence: a manifest is parsed only after its signatures hold over its exact bytes; a key counts once
//! however often it signed; keys of another role, unknown keys and development keys on a release appliance count nothing, and the
//! refusal says so for each; signatures are checked with `verify_strict`, which leaves no second valid form of a signature; the
//! kind and the product inside the manifest must be those the keys are trusted for. Rollback is left to the caller (sequence).

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use serde::{Deserialize, Serialize};

use crate::error::{Damage, Distrust};
use crate::manifest::{self, Date, MAX_UNIX, Manifest};
use crate::trust::{Role, TrustStore, key_id};
use crate::{Digest, Error, Result, json};

/// Longest signature set in bytes.
pub const MAX_SIZE: usize = 12 << 10;

/// What ed25519 signs for a manifest with these bytes.
pub fn message(manifest: &[u8]) -> [u8; 53] {
    let mut message = [0; 53];
    let (domain, digest) = message.split_at_mut(DOMAIN.len());
    domain.copy_from_slice(DOMAIN);
    digest.copy_from_slice(&Digest::of(manifest).0);
    message
}

/// Signs a manifest with each key; the set is sorted by key id, so the order of `keys` does not matter. Refuses bytes that are not
/// a manifest, no keys, and more keys than a set holds.
pub fn sign(manifest: &[u8], keys: &[SigningKey]) -> Result<Vec<u8>> {
    Manifest::parse(manifest)?;
    let message = message(manifest);
    let signatures =
        keys.iter().map(|key| OneSignature { key_id: key_id(&key.verifying_key()), signature: key.sign(&message) });
    SignatureSet::new(signatures.collect())?.encode()
}

/// Checks that `manifest` is signed for `role` by enough keys of `trust`, then parses it.
///
/// `Untrusted` says for every signature why it did not count. The manifest's kind and product must match too.
pub fn verify(manifest: &[u8], signatures: &[u8], trust: &TrustStore, role: Role) -> Result<VerifiedManifest> {
    if manifest.len() > manifest::MAX_SIZE {
        let limit = manifest::MAX_SIZE;
        let problem = format!("{} bytes; at most {limit} are allowed", manifest.len());
        return Err(Error::damaged(WHAT, Damage::TooLong, problem));
    }
    let set = SignatureSet::parse(signatures)?;
    let signers = count(&message(manifest), &set, trust, role)?;
    let parsed = Manifest::parse(manifest)?;
    if Role::from(parsed.kind) != role {
        return Err(Error::untrusted(
            WHAT,
            Distrust::WrongRole,
            format!("it is for a {} package; {role} was expected", parsed.kind),
        ));
    }
    if parsed.product != trust.product() {
        let (theirs, ours) = (&parsed.product, trust.product());
        return Err(Error::untrusted(
            WHAT,
            Distrust::OtherProduct,
            format!("it is for product \"{theirs}\"; this is \"{ours}\""),
        ));
    }
    if parsed.development && !trust.development_allowed() {
        return Err(Error::untrusted(
            WHAT,
            Distrust::DevelopmentBuild,
            "it is a development build; only release builds are accepted here",
        ));
    }
    let needed = trust.threshold(role).unwrap_or(u32::MAX); // OK: without one nothing was counted
    Ok(VerifiedManifest { manifest: parsed, signers, needed, digest: Digest::of(manifest) })
}

/// A manifest whose signatures were checked. Only [`verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedManifest {
    manifest: Manifest,
    signers: Vec<Signer>,
    needed: u32,
    digest: Digest,
}

/// A key that counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Signer {
    /// SHA-256 of the raw public key.
    pub key_id: Digest,
    /// Its name in the trust store.
    pub name: String,
    /// True for a development key.
    pub development: bool,
    /// The last day on which its signature may be used to install something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Date>,
}

impl VerifiedManifest {
    /// The manifest.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The distinct keys that counted, by id; at least as many as the role's threshold.
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// Their names, for a sentence.
    pub fn signer_names(&self) -> String {
        self.signers.iter().map(|signer| signer.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Whether enough of the keys that signed are still valid at `now`, seconds since 1970. For whoever installs; what is installed
    /// keeps starting whatever day it is.
    pub fn check_current(&self, now: i64) -> Result<()> {
        let today = Date::of_unix(now.clamp(0, MAX_UNIX));
        let is_expired = |signer: &&Signer| signer.expires.is_some_and(|last| today.is_none_or(|today| today > last));
        let expired: Vec<&Signer> = self.signers.iter().filter(is_expired).collect();
        let valid = self.signers.len().saturating_sub(expired.len());
        if u32::try_from(valid).is_ok_and(|valid| valid >= self.needed) {
            return Ok(());
        }
        let today = today.map(|day| day.to_string()).unwrap_or_default();
        let mut problem = format!("{valid} of {} needed signature(s) by keys that are valid on {today}", self.needed);
        for signer in expired {
            let last = signer.expires.map(|day| day.to_string()).unwrap_or_default();
            let (id, name) = (signer.key_id.short(), &signer.name);
            problem.extend(["; key ", &id, " (\"", name, "\") was valid until ", &last]);
        }
        problem.push_str("; get a release signed with a current key, or set this machine's clock if that is not today");
        Err(Error::untrusted(WHAT, Distrust::ExpiredKey, problem))
    }

    /// SHA-256 of the exact manifest bytes.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// The distinct trusted keys that signed `message`, or why there are too few.
pub(crate) fn count(message: &[u8], set: &SignatureSet, trust: &TrustStore, role: Role) -> Result<Vec<Signer>> {
    let threshold = trust.threshold(role).ok_or_else(|| {
        let problem = format!("this appliance accepts nothing signed for role {role}");
        Error::untrusted(WHAT, Distrust::KindNotAccepted, problem)
    })?;
    let mut good = BTreeMap::new();
    let mut refused = Vec::new();
    for one in set.signatures() {
        match judge(message, one, trust, role) {
            Ok(signer) => {
                good.insert(one.key_id, signer);
            }
            Err(reason) => refused.push(reason),
        }
    }
    let enough = usize::try_from(threshold).is_ok_and(|threshold| threshold > 0 && good.len() >= threshold);
    if enough {
        return Ok(good.into_values().collect());
    }
    // Some keys counted: more of them are needed. None did: the likeliest mistake is the one to name.
    let likeliest = refused.iter().map(|(why, _)| *why).min().filter(|_| good.is_empty());
    let mut problem = format!("{} of {threshold} needed signature(s) for role {role}", good.len());
    for (_, reason) in refused {
        problem.push_str("; ");
        problem.push_str(&reason);
    }
    Err(Error::untrusted(WHAT, likeliest.unwrap_or(Distrust::ThresholdNotMet), problem))
}

/// The signer, or why this signature does not count.
fn judge(
    message: &[u8],
    one: &OneSignature,
    trust: &TrustStore,
    role: Role,
) -> std::result::Result<Signer, (Distrust, String)> {
    let id = one.key_id.short();
    let key = trust.key(&one.key_id).ok_or_else(|| (Distrust::WrongKey, format!("key {id} is unknown here")))?;
    let name = &key.name;
    if key.role != role {
        return Err((Distrust::WrongRole, format!("key {id} (\"{name}\") is for role {}", key.role)));
    }
    if key.development && !trust.development_allowed() {
        let problem = format!("key {id} (\"{name}\") is a development key, which is not accepted here");
        return Err((Distrust::DevelopmentKey, problem));
    }
    key.public
        .verify_strict(message, &one.signature)
        .map_err(|_| (Distrust::BadSignature, format!("key {id} (\"{name}\") did not sign these bytes")))?;
    Ok(Signer { key_id: one.key_id, name: name.clone(), development: key.development, expires: key.expires })
}

/// Signatures by several keys over one manifest. Kept apart from it, so that a second person can add theirs later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureSet(Vec<OneSignature>);

/// One signature and the id of the key said to have made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneSignature {
    /// SHA-256 of the raw public key.
    pub key_id: Digest,
    /// 64 bytes of ed25519.
    pub signature: Signature,
}

impl SignatureSet {
    /// A set of 1 to 16 signatures, sorted by key id.
    pub fn new(mut signatures: Vec<OneSignature>) -> Result<Self> {
        if !(1..=MAX_SIGNATURES).contains(&signatures.len()) {
            let number = signatures.len();
            return Err(Error::invalid(WHAT_SET, format!("{number} signatures; 1 to {MAX_SIGNATURES} are allowed")));
        }
        signatures.sort_by_key(|one| (one.key_id, one.signature.to_bytes()));
        signatures.dedup();
        Ok(Self(signatures))
    }

    /// Reads a set from JSON. Any malformed entry refuses the whole set.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let file: SetFile = json::document(WHAT_SET, bytes, MAX_SIZE, FORMAT)?;
        let entries = file.signatures.into_iter().map(|entry| {
            let signature = BASE64.decode(&entry.signature).ok().and_then(|raw| Signature::from_slice(&raw).ok());
            let bad = || {
                let id = entry.key_id.short();
                Error::corrupt(WHAT_SET, format!("the signature of key {id} is not 64 bytes in base64"))
            };
            Ok(OneSignature { key_id: entry.key_id, signature: signature.ok_or_else(bad)? })
        });
        Self::new(entries.collect::<Result<_>>()?).map_err(|error| Error::corrupt(WHAT_SET, error.to_string()))
    }

    /// The JSON of this set.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let entries =
            self.0.iter().map(|one| Entry { key_id: one.key_id, signature: BASE64.encode(one.signature.to_bytes()) });
        json::encode(WHAT_SET, &SetFile { format: FORMAT, signatures: entries.collect() })
    }

    /// This set with the signatures of another one over the same manifest.
    #[must_use = "the sets themselves do not change"]
    pub fn merged(self, other: Self) -> Result<Self> {
        Self::new(self.0.into_iter().chain(other.0).collect())
    }

    /// The signatures, sorted by key id.
    pub fn signatures(&self) -> &[OneSignature] {
        &self.0
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SetFile {
    format: u32,
    signatures: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    key_id: Digest,
    signature: String,
}

impl fmt::Display for SignatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|one| writeln!(f, "signature by key {}", one.key_id))
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let development = if self.development { " (development)" } else { "" };
        let until = self.expires.map(|day| format!(" (until {day})")).unwrap_or_default();
        write!(f, "key {} \"{}\"{development}{until}", self.key_id, self.name)
    }
}

const WHAT: &str = "manifest";
const WHAT_SET: &str = "signature set";
const FORMAT: u32 = 1;
const DOMAIN: &[u8; 21] = b"bulkhead-manifest-v1\0";
const MAX_SIGNATURES: usize = 16;

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
