//! The planner against a search that tries everything.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::tests::Graph;
use super::*;
use crate::site::suits;

/// A depot of a few bases and sites that need ranges of each other, as lines for [`Graph`].
fn offers() -> impl Strategy<Value = Vec<String>> {
    let range = prop_oneof![
        3 => Just(String::new()),
        2 => (1_u64..6).prop_map(|n| format!(">={n}")),
        1 => (1_u64..7).prop_map(|n| format!("<{n}")),
        1 => (1_u64..6).prop_map(|n| format!("={n}")),
    ];
    let line = |kind: &'static str, other: &'static str| {
        (2_u64..7, range.clone(), prop::bool::weighted(0.15)).prop_map(move |(number, range, gone)| {
            let needs = if range.is_empty() { range } else { format!(" {other}{range}") };
            format!("{}{kind} {number}{needs}", if gone { "!" } else { "" })
        })
    };
    let lines = (prop::collection::vec(line("base", "site"), 0..6), prop::collection::vec(line("site", "base"), 0..6));
    lines.prop_map(|(bases, sites)| {
        let mut seen = BTreeSet::new();
        let all = bases.into_iter().chain(sites);
        all.filter(|line| seen.insert(line.trim_start_matches('!').split(' ').take(2).collect::<String>())).collect()
    })
}

/// What is installed: nothing of a kind stands for what runs at the start.
type State<'a> = (Option<&'a Entry>, Option<&'a Entry>);

/// Whether base and site of a state suit each other.
fn holds(inventory: &Inventory, (base, site): State<'_>) -> bool {
    let base = base.map_or((&inventory.base.version, &inventory.base.requires), |base| (&base.version, &base.requires));
    let installed = inventory.site.as_ref().unwrap();
    suits(base, site.map_or((&installed.version, &installed.requires), |site| (&site.version, &site.requires)))
}

/// The state after a step, when the appliance would take it.
fn after<'a>(inventory: &Inventory, (base, site): State<'a>, entry: &'a Entry) -> Option<State<'a>> {
    let newer =
        |present: Option<&Entry>, installed: u64| entry.sequence > present.map_or(installed, |one| one.sequence);
    let next = match entry.kind {
        Kind::Base => newer(base, inventory.base.sequence).then_some((Some(entry), site)),
        _ => newer(site, inventory.site.as_ref().unwrap().sequence).then_some((base, Some(entry))),
    };
    next.filter(|next| holds(inventory, *next))
}

/// The length of the shortest way to each package, by trying everything.
fn distances<'a>(inventory: &Inventory, candidates: &[Candidate<'a>]) -> Vec<(&'a Entry, Option<usize>)> {
    let key = |(base, site): State<'_>| (base.map(|one| one.sequence), site.map(|one| one.sequence));
    let mut found: Vec<(&Entry, Option<usize>)> = candidates.iter().map(|c| (c.entry, None)).collect();
    let mut queue = VecDeque::from([((None, None), 0)]);
    let mut seen = BTreeSet::from([key((None, None))]);
    while let Some((state, steps)) = queue.pop_front() {
        for candidate in candidates.iter().filter(|candidate| candidate.availability.is_available()) {
            let Some(next) = after(inventory, state, candidate.entry) else { continue };
            let slot = found.iter_mut().find(|(entry, _)| entry.build_id == candidate.entry.build_id).unwrap();
            slot.1.get_or_insert(steps + 1);
            if seen.insert(key(next)) {
                queue.push_back((next, steps + 1));
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_way_is_found_when_there_is_one_and_it_is_the_shortest(lines in offers()) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let graph = Graph::new("1", "1", &lines);
        let candidates = graph.candidates();
        for (entry, distance) in distances(&graph.inventory, &candidates) {
            let target = Target::Package(entry.id());
            let found = plan(&graph.inventory, &candidates, &target, Options::default());
            prop_assert_eq!(found.as_ref().ok().map(|plan| plan.steps.len()), distance, "{} of {:?}: {:?}", entry.id(), lines, found);
            prop_assert_eq!(&found, &plan(&graph.inventory, &candidates, &target, Options::default()));
            if let Err(blocked) = found {
                prop_assert!(blocked.to_string().contains(&entry.id().to_string()) || blocked.to_string().contains(';'));
            }
        }
    }

    #[test]
    fn every_step_of_every_plan_is_one_the_appliance_takes(lines in offers()) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let graph = Graph::new("1", "1", &lines);
        let mut candidates = graph.candidates();
        let newest = plan(&graph.inventory, &candidates, &Target::Newest, Options::default()).unwrap();
        candidates.reverse();
        prop_assert_eq!(&newest, &plan(&graph.inventory, &candidates, &Target::Newest, Options::default()).unwrap());
        let mut state = (None, None);
        for step in &newest.steps {
            let taken = candidates.iter().find(|c| c.entry.id() == step.package && c.availability.is_available()).unwrap();
            let next = after(&graph.inventory, state, taken.entry);
            prop_assert!(next.is_some(), "{:?} in {:?} of {:?}", step.package, newest, lines);
            state = next.unwrap();
        }
        // Nothing newer can be had: no site, and under this site no base.
        let number = |entry: Option<&Entry>| entry.map_or(1, |entry| entry.sequence);
        for (entry, distance) in distances(&graph.inventory, &candidates) {
            if entry.kind == Kind::Site && distance.is_some() {
                prop_assert!(entry.sequence <= number(state.1), "{} can be had: {:?}", entry.id(), lines);
            }
            if entry.kind == Kind::Base && candidates.iter().any(|c| c.entry.id() == entry.id() && c.availability.is_available()) {
                prop_assert!(after(&graph.inventory, state, entry).is_none(), "{} fits: {:?}", entry.id(), lines);
            }
        }
    }
}
