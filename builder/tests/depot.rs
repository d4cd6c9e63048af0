//! What the publishing side promises: refusals, rotations, cuts, and what lint finds. Read back with the appliance's own client.

#[path = "support/cut.rs"]
mod cut;
#[path = "support/depot.rs"]
mod depot;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use builder::Error;
use builder::depot::lint::lint;
use builder::depot::{Creation, Edit, Policy, RealStorage, Rotation, Signers, State, prune};
use cut::cut_everywhere;
use depot::{NOW, Release, Shop, content, delivered, make_keys, seen};
use formats::catalogue::{Availability, PackageId, Place, Ring};
use formats::manifest::Kind;
use formats::results::{Results, Run};

const DAY: i64 = 86_400;

fn base(version: &'static str, sequence: u64) -> Release {
    Release::new(Kind::Base, version, sequence)
}

fn codes(shop: &Shop, now: i64) -> Vec<(&'static str, String)> {
    lint(&shop.depot, now).unwrap().into_iter().map(|finding| (finding.code, finding.subject)).collect()
}

#[test]
fn what_is_offered_to_all_is_offered_after_the_end_of_an_entitlement() {
    let shop = Shop::new();
    shop.add(NOW, &base("1.0.0", 1)).unwrap();
    let id: PackageId = "base/demo-base-1.0.0".parse().unwrap();
    let ended = Some("2000-01-01".parse().unwrap());
    let place = Place { channel: "stable", appliance: "one", ring: None, entitled_until: ended, now: NOW };
    let mark = |for_all| shop.change(NOW, |edit, _| edit.offer_to_all(&id, "stable", for_all)).unwrap().1;
    let sees = |state: &State| state.catalogue().unwrap().availability(&id, &place).unwrap().is_available();
    assert!(sees(&mark(true)) && !sees(&mark(false)));
    let unknown = shop.change(NOW, |edit, _| edit.offer_to_all(&id, "beta", true));
    assert!(unknown.unwrap_err().to_string().contains("channel \"beta\" does not list base/demo-base-1.0.0"));
}

#[test]
fn what_an_appliance_would_refuse_does_not_get_in_and_changes_nothing() {
    let shop = Shop::new();
    shop.add(NOW, &base("1.0.0", 1)).unwrap();
    let before = content(shop.depot.folder());
    let other = Release { notes: "other notes\n".into(), ..base("1.0.0", 1) };
    let refusal = |path: &Path| {
        let added = shop.change(NOW, |edit, state| edit.add(state, path, "stable", &BTreeMap::new()));
        let problem = added.map(|_| ()).unwrap_err();
        assert!(content(shop.depot.folder()) == before, "{problem}");
        (problem.exit_code(), builder::error::chain(&problem))
    };
    let (code, problem) = refusal(&shop.package(&other));
    assert_eq!((code, problem.contains("another build")), (5, true), "{problem}");

    let strangers = shop.path("strangers");
    make_keys(&strangers, &["base"]);
    let foreign = shop.path("foreign.pkg");
    base("2.0.0", 2).write(&foreign, &[&strangers]);
    let (code, problem) = refusal(&foreign);
    assert_eq!((code, problem.contains("is unknown here")), (4, true), "{problem}");

    let good = fs::read(shop.package(&base("2.0.0", 2))).unwrap();
    let damaged = shop.path("damaged.pkg");
    for at in [good.len() / 2, good.len() - 1500] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&damaged, bytes).unwrap();
        assert!([3, 4].contains(&refusal(&damaged).0), "byte {at}");
    }
    fs::write(&damaged, &good[..good.len() - 512]).unwrap();
    assert_eq!(refusal(&damaged).0, 4, "cut off");
    fs::write(&damaged, "no package").unwrap();
    assert_eq!(refusal(&damaged).0, 3);

    fs::rename(shop.keys.join("snapshot.key"), shop.path("snapshot.key")).unwrap();
    let (code, problem) = refusal(&shop.package(&base("2.0.0", 2)));
    assert_eq!((code, problem.contains("role snapshot")), (3, true), "{problem}");
    fs::rename(shop.path("snapshot.key"), shop.keys.join("snapshot.key")).unwrap();
    assert_eq!(codes(&shop, NOW), []);
    shop.add(NOW, &base("2.0.0", 2)).unwrap();
}

