//! An appliance without a network: its download key, and the path bundle that answers it. A keeper over a disk image file, and the real
//! commands; the bundles are made by hand from a small publisher, so that each can lie in its own way.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

#[expect(dead_code, reason = "shared with the tests of the depot, which use all of it")]
mod appliance;
#[expect(dead_code, reason = "shared with the tests of depots on servers")]
mod depot_server;
mod disk_file;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use appliance::Appliance;
use depot_server::Depot;
use fixtures::{Release, licence_with, release, release_with};
use formats::Bytes;
use formats::bundle::{self, Label};
use formats::catalogue::PackageId;
use formats::download_key::SignedKey;
use formats::manifest::{Kind, LicenceInfo, Manifest};
use serde_json::Value;

type Files = BTreeMap<String, Vec<u8>>;

struct Bench {
    appliance: Appliance,
    depot: Depot,
}

impl Bench {
    /// An appliance with base 1 and site 10 that knows no address of a depot.
    fn new() -> Self {
        let depot = Depot::new();
        Self { appliance: Appliance::with_depot(&depot.root(1), None), depot }
    }

    fn add(&mut self, release: &Release) -> PackageId {
        self.depot.version += 1;
        self.depot.add(&release.manifest, &release.package)
    }

    /// The depot as a bundle for whoever, with this order.
    fn bundle(&self, name: &str, order: &[&PackageId]) -> PathBuf {
        self.bundle_of(name, "demo", order, &self.depot.files())
    }

    fn bundle_of(&self, name: &str, product: &str, order: &[&PackageId], files: &Files) -> PathBuf {
        let order = order.iter().map(|id| (*id).clone()).collect();
        let appliance = "0123456789abcdef0123456789abcdef".into();
        let label = Label { format: bundle::FORMAT, product: product.into(), appliance, order, created: 1_700_000_000 };
        let mut bytes = Vec::new();
        let mut add = |name: &str, content: &[u8]| {
            let size = Bytes(content.len() as u64);
            bytes.extend(bundle::header(name, size).unwrap());
            bytes.extend_from_slice(content);
            bytes.extend(vec![0; usize::try_from(bundle::padding(size).0).unwrap()]);
        };
        add(bundle::LABEL, &label.encode().unwrap());
        // Sorted: metadata comes before targets.
        files.iter().filter(|(name, _)| !name.ends_with("/1.root.json")).for_each(|(name, content)| add(name, content));
        bytes.extend(bundle::TRAILER);
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Releases that are staged.
    fn staged(&self) -> Vec<String> {
        let staged = self.json(&["staged", "--json"]);
        let one = |one: &Value| format!("{} {}", one["release"]["name"], one["release"]["version"]).replace('"', "");
        let mut staged: Vec<String> = staged.as_array().unwrap().iter().map(one).collect();
        staged.sort();
        staged
    }

    /// What the journal says was decided.
    fn decisions(&self) -> Vec<String> {
        let journal = fs::read_to_string(self.path("data/bulkhead/journal")).unwrap_or_default();
        journal.lines().filter(|line| line.contains("\"decision\"")).map(Into::into).collect()
    }
}

impl Deref for Bench {
    type Target = Appliance;

