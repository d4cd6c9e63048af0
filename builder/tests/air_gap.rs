//! Download keys that are answered: what the depot says to an appliance it never meets, what it counts, what it refuses.

#[path = "support/depot.rs"]
mod depot;
#[path = "support/offline.rs"]
mod offline;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use builder::bundle_file::BundleFile;
use builder::depot::Hiding;
use builder::depot::answer::{Shelf, read_inventory, read_key};
use builder::depot::ledger::{Account, Ledger};
use builder::verify::verify_bundle;
use depot::{NOW, Release, Shop};
use formats::Digest;
use formats::download_key::{DownloadKey, SignedKey};
use formats::manifest::Kind;
use formats::plan::{Options, Standing};
use formats::tuf::{Freshness, Kept, refresh};
use offline::{identity, ids, inventory, key_by, refused, shop, today};

const DAY: i64 = 86_400;

fn key() -> SignedKey {
    key_by(1, 1, |_| {})
}

#[test]
fn the_list_and_the_way_are_those_of_the_appliance_and_the_bundle_carries_them() {
    let shop = shop();
    let shelf = Shelf::open(&shop.depot, NOW + DAY).unwrap();
    let signed = key();
    shelf.judge(&signed).unwrap();
    let inventory = &signed.key().inventory;
    let offers = shelf.offers(inventory).unwrap();
    let summaries: Vec<&str> = offers.iter().map(|offer| offer.summary.as_str()).collect();
    assert_eq!(
        summaries,
        [
            "base/demo-base-2.0.0 is available",
            "base 1.0.0 does not satisfy site 2.0.0, which needs base >=2; install base/demo-base-2.0.0 first (available)",
            "licence/demo-licence-1.0.0 is available",
        ]
    );
    assert!(matches!(&offers[1].row.standing, Standing::Blocked { .. }));
    let file = shop.package(&Release { eula: Some("Be good.\n"), ..Release::new(Kind::Base, "2.0.0", 2) });
    let bytes = fs::read(file).unwrap();
    assert_eq!((offers[0].size.0, offers[0].sha256), (bytes.len() as u64, Digest::of(&bytes)));
    assert_eq!((offers[0].notes.as_str(), offers[0].eula, offers[1].eula), ("# base 2.0.0\n", true, false));

    let order = shelf.bringing(inventory, None).unwrap().order();
    assert_eq!(order, ids(&["licence/demo-licence-1.0.0", "base/demo-base-2.0.0", "site/demo-site-2.0.0"]));
    let to_base = shelf.bringing(inventory, Some(&order[1])).unwrap();
    assert_eq!(to_base.order(), order[1..2], "what is asked for, and what it takes");
    let contents = shelf.bundle(&inventory.appliance, order.clone(), NOW).unwrap();
    let path = shop.path("answer.path");
    contents.write(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), contents.size().0);
    let file = BundleFile::detect(&path).unwrap().unwrap();
    assert_eq!(
        (&file.bundle.label.order, file.bundle.label.appliance.as_str()),
        (&order, inventory.appliance.as_str())
    );
    assert_eq!(
        file.bundle.targets.len(),
        8,
        "index, three packages with notes, one with terms: {:?}",
        file.bundle.targets
    );

    // The appliance's own client believes it from the first root on, and finds the package where the depot says.
    let kept = Kept::from([("root.json".into(), fs::read(shop.depot.metadata("1.root.json")).unwrap())]);
    let mut fetch = |name: &str, limit: usize| Ok::<_, String>(file.bundle.fetch(name, limit));
    let seen = refresh(&kept, Freshness::Required { now: NOW + DAY }, &mut fetch).unwrap();
    let name = order[1].target();
    let span = file.bundle.targets[&seen.target(&name).unwrap().path(&name)];
    let mut inside = Vec::new();
    file.package(span).unwrap().reader().unwrap().read_to_end(&mut inside).unwrap();
    assert_eq!(inside, bytes);
}

