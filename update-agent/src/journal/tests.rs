use std::cell::RefCell;

use super::*;

fn release(sequence: u64) -> Release {
    let version = format!("{sequence}.0.0");
    let build_id = Digest::of(version.as_bytes());
    Release { kind: Kind::Base, name: "demo".into(), version, build_id, sequence }
}

fn action(verb: Verb, sequence: u64) -> Action {
    Action::new(verb, release(sequence), SlotId::B)
}

fn journal(store: &dyn Store) -> Journal<'_> {
    Journal::new(store, || 7)
}

#[test]
fn an_intent_is_on_disk_before_begin_returns_and_open_until_it_is_ended() {
    let store = Memory::default();
    let journal = journal(&store);
    let open = journal.begin(action(Verb::Install, 2)).unwrap();
    assert_eq!(journal.history().unwrap().open(Kind::Base).unwrap().action, action(Verb::Install, 2));
    journal.end(open, Outcome::Armed).unwrap();
    assert!(journal.history().unwrap().open(Kind::Base).is_none());
}

#[test]
fn only_what_was_committed_raises_a_floor() {
    let store = Memory::default();
    let journal = journal(&store);
    for (sequence, outcome) in [(3, Outcome::Armed), (2, Outcome::Committed), (1, Outcome::Committed)] {
        journal.note(release(sequence), SlotId::A, outcome).unwrap();
    }
    let history = journal.history().unwrap();
    assert_eq!(history.floors(), [Floor { kind: Kind::Base, name: "demo".into(), sequence: 2 }]);
    assert!(history.committed(release(2).build_id) && !history.committed(release(3).build_id));
}

#[test]
fn every_torn_line_spoils_only_itself() {
    let store = Memory::default();
    journal(&store).note(release(1), SlotId::A, Outcome::Committed).unwrap();
    let whole = store.load().unwrap();
    for cut in 0..whole.len() {
        let torn = Memory::default();
        torn.append(&whole).unwrap();
        torn.append(&whole[..cut]).unwrap();
        let journal = journal(&torn);
        let before = journal.history().unwrap().0.len();
        journal.note(release(2), SlotId::B, Outcome::Committed).unwrap();
        let history = journal.history().unwrap();
        assert_eq!(history.0.len(), before + 1, "cut {cut}");
        assert_eq!(history.floors()[0].sequence, 2, "cut {cut}");
    }
}

#[test]
fn a_shortened_journal_keeps_floors_and_the_open_intent_and_stays_within_its_limit() {
    let store = Memory::default();
    let journal = journal(&store);
    journal.note(release(9), SlotId::A, Outcome::Committed).unwrap();
    let mut longest = 0;
    for round in 0..400 {
        let open = journal.begin(action(Verb::Install, 1)).unwrap();
        assert_eq!(journal.history().unwrap().open(Kind::Base).unwrap().action.release.sequence, 1, "round {round}");
        journal.end(open, Outcome::Failed { reason: "the disk is tired".into() }).unwrap();
        longest = longest.max(store.load().unwrap().len());
    }
    assert_eq!(journal.history().unwrap().floors()[0].sequence, 9);
    assert!(longest <= LIMIT, "{longest}");
    let numbers: Vec<u64> = journal.history().unwrap().0.iter().map(|record| record.number).collect();
    assert_eq!(numbers.last(), Some(&801));
}

#[test]
fn a_trial_of_a_site_stays_open_while_a_base_is_changed_and_while_the_journal_is_shortened() {
    let store = Memory::default();
    let journal = journal(&store);
    let site = Release { kind: Kind::Site, ..release(5) };
    let action = Action { baseline: vec!["clock".into()], ..Action::new(Verb::Try, site, SlotId::B) };
    let trial = journal.begin(action.clone()).unwrap();
    for _ in 0..400 {
        let open = journal.begin(self::action(Verb::Commit, 1)).unwrap();
        journal.end(open, Outcome::Committed).unwrap();
        assert_eq!(journal.history().unwrap().open(Kind::Site).unwrap().action, action);
    }
    assert_eq!(journal.history().unwrap().open(Kind::Base).map(|open| open.action), None);
    assert_eq!(journal.history().unwrap().baseline(release(5).build_id), ["clock"]);
    journal.end(trial, Outcome::Committed).unwrap();
    assert!(journal.history().unwrap().open(Kind::Site).is_none());
    assert_eq!(
        journal.history().unwrap().0.iter().filter(|record| matches!(record.entry, Entry::Floors { .. })).count(),
        1
    );
}

