use super::*;
use crate::manifest::tests::sample;

/// Release `major`.0.0 of the line "os" or "app", number `major`.
pub(crate) fn entry(kind: Kind, major: u64) -> Entry {
    let name = if kind == Kind::Base { "os" } else { "app" };
    let version = Version::new(major, 0, 0);
    let site = (kind == Kind::Site).then(|| SiteInfo {
        hostname: "hello".into(),
        licences: None,
        expires: None,
        entry_points: BTreeMap::new(),
    });
    Entry {
        kind,
        product: "demo".into(),
        hardware: Vec::new(),
        name: name.into(),
        build_id: Digest::of(format!("{kind} {version}").as_bytes()),
        version,
        sequence: major,
        requires: Requires::default(),
        effects: Effects { reboot: kind == Kind::Base, site_downtime: kind == Kind::Site, ..Effects::default() },
        size: Bytes(1000),
        image_size: Bytes(4000),
        created: 1_700_000_000,
        support_end: None,
        site,
        licence: (kind == Kind::Licence).then(|| LicenceInfo { count: Some(5), ..LicenceInfo::default() }),
        notes: Digest::of(b"notes"),
        eula: None,
        development: false,
    }
}

fn id(text: &str) -> PackageId {
    text.parse().unwrap()
}

fn listing(package: &str) -> Listing {
    Listing { package: id(package), added: 1_700_000_000, opens: BTreeMap::new(), for_all: false, withdrawn: None }
}

fn index() -> Index {
    let mut index = Index::new("demo", 1_700_000_000);
    let ring = |name: &str, share| Ring { name: name.into(), share };
    index.rings = vec![ring("early", 100), ring("rest", 900)];
    let opens = BTreeMap::from([("early".to_owned(), 1_700_000_100), ("rest".to_owned(), 1_700_000_200)]);
    let withdrawn = Some(Withdrawal { date: "2024-01-02".parse().unwrap(), reason: "verliert Daten".into() });
    index.channels.insert(
        "stable".into(),
        vec![
            Listing { opens, ..listing("base/os-2.0.0") },
            Listing { withdrawn, ..listing("base/os-3.0.0") },
            listing("base/os-9.0.0"),
            Listing { for_all: true, ..listing("base/os-5.0.0") },
            listing("licence/app-1.0.0"),
        ],
    );
    index
}

#[test]
fn an_id_is_read_back_as_it_was_written() {
    for text in ["base/os-1.2.3", "site/my-app-2-10.0.0-rc.1+build.7", "licence/a-0.0.1", "base/a-1-2.0.0"] {
        assert_eq!(id(text).to_string(), text);
    }
    assert_eq!(id("site/my-app-2-10.0.0").name(), "my-app-2");
    for text in [
        "",
        "os-1.2.3",
        "base/os",
        "base/-1.2.3",
        "base/os-1.2",
        "other/os-1.0.0",
        "base/../os-1.0.0",
        "base/o/s-1.0.0",
        "base/OS-1.0.0",
        "base/os-01.0.0",
        &format!("base/{}-1.0.0", "x".repeat(200)),
    ] {
        assert!(text.parse::<PackageId>().is_err(), "{text}");
    }
}

#[test]
fn an_entry_says_what_the_manifest_says() {
    let mut manifest = sample(Kind::Site);
    let member = crate::manifest::Member { size: Bytes(5), digest: Digest::of(b"notes") };
    manifest.members.insert("notes.md".into(), member);
    let entry = Entry::of(&manifest, Bytes(77)).unwrap();
    assert_eq!((entry.size, entry.notes, entry.eula), (Bytes(77), Digest::of(b"notes"), None));
    assert_eq!(Entry::parse(&serde_json::to_vec(&entry).unwrap()).unwrap(), entry);
    assert!(!entry.differs_from(&manifest, Bytes(77)));
    assert!(entry.differs_from(&manifest, Bytes(78)));
    manifest.sequence += 1;
    assert!(entry.differs_from(&manifest, Bytes(77)));
    let mut licence = sample(Kind::Licence);
    licence.members.insert("notes.md".into(), member);
    let of_licence = Entry::of(&licence, Bytes(77)).unwrap();
    assert_eq!(of_licence.hostname(), Some("support.example.org"));
    assert_eq!(of_licence.licence, licence.licence);
    manifest.members.clear();
    assert!(Entry::of(&manifest, Bytes(77)).unwrap_err().to_string().contains("no release notes"));
}

#[test]
fn an_entry_stands_at_its_own_target() {
    let entry = entry(Kind::Base, 2);
    assert_eq!(entry.check_target("base/os-2.0.0.pkg"), Ok(()));
    for target in ["base/os-2.0.1.pkg", "site/os-2.0.0.pkg", "base/os-2.0.0", "base/os-2.0.0.notes.md"] {
        assert!(entry.check_target(target).is_err(), "{target}");
    }
}

#[test]
fn hostile_entries_are_refused() {
    let good = serde_json::to_value(entry(Kind::Site, 2)).unwrap();
    let with = |field: &str, value: serde_json::Value| {
        let mut changed = good.clone();
        changed[field] = value;
        Entry::parse(&serde_json::to_vec(&changed).unwrap())
    };
    assert!(with("sequence", 3.into()).is_ok());
    assert!(with("unknown", 3.into()).is_ok());
    for (field, value) in [
        ("sequence", serde_json::json!(1_u64 << 53)),
        ("sequence", serde_json::json!(-1)),
        ("created", serde_json::json!(-1)),
        ("name", "../x".into()),
        ("product", "".into()),
        ("version", format!("1.0.0-{}", "x".repeat(80)).into()),
        ("hardware", vec!["x"; 65].into()),
        ("hardware", vec!["\u{1b}"].into()),
        ("requires", serde_json::json!({"base": "whatever"})),
        ("licence", serde_json::json!({"count": 1, "features": ["\u{1b}"]})),
        ("licence", serde_json::json!({})),
    ] {
        assert!(with(field, value.clone()).is_err(), "{field} {value}");
    }
    assert!(Entry::parse(&vec![b' '; MAX_ENTRY + 1]).unwrap_err().to_string().contains("at most"));
}

