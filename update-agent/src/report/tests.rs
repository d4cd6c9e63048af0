use formats::manifest::Kind;
use formats::{Digest, SlotId};

use super::*;
use crate::journal::{Action, Entry, Record, Verb};

fn release() -> Release {
    Release {
        kind: Kind::Base,
        name: "demo-base".into(),
        version: "2.0.0".into(),
        build_id: Digest::of(b"two"),
        sequence: 2,
    }
}

fn report(id: &str) -> Report {
    Report {
        format: FORMAT,
        id: id.into(),
        by: "anna".into(),
        release: release(),
        before: None,
        notes: None,
        started: 100,
        after: 7,
        preflight: Value::Null,
        result: None,
        end: None,
        checks: Value::Null,
    }
}

fn ended(number: u64, outcome: Outcome) -> Record {
    let action = Action::new(Verb::Install, release(), SlotId::B);
    Record { format: 1, number, time: number * 10, actor: None, entry: Entry::End { of: number, action, outcome } }
}

/// Another release that was written to the same slot.
fn other(number: u64) -> Record {
    let three = Release { version: "3.0.0".into(), build_id: Digest::of(b"three"), sequence: 3, ..release() };
    let action = Action::new(Verb::Install, three, SlotId::B);
    Record { entry: Entry::End { of: number, action, outcome: Outcome::Armed }, ..ended(number, Outcome::Armed) }
}

fn told(report: &Report, records: Vec<Record>, working: bool) -> String {
    report.sentence(&story(report, &History(records, Vec::new()), working))
}

#[test]
fn how_it_ended_follows_from_the_journal_through_a_restart() {
    let one = report("1");
    let armed = || ended(8, Outcome::Armed);
    let reason = || Outcome::FellBack { reason: "no light".into() };
    for (records, wanted) in [
        (vec![], "demo-base 2.0.0 was cut off, and nothing changed"),
        (vec![ended(7, Outcome::Committed)], "demo-base 2.0.0 was cut off, and nothing changed"),
        (vec![armed()], "demo-base 2.0.0 has to prove itself"),
        (vec![armed(), ended(9, Outcome::Committed)], "demo-base 2.0.0 was kept"),
        (vec![armed(), ended(9, reason())], "demo-base 2.0.0 was left again: no light"),
        (vec![armed(), ended(9, Outcome::Disarmed)], "demo-base 2.0.0 was taken back before it was tried"),
        (vec![armed(), other(9)], "demo-base 2.0.0 was taken back before it was tried: demo-base 3.0.0 took its place"),
        (vec![other(8), ended(9, Outcome::Armed)], "demo-base 2.0.0 has to prove itself"),
        (vec![ended(8, Outcome::Interrupted)], "demo-base 2.0.0 was cut off, and nothing changed"),
        (vec![ended(8, Outcome::Committed), ended(9, reason())], "demo-base 2.0.0 was kept"),
    ] {
        assert_eq!(told(&one, records.clone(), false), wanted, "{records:?}");
    }
    assert_eq!(told(&one, vec![], true), "demo-base 2.0.0 is being installed");
    let problem = Some(Problem { code: "busy".into(), message: "not now".into() });
    let refused = Report { result: Some(Work { phases: vec![], steps: vec![], problem }), ..report("1") };
    assert_eq!(told(&refused, vec![], true), "demo-base 2.0.0 was not installed: not now");
}

#[test]
fn an_end_that_was_written_down_stays_whatever_the_journal_forgets() {
    let end = End { outcome: Ending::Kept, reason: None, time: Some(90) };
    let kept = Report { end: Some(end.clone()), ..report("1") };
    assert_eq!(story(&kept, &History(Vec::new(), Vec::new()), false), Story::Ended(end));
}

#[test]
fn the_newest_fifty_are_kept_and_two_in_one_second_have_two_names() {
    let folder = tempfile::tempdir().unwrap();
    let store = store::Store::new(folder.path());
    assert_eq!(store.all().unwrap(), []);
    for second in 0..52 {
        store.save(&report(&store.name(1_795_435_200 + second).unwrap())).unwrap();
    }
    assert_eq!(store.name(1_795_435_200 + 51).unwrap(), "20261123-120052", "the one before has its name");
    let all = store.all().unwrap();
    assert_eq!((all.len(), all[0].id.as_str(), all[49].id.as_str()), (50, "20261123-120051", "20261123-120002"));
    std::fs::write(folder.path().join("bulkhead/reports/20261123-120051.json"), "{").unwrap();
    std::fs::write(folder.path().join("bulkhead/reports/20261123-120050.new"), "{").unwrap();
    assert_eq!(store.all().unwrap().len(), 49, "what was damaged is left out");
}
