//! A depot for people and for programs.

use std::fmt::{self, Write as _};

use formats::catalogue::Listing;
use formats::manifest::Date;
use serde_json::{Value, json};

use super::state::{ONLINE, PACKAGES, State, TOP};
use crate::Result;

/// What a depot says, in lines.
pub struct Shown<'a>(pub &'a State);

/// The same as JSON.
pub fn facts(state: &State) -> Result<Value> {
    let mut roles = serde_json::Map::new();
    for role in roles_of(state) {
        let (document, keys) = (state.draft.document(role)?, state.draft.keys(role)?);
        let ids: Vec<&String> = keys.keys.keys().collect();
        let (version, expires) = (document.version(), document.expires());
        let facts = json!({"version": version, "expires": expires, "threshold": keys.threshold, "keys": ids});
        roles.insert(role.to_owned(), facts);
    }
    let packages: Vec<Value> = state.entries()?.iter().map(|entry| json!(entry)).collect();
    Ok(json!({"format": 1, "index": state.index(), "roles": roles, "packages": packages}))
}

fn roles_of(state: &State) -> impl Iterator<Item = &'static str> {
    let all = TOP.into_iter().chain(PACKAGES).chain([ONLINE]);
    all.filter(|role| state.draft.documents.contains_key(*role))
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0;
        writeln!(f, "depot of {}", state.index().product)?;
        for role in roles_of(state) {
            let (Ok(document), Ok(keys)) = (state.draft.document(role), state.draft.keys(role)) else { continue };
            let day = document.expires().get(..10).unwrap_or_default();
            let ids: Vec<&str> = keys.keys.keys().map(|id| id.get(..12).unwrap_or(id)).collect();
            let (version, threshold, of) = (document.version(), keys.threshold, ids.len());
            writeln!(f, "  {role:<10} {version:>4}  until {day}  {threshold} of {of}: {}", ids.join(" "))?;
        }
        let rings: Vec<String> =
            state.index().rings.iter().map(|ring| format!("{} {} of 1000", ring.name, ring.share)).collect();
        if !rings.is_empty() {
            writeln!(f, "rings: {}", rings.join(", "))?;
        }
        if let Ok(policy) = state.policy() {
            let required: Vec<String> = policy.required.iter().map(ToString::to_string).collect();
            if !required.is_empty() {
                writeln!(f, "needs results of at most {} day(s): {}", policy.days, required.join(", "))?;
            }
        }
        for (name, listings) in &state.index().channels {
            writeln!(f, "channel {name}")?;
            for listing in listings {
                writeln!(f, "  {}", line(listing))?;
            }
        }
        Ok(())
    }
}

fn line(listing: &Listing) -> String {
    let day = |seconds: i64| Date::of_unix(seconds).map(|day| day.to_string()).unwrap_or_default();
    let mut text = format!("{} since {}", listing.package, day(listing.added));
    for (ring, opens) in &listing.opens {
        let time = super::document::time(*opens).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ok = write!(text, ", {ring} from {time}");
    }
    if let Some(withdrawn) = &listing.withdrawn {
        let _ok = write!(text, ", withdrawn on {}: {}", withdrawn.date, withdrawn.reason);
    }
    text
}
