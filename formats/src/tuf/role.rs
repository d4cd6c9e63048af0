//! Keys, thresholds, and the envelope every file of metadata is signed in.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Map, Value, json};

use super::{Refusal, Why, canonical};
use crate::json::{self, shown};
use crate::manifest::Date;
use crate::{Digest, Error};

/// The keys of one role, and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    threshold: usize,
    keys: BTreeMap<String, VerifyingKey>,
}

/// One signed file, its signatures not checked yet. Every field but `signed` and `signatures` is unknown until they are.
pub(super) struct Envelope {
    file: String,
    canonical: Vec<u8>,
    signed: Map<String, Value>,
    signatures: Vec<(String, String)>,
}

/// What every file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u64,
    /// Seconds since 1970.
    pub(super) expires: i64,
}

/// The TUF description of an ed25519 key. What an appliance must know beyond it stands in the field `bulkhead`.
pub fn key_value(public: &VerifyingKey, about: Option<Value>) -> Value {
    let mut key =
        json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": hex::encode(public.as_bytes())}});
    if let (Some(about), Some(fields)) = (about, key.as_object_mut()) {
        fields.insert("bulkhead".into(), about);
    }
    key
}

/// The id of a key with this description: SHA-256 of its canonical form, hexadecimal.
pub fn key_id(value: &Value) -> crate::Result<String> {
    Ok(hex::encode(Digest::of(&canonical(value)?).0))
}

impl Envelope {
    /// Takes a file apart without believing it.
    pub(super) fn open(file: &str, bytes: &[u8], limit: usize) -> Result<Self, Refusal> {
        if bytes.len() > limit {
            return Err(Refusal::new(
                file,
                Why::TooLong,
                format!("{} bytes; at most {limit} are allowed", bytes.len()),
            ));
        }
        let malformed = |problem: String| Refusal::new(file, Why::Malformed, problem);
        let value = json::parse("metadata", bytes, limit).map_err(|error| malformed(error.to_string()))?;
        let Value::Object(mut parts) = value else { return Err(malformed("it is not an object".into())) };
        let (Some(signed), Some(Value::Array(list))) = (parts.remove("signed"), parts.remove("signatures")) else {
            return Err(malformed("it has no \"signed\" or no list of \"signatures\"".into()));
        };
        if list.len() > MAX_KEYS {
            return Err(malformed(format!("{} signatures; at most {MAX_KEYS} are allowed", list.len())));
        }
        let text = |one: &Value, field: &str| one.get(field).and_then(Value::as_str).map(str::to_owned);
        let signatures = list.iter().map(|one| text(one, "keyid").zip(text(one, "sig"))).collect::<Option<_>>();
        let signatures = signatures.ok_or_else(|| malformed("a signature has no \"keyid\" or no \"sig\"".into()))?;
        let canonical = canonical(&signed).map_err(|error| malformed(error.to_string()))?;
        let Value::Object(signed) = signed else { return Err(malformed("\"signed\" is not an object".into())) };
        Ok(Self { file: file.into(), canonical, signed, signatures })
    }

    /// The signed fields, once enough of `keys` signed them, and the file is of the type it must be.
    pub(super) fn verified(&self, keys: &Keys, kind: &str) -> Result<(&Map<String, Value>, Header), Refusal> {
        keys.check(self)?;
        Ok((&self.signed, self.header(kind)?))
    }

    /// The signed fields, for whoever has another reason to believe the bytes: they were believed before, or came with the image.
    pub(super) fn believed(&self, kind: &str) -> Result<(&Map<String, Value>, Header), Refusal> {
        Ok((&self.signed, self.header(kind)?))
    }

    fn header(&self, kind: &str) -> Result<Header, Refusal> {
        let malformed = |problem: String| Refusal::new(&self.file, Why::Malformed, problem);
        let field = |name: &str| self.signed.get(name).and_then(Value::as_str).unwrap_or_default();
        if field("_type") != kind {
            return Err(malformed(format!("it is of type \"{}\"; {kind} was expected", shown(field("_type")))));
        }
        if !field("spec_version").starts_with("1.") {
            return Err(malformed(format!(
                "specification version \"{}\"; 1 is understood",
                shown(field("spec_version"))
            )));
        }
        let version = self.signed.get("version").and_then(Value::as_u64).filter(|version| *version > 0);
        let version = version.ok_or_else(|| malformed("it has no version above zero".into()))?;
        let expires = second(field("expires")).ok_or_else(|| {
            malformed(format!("\"{}\" is not a time such as 2031-12-31T00:00:00Z", shown(field("expires"))))
        })?;
        Ok(Header { version, expires })
    }
}