    fn deref(&self) -> &Appliance {
        &self.appliance
    }
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn site_on_two() -> Release {
    release_with(Kind::Site, 30, |manifest| manifest.requires.base = Some(">=2".parse().unwrap()))
}

#[test]
fn a_download_key_says_what_the_appliance_has_and_no_two_are_the_same() {
    let bench = Bench::new();
    let made = bench.json(&["download-key", "--json"]);
    let text = bench.text(&["download-key"], 0);
    let line = text.lines().find(|line| line.starts_with("BKDK1-")).unwrap();
    let [one, other] = [made["key"].as_str().unwrap(), line].map(|text| SignedKey::parse(text).unwrap());
    assert_eq!(one.public(), other.public(), "one appliance");
    assert_ne!((one.id(), one.key().nonce), (other.id(), other.key().nonce));
    let inventory = &one.key().inventory;
    assert_eq!((inventory.product.as_str(), inventory.base.name.as_str()), ("demo", "demo-base"));
    assert_eq!(inventory.base.version.to_string(), "1.0.0");
    assert_eq!(inventory.site.as_ref().unwrap().version.to_string(), "10.0.0");
    assert_eq!(inventory.appliance, made["appliance"].as_str().unwrap());
    assert_eq!((one.key().root, one.key().expires - one.key().made), (1, 30 * 86_400));
    assert!(
        made["notes"].to_string().contains("off by about"),
        "base 1 is of 2023, and nothing newer is known: {made}"
    );
    assert!(line.len() <= 1500, "{}", line.len());
    let permissions = fs::metadata(bench.path("data/bulkhead/identity")).unwrap().permissions().mode();
    assert_eq!(permissions & 0o777, 0o600);
    assert!(bench.text(&["download-key", "--qr"], 0).contains('\u{2588}'));
}

#[test]
fn a_base_that_believes_no_depot_makes_no_key() {
    let bench = Bench::new();
    fs::remove_file(bench.path("shipped/root.json")).unwrap();
    let text = bench.text(&["download-key"], 5);
    assert!(text.contains("no root of trust for depots") && text.contains("[no-depot]"), "{text}");
}

#[test]
fn a_bundle_brings_roots_list_and_packages_and_the_order_is_planned_here() {
    let mut bench = Bench::new();
    bench.depot.roots.extend([50, 51]);
    let (base, site) = (bench.add(&release(Kind::Base, 2)), bench.add(&site_on_two()));
    // Known by its content, not by its name; and the wrong order.
    let file = bench.bundle("holiday.jpg", &[&base, &base, &site]);
    let text = bench.text(&["stage", shown(&file)], 0);
    for wanted in [
        "was made for another appliance",
        "demo-base 2.0.0 is staged as",
        "demo-site 30.0.0 is staged as",
        "1. install base/demo-base-2.0.0",
        "2. install site/demo-site-30.0.0",
    ] {
        assert!(text.contains(wanted), "\"{wanted}\" in {text}");
    }
    assert_eq!(bench.staged(), ["demo-base 2.0.0", "demo-site 30.0.0"]);
    assert_eq!(bench.json(&["download-key", "--json"])["root"], 3);
    let list = bench.text(&["list"], 0);
    assert!(list.contains("base/demo-base-2.0.0 is available; it is staged"), "{list}");
    assert!(!bench.text(&["stage", shown(&file)], 0).contains("is staged as"), "nothing is copied twice");
    // What is to be read before came along, and nobody is asked for it.
    let notes = bench.text(&["notes", "--to", &site.to_string()], 0);
    for id in [&base, &site] {
        assert!(notes.contains(&format!("## {id}\n\nWhat is new.\n")), "{notes}");
    }

    let text = bench.text(&["install", &site.to_string()], 5);
    assert!(text.contains("base/demo-base-2.0.0 first") && text.contains("[blocked]"), "{text}");
    let text = bench.text(&["install", &base.to_string()], 0);
    assert!(text.contains("base slot B holds demo-base 2.0.0"), "{text}");
}

#[test]
fn installing_a_bundle_begins_to_follow_its_way_among_its_packages() {
    let mut bench = Bench::new();
    let (base, site) = (bench.add(&release(Kind::Base, 2)), bench.add(&site_on_two()));
    // The depot has more than the bundle brings.
    bench.add(&release(Kind::Base, 3));
    let file = bench.bundle("way.path", &[&base, &site]);
    let text = bench.text(&["install", shown(&file)], 0);
    assert!(text.contains("the appliance follows this by itself"), "{text}");
    let kept: Value = serde_json::from_slice(&fs::read(bench.path("data/bulkhead/upgrade.json")).unwrap()).unwrap();
    assert_eq!(kept["offline"], true, "{kept}");
    let both = serde_json::json!(["base/demo-base-2.0.0", "site/demo-site-30.0.0"]);
    assert_eq!((&kept["to"], &kept["among"]), (&both, &both));
    let text = bench.text(&["install", shown(&file)], 5);
    assert!(text.contains("[upgrade-under-way]"), "{text}");
}

fn licence(sequence: u64, change: impl FnOnce(&mut Manifest, &mut LicenceInfo)) -> Release {
    licence_with(sequence, None, change)
}

#[test]
fn licences_of_a_bundle_are_installed_with_it_and_what_they_entitle_to_counts_for_its_way() {
    let mut bench = Bench::new();
    // The contract that is installed ended before any of this was published.
    let ended = bench.path("ended.pkg");
    let until = |day: &'static str| {
        move |_: &mut Manifest, claims: &mut LicenceInfo| claims.entitled_until = Some(day.parse().unwrap())
    };
    fs::write(&ended, licence(1, until("2020-01-31")).package).unwrap();
    bench.text(&["install", shown(&ended)], 0);
    let (base, older) = (bench.add(&release(Kind::Base, 2)), bench.add(&licence(2, until("2099-01-01"))));
    let renewed = bench.add(&licence(3, until("2099-12-31")));
    let file = bench.bundle("way.path", &[&older, &renewed, &base]);
    // Staged only, it entitles to nothing yet: what is missing is said, and how to go on.
    let text = bench.text(&["stage", shown(&file)], 5);
    assert!(text.contains("entitlement ended on 2020-01-31"), "{text}");
    assert_eq!(bench.staged(), ["demo-licence 3.0.0"], "the newest of the line");