#[test]
fn what_a_newer_version_wrote_is_read_as_far_as_it_is_known() {
    let lines = [
        r#"{"format":1,"number":1,"time":5,"entry":"note","slot":"a","colour":"blue","release":{"kind":"base","name":"demo","version":"4.0.0","build-id":"0000000000000000000000000000000000000000000000000000000000000000","sequence":4,"codename":"x"},"outcome":{"result":"committed","by":"robot"}}"#,
        r#"{"format":1,"number":2,"time":6,"entry":"teleported","to":"moon"}"#,
        r#"{"format":2,"number":3,"time":7,"entry":"note"}"#,
    ];
    let store = Memory::default();
    for line in lines {
        store.append(format!("{} {line}\n", Digest::of(line.as_bytes()).short()).as_bytes()).unwrap();
    }
    let history = journal(&store).history().unwrap();
    assert_eq!(history.0.len(), 1);
    assert_eq!(history.floors()[0].sequence, 4);
}

#[test]
fn the_checks_that_failed_before_an_installation_are_remembered_with_its_build() {
    let store = Memory::default();
    let journal = journal(&store);
    let before = Action { baseline: vec!["operator/mail".into()], ..action(Verb::Install, 2) };
    let open = journal.begin(before).unwrap();
    assert_eq!(journal.history().unwrap().baseline(release(2).build_id), ["operator/mail"], "while it is open");
    journal.end(open, Outcome::Armed).unwrap();
    let commit = journal.begin(action(Verb::Commit, 2)).unwrap();
    journal.end(commit, Outcome::Committed).unwrap();
    assert_eq!(journal.history().unwrap().baseline(release(2).build_id), ["operator/mail"], "a commit asks nothing");
    assert_eq!(journal.history().unwrap().baseline(release(1).build_id), [""; 0]);
    let again = journal.begin(action(Verb::Install, 2)).unwrap();
    journal.end(again, Outcome::Armed).unwrap();
    assert_eq!(journal.history().unwrap().baseline(release(2).build_id), [""; 0], "the newest installation counts");
}

#[test]
fn a_line_that_was_changed_is_not_believed() {
    let store = Memory::default();
    journal(&store).note(release(1), SlotId::A, Outcome::Committed).unwrap();
    let whole = store.load().unwrap();
    for at in 0..whole.len() - 1 {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert_eq!(History::parse(&changed).floors(), [], "byte {at}");
    }
}

struct Full(RefCell<usize>);

impl Store for Full {
    fn load(&self) -> std::io::Result<Vec<u8>> {
        Ok(Vec::new())
    }
    fn append(&self, _: &[u8]) -> std::io::Result<()> {
        *self.0.borrow_mut() += 1;
        Err(std::io::ErrorKind::StorageFull.into())
    }
    fn replace(&self, _: &[u8]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn no_intent_without_room_for_it() {
    let store = Full(RefCell::new(0));
    let problem = journal(&store).begin(action(Verb::Install, 1)).unwrap_err().to_string();
    assert!(problem.starts_with("cannot write the update journal"), "{problem}");
    assert_eq!(*store.0.borrow(), 1);
}

#[test]
fn the_file_survives_a_restart_and_is_replaced_whole() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("bulkhead");
    journal(&Directory::new(&place)).note(release(1), SlotId::A, Outcome::Committed).unwrap();
    journal(&Directory::new(&place)).note(release(2), SlotId::A, Outcome::Committed).unwrap();
    let store = Directory::new(&place);
    assert_eq!(journal(&store).history().unwrap().0.len(), 2);
    store.replace(b"").unwrap();
    assert_eq!(store.load().unwrap(), b"");
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1);
}

#[test]
fn a_factory_reset_leaves_its_floors_and_who_asked() {
    let floors = vec![Floor { kind: Kind::Base, name: "demo".into(), sequence: 9 }];
    let id = formats::Guid::derive("test", "reset");
    let then = formats::reset_record::Then::Start;
    let record = formats::reset_record::ResetRecord { id, then, by: "root".into(), asked: 77, floors: floors.clone() };
    let store = Memory::default();
    store.append(&formats::journal::after_reset(&record).unwrap()).unwrap();
    let journal = journal(&store);
    let history = journal.history().unwrap();
    assert_eq!(history.floors(), floors);
    let entries = [Entry::Floors { floors }, Entry::Reset { by: "root".into() }];
    let wanted =
        (1_u64..).zip(entries).map(|(number, entry)| Record { format: 1, number, time: 77, actor: None, entry });
    assert_eq!(history.0, wanted.collect::<Vec<_>>());
    journal.note(release(10), SlotId::A, Outcome::Committed).unwrap();
    assert_eq!(journal.history().unwrap().0.last().map(|record| record.number), Some(3));
}

/// What the version after this one may write: unknown fields, entries, verbs and outcomes, and a higher format.
const NEWER: &[u8] = include_bytes!("golden/newer.journal");

