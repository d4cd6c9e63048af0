//! The attacks of the TUF specification, one after the other.

use serde_json::{Value, json};

use super::fixture::{NOW, Publisher, ToBytes as _, envelope, key, refresh};
use super::*;

const FRESH: Freshness = Freshness::Required { now: NOW };

/// The refresh of an appliance that knows `kept`.
fn refused(kept: &Kept, files: &std::collections::BTreeMap<String, Vec<u8>>) -> (Why, String) {
    match refresh(kept, FRESH, files).0 {
        Err(Trouble::Refused(refusal)) => (refusal.why, refusal.to_string()),
        other => panic!("{other:?}"),
    }
}

fn depot(kept: &Kept, publisher: &Publisher) -> Depot {
    refresh(kept, FRESH, &publisher.files()).0.unwrap()
}

/// The file with its signed part changed, and signed again by `keys`.
fn changed(bytes: &[u8], keys: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut signed = serde_json::from_slice::<Value>(bytes).unwrap()["signed"].take();
    change(&mut signed);
    envelope(&signed, keys).bytes()
}

#[test]
fn an_honest_depot_is_read_and_an_unchanged_one_costs_two_requests() {
    let publisher = Publisher::new();
    let (first, asked) = refresh(&publisher.delivered(), FRESH, &publisher.files());
    let first = first.unwrap();
    assert_eq!(asked.len(), 6, "{asked:?}");
    let target = first.target("base/os-1.0.0.pkg").unwrap();
    assert_eq!((target.length, target.digest), (crate::Bytes(2), crate::Digest::of(b"os")));
    let digest = hex::encode(target.digest.0);
    assert_eq!(target.path("base/os-1.0.0.pkg"), format!("base/{digest}.os-1.0.0.pkg"));
    assert_eq!(target.path("index"), format!("{digest}.index"));
    assert_eq!(first.target("base/other"), None);
    let (again, asked) = refresh(first.kept(), FRESH, &publisher.files());
    assert_eq!((again.unwrap(), asked), (first, vec!["2.root.json".to_owned(), "timestamp.json".to_owned()]));
}

#[test]
fn arbitrary_software_is_refused_at_every_role() {
    let publisher = Publisher::new();
    for file in ["timestamp.json", "1.snapshot.json", "1.targets.json", "1.base.json"] {
        for forgery in [
            |bytes: &[u8]| changed(bytes, &[99], |_| {}),
            |bytes: &[u8]| changed(bytes, &[], |_| {}),
            |bytes: &[u8]| {
                let mut kept: Value = serde_json::from_slice(bytes).unwrap();
                kept["signed"]["more"] = json!(1);
                kept.bytes()
            },
        ] {
            let mut files = publisher.files();
            let forged = forgery(&files[file]);
            files.insert(file.into(), forged);
            // What a signed file names by length and digest is not looked at any further ...
            let (why, problem) = refused(&publisher.delivered(), &files);
            assert!(matches!(why, Why::Signatures | Why::Mismatch | Why::TooLong), "{problem}");
            // ... so the thief lists it anew, and its own signatures decide.
            if file.ends_with("targets.json") || file.ends_with("base.json") {
                publisher.relist(&mut files);
                let (why, problem) = refused(&publisher.delivered(), &files);
                assert_eq!(why, Why::Signatures, "{problem}");
            }
        }
    }
}

#[test]
fn one_key_does_not_make_two_signatures() {
    let two = Publisher { targets: (1, vec![12, 13]), ..Publisher::new() };
    assert!(refresh(&two.delivered(), FRESH, &two.files()).0.is_ok());
    let keys = |ids: Value, keys: Value, threshold: u64| {
        Keys::parse(&json!({"keyids": ids, "threshold": threshold}), keys.as_object().unwrap())
    };
    let (one, other) = (key_value(&key(1).verifying_key(), None), key_value(&key(1).verifying_key(), Some(json!({}))));
    let both = json!({"a": one, "b": other});
    assert!(keys(json!(["a", "b"]), both.clone(), 2).is_err(), "two ids of one key are one key");
    assert!(keys(json!(["a", "a"]), both.clone(), 1).is_err());
    assert!(keys(json!(["a", "c"]), both.clone(), 1).is_err());
    assert!(keys(json!(["a"]), both.clone(), 0).is_err());
    assert!(keys(json!(["a"]), both, 1).is_ok());
}

