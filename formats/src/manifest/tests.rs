use super::*;

pub(crate) fn sample(kind: Kind) -> Manifest {
    let params = Parameters { data_blocks: 129, salt: [0xab; 32], uuid: Guid::new(7) };
    let image = ImageInfo::new(&params, Digest([0x11; 32])).unwrap();
    let site = SiteInfo {
        hostname: "support.example.org".into(),
        licences: Some(15),
        expires: None,
        entry_points: BTreeMap::from([("console".into(), "/console".into())]),
    };
    let watched = kind != Kind::Licence;
    Manifest {
        format: FORMAT,
        required: if watched { vec![health::FEATURE.into()] } else { vec![] },
        kind,
        product: "demo".into(),
        hardware: vec!["b200".into(), "virtual".into()],
        name: "demo-package".into(),
        version: Version::new(2, 1, 0),
        build_id: Digest([0x22; 32]),
        sequence: 42,
        requires: Requires { base: Some(">=2.0.0, <3.0.0".parse().unwrap()), site: None },
        effects: if kind == Kind::Licence {
            Effects::default()
        } else {
            Effects { reboot: true, site_downtime: true, client_upgrade: false, soak_hours: Some(24) }
        },
        image: (kind != Kind::Licence).then_some(image),
        members: BTreeMap::from([("notes.md".into(), Member { size: Bytes(513), digest: Digest([0x33; 32]) })]),
        created: 1_760_000_000,
        support_end: Some("2031-12-31".parse().unwrap()),
        site: (kind == Kind::Site).then_some(site),
        licence: (kind == Kind::Licence).then(licence),
        health: if watched { health::tests::samples() } else { vec![] },
        trial: watched.then_some(Trial { settle: 5, deadline: 120 }),
        development: false,
    }
}

fn licence() -> LicenceInfo {
    LicenceInfo {
        hostname: Some("support.example.org".into()),
        count: Some(15),
        features: vec!["chat".into(), "recording".into()],
        expires: Some("2027-12-31".parse().unwrap()),
        grace_days: 30,
        entitled_until: Some("2028-06-30".parse().unwrap()),
    }
}

/// The sample as JSON text with one replacement.
fn edited(from: &str, to: &str) -> Vec<u8> {
    edited_of(Kind::Site, from, to)
}

