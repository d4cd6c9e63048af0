use ed25519_dalek::SigningKey;

use super::*;

fn trusted(number: u8, role: Role, development: bool) -> TrustedKey {
    let public = SigningKey::from_bytes(&[number; 32]).verifying_key();
    TrustedKey { role, public, development, expires: None, name: format!("Example key {number}") }
}

fn sample() -> TrustStore {
    let keys = vec![trusted(1, Role::Base, false), trusted(2, Role::Base, true), trusted(3, Role::Licence, false)];
    TrustStore::new("demo", keys, BTreeMap::from([(Role::Base, 2)]), false).unwrap()
}

fn edited(from: &str, to: &str) -> String {
    let text = String::from_utf8(sample().encode().unwrap()).unwrap();
    assert!(text.contains(from), "{from}");
    TrustStore::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
}

#[test]
fn reads_back_what_it_wrote() {
    let bytes = sample().encode().unwrap();
    assert_eq!(TrustStore::parse(&bytes), Ok(sample()));
    assert_eq!(TrustStore::parse(&bytes).unwrap().encode().unwrap(), bytes);
}

#[test]
fn prints_for_people() {
    assert_eq!(
        sample().to_string(),
        "trust store of product demo, development keys refused
  role base: 2 signature(s) needed
    key 34750f98bd59fcfc946da45aaabe933be154a4b5094e1c4abf42866505f3c97e \"Example key 1\"
    key 6a3803d5f059902a1c6dafbc9ba4729212f7caac08634cc3ae76b27529f03827 \"Example key 2\" (development)
  role licence: nothing is accepted
    key b62e867fa2f33afe62d5d6b1642e1621d543307846b2a57b897e710919b76709 \"Example key 3\"
"
    );
}

#[test]
fn ignores_fields_of_a_newer_writer() {
    let text =
        String::from_utf8(sample().encode().unwrap()).unwrap().replacen("\"role\"", "\"since\": 2026, \"role\"", 1);
    assert_eq!(TrustStore::parse(text.as_bytes()), Ok(sample()));
}

#[test]
fn refuses_an_id_that_is_not_the_digest_of_the_key() {
    let id = key_id(&trusted(1, Role::Base, false).public).to_string();
    let message = edited(&id, &"0".repeat(64));
    assert!(message.contains("key 0000000000000000 (\"Example key 1\"): its id is not the SHA-256"), "{message}");
}

#[test]
fn refuses_damaged_keys_and_says_which() {
    let public = hex::encode(trusted(1, Role::Base, false).public.as_bytes());
    assert!(edited(&public, &public[2..]).contains("not 64 hexadecimal digits"));
    // y = 2 is on no point of the curve.
    assert!(edited(&public, &format!("02{}", "0".repeat(62))).contains("not an ed25519 key"));
    assert!(edited("\"Example key 1\"", "\"\\u001b[2J\"").contains("printable ASCII"));
    assert!(edited("\"Example key 1\"", "\"\"").contains("printable ASCII"));
    assert!(edited("\"base\"", "\"root\"").contains("unknown variant"));
    assert!(edited("\"product\": \"demo\"", "\"product\": \"De mo\"").contains("product \"De mo\""));
    assert!(edited("\"format\": 1", "\"format\": 2").contains("format 2"));
    assert!(
        edited("\"development-allowed\": false", "\"development-allowed\": false, \"development-allowed\": true")
            .contains("twice")
    );
}

#[test]
fn refuses_weak_keys_for_which_anyone_can_sign() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let weak = TrustedKey { public: VerifyingKey::from_bytes(&identity).unwrap(), ..trusted(1, Role::Base, false) };
    let error = TrustStore::new("demo", vec![weak], BTreeMap::new(), false).unwrap_err();
    assert!(error.to_string().contains("is weak"));
}

#[test]
fn refuses_a_key_with_two_roles() {
    let keys = vec![trusted(1, Role::Base, false), trusted(1, Role::Site, false)];
    let error = TrustStore::new("demo", keys, BTreeMap::new(), false).unwrap_err();
    assert!(error.to_string().contains("appears twice"));
}

#[test]
fn refuses_thresholds_that_mean_everything_or_nothing() {
    for (threshold, keys) in [(0, 2), (3, 2)] {
        let keys = (1..=keys).map(|n| trusted(n, Role::Base, false)).collect();
        let error = TrustStore::new("demo", keys, BTreeMap::from([(Role::Base, threshold)]), false).unwrap_err();
        assert!(error.to_string().contains(&format!("threshold {threshold} of role base, which has 2 keys")));
    }
    let error = TrustStore::new("demo", vec![], BTreeMap::from([(Role::Site, 1)]), false).unwrap_err();
    assert!(error.to_string().contains("has 0 keys"));
}

#[test]
fn refuses_oversize_and_truncated_stores() {
    let bytes = sample().encode().unwrap();
    for length in 0..bytes.len() - 1 {
        assert!(TrustStore::parse(&bytes[..length]).is_err(), "{length} bytes");
    }
    assert!(TrustStore::parse(&vec![b' '; MAX_SIZE + 1]).unwrap_err().to_string().contains("at most 65536"));
    let keys = (1..=65).map(|n| trusted(n, Role::Base, false)).collect();
    assert!(TrustStore::new("demo", keys, BTreeMap::new(), false).unwrap_err().to_string().contains("65 keys"));
}

#[test]
fn the_last_day_of_a_key_is_kept_and_shown() {
    let mut keys = vec![trusted(1, Role::Base, false)];
    keys[0].expires = Some("2031-12-31".parse().unwrap());
    let store = TrustStore::new("demo", keys, BTreeMap::from([(Role::Base, 1)]), false).unwrap();
    let bytes = store.encode().unwrap();
    assert_eq!(TrustStore::parse(&bytes), Ok(store.clone()));
    assert!(store.to_string().contains("\"Example key 1\" (until 2031-12-31)\n"), "{store}");
    let text = String::from_utf8(bytes).unwrap().replacen("2031-12-31", "2031-12-32", 1);
    assert!(TrustStore::parse(text.as_bytes()).unwrap_err().to_string().contains("2031-12-32"));
}
