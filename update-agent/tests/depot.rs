//! An appliance and its depot: a keeper over a disk image file, a depot on a web server, and the real commands.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

mod appliance;
mod depot_server;
mod disk_file;

use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;

use appliance::{AGENT, Appliance};
use depot_server::{Depot, Server, is_package};
use fixtures::{Release, licence_with, release, release_with, release_with_terms};
use formats::catalogue::{PackageId, Ring, Withdrawal};
use formats::manifest::Kind;
use serde_json::Value;
use update_agent::serve::upgrade::{Road, Turn, turn};

struct Bench {
    appliance: Appliance,
    depot: Depot,
    server: Server,
}

impl Bench {
    /// An appliance with base 1 and site 10, and a depot with nothing in it.
    fn new() -> Self {
        let depot = Depot::new();
        let server = Server::start(depot.files());
        Self { appliance: Appliance::with_depot(&depot.root(1), Some(&server.url)), depot, server }
    }

    fn add(&mut self, release: &Release) -> PackageId {
        let id = self.depot.add(&release.manifest, &release.package);
        self.publish();
        id
    }

    fn publish(&mut self) {
        self.depot.version += 1;
        self.server.publish(&self.depot);
    }

    /// What the daemon's thread for upgrades does when it is time.
    fn turn(&self) -> Turn {
        turn(&self.desk, &self.desk.wanted().unwrap().unwrap()).unwrap()
    }
}

impl Deref for Bench {
    type Target = Appliance;

    fn deref(&self) -> &Appliance {
        &self.appliance
    }
}

fn needing(kind: Kind, sequence: u64, base: Option<&str>, site: Option<&str>) -> Release {
    release_with(kind, sequence, |manifest| {
        manifest.requires.base = base.map(|range| range.parse().unwrap());
        manifest.requires.site = site.map(|range| range.parse().unwrap());
    })
}

#[test]
fn what_the_depot_offers_is_listed_with_a_sentence_each() {
    let mut bench = Bench::new();
    let text = bench.text(&["list"], 5);
    assert!(text.contains("nothing is known of the depot yet") && text.contains("[not-checked]"), "{text}");

    bench.add(&release(Kind::Base, 1));
    bench.add(&release(Kind::Base, 2));
    bench.add(&needing(Kind::Site, 30, Some(">=2"), None));
    let withdrawn = bench.add(&release(Kind::Base, 3));
    let date = "2026-01-02".parse().unwrap();
    bench.depot.listing(&withdrawn).withdrawn = Some(Withdrawal { date, reason: "it loses data".into() });
    bench.publish();
    let text = bench.text(&["check"], 0);
    for wanted in [
        "has news: 4 packages",
        "base/demo-base-1.0.0 is installed",
        "base/demo-base-2.0.0 is available",
        "base/demo-base-3.0.0 is not available: withdrawn on 2026-01-02: it loses data",
        "base/demo-base-2.0.0 first",
    ] {
        assert!(text.contains(wanted), "\"{wanted}\" in {text}");
    }
    assert_eq!(text.lines().skip(1).collect::<Vec<_>>().join("\n"), bench.text(&["list"], 0).trim_end());

    let list = bench.json(&["list", "--json"]);
    let row = list["updates"].as_array().unwrap().iter().find(|row| row["package"] == "site/demo-site-30.0.0").unwrap();
    assert_eq!((&row["standing"], &row["first"]), (&"blocked".into(), &"base/demo-base-2.0.0".into()), "{row}");
    assert_eq!(list["attempt"]["problem"], Value::Null, "{list}");
}

