//! Licences on an appliance: installed without a slot or a restart, believed because of their signatures alone, whole after any power cut.

#[expect(dead_code, reason = "shared with the crash tests, which use all of it")]
#[path = "crash/fixtures.rs"]
mod fixtures;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use fixtures::{Release, agent, licence_with, medium, release, release_with, running, state, steady, trust};
use formats::SlotId::A;
use formats::boot_state::SlotState;
use formats::footer;
use formats::manifest::{Kind, LicenceInfo, Manifest};
use formats::reset_record::Then;
use update_agent::disk::simulated::Disk;
use update_agent::error::Error;
use update_agent::journal::{self, Journal};
use update_agent::licence::{Directory, LIMIT, Licences, Store, standing};
use update_agent::lifecycle::{Agent, Model, ResetRequest};

/// Noon of 2027-07-01.
const NOW: u64 = 1_814_443_200;

fn on<T>(disk: &Disk, work: impl FnOnce(&Agent<'_>) -> T) -> T {
    let trust = trust();
    let journal = Journal::new(disk, || NOW);
    work(&Agent { journal, ..agent(disk, &trust, Some(running(A, Some(A)))) })
}

fn install(disk: &Disk, store: &dyn Store, licence: &Release) -> Result<Vec<String>, Error> {
    on(disk, |agent| agent.install_licence(store, &licence.verified, &licence.source(), &Model::default()))
}

fn plain(sequence: u64) -> Release {
    licence_with(sequence, None, |_, _| {})
}

fn claiming(sequence: u64, change: impl FnOnce(&mut LicenceInfo)) -> Release {
    licence_with(sequence, None, |_, claims| change(claims))
}

fn other_line(name: &str) -> Release {
    licence_with(1, None, |manifest, _| name.clone_into(&mut manifest.name))
}

fn held(disk: &Disk, store: &dyn Store) -> Licences {
    on(disk, |agent| agent.licences(store)).unwrap()
}

fn sequences(disk: &Disk, store: &dyn Store) -> Vec<u64> {
    held(disk, store).held.iter().map(|licence| licence.manifest().sequence).collect()
}

#[test]
fn a_licence_counts_at_once_and_touches_neither_slot_nor_boot_state() {
    let folder = tempfile::tempdir().unwrap();
    let store = Directory::new(folder.path());
    let disk = Disk::new(steady());
    let before = disk.medium();
    let steps = install(&disk, &store, &plain(1)).unwrap().join("\n");
    assert!(steps.contains("licence demo-licence 1.0.0 is installed; nothing restarts\n5 licences now"), "{steps}");
    let after = disk.medium();
    for part in update_agent::disk::Part::ALL {
        assert_eq!(before.part(part), after.part(part), "{part}");
    }
    assert!(install(&disk, &store, &plain(1)).unwrap().concat().contains("installed already"));
    install(&disk, &store, &other_line("more")).unwrap();
    assert!(install(&disk, &store, &plain(2)).unwrap().concat().contains("10 licences now"));
    assert_eq!(sequences(&disk, &store), [2, 1], "the newest of each line");
    let floors = on(&disk, |agent| agent.facts().unwrap().floors());
    assert!(
        floors
            .iter()
            .any(|floor| (floor.kind, floor.name.as_str(), floor.sequence) == (Kind::Licence, "demo-licence", 2))
    );
}

#[test]
fn a_licence_that_is_not_for_this_appliance_is_refused_with_the_reason_and_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Directory::new(folder.path());
    let disk = Disk::new(steady());
    install(&disk, &store, &plain(2)).unwrap();
    let journal = disk.medium().journal;
    let with = |change: fn(&mut Manifest, &mut LicenceInfo)| licence_with(3, None, change);
    for (licence, code, words) in [
        (plain(1), "below-floor", "number 1, but number 2 was committed"),
        (
            licence_with(2, None, |manifest, _| manifest.build_id = formats::Digest([9; 32])),
            "other-build",
            "another build",
        ),
        (
            with(|_, claims| claims.hostname = Some("other.example".into())),
            "other-hostname",
            "is for the site \"other.example\"; this appliance serves \"demo.example\"",
        ),
        (with(|manifest, _| manifest.hardware = vec!["x1".into()]), "other-hardware", "x1"),
        (with(|manifest, _| manifest.requires.base = Some(">=9".parse().unwrap())), "needs-base", "needs base >=9"),
        (
            with(|manifest, _| manifest.requires.site = Some(">=11".parse().unwrap())),
            "needs-site",
            "site 10.0.0 runs here",
        ),
        (
            with(|_, claims| (claims.expires, claims.grace_days) = (Some("2027-06-28".parse().unwrap()), 2)),
            "licence-expired",
            "expired on 2027-06-30, days of grace included, and today is 2027-07-01",
        ),
    ] {
        let problem = install(&disk, &store, &licence).unwrap_err();
        assert_eq!(problem.code(), code, "{problem}");
        assert!(problem.to_string().contains(words), "{problem}");
    }
    assert_eq!((sequences(&disk, &store), disk.medium().journal), (vec![2], journal));
    for good in [
        claiming(3, |claims| claims.hostname = Some("demo.example".into())),
        claiming(4, |claims| (claims.expires, claims.grace_days) = (Some("2027-06-28".parse().unwrap()), 3)),
    ] {
        install(&disk, &store, &good).unwrap();
    }

    let bare = Disk::new(medium(
        [Some(&release(Kind::Base, 1)), None],
        [None, None],
        &state(A, SlotState::GOOD, SlotState::EMPTY, None),
    ));
    let bound = claiming(1, |claims| claims.hostname = Some("demo.example".into()));
    let trust = trust();
    let agent = agent(&bare, &trust, Some(running(A, None)));
    let problem =
        agent.install_licence(&Small::default(), &bound.verified, &bound.source(), &Model::default()).unwrap_err();
    assert!(problem.to_string().contains("this appliance has no site"), "{problem}");
}

