use std::sync::Arc;

use super::folder::Folder as _;
use super::folder::simulated::Memory;
use super::*;

const NOW: i64 = 1_790_000_000;
const DAY: i64 = 86_400;

fn names(hosts: &[&str], addresses: &[&str]) -> Names {
    let addresses = addresses.iter().map(|address| address.parse().unwrap());
    Names::new(hosts.iter().map(|host| (*host).to_owned()), addresses)
}

fn made(host: &str) -> Entry {
    let (certificate, key) = self_signed::make(&names(&[host], &[]), NOW).unwrap();
    Entry { certificate, chain: Vec::new(), key: Some(key) }
}

fn store() -> (Store, Memory) {
    let memory = Memory::default();
    (Store::over(Arc::new(memory.clone())), memory)
}

#[test]
fn an_appliance_without_a_certificate_makes_one_for_its_names_and_keeps_it() {
    let (store, memory) = store();
    let ours = names(&["Demo.Example.", "box", "no host", "192.0.2.1"], &["192.0.2.10", "2001:db8::5"]);
    assert_eq!(ours.hosts, ["demo.example", "box"]);
    let first = store.serving(&ours, NOW).unwrap();
    assert!(first.problems.is_empty());
    let entry = store.find("self-signed").unwrap();
    let facts = entry.certificate.facts();
    assert_eq!(facts.fingerprint, first.default.fingerprint);
    assert!(facts.self_signed && !facts.authority && facts.for_servers);
    for (server, covered) in [
        ("demo.example", true),
        ("BOX", true),
        ("192.0.2.10", true),
        ("[2001:db8::5]", true),
        ("other", false),
        ("192.0.2.1", false),
    ] {
        assert_eq!(entry.certificate.covers(server), covered, "{server}");
    }
    assert!(facts.not_after - facts.not_before < 825 * DAY);
    first.default.certified_key().unwrap().keys_match().unwrap();
    // The same, also by an agent that is started again, in another order, and almost until its end.
    let again = Store::over(Arc::new(memory.clone()));
    let turned = names(&["box", "demo.example"], &["2001:db8::5", "192.0.2.10"]);
    assert_eq!(again.serving(&turned, NOW + 789 * DAY).unwrap(), first);
}

#[test]
fn it_is_made_anew_for_other_names_and_near_its_end_and_every_server_can_tell() {
    let (store, _) = store();
    let ours = names(&["demo.example"], &["192.0.2.10"]);
    let mut seen = vec![store.serving(&ours, NOW).unwrap().change];
    for (names, now) in [
        (names(&["demo.example"], &["192.0.2.11"]), NOW),
        (ours.clone(), NOW),
        (ours.clone(), NOW + 791 * DAY),
        // The clock was put back.
        (ours, NOW),
    ] {
        let change = store.serving(&names, now).unwrap().change;
        assert!(!seen.contains(&change));
        assert_eq!(store.serving(&names, now).unwrap().change, change);
        seen.push(change);
    }
    assert_eq!(store.list().unwrap().len(), 1, "the one before is gone");
}

#[test]
fn where_nothing_can_be_written_the_same_one_is_served_all_the_same() {
    let (store, memory) = store();
    memory.cut_after(Some(0));
    let ours = names(&["demo.example"], &[]);
    let first = store.serving(&ours, NOW).unwrap();
    assert!(first.problems[0].contains("cannot be written"), "{:?}", first.problems);
    assert_eq!(store.serving(&ours, NOW).unwrap(), first);
    memory.cut_after(None);
    let written = store.serving(&ours, NOW).unwrap();
    assert_eq!((written.default, written.problems.len()), (first.default, 0));
}