#[test]
fn of_a_line_of_licences_the_newest_is_brought() {
    let shop = shop();
    for (version, sequence) in [("1.10.0", 10), ("1.9.0", 9)] {
        shop.add(NOW, &Release::new(Kind::Licence, version, sequence)).unwrap();
    }
    let shelf = Shelf::open(&shop.depot, NOW).unwrap();
    let bringing = shelf.bringing(&inventory(), None).unwrap();
    assert_eq!(bringing.licences, ids(&["licence/demo-licence-1.10.0"]));
    assert_eq!(bringing.sentences().last().unwrap(), "also: licence/demo-licence-1.10.0, at any time");
}

#[test]
fn a_bundle_is_a_depot_again_once_it_is_unpacked() {
    let shop = shop();
    let shelf = Shelf::open(&shop.depot, NOW).unwrap();
    let path = shop.path("answer.path");
    let order = ids(&["base/demo-base-2.0.0"]);
    shelf.bundle("one", order, NOW).unwrap().write(&path).unwrap();
    let folder = shop.path("unpacked");
    fs::create_dir(&folder).unwrap();
    tar::Archive::new(fs::File::open(&path).unwrap()).unpack(&folder).unwrap();
    let again = builder::depot::Depot::new(&folder);
    assert_eq!(again.state(Freshness::Required { now: NOW }).unwrap().entries().unwrap().len(), 3);
    let name = "base/demo-base-2.0.0.pkg";
    let target = again.state(Freshness::Waived).unwrap().verified.target(name).unwrap().path(name);
    assert!(again.target(&target).exists());
}