#[test]
fn what_lies_on_the_data_partition_is_believed_because_of_its_signatures_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Directory::new(folder.path());
    let disk = Disk::new(steady());
    install(&disk, &store, &plain(1)).unwrap();
    let old = fs::read(folder.path().join("bulkhead/licences/demo-licence.licence")).unwrap();
    install(&disk, &store, &plain(2)).unwrap();
    let path = |line: &str| folder.path().join(format!("bulkhead/licences/{line}.licence"));
    let good = fs::read(path("demo-licence")).unwrap();
    let problem = |line: &str, bytes: &[u8]| {
        fs::write(path(line), bytes).unwrap();
        let found = held(&disk, &store);
        let rest = found.held.iter().filter(|licence| licence.manifest().name == line).count();
        assert_eq!((rest, found.problems.len()), (0, 1), "{:?}", found.problems);
        if line == "demo-licence" {
            fs::write(path(line), &good).unwrap();
        } else {
            fs::remove_file(path(line)).unwrap();
        }
        found.problems.concat()
    };
    // Doubled under another name.
    assert!(problem("copy", &good).contains("the licence \"demo-licence\" under another name"));
    // An older one put back.
    assert!(problem("demo-licence", &old).contains("number 1, and number 2 was installed here"));
    // Of a site, in the form of a slot's footer.
    let site = release(Kind::Site, 10);
    assert!(problem("demo-site", &footer::encode(&site.manifest, &site.signatures).unwrap()).contains("role site"));
    // Enlarged, cut, empty, too long, no file.
    let text = String::from_utf8(plain(2).manifest).unwrap().replace("\"count\": 5", "\"count\": 9");
    assert!(
        problem("demo-licence", &footer::encode(text.as_bytes(), &plain(2).signatures).unwrap())
            .contains("did not sign")
    );
    for length in [0, 1, 100, good.len() - 1] {
        problem("demo-licence", &good[..length]);
    }
    problem("demo-licence", &[good.clone(), vec![0]].concat());
    fs::remove_file(path("demo-licence")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", path("demo-licence")).unwrap();
    assert_eq!(held(&disk, &store).problems.len(), 1);
    // A folder that cannot be listed is said too, and stops nothing.
    let listed = folder.path().join("bulkhead/licences");
    fs::rename(&listed, folder.path().join("aside")).unwrap();
    fs::write(&listed, "").unwrap();
    assert!(held(&disk, &store).problems.concat().contains("cannot list the licences"));
    assert!(install(&disk, &store, &plain(2)).is_err());
    fs::remove_file(&listed).unwrap();
    fs::rename(folder.path().join("aside"), &listed).unwrap();
    // Installed again, it is there again.
    assert!(install(&disk, &store, &plain(2)).is_ok());
    assert_eq!(fs::read(path("demo-licence")).unwrap(), good);
    assert_eq!(sequences(&disk, &store), [2]);
}