#[test]
fn the_same_package_twice_is_there_once_and_a_tampered_depot_is_not_signed_again() {
    let shop = Shop::new();
    shop.add(NOW, &base("1.0.0", 1)).unwrap();
    let state = shop.add(NOW + DAY, &base("1.0.0", 1)).unwrap();
    assert_eq!(state.index().channels["stable"].len(), 1);
    assert_eq!(state.index().channels["stable"][0].added, NOW, "nobody's entitlement depends on the second time");
    let problem = |file: PathBuf| {
        let good = fs::read(&file).unwrap();
        fs::write(&file, String::from_utf8_lossy(&good).replace("1.0.0", "1.0.1")).unwrap();
        let problem = shop.change(NOW, |edit, state| edit.refresh(state, &[])).map(|_| ()).unwrap_err();
        fs::write(&file, good).unwrap();
        assert_eq!(problem.exit_code(), 4, "{problem}");
    };
    problem(shop.depot.metadata("2.base.json"));
    let index = state.verified.target("index/index.json").unwrap().path("index/index.json");
    problem(shop.depot.target(&index));
    shop.change(NOW, |edit, state| edit.refresh(state, &[])).unwrap();
}

#[test]
fn channels_rings_and_withdrawals_reach_appliances() {
    let shop = Shop::unmade();
    let ring = |name: &str, share| Ring { name: name.into(), share };
    let creation = Creation { rings: vec![ring("early", 100), ring("rest", 900)], ..shop.creation(NOW) };
    creation.run(shop.depot.folder(), &[], &mut RealStorage).unwrap();
    let path = shop.package(&base("1.0.0", 1));
    let opens = BTreeMap::from([("rest".to_owned(), 2 * DAY)]);
    let (id, state) = shop.change(NOW, |edit, state| edit.add(state, &path, "beta", &opens)).unwrap();
    let sees = |state: &State, channel: &str, ring: &str, now: i64| {
        let place = Place { channel, appliance: "one", ring: Some(ring), entitled_until: None, now };
        state.catalogue().unwrap().availability(&id, &place)
    };
    assert_eq!(sees(&state, "beta", "early", NOW), Some(Availability::Available));
    assert_eq!(
        sees(&state, "beta", "rest", NOW),
        Some(Availability::NotOpen { opens: NOW + 2 * DAY, ring: "rest".into() })
    );
    assert_eq!(sees(&state, "beta", "rest", NOW + 2 * DAY), Some(Availability::Available));
    assert_eq!(sees(&state, "stable", "early", NOW), None);
    let ((), state) = shop.change(NOW + DAY, |edit, _| edit.promote(&id, "stable", &BTreeMap::new())).unwrap();
    assert_eq!(sees(&state, "stable", "rest", NOW + DAY), Some(Availability::Available));
    let unknown: PackageId = "base/demo-base-9.0.0".parse().unwrap();
    let promote = |id: &PackageId, opens: &[(&str, i64)]| {
        let opens = opens.iter().map(|(ring, after)| ((*ring).to_owned(), *after)).collect();
        shop.change(NOW, |edit, _| edit.promote(id, "stable", &opens)).map(|_| ()).map_err(|error| error.exit_code())
    };
    assert_eq!(promote(&unknown, &[]), Err(3));
    assert_eq!(promote(&id, &[("nobody", 1)]), Err(3));
    let withdraw = |id: &PackageId, channel: Option<&str>, reason: &str| {
        shop.change(NOW + DAY, |edit, _| edit.withdraw(id, channel, reason)).map(|((), state)| state)
    };
    assert!(withdraw(&id, None, "two\nlines").is_err());
    assert!(withdraw(&id, Some("other"), "gone").is_err());
    let state = withdraw(&id, Some("beta"), "gone").unwrap();
    assert!(
        matches!(sees(&state, "beta", "early", NOW), Some(Availability::Withdrawn { reason, .. }) if reason == "gone")
    );
    assert_eq!(sees(&state, "stable", "early", NOW), Some(Availability::Available));
    let again = shop.change(NOW, |edit, _| edit.promote(&id, "beta", &BTreeMap::new()));
    assert_eq!(again.map(|_| ()).unwrap_err().exit_code(), 5, "what was withdrawn does not come back by accident");
}

