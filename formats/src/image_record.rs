//! The image record: what a freshly built disk must look like outside its slots.
//!
//! Slots carry their own signatures. Boot code, partition tables, the EFI system partition and the first boot state do not, so the
//! builder notes the digest of each such region in a record, signs it with the base role, and puts it at the end of the `bios`
//! partition, where nothing else lives. Of each slot it has the footer, so that no other signed slot can stand in unnoticed.
//! `bulkhead verify` reads it; the device never needs it. Regions that change during the appliance's life (footers, boot state,
//! partition table after growth, data) are marked `mutable`.

use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};

use crate::signature::{self, OneSignature, SignatureSet};
use crate::trust::{Role, TrustStore, key_id};
use crate::{Bytes, Digest, Error, Result, json};

/// Bytes reserved for the record, at the very end of the `bios` partition.
pub const RECORD_SIZE: usize = 16 * 1024;

/// The signed list of regions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageRecord {
    /// Version of this structure. Always 1.
    pub format: u32,
    /// Product name.
    pub product: String,
    /// Version of the base it was built with.
    pub version: semver::Version,
    /// The regions, by first byte.
    pub regions: Vec<RecordedRegion>,
}

/// One region and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordedRegion {
    /// Name for people.
    pub name: String,
    /// First byte on the disk.
    pub start: Bytes,
    /// Length in bytes.
    pub size: Bytes,
    /// SHA-256 of its content.
    pub digest: Digest,
    /// True when a running appliance may change it.
    pub mutable: bool,
}

/// The outer form: the exact signed text and its signatures.
#[derive(Serialize, Deserialize)]
struct Envelope {
    record: String,
    signatures: String,
}

/// The bytes of the record area, signed by `key`: magic, length, SHA-256 of the JSON envelope (tells damage from
/// distrust, and leaves no byte that may change unnoticed), the envelope of the exact text and its signatures, zero padding.
pub fn encode(record: &ImageRecord, key: &SigningKey) -> Result<Vec<u8>> {
    let text = serde_json::to_string(record).map_err(|cause| Error::invalid(WHAT, cause.to_string()))?;
    let signature = key.sign(&message(&text));
    let set = SignatureSet::new(vec![OneSignature { key_id: key_id(&key.verifying_key()), signature }])?;
    let signatures = String::from_utf8(set.encode()?).map_err(|cause| Error::invalid(WHAT, cause.to_string()))?;
    let json = serde_json::to_vec(&Envelope { record: text, signatures })
        .map_err(|cause| Error::invalid(WHAT, cause.to_string()))?;
    let length = u32::try_from(json.len()).map_err(|_| Error::invalid(WHAT, "too long"))?;
    let mut area = MAGIC.to_vec();
    area.extend_from_slice(&length.to_le_bytes());
    area.extend_from_slice(&Digest::of(&json).0);
    area.extend_from_slice(&json);
    if area.len() > RECORD_SIZE {
        return Err(Error::invalid(WHAT, format!("it needs {} bytes, the area has {RECORD_SIZE}", area.len())));
    }
    area.resize(RECORD_SIZE, 0);
    Ok(area)
}

/// Takes a record area apart, checks the signature over the exact text by the base role of `trust`, then parses the text.
///
/// # Errors
/// [`Error::Corrupt`] for a missing or damaged area, [`Error::Untrusted`] for signatures that do not count.
pub fn open(area: &[u8], trust: &TrustStore) -> Result<ImageRecord> {
    let envelope = envelope(area)?;
    let set = SignatureSet::parse(envelope.signatures.as_bytes())?;
    signature::count(&message(&envelope.record), &set, trust, Role::Base)?;
    parse(&envelope.record)
}

/// What is signed: a domain of its own, so that no manifest's signature can stand in, and the digest of the text.
fn message(text: &str) -> Vec<u8> {
    let mut message = DOMAIN.to_vec();
    message.extend_from_slice(&Digest::of(text.as_bytes()).0);
    message
}

/// The record without any check of its signature, for display only.
pub fn peek(area: &[u8]) -> Result<ImageRecord> {
    parse(&envelope(area)?.record)
}

fn envelope(area: &[u8]) -> Result<Envelope> {
    let rest = area
        .strip_prefix(MAGIC.as_slice())
        .ok_or_else(|| Error::corrupt(WHAT, "it does not begin with its magic number"))?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| Error::corrupt(WHAT, "it ends in its header"))?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (digest, rest) = rest.split_first_chunk::<32>().ok_or_else(|| Error::corrupt(WHAT, "it ends in its header"))?;
    let json = rest
        .get(..length)
        .ok_or_else(|| Error::corrupt(WHAT, format!("it claims {length} bytes, more than its area has")))?;
    if let Some(at) = rest.get(length..).and_then(|padding| padding.iter().position(|byte| *byte != 0)) {
        return Err(Error::corrupt(WHAT, format!("its padding is not zero at byte {at}")));
    }
    if Digest::of(json).0 != *digest {
        return Err(Error::corrupt(WHAT, "its content does not match its checksum"));
    }
    json::decode(WHAT, json::parse(WHAT, json, RECORD_SIZE)?)
}

fn parse(text: &str) -> Result<ImageRecord> {
    json::document(WHAT, text.as_bytes(), RECORD_SIZE, 1)
}

const DOMAIN: &[u8] = b"bulkhead-image-record-v1\0";
const MAGIC: [u8; 16] = *b"BULKHEAD-IMAGE\x01\n";
const WHAT: &str = "image record";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::TrustedKey;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn record() -> ImageRecord {
        let region = RecordedRegion {
            name: "bios".into(),
            start: Bytes::MIB,
            size: Bytes::mib(1),
            digest: Digest::of(b"core"),
            mutable: false,
        };
        ImageRecord { format: 1, product: "demo".into(), version: semver::Version::new(1, 2, 3), regions: vec![region] }
    }

    fn trust() -> TrustStore {
        let key = TrustedKey {
            role: Role::Base,
            public: key().verifying_key(),
            development: false,
            expires: None,
            name: "base".into(),
        };
        TrustStore::new("demo", vec![key], [(Role::Base, 1)].into(), false).unwrap()
    }

    #[test]
    fn a_signed_record_opens() {
        let area = encode(&record(), &key()).unwrap();
        assert_eq!(area.len(), RECORD_SIZE);
        assert_eq!(open(&area, &trust()), Ok(record()));
        assert_eq!(peek(&area), Ok(record()));
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let area = encode(&record(), &key()).unwrap();
        for at in 0..area.len() {
            let mut damaged = area.clone();
            damaged[at] ^= 0x20;
            assert!(open(&damaged, &trust()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_record_by_another_key_is_not_trusted() {
        let area = encode(&record(), &SigningKey::from_bytes(&[8; 32])).unwrap();
        assert!(matches!(open(&area, &trust()), Err(Error::Untrusted { .. })));
    }

    #[test]
    fn lengths_beyond_the_area_are_refused() {
        let mut area = encode(&record(), &key()).unwrap();
        area[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(open(&area, &trust()).unwrap_err().to_string().contains("more than its area has"));
        assert!(open(&area[..18], &trust()).is_err());
        assert!(open(&[], &trust()).is_err());
    }
}