type Break = fn(&mut Index);

#[test]
fn an_index_is_read_back_and_its_rules_are_checked() {
    assert_eq!(Index::parse(&index().encode().unwrap()).unwrap(), index());
    let broken: [(&str, Break); 9] = [
        ("add up to 1001", |index| index.rings[0].share = 101),
        ("appears twice", |index| index.rings[1].name = "early".into()),
        ("not 1 to", |index| index.rings[0].name = "Früh".into()),
        ("not one", |index| index.rings[0].name = "other".into()),
        ("created", |index| index.created = -1),
        ("twice", |index| {
            let again = index.channels["stable"][0].clone();
            index.channels.get_mut("stable").unwrap().push(again);
        }),
        ("channel", |index| {
            index.channels.insert(String::new(), Vec::new());
        }),
        ("one line", |index| {
            let gone = Withdrawal { date: "2024-01-02".parse().unwrap(), reason: "a\nb".into() };
            index.channels.get_mut("stable").unwrap()[0].withdrawn = Some(gone);
        }),
        ("added", |index| index.channels.get_mut("stable").unwrap()[0].added = i64::MAX),
    ];
    for (wanted, breaks) in broken {
        let mut one = index();
        breaks(&mut one);
        let problem = one.encode().unwrap_err().to_string();
        assert!(problem.contains(wanted), "{wanted}: {problem}");
        assert!(Index::parse(&serde_json::to_vec(&one).unwrap()).is_err(), "{wanted}");
    }
}

#[test]
fn an_appliance_sees_what_its_channel_ring_and_entitlement_give_it() {
    let bases = [2, 3, 4, 5].map(|number| entry(Kind::Base, number));
    let entries = bases.into_iter().chain([entry(Kind::Licence, 1)]).collect();
    let catalogue = Catalogue::new(entries, index()).unwrap();
    let place = Place { channel: "stable", appliance: "one", ring: None, entitled_until: None, now: 1_700_000_150 };
    let sees =
        |package: &str, place: &Place<'_>| catalogue.availability(&id(package), place).map(|found| found.to_string());
    let ring = |ring| Place { ring: Some(ring), ..place.clone() };
    assert_eq!(sees("base/os-2.0.0", &ring("early")).unwrap(), "available");
    let closed = "not available: opens on 2023-11-14 for ring \"rest\"";
    assert_eq!(sees("base/os-2.0.0", &ring("rest")).unwrap(), closed);
    assert_eq!(sees("base/os-2.0.0", &Place { now: 1_700_000_200, ..ring("rest") }).unwrap(), "available");
    assert_eq!(sees("base/os-3.0.0", &place).unwrap(), "not available: withdrawn on 2024-01-02: verliert Daten");
    assert_eq!(sees("base/os-4.0.0", &place), None, "not listed");
    assert_eq!(sees("base/os-9.0.0", &place), None, "listed, and not there");
    assert_eq!(sees("base/os-2.0.0", &Place { channel: "beta", ..place.clone() }), None);
    let entitled = |until: &str| Place { entitled_until: Some(until.parse().unwrap()), ..ring("early") };
    assert_eq!(sees("base/os-2.0.0", &entitled("2023-11-14")).unwrap(), "available");
    assert_eq!(
        sees("base/os-2.0.0", &entitled("2023-11-13")).unwrap(),
        "not available: entitlement ended on 2023-11-13"
    );
    for always in ["base/os-5.0.0", "licence/app-1.0.0"] {
        assert_eq!(sees(always, &entitled("2000-01-01")).unwrap(), "available", "{always}");
    }
}

#[test]
fn rings_get_their_shares_and_not_always_the_same_appliances() {
    let index = index();
    let early = |package: &str, appliance: u32| {
        let name = appliance.to_string();
        let place = Place { channel: "stable", appliance: &name, ring: None, entitled_until: None, now: 0 };
        index.ring(&id(package), &place) == Some("early")
    };
    let both = |n: &u32| early("base/os-2.0.0", *n) && early("base/os-3.0.0", *n);
    let first = (0..10_000).filter(|n| early("base/os-2.0.0", *n)).count();
    assert!((850..1150).contains(&first), "{first} of 10,000 in a ring of a tenth");
    let twice = (0..10_000).filter(both).count();
    assert!((50..150).contains(&twice), "{twice} of 10,000 in it twice");
    assert_eq!(permille(&id("base/os-2.0.0"), "one"), permille(&id("base/os-2.0.0"), "one"));
}

#[test]
fn a_catalogue_refuses_what_is_there_twice_and_what_is_of_another_product() {
    let twice = Catalogue::new(vec![entry(Kind::Base, 2), entry(Kind::Base, 2)], index());
    assert!(twice.unwrap_err().to_string().contains("base/os-2.0.0 appears twice"));
    let other = Catalogue::new(vec![Entry { product: "other".into(), ..entry(Kind::Base, 2) }], index());
    assert!(other.unwrap_err().to_string().contains("product \"other\""));
    let many = (0..5000).map(|n| entry(Kind::Base, n)).collect();
    assert!(Catalogue::new(many, index()).unwrap_err().to_string().contains("at most"));
}
