//! How long an update takes is told by what earlier ones took here, and by nothing else; and since when clients can follow.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

use std::time::Duration;

use fixtures::{agent, release, release_with, running, steady, trust};
use formats::Bytes;
use formats::SlotId::{A, B};
use formats::depot::Setting;
use formats::manifest::Kind;
use formats::plan::Rates;
use update_agent::depot::clock::Clock;
use update_agent::depot::offer::inventory;
use update_agent::disk::simulated::Disk;
use update_agent::journal::{Action, Entry, History, Outcome, Record, Release, Verb};
use update_agent::licence::Licences;
use update_agent::lifecycle::Facts;
use update_agent::slot::{Content, Pair};

/// Base 2 and 1 and site 10 in their slots, and this history: time, and what.
fn facts(history: Vec<(u64, Entry)>) -> Facts {
    let disk = Disk::new(steady());
    let mut facts = agent(&disk, &trust(), Some(running(A, Some(A)))).facts().unwrap();
    let record = |(number, (time, entry))| Record { format: 1, number, time, actor: None, entry };
    facts.history = History((1..).zip(history).map(record).collect(), Vec::new());
    facts
}

fn install(kind: Kind, sequence: u64) -> Action {
    Action::new(Verb::Install, Release::from(release(kind, sequence).verified.manifest()), B)
}

fn begin(action: &Action) -> Entry {
    Entry::Begin { action: action.clone() }
}

fn end(of: u64, action: &Action, outcome: Outcome) -> Entry {
    Entry::End { of, action: action.clone(), outcome }
}

fn committed(action: &Action) -> Entry {
    Entry::Note { release: action.release.clone(), slot: B, outcome: Outcome::Committed }
}

fn size() -> u64 {
    release(Kind::Base, 2).verified.manifest().image.as_ref().unwrap().size.0
}

#[test]
fn without_an_installation_that_ended_nothing_is_made_up() {
    assert_eq!(facts(vec![]).rates(), None);
    let base = install(Kind::Base, 2);
    assert_eq!(facts(vec![(5, begin(&base))]).rates(), None, "it goes on");
    assert_eq!(facts(vec![(5, begin(&base)), (9, end(1, &base, Outcome::Interrupted))]).rates(), None);
    let gone = install(Kind::Base, 7);
    assert_eq!(facts(vec![(5, begin(&gone)), (9, end(1, &gone, Outcome::Armed))]).rates(), None, "of unknown size");
}

#[test]
fn bytes_and_seconds_of_all_installations_count_together_and_the_shortest_restart() {
    let (base, site) = (install(Kind::Base, 2), install(Kind::Site, 10));
    let found = facts(vec![
        (100, begin(&base)),
        (106, end(1, &base, Outcome::Armed)),
        (166, committed(&base)),
        (1000, begin(&site)),
        (1002, end(4, &site, Outcome::Written)),
    ]);
    assert_eq!(found.rates(), Some(Rates { download: 0, write: 2 * size() / 8, restart: 60 }));
    let twice = facts(vec![
        (100, begin(&base)),
        (104, end(1, &base, Outcome::Armed)),
        (9000, committed(&base)),
        (10_000, begin(&base)),
        (10_004, end(4, &base, Outcome::Armed)),
        (10_030, committed(&base)),
    ]);
    assert_eq!(twice.rates(), Some(Rates { download: 0, write: 2 * size() / 8, restart: 26 }));
}

#[test]
fn a_clock_that_was_set_in_between_measures_nothing() {
    let base = install(Kind::Base, 2);
    let with = |begun, ended| facts(vec![(begun, begin(&base)), (ended, end(1, &base, Outcome::Armed))]).rates();
    assert_eq!(with(100, 50), None, "back");
    assert_eq!(with(100, 1_700_000_000), None, "ahead by years");
    assert_eq!(with(100, 100).map(|rates| rates.write), Some(size()), "less than a second");
}

#[test]
fn a_restart_that_waited_for_somebody_is_no_measure_and_small_packages_are_none_of_a_disk() {
    let base = install(Kind::Base, 2);
    let kept_at =
        |time| facts(vec![(101, begin(&base)), (109, end(1, &base, Outcome::Armed)), (time, committed(&base))]);
    assert_eq!(kept_at(109 + 1800).rates().map(|rates| rates.restart), Some(1800));
    assert_eq!(kept_at(109 + 9 * 3600).rates().map(|rates| rates.restart), Some(120), "it waited for its window");
    let (gib, found) = (Bytes(1 << 30), kept_at(109 + 60));
    // A few kilobytes took eight seconds; no disk is that slow.
    assert_eq!(found.takes(gib, false), Duration::from_secs(1024));
    assert_eq!(found.takes(gib, true), Duration::from_secs(1024 + 60));
    assert_eq!(facts(vec![]).takes(gib, true), Duration::ZERO, "nothing is known");
}

/// The same with a site that gives its clients a day, signed now.
fn soaking(history: Vec<(u64, Entry)>) -> (Facts, Action) {
    let site = release_with(Kind::Site, 11, |manifest| manifest.effects.soak_hours = Some(24));
    let action = Action::new(Verb::Install, Release::from(site.verified.manifest()), B);
    let mut facts = facts(history);
    facts.site = Pair::of(|_| Content::Whole(Box::new(site.verified.clone())));
    (facts, action)
}

#[test]
fn clients_get_their_time_from_the_commit_on_and_a_clock_that_was_behind_takes_none_of_it() {
    let (blank, action) = soaking(vec![]);
    let created = blank.active_site().and_then(|slot| blank.site.get(slot).manifest()).unwrap().created;
    let newest = created + 1_000_000;
    let until = |kept: i64| {
        let (facts, _) = soaking(vec![(kept.try_into().unwrap(), committed(&action))]);
        let clock = Clock { says: newest + 50, signed: newest, good_until: 0 };
        let inventory = inventory(&facts, &Setting::default(), "a".into(), None, &Licences::default(), clock).unwrap();
        inventory.site.unwrap().soaks_until.unwrap()
    };
    assert_eq!(until(created + 60), created + 60 + 86_400);
    assert_eq!(until(7), newest + 86_400, "nobody keeps a site before it is made");
}
