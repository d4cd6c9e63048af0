//! A request for people: what would be different once it is signed. Everything here is computed from what is signed.

use std::collections::BTreeSet;
use std::fmt;

use ed25519_dalek::VerifyingKey;
use formats::Digest;
use formats::manifest::{Date, Manifest};
use serde_json::Value;

use super::facts::{Facts, of_index, of_metadata, plain};
use super::{Change, Content, Part, Request};
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
        if let (Some(change), Ok(digest)) = (&self.request.change, self.request.digest()) {
            writeln!(f, "each signature is for all that follows, SHA-256 {digest}")?;
            online(f, change)?;
        }
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
        if differences(f, &of_metadata(old.unwrap_or(&Value::Null)), &of_metadata(document))? {
            return Ok(());
        }
        writeln!(f, "   nothing but the version and the last day")
    }
}

/// What is signed on the machine that publishes, with keys that need nobody.
fn online(f: &mut fmt::Formatter<'_>, change: &Change) -> fmt::Result {
    if change.lost {
        writeln!(
            f,
            "the old keys of a role are lost: clients that come while this is published are refused, and come back"
        )?;
    }
    for (role, document) in &change.new {
        writeln!(f, "metadata of role {}, signed where the depot is published:", plain(role))?;
        differences(f, &Facts::new(), &of_metadata(document))?;
    }
    let Some(index) = &change.index else { return writeln!(f, "channels, rings and withdrawals stay as they are") };
    let digest = |index: &formats::catalogue::Index| match index.encode() {
        Ok(bytes) => format!("SHA-256 {}", Digest::of(&bytes)),
        Err(problem) => plain(&problem.to_string()),
    };
    writeln!(f, "index, signed where the depot is published, {}", digest(index))?;
    let before = match &change.index_before {
        None => Facts::new(),
        Some(before) => {
            writeln!(f, "   compared with what is published, {}:", digest(before))?;
            of_index(before)
        }
    };
    differences(f, &before, &of_index(index)).map(drop)
}

/// Prints what differs; whether something does.
fn differences(f: &mut fmt::Formatter<'_>, old: &Facts, new: &Facts) -> Result<bool, fmt::Error> {
    let mut found = false;
    for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let (before, now) = (old.get(name), new.get(name));
        if before == now {
            continue;
        }
        if let Some(before) = before {
            writeln!(f, "   - {name}: {before}")?;
        }
        if let Some(now) = now {
            writeln!(f, "   + {name}: {now}")?;
        }
        found = true;
    }
    Ok(found)
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
