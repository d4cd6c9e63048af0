//! What is begun unasked, and what not.

use formats::catalogue::{Index, Listing};
use formats::manifest::Kind;
use formats::plan::Installed;
use formats::{Digest, SlotId};
use serde_json::json;

use super::*;
use crate::journal::{Action, Record, Verb};

fn package(kind: Kind, version: &str, sequence: u64, requires: &serde_json::Value) -> Package {
    let text = json!({
        "kind": kind, "product": "demo", "name": if kind == Kind::Base { "os" } else { "app" }, "version": version,
        "build-id": Digest::of(format!("{kind} {version}").as_bytes()), "sequence": sequence, "requires": requires,
        "effects": {"reboot": kind == Kind::Base, "site-downtime": kind == Kind::Site, "client-upgrade": false},
        "size": 1000, "image-size": 4000, "created": 1, "notes": Digest::of(b"notes"),
    });
    Package::parse(text.to_string().as_bytes()).unwrap()
}

/// Base 2 and site 2, which needs it; and what came later.
fn catalogue(later: &[Package]) -> Catalogue {
    let mut packages =
        vec![package(Kind::Base, "2.0.0", 2, &json!({})), package(Kind::Site, "2.0.0", 2, &json!({"base": ">=2"}))];
    packages.extend_from_slice(later);
    let mut index = Index::new("demo", 1);
    let listing = |one: &Package| serde_json::from_value::<Listing>(json!({"package": one.id(), "added": 1})).unwrap();
    index.channels.insert("stable".into(), packages.iter().map(listing).collect());
    Catalogue::new(packages, index).unwrap()
}

/// What runs: base and site 1, or this base.
fn inventory(base: Option<&Package>) -> Inventory {
    let installed = |one: &Package| Installed::of_entry(one);
    let first = |kind| package(kind, "1.0.0", 1, &json!({}));
    let (base, site) = (base.cloned().unwrap_or_else(|| first(Kind::Base)), first(Kind::Site));
    let text = json!({"format": 1, "appliance": "a", "product": "demo", "channel": "stable",
        "base": installed(&base), "site": installed(&site)});
    Inventory::parse(text.to_string().as_bytes()).unwrap()
}

fn history(entries: impl IntoIterator<Item = Entry>) -> History {
    let record = |(number, entry)| Record { format: 1, number, time: 7, actor: None, entry };
    History((1..).zip(entries).map(record).collect(), Vec::new())
}

fn event(event: UpgradeEvent, to: &[&str]) -> Entry {
    Entry::Upgrade { to: to.iter().map(|id| id.parse().unwrap()).collect(), event, reason: None }
}

fn ended(verb: Verb, package: &Package, outcome: Outcome) -> Entry {
    Entry::End { of: 1, action: Action::new(verb, Release::from(package), SlotId::B), outcome }
}

/// The ends of what is begun.
fn begun(later: &[Package], base: Option<&Package>, history: &History) -> Vec<String> {
    let found = unasked(&catalogue(later), &inventory(base), history, 10);
    found.map(|(to, _)| to.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

const BOTH: [&str; 2] = ["base/os-2.0.0", "site/app-2.0.0"];
const NOTHING: [&str; 0] = [];

#[test]
fn the_whole_way_to_the_newest_is_begun_and_nothing_when_it_runs() {
    let (to, plan) = unasked(&catalogue(&[]), &inventory(None), &History::default(), 10).unwrap();
    assert_eq!((to.len(), plan.steps.len()), (2, 2));
    assert_eq!(begun(&[], None, &History::default()), BOTH);
    let nothing = Catalogue::new(Vec::new(), Index::new("demo", 1)).unwrap();
    assert_eq!(unasked(&nothing, &inventory(None), &History::default(), 10), None);
}

#[test]
fn what_was_stopped_or_cancelled_waits_for_something_newer() {
    for ending in [UpgradeEvent::Stopped, UpgradeEvent::Cancelled] {
        let history = history([event(UpgradeEvent::Begun, &BOTH), event(ending, &BOTH)]);
        assert_eq!(begun(&[], None, &history), NOTHING, "{ending}");
        // What is left of the same way is the same.
        let base = package(Kind::Base, "2.0.0", 2, &json!({}));
        assert_eq!(begun(&[], Some(&base), &history), NOTHING, "{ending}");
        let newer = package(Kind::Site, "2.1.0", 3, &json!({"base": ">=2"}));
        assert_eq!(begun(&[newer], None, &history), ["base/os-2.0.0", "site/app-2.1.0"], "{ending}");
    }
    // The way to it was withdrawn, and what is left to want is older: that is nothing new.
    let history = history([event(UpgradeEvent::Cancelled, &["base/os-3.0.0"])]);
    let site = package(Kind::Site, "2.0.0", 2, &json!({}));
    let older = Catalogue::new(vec![package(Kind::Base, "2.0.0", 2, &json!({}))], {
        let mut index = Index::new("demo", 1);
        let listing = serde_json::from_value(json!({"package": "base/os-2.0.0", "added": 1})).unwrap();
        index.channels.insert("stable".into(), vec![listing]);
        index
    });
    assert_eq!(unasked(&older.unwrap(), &inventory(None), &history, 10), None, "{site:?}");
}

#[test]
fn an_upgrade_that_came_to_its_end_keeps_nothing_from_beginning() {
    let history = history([event(UpgradeEvent::Begun, &BOTH), event(UpgradeEvent::Done, &BOTH)]);
    assert_eq!(begun(&[], None, &history), BOTH);
}

#[test]
fn a_release_that_was_left_taken_back_or_gone_back_from_is_not_tried_again() {
    let base = package(Kind::Base, "2.0.0", 2, &json!({}));
    let red = || Outcome::FellBack { reason: "not healthy: page".into() };
    for outcome in [red(), Outcome::Disarmed, Outcome::Committed] {
        let history = history([ended(Verb::Leave, &base, outcome)]);
        assert_eq!(begun(&[], None, &history), NOTHING, "site 2 has no way without base 2");
        let next = package(Kind::Base, "2.1.0", 3, &json!({}));
        assert_eq!(begun(&[next], None, &history), ["base/os-2.1.0", "site/app-2.0.0"], "around it there is one");
    }
    // A site that was left keeps no base from being installed.
    let site = package(Kind::Site, "2.0.0", 2, &json!({"base": ">=2"}));
    assert_eq!(begun(&[], None, &history([ended(Verb::Try, &site, red())])), ["base/os-2.0.0"]);
    // A power cut, and a restart during a trial, are nobody's decision.
    for outcome in [Outcome::Interrupted, Outcome::FellBack { reason: RESTARTED.into() }] {
        assert_eq!(begun(&[], None, &history([ended(Verb::Try, &site, outcome)])), BOTH);
    }
}
