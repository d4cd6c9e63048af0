//! How long a depot of 1,000 packages takes to answer a download key: what `bulkhead depot answer` and a page of the portal do. `scripts/bench
//! answer` runs it; it prints one line of Markdown table for each job.

#[path = "support/depot.rs"]
mod depot;
#[path = "support/offline.rs"]
mod offline;

use std::collections::BTreeMap;
use std::time::Instant;

use builder::depot::answer::Shelf;
use builder::depot::lint::examine;
use depot::{NOW, Release, Shop};
use formats::manifest::Kind;

const EACH: u64 = 500;

/// 500 bases, and 500 sites each of which suits a dozen of them.
fn shop() -> Shop {
    let shop = Shop::new();
    let mut packages = Vec::new();
    for number in 2..2 + EACH {
        let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
        let version = leak(format!("{number}.0.0"));
        let needed = leak(format!(">={}, <={}", number - 1, number + 10));
        packages.push(shop.package(&Release::new(Kind::Base, version, number)));
        packages.push(shop.package(&Release { base: Some(needed), ..Release::new(Kind::Site, version, number) }));
    }
    let add = |edit: &mut builder::depot::Edit<'_>, before: &builder::depot::State| {
        packages.iter().try_for_each(|path| edit.add(before, path, "stable", &BTreeMap::new()).map(drop))
    };
    shop.change(NOW, add).unwrap();
    shop
}

/// The fastest of five runs, and what it gave.
fn row(job: &str, mut run: impl FnMut() -> String) {
    let mut runs: Vec<(std::time::Duration, String)> = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let result = run();
        runs.push((started.elapsed(), result));
    }
    let (time, result) = runs.into_iter().min().unwrap();
    println!("| {job} | {:.1} ms | {result} |", time.as_secs_f64() * 1000.0);
}

#[test]
#[ignore = "a measurement; run it with scripts/bench answer"]
fn a_thousand_packages_are_answered() {
    let shop = shop();
    let inventory = offline::inventory();
    row("read and verify the depot", || {
        format!("{} packages", Shelf::open(&shop.depot, NOW).unwrap().catalogue().entries().len())
    });
    let shelf = Shelf::open(&shop.depot, NOW).unwrap();
    row("the list, with release notes", || format!("{} lines", shelf.offers(&inventory).unwrap().len()));
    row("the way, and the bundle's head", || {
        let order = shelf.bringing(&inventory, None).unwrap().order();
        shelf.bundle(&inventory.appliance, order.clone(), NOW).unwrap();
        format!("{} packages", order.len())
    });
    row("all of it: one answer, or one page of the portal", || {
        let shelf = Shelf::open(&shop.depot, NOW).unwrap();
        let offers = shelf.offers(&inventory).unwrap();
        shelf.bundle(&inventory.appliance, shelf.bringing(&inventory, None).unwrap().order(), NOW).unwrap();
        format!("{} lines", offers.len())
    });
    row("`depot lint`", || {
        let (findings, tried) = examine(&shop.depot, NOW).unwrap();
        format!("{} pairs, {} findings", tried.pairs, findings.len())
    });
}