#[test]
fn clients_get_what_is_bound_to_the_name_they_ask_for_then_to_the_address_they_came_to() {
    let (store, _) = store();
    let [one, two, three] = ["one.example", "two.example", "three.example"].map(made);
    for entry in [&one, &two, &three] {
        store.keep(entry).unwrap();
    }
    let bind = |place: Place, entry: &Entry| store.bind(place.checked().unwrap(), Some(entry.fingerprint())).unwrap();
    bind(Place::Default, &one);
    bind(Place::Name("Two.Example".into()), &two);
    bind(Place::Address("::ffff:192.0.2.10".parse().unwrap()), &three);
    let serving = store.serving(&names(&[], &[]), NOW).unwrap();
    for (name, local, wanted) in [
        (None, None, &one),
        (Some("two.example"), None, &two),
        (Some("TWO.example."), Some("192.0.2.10"), &two),
        (Some("other"), Some("192.0.2.10"), &three),
        (None, Some("::ffff:192.0.2.10"), &three),
        (None, Some("192.0.2.11"), &one),
    ] {
        let local = local.map(|local| local.parse().unwrap());
        assert_eq!(serving.pick(name, local).fingerprint, wanted.fingerprint(), "{name:?} {local:?}");
    }
    assert!(store.find("self-signed").is_err(), "nothing is made that nobody needs");
    let before = serving.change;
    bind(Place::Default, &two);
    assert_ne!(store.serving(&names(&[], &[]), NOW).unwrap().change, before);
}

