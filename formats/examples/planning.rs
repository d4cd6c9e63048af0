//! How long planning takes over a catalogue of 1,000 packages: 500 bases and 500 sites, each site for a few neighbouring bases, so that
//! the way from the oldest to the newest is long. `scripts/bench plan` runs it; it prints one line of Markdown table for each job.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement, not a part of the product")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use formats::catalogue::{Availability, Catalogue, Entry, Index, Listing};
use formats::manifest::Kind;
use formats::plan::{Candidate, FORMAT, Installed, Inventory, Options, Target, list, plan};
use serde_json::json;

const EACH: u32 = 500;
/// A site runs on its base, the one before and so many after it.
const REACH: u32 = 10;

fn entry(kind: Kind, number: u32) -> Entry {
    let digest = format!("{:064x}", u64::from(number) << 8 | u64::from(kind == Kind::Site));
    let mut facts = json!({
        "kind": kind, "product": "demo", "name": format!("demo-{kind}"), "version": format!("{number}.0.0"), "build-id": digest,
        "sequence": number, "effects": {"reboot": kind == Kind::Base, "site-downtime": true, "client-upgrade": false}, "size": 100_000_000,
        "image-size": 300_000_000, "created": 1_760_000_000, "notes": digest
    });
    if kind == Kind::Site {
        let (from, to) = (number.saturating_sub(1), number.saturating_add(REACH));
        facts["requires"] = json!({"base": format!(">={from}, <={to}")});
        facts["site"] = json!({"hostname": "demo.example", "entry-points": {}});
    }
    Entry::parse(facts.to_string().as_bytes()).unwrap()
}

/// The fastest of five runs, and what it gave.
fn fastest<T>(mut job: impl FnMut() -> T) -> (Duration, T) {
    let mut best = None;
    for _ in 0..5 {
        let started = Instant::now();
        let result = job();
        let time = started.elapsed();
        if best.as_ref().is_none_or(|(best, _)| time < *best) {
            best = Some((time, result));
        }
    }
    best.unwrap()
}

fn main() {
    let entries: Vec<Entry> =
        (1..=EACH).flat_map(|number| [entry(Kind::Base, number), entry(Kind::Site, number)]).collect();
    let inventory = Inventory {
        format: FORMAT,
        appliance: "one".into(),
        product: "demo".into(),
        hardware: Vec::new(),
        base: Installed::of_entry(&entries[0]),
        site: Some(Installed::of_entry(&entries[1])),
        floors: Vec::new(),
        channel: "stable".into(),
        ring: None,
        entitled_until: None,
        licences: Vec::new(),
    };
    let candidates: Vec<Candidate<'_>> =
        entries.iter().map(|entry| Candidate { entry, availability: Availability::Available }).collect();
    let row = |job: &str, time: Duration, result: String| {
        println!("| {job} | {:.1} ms | {result} |", time.as_secs_f64() * 1000.0);
    };

    let mut index = Index::new("demo", 1_760_000_000);
    let listing = |entry: &Entry| Listing {
        package: entry.id(),
        added: 1_760_000_000,
        opens: BTreeMap::new(),
        for_all: false,
        withdrawn: None,
    };
    index.channels.insert("stable".into(), entries.iter().map(listing).collect());
    let texts: Vec<Vec<u8>> = entries.iter().map(|entry| serde_json::to_vec(entry).unwrap()).collect();
    let (time, size) = fastest(|| {
        let entries = texts.iter().map(|text| Entry::parse(text).unwrap()).collect();
        Catalogue::new(entries, index.clone()).unwrap().entries().len()
    });
    row("read every entry", time, format!("{size} packages"));
    let (time, steps) =
        fastest(|| plan(&inventory, &candidates, &Target::Newest, Options::default()).unwrap().steps.len());
    row("the way from the oldest to the newest", time, format!("{steps} steps"));
    let last = entries.iter().rev().find(|entry| entry.kind == Kind::Site).unwrap().id();
    let target = Target::Package(last);
    let (time, steps) = fastest(|| plan(&inventory, &candidates, &target, Options::default()).unwrap().steps.len());
    row("the way to the newest site", time, format!("{steps} steps"));
    let (time, rows) = fastest(|| list(&inventory, &candidates).len());
    row("the list with a sentence for each package", time, format!("{rows} lines"));
}
