use formats::manifest::{Kind, SiteInfo};

use super::*;

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn held(name: &str, claims: LicenceInfo) -> VerifiedManifest {
    use ed25519_dalek::SigningKey;
    use formats::trust::TrustedKey;
    let key = SigningKey::from_bytes(&[3; 32]);
    let trusted = TrustedKey {
        role: Role::Licence,
        public: key.verifying_key(),
        development: false,
        expires: None,
        name: "licence".into(),
    };
    let trust = TrustStore::new("demo", vec![trusted], [(Role::Licence, 1)].into(), false).unwrap();
    let manifest = Manifest {
        format: 1,
        required: Vec::new(),
        kind: Kind::Licence,
        product: "demo".into(),
        hardware: Vec::new(),
        name: name.into(),
        version: "1.0.0".parse().unwrap(),
        build_id: Digest::of(name.as_bytes()),
        sequence: 1,
        requires: formats::manifest::Requires::default(),
        effects: formats::manifest::Effects::default(),
        image: None,
        members: [].into(),
        created: 1_700_000_000,
        support_end: None,
        site: None,
        licence: Some(claims),
        health: Vec::new(),
        trial: None,
        development: false,
    };
    let manifest = manifest.encode().unwrap();
    let signatures = formats::signature::sign(&manifest, &[key]).unwrap();
    formats::signature::verify(&manifest, &signatures, &trust, Role::Licence).unwrap()
}

fn site(licences: Option<u32>, expires: Option<&str>) -> SiteInfo {
    let expires = expires.map(day);
    SiteInfo { hostname: "demo.example".into(), licences, expires, entry_points: [].into() }
}

fn claims(count: u32, expires: &str, grace_days: u32) -> LicenceInfo {
    LicenceInfo { count: Some(count), expires: Some(day(expires)), grace_days, ..LicenceInfo::default() }
}

#[test]
fn counts_of_site_and_licences_add_up_as_long_as_each_holds() {
    let endless = LicenceInfo { count: Some(3), features: vec!["chat".into()], ..LicenceInfo::default() };
    let elsewhere = LicenceInfo { hostname: Some("other.example".into()), ..endless.clone() };
    let licences = Licences {
        held: vec![
            held("a", claims(5, "2027-06-30", 2)),
            held("b", endless),
            held(
                "c",
                LicenceInfo {
                    features: vec!["chat".into(), "audit".into()],
                    count: None,
                    ..claims(0, "2027-06-29", 0)
                },
            ),
            held("d", elsewhere),
        ],
        problems: Vec::new(),
    };
    let site = site(Some(10), Some("2027-07-31"));
    let count = |today: &str| standing(&licences, Some(&site), day(today)).count;
    assert_eq!(["2027-06-29", "2027-06-30", "2027-07-02"].map(count), [Some(18); 3]);
    assert_eq!(count("2027-07-03"), Some(13), "after the grace");
    assert_eq!(count("2027-08-01"), Some(3), "after the site's own");

    let at = |today: &str| standing(&licences, Some(&site), day(today));
    assert_eq!(at("2027-06-29").features, ["audit", "chat"]);
    assert_eq!(at("2027-06-30").features, ["chat"]);
    let holds = |today: &str| at(today).licences.iter().map(|line| line.holds).collect::<Vec<_>>();
    assert_eq!(holds("2027-07-01"), [true, true, false, false]);
    let summary = |today: &str, line: usize| at(today).licences[line].summary.clone();
    assert!(!summary("2027-06-30", 0).contains("expired"));
    assert!(summary("2027-07-01", 0).contains("expired on 2027-06-30 and counts until 2027-07-02"));
    assert!(summary("2027-07-03", 0).contains("does not count any more, what runs keeps running"));
    let other = summary("2027-06-01", 3);
    assert!(other.contains("for the site \"other.example\", and this appliance serves \"demo.example\""), "{other}");
}

#[test]
fn where_nothing_is_counted_no_number_is_made_up() {
    let today = day("2027-01-01");
    assert_eq!(standing(&Licences::default(), None, today), Standing::default());
    assert_eq!(standing(&Licences::default(), Some(&site(None, None)), today).count, None);
    let feature = LicenceInfo { features: vec!["chat".into()], ..LicenceInfo::default() };
    let licences = Licences { held: vec![held("a", feature)], problems: Vec::new() };
    assert_eq!(standing(&licences, None, today).count, None);
    let bound = LicenceInfo { hostname: Some("demo.example".into()), ..claims(1, "2030-01-01", 0) };
    let licences = Licences { held: vec![held("a", bound)], problems: Vec::new() };
    assert!(standing(&licences, None, today).licences[0].summary.contains("this appliance has no site"));
}

#[test]
fn the_latest_end_of_entitlement_of_this_site_counts_also_after_its_licence_ended() {
    let until = |day_: &str, hostname: Option<&str>| LicenceInfo {
        entitled_until: Some(day(day_)),
        hostname: hostname.map(str::to_owned),
        ..claims(1, "2020-01-01", 0)
    };
    let of = |all: Vec<LicenceInfo>| Licences {
        held: all.into_iter().map(|claims| held("a", claims)).collect(),
        problems: Vec::new(),
    };
    let both = of(vec![until("2026-01-01", None), until("2027-01-01", Some("demo.example"))]);
    assert_eq!(both.entitled_until(Some("demo.example")), Some(day("2027-01-01")));
    assert_eq!(both.entitled_until(None), Some(day("2026-01-01")));
    assert_eq!(of(vec![claims(1, "2030-01-01", 0)]).entitled_until(None), None);
}
