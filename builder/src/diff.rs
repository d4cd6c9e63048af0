//! What an appliance with one package gets from another: the manifests' differences in words, components, and chunks it has already.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use formats::Bytes;
use formats::manifest::Manifest;
use formats::package::{Claims, IMAGE, archive_size};
use semver::VersionReq;
use serde_json::{Value, json};

use crate::package::PackageFile;
use crate::{Result, sbom};

/// The differences, in reading order. Signatures are not checked.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Facts of the manifest that differ: name, old, new.
    facts: Vec<(&'static str, String, String)>,
    /// Components that differ: name, old version, new version.
    components: Vec<(String, Option<String>, Option<String>)>,
    reuse: Option<Reuse>,
}

/// How much of the new image is in the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reuse {
    chunks: usize,
    known: usize,
    /// Everything in front of the image, and the frames of chunks not known.
    fetch: Bytes,
    /// The whole package.
    whole: Bytes,
}

/// Compares two packages of any versions.
pub fn diff(old: &PackageFile, new: &PackageFile) -> Result<Difference> {
    let (old, new) = (old.claims()?, new.claims()?);
    Ok(Difference {
        facts: facts(&old.manifest, &new.manifest),
        components: components(&old, &new),
        reuse: (!new.documents.index.chunks().is_empty()).then(|| reuse(&old, &new)),
    })
}

fn facts(old: &Manifest, new: &Manifest) -> Vec<(&'static str, String, String)> {
    let (old, new) = (described(old), described(new));
    let differing = old.into_iter().zip(new).filter(|((_, old), (_, new))| old != new);
    differing.map(|((name, old), (_, new))| (name, old, new)).collect()
}

fn list<T: ToString>(items: &[T]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.iter().map(T::to_string).collect::<Vec<_>>().join("; ") }
}

/// Every fact of a manifest that a person decides by, always in the same order.
fn described(manifest: &Manifest) -> Vec<(&'static str, String)> {
    let range = |range: &Option<VersionReq>| range.as_ref().map_or("any".to_owned(), VersionReq::to_string);
    let site = manifest.site.as_ref();
    let licence = manifest.licence.as_ref();
    let hostname = site.map(|site| &site.hostname).or_else(|| licence?.hostname.as_ref());
    let count = site.and_then(|site| site.licences).or_else(|| licence?.count);
    let expires = site.and_then(|site| site.expires).or_else(|| licence?.expires);
    let grace = licence.filter(|licence| licence.grace_days > 0);
    let none = || "none".to_owned();
    vec![
        ("kind", manifest.kind.to_string()),
        ("product", manifest.product.clone()),
        ("name", manifest.name.clone()),
        ("version", manifest.version.to_string()),
        ("sequence", manifest.sequence.to_string()),
        ("hardware", manifest.hardware.join(", ")),
        ("requires base", range(&manifest.requires.base)),
        ("requires site", range(&manifest.requires.site)),
        ("effects", manifest.effects.to_string()),
        ("build", if manifest.development { "development" } else { "release" }.to_owned()),
        ("build id", manifest.build_id.short()),
        ("support end", manifest.support_end.map_or_else(none, |day| day.to_string())),
        ("image size", manifest.image.as_ref().map_or_else(none, |image| image.size.to_string())),
        ("hostname", hostname.map_or_else(none, Clone::clone)),
        ("licences", count.map_or_else(none, |number| number.to_string())),
        ("features", list(licence.map_or(&[], |licence| licence.features.as_slice()))),
        ("expires", expires.map_or_else(none, |day| day.to_string())),
        ("days of grace", grace.map_or_else(none, |licence| licence.grace_days.to_string())),
        ("entitled until", licence.and_then(|licence| licence.entitled_until).map_or_else(none, |day| day.to_string())),
        ("health checks", list(&manifest.health)),
        ("trial", manifest.trial.unwrap_or_default().to_string()),
        ("licence terms", if manifest.members.contains_key(formats::package::EULA) { "yes" } else { "no" }.to_owned()),
    ]
}

fn components(old: &Claims, new: &Claims) -> Vec<(String, Option<String>, Option<String>)> {
    let list = |claims: &Claims| claims.documents.sbom.as_deref().map_or_else(BTreeMap::new, sbom::components);
    let (old, new) = (list(old), list(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differing = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    differing.map(|name| (name.clone(), old.get(name).cloned(), new.get(name).cloned())).collect()
}

fn reuse(old: &Claims, new: &Claims) -> Reuse {
    let have: BTreeSet<_> = old.documents.index.chunks().iter().map(|chunk| (chunk.digest, chunk.length)).collect();
    let chunks = new.documents.index.chunks();
    let missing = chunks.iter().filter(|chunk| !have.contains(&(chunk.digest, chunk.length)));
    let (mut count, mut frames) = (0, 0);
    for chunk in missing {
        count += 1;
        frames += u64::from(chunk.frame_length);
    }
    let signatures = new.signatures.encode().map_or(0, |bytes| bytes.len() as u64);
    let whole = archive_size(Bytes(new.manifest_bytes.len() as u64), Bytes(signatures), &new.manifest);
    let image = new.manifest.members.get(IMAGE).map_or(0, |member| member.size.0);
    let fetch = Bytes(whole.0.saturating_sub(image).saturating_add(frames));
    Reuse { chunks: chunks.len(), known: chunks.len() - count, fetch, whole }
}

impl Difference {
    /// The differences for machines.
    pub fn to_json(&self) -> Value {
        let fact = |(name, old, new): &(&str, String, String)| json!({"fact": name, "old": old, "new": new});
        let component =
            |(name, old, new): &(String, Option<String>, Option<String>)| json!({"name": name, "old": old, "new": new});
        let reuse = self.reuse.map(|reuse| {
            json!({"chunks": reuse.chunks, "known": reuse.known, "fetch-bytes": reuse.fetch, "package-bytes": reuse.whole})
        });
        json!({
            "format": 1,
            "facts": self.facts.iter().map(fact).collect::<Vec<_>>(),
            "components": self.components.iter().map(component).collect::<Vec<_>>(),
            "reuse": reuse,
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, old, new) in &self.facts {
            writeln!(f, "{name}: {old} -> {new}")?;
        }
        for (name, old, new) in &self.components {
            match (old, new) {
                (Some(old), Some(new)) => writeln!(f, "component {name}: {old} -> {new}")?,
                (None, Some(new)) => writeln!(f, "component {name}: {new} is new")?,
                (Some(old), None) => writeln!(f, "component {name}: {old} is gone")?,
                (None, None) => {}
            }
        }
        if self.facts.is_empty() && self.components.is_empty() {
            writeln!(f, "nothing that an operator decides by differs")?;
        }
        let Some(reuse) = self.reuse else { return Ok(()) };
        let Reuse { chunks, known, fetch, whole } = reuse;
        let percent = fetch.0.saturating_mul(100) / whole.0.max(1);
        writeln!(
            f,
            "{known} of {chunks} chunks are in the old image: {} of {} bytes ({percent} %) are to be fetched",
            fetch.0, whole.0
        )
    }
}