#[test]
fn nothing_goes_back_to_an_older_version() {
    let old = Publisher::new();
    let mut new = old.clone();
    new.publish();
    let known = depot(&old.delivered(), &new).kept().clone();
    assert_eq!(refused(&known, &old.files()).0, Why::Rollback, "all of it");
    let rolled_back: [fn(&mut Publisher); 3] =
        [|one| one.snapshot.0 = 1, |one| one.targets.0 = 1, |one| one.roles.get_mut("base").unwrap().0 = 1];
    for change in rolled_back {
        let mut one = new.clone();
        one.publish();
        change(&mut one);
        let (why, problem) = refused(&known, &one.files());
        assert_eq!(why, Why::Rollback, "{problem}");
    }
    let mut without = new.clone();
    without.publish();
    without.roles.remove("site");
    let (why, problem) = refused(&known, &without.files());
    assert_eq!((why, problem.as_str()), (Why::Rollback, "site.json: version 0; version 2 was seen before"));
}

#[test]
fn a_depot_that_stands_still_is_noticed_and_can_be_taken_by_decision() {
    for file in ["root.json", "timestamp.json", "snapshot.json", "targets.json", "base"] {
        let mut publisher = Publisher::new();
        publisher.expires.insert(file, "2023-11-14T22:13:19Z");
        let (why, problem) = refused(&publisher.delivered(), &publisher.files());
        assert_eq!(why, Why::Expired, "{problem}");
        assert!(problem.contains("it was good until 2023-11-14"), "{problem}");
        publisher.expires.insert(file, "2023-11-14T22:13:20Z");
        assert_eq!(depot(&publisher.delivered(), &publisher).expires(), NOW, "{file}: the last second counts");
    }
    let mut publisher = Publisher::new();
    let delivered = publisher.delivered();
    publisher.publish();
    publisher.expires.insert("timestamp.json", "1999-01-01T00:00:00Z");
    let taken = refresh(&delivered, Freshness::Waived, &publisher.files()).0.unwrap();
    let older = Publisher::new();
    let again = refresh(taken.kept(), Freshness::Waived, &older.files()).0;
    assert!(matches!(again, Err(Trouble::Refused(Refusal { why: Why::Rollback, .. }))), "{again:?}");
}

#[test]
fn endless_data_ends_at_the_limit() {
    let publisher = Publisher::new();
    let files = publisher.files();
    for (endless, most) in [
        ("2.root.json", MAX_ROOT),
        ("timestamp.json", MAX_TIMESTAMP),
        ("1.snapshot.json", files["1.snapshot.json"].len()),
        ("1.base.json", files["1.base.json"].len()),
    ] {
        let mut longest = 0;
        let result = super::refresh(&publisher.delivered(), FRESH, &mut |name, limit| -> Result<_, ()> {
            if name == endless {
                longest = limit;
                return Ok(Some(vec![b' '; limit + 1]));
            }
            Ok(files.get(name).cloned())
        });
        assert!(matches!(result, Err(Trouble::Refused(Refusal { why: Why::TooLong, .. }))), "{endless}: {result:?}");
        assert_eq!(longest, most, "{endless}");
    }
}

#[test]
fn files_of_different_times_are_not_mixed() {
    let old = Publisher::new();
    let mut new = old.clone();
    new.publish();
    new.content.insert("base/os-2.0.0.pkg", "os 2");
    for file in ["snapshot.json", "targets.json", "base.json"] {
        let mut files = new.files();
        files.insert(format!("2.{file}"), old.files()[&format!("1.{file}")].clone());
        let (why, problem) = refused(&old.delivered(), &files);
        assert_eq!(why, Why::Mismatch, "{problem}");
        files.remove(&format!("2.{file}"));
        assert_eq!(refused(&old.delivered(), &files).0, Why::Missing);
    }
}

#[test]
fn a_version_that_was_driven_up_is_left_behind_with_its_key() {
    let honest = Publisher::new();
    let mut thief = honest.clone();
    thief.timestamp.0 = u64::MAX;
    thief.snapshot.0 = u64::from(u32::MAX);
    let known = depot(&honest.delivered(), &thief).kept().clone();
    assert_eq!(refused(&known, &honest.files()).0, Why::Rollback);
    let mut rotated = honest.clone();
    rotated.roots.push(vec![1]);
    rotated.timestamp = (2, 30);
    rotated.snapshot = (2, 31);
    // The first root is the one delivered, with the stolen keys.
    let mut files = rotated.files();
    files.insert("1.root.json".into(), honest.files()["1.root.json"].clone());
    let recovered = refresh(&known, FRESH, &files).0.unwrap();
    assert_eq!((recovered.root().version(), recovered.kept().len()), (2, known.len()));
}