/// Replaces the keys of a role by new ones, and signs with all.
fn rotated(shop: &Shop, role: &str, now: i64) {
    let (new, rotation) = shop.new_key(role);
    let mut signers = shop.signers();
    signers.folders.push(new.clone());
    shop.change_by(&signers, now, |edit, _| edit.rotate(role, &rotation)).unwrap();
    shop.take_over(role, &new);
}

#[test]
fn every_role_gets_new_keys_and_an_appliance_five_roots_behind_follows() {
    let shop = Shop::new();
    let old = delivered(&shop.depot);
    shop.add(NOW, &base("1.0.0", 1)).unwrap();
    let before = seen(&shop.depot, &old, NOW).unwrap();
    let trusted = |depot: &formats::tuf::Depot| depot.targets().trust_store("demo", true).unwrap().keys().clone();
    for (number, role) in (1..).zip(["root", "targets", "snapshot", "timestamp", "depot", "licence", "base", "root"]) {
        rotated(&shop, role, NOW + number);
        for kept in [&old, before.kept()] {
            seen(&shop.depot, kept, NOW + DAY).unwrap_or_else(|problem| panic!("after {role}: {problem}"));
        }
    }
    let now = seen(&shop.depot, before.kept(), NOW + DAY).unwrap();
    assert_eq!(now.root().version(), 6);
    assert_ne!(trusted(&now), trusted(&before));
    // What the old base key signed is refused by now, and lint says so.
    assert_eq!(codes(&shop, NOW + DAY), [("untrusted", "base/demo-base-1.0.0".to_owned())]);
    shop.add(NOW + DAY, &base("1.1.0", 2)).unwrap();
}

