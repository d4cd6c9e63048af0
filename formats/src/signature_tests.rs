use std::collections::BTreeMap;

use super::*;
use crate::manifest::Kind;
use crate::manifest::tests::sample;
use crate::trust::TrustedKey;

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn trusted(number: u8, role: Role, development: bool) -> TrustedKey {
    TrustedKey { role, public: key(number).verifying_key(), development, name: format!("key {number}") }
}

/// Keys 1 and 2 sign bases (both needed when `base` is 2), 3 signs sites, 4 is a development key for bases.
fn store(base: u32, development_allowed: bool) -> TrustStore {
    let keys = vec![
        trusted(1, Role::Base, false),
        trusted(2, Role::Base, false),
        trusted(3, Role::Site, false),
        trusted(4, Role::Base, true),
    ];
    TrustStore::new("demo", keys, BTreeMap::from([(Role::Base, base), (Role::Site, 1)]), development_allowed).unwrap()
}

#[test]
fn accepts_a_manifest_signed_by_a_key_of_the_role() {
    let bytes = sample(Kind::Base).encode().unwrap();
    let verified = verify(&bytes, &sign(&bytes, &[key(1)]).unwrap(), &store(1, false), Role::Base).unwrap();
    assert_eq!(verified.manifest(), &sample(Kind::Base));
    assert_eq!(verified.signers()[0].name, "key 1");
    assert_eq!(verified.digest(), Digest::of(&bytes));
}