fn newer_floors() -> Vec<Floor> {
    let floor = |kind: Kind, sequence| Floor { kind, name: format!("demo-{kind}"), sequence };
    vec![floor(Kind::Base, 9), floor(Kind::Site, 7)]
}

fn sorted(mut floors: Vec<Floor>) -> Vec<Floor> {
    floors.sort_by_key(|floor| floor.kind);
    floors
}

#[test]
fn after_a_fall_back_the_floors_of_a_newer_version_still_hold() {
    let store = Memory::default();
    store.append(NEWER).unwrap();
    let history = journal(&store).history().unwrap();
    assert_eq!((history.0.len(), history.1.len()), (2, 5));
    assert_eq!(sorted(history.floors()), newer_floors());
    // Its numbers are not taken twice.
    journal(&store).note(release(1), SlotId::A, Outcome::Armed).unwrap();
    assert_eq!(journal(&store).history().unwrap().0.last().unwrap().number, 8);
}

#[test]
fn an_action_that_a_newer_version_ended_or_passed_over_is_not_open() {
    let known = History::parse(NEWER.split_inclusive(|byte| *byte == b'\n').next().unwrap());
    assert_eq!(known.open(Kind::Base).unwrap().number, 1);
    let lines: Vec<&[u8]> = NEWER.split_inclusive(|byte| *byte == b'\n').collect();
    assert!(History::parse(&[lines[0], lines[1]].concat()).open(Kind::Base).is_none(), "ended");
    assert!(History::parse(&[lines[0], lines[6]].concat()).open(Kind::Base).is_none(), "passed over");
    assert!(History::parse(&[lines[0], lines[3]].concat()).open(Kind::Base).is_some(), "neither");
}

#[test]
fn a_shortened_journal_keeps_lines_of_a_newer_version_as_they_are() {
    let store = Memory::default();
    store.append(NEWER).unwrap();
    let journal = journal(&store);
    let mut longest = 0;
    for _ in 0..600 {
        journal.note(release(1), SlotId::A, Outcome::Failed { reason: "the disk is tired".into() }).unwrap();
        longest = longest.max(store.load().unwrap().len());
        let mut floors = journal.history().unwrap().floors();
        floors.retain(|floor| floor.name.starts_with("demo-"));
        assert_eq!(sorted(floors), newer_floors());
    }
    let text = store.load().unwrap();
    assert_eq!(journal.history().unwrap().1.len(), 5, "shortened several times");
    for line in
        NEWER.split_inclusive(|byte| *byte == b'\n').filter(|line| Foreign::parse(&line[..line.len() - 1]).is_some())
    {
        assert!(text.windows(line.len()).any(|window| window == line));
    }
    assert!(longest <= LIMIT, "{longest}");
}

#[test]
fn a_flood_of_foreign_lines_does_not_grow_the_journal() {
    let store = Memory::default();
    for number in 0..2000 {
        let json = format!(r#"{{"format":3,"number":{number},"entry":"noise"}}"#);
        store.append(&formats::journal::line(json.as_bytes())).unwrap();
    }
    journal(&store).note(release(5), SlotId::A, Outcome::Committed).unwrap();
    let length = store.load().unwrap().len();
    assert!(length <= LIMIT, "{length}");
    assert_eq!(journal(&store).history().unwrap().floors()[0].sequence, 5);
}

/// Every entry, verb and outcome once.
fn all_there_is() -> Vec<Record> {
    let verbs = [Verb::Install, Verb::Try, Verb::Commit, Verb::Rollback, Verb::Disarm, Verb::Leave];
    let reason = || "no page".to_owned();
    let outcomes = [
        Outcome::Armed,
        Outcome::Written,
        Outcome::Waiting,
        Outcome::Committed,
        Outcome::Switched,
        Outcome::Disarmed,
        Outcome::FellBack { reason: reason() },
        Outcome::Interrupted,
        Outcome::Failed { reason: reason() },
    ];
    let site = Release { kind: Kind::Site, name: "demo-site".into(), ..release(3) };
    let full = Action {
        reason: Some(reason()),
        boot: Some(formats::Guid::derive("test", "boot")),
        baseline: vec!["operator/mail".into()],
        ..action(Verb::Install, 2)
    };
    let mut entries: Vec<Entry> = verbs.map(|verb| Entry::Begin { action: action(verb, 2) }).into();
    entries.push(Entry::Begin { action: full.clone() });
    entries.extend(outcomes.clone().map(|outcome| Entry::End { of: 7, action: full.clone(), outcome }));
    entries.extend(outcomes.map(|outcome| Entry::Note { release: site.clone(), slot: SlotId::A, outcome }));
    entries.push(Entry::Floors { floors: vec![Floor { kind: Kind::Base, name: "demo".into(), sequence: 9 }] });
    let to: Vec<PackageId> = vec!["base/demo-2.0.0".parse().unwrap(), "site/app-2.0.0".parse().unwrap()];
    for event in [UpgradeEvent::Begun, UpgradeEvent::Done, UpgradeEvent::Stopped, UpgradeEvent::Cancelled] {
        let reason = (event == UpgradeEvent::Stopped).then(|| "not healthy".into());
        entries.push(Entry::Upgrade { to: to.clone(), event, reason });
    }
    entries.push(Entry::Reset { by: "root".into() });
    let licence = Release { kind: Kind::Licence, name: "demo-support".into(), ..release(4) };
    entries.push(Entry::Licence { release: licence, outcome: Outcome::Committed });
    (1..)
        .zip(entries)
        .map(|(number, entry)| Record { format: record::FORMAT, number, time: 77, actor: None, entry })
        .collect()
}

/// Fixtures stay for ever: later versions must read what this one writes. `UPDATE_GOLDEN=1` writes it again; a changed line, unlike an
/// added one, is a changed format.
#[test]
fn what_this_version_writes_is_what_it_always_wrote() {
    let written: Vec<u8> = all_there_is().iter().flat_map(|record| record.encode().unwrap()).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/journal/golden/version-1.journal");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &written).unwrap();
    }
    let golden = std::fs::read(path).unwrap();
    assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&golden));
    assert_eq!(History::parse(&golden), History(all_there_is(), Vec::new()));
}