#[test]
fn what_is_bound_cannot_be_removed_and_what_has_no_key_cannot_be_bound() {
    let (store, _) = store();
    let mut entry = made("one.example");
    let key = entry.key.take();
    store.keep(&entry).unwrap();
    let fingerprint = entry.fingerprint();
    assert_eq!(store.bind(Place::Default, Some(fingerprint)).unwrap_err().code(), "key-missing");
    entry.key = key;
    store.keep(&entry).unwrap();
    store.bind(Place::Default, Some(fingerprint)).unwrap();
    let refused = store.remove(fingerprint).unwrap_err();
    assert_eq!(refused.code(), "certificate-in-use");
    assert!(refused.to_string().contains("shown to everybody"), "{refused}");
    assert_eq!(store.bind(Place::Default, None).unwrap(), Some(fingerprint));
    store.remove(fingerprint).unwrap();
    assert_eq!(store.bind(Place::Default, Some(fingerprint)).unwrap_err().code(), "not-found");
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn a_certificate_is_found_by_the_first_digits_of_its_fingerprint() {
    let (store, _) = store();
    let entry = made("one.example");
    store.keep(&entry).unwrap();
    let digits = entry.fingerprint().to_string();
    let colons = format!("{}:{}:{}", digits[..2].to_uppercase(), &digits[2..4], &digits[4..6]);
    for wanted in [digits.as_str(), &digits[..4], &colons] {
        assert!(store.find(wanted).unwrap() == entry, "{wanted}");
    }
    for wanted in ["", "00", "../../etc/passwd", &format!("{digits}0"), "zzzz", "self-signed"] {
        assert_eq!(store.find(wanted).err().unwrap().code(), "not-found", "{wanted}");
    }
}

/// Of each file one bit, or all of it, or another one's content.
#[test]
fn what_went_bad_is_told_and_never_shown_to_a_client() {
    let (store, memory) = store();
    let entry = made("one.example");
    store.keep(&entry).unwrap();
    store.bind(Place::Default, Some(entry.fingerprint())).unwrap();
    let file = format!("{}.pem", entry.fingerprint());
    let other = made("two.example").encode();
    let half = entry.encode().as_bytes()[..300].to_vec();
    for bad in [b"".to_vec(), half, other.as_bytes().to_vec()] {
        memory.replace(&file, &bad).unwrap();
        let serving = store.serving(&names(&["one.example"], &[]), NOW).unwrap();
        assert_ne!(serving.default.fingerprint, entry.fingerprint());
        assert!(serving.problems[0].contains("cannot be used"), "{:?}", serving.problems);
        assert!(store.list().unwrap().iter().any(|kept| kept.content.is_err()));
        assert_eq!(store.find(&file[..8]).err().unwrap().code(), "certificate-damaged");
    }
    let listing = |store: &Store| store.listing(None, &Light { now: NOW, ..Light::default() }).unwrap();
    assert!(listing(&store).problems[0].contains("delete it and import it again"));
    memory.replace(&file, entry.encode().as_bytes()).unwrap();
    memory.replace("self-signed.pem", b"{").unwrap();
    assert!(listing(&store).problems.is_empty(), "the appliance makes its own anew when it needs it");
    memory.replace("bindings.json", b"{").unwrap();
    assert_eq!(store.bindings().unwrap_err().code(), "certificate-damaged");
    let serving = store.serving(&names(&["one.example"], &[]), NOW).unwrap();
    assert!(serving.problems[0].contains("bind a certificate"), "{:?}", serving.problems);
    assert!(store.remove(entry.fingerprint()).is_err(), "nobody knows whether it is bound");
    store.keep(&entry).unwrap();
    store.bind(Place::Default, Some(entry.fingerprint())).unwrap();
    assert_eq!(store.serving(&names(&[], &[]), NOW).unwrap().default.fingerprint, entry.fingerprint());
}

/// After each change that reached the medium the power fails: what is served then is the state before or after, complete.
#[test]
fn a_power_cut_at_any_change_leaves_the_old_or_the_new_certificate_in_use() {
    let (one, two) = (made("one.example"), made("two.example"));
    let (store, memory) = store();
    store.keep(&one).unwrap();
    store.bind(Place::Default, Some(one.fingerprint())).unwrap();
    let mut ends = Vec::new();
    for cut in 0..=3 {
        let medium = memory.copy();
        medium.cut_after(Some(cut));
        let store = Store::over(Arc::new(medium.clone()));
        let _cut_off = store
            .keep(&two)
            .and_then(|()| store.bind(Place::Default, Some(two.fingerprint())))
            .and_then(|_| store.remove(one.fingerprint()));
        let store = Store::over(Arc::new(medium.copy()));
        let serving = store.serving(&names(&[], &[]), NOW).unwrap();
        assert!(serving.problems.is_empty(), "{cut}: {:?}", serving.problems);
        assert!(store.list().unwrap().iter().all(|kept| kept.content.is_ok()));
        ends.push(serving.default.fingerprint);
    }
    let (one, two) = (one.fingerprint(), two.fingerprint());
    assert_eq!(ends, [one, one, two, two]);
}

/// The certificate for a signing request comes, and the power fails after each change.
#[test]
fn a_power_cut_while_a_requested_certificate_comes_loses_neither_key_nor_certificate() {
    let (store, memory) = store();
    let wanted = names(&["one.example"], &[]);
    let request = request::make(&wanted, &request::Subject::default(), request::KeyKind::EcP256).unwrap();
    store.keep_request(&request).unwrap();
    let authority = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::new(rcgen::CertificateParams::default(), authority);
    let file = String::from_utf8(memory.read(&memory.names().unwrap()[0]).unwrap()).unwrap();
    let sections = pem::sections(&file, 2).unwrap();
    let key = sections.iter().find(|section| section.label == pem::PRIVATE_KEY).unwrap();
    let key = rcgen::KeyPair::try_from(key.bytes.as_slice()).unwrap();
    let signed = self_signed::params(&wanted).unwrap().signed_by(&key, &issuer).unwrap();
    let certificate = Certificate::parse(signed.der()).unwrap();
    let found = || read::Found { certificates: vec![certificate.clone()], keys: Vec::new() };
    let light = Light { now: NOW, ..Light::default() };
    for cut in 0..=2 {
        let medium = memory.copy();
        medium.cut_after(Some(cut));
        let cut_off = Store::over(Arc::new(medium.clone())).import(found(), &light);
        assert_eq!(cut_off.is_ok(), cut == 2);
        let store = Store::over(Arc::new(medium.copy()));
        let (waiting, bad) = store.requests().unwrap();
        let kept = store.entry(certificate.facts().fingerprint);
        assert!(bad.is_empty());
        assert_eq!((waiting.len(), kept.is_some()), if cut == 0 { (1, false) } else { (0, true) });
        assert!(kept.is_none_or(|entry| entry.key.is_some()));
        store.tidy_requests().unwrap();
        assert_eq!(store.folder.names().unwrap().len(), 1, "one file with the key, whatever happened");
        // And whoever asks again gets what was wanted.
        let again = store.import(found(), &light);
        assert!(again.is_ok() || again.err().unwrap().code() == "certificate-known");
        assert!(store.entry(certificate.facts().fingerprint).unwrap().key.is_some());
    }
}