#[test]
fn a_rotation_wants_old_and_new_keys_and_says_which_are_missing() {
    let shop = Shop::new();
    let new = shop.path("new");
    make_keys(&new, &["root", "base"]);
    let only = |folder: &Path| Signers { folders: vec![folder.to_owned()], ..Signers::default() };
    let rotate = |signers: &Signers, role: &str, rotation: Rotation| {
        shop.change_by(signers, NOW, |edit, _| edit.rotate(role, &rotation))
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let to_new = || Rotation { new: vec![new.clone()], ..Rotation::default() };
    let files = content(shop.depot.folder());
    for folder in [&new, &shop.keys] {
        let problem = rotate(&only(folder), "root", to_new()).unwrap_err();
        assert!(problem.contains("0 of 1 needed signature(s)"), "{problem}");
    }
    assert!(rotate(&shop.signers(), "base", Rotation::default()).unwrap_err().contains("0 key(s)"));
    let same = Rotation { new: vec![shop.keys.clone()], ..Rotation::default() };
    assert!(rotate(&shop.signers(), "base", same).unwrap_err().contains("exactly these keys"));
    assert!(rotate(&shop.signers(), "nobody", to_new()).unwrap_err().contains("no role"));
    let unknown = Rotation { remove: vec!["00000000".into()], ..to_new() };
    assert!(rotate(&shop.signers(), "base", unknown).unwrap_err().contains("0 keys"));
    assert!(content(shop.depot.folder()) == files);

    // A second signer: two of two from now on.
    let both = Signers { folders: vec![shop.keys.clone(), new.clone()], ..Signers::default() };
    rotate(&both, "base", Rotation { keep: true, threshold: Some(2), ..to_new() }).unwrap();
    let path = shop.package(&base("1.0.0", 1));
    let add = |signers: &Signers| {
        shop.change_by(signers, NOW, |edit, state| edit.add(state, &path, "stable", &BTreeMap::new()))
    };
    let problem = add(&both).map(|_| ()).unwrap_err();
    assert_eq!(problem.exit_code(), 4, "{problem}: signed by one");
    base("1.0.0", 1).write(&path, &[&shop.keys, &new]);
    assert!(add(&only(&shop.keys)).map(|_| ()).unwrap_err().to_string().contains("1 of 2"));
    add(&both).unwrap();
}

#[test]
fn a_depot_of_two_signers_is_made_with_a_command_for_the_one_who_is_elsewhere() {
    let shop = Shop::unmade();
    let (other, secret) = (shop.path("other"), shop.path("secret"));
    make_keys(&other, &["root", "targets", "base", "site", "licence"]);
    fs::create_dir(&secret).unwrap();
    for role in ["root", "targets", "base", "site", "licence"] {
        fs::rename(other.join(format!("{role}.key")), secret.join(format!("{role}.key"))).unwrap();
    }
    let creation = Creation {
        co_signers: vec![other],
        root_threshold: 2,
        targets_threshold: 2,
        package_threshold: 2,
        ..shop.creation(NOW)
    };
    let problem = creation.run(shop.depot.folder(), &[], &mut RealStorage).map(|_| ()).unwrap_err().to_string();
    assert!(problem.contains("1 of 2") && !shop.depot.folder().exists(), "{problem}");
    // Another program signs: openssl.
    let command = format!(
        "cat > message-$$ && openssl pkeyutl -sign -rawin -inkey {}/$BULKHEAD_ROLE.key -in message-$$; rm message-$$",
        secret.display()
    );
    let command = format!("cd {} && {command}", shop.scratch.path().display());
    creation.run(shop.depot.folder(), &[command], &mut RealStorage).unwrap();
    let depot = seen(&shop.depot, &delivered(&shop.depot), NOW).unwrap();
    assert_eq!(depot.targets().trust_store("demo", true).unwrap().threshold(formats::trust::Role::Base), Some(2));
}

#[test]
fn time_runs_out_and_refresh_turns_it_back() {
    let shop = Shop::new();
    let kept = delivered(&shop.depot);
    assert_eq!(codes(&shop, NOW), []);
    assert_eq!(codes(&shop, NOW + 6 * DAY), [("expires-soon", "timestamp".to_owned())]);
    assert_eq!(codes(&shop, NOW + 8 * DAY), [("expired", "timestamp".to_owned())]);
    assert!(seen(&shop.depot, &kept, NOW + 8 * DAY).is_err());
    let refresh = |now: i64, roles: &[String]| {
        shop.change(now, |edit, state| edit.refresh(state, roles)).map(|((), state)| state)
    };
    let versions = |state: &State| {
        ["timestamp", "snapshot", "depot", "base"].map(|role| state.draft.document(role).unwrap().version())
    };
    assert_eq!(versions(&refresh(NOW + 8 * DAY, &[]).unwrap()), [2, 1, 1, 1], "one small file a day");
    seen(&shop.depot, &kept, NOW + 8 * DAY).unwrap();
    assert_eq!(versions(&refresh(NOW + 16 * DAY, &[]).unwrap()), [3, 2, 2, 1]);
    assert_eq!(codes(&shop, NOW + 16 * DAY), []);
    let roles = ["root", "targets", "base", "site", "licence"].map(str::to_owned);
    assert_eq!(versions(&refresh(NOW + 400 * DAY, &roles).unwrap()), [4, 3, 3, 2]);
    assert_eq!(codes(&shop, NOW + 400 * DAY), []);
    assert_eq!(seen(&shop.depot, &kept, NOW + 400 * DAY).unwrap().root().version(), 2);
}

#[test]
fn lint_finds_what_nobody_can_install_and_where_appliances_get_stuck() {
    let shop = Shop::new();
    let site = |version, sequence, base| Release { base: Some(base), ..Release::new(Kind::Site, version, sequence) };
    for release in [base("1.0.0", 1), site("1.0.0", 1, "^1"), base("2.0.0", 2), site("2.0.0", 2, "^2")] {
        shop.add(NOW, &release).unwrap();
    }
    let stuck = lint(&shop.depot, NOW).unwrap();
    assert!(stuck.iter().all(|one| ["stuck", "unreachable"].contains(&one.code)), "{stuck:?}");
    assert!(!stuck.is_empty(), "no site runs on both bases");
    shop.add(NOW, &site("1.5.0", 15, ">=1, <3")).unwrap();
    shop.add(NOW, &site("2.5.0", 25, "^2")).unwrap();
    assert!(
        !codes(&shop, NOW).iter().any(|(_, subject)| subject == "site/demo-site-2.5.0"),
        "{:?}",
        lint(&shop.depot, NOW)
    );
    shop.add(NOW, &site("9.0.0", 90, "^9")).unwrap();
    assert!(codes(&shop, NOW).contains(&("nobody", "site/demo-site-9.0.0".to_owned())));
}

#[test]
fn lint_finds_files_that_are_not_what_was_signed_for() {
    let shop = Shop::new();
    let release = Release { eula: Some("You agree.\n"), ..base("1.0.0", 1) };
    let state = shop.add(NOW, &release).unwrap();
    assert_eq!(codes(&shop, NOW), []);
    for name in ["base/demo-base-1.0.0.pkg", "base/demo-base-1.0.0.notes.md", "base/demo-base-1.0.0.eula.txt"] {
        let path = shop.depot.target(&state.verified.target(name).unwrap().path(name));
        let good = fs::read(&path).unwrap();
        fs::write(&path, "other").unwrap();
        assert_eq!(codes(&shop, NOW), [("file", name.to_owned())]);
        fs::remove_file(&path).unwrap();
        assert_eq!(codes(&shop, NOW), [("file", name.to_owned())]);
        fs::write(&path, good).unwrap();
    }
    let timestamp = shop.depot.metadata("timestamp.json");
    fs::write(&timestamp, "{}").unwrap();
    assert_eq!(codes(&shop, NOW)[0].0, "metadata");
}

#[test]
fn a_change_that_is_cut_anywhere_leaves_the_old_depot_or_the_new_one() {
    let shop = Shop::new();
    shop.add(NOW, &base("1.0.0", 1)).unwrap();
    let package = shop.package(&Release { eula: Some("You agree.\n"), ..Release::new(Kind::Site, "2.0.0", 2) });
    let new = shop.path("new");
    make_keys(&new, &["root", "targets", "snapshot", "timestamp", "base", "depot"]);
    let signers = Signers { folders: vec![shop.keys.clone(), new.clone()], ..Signers::default() };
    let change = |change: &dyn Fn(&mut Edit<'_>, &State) -> builder::Result<()>| {
        cut_everywhere(&shop, &|depot, storage| {
            let (mut edit, before) = Edit::begin(depot, &signers, storage, NOW + DAY)?;
            change(&mut edit, &before)?;
            edit.publish()
        })
    };
    let mut played = change(&|edit, state| edit.add(state, &package, "stable", &BTreeMap::new()).map(|_| ()));
    for role in ["root", "targets", "snapshot", "timestamp", "base", "depot"] {
        let rotation = Rotation { new: vec![new.clone()], ..Rotation::default() };
        played += change(&|edit, _| edit.rotate(role, &rotation));
    }
    assert!(played > 300, "{played} cuts");
}

#[test]
fn packages_get_in_only_with_green_results_of_their_own_bytes() {
    let shop = Shop::unmade();
    let policy = Policy { required: vec!["base=base-update@bios".parse().unwrap()], days: 7 };
    Creation { policy, ..shop.creation(NOW) }.run(shop.depot.folder(), &[], &mut RealStorage).unwrap();
    let path = shop.package(&base("1.0.0", 1));
    let manifest = |path: &Path| {
        let file = fs::File::open(path).unwrap();
        formats::Digest::of(&formats::package::peek(file).unwrap().manifest_bytes)
    };
    let run = |firmware: &str, passed, package: &Path| Run {
        scenario: "base-update".into(),
        firmware: firmware.into(),
        passed,
        packages: [manifest(package)].into(),
    };
    let add = |now: i64, runs: &[&[Run]]| {
        let results = runs.iter().map(|runs| Results { format: 1, made: NOW, runs: runs.to_vec() }).collect();
        let before = content(shop.depot.folder());
        let added = shop.change(now, |edit, state| {
            edit.show_results(results);
            edit.add(state, &path, "stable", &BTreeMap::new())
        });
        added.map(drop).map_err(|problem| {
            assert!(content(shop.depot.folder()) == before);
            (problem.exit_code(), problem.to_string())
        })
    };
    let other = shop.path("other.pkg");
    base("1.0.1", 2).write(&other, &[&shop.keys]);
    let green = run("bios", true, &path);
    for (runs, now, says) in [
        (vec![], NOW, "no results were given"),
        (vec![vec![]], NOW, "was not played"),
        (vec![vec![run("uefi", true, &path)]], NOW, "was not played"),
        (vec![vec![run("bios", true, &other)]], NOW, "with other packages"),
        (vec![vec![run("bios", false, &path)]], NOW, "failed on bios"),
        (vec![vec![green.clone()], vec![run("bios", false, &path)]], NOW, "failed on bios"),
        (vec![vec![green.clone()]], NOW + 8 * DAY, "at most 7 day(s)"),
    ] {
        let runs: Vec<&[Run]> = runs.iter().map(Vec::as_slice).collect();
        let (code, problem) = add(now, &runs).unwrap_err();
        assert!(code == 5 && problem.contains(says), "{says}: {problem}");
    }
    // A second signature does not make it another package.
    let twice = shop.path("twice.pkg");
    make_keys(&shop.path("anna"), &["base"]);
    base("1.0.0", 1).write(&twice, &[&shop.keys, &shop.path("anna")]);
    assert_eq!(manifest(&twice), manifest(&path));
    add(NOW, &[&[], &[green]]).unwrap();
    add(NOW + 30 * DAY, &[]).unwrap();

    assert!(
        builder::depot::show::Shown(&shop.depot.state(formats::tuf::Freshness::Waived).unwrap())
            .to_string()
            .contains("needs results of at most 7 day(s): base=base-update@bios")
    );
    shop.change(NOW, |edit, _| edit.require_results(&Policy::default())).unwrap();
    shop.add(NOW, &base("1.0.2", 3)).unwrap();
}

#[test]
fn prune_removes_what_nobody_needs_and_clients_of_every_age_go_on() {
    let shop = Shop::new();
    let first = seen(&shop.depot, &delivered(&shop.depot), NOW).unwrap();
    for (number, version) in (1..).zip(["1.0.0", "1.1.0", "1.2.0"]) {
        shop.add(NOW + i64::from(number) * DAY, &base(version, number.try_into().unwrap())).unwrap();
    }
    rotated(&shop, "root", NOW + 4 * DAY);
    let names = |found: &prune::Prunable| -> Vec<String> {
        found.files.iter().map(|old| old.path.to_string_lossy().into_owned()).collect()
    };
    let find = |now: i64, days| prune::find(&shop.depot, now, days).unwrap();
    assert_eq!(find(NOW + 4 * DAY, None), prune::Prunable::default(), "an old timestamp may still be around");
    let old = find(NOW + 9 * DAY, None);
    // The first was followed on day 1, the second on day 2: seven days ago, and no longer.
    assert_eq!(names(&old).iter().filter(|name| name.ends_with(".snapshot.json")).count(), 1, "{old:?}");
    let old = find(NOW + 30 * DAY, None);
    let of = |text: &str| names(&old).iter().filter(|name| name.contains(text)).count();
    assert_eq!((of(".snapshot.json"), of(".base.json"), of(".depot.json"), of("index.json")), (3, 3, 3, 3), "{old:?}");
    assert_eq!((of("root"), of(".pkg"), of(".notes.md"), of("timestamp")), (0, 0, 0, 0), "{old:?}");

    // A request that is being signed keeps its package; what a cut left goes.
    let asked = shop.depot.target("base/00.asked.pkg");
    fs::write(&asked, "asked").unwrap();
    fs::write(shop.depot.target(".new-0"), "left").unwrap();
    let written = |seconds: i64| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.try_into().unwrap());
        fs::File::options().write(true).open(&asked).unwrap().set_modified(time).unwrap();
    };
    written(NOW - 28 * DAY);
    assert_eq!(names(&find(NOW + DAY, None)), ["targets/.new-0"]);
    written(NOW - 30 * DAY);
    assert_eq!(names(&find(NOW + DAY, None)), ["targets/.new-0", "targets/base/00.asked.pkg"]);

    let played = cut_everywhere(&shop, &|depot, storage| {
        prune::prune(depot, storage, NOW + 30 * DAY, None)?;
        depot.state(formats::tuf::Freshness::Waived)
    });
    assert!(played > 40, "{played} cuts");
    let before = content(&shop.depot.folder().join("targets")).len();
    prune::prune(&shop.depot, &mut RealStorage, NOW + 30 * DAY, None).unwrap();
    assert_eq!(find(NOW + 30 * DAY, None), prune::Prunable::default());
    assert_eq!(
        before - content(&shop.depot.folder().join("targets")).len(),
        4,
        "three indexes and the forgotten package"
    );
    shop.change(NOW + 30 * DAY, |edit, state| edit.refresh(state, &[])).unwrap();
    for kept in [&delivered(&shop.depot), first.kept()] {
        seen(&shop.depot, kept, NOW + 30 * DAY).unwrap();
    }
    assert_eq!(codes(&shop, NOW + 30 * DAY), []);
}