#[test]
fn accepted_terms_outlive_the_records_around_them() {
    let store = Memory::default();
    let journal = Journal::new(&store, || 7).by(Some("user 0".into()));
    let terms = |number: u8| Digest::of(&[number]);
    for number in 0..20 {
        journal.accept(release(1), terms(number)).unwrap();
    }
    // Twice as much as fits.
    for _ in 0..2 * LIMIT / 200 {
        journal.note(release(2), SlotId::A, Outcome::Armed).unwrap();
    }
    let history = journal.history().unwrap();
    assert!((4..20).all(|number| history.accepted(terms(number))));
    assert!(!history.accepted(terms(0)) && !history.accepted(terms(99)));
    let actors = history.0.iter().filter(|record| record.actor.as_deref() == Some("user 0")).count();
    assert_eq!(actors, history.0.len() - 1, "only the floors have no actor");
}

#[test]
fn upgrades_that_were_given_up_outlive_the_records_around_them() {
    let store = Memory::default();
    let journal = journal(&store);
    let to = |number: u64| vec![format!("base/demo-{number}.0.0").parse::<PackageId>().unwrap()];
    for number in 0..6 {
        journal.upgrade(&to(number), UpgradeEvent::Begun, None).unwrap();
        journal.upgrade(&to(number), UpgradeEvent::Cancelled, None).unwrap();
    }
    for sequence in 0..1000 {
        journal.note(release(sequence), SlotId::A, Outcome::Interrupted).unwrap();
    }
    let history = journal.history().unwrap();
    let kept = history.0.iter().filter_map(|record| match &record.entry {
        Entry::Upgrade { to, event, .. } => Some((to.clone(), *event)),
        _ => None,
    });
    assert_eq!(kept.collect::<Vec<_>>(), [2, 3, 4, 5].map(|number| (to(number), UpgradeEvent::Cancelled)));
}

#[test]
fn a_record_without_an_actor_is_read_and_written_as_before() {
    let store = Memory::default();
    journal(&store).note(release(1), SlotId::A, Outcome::Committed).unwrap();
    let text = String::from_utf8(store.load().unwrap()).unwrap();
    assert!(!text.contains("actor"), "{text}");
    assert_eq!(journal(&store).history().unwrap().0[0].actor, None);
}

#[test]
fn a_journal_keeps_its_room_on_disk_and_takes_it_along_when_it_is_shortened() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    let store = Directory::new(&folder.path().join("bulkhead"));
    let file = folder.path().join("bulkhead/journal");
    let taken = || {
        let metadata = std::fs::metadata(&file).unwrap();
        (metadata.len(), metadata.blocks() * 512 >= ROOM as u64)
    };
    let journal = journal(&store);
    journal.reserve().unwrap();
    if !taken().1 {
        println!("SKIPPED: the file system of the temporary folder keeps no room for files");
        return;
    }
    assert_eq!(taken(), (0, true));
    journal.note(release(1), SlotId::B, Outcome::Armed).unwrap();
    assert_eq!(journal.history().unwrap().0.len(), 1);
    assert!(taken().1);
    store.replace(b"").unwrap();
    assert_eq!(taken(), (0, true));
    journal.reserve().unwrap();
    assert_eq!(taken(), (0, true), "twice is once");
}
