//! An appliance without a network, and the depot that answers it.

#![allow(dead_code, reason = "every test file uses its own part")]

use builder::Error;
use builder::depot::answer::read_key;
use ed25519_dalek::SigningKey;
use formats::Digest;
use formats::catalogue::PackageId;
use formats::download_key::{DownloadKey, LIFETIME, SignedKey};
use formats::journal::Floor;
use formats::manifest::{Kind, Requires};
use formats::plan::{Installed, Inventory};

use crate::depot::{NOW, Release, Shop};

/// Base 1 and site 1 run; site 2 needs base 2, and both are in the depot, with a licence nobody asked for.
pub fn shop() -> Shop {
    let shop = Shop::new();
    shop.add(NOW, &Release { eula: Some("Be good.\n"), ..Release::new(Kind::Base, "2.0.0", 2) }).unwrap();
    shop.add(NOW, &Release { base: Some(">=2"), ..Release::new(Kind::Site, "2.0.0", 2) }).unwrap();
    shop.add(NOW, &Release::new(Kind::Licence, "1.0.0", 1)).unwrap();
    shop
}

fn installed(kind: Kind) -> Installed {
    Installed {
        name: format!("demo-{kind}"),
        version: "1.0.0".parse().unwrap(),
        build_id: Digest::of(kind.to_string().as_bytes()),
        sequence: 1,
        requires: Requires::default(),
        hostname: (kind == Kind::Site).then(|| "a.example".into()),
        soaks_until: None,
    }
}

pub fn inventory() -> Inventory {
    Inventory {
        format: 1,
        appliance: "00112233445566778899aabbccddeeff".into(),
        product: "demo".into(),
        hardware: vec!["x1".into()],
        base: installed(Kind::Base),
        site: Some(installed(Kind::Site)),
        floors: vec![Floor { kind: Kind::Base, name: "demo-base".into(), sequence: 1 }],
        channel: "stable".into(),
        ring: None,
        entitled_until: None,
        licences: vec![],
    }
}

pub fn identity(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

pub fn key_by(number: u8, nonce: u8, change: impl FnOnce(&mut DownloadKey)) -> SignedKey {
    let mut key =
        DownloadKey { inventory: inventory(), root: 1, nonce: [nonce; 16], made: NOW, expires: NOW + LIFETIME };
    change(&mut key);
    read_key(&key.sign(&identity(number)).unwrap()).unwrap()
}

pub fn ids(names: &[&str]) -> Vec<PackageId> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub fn refused(result: Result<impl std::fmt::Debug, Error>) -> (u8, String) {
    let problem = result.unwrap_err();
    (problem.exit_code(), builder::error::chain(&problem))
}

pub fn today() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}