#[test]
fn what_a_late_import_took_the_place_of_stays_as_long_as_anything_else() {
    let shop = Shop::new();
    let everything = shop.signers();
    shop.add(NOW, &base("1.0.0", 1)).unwrap();
    // Signed for 40 days, published on the last of them.
    let people = shop.path("people");
    fs::create_dir(&people).unwrap();
    for file in ["keys.json", "base.pub", "base.key"] {
        fs::copy(shop.keys.join(file), people.join(file)).unwrap();
    }
    fs::remove_file(shop.keys.join("base.key")).unwrap();
    let both = Signers { folders: vec![shop.keys.clone(), people], ..Signers::default() };
    let request = {
        let mut storage = RealStorage;
        let (mut edit, before) = Edit::begin(&shop.depot, &everything, &mut storage, NOW + DAY).unwrap();
        edit.refresh(&before, &["base".into()]).unwrap();
        edit.request(&before).unwrap()
    };
    for day in [10, 20, 30, 40] {
        shop.change(NOW + day * DAY, |edit, state| edit.refresh(state, &[])).unwrap();
    }
    let old = shop.depot.state(formats::tuf::Freshness::Waived).unwrap();
    let version = old.draft.document("base").unwrap().version();
    builder::depot::import(&shop.depot, &request, &both, &mut RealStorage, NOW + 41 * DAY).unwrap();
    let names = |now: i64| -> Vec<String> {
        let found = prune::find(&shop.depot, now, None).unwrap();
        found.files.iter().map(|old| old.path.to_string_lossy().into_owned()).collect()
    };
    let file = format!("metadata/{version}.base.json");
    assert!(!names(NOW + 41 * DAY).contains(&file), "a timestamp of yesterday leads to it");
    prune::prune(&shop.depot, &mut RealStorage, NOW + 41 * DAY, None).unwrap();
    // Somebody with yesterday's timestamp goes on.
    let mut fetch = |name: &str, _: usize| {
        Ok::<_, String>(match name {
            "timestamp.json" => old.verified.kept().get(name).cloned(),
            _ => fs::read(shop.depot.metadata(name)).ok(),
        })
    };
    let yesterday = formats::tuf::Freshness::Required { now: NOW + 41 * DAY };
    formats::tuf::refresh(&delivered(&shop.depot), yesterday, &mut fetch).unwrap();
    shop.change(NOW + 47 * DAY, |edit, state| edit.refresh(state, &[])).unwrap();
    assert!(names(NOW + 49 * DAY).contains(&file));
}