#[test]
fn the_rest_of_a_bundle_from_any_byte_on_is_the_same() {
    let shop = shop();
    let shelf = Shelf::open(&shop.depot, NOW).unwrap();
    let contents = shelf.bundle("one", ids(&["base/demo-base-2.0.0"]), NOW).unwrap();
    let from = |first: u64| {
        let mut bytes = Vec::new();
        contents.stream(first).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let whole = from(0);
    assert_eq!(whole.len() as u64, contents.size().0);
    for first in (0..=whole.len()).step_by(97).chain([whole.len(), whole.len() + 5]) {
        assert!(from(first as u64) == whole[first.min(whole.len())..], "from byte {first}");
    }
}

#[test]
fn keys_that_are_not_answered_say_why_and_what_to_do() {
    let shop = shop();
    let shelf = Shelf::open(&shop.depot, NOW + DAY).unwrap();
    let judged = |signed: SignedKey| refused(shelf.judge(&signed));
    let (code, problem) = judged(key_by(1, 1, |key| key.inventory.product = "other".into()));
    assert_eq!((code, problem.contains("ask the depot of \"other\"")), (5, true), "{problem}");
    let long_ago = |key: &mut DownloadKey| (key.made, key.expires) = (NOW - 3650 * DAY, NOW - 3620 * DAY);
    let (code, problem) = judged(key_by(1, 1, long_ago));
    assert_eq!((code, problem.contains("behind by about 3651 day(s)")), (5, true), "{problem}");
    let ahead = |key: &mut DownloadKey| (key.made, key.expires) = (NOW + 3651 * DAY, NOW + 3670 * DAY);
    let (code, problem) = judged(key_by(1, 1, ahead));
    assert_eq!((code, problem.contains("ahead by about 3650 day(s)")), (5, true), "{problem}");
    let (code, problem) = judged(key_by(1, 1, |key| key.root = 9));
    assert_eq!((code, problem.contains("it is an old copy")), (5, true), "{problem}");

    let good = key().key().sign(&identity(1)).unwrap();
    let changed = format!("{}{}", &good[..good.len() - 9], "QQQQQQQQ0");
    assert_eq!(refused(read_key(&changed)).0, 4);
    assert_eq!(refused(read_key("hello")).0, 3);
    // What the depot signed is over: no appliance would believe its answer.
    let (code, problem) = refused(Shelf::open(&shop.depot, NOW + 400 * DAY));
    assert_eq!((code, problem.contains("bulkhead depot refresh")), (5, true), "{problem}");
    let blocked = shelf.way(&inventory(), Some(&"site/demo-site-9.0.0".parse().unwrap()), Options::default());
    assert_eq!(refused(blocked).0, 5);
}

#[test]
fn a_damaged_depot_gives_nothing_away() {
    let shop = shop();
    let shelf = Shelf::open(&shop.depot, NOW).unwrap();
    let order = ids(&["base/demo-base-2.0.0"]);
    let contents = shelf.bundle("one", order.clone(), NOW).unwrap();
    let name = order[0].target();
    let state = shop.depot.state(Freshness::Waived).unwrap();
    let file = shop.depot.target(&state.verified.target(&name).unwrap().path(&name));
    let good = fs::read(&file).unwrap();
    let mut bytes = good.clone();
    bytes[700] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let path = shop.path("answer.path");
    let (code, problem) = refused(contents.write(&path));
    assert_eq!((code, problem.contains("is not the file that was signed for")), (4, true), "{problem}");
    assert!(
        !path.exists()
            && fs::read_dir(shop.scratch.path())
                .unwrap()
                .all(|entry| { !entry.unwrap().file_name().to_string_lossy().contains("answer") })
    );
    fs::write(&file, &good[1..]).unwrap();
    assert_eq!(refused(shelf.bundle("one", order.clone(), NOW)).0, 4, "another length");
    fs::remove_file(&file).unwrap();
    assert_eq!(refused(shelf.bundle("one", order, NOW)).0, 4, "missing");
}

#[test]
fn a_workstation_verifies_a_bundle_without_a_network() {
    let shop = shop();
    // Two roots later; the workstation has the first one, or the key alone.
    for role in ["timestamp", "snapshot"] {
        let (new, rotation) = shop.new_key(role);
        let mut signers = shop.signers();
        signers.folders.push(new.clone());
        shop.change_by(&signers, NOW, |edit, _| edit.rotate(role, &rotation)).unwrap();
        shop.take_over(role, &new);
    }
    let path = shop.path("answer.path");
    let order = ids(&["base/demo-base-2.0.0", "site/demo-site-2.0.0"]);
    Shelf::open(&shop.depot, NOW).unwrap().bundle("one", order, NOW).unwrap().write(&path).unwrap();
    let verified = |path: &Path, trust: &Path, now: i64| {
        verify_bundle(&BundleFile::detect(path).unwrap().unwrap(), trust, now).unwrap()
    };
    for trust in [shop.depot.metadata("1.root.json"), shop.keys.clone()] {
        let report = verified(&path, &trust, NOW);
        assert_eq!(report.failures(), 0, "{report}");
        assert!(report.to_string().contains("root 3, good until"), "{report}");
    }
    let report = verified(&path, &shop.keys, NOW + 400 * DAY);
    assert_eq!(report.failures(), 1, "expired, and else good: {report}");
    assert!(report.first_failure().unwrap().contains("it was good until"), "{report}");

    let strangers = shop.path("strangers");
    depot::make_keys(&strangers, &["root"]);
    let file = BundleFile::detect(&path).unwrap().unwrap();
    assert_eq!(refused(verify_bundle(&file, &strangers, NOW)).0, 4);
    assert_eq!(refused(verify_bundle(&file, shop.scratch.path(), NOW)).0, 3, "neither root.json nor root.pub");

    let good = fs::read(&path).unwrap();
    for span in file.bundle.targets.values() {
        let mut bytes = good.clone();
        bytes[usize::try_from(span.offset.0).unwrap()] ^= 1;
        let damaged = shop.path("damaged.path");
        fs::write(&damaged, bytes).unwrap();
        assert!(verified(&damaged, &shop.keys, NOW).failures() > 0, "byte {}", span.offset.0);
    }
}

fn ledger(shop: &Shop) -> (PathBuf, Ledger) {
    let path = shop.path("ledger");
    (path.clone(), Ledger::new(&path, 3))
}

#[test]
fn the_ledger_counts_each_package_of_each_appliance_and_says_so_in_the_list() {
    let shop = shop();
    let (_, ledger) = ledger(&shop);
    let shelf = Shelf::open(&shop.depot, NOW).unwrap();
    let base = ids(&["base/demo-base-2.0.0"]);
    let both = ids(&["base/demo-base-2.0.0", "site/demo-site-2.0.0"]);
    assert_eq!(ledger.account(&inventory().appliance).unwrap(), Account::default());
    for time in 0..4 {
        ledger.issue(&key_by(1, 1, |_| {}), &base, NOW + time).unwrap();
    }
    let (code, problem) = refused(ledger.issue(&key_by(1, 2, |_| {}), &both, NOW));
    assert_eq!((code, problem.contains("base/demo-base-2.0.0 was downloaded 4 time(s)")), (5, true), "{problem}");
    let other = |key: &mut DownloadKey| key.inventory.appliance = "another".into();
    ledger.issue(&key_by(2, 1, other), &both, NOW).unwrap();
    let account = ledger.account(&inventory().appliance).unwrap();
    let mark = account.packages[&base[0]];
    assert_eq!((account.packages.len(), mark.count, mark.last), (1, 4, NOW + 3));
    let marked = shelf.marked(&inventory(), Some(&account), Hiding::Mark).unwrap();
    assert_eq!((marked.len(), marked[0].downloaded, marked[1].downloaded), (3, Some(mark), None));
    let hidden = shelf.marked(&inventory(), Some(&account), Hiding::Hide).unwrap();
    assert_eq!(hidden.iter().map(|offer| offer.row.package.kind()).collect::<Vec<_>>(), [Kind::Site, Kind::Licence]);
}

#[test]
fn the_first_key_of_an_appliance_counts_until_its_operator_says_otherwise() {
    let shop = shop();
    let (_, ledger) = ledger(&shop);
    let base = ids(&["base/demo-base-2.0.0"]);
    ledger.issue(&key_by(1, 1, |_| {}), &base, NOW).unwrap();
    let (code, problem) = refused(ledger.issue(&key_by(2, 1, |_| {}), &base, NOW));
    assert_eq!((code, problem.contains("--forget-key")), (5, true), "{problem}");
    assert_eq!(refused(ledger.forget_key("nobody", "typo", NOW)).0, 3);
    ledger.forget_key(&inventory().appliance, "factory reset", NOW).unwrap();
    ledger.issue(&key_by(2, 1, |_| {}), &base, NOW).unwrap();
    assert_eq!(refused(ledger.issue(&key_by(1, 1, |_| {}), &base, NOW)).0, 5, "now the other one counts");
    let account = ledger.account(&inventory().appliance).unwrap();
    assert_eq!(account.packages[&base[0]].count, 2, "what was counted stays counted");
}

#[test]
fn a_cut_line_was_never_handed_out_and_every_cut_leaves_a_ledger() {
    let shop = shop();
    let (path, ledger) = ledger(&shop);
    let base = ids(&["base/demo-base-2.0.0"]);
    ledger.issue(&key_by(1, 1, |_| {}), &base, NOW).unwrap();
    let first = fs::read(&path).unwrap();
    let id = ledger.issue(&key_by(1, 2, |_| {}), &base, NOW + 1).unwrap();
    let both = fs::read(&path).unwrap();
    assert!(ledger.find(id).unwrap().is_some_and(|line| line.time == NOW + 1));
    for length in first.len()..both.len() {
        fs::write(&path, &both[..length]).unwrap();
        assert_eq!(ledger.lines().unwrap().len(), 1, "cut at {length}");
        assert_eq!(ledger.find(id).unwrap(), None);
        ledger.issue(&key_by(1, 3, |_| {}), &base, NOW + 2).unwrap();
        let lines = ledger.lines().unwrap();
        assert_eq!(lines.iter().map(|line| line.time).collect::<Vec<_>>(), [NOW, NOW + 2], "cut at {length}");
    }
    fs::write(&path, "{\"format\": 2}\n").unwrap();
    assert_eq!(refused(ledger.lines()).0, 3);
    fs::write(&path, "x".repeat(100_000)).unwrap();
    assert_eq!(refused(ledger.lines()).0, 3);
}

#[test]
fn two_programs_at_once_give_no_more_away_than_is_allowed() {
    let shop = shop();
    let (_, ledger) = ledger(&shop);
    let base = ids(&["base/demo-base-2.0.0"]);
    let handed_out: usize = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|nonce| {
                let (ledger, base) = (&ledger, &base);
                scope.spawn(move || ledger.issue(&key_by(1, nonce, |_| {}), base, NOW).is_ok())
            })
            .collect();
        tries.into_iter().map(|one| usize::from(one.join().unwrap())).sum()
    });
    assert_eq!((handed_out, ledger.lines().unwrap().len()), (4, 4));
}