/// The real folder, until the power fails: before or after the rename.
struct Cut<'a> {
    inner: &'a Directory,
    before: bool,
    dead: Cell<bool>,
}

impl Store for Cut<'_> {
    fn load(&self) -> io::Result<Vec<(String, io::Result<Vec<u8>>)>> {
        self.inner.load()
    }

    fn replace(&self, line: &str, bytes: &[u8]) -> io::Result<()> {
        self.dead.set(true);
        if !self.before {
            self.inner.replace(line, bytes)?;
        }
        Err(io::Error::other("the power fails"))
    }
}

/// What is left of a copy beside the file: each length a cut could leave.
fn torn(folder: &Path, licence: &Release, length: usize) {
    let bytes = footer::encode(&licence.manifest, &licence.signatures).unwrap();
    fs::write(folder.join("bulkhead/licences/demo-licence.new"), &bytes[..length.min(bytes.len())]).unwrap();
}

#[test]
fn after_a_power_cut_the_old_or_the_new_licence_is_there_whole_and_the_journal_learns_of_it() {
    let lengths = [0, 1, 4096, 30_000, footer::FOOTER_SIZE - 1, footer::FOOTER_SIZE];
    for (before, length) in lengths.map(|length| (true, length)).into_iter().chain([(false, 0)]) {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::new(folder.path());
        let disk = Disk::new(steady());
        install(&disk, &store, &plain(1)).unwrap();
        let cut = Cut { inner: &store, before, dead: Cell::new(false) };
        install(&disk, &cut, &plain(2)).unwrap_err();
        assert!(cut.dead.get());
        if before {
            torn(folder.path(), &plain(2), length);
        }
        let there = if before { 1 } else { 2 };
        assert_eq!((sequences(&disk, &store), held(&disk, &store).problems), (vec![there], vec![]), "{length}");
        // The start after it writes down what is there, once.
        let settled = on(&disk, |agent| agent.settle_licences(&store)).unwrap();
        assert_eq!(settled.len(), usize::from(!before), "{settled:?}");
        assert!(on(&disk, |agent| agent.settle_licences(&store)).unwrap().is_empty());
        let floor = on(&disk, |agent| agent.facts().unwrap().floor(Kind::Licence, "demo-licence"));
        assert_eq!(floor, Some(there));
        // And a retry completes.
        install(&disk, &store, &plain(2)).unwrap();
        assert_eq!(sequences(&disk, &store), [2]);
        assert_eq!(fs::read_dir(folder.path().join("bulkhead/licences")).unwrap().count(), 1, "nothing torn is left");
    }
}

#[test]
fn a_record_torn_by_a_power_cut_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Directory::new(folder.path());
    let disk = Disk::new(steady());
    let without = disk.medium().journal.len();
    install(&disk, &store, &plain(1)).unwrap();
    let whole = disk.medium();
    for length in without..whole.journal.len() {
        let mut torn = whole.clone();
        torn.journal.truncate(length);
        let disk = Disk::new(torn);
        assert_eq!(sequences(&disk, &store), [1]);
        on(&disk, |agent| agent.settle_licences(&store)).unwrap();
        let history = on(&disk, |agent| agent.journal.history()).unwrap();
        let records = history.0.iter().filter(|record| matches!(record.entry, journal::Entry::Licence { .. })).count();
        assert_eq!(records, 1, "cut at {length}");
    }
}

/// A folder in memory that takes no more than it is told to.
#[derive(Default)]
struct Small(RefCell<BTreeMap<String, Vec<u8>>>, bool);