/// A disk on which somebody waits at the first file that goes.
struct Waiting {
    arrived: std::sync::mpsc::Sender<()>,
    go: std::sync::mpsc::Receiver<()>,
}

impl builder::depot::Storage for Waiting {
    fn make_folder(&mut self, path: &Path) -> builder::Result<()> {
        RealStorage.make_folder(path)
    }
    fn write(&mut self, path: &Path, content: &mut dyn std::io::Read) -> builder::Result<()> {
        RealStorage.write(path, content)
    }
    fn rename(&mut self, from: &Path, to: &Path) -> builder::Result<()> {
        RealStorage.rename(from, to)
    }
    fn remove(&mut self, path: &Path) -> builder::Result<()> {
        if self.arrived.send(()).is_ok() {
            self.go.recv().unwrap();
        }
        RealStorage.remove(path)
    }
    fn sync_folder(&mut self, path: &Path) -> builder::Result<()> {
        RealStorage.sync_folder(path)
    }
}

#[test]
fn whoever_prunes_and_whoever_publishes_exclude_each_other() {
    let shop = Shop::new();
    shop.add(NOW, &base("1.0.0", 1)).unwrap();
    shop.add(NOW + DAY, &base("1.1.0", 2)).unwrap();
    let refused =
        |problem: Error| assert!(problem.exit_code() == 5 && problem.to_string().contains("try again"), "{problem}");
    let (arrived, here) = std::sync::mpsc::channel();
    let (go_on, go) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let pruning = scope.spawn(|| prune::prune(&shop.depot, &mut Waiting { arrived, go }, NOW + 30 * DAY, None));
        here.recv().unwrap();
        refused(shop.add(NOW + 30 * DAY, &base("1.2.0", 3)).map(drop).unwrap_err());
        drop((here, go_on.send(())));
        assert!(!pruning.join().unwrap().unwrap().files.is_empty());
    });
    let signers = shop.signers();
    let mut storage = RealStorage;
    let change = Edit::begin(&shop.depot, &signers, &mut storage, NOW + 30 * DAY).unwrap();
    refused(prune::prune(&shop.depot, &mut RealStorage, NOW + 60 * DAY, None).map(drop).unwrap_err());
    drop(change);
    shop.add(NOW + 30 * DAY, &base("1.2.0", 3)).unwrap();
    seen(&shop.depot, &delivered(&shop.depot), NOW + 30 * DAY).unwrap();
}

#[test]
fn pruning_beside_a_publisher_never_takes_what_is_current() {
    let shop = Shop::new();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                prune::prune(&shop.depot, &mut RealStorage, NOW + 400 * DAY, Some(0)).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(15));
            }
        });
        let publish = || {
            for (number, version) in (1..).zip(["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0"]) {
                shop.add(NOW, &base(version, number))?;
            }
            Ok::<_, Error>(())
        };
        let published = publish();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        published.unwrap();
    });
    assert_eq!(codes(&shop, NOW), []);
}