    let text = bench.text(&["install", shown(&file)], 0);
    for wanted in [
        "licence demo-licence 3.0.0 is installed",
        "demo-base 2.0.0 is staged as",
        "the appliance follows this by itself",
    ] {
        assert!(text.contains(wanted), "\"{wanted}\" in {text}");
    }
    assert_eq!(bench.staged(), ["demo-base 2.0.0"], "what is installed is staged no more");
    let kept: Value = serde_json::from_slice(&fs::read(bench.path("data/bulkhead/upgrade.json")).unwrap()).unwrap();
    assert_eq!(kept["among"], serde_json::json!([base.to_string()]), "{kept}");
}

#[test]
fn a_licence_of_a_bundle_goes_through_the_checks_of_any_licence() {
    let mut bench = Bench::new();
    let host =
        |name: &'static str| move |_: &mut Manifest, claims: &mut LicenceInfo| claims.hostname = Some(name.into());
    let installed = bench.path("two.pkg");
    fs::write(&installed, licence(2, |_, _| {}).package).unwrap();
    bench.text(&["install", shown(&installed)], 0);
    let base = bench.add(&release(Kind::Base, 2));
    let line = |name: &'static str| move |manifest: &mut Manifest, _: &mut LicenceInfo| manifest.name = name.into();
    let below = bench.add(&licence(1, |_, _| {}));
    let elsewhere = bench.add(&licence(4, |manifest, claims| {
        line("elsewhere")(manifest, claims);
        host("other.example")(manifest, claims);
    }));
    // Its number of days is no matter of planning.
    let over = bench.add(&licence(5, |manifest, claims| {
        line("over")(manifest, claims);
        claims.expires = Some("2021-12-31".parse().unwrap());
    }));
    let terms = bench.add(&licence_with(6, Some("Pay.\n"), line("terms")));
    let good = bench.add(&licence(7, line("good")));
    let before = bench.json(&["licences", "--json"])["licences"].as_array().unwrap().len();

    let all = [&below, &elsewhere, &over, &terms, &good, &base];
    let text = bench.text(&["install", shown(&bench.bundle("all.path", &all))], 0);
    for wanted in [
        "licence/demo-licence-1.0.0 is superseded",
        "is for the site \"other.example\"",
        "[licence-expired]",
        "licence/terms-6.0.0 stays staged and is not installed",
        "[eula-not-accepted]",
        "licence good 7.0.0 is installed",
        "the appliance follows this by itself",
    ] {
        assert!(text.contains(wanted), "\"{wanted}\" in {text}");
    }
    assert_eq!(bench.json(&["licences", "--json"])["licences"].as_array().unwrap().len(), before + 1);
    bench.text(&["upgrade", "--cancel"], 0);

    // With nothing else to do the refusal is the answer; and accepted terms are asked for once.
    let alone = bench.bundle("alone.path", &[&terms]);
    assert!(bench.text(&["install", shown(&alone)], 5).contains("[eula-not-accepted]"));
    bench.text(&["install", shown(&alone), "--accept-eula"], 0);
    let text = bench.text(&["install", shown(&alone)], 0);
    assert!(text.contains("licence/terms-6.0.0 is installed") && text.contains("nothing to do"), "{text}");

    // Listed by the depot with the right digest, and signed by somebody else.
    let mut bytes = licence(8, line("forged")).package;
    let at = bytes.windows(5).position(|bytes| bytes == b"\"sig\"").unwrap_or(700) + 12;
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    bench.depot.version += 1;
    let forged = bench.depot.add(&licence(8, line("forged")).manifest, &bytes);
    let text = bench.text(&["install", shown(&bench.bundle("forged.path", &[&forged]))], 4);
    assert!(text.contains("[bad-signature]"), "{text}");
}

#[test]
fn one_build_released_under_two_versions_is_two_packages() {
    let mut bench = Bench::new();
    let first = release(Kind::Site, 30);
    // The same content, and so the same build, under a later version.
    let again = release_with(Kind::Site, 31, |manifest| {
        manifest.build_id = first.verified.manifest().build_id;
    });
    let ids = [bench.add(&first), bench.add(&again)];
    for id in &ids {
        let text = bench.text(&["stage", shown(&bench.bundle("one.path", &[id]))], 0);
        assert!(text.contains("is staged as"), "{text}");
    }
    assert_eq!(bench.staged(), ["demo-site 30.0.0", "demo-site 31.0.0"]);
    let text = bench.text(&["install", &ids[1].to_string()], 0);
    assert!(text.contains("demo-site 31.0.0"), "{text}");
}

#[test]
fn a_bundle_in_the_wrong_order_gives_the_sentence_that_says_what_comes_first() {
    let mut bench = Bench::new();
    let base = bench.add(&release(Kind::Base, 2));
    let site = bench.add(&site_on_two());
    let text = bench.text(&["install", shown(&bench.bundle("half.path", &[&site]))], 5);
    assert!(text.contains("site/demo-site-30.0.0") && text.contains("[blocked]"), "{text}");
    assert_eq!(bench.staged(), [""; 0]);
    bench.text(&["stage", shown(&bench.bundle("whole.path", &[&base, &site]))], 0);
    assert_eq!(bench.staged().len(), 2);
}

#[test]
fn a_bundle_goes_through_the_same_checks_as_a_depot() {
    let mut bench = Bench::new();
    let base = bench.add(&release(Kind::Base, 2));
    let good = bench.depot.files();
    let package = good.keys().find(|name| name.ends_with("base-2.0.0.pkg")).unwrap().clone();
    let changed = |change: &dyn Fn(&mut Files)| {
        let mut files = good.clone();
        change(&mut files);
        files
    };
    let stranger = {
        let mut depot = Depot::new();
        depot.roots = vec![90];
        depot.version = 9;
        depot.add(&release(Kind::Base, 2).manifest, &release(Kind::Base, 2).package);
        let mut files = depot.files();
        let forged = String::from_utf8(files["metadata/timestamp.json"].clone()).unwrap().replace("2099", "2098");
        files.insert("metadata/timestamp.json".into(), forged.into_bytes());
        files
    };
    let unsigned = {
        // Listed by the depot with the right digest, and signed by somebody else.
        let mut depot = Depot::new();
        depot.version = 2;
        let mut bytes = release(Kind::Base, 2).package;
        let at = bytes.windows(5).position(|bytes| bytes == b"\"sig\"").unwrap_or(700) + 12;
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        depot.add(&release(Kind::Base, 2).manifest, &bytes);
        depot.files()
    };
    for (what, product, files, code) in [
        ("another product", "other", good.clone(), "[other-product]"),
        ("another maker", "demo", stranger, "[depot-untrusted]"),
        ("no snapshot", "demo", changed(&|files| drop(files.remove("metadata/2.snapshot.json"))), "[depot-incomplete]"),
        (
            "the index of another day",
            "demo",
            changed(&|files| {
                let index = files.keys().find(|name| name.ends_with("index.json")).unwrap().clone();
                files.get_mut(&index).unwrap().push(b' ');
            }),
            "[depot-untrusted]",
        ),
        ("swapped bytes", "demo", changed(&|files| files.get_mut(&package).unwrap()[3000] ^= 1), "[depot-untrusted]"),
        ("no package", "demo", changed(&|files| drop(files.remove(&package))), "[wrong-member]"),
        (
            "a package of another length",
            "demo",
            changed(&|files| files.get_mut(&package).unwrap().push(0)),
            "[wrong-member]",
        ),
        ("a package nobody signed", "demo", unsigned, "[bad-signature]"),
    ] {
        let file = bench.bundle_of("bad.path", product, &[&base], &files);
        let text = bench.text(
            &["install", shown(&file)],
            match code {
                "[wrong-member]" => 3,
                "[depot-incomplete]" => 6,
                _ => 4,
            },
        );
        assert!(text.contains(code), "{what}: {text}");
        assert_eq!(bench.staged(), [""; 0], "{what}");
        let metadata_is_good =
            ["swapped bytes", "no package", "a package of another length", "a package nobody signed"];
        let kept = bench.path("data/bulkhead/depot/metadata.json").exists();
        assert_eq!(kept, metadata_is_good.contains(&what), "{what}");
        let leftovers = fs::read_dir(bench.path("data/bulkhead/staged")).map_or(0, Iterator::count);
        assert_eq!(leftovers, 0, "{what}");
    }
    // Wherever it is cut.
    let whole = fs::read(bench.bundle("good.path", &[&base])).unwrap();
    for length in [600, whole.len() / 2, whole.len() - 1] {
        fs::write(bench.path("cut.path"), &whole[..length]).unwrap();
        let text = bench.text(&["stage", shown(&bench.path("cut.path"))], 3);
        assert!(text.contains("[truncated]"), "{length}: {text}");
    }
    bench.text(&["stage", shown(&bench.path("good.path"))], 0);
    // Older than what was seen, as online.
    bench.depot.version = 1;
    let text = bench.text(&["stage", shown(&bench.bundle("old.path", &[&base]))], 4);
    assert!(text.contains("version 2 was seen before") && text.contains("[depot-rollback]"), "{text}");
}

#[test]
fn a_bundle_whose_last_day_has_passed_is_explained_and_taken_only_by_decision() {
    let mut bench = Bench::new();
    let base = bench.add(&release(Kind::Base, 2));
    bench.depot.expires = "2024-01-31T00:00:00Z";
    let file = bench.bundle("old.path", &[&base]);
    let text = bench.text(&["install", shown(&file)], 4);
    for wanted in [
        "path bundle \"",
        "it was good until 2024-01-31",
        "the clock of this appliance says 20",
        "The list in it is of 2023-11-14",
        "off by about",
        "last known good 2023-11-14",
        "--accept-expired --reason",
        "[depot-expired]",
    ] {
        assert!(text.contains(wanted), "\"{wanted}\" in {text}");
    }
    bench.text(&["install", shown(&file), "--accept-expired"], 2);
    bench.text(&["install", shown(&file), "--reason", "why"], 2);
    let text = bench.text(&["stage", shown(&file), "--accept-expired", "--reason", " "], 2);
    assert!(text.contains("a reason has"), "{text}");
    let package = bench.path("two.pkg");
    fs::write(&package, release(Kind::Base, 2).package).unwrap();
    for verb in ["install", "stage"] {
        let text = bench.text(&[verb, shown(&package), "--accept-expired", "--reason", "why"], 2);
        assert!(text.contains("only a path bundle"), "{text}");
        bench.text(&[verb, &base.to_string(), "--accept-expired", "--reason", "why"], 2);
    }
    assert_eq!(bench.decisions(), [""; 0]);

    // Whatever is decided, signatures hold; and what is refused is not written down as decided.
    let mut files = bench.depot.files();
    let forged =
        String::from_utf8(files["metadata/timestamp.json"].clone()).unwrap().replace("2024-01-31", "2025-01-31");
    files.insert("metadata/timestamp.json".into(), forged.into_bytes());
    let bad = bench.bundle_of("forged.path", "demo", &[&base], &files);
    let text = bench.text(&["stage", shown(&bad), "--accept-expired", "--reason", "why"], 4);
    assert!(text.contains("[depot-untrusted]"), "{text}");
    assert_eq!(bench.decisions(), [""; 0]);

    let text = bench.text(&["stage", shown(&file), "--accept-expired", "--reason", "the depot is closed"], 0);
    assert!(
        text.contains("it was good until 2024-01-31; taken all the same") && text.contains("is staged as"),
        "{text}"
    );
    let decisions = bench.decisions();
    assert_eq!(decisions.len(), 1, "{decisions:?}");
    assert!(
        decisions[0].contains("the depot is closed") && decisions[0].contains("good until 2024-01-31"),
        "{decisions:?}"
    );
    assert!(bench.text(&["list"], 0).contains("good until 2024-01-31"));

    // An older one is refused even so.
    bench.depot.version = 1;
    let older = bench.bundle("older.path", &[&base]);
    let text = bench.text(&["stage", shown(&older), "--accept-expired", "--reason", "why"], 4);
    assert!(text.contains("[depot-rollback]"), "{text}");
    assert_eq!(bench.decisions().len(), 1);
}