impl Store for Small {
    fn load(&self) -> io::Result<Vec<(String, io::Result<Vec<u8>>)>> {
        Ok(self.0.borrow().iter().map(|(line, bytes)| (line.clone(), Ok(bytes.clone()))).collect())
    }

    fn replace(&self, line: &str, bytes: &[u8]) -> io::Result<()> {
        // A disk that says yes and forgets.
        if !self.1 {
            self.0.borrow_mut().insert(line.into(), bytes.into());
        }
        Ok(())
    }
}

#[test]
fn a_disk_that_forgets_a_licence_is_found_out() {
    let disk = Disk::new(steady());
    let problem = install(&disk, &Small(RefCell::default(), true), &plain(1)).unwrap_err();
    assert_eq!(problem.code(), "not-kept", "{problem}");
    assert!(install(&disk, &Small::default(), &plain(1)).is_ok());
}

#[test]
fn there_is_room_for_so_many_lines_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = Directory::new(folder.path());
    let disk = Disk::new(steady());
    for number in 0..LIMIT {
        install(&disk, &store, &other_line(&format!("line-{number}"))).unwrap();
    }
    let problem = install(&disk, &store, &other_line("line-too-many")).unwrap_err();
    assert!(problem.to_string().contains("there are 64 licences of other lines"), "{problem}");
    let renewed = licence_with(2, None, |manifest, _| manifest.name = "line-7".into());
    install(&disk, &store, &renewed).unwrap();
    let today = "2027-07-01".parse().unwrap();
    assert_eq!(standing(&held(&disk, &store), None, today).count, Some(5 * 64));
    // Not even their floors, which do not fit into the order, keep anybody from a factory reset.
    let request =
        ResetRequest { confirm: "demo.example", then: Then::Start, by: "root", id: formats::Guid::new(5), now: NOW };
    on(&disk, |agent| agent.factory_reset(&request)).unwrap();
    let problem = install(&disk, &store, &other_line("line-1")).unwrap_err();
    assert_eq!(problem.code(), "reset-pending", "{problem}");
}

#[test]
fn the_key_of_a_licence_may_expire() {
    let disk = Disk::new(steady());
    let mut keys: Vec<_> = trust().keys().values().cloned().collect();
    for key in &mut keys {
        key.expires = Some("2027-06-30".parse().unwrap());
    }
    let thresholds = [formats::trust::Role::Base, formats::trust::Role::Site, formats::trust::Role::Licence];
    let expired =
        formats::trust::TrustStore::new("demo", keys, thresholds.map(|role| (role, 1)).into(), false).unwrap();
    let licence = plain(1);
    let verified = formats::signature::verify(&licence.manifest, &licence.signatures, &expired, thresholds[2]).unwrap();
    let store = Small::default();
    let problem = on(&disk, |agent| agent.install_licence(&store, &verified, &licence.source(), &Model::default()));
    assert_eq!(problem.unwrap_err().code(), "expired-key");
    assert!(store.load().unwrap().is_empty());
    // What is installed stays, whatever day it is.
    let old = footer::encode(&licence.manifest, &licence.signatures).unwrap();
    store.replace("demo-licence", &old).unwrap();
    assert_eq!(Licences::read(&store, &expired, &[]).held.len(), 1);
}

#[test]
fn a_site_that_changes_its_name_leaves_its_licences_behind() {
    let disk = Disk::new(steady());
    let store = Small::default();
    let bound = claiming(1, |claims| {
        claims.hostname = Some("demo.example".into());
        claims.entitled_until = Some("2028-01-01".parse().unwrap());
    });
    install(&disk, &store, &bound).unwrap();
    let renamed = release_with(Kind::Site, 11, |manifest| {
        manifest.site.as_mut().unwrap().hostname = "new.example".into();
    });
    let site = renamed.verified.manifest().site.clone();
    let today = "2027-07-01".parse().unwrap();
    let given = standing(&held(&disk, &store), site.as_ref(), today);
    assert_eq!((given.count, given.entitled_until, given.licences[0].holds), (None, None, false));
}
