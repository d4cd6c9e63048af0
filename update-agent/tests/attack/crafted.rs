//! Packages as an attacker makes them: taken apart, changed, put together and signed again with any key.

use ed25519_dalek::{Signer as _, SigningKey};
use formats::Bytes;
use formats::manifest::{Manifest, Member};
use formats::package::{TRAILER, encode_header, padding};
use formats::signature::{OneSignature, SignatureSet, message};
use formats::trust::key_id;

/// A package file as its members.
#[derive(Clone)]
pub struct Crafted(pub Vec<(String, Vec<u8>)>);

pub fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

impl Crafted {
    pub fn of(package: &[u8]) -> Self {
        let mut members = Vec::new();
        let mut rest = package;
        while rest[0] != 0 {
            let (header, content) = rest.split_at(512);
            let name = header.split(|byte| *byte == 0).next().unwrap();
            let size = std::str::from_utf8(&header[124..135]).unwrap();
            let size = usize::from_str_radix(size, 8).unwrap();
            members.push((String::from_utf8(name.to_vec()).unwrap(), content[..size].to_vec()));
            rest = &content[size.next_multiple_of(512)..];
        }
        Self(members)
    }

    pub fn archive(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in &self.0 {
            let size = Bytes(content.len() as u64);
            bytes.extend(encode_header(name, size).unwrap());
            bytes.extend(content);
            bytes.resize(bytes.len() + usize::try_from(padding(size).0).unwrap(), 0);
        }
        bytes.extend(TRAILER);
        bytes
    }

    pub fn member(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.0.iter_mut().find(|(member, _)| member == name).unwrap().1
    }

    /// With this manifest text, signed by these keys.
    pub fn signed(mut self, manifest: &[u8], keys: &[u8]) -> Self {
        let message = message(manifest);
        let signatures = keys.iter().map(|number| key(*number));
        let signatures = signatures
            .map(|key| OneSignature { key_id: key_id(&key.verifying_key()), signature: key.sign(&message) })
            .collect();
        self.0[0].1 = manifest.to_vec();
        self.0[1].1 = SignatureSet::new(signatures).unwrap().encode().unwrap();
        self
    }

    /// With the same manifest, signed by these keys.
    pub fn signed_by(self, keys: &[u8]) -> Self {
        let manifest = self.0[0].1.clone();
        self.signed(&manifest, keys)
    }

    /// With other claims, signed by the base key.
    pub fn claiming(self, change: impl FnOnce(&mut Manifest)) -> Self {
        let mut manifest = Manifest::parse(&self.0[0].1).unwrap();
        change(&mut manifest);
        let manifest = manifest.encode().unwrap();
        self.signed(&manifest, &[1])
    }

    /// With a manifest that lists the members as they are now, signed by the base key.
    pub fn listed(self) -> Self {
        let members: Vec<(String, Member)> = self.0[2..]
            .iter()
            .map(|(name, bytes)| {
                let member = Member { size: Bytes(bytes.len() as u64), digest: formats::Digest::of(bytes) };
                (name.clone(), member)
            })
            .collect();
        self.claiming(|manifest| manifest.members = members.into_iter().collect())
    }

    /// Where the content of a member begins and ends in the archive.
    pub fn range(&self, name: &str) -> std::ops::Range<usize> {
        let mut at = 0;
        for (member, content) in &self.0 {
            if member == name {
                return at + 512..at + 512 + content.len();
            }
            at += 512 + content.len().next_multiple_of(512);
        }
        unreachable!()
    }
}