fn edited_of(kind: Kind, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(sample(kind).encode().unwrap()).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

fn refusal(from: &str, to: &str) -> String {
    Manifest::parse(&edited(from, to)).unwrap_err().to_string()
}

#[test]
fn reads_back_what_it_wrote_for_every_kind() {
    for kind in [Kind::Base, Kind::Site, Kind::Licence] {
        let manifest = sample(kind);
        assert_eq!(Manifest::parse(&manifest.encode().unwrap()), Ok(manifest));
    }
}

#[test]
fn writes_the_same_readable_json_every_time() {
    let text = String::from_utf8(sample(Kind::Site).encode().unwrap()).unwrap();
    assert_eq!(text, include_str!("golden.json"));
}

#[test]
fn prints_for_people() {
    assert_eq!(sample(Kind::Site).to_string(), include_str!("golden.txt"));
    let mut plain = sample(Kind::Licence);
    plain.development = true;
    assert!(plain.to_string().starts_with("licence package demo-package 2.1.0 (development)\n"));
    let wanted = "\
  effects      none
  created      2025-10-09 (1760000000 s)
  support end  2031-12-31
  hostname     support.example.org
  licences     15
  feature      chat
  feature      recording
  expires      2027-12-31, then 30 days of grace
  entitled     to packages published until 2028-06-30
";
    assert!(plain.to_string().contains(wanted), "{plain}");
}

#[test]
fn ignores_optional_fields_of_a_newer_writer() {
    let bytes = edited("\"kind\"", "\"colour\": {\"shade\": [1, 2.5, null]}, \"kind\"");
    assert_eq!(Manifest::parse(&bytes), Ok(sample(Kind::Site)));
}

#[test]
fn refuses_required_features_and_formats_of_a_newer_writer() {
    let message = refusal("\"health\"\n", "\"two-trees\"\n");
    assert_eq!(message, "manifest cannot be read by this version: it requires the feature \"two-trees\"");
    let message = refusal("\"format\": 1", "\"format\": 2");
    assert_eq!(message, "manifest cannot be read by this version: it has format 2; 1 is understood");
    for required in ["{}", "\"x\"", "[1]", "null"] {
        let message = refusal("\"required\": [\n    \"health\"\n  ],", &format!("\"required\": {required},"));
        assert!(message.contains("\"required\" is not a list"), "{message}");
    }
}

#[test]
fn refuses_keys_given_twice_even_when_unknown() {
    for extra in ["\"kind\": \"base\", \"kind\"", "\"x\": 1, \"x\": 1, \"kind\"", "\"\\u006bind\": \"base\", \"kind\""]
    {
        assert!(refusal("\"kind\"", extra).contains("appears twice"));
    }
    assert!(refusal("\"hostname\"", "\"hostname\": \"a\", \"hostname\"").contains("appears twice"));
    assert!(refusal("\"notes.md\"", "\"notes.md\": 1, \"notes.md\"").contains("appears twice"));
}

#[test]
fn refuses_names_that_could_steer_a_path_or_a_console() {
    for name in [
        "",
        "Demo",
        "de mo",
        "de/mo",
        "..",
        "a..b",
        ".hidden",
        "-x",
        "x-",
        "d\\u001bmo",
        "d\\u0000",
        "démo",
        "d\\u202eo",
    ] {
        let message = refusal("\"product\": \"demo\"", &format!("\"product\": \"{name}\""));
        assert!(message.contains("product \""), "{message}");
        assert!(message.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{message}");
        for (from, key) in
            [("\"support.example.org\"", "hostname"), ("\"demo-package\"", "name"), ("\"virtual\"", "hardware")]
        {
            assert!(refusal(from, &format!("\"{name}\"")).contains(&format!("{key} \"")));
        }
        assert!(refusal("\"notes.md\"", &format!("\"{name}\"")).contains("member \""));
    }
    let long = |n: usize| format!("\"product\": \"{}\"", "x".repeat(n));
    assert!(Manifest::parse(&edited("\"product\": \"demo\"", &long(64))).is_ok());
    assert!(refusal("\"product\": \"demo\"", &long(65)).contains("1 to 64"));
}

#[test]
fn refuses_values_outside_their_range_and_says_which() {
    for (from, to, part) in [
        ("\"sequence\": 42", "\"sequence\": 9007199254740992", "sequence 9007199254740992"),
        ("\"sequence\": 42", "\"sequence\": -1", "invalid value"),
        ("\"sequence\": 42", "\"sequence\": 42.0", "invalid type"),
        ("\"created\": 1760000000", "\"created\": -1", "created -1"),
        ("\"created\": 1760000000", "\"created\": 253402300800", "created 253402300800"),
        ("\"2031-12-31\"", "\"2031-02-30\"", "2031-02-30"),
        ("\"2.1.0\"", "\"2.1\"", "unexpected end of input"),
        ("\"/console\"", "\"console\"", "entry point"),
        ("\"/console\"", "\"/a b\"", "entry point"),
        ("\"hash-start\": 130", "\"hash-start\": 129", "tree starts at block 129; 130"),
        ("\"data-blocks\": 129", "\"data-blocks\": 0", "0 data blocks"),
        ("\"data-blocks\": 129", "\"data-blocks\": 18446744073709551615", "data blocks"),
        ("\"size\": 544768", "\"size\": 544769", "544769 B"),
        ("\"kind\": \"site\"", "\"kind\": \"firmware\"", "unknown variant"),
        ("\"kind\": \"site\"", "\"kind\": \"base\"", "a base package has no part \"site\""),
        ("\"kind\": \"site\"", "\"kind\": \"licence\"", "a licence package has no image"),
        ("\"image\"", "\"picture\"", "a site package needs an image"),
        ("\"site\": {", "\"place\": {", "a site package needs the part \"site\""),
        ("\"development\"", "\"developed\"", "missing field `development`"),
        ("\"reboot\": true", "\"reboot\": 1", "invalid type"),
    ] {
        let message = refusal(from, to);
        assert!(message.contains(part), "{to}: {message}");
    }
}

#[test]
fn refuses_licences_that_claim_nothing_or_what_no_reader_keeps() {
    let refusal = |from: &str, to: &str| Manifest::parse(&edited_of(Kind::Licence, from, to)).unwrap_err().to_string();
    for (from, to, part) in [
        ("\"licence\": {", "\"licences\": {", "a licence package needs the part \"licence\""),
        ("\"support.example.org\"", "\"../x\"", "hostname \"../x\""),
        ("\"chat\"", "\"Chat room\"", "feature \"Chat room\""),
        ("\"chat\"", "\"recording\"", "feature \"recording\" is there twice"),
        ("\"grace-days\": 30", "\"grace-days\": 3654", "3654 days of grace; at most 3653"),
        ("\"expires\": \"2027-12-31\"", "\"expired\": 1", "days of grace, and no day"),
        ("\"count\": 15", "\"count\": -1", "invalid value"),
        ("\"count\": 15", "\"count\": 4294967296", "invalid value"),
        ("\"2028-06-30\"", "\"2028-06-31\"", "2028-06-31"),
        ("\"reboot\": false", "\"reboot\": true", "a licence package has no effects on users; it names restart"),
    ] {
        let message = refusal(from, to);
        assert!(message.contains(part), "{to}: {message}");
    }
    let mut empty = sample(Kind::Licence);
    empty.licence = Some(LicenceInfo::default());
    assert!(empty.encode().unwrap_err().to_string().contains("a licence for nothing"));
    empty.licence = Some(LicenceInfo { features: (0..33).map(|n| format!("f{n}")).collect(), ..licence() });
    assert!(empty.encode().unwrap_err().to_string().contains("33 features; at most 32"));
    let mut base = sample(Kind::Base);
    base.licence = Some(licence());
    assert!(base.encode().unwrap_err().to_string().contains("a base package has no part \"licence\""));
}

#[test]
fn refuses_health_checks_that_an_agent_could_overlook_or_not_run() {
    let message = refusal("\"required\": [\n    \"health\"\n  ],", "");
    assert!(message.contains("has health checks and does not require the feature \"health\""), "{message}");
    for (from, to, part) in [
        ("\"tcp\": 443", "\"udp\": 443", "unknown field `udp`"),
        ("\"tcp\": 443", "\"tcp\": 443, \"status\": 1", "\"status\" belongs to \"http\""),
        ("\"/site/bin/test\"", "\"/run/test\"", "lies in /run, which nobody signed"),
        ("\"name\": \"port\"", "\"name\": \"page\"", "health check \"page\" is there twice"),
        ("\"deadline\": 120", "\"deadline\": 5", "deadline = 5"),
    ] {
        let message = refusal(from, to);
        assert!(message.contains(part), "{to}: {message}");
    }
    let mut manifest = sample(Kind::Licence);
    manifest.trial = Some(Trial::default());
    assert!(manifest.encode().unwrap_err().to_string().contains("a licence package has no part"));
}

#[test]
fn refuses_oversize_and_truncated_manifests() {
    let bytes = edited("\"kind\"", &format!("\"padding\": \"{}\", \"kind\"", "x".repeat(MAX_SIZE)));
    assert!(Manifest::parse(&bytes).unwrap_err().to_string().contains("at most 49152 are allowed"));
    let bytes = sample(Kind::Site).encode().unwrap();
    for length in 0..bytes.len() - 1 {
        assert!(Manifest::parse(&bytes[..length]).is_err(), "{length} bytes");
    }
    let mut manifest = sample(Kind::Base);
    manifest.hardware = vec!["x".into(); 65];
    assert!(manifest.encode().unwrap_err().to_string().contains("65 hardware models; at most 64"));
}

#[test]
fn refuses_to_write_what_it_would_refuse_to_read() {
    let mut manifest = sample(Kind::Base);
    manifest.product = "../etc".into();
    assert!(matches!(manifest.encode(), Err(Error::Invalid { .. })));
    let mut manifest = sample(Kind::Base);
    manifest.required = vec!["two-trees".into()];
    assert!(manifest.encode().unwrap_err().to_string().contains("two-trees"));
}

#[test]
fn says_by_how_much_an_image_exceeds_its_slot() {
    let image = sample(Kind::Base).image.unwrap();
    assert_eq!(image.check_fits(Bytes(image.size.0 + 65536)), Ok(()));
    let message = image.check_fits(Bytes(image.size.0 + 65536 - 4096)).unwrap_err().to_string();
    assert!(message.contains("an image of 532 KiB") && message.ends_with("by 4 KiB"), "{message}");
    assert!(image.check_fits(Bytes(512)).is_err());
}
