//! A request for people: what would be different once it is signed. Everything here is computed from what is signed.

use std::collections::BTreeMap;
use std::fmt;

use ed25519_dalek::VerifyingKey;
use formats::Digest;
use formats::manifest::{Date, Manifest};
use serde_json::Value;

use super::{Content, Part, Request};
use crate::depot::is_signed_by;

/// A request in lines. `own`: the keys of whoever looks at it.
pub struct Shown<'a> {
    /// What is shown.
    pub request: &'a Request,
    /// Public keys of the reader.
    pub own: &'a [VerifyingKey],
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = Date::of_unix(self.request.made).map(|day| day.to_string()).unwrap_or_default();
        writeln!(
            f,
            "request for {}, made on {made}: {} to sign",
            plain(&self.request.product),
            self.request.parts.len()
        )?;
        for (number, part) in (1..).zip(&self.request.parts) {
            let message = part.message().unwrap_or_default();
            writeln!(f, "{number}. {}", heading(part))?;
            writeln!(f, "   SHA-256 {}", Digest::of(&message))?;
            match &part.content {
                Content::Metadata { document, before } => self.metadata(f, document, before.as_ref())?,
                Content::Package { .. } => package(f, part)?,
            }
            let own = self.own.iter().any(|key| part.wants(key));
            writeln!(f, "   {}", if own { "a key of yours is asked to sign it" } else { "no key of yours is asked" })?;
        }
        Ok(())
    }
}

impl Shown<'_> {
    fn metadata(&self, f: &mut fmt::Formatter<'_>, document: &Value, before: Option<&Value>) -> fmt::Result {
        let old = before.and_then(|file| file.get("signed"));
        match (old, before.is_some_and(|file| is_signed_by(file, self.own))) {
            (None, _) => writeln!(f, "   there is none before it")?,
            (Some(old), true) => writeln!(f, "   compared with version {}, which you signed:", version(old))?,
            (Some(old), false) => {
                writeln!(f, "   compared with version {}, which none of your keys signed:", version(old))?;
            }
        }
        let (old, new) = (facts(old.unwrap_or(&Value::Null)), facts(document));
        let mut same = true;
        for name in old.keys().chain(new.keys()).collect::<std::collections::BTreeSet<_>>() {
            match (old.get(name), new.get(name)) {
                (before, now) if before == now => continue,
                (None, Some(now)) => writeln!(f, "   + {name}: {now}")?,
                (Some(before), None) => writeln!(f, "   - {name}: {before}")?,
                (before, now) => {
                    writeln!(f, "   - {name}: {}", before.map_or("", String::as_str))?;
                    writeln!(f, "   + {name}: {}", now.map_or("", String::as_str))?;
                }
            }
            same = false;
        }
        if same { writeln!(f, "   nothing but the version and the last day") } else { Ok(()) }
    }
}

fn heading(part: &Part) -> String {
    match &part.content {
        Content::Metadata { document, .. } => {
            let (version, expires) = (&document["version"], document["expires"].as_str().unwrap_or_default());
            let kind = document["_type"].as_str().unwrap_or_default();
            let (role, version) = (plain(&part.role), plain(&version.to_string()));
            format!("{} metadata of role {role}, version {version}, good until {}", plain(kind), plain(expires))
        }
        Content::Package { .. } => format!("a {} package", plain(&part.role)),
    }
}

/// Everything a file of metadata says, in names and texts that can be compared; version and expiry are said elsewhere.
fn facts(document: &Value) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let none = Value::Null;
    let delegations = document.get("delegations").unwrap_or(&none);
    roles("role", document.get("roles"), document.get("keys"), &mut facts);
    let named: serde_json::Map<String, Value> = delegations
        .get("roles")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|role| (role["name"].as_str().unwrap_or_default().to_owned(), role.clone()))
        .collect();
    roles("delegated role", Some(&Value::Object(named)), delegations.get("keys"), &mut facts);
    for (name, target) in document.get("targets").and_then(Value::as_object).into_iter().flatten() {
        let length = plain(&target["length"].to_string());
        let text = format!("{length} bytes, SHA-256 {}{}", text(&target["hashes"]["sha256"]), custom(target));
        facts.insert(plain(name), text);
    }
    for (name, value) in document.as_object().into_iter().flatten() {
        if !SAID_ELSEWHERE.contains(&name.as_str()) {
            facts.insert(plain(name), plain(&value.to_string()));
        }
    }
    facts
}

fn roles(what: &str, roles: Option<&Value>, keys: Option<&Value>, facts: &mut BTreeMap<String, String>) {
    for (name, role) in roles.and_then(Value::as_object).into_iter().flatten() {
        let ids: Vec<&str> = role["keyids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let threshold = plain(&role["threshold"].to_string());
        facts.insert(format!("{what} {}", plain(name)), format!("{threshold} of {} key(s) must sign", ids.len()));
        let paths: Vec<&str> = role["paths"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !paths.is_empty() {
            facts.insert(format!("{what} {} paths", plain(name)), plain(&paths.join(" ")));
        }
        for id in ids {
            let key = keys.and_then(|keys| keys.get(id)).unwrap_or(&Value::Null);
            let about = key.get("bulkhead").map(|about| format!(" {}", plain(&about.to_string()))).unwrap_or_default();
            let public = text(&key["keyval"]["public"]);
            facts.insert(format!("{what} {} key {}", plain(name), plain(id)), format!("{public}{about}"));
        }
    }
}

/// What a depot says of a package beside its digest.
fn custom(target: &Value) -> String {
    let Some(entry) = target.get("custom") else { return String::new() };
    let field = |name: &str| entry.get(name).map(|value| format!(", {name} {}", plain(&value.to_string())));
    ["sequence", "requires", "effects", "development"].into_iter().filter_map(field).collect()
}

fn package(f: &mut fmt::Formatter<'_>, part: &Part) -> fmt::Result {
    let parsed = part.manifest().map_err(|error| error.to_string());
    let parsed = parsed.and_then(|bytes| {
        Manifest::parse(&bytes).map(|manifest| (Digest::of(&bytes), manifest)).map_err(|error| error.to_string())
    });
    match parsed {
        Ok((digest, manifest)) => {
            writeln!(
                f,
                "   {} {} {}, release number {}",
                manifest.kind, manifest.name, manifest.version, manifest.sequence
            )?;
            writeln!(f, "   product {}, build {}{}", manifest.product, manifest.build_id, development(&manifest))?;
            writeln!(f, "   manifest {digest}")?;
            for (name, member) in &manifest.members {
                writeln!(f, "   {name}: {}, SHA-256 {}", member.size, member.digest)?;
            }
            Ok(())
        }
        Err(problem) => writeln!(f, "   it cannot be read: {}", plain(&problem)),
    }
}

fn development(manifest: &Manifest) -> &'static str {
    if manifest.development { ", DEVELOPMENT BUILD" } else { "" }
}

fn version(document: &Value) -> String {
    plain(&document["version"].to_string())
}

fn text(value: &Value) -> String {
    plain(value.as_str().unwrap_or_default())
}

/// Without what could make a terminal show something else.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// Fields that the heading and other lines say.
const SAID_ELSEWHERE: [&str; 7] = ["version", "expires", "roles", "keys", "delegations", "targets", "_type"];
