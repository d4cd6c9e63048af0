//! One file of metadata on its way to be signed: header, keys of roles, envelope.
//!
//! Beside what TUF asks for, each file says for how many days it is made (`bulkhead: {lifetime-days}`, signed and ignored by clients), so
//! that whoever makes its next version need not know.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, VerifyingKey};
use formats::manifest::Date;
use formats::tuf;
use serde_json::{Map, Value, json};

use crate::ceremony::binding::FIELD;
use crate::keys::depot::PublicKey;
use crate::{Error, Result};

/// The keys of a role by their TUF ids, and how many must sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    /// How many.
    pub threshold: usize,
    /// The keys.
    pub keys: BTreeMap<String, VerifyingKey>,
}

/// What a file says, without its signatures.
#[derive(Debug, Clone, PartialEq)]
pub struct Document(Map<String, Value>);

impl Document {
    /// A new document, of version 0: [`Document::renew`] makes it the first.
    pub fn new(kind: &str, lifetime_days: u32, body: Value) -> Self {
        let mut fields = Map::new();
        fields.insert("_type".into(), kind.into());
        fields.insert("spec_version".into(), SPECIFICATION.into());
        fields.insert("version".into(), 0.into());
        fields.insert("expires".into(), "".into());
        fields.insert("bulkhead".into(), json!({"lifetime-days": lifetime_days}));
        if let Value::Object(body) = body {
            fields.extend(body);
        }
        Self(fields)
    }

    /// The document in a file that was verified before.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::Bug("verified metadata cannot be read again".into());
        let mut file: Value = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        match file.get_mut("signed").map(Value::take) {
            Some(Value::Object(fields)) => Ok(Self(fields)),
            _ => Err(damaged()),
        }
    }

    /// The document with these fields; nothing when they are no object.
    pub fn of(fields: &Value) -> Option<Self> {
        fields.as_object().cloned().map(Self)
    }

    /// Its fields.
    pub fn fields(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.0.get("version").and_then(Value::as_u64).unwrap_or(0)
    }

    /// For how many days it is made.
    pub fn lifetime_days(&self) -> u32 {
        let days = self.0.get("bulkhead").and_then(|own| own.get("lifetime-days")).and_then(Value::as_u64);
        days.and_then(|days| u32::try_from(days).ok()).unwrap_or(365)
    }

    /// Its last second, as written.
    pub fn expires(&self) -> &str {
        self.0.get("expires").and_then(Value::as_str).unwrap_or_default()
    }

    /// The next version, good for its lifetime from `now` on, seconds since 1970.
    pub fn renew(&mut self, now: i64) -> Result<()> {
        let last = now.saturating_add(i64::from(self.lifetime_days()) * 86_400);
        self.set("expires", time(last)?);
        // What the version before was signed together with.
        self.object("bulkhead").remove(FIELD);
        self.set("version", self.version() + 1);
        Ok(())
    }

    /// A field.
    pub fn get(&self, field: &str) -> &Value {
        self.0.get(field).unwrap_or(&Value::Null)
    }

    /// Sets a field.
    pub fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.0.insert(field.into(), value.into());
    }

    /// A field that is an object, to be changed; made when it is missing.
    pub fn object(&mut self, field: &str) -> &mut Map<String, Value> {
        let value = self.0.entry(field).or_insert_with(|| json!({}));
        if !value.is_object() {
            *value = json!({});
        }
        match value {
            Value::Object(map) => map,
            _ => unreachable!("made an object just now"),
        }
    }

    /// What is signed.
    pub fn message(&self) -> Result<Vec<u8>> {
        tuf::canonical(&Value::Object(self.0.clone())).map_err(Error::format("metadata"))
    }

    /// The file.
    pub fn file(&self, signatures: &BTreeMap<String, [u8; 64]>) -> Result<Vec<u8>> {
        let signatures: Vec<Value> =
            signatures.iter().map(|(id, raw)| json!({"keyid": id, "sig": hex::encode(raw)})).collect();
        let file = json!({"signed": self.0, "signatures": signatures});
        // Not the canonical form, which is not JSON any more when a text holds a control character.
        serde_json::to_vec(&file).map_err(|cause| Error::Bug(format!("cannot encode metadata: {cause}")))
    }
}

/// The keys of a role out of what root (`roles`, `keys`) or delegations say.
pub fn role_keys(role: &Value, keys: &Value) -> RoleKeys {
    let ids = role.get("keyids").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let found = ids.filter_map(|id| {
        let public = keys.get(id)?.get("keyval")?.get("public")?.as_str()?;
        let mut raw = [0; 32];
        hex::decode_to_slice(public, &mut raw).ok()?;
        Some((id.to_owned(), VerifyingKey::from_bytes(&raw).ok()?))
    });
    let threshold = role.get("threshold").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    RoleKeys { threshold: threshold.unwrap_or(usize::MAX), keys: found.collect() }
}

/// Whether one of the signatures of a file of metadata is by one of these keys.
pub(crate) fn is_signed_by(file: &Value, keys: &[VerifyingKey]) -> bool {
    let Some(message) = file.get("signed").and_then(|signed| tuf::canonical(signed).ok()) else { return false };
    let signatures = file.get("signatures").and_then(Value::as_array).into_iter().flatten();
    signatures.filter_map(|one| one.get("sig")?.as_str()).any(|text| {
        let mut raw = [0; 64];
        hex::decode_to_slice(text, &mut raw).is_ok()
            && keys.iter().any(|key| key.verify_strict(&message, &Signature::from_bytes(&raw)).is_ok())
    })
}

/// The ids of these keys and their descriptions by id.
pub fn described(keys: &[PublicKey]) -> Result<(Vec<String>, Map<String, Value>)> {
    let mut all = Map::new();
    for key in keys {
        let mut about = json!({"name": key.name, "development": key.development});
        if let (Some(last), Some(about)) = (key.expires, about.as_object_mut()) {
            about.insert("expires".into(), last.to_string().into());
        }
        let value = tuf::key_value(&key.public, Some(about));
        all.insert(tuf::key_id(&value).map_err(Error::format("a key"))?, value);
    }
    let ids: Vec<String> = all.keys().cloned().collect();
    if ids.len() == keys.len() { Ok((ids, all)) } else { Err(Error::input("one key is named twice for one role")) }
}

/// `2031-12-31T23:59:59Z`.
pub fn time(seconds: i64) -> Result<String> {
    let day = Date::of_unix(seconds).ok_or_else(|| Error::input("metadata would expire after the year 9999"))?;
    let rest = seconds.rem_euclid(86_400);
    Ok(format!("{day}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60))
}

const SPECIFICATION: &str = "1.0.31";

/// Seconds since 1970 of what [`time`] wrote.
pub fn second(text: &str) -> Option<i64> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let day: Date = day.parse().ok()?;
    let mut parts = time.split(':').map(|part| part.parse::<i64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some(day.unix() + hours * 3600 + minutes * 60 + seconds)
}
