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
    assert_eq!(journal.history().open(Kind::Base).unwrap().action, action(Verb::Install, 2));
    journal.end(open, Outcome::Armed).unwrap();
    assert!(journal.history().open(Kind::Base).is_none());
}

#[test]
fn only_what_was_committed_raises_a_floor() {
    let store = Memory::default();
    let journal = journal(&store);
    for (sequence, outcome) in [(3, Outcome::Armed), (2, Outcome::Committed), (1, Outcome::Committed)] {
        journal.note(release(sequence), SlotId::A, outcome).unwrap();
    }
    let history = journal.history();
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
        let before = journal.history().0.len();
        journal.note(release(2), SlotId::B, Outcome::Committed).unwrap();
        let history = journal.history();
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
        assert_eq!(journal.history().open(Kind::Base).unwrap().action.release.sequence, 1, "round {round}");
        journal.end(open, Outcome::Failed { reason: "the disk is tired".into() }).unwrap();
        longest = longest.max(store.load().unwrap().len());
    }
    assert_eq!(journal.history().floors()[0].sequence, 9);
    assert!(longest <= LIMIT, "{longest}");
    let numbers: Vec<u64> = journal.history().0.iter().map(|record| record.number).collect();
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
        assert_eq!(journal.history().open(Kind::Site).unwrap().action, action);
    }
    assert_eq!(journal.history().open(Kind::Base).map(|open| open.action), None);
    assert_eq!(journal.history().baseline(release(5).build_id), ["clock"]);
    journal.end(trial, Outcome::Committed).unwrap();
    assert!(journal.history().open(Kind::Site).is_none());
    assert_eq!(journal.history().0.iter().filter(|record| matches!(record.entry, Entry::Floors { .. })).count(), 1);
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
    let history = journal(&store).history();
    assert_eq!(history.0.len(), 1);
    assert_eq!(history.floors()[0].sequence, 4);
}

#[test]
fn the_checks_that_failed_before_an_installation_are_remembered_with_its_build() {
    let store = Memory::default();
    let journal = journal(&store);
    let before = Action { baseline: vec!["operator/mail".into()], ..action(Verb::Install, 2) };
    let open = journal.begin(before).unwrap();
    assert_eq!(journal.history().baseline(release(2).build_id), ["operator/mail"], "while it is open");
    journal.end(open, Outcome::Armed).unwrap();
    let commit = journal.begin(action(Verb::Commit, 2)).unwrap();
    journal.end(commit, Outcome::Committed).unwrap();
    assert_eq!(journal.history().baseline(release(2).build_id), ["operator/mail"], "a commit asks nothing");
    assert_eq!(journal.history().baseline(release(1).build_id), [""; 0]);
    let again = journal.begin(action(Verb::Install, 2)).unwrap();
    journal.end(again, Outcome::Armed).unwrap();
    assert_eq!(journal.history().baseline(release(2).build_id), [""; 0], "the newest installation counts");
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
    assert_eq!(journal(&store).history().0.len(), 2);
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
    let history = journal.history();
    assert_eq!(history.floors(), floors);
    let entries = [Entry::Floors { floors }, Entry::Reset { by: "root".into() }];
    let wanted = (1_u64..).zip(entries).map(|(number, entry)| Record { format: 1, number, time: 77, entry });
    assert_eq!(history.0, wanted.collect::<Vec<_>>());
    journal.note(release(10), SlotId::A, Outcome::Committed).unwrap();
    assert_eq!(journal.history().0.last().map(|record| record.number), Some(3));
}