/// The certificate that clients of the site's host name see is looked at before the site is installed, and stops nothing.
#[test]
fn a_plan_that_ends_with_a_site_says_whether_its_name_is_covered() {
    let mut bench = Bench::new();
    bench.add(&release(Kind::Base, 2));
    bench.add(&needing(Kind::Site, 30, Some(">=2"), None));
    bench.text(&["check"], 0);
    let codes = || {
        let way = bench.json(&["plan", "--to", "site/demo-site-30.0.0", "--json"]);
        let findings = way["findings"].as_array().unwrap().iter();
        findings.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes(), ["self-signed"], "nothing is bound");
    let text = bench.text(&["plan", "--to", "site/demo-site-30.0.0"], 0);
    assert!(text.contains("no certificate is bound for \"demo.example\""), "{text}");
    assert_eq!(bench.json(&["plan", "--to", "base/demo-base-2.0.0", "--json"])["findings"], Value::Array(Vec::new()));
    for (name, wanted) in
        [("other.example", &["name-mismatch"][..]), ("demo.example", &[]), ("*.example", &["name-mismatch"])]
    {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let fingerprint = formats::Digest::of(made.cert.der()).to_string();
        let file = bench.path("site.pem");
        fs::write(&file, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
        bench.text(&["cert", "import", file.to_str().unwrap()], 0);
        bench.text(&["cert", "bind", &fingerprint], 0);
        let always = ["self-signed", "not-exported"].map(str::to_owned);
        let told: Vec<String> = codes().into_iter().filter(|code| !always.contains(code)).collect();
        assert_eq!(told, wanted, "{name}");
    }
}

#[test]
fn a_plan_says_every_step_and_a_blocked_one_what_comes_first() {
    let mut bench = Bench::new();
    bench.add(&release(Kind::Base, 2));
    bench.add(&needing(Kind::Site, 30, Some(">=2"), None));
    bench.text(&["check"], 0);
    let text = bench.text(&["plan", "--to", "site/demo-site-30.0.0"], 0);
    assert!(
        text.starts_with("1. install base/demo-base-2.0.0") && text.contains("2. install site/demo-site-30.0.0"),
        "{text}"
    );
    assert_eq!(bench.json(&["plan", "--json"])["steps"].as_array().unwrap().len(), 2);
    let text = bench.text(&["plan", "--to", "site/demo-site-31.0.0"], 5);
    assert!(text.contains("site/demo-site-31.0.0") && text.contains("[blocked]"), "{text}");
}

#[test]
fn a_check_of_an_unchanged_depot_costs_two_requests_and_the_timestamp() {
    let mut bench = Bench::new();
    bench.add(&release(Kind::Base, 2));
    bench.text(&["check"], 0);
    bench.server.counts();
    assert!(bench.text(&["check"], 0).contains("has nothing new"));
    let (asked, sent) = bench.server.counts();
    assert_eq!(asked, ["metadata/2.root.json", "metadata/timestamp.json"]);
    assert!(sent < 1000, "{sent}");
}

#[test]
fn a_failed_check_says_why_and_loses_nothing() {
    let mut bench = Bench::new();
    bench.add(&release(Kind::Base, 2));
    bench.text(&["check"], 0);
    let good = bench.depot.files();

    bench.depot.version = 1;
    bench.server.publish(&bench.depot);
    let text = bench.text(&["check"], 4);
    assert!(text.contains("version 1; version 2 was seen before") && text.contains("[depot-rollback]"), "{text}");
    let text = bench.text(&["list"], 0);
    assert!(
        text.contains("the last check failed, so this may be old") && text.contains("base-2.0.0 is available"),
        "{text}"
    );

    bench.depot.version = 3;
    bench.depot.expires = "2024-01-31T00:00:00Z";
    bench.server.publish(&bench.depot);
    let text = bench.text(&["check"], 4);
    for wanted in [
        "it was good until 2024-01-31",
        "the clock of this appliance says 20",
        "signed is of 2023-11-14",
        "off by about",
        "last known good 2023-11-14",
        "[depot-expired]",
    ] {
        assert!(text.contains(wanted), "\"{wanted}\" in {text}");
    }

    let mut stranger = Depot::new();
    stranger.roots = vec![90];
    stranger.version = 9;
    let mut files = stranger.files();
    files.remove("metadata/1.root.json");
    let forged = String::from_utf8(files["metadata/timestamp.json"].clone()).unwrap().replace("2099", "2098");
    files.insert("metadata/timestamp.json".into(), forged.into_bytes());
    bench.server.state.lock().unwrap().files = files;
    let text = bench.text(&["check"], 4);
    assert!(text.contains("0 of 1 needed signatures") && text.contains("[depot-untrusted]"), "{text}");

    bench.server.state.lock().unwrap().files.clear();
    let text = bench.text(&["check"], 6);
    assert!(
        text.contains("timestamp.json: the depot does not have it") && text.contains("[depot-incomplete]"),
        "{text}"
    );

    fs::write(bench.path("data/bulkhead/depot.json"), r#"{"format":1,"url":"http://127.0.0.1:1/x"}"#).unwrap();
    let text = bench.text(&["check"], 6);
    assert!(
        text.contains("cannot fetch \"http://127.0.0.1:1/x/metadata/") && text.contains("[depot-unreachable]"),
        "{text}"
    );

    fs::remove_file(bench.path("data/bulkhead/depot.json")).unwrap();
    bench.server.state.lock().unwrap().files = good;
    assert!(bench.text(&["check"], 0).contains("has nothing new"));
    assert!(!bench.text(&["list"], 0).contains("failed"));
}

#[test]
fn a_root_that_came_after_the_base_is_followed_and_never_left_again() {
    let mut bench = Bench::new();
    bench.depot.roots.extend([50, 51]);
    bench.add(&release(Kind::Base, 2));
    bench.text(&["check"], 0);
    bench.server.counts();
    bench.text(&["check"], 0);
    assert_eq!(bench.server.counts().0[0], "metadata/4.root.json", "two roots behind it was, once");

    // Whoever has the disk in hand cannot slip in a root of his own.
    let file = bench.path("data/bulkhead/depot/metadata.json");
    let mut kept: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let mut stranger = Depot::new();
    stranger.roots = vec![90, 91];
    kept["roots"] = serde_json::json!([String::from_utf8(stranger.root(2)).unwrap()]);
    fs::write(&file, kept.to_string()).unwrap();
    bench.server.counts();
    bench.text(&["check"], 0);
    assert_eq!(bench.server.counts().0[..3], ["metadata/2.root.json", "metadata/3.root.json", "metadata/4.root.json"]);
}

#[test]
fn what_is_kept_and_damaged_is_said_and_nothing_is_decided_without_it() {
    let mut bench = Bench::new();
    bench.add(&release(Kind::Base, 2));
    bench.text(&["check"], 0);
    let file = bench.path("data/bulkhead/depot/metadata.json");
    let package = bench.path("two.pkg");
    fs::write(&package, release(Kind::Base, 2).package).unwrap();
    let whole = fs::read_to_string(&file).unwrap();
    for (what, spoilt) in [
        ("torn", whole[..whole.len() / 2].to_owned()),
        ("emptied", String::new()),
        ("one digit of a signed file", whole.replacen("2099", "2098", 1)),
        ("the index", whole.replacen("stable", "staple", 1)),
        ("a format of later", whole.replacen("\"format\":1", "\"format\":7", 1)),
    ] {
        assert_ne!(spoilt, whole, "{what}");
        fs::write(&file, &spoilt).unwrap();
        for command in [&["list"][..], &["plan"], &["install", package.to_str().unwrap()]] {
            let text = bench.text(command, 4);
            assert!(text.contains("metadata.json\" is damaged") && text.contains("[depot-damaged]"), "{what}: {text}");
        }
        let text = bench.text(&["check"], 0);
        assert!(text.contains("is damaged") && text.contains("base-2.0.0 is available"), "{what}: {text}");
        assert!(!bench.text(&["check"], 0).contains("damaged"), "{what}");
    }

    // What still verifies of it goes on to tell older files from newer ones.
    fs::write(&file, fs::read_to_string(&file).unwrap().replacen("stable", "staple", 1)).unwrap();
    bench.depot.version = 1;
    bench.server.publish(&bench.depot);
    let text = bench.text(&["check"], 4);
    assert!(text.contains("[depot-rollback]"), "{text}");
}

#[test]
fn what_was_fetched_in_part_goes_when_the_depot_does_not_list_it_any_more() {
    let mut bench = Bench::new();
    let package = long(2);
    bench.add(&package);
    let listed = format!("{}.part", formats::Digest::of(&package.package).short());
    let staged = bench.path("data/bulkhead/staged");
    fs::create_dir_all(&staged).unwrap();
    for name in [listed.as_str(), "0123456789abcdef.part", "odd.part"] {
        fs::write(staged.join(name), "some").unwrap();
    }
    bench.text(&["check"], 0);
    let left: Vec<_> = fs::read_dir(&staged).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [listed.as_str()]);
}

#[test]
fn a_ring_opens_when_its_time_has_come_and_not_before() {
    let mut bench = Bench::new();
    let id = bench.add(&release(Kind::Base, 2));
    let ring = |name: &str, share| Ring { name: name.into(), share };
    bench.depot.index.rings = vec![ring("early", 500), ring("late", 500)];
    let opens = [("early".into(), 1_700_000_000), ("late".into(), 4_000_000_000)];
    bench.depot.listing(&id).opens = opens.into();
    bench.publish();
    for (ring, wanted) in
        [("early", "is available"), ("late", "is not available: opens on 2096-10-02 for ring \"late\"")]
    {
        fs::create_dir_all(bench.path("data/bulkhead")).unwrap();
        fs::write(bench.path("data/bulkhead/depot.json"), format!(r#"{{"format":1,"ring":"{ring}"}}"#)).unwrap();
        let text = bench.text(&["check"], 0);
        assert!(text.contains(wanted), "{ring}: {text}");
    }
}

/// So much of a package that cuts and ranges mean something.
fn long(sequence: u64) -> Release {
    let words: Vec<String> = (0..9_000).map(|number| (number * 7919 % 104_729).to_string()).collect();
    release_with_terms(Kind::Base, sequence, &words.join(" "))
}

#[test]
fn a_download_that_is_cut_five_times_costs_hardly_more_than_the_package() {
    let mut bench = Bench::new();
    let package = long(2);
    let id = bench.add(&package).to_string();
    let size = package.package.len();
    bench.server.state.lock().unwrap().cuts = vec![size / 10, size / 7, 1, size / 3, size / 20];
    bench.text(&["check"], 0);
    bench.server.counts();
    let text = bench.text(&["stage", &id], 0);
    assert!(text.contains("demo-base 2.0.0 is fetched and staged as"), "{text}");
    let (asked, _) = bench.server.counts();
    let of_package: Vec<&String> = asked.iter().filter(|path| is_package(path)).collect();
    assert_eq!(of_package.len(), 6, "{asked:?}");
    let sent = bench.server.state.lock().unwrap().sent_of_packages;
    assert!(sent >= size as u64 && sent * 100 <= size as u64 * 102, "{sent} of {size}");

    let staged = fs::read_dir(bench.path("data/bulkhead/staged")).unwrap().map(|entry| entry.unwrap().path());
    let staged: Vec<PathBuf> = staged.collect();
    assert_eq!(staged.len(), 1, "{staged:?}");
    assert_eq!(fs::read(&staged[0]).unwrap(), package.package);
    assert!(bench.text(&["list"], 0).contains("it is staged"));
    assert!(bench.text(&["stage", &id], 0).contains("is staged as"));
    assert!(!bench.server.counts().0.iter().any(|path| is_package(path)), "it is there already");
    assert!(bench.text(&["eula", &id], 0).contains("7919"));
}

#[test]
fn what_lies_there_of_a_download_is_gone_on_with_and_never_believed() {
    let mut bench = Bench::new();
    let package = long(2);
    let id = bench.add(&package).to_string();
    let digest = formats::Digest::of(&package.package).short();
    let part = bench.path("data/bulkhead/staged").join(format!("{digest}.part"));
    let half = package.package.len() / 2;
    let mut spoilt = package.package[..half].to_vec();
    spoilt[100] ^= 1;
    for (there, sent) in [
        (&package.package[..half], package.package.len() - half),
        (&spoilt[..], package.package.len() - half + package.package.len()),
        (&package.package[..], 0),
        (&[&package.package[..], b"more"].concat()[..], package.package.len()),
    ] {
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(&part, there).unwrap();
        fs::write(part.with_file_name("0123456789abcdef.part"), "of another").unwrap();
        bench.server.state.lock().unwrap().sent_of_packages = 0;
        let text = bench.text(&["stage", &id], 0);
        assert_eq!(bench.server.state.lock().unwrap().sent_of_packages, sent as u64, "{text}");
        let staged = text.split("staged as ").nth(1).unwrap()[..16].to_owned();
        assert_eq!(bench.text(&["staged"], 0).lines().count(), 1);
        assert!(!part.with_file_name("0123456789abcdef.part").exists());
        bench.text(&["discard", &staged], 0);
    }
}

#[test]
fn a_server_without_ranges_and_one_that_lies_are_survived() {
    let mut bench = Bench::new();
    let package = long(2);
    let id = bench.add(&package).to_string();
    {
        let mut state = bench.server.state.lock().unwrap();
        state.no_ranges = true;
        state.cuts = vec![5000];
    }
    bench.text(&["stage", &id], 0);
    let staged = bench.json(&["staged", "--json"])[0]["id"].as_str().unwrap().to_owned();
    bench.text(&["discard", &staged], 0);

    let path = bench.depot.files().keys().find(|path| path.ends_with("base-2.0.0.pkg")).unwrap().clone();
    bench.server.state.lock().unwrap().files.get_mut(&path).unwrap()[3000] ^= 1;
    let text = bench.text(&["stage", &id], 4);
    assert!(
        text.contains("SHA-256 is not the one that was signed for") && text.contains("[depot-untrusted]"),
        "{text}"
    );
    bench.server.state.lock().unwrap().files.get_mut(&path).unwrap().extend(vec![0; 100_000]);
    bench.server.state.lock().unwrap().sent_of_packages = 0;
    bench.text(&["stage", &id], 4);
    bench.server.state.lock().unwrap().files.remove(&path);
    let text = bench.text(&["stage", &id], 6);
    assert!(text.contains("[depot-incomplete]"), "{text}");
    assert_eq!(bench.json(&["staged", "--json"]), serde_json::json!([]));
}

#[test]
fn a_package_of_the_depot_is_installed_by_its_id_when_it_is_its_turn() {
    let mut bench = Bench::new();
    let base = bench.add(&release(Kind::Base, 2)).to_string();
    let site = bench.add(&needing(Kind::Site, 30, Some(">=2"), None)).to_string();
    let late = bench.add(&release(Kind::Base, 3));
    let date = "2026-01-02".parse().unwrap();
    bench.depot.listing(&late).withdrawn = Some(Withdrawal { date, reason: "it loses data".into() });
    bench.publish();
    for (id, wanted, code) in [
        (site.as_str(), "base/demo-base-2.0.0 first", "[blocked]"),
        (&late.to_string(), "withdrawn on 2026-01-02: it loses data", "[not-offered]"),
        ("base/demo-base-9.0.0", "has no package \"base/demo-base-9.0.0\"", "[not-found]"),
    ] {
        let text = bench.text(&["install", id], if code == "[not-found]" { 6 } else { 5 });
        assert!(text.contains(wanted) && text.contains(code), "{id}: {text}");
    }
    let text = bench.text(&["install", &base], 0);
    for wanted in ["is fetched and staged", "base slot B holds demo-base 2.0.0", "starts on trial"] {
        assert!(text.contains(wanted), "\"{wanted}\" in {text}");
    }
    assert_eq!(bench.json(&["staged", "--json"]), serde_json::json!([]), "nothing of it is left");
}

#[test]
fn keys_that_were_taken_away_sign_nothing_any_more_and_new_ones_wait_for_a_base_that_knows_them() {
    let mut bench = Bench::new();
    let old = release(Kind::Base, 2);
    let file = bench.path("two.pkg");
    fs::write(&file, &old.package).unwrap();
    bench.depot.base_key = 7;
    bench.publish();
    bench.text(&["check"], 0);
    let text = bench.text(&["install", file.to_str().unwrap()], 4);
    assert!(text.contains("[wrong-key]"), "{text}");
}

#[test]
fn room_is_measured_before_the_first_byte_is_fetched() {
    let mut bench = Bench::new();
    let mut entry_lies = long(2);
    let id = bench.depot.add_of_size(&entry_lies.manifest, &entry_lies.package, 1 << 50).to_string();
    entry_lies.package.clear();
    bench.publish();
    let text = bench.text(&["stage", &id], 6);
    assert!(text.contains("[no-space]"), "{text}");
    assert_eq!(bench.server.state.lock().unwrap().sent_of_packages, 0);
}

#[test]
fn a_licence_of_the_depot_is_listed_with_its_claims_and_installed_without_a_restart() {
    let mut bench = Bench::new();
    let claiming = |sequence, hostname: &str| {
        licence_with(sequence, None, |manifest, claims| {
            manifest.name = format!("demo-{}", &hostname[..4]);
            claims.hostname = Some(hostname.into());
            claims.features = vec!["chat".into()];
            claims.expires = Some("2099-12-31".parse().unwrap());
        })
    };
    let ours = bench.add(&claiming(1, "demo.example")).to_string();
    let theirs = bench.add(&claiming(1, "other.example")).to_string();
    bench.text(&["check"], 0);
    let list = bench.json(&["list", "--json"]);
    let row = |list: &Value, id: &str| {
        list["updates"].as_array().unwrap().iter().find(|row| row["package"] == id).unwrap().clone()
    };
    let found = row(&list, &ours);
    assert_eq!(
        (&found["standing"], &found["licences"], &found["hostname"]),
        (&"available".into(), &5.into(), &"demo.example".into())
    );
    assert_eq!((&found["features"][0], &found["expires"]), (&"chat".into(), &"2099-12-31".into()));
    assert!(
        found["summary"].as_str().unwrap().contains("5 licences, feature chat, for demo.example, until 2099-12-31")
    );
    let text = bench.text(&["install", &theirs], 5);
    assert!(text.contains("is for the site \"other.example\"; this appliance serves \"demo.example\""), "{text}");

    let text = bench.text(&["install", &ours], 0);
    assert!(
        text.contains("licence demo-demo 1.0.0 is installed; nothing restarts") && text.contains("5 licences now"),
        "{text}"
    );
    assert_eq!(row(&bench.json(&["list", "--json"]), &ours)["standing"], "installed");
    let licences = bench.json(&["licences", "--json"]);
    assert_eq!((&licences["count"], &licences["licences"][0]["holds"]), (&5.into(), &true.into()), "{licences}");
    assert!(bench.text(&["licences"], 0).contains("demo-demo 1.0.0: 5 licences, feature chat"));
    assert_eq!(bench.json(&["staged", "--json"]), serde_json::json!([]), "nothing of it is left");
    // From a file, and by hand; a newer one of the line takes its place.
    let file = bench.path("second.pkg");
    fs::write(&file, &claiming(2, "demo.example").package).unwrap();
    bench.text(&["install", file.to_str().unwrap()], 0);
    assert_eq!(bench.json(&["licences", "--json"])["licences"].as_array().unwrap().len(), 1);
    assert_eq!(row(&bench.json(&["list", "--json"]), &ours)["standing"], "superseded");
    // An image file has no place for one.
    let (disk, trust) = (bench.path("disk.img"), bench.path("trust.json"));
    let output = Command::new(AGENT)
        .arg("install")
        .arg(&file)
        .arg("--disk")
        .arg(disk)
        .arg("--trust")
        .arg(trust)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(5) && text.contains("[no-slot]"), "{text}");
}

#[test]
fn after_the_end_of_the_entitlement_only_licences_and_what_is_for_all_are_offered() {
    let mut bench = Bench::new();
    let id = bench.add(&release(Kind::Base, 2)).to_string();
    let until = |sequence, day: &str| {
        licence_with(sequence, None, |_, claims| claims.entitled_until = Some(day.parse().unwrap()))
    };
    let install = |bench: &Bench, licence: &Release| {
        let file = bench.path("licence.pkg");
        fs::write(&file, &licence.package).unwrap();
        bench.text(&["install", file.to_str().unwrap()], 0);
    };
    // The depot's packages were published on 2023-11-14.
    install(&bench, &until(1, "2023-11-13"));
    let renewal = bench.add(&until(2, "2099-01-01")).to_string();
    bench.text(&["check"], 0);
    let text = bench.text(&["list"], 0);
    for wanted in [
        &format!("{id} is not available: entitlement ended on 2023-11-13"),
        &format!("{renewal} is available"),
        "entitlement to new packages ended on 2023-11-13: what runs keeps running",
    ] {
        assert!(text.contains(wanted), "\"{wanted}\" in {text}");
    }
    let text = bench.text(&["install", &id], 5);
    assert!(text.contains("entitlement ended on 2023-11-13") && text.contains("[not-offered]"), "{text}");

    bench.depot.listing(&id.parse().unwrap()).for_all = true;
    bench.publish();
    assert!(bench.text(&["check"], 0).contains(&format!("{id} is available")));
    bench.depot.listing(&id.parse().unwrap()).for_all = false;
    bench.publish();
    bench.text(&["install", &renewal], 0);
    let text = bench.text(&["list"], 0);
    assert!(text.contains(&format!("{id} is available")), "without another check: {text}");
    assert!(text.contains("entitled to packages that are published until 2099-01-01"), "{text}");
}

#[test]
fn notes_of_all_hops_are_read_before_anything_is_fetched_and_one_changed_byte_is_found() {
    let mut bench = Bench::new();
    bench.add(&release(Kind::Base, 2));
    let site = bench.add(&needing(Kind::Site, 30, Some(">=2"), None)).to_string();
    bench.add(&release(Kind::Base, 3));
    let text = bench.text(&["notes", "--to", &site], 0);
    let (base, after) =
        text.split_once("## site/demo-site-30.0.0\n\nWhat is new.\n").unwrap_or_else(|| panic!("{text}"));
    assert!(base.contains("## base/demo-base-3.0.0\n\nWhat is new.\n") && !after.contains("##"), "{text}");
    assert_eq!(bench.json(&["notes", "--to", &site, "--json"])["packages"].as_array().unwrap().len(), 2);
    assert_eq!(bench.server.state.lock().unwrap().sent_of_packages, 0);
    // What is kept is not fetched again, and not believed either.
    bench.server.counts();
    bench.text(&["notes", "--to", &site], 0);
    assert!(!bench.server.counts().0.iter().any(|path| path.ends_with(".notes.md")));
    let folder = bench.path("data/bulkhead/depot/texts");
    for kept in fs::read_dir(&folder).unwrap() {
        fs::write(kept.unwrap().path(), "What is old.\n").unwrap();
    }
    assert!(bench.text(&["notes", "--to", &site], 0).contains("What is new."));
    assert!(bench.server.counts().0.iter().any(|path| path.ends_with(".notes.md")));

    fs::remove_dir_all(&folder).unwrap();
    for (path, bytes) in &mut bench.server.state.lock().unwrap().files {
        if path.ends_with(".notes.md") {
            bytes[0] ^= 1;
        }
    }
    let text = bench.text(&["notes", "--to", &site], 4);
    assert!(
        text.contains("SHA-256 is not the one that was signed for") && text.contains("[depot-untrusted]"),
        "{text}"
    );
    let text = bench.text(&["notes", "--to", "base/demo-base-9.0.0"], 5);
    assert!(text.contains("[blocked]"), "{text}");
}

#[test]
fn licence_terms_are_asked_for_before_the_download_and_once_for_each_text() {
    let mut bench = Bench::new();
    let terms = "Be kind.\n";
    let id = bench.add(&release_with_terms(Kind::Base, 2, terms)).to_string();
    let text = bench.text(&["install", &id], 5);
    assert!(text.contains("licence terms that nobody accepted") && text.contains("[eula-not-accepted]"), "{text}");
    assert_eq!(bench.server.state.lock().unwrap().sent_of_packages, 0, "nobody waits for that");
    let text = bench.text(&["eula", &id], 0);
    assert!(text.contains(terms) && text.contains("not accepted on this appliance"), "{text}");
    assert_eq!(bench.server.state.lock().unwrap().sent_of_packages, 0);
    assert!(bench.text(&["notes", "--to", &id], 0).contains(&format!("update-agent eula {id}")));

    let text = bench.text(&["install", &id, "--accept-eula"], 0);
    assert!(text.contains("licence terms of demo-base 2.0.0 accepted"), "{text}");
    bench.text(&["rollback"], 0);
    // The same text in another package is not asked for again; another one is.
    let same = bench.add(&release_with_terms(Kind::Base, 3, terms)).to_string();
    let other = bench.add(&release_with_terms(Kind::Base, 4, "Be kinder.\n")).to_string();
    bench.text(&["install", &same], 0);
    bench.text(&["rollback"], 0);
    assert!(bench.text(&["install", &other], 5).contains("[eula-not-accepted]"));
    assert!(!bench.text(&["notes", "--to", &same], 0).contains("terms to accept"));
    let history = bench.text(&["eula", &same], 0);
    assert!(history.contains("accepted on this appliance"), "{history}");
}

#[test]
fn an_upgrade_is_begun_by_a_command_followed_to_its_end_and_remembered() {
    let mut bench = Bench::new();
    bench.add(&release(Kind::Site, 20));
    let text = bench.text(&["upgrade"], 0);
    for wanted in ["has news", "1. install site/demo-site-20.0.0", "the appliance follows this by itself"] {
        assert!(text.contains(wanted), "{text}");
    }
    let text = bench.text(&["upgrade"], 5);
    let wanted = "upgrade to site/demo-site-20.0.0: step 1 of 1, next site/demo-site-20.0.0; take it back with";
    assert!(text.contains(wanted) && text.contains("[upgrade-under-way]"), "{text}");

    assert_eq!(bench.turn(), Turn::Moved);
    assert_eq!(bench.json(&["list", "--json"])["updates"][0]["standing"], "installed");
    assert!(bench.text(&["staged"], 0).contains("no package is staged"));
    assert_eq!(bench.turn(), Turn::Moved);
    assert_eq!(bench.desk.wanted().unwrap(), None);
    let history = fs::read_to_string(bench.path("data/bulkhead/journal")).unwrap();
    let events: Vec<&str> = history.lines().filter(|line| line.contains(r#""entry":"upgrade""#)).collect();
    assert!(events.len() == 2 && events[0].contains(r#""event":"begun""#), "{events:?}");
    assert!(events[1].contains(r#""event":"done""#) && events[1].contains(r#""actor":"user "#), "{events:?}");
    assert!(bench.text(&["upgrade"], 0).contains("nothing to do"));
    assert_eq!(bench.desk.wanted().unwrap(), None);
}

#[test]
fn an_upgrade_that_is_refused_stops_with_the_reason_and_goes_on_when_somebody_decides() {
    let mut bench = Bench::new();
    bench.add(&release_with_terms(Kind::Base, 2, "Be kind.\n"));
    bench.text(&["upgrade"], 0);
    assert_eq!(bench.turn(), Turn::Moved);
    let stopped = bench.desk.wanted().unwrap().unwrap().stopped.unwrap();
    assert_eq!(stopped.problem.code, "eula-not-accepted");
    assert_eq!(bench.turn(), Turn::Waited);

    bench.text(&["upgrade", "--accept-eula"], 0);
    assert_eq!(bench.turn(), Turn::Moved);
    assert_eq!(bench.turn(), Turn::Waited, "the base waits for its restart");
    bench.text(&["rollback"], 0);
    assert_eq!(bench.turn(), Turn::Moved);
    let stopped = bench.desk.wanted().unwrap().unwrap().stopped.unwrap();
    assert_eq!(stopped.problem.code, "upgrade-stopped");
    assert!(stopped.problem.message.contains("demo-base 2.0.0 was left: it was taken back"), "{stopped:?}");

    assert!(bench.text(&["upgrade", "--cancel"], 0).contains("base/demo-base-2.0.0 is cancelled"));
    assert!(bench.text(&["upgrade", "--cancel"], 5).contains("[no-upgrade]"));
}

#[test]
fn an_upgrade_waits_for_its_depot_and_is_taken_back_while_it_does() {
    let mut bench = Bench::new();
    bench.add(&release(Kind::Site, 20));
    bench.text(&["upgrade", "--to", "site/demo-site-20.0.0"], 0);
    fs::write(bench.path("data/bulkhead/depot.json"), r#"{"format":1,"url":"http://127.0.0.1:1/x"}"#).unwrap();
    let Turn::Failed(problem) = bench.turn() else { panic!("it is not reached") };
    assert_eq!(problem.code, "depot-unreachable");
    assert_eq!(bench.desk.wanted().unwrap().unwrap().stopped, None);
    let upgrade = bench.desk.wanted().unwrap().unwrap();
    bench.text(&["upgrade", "--cancel"], 0);
    fs::remove_file(bench.path("data/bulkhead/depot.json")).unwrap();
    // Decided before it was taken back: nothing is installed any more.
    bench.desk.install(&upgrade, &"site/demo-site-20.0.0".parse().unwrap()).unwrap();
    assert_eq!(bench.json(&["list", "--json"])["updates"][0]["standing"], "available");
}

#[test]
fn an_upgrade_can_take_what_is_staged_and_leave_the_depot_alone() {
    let mut bench = Bench::new();
    bench.add(&release(Kind::Site, 20));
    bench.text(&["stage", "site/demo-site-20.0.0"], 0);
    bench.server.counts();
    bench.text(&["upgrade", "--offline"], 0);
    assert_eq!((bench.turn(), bench.turn()), (Turn::Moved, Turn::Moved));
    assert_eq!(bench.desk.wanted().unwrap(), None);
    assert_eq!(bench.server.counts().0, [""; 0]);
    assert_eq!(bench.json(&["list", "--json"])["updates"][0]["standing"], "installed");
}

#[test]
fn an_upgrade_without_the_depot_goes_among_what_is_staged_and_says_what_is_missing() {
    let mut bench = Bench::new();
    let site = needing(Kind::Site, 20, Some(">=2"), None);
    for release in [&release(Kind::Base, 2), &site, &release(Kind::Site, 15)] {
        bench.add(release);
    }
    bench.text(&["stage", "site/demo-site-20.0.0"], 0);
    // The newest there is needs a base that is not here.
    let text = bench.text(&["upgrade", "--offline"], 5);
    assert!(
        text.contains("the way needs what is not staged: base/demo-base-2.0.0; stage it") && text.contains("[blocked]"),
        "{text}"
    );
    let text = bench.text(&["upgrade", "--offline", "--to", "site/demo-site-20.0.0"], 5);
    assert!(text.contains("not staged: base/demo-base-2.0.0; stage it"), "{text}");
    assert_eq!(bench.desk.wanted().unwrap(), None);
    // What is here and leads further is taken, and what is not is told.
    bench.text(&["stage", "site/demo-site-15.0.0"], 0);
    let text = bench.text(&["upgrade", "--offline"], 0);
    for wanted in ["1. install site/demo-site-15.0.0", "there is more that is not staged: base/demo-base-2.0.0"] {
        assert!(text.contains(wanted), "{text}");
    }
    let kept = bench.desk.wanted().unwrap().unwrap();
    assert_eq!((kept.to.len(), kept.among.len(), kept.offline), (1, 1, true));
    assert_eq!((bench.turn(), bench.turn()), (Turn::Moved, Turn::Moved));
    let staged = bench.text(&["staged"], 0);
    assert!(!staged.contains("demo-site 15.0.0") && staged.contains("demo-site 20.0.0"), "{staged}");
}

#[test]
fn leaving_clients_no_time_needs_a_reason_which_the_history_keeps() {
    let mut bench = Bench::new();
    bench.add(&release(Kind::Site, 20));
    assert!(bench.text(&["upgrade", "--no-soak"], 2).contains("--reason"));
    assert!(bench.text(&["upgrade", "--no-soak", "--reason", " "], 2).contains("1 to 400 characters"));
    bench.text(&["upgrade", "--no-soak", "--reason", "a new fleet"], 0);
    let history = fs::read_to_string(bench.path("data/bulkhead/journal")).unwrap();
    assert!(history.contains(r#""event":"begun","reason":"a new fleet""#), "{history}");
}
