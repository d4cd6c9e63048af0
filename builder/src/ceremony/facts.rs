//! What metadata and an index say, as names and texts that can be compared: complete, one line each, and safe on a terminal.

use std::collections::BTreeMap;

use formats::Digest;
use formats::catalogue::{Index, Listing};
use serde_json::Value;

use super::binding;
use crate::depot::time;

/// Texts by the name of what they are about.
pub(super) type Facts = BTreeMap<String, String>;

/// Everything a file of metadata says; version and expiry are said elsewhere.
pub(super) fn of_metadata(document: &Value) -> Facts {
    let mut facts = Facts::new();
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
        of_target(&plain(name), target, &mut facts);
    }
    for (name, value) in document.as_object().into_iter().flatten() {
        let mut value = value.clone();
        if let Some(own) = value.as_object_mut().filter(|_| name == "bulkhead") {
            own.remove(binding::FIELD);
        }
        if !SAID_ELSEWHERE.contains(&name.as_str()) {
            facts.insert(plain(name), json(&value));
        }
    }
    facts
}

/// A file, and each thing that is said of it in a line of its own.
fn of_target(name: &str, target: &Value, facts: &mut Facts) {
    let digest = target["hashes"]["sha256"].as_str().unwrap_or_default();
    facts.insert(name.to_owned(), format!("{} bytes, SHA-256 {}", json(&target["length"]), plain(digest)));
    for (field, value) in target.as_object().into_iter().flatten() {
        match (field.as_str(), value) {
            ("length", _) => {}
            ("hashes", Value::Object(hashes)) if hashes.len() == 1 && hashes.contains_key("sha256") => {}
            ("custom", Value::Object(about)) => {
                facts.extend(about.iter().map(|(field, value)| (format!("{name} {}", plain(field)), json(value))));
            }
            _ => drop(facts.insert(format!("{name} {}", plain(field)), json(value))),
        }
    }
}

fn roles(what: &str, roles: Option<&Value>, keys: Option<&Value>, facts: &mut Facts) {
    for (name, role) in roles.and_then(Value::as_object).into_iter().flatten() {
        let name = format!("{what} {}", plain(name));
        let ids: Vec<&str> = role["keyids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        facts.insert(name.clone(), format!("{} of {} key(s) must sign", json(&role["threshold"]), ids.len()));
        for (field, value) in role.as_object().into_iter().flatten() {
            match (field.as_str(), value) {
                ("keyids" | "threshold" | "name", _) => {}
                ("paths", Value::Array(paths)) => {
                    let paths: Vec<&str> = paths.iter().filter_map(Value::as_str).collect();
                    facts.insert(format!("{name} paths"), plain(&paths.join(" ")));
                }
                _ => drop(facts.insert(format!("{name} {}", plain(field)), json(value))),
            }
        }
        for id in ids {
            let key = keys.and_then(|keys| keys.get(id)).unwrap_or(&Value::Null);
            let about = key.get("bulkhead").map(|about| format!(" {}", json(about))).unwrap_or_default();
            let public = plain(key["keyval"]["public"].as_str().unwrap_or_default());
            facts.insert(format!("{name} key {}", plain(id)), format!("{public}{about}"));
        }
    }
}

/// Everything an index says.
pub(super) fn of_index(index: &Index) -> Facts {
    let mut facts = Facts::from([("product".to_owned(), plain(&index.product))]);
    // No appliance believes that it is earlier than this.
    facts.insert("made".into(), moment(index.created));
    for (place, ring) in (1..).zip(&index.rings) {
        let text = format!("{} of 1000 appliances; number {place} to open", ring.share);
        facts.insert(format!("ring {}", plain(&ring.name)), text);
    }
    for (channel, listings) in &index.channels {
        let channel = format!("channel {}", plain(channel));
        facts.insert(channel.clone(), "is there".into());
        for listing in listings {
            facts.insert(format!("{channel}: {}", plain(&listing.package.to_string())), of_listing(listing));
        }
    }
    facts
}

fn of_listing(listing: &Listing) -> String {
    let mut parts = vec![format!("listed since {}", moment(listing.added))];
    parts.extend(listing.opens.iter().map(|(ring, opens)| format!("ring {} opens {}", plain(ring), moment(*opens))));
    let entitled = if listing.for_all { "also" } else { "not" };
    parts.push(format!("{entitled} for appliances whose entitlement ended before"));
    let withdrawal = listing.withdrawn.iter();
    parts.extend(withdrawal.map(|one| format!("WITHDRAWN on {}: {}", one.date, plain(&one.reason))));
    parts.join("; ")
}

/// A moment to the second.
fn moment(seconds: i64) -> String {
    time(seconds).unwrap_or_else(|_| format!("second {seconds}"))
}

/// A value as it is signed.
pub(super) fn json(value: &Value) -> String {
    plain(&value.to_string())
}

/// One line in which nothing makes a terminal show something else, and no two texts look the same: letters and digits of left-to-right scripts
/// stay, everything else that is not ASCII is written as its number. What is longer than [`LONGEST`] is cut, and its digest says which it was.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(LONGEST) {
        match c {
            '\\' => shown.push_str("\\\\"),
            ' '..='~' => shown.push(c),
            c if c.is_alphanumeric() && !is_right_to_left(c) => shown.push(c),
            c => shown.extend(c.escape_unicode()),
        }
    }
    if text.chars().nth(LONGEST).is_none() {
        return shown;
    }
    format!("{shown} ... cut here; all of it has {} bytes, SHA-256 {}", text.len(), Digest::of(text.as_bytes()))
}

/// Scripts that would turn the order of a line around.
const fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Most characters of one text: more than everything that may be said about one package.
const LONGEST: usize = 10_000;
/// Fields that the heading and other lines say.
const SAID_ELSEWHERE: [&str; 7] = ["version", "expires", "roles", "keys", "delegations", "targets", "_type"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides_and_no_two_texts_look_the_same() {
        assert_eq!(plain("Lösung 1\u{202e}\u{1b}[2J\n\\u{a}"), "Lösung 1\\u{202e}\\u{1b}[2J\\u{a}\\\\u{a}");
        assert_eq!(plain("\u{5d0}"), "\\u{5d0}");
        let (one, other) = ("a".repeat(20_000), format!("{}b", "a".repeat(19_999)));
        assert!(plain(&one).len() < 11_000 && plain(&one) != plain(&other));
    }
}
