use std::collections::BTreeMap;

use formats::catalogue::{Listing, Withdrawal};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn entry(kind: Kind, number: u64, needs: Option<(u64, u64)>, model: u8) -> Entry {
    let digest = format!("{:064x}", number << 8 | u64::from(kind == Kind::Site));
    let mut facts = json!({
        "kind": kind, "product": "demo", "name": format!("demo-{kind}"), "version": format!("{number}.0.0"), "build-id": digest,
        "sequence": number, "effects": {"reboot": false, "site-downtime": false, "client-upgrade": false}, "size": 1,
        "image-size": 1, "created": 1_760_000_000, "notes": digest
    });
    let other = if kind == Kind::Site { "base" } else { "site" };
    if let Some((from, to)) = needs {
        facts["requires"] = json!({other: format!(">={from}, <={to}")});
    }
    if kind == Kind::Site {
        facts["site"] = json!({"hostname": "demo.example", "entry-points": {}});
    }
    match model {
        1 => facts["hardware"] = json!(["x1"]),
        2 => facts["hardware"] = json!(["x1", "x2"]),
        _ => {}
    }
    Entry::parse(facts.to_string().as_bytes()).unwrap()
}

fn index(entries: &[Entry], withdrawn: &[bool]) -> Index {
    let mut index = Index::new("demo", 1_760_000_000);
    let withdrawal = || Withdrawal { date: "2027-01-01".parse().unwrap(), reason: "bad".into() };
    let listing = |(entry, withdrawn): (&Entry, &bool)| Listing {
        package: entry.id(),
        added: 1_760_000_000,
        opens: BTreeMap::new(),
        for_all: false,
        withdrawn: withdrawn.then(withdrawal),
    };
    index.channels.insert("stable".into(), entries.iter().zip(withdrawn).map(listing).collect());
    index
}

fn release() -> impl Strategy<Value = (bool, Option<(u64, u64)>, u8, bool)> {
    let range = prop::option::of((1..5_u64, 1..7_u64).prop_map(|(from, more)| (from, from + more)));
    (any::<bool>(), range, 0..4_u8, prop::bool::weighted(0.2))
}

proptest! {
    #[test]
    fn every_pair_is_judged_as_the_planner_judges_it(drawn in prop::collection::vec(release(), 2..10)) {
        let kind = |base| if base { Kind::Base } else { Kind::Site };
        let entries: Vec<Entry> = (1..).zip(&drawn).map(|(number, (base, needs, model, _))| entry(kind(*base), number, *needs, *model)).collect();
        let releases: Vec<Release<'_>> =
            entries.iter().zip(&drawn).map(|(entry, (.., withdrawn))| Release { entry, offered: !withdrawn }).collect();
        let channel = Channel::new("stable", releases, &mut Tried::default());
        for ground in &channel.grounds {
            for goal in channel.releases.iter().filter(|one| one.offered) {
                for (base, site, leads) in ground.starts(goal.entry) {
                    if goal.entry.kind == Kind::Site && site.is_none() {
                        continue;
                    }
                    let there = base == goal.entry || site == Some(goal.entry);
                    let plans = channel.blocked(&channel.inventory(ground.model, base, site), goal.entry).is_none();
                    prop_assert_eq!(leads, plans || there, "{:?} {:?} to {} on {:?}", base.id(), site.map(Entry::id), goal.entry.id(), ground.model);
                }
            }
        }
    }
}

#[test]
fn a_pair_between_the_oldest_and_the_newest_that_leads_nowhere_is_found() {
    // From base 1 with site 2 there is no way: site 2 stays on base 1, and site 4 was withdrawn. With site 1 or 4 there is one.
    let entries = [
        entry(Kind::Base, 1, None, 0),
        entry(Kind::Base, 3, None, 0),
        entry(Kind::Site, 1, None, 0),
        entry(Kind::Site, 2, Some((1, 1)), 0),
        entry(Kind::Site, 4, None, 0),
    ];
    let found = |withdrawn: bool| {
        let mut findings = Vec::new();
        let tried = reach(&index(&entries, &[false, false, false, false, withdrawn]), &entries, &mut findings);
        assert_eq!(tried, Tried { pairs: 6, left_out: 0 });
        findings
    };
    assert_eq!(found(false), []);
    let found = found(true);
    assert!(found.len() == 1 && found[0].code == "stuck" && found[0].subject == "base/demo-base-1.0.0", "{found:?}");
    assert!(found[0].problem.contains("beside demo-site 2.0.0 no way leads to base/demo-base-3.0.0"), "{found:?}");
    assert!(found[0].problem.contains("so in 1 of 3 pairs): base "), "{found:?}");
}

#[test]
fn a_thousand_packages_are_tried_at_once() {
    let mut entries: Vec<Entry> = (1..=500).map(|number| entry(Kind::Base, number, None, 0)).collect();
    entries.extend((1..=500).map(|number| entry(Kind::Site, number, Some((number.max(2) - 1, number + 10)), 0)));
    let mut findings = Vec::new();
    let started = std::time::Instant::now();
    let tried = reach(&index(&entries, &[false; 1000]), &entries, &mut findings);
    assert_eq!((findings.len(), tried.pairs), (0, 250_000));
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