impl Keys {
    /// The keys of a role with these `keyids` out of `keys`, the map of a root or of delegations.
    pub(super) fn parse(role: &Value, keys: &Map<String, Value>) -> crate::Result<Self> {
        let bad = |problem: String| Error::corrupt("role", problem);
        let ids = role.get("keyids").and_then(Value::as_array).ok_or_else(|| bad("it has no key ids".into()))?;
        if ids.len() > MAX_KEYS {
            return Err(bad(format!("{} keys; at most {MAX_KEYS} are allowed", ids.len())));
        }
        let mut found = BTreeMap::new();
        for id in ids {
            let id = id.as_str().ok_or_else(|| bad("a key id is not text".into()))?;
            let value = keys.get(id).ok_or_else(|| bad(format!("key \"{}\" is not described", shown(id))))?;
            if found.insert(id.to_owned(), public(value)?).is_some() {
                return Err(bad(format!("key \"{}\" is named twice", shown(id))));
            }
        }
        let threshold =
            role.get("threshold").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        if threshold == 0 || threshold > distinct(found.values()) {
            return Err(bad(format!("threshold {threshold} of {} keys", found.len())));
        }
        Ok(Self { threshold, keys: found })
    }

    /// How many must sign.
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// The keys, by their TUF ids.
    pub const fn keys(&self) -> &BTreeMap<String, VerifyingKey> {
        &self.keys
    }

    /// Whether enough distinct keys signed. A key that is listed under two ids counts once.
    fn check(&self, envelope: &Envelope) -> Result<(), Refusal> {
        let signed = envelope.signatures.iter().filter_map(|(id, signature)| {
            let key = self.keys.get(id)?;
            let mut raw = [0; 64];
            hex::decode_to_slice(signature, &mut raw).ok()?;
            key.verify_strict(&envelope.canonical, &Signature::from_bytes(&raw)).ok()?;
            Some(key)
        });
        let count = distinct(signed);
        if count >= self.threshold {
            return Ok(());
        }
        let problem = format!("{count} of {} needed signatures by the keys of its role", self.threshold);
        Err(Refusal::new(&envelope.file, Why::Signatures, problem))
    }
}

fn distinct<'a>(keys: impl Iterator<Item = &'a VerifyingKey>) -> usize {
    keys.map(VerifyingKey::as_bytes).collect::<BTreeSet<_>>().len()
}

fn public(value: &Value) -> crate::Result<VerifyingKey> {
    let bad = |problem: &str| Error::corrupt("key", problem);
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    if (text("keytype"), text("scheme")) != (Some("ed25519"), Some("ed25519")) {
        return Err(Error::unsupported("key", "only ed25519 is understood"));
    }
    let public = value.get("keyval").and_then(|keyval| keyval.get("public")).and_then(Value::as_str);
    let mut raw = [0; 32];
    hex::decode_to_slice(public.unwrap_or_default(), &mut raw).map_err(|_| bad("it is not 64 hexadecimal digits"))?;
    let key = VerifyingKey::from_bytes(&raw).map_err(|_| bad("it is not an ed25519 key"))?;
    if key.is_weak() {
        return Err(bad("it is weak: anyone can sign for it"));
    }
    Ok(key)
}

/// Seconds since 1970 of `2031-12-31T23:59:59Z`.
fn second(text: &str) -> Option<i64> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let day: Date = day.parse().ok()?;
    let parts: Vec<i64> = time.split(':').map(two_digits).collect::<Option<_>>()?;
    let &[hours @ 0..=23, minutes @ 0..=59, seconds @ 0..=59] = parts.as_slice() else { return None };
    let seconds = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)?;
    day.unix().checked_add(seconds)
}

fn two_digits(text: &str) -> Option<i64> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Most keys of a role, and signatures of a file.
const MAX_KEYS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_second_and_nothing_else_is() {
        assert_eq!(second("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(second("2024-02-29T12:34:56Z"), Some(1_709_210_096));
        for text in [
            "",
            "2024-02-29",
            "2024-02-29T12:34:56",
            "2024-02-30T12:34:56Z",
            "2024-02-29T24:00:00Z",
            "2024-02-29T1:00:00Z",
            "2024-02-29T+1:00:00Z",
            "2024-02-29T12:34:56.5Z",
            "2024-02-29T12:34:56+00:00Z",
        ] {
            assert_eq!(second(text), None, "{text}");
        }
    }
}