#[test]
fn keys_of_root_change_one_root_after_the_other() {
    let mut publisher = Publisher::new();
    let delivered = publisher.delivered();
    publisher.roots = vec![vec![1], vec![2, 3], vec![4]];
    assert_eq!(depot(&delivered, &publisher).root().version(), 3, "two roots behind");
    let files = publisher.files();
    let with = |file: &str, bytes: Vec<u8>| {
        let mut files = files.clone();
        files.insert(file.into(), bytes);
        refused(&delivered, &files)
    };
    let second = |keys: &[u8]| changed(&files["2.root.json"], keys, |_| {});
    assert_eq!(with("2.root.json", second(&[2, 3])).0, Why::Signatures, "not signed by the one before");
    assert_eq!(with("2.root.json", second(&[1, 2])).0, Why::Signatures, "one of two of its own");
    assert_eq!(with("2.root.json", files["3.root.json"].clone()).0, Why::Signatures, "one left out");
    let fifth = changed(&files["2.root.json"], &[1, 2, 3], |root| root["version"] = 5.into());
    assert_eq!(with("2.root.json", fifth).0, Why::Mismatch);
    let first = changed(&files["2.root.json"], &[1, 2, 3], |root| root["version"] = 1.into());
    assert_eq!(with("2.root.json", first).0, Why::Rollback);
    let all = changed(&files["2.root.json"], &[1, 2, 3], |root| root["consistent_snapshot"] = false.into());
    assert_eq!(with("2.root.json", all).0, Why::Malformed);
    assert_eq!(refused(&Kept::new(), &files).0, Why::Missing);
    let unsigned = Kept::from([("root.json".to_owned(), changed(&files["1.root.json"], &[], |_| {}))]);
    assert_eq!(refused(&unsigned, &files).0, Why::Signatures);
}

#[test]
fn a_role_does_not_speak_for_another() {
    let publisher = Publisher::new();
    let mut files = publisher.files();
    let signed_for_site = changed(&files["1.base.json"], &[21], |_| {});
    files.insert("1.base.json".into(), signed_for_site);
    publisher.relist(&mut files);
    assert_eq!(refused(&publisher.delivered(), &files).0, Why::Signatures);

    let mut outside = publisher.clone();
    outside.content.insert("base/../site/app-1.0.0.pkg", "evil");
    let (why, problem) = refused(&publisher.delivered(), &outside.files());
    assert_eq!((why, problem.contains("which it may not")), (Why::Malformed, true), "{problem}");

    let mut files = publisher.files();
    let snapshot = files["1.snapshot.json"].clone();
    files.insert("timestamp.json".into(), changed(&snapshot, &[10], |_| {}));
    assert_eq!(refused(&publisher.delivered(), &files).0, Why::Malformed, "one type taken for another");
}

#[test]
fn malformed_metadata_is_refused_in_words() {
    let publisher = Publisher::new();
    let good = publisher.files()["timestamp.json"].clone();
    let with = |bytes: Vec<u8>| {
        let mut files = publisher.files();
        files.insert("timestamp.json".into(), bytes);
        refused(&publisher.delivered(), &files)
    };
    for broken in
        [&b""[..], b"[]", b"{}", br#"{"signed":{},"signatures":{}}"#, br#"{"signed":1,"signatures":[]}"#, b"\xff"]
    {
        assert_eq!(with(broken.to_vec()).0, Why::Malformed, "{}", broken.escape_ascii());
    }
    let broken: [fn(&mut Value); 7] = [
        |signed| signed["version"] = 0.into(),
        |signed| signed["version"] = 1.5.into(),
        |signed| signed["expires"] = "tomorrow".into(),
        |signed| signed["spec_version"] = "2.0".into(),
        |signed| signed["meta"] = json!({}),
        |signed| signed["meta"]["other.json"] = json!({"version": 1}),
        |signed| signed["meta"]["snapshot.json"]["hashes"]["sha256"] = "00".into(),
    ];
    for change in broken {
        let mut signed = serde_json::from_slice::<Value>(&good).unwrap()["signed"].take();
        change(&mut signed);
        // A fraction has no canonical form, so nobody can sign it.
        let bytes = canonical(&signed)
            .map_or_else(|_| json!({"signed": signed, "signatures": []}).bytes(), |_| envelope(&signed, &[10]).bytes());
        let (why, problem) = with(bytes);
        assert_eq!(why, Why::Malformed, "{problem}");
    }
}

#[test]
fn whom_to_believe_about_packages_follows_from_the_delegations() {
    let publisher = Publisher::new();
    let store = depot(&publisher.delivered(), &publisher).targets().trust_store("demo", false).unwrap();
    let role = |role| store.keys().values().filter(|one| one.role == role).map(|one| one.public).collect::<Vec<_>>();
    assert_eq!(role(crate::trust::Role::Base), [key(20).verifying_key()]);
    assert_eq!(role(crate::trust::Role::Site), [key(21).verifying_key()]);
    assert_eq!((store.threshold(crate::trust::Role::Licence), store.product()), (None, "demo"));
}
