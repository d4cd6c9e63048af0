//! What the publishing side promises: refusals, rotations, cuts, and what lint finds. Read back with the appliance's own client.

#[path = "support/depot.rs"]
mod depot;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use builder::Error;
use builder::depot::lint::lint;
use builder::depot::{Creation, Depot, Edit, RealStorage, Rotation, Signers, State, Storage};
use depot::{NOW, Release, Shop, make_keys};
use formats::catalogue::{Availability, PackageId, Place, Ring};
use formats::manifest::Kind;
use formats::tuf::{Freshness, Kept, refresh};

const DAY: i64 = 86_400;

fn base(version: &'static str, sequence: u64) -> Release {
    Release::new(Kind::Base, version, sequence)
}

/// Every file below a folder with its content; the writer's own files left out.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if !entry.file_name().to_string_lossy().starts_with('.') {
                found.insert(entry.path().strip_prefix(folder).unwrap().to_owned(), fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

/// What an appliance sees that was delivered with `root`.
fn seen(depot: &Depot, kept: &Kept, now: i64) -> Result<formats::tuf::Depot, String> {
    let mut fetch = |name: &str, _: usize| Ok::<_, String>(fs::read(depot.metadata(name)).ok());
    refresh(kept, Freshness::Required { now }, &mut fetch).map_err(|trouble| trouble.to_string())
}

fn delivered(depot: &Depot) -> Kept {
    Kept::from([("root.json".into(), fs::read(depot.metadata("1.root.json")).unwrap())])
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
    let only = |folder: &Path| Signers { folders: vec![folder.to_owned()], commands: vec![] };
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
    let both = Signers { folders: vec![shop.keys.clone(), new.clone()], commands: vec![] };
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

/// A file system that ends after so many operations. The last write may be a half one; renames whose folder was not flushed are undone or not.
struct Cut {
    left: usize,
    operations: usize,
    half: bool,
    /// What had each name that is not durable yet.
    pending: Vec<(PathBuf, PathBuf, Option<Vec<u8>>)>,
}

impl Cut {
    fn after(left: usize, half: bool) -> Self {
        Self { left, operations: 0, half, pending: vec![] }
    }

    fn step(&mut self) -> builder::Result<()> {
        if self.left == 0 {
            return Err(Error::Environment("the power went".into()));
        }
        (self.left, self.operations) = (self.left - 1, self.operations + 1);
        Ok(())
    }

    /// What the disk holds when none of the names that were not flushed got there, but for those that `stays` picks.
    fn power_off(&mut self, stays: impl Fn(usize) -> bool) {
        for (number, (from, to, before)) in self.pending.drain(..).enumerate().rev() {
            if stays(number) {
                continue;
            }
            if let (Ok(()), Some(bytes)) = (fs::rename(&to, &from), before) {
                fs::write(&to, bytes).unwrap();
            }
        }
    }
}

impl Storage for Cut {
    fn make_folder(&mut self, path: &Path) -> builder::Result<()> {
        self.step()?;
        RealStorage.make_folder(path)
    }

    fn write(&mut self, path: &Path, content: &mut dyn Read) -> builder::Result<()> {
        let cut = self.step();
        if cut.is_err() && self.half {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }
        cut?;
        RealStorage.write(path, content)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> builder::Result<()> {
        self.step()?;
        self.pending.push((from.to_owned(), to.to_owned(), fs::read(to).ok()));
        RealStorage.rename(from, to)
    }

    fn sync_folder(&mut self, path: &Path) -> builder::Result<()> {
        self.step()?;
        self.pending.retain(|(_, to, _)| to.parent() != Some(path) && to.parent() != path.join("x").parent());
        RealStorage.sync_folder(path)
    }
}

fn copy(from: &Path, to: &Path) {
    for (name, bytes) in content(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Plays a change on copies of a depot, cut after every operation in several ways; appliances see the old depot or the new one, whole, and
/// the same change can be made afterwards. How many cuts were played.
fn cut_everywhere(
    shop: &Shop,
    signers: &Signers,
    change: &dyn Fn(&mut Edit<'_>, &State) -> builder::Result<()>,
) -> usize {
    let mut played = 0;
    let run = |depot: &Depot, storage: &mut Cut| -> builder::Result<State> {
        let (mut edit, before) = Edit::begin(depot, signers, storage, NOW + DAY)?;
        change(&mut edit, &before)?;
        edit.publish()
    };
    let old = seen(&shop.depot, &delivered(&shop.depot), NOW).unwrap();
    for operations in 0.. {
        let mut whole = false;
        for variant in 0..4 {
            let scratch = tempfile::tempdir().unwrap();
            let depot = Depot::new(scratch.path());
            copy(shop.depot.folder(), scratch.path());
            let mut storage = Cut::after(operations, variant % 2 == 1);
            whole = run(&depot, &mut storage).is_ok();
            storage.power_off(|number| match variant {
                0 => true,
                1 => false,
                2 => number % 2 == 0,
                _ => number % 2 == 1,
            });
            played += 1;
            let place = format!("cut after {operations} operations, variant {variant}");
            for kept in [&delivered(&shop.depot), old.kept()] {
                let seen = seen(&depot, kept, NOW + DAY).unwrap_or_else(|problem| panic!("{place}: {problem}"));
                for role in ["base", "site", "licence", "depot"].iter().filter_map(|role| seen.role(role)) {
                    for (name, target) in role.files() {
                        let path = depot.target(&target.path(name));
                        let bytes = fs::read(&path).unwrap_or_else(|cause| panic!("{place}: {name}: {cause}"));
                        assert_eq!(formats::Digest::of(&bytes), target.digest, "{place}: {name}");
                    }
                }
            }
            if !whole {
                match run(&depot, &mut Cut::after(usize::MAX, false)) {
                    // It had been made: only the flush of its last name was missing.
                    Ok(_) | Err(Error::Refused(_)) => {}
                    Err(problem) => panic!("{place}: again: {problem}"),
                }
            }
        }
        if whole {
            return played;
        }
    }
    played
}

#[test]
fn a_change_that_is_cut_anywhere_leaves_the_old_depot_or_the_new_one() {
    let shop = Shop::new();
    shop.add(NOW, &base("1.0.0", 1)).unwrap();
    let package = shop.package(&Release { eula: Some("You agree.\n"), ..Release::new(Kind::Site, "2.0.0", 2) });
    let new = shop.path("new");
    make_keys(&new, &["root", "targets", "snapshot", "timestamp", "base", "depot"]);
    let signers = Signers { folders: vec![shop.keys.clone(), new.clone()], commands: vec![] };
    let mut played = cut_everywhere(&shop, &signers, &|edit, state| {
        edit.add(state, &package, "stable", &BTreeMap::new()).map(|_| ())
    });
    for role in ["root", "targets", "snapshot", "timestamp", "base", "depot"] {
        let rotation = Rotation { new: vec![new.clone()], ..Rotation::default() };
        played += cut_everywhere(&shop, &signers, &|edit, _| edit.rotate(role, &rotation));
    }
    assert!(played > 300, "{played} cuts");
}