#[test]
fn an_inventory_comes_alone_or_in_a_status() {
    let alone = inventory().encode().unwrap();
    let status = format!("{{\"slots\": [], \"inventory\": {}}}", String::from_utf8_lossy(&alone));
    assert_eq!(read_inventory(&alone).unwrap(), inventory());
    assert_eq!(read_inventory(status.as_bytes()).unwrap(), inventory());
    assert_eq!(refused(read_inventory(b"{}")).0, 3);
}

fn bulkhead(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bulkhead")).args(arguments).output().unwrap()
}

#[test]
fn the_commands_plan_answer_count_and_verify() {
    let now = today();
    let shop = Shop::at(now);
    shop.add(now, &Release::new(Kind::Base, "2.0.0", 2)).unwrap();
    let depot = shop.depot.folder().to_str().unwrap();
    let text = |name: &str| shop.path(name).to_str().unwrap().to_owned();
    let made =
        |nonce| key_by(1, nonce, |key| (key.made, key.expires) = (now, now + DAY)).key().sign(&identity(1)).unwrap();
    fs::write(shop.path("key"), format!("\n{}\n", made(1))).unwrap();
    fs::write(shop.path("inventory"), inventory().encode().unwrap()).unwrap();
    let stdout = |arguments: &[&str], code: i32| {
        let output = bulkhead(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        String::from_utf8_lossy(&output.stdout).into_owned() + &stderr
    };
    let planned = stdout(&["depot", "plan", depot, "--inventory", &text("inventory")], 0);
    assert!(planned.starts_with("1. install base/demo-base-2.0.0"), "{planned}");
    assert_eq!(stdout(&["depot", "plan", depot, "--key", &text("key")], 0), planned);

    let (bundle, ledger) = (text("x.path"), text("ledger"));
    let answer = ["depot", "answer", depot, &text("key"), "-o", &bundle, "--ledger", &ledger];
    let said = stdout(&answer, 0);
    assert!(said.contains("base/demo-base-2.0.0 is available\n") && said.contains("x.path: "), "{said}");
    let listed = stdout(&["depot", "answer", depot, &made(2), "--list", "--ledger", &ledger], 0);
    assert!(listed.contains("is available; downloaded 2"), "{listed}");
    let facts = stdout(&["depot", "answer", depot, &made(3), "--list", "--json", "--ledger", &ledger], 0);
    let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
    assert_eq!(facts["updates"][0]["downloaded"]["count"], 1, "{facts}");
    let counted = stdout(&["depot", "ledger", &ledger], 0);
    assert!(counted.contains("base/demo-base-2.0.0: 1 time(s)"), "{counted}");
    let full = [&answer[..], &["--reissues", "0"]].concat();
    assert!(stdout(&full, 5).contains("and 1 time(s) are allowed"));

    assert!(stdout(&["verify", &bundle, "--trust", &text("keys")], 0).contains("verified: "));
    assert!(stdout(&["inspect", &bundle], 0).contains("step 1: base/demo-base-2.0.0"));
    let mut bytes = fs::read(shop.path("x.path")).unwrap();
    let last = bytes.len() - 2048;
    bytes[last] ^= 1;
    fs::write(shop.path("x.path"), bytes).unwrap();
    stdout(&["verify", &bundle, "--trust", &text("keys")], 4);
    stdout(&["depot", "answer", depot, "BKDK1-00"], 3);
}
