//! The bundle itself: what is in it within its limits, the list of it, and the archive.
//!
//! Guarantees: nothing gets in that did not go through [`redact`], the reasons why something is missing included; everything that was
//! taken out, cut or left out is in the list; the bundle is never longer than an answer of the agent has room for.
//!
//! The archive is a `tar` compressed with zstd, which Debian's `tar` opens. `manifest.json` is the list with the SHA-256 of every entry;
//! `manifest.sig` is the appliance's own signature over its bytes, as they are, by the key in `signer.pem`. What else this key signs begins
//! with `bulkhead-`, and a manifest with `{`, so one cannot be taken for the other.

use std::collections::BTreeMap;

use ed25519_dalek::pkcs8::EncodePublicKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::{Signer as _, SigningKey};
use formats::package::{TRAILER, encode_header, padding};
use formats::{Bytes, Digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::redact::{self, Counts, Known};
use super::{NEVER, Part, Raw, Sources};
use crate::account::Role;
use crate::error::{At as _, Doing, Result};

/// Something that is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Its file.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Of the file.
    pub sha256: Digest,
    /// What it is for.
    pub why: String,
    /// How many secrets of each kind were taken out.
    pub redacted: BTreeMap<String, u64>,
    /// What is missing of it; nothing when it is whole.
    pub note: Option<String>,
}

/// Something that is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeftOut {
    /// What.
    pub name: String,
    /// Why not.
    pub why: String,
}

/// The list: `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// Always [`FORMAT`].
    pub format: u32,
    /// Always [`KIND`].
    pub kind: String,
    /// When, in seconds since 1970 by the machine's clock.
    pub made: u64,
    /// Who asked for it.
    pub by: String,
    /// What the appliance is called; nothing when that is not known.
    pub appliance: Option<String>,
    /// The version of the agent.
    pub agent: String,
    /// Length of all entries.
    pub bytes: u64,
    /// How many secrets were taken out.
    pub redacted: u64,
    /// What is in it.
    pub entries: Vec<Entry>,
    /// What is not.
    pub left_out: Vec<LeftOut>,
    /// The public key of the appliance; nothing when nothing is signed.
    pub signed_by: Option<Digest>,
    /// Why nothing is.
    pub unsigned: Option<String>,
}

/// For whom a bundle is.
#[derive(Debug, Clone)]
pub struct Order {
    /// Who asked.
    pub by: String,
    /// What they may do.
    pub role: Role,
    /// When.
    pub made: u64,
    /// What the appliance is called.
    pub appliance: Option<String>,
}

/// A bundle that is not written yet.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The list.
    pub manifest: Manifest,
    /// What it lists, in its order.
    files: Vec<Vec<u8>>,
}

/// Everything somebody may have, without secrets and within the limits.
pub fn collect(sources: &dyn Sources, order: Order) -> Bundle {
    let known = Known::new(&sources.secrets());
    let (mut entries, mut files, mut left_out, mut room) = (Vec::new(), Vec::new(), Vec::new(), WHOLE);
    let mut all = Counts::new();
    for part in Part::ALL {
        let mut counts = Counts::new();
        let got = if order.role < part.role() {
            Err(format!("is for the role {}", part.role()))
        } else {
            content(sources, part, &known, room.min(LONGEST), &mut counts)
        };
        match got {
            Ok((bytes, note)) => {
                room = room.saturating_sub(bytes.len());
                entries.push(Entry {
                    name: part.name().into(),
                    bytes: length(&bytes),
                    sha256: Digest::of(&bytes),
                    why: part.why().into(),
                    redacted: counts.iter().map(|(kind, number)| ((*kind).to_owned(), *number)).collect(),
                    note,
                });
                files.push(bytes);
            }
            Err(why) => {
                // Reasons quote what was read.
                let why = redact::text(why.as_bytes(), &known, &mut counts);
                left_out.push(LeftOut { name: part.name().into(), why: String::from_utf8_lossy(&why).into_owned() });
            }
        }
        for (kind, number) in counts {
            let sum = all.entry(kind).or_default();
            *sum = sum.saturating_add(number);
        }
    }
    left_out.extend(NEVER.iter().map(|(name, why)| LeftOut { name: (*name).into(), why: (*why).into() }));
    let manifest = Manifest {
        format: FORMAT,
        kind: KIND.into(),
        made: order.made,
        by: order.by,
        appliance: order.appliance,
        agent: env!("CARGO_PKG_VERSION").into(),
        bytes: entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.bytes)),
        redacted: all.values().fold(0, |sum, number| sum.saturating_add(*number)),
        entries,
        left_out,
        signed_by: None,
        unsigned: None,
    };
    Bundle { manifest, files }
}

/// One part without secrets, and what is missing of it; or why it is not there.
fn content(
    sources: &dyn Sources,
    part: Part,
    known: &Known,
    limit: usize,
    counts: &mut Counts,
) -> std::result::Result<(Vec<u8>, Option<String>), String> {
    match sources.read(part).map_err(|problem| problem.to_string())? {
        Raw::Facts(facts) => fitting(redact::json(facts, known, counts), limit, part.oldest_last()),
        Raw::Text(text) => Ok(tail(redact::text(&text, known, counts), limit)),
    }
}

/// JSON of at most this length: of a list what is newest, of anything else all or nothing.
fn fitting(facts: Value, limit: usize, oldest_last: bool) -> std::result::Result<(Vec<u8>, Option<String>), String> {
    let write = |facts: &Value| {
        let mut bytes = serde_json::to_vec_pretty(facts).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    };
    let bytes = write(&facts);
    if bytes.len() <= limit {
        return Ok((bytes, None));
    }
    let too_long = format!("has {} bytes, and there is room for {limit}", bytes.len());
    let Value::Array(mut list) = facts else { return Err(too_long) };
    let all = list.len();
    // What each needs is known only when it is written; half as many is soon little enough.
    while !list.is_empty() {
        let keep = list.len() / 2;
        if oldest_last {
            list.truncate(keep);
        } else {
            list.drain(..list.len().saturating_sub(keep));
        }
        let bytes = write(&Value::Array(list.clone()));
        if keep > 0 && bytes.len() <= limit {
            return Ok((bytes, Some(format!("the newest {keep} of {all}; the others had no room"))));
        }
    }
    Err(too_long)
}

/// The end of a text in whole lines.
fn tail(text: Vec<u8>, limit: usize) -> (Vec<u8>, Option<String>) {
    let Some(over) = text.len().checked_sub(limit).filter(|over| *over > 0) else { return (text, None) };
    let rest = text.get(over..).unwrap_or_default();
    let line = rest.iter().position(|byte| *byte == b'\n').map_or(0, |end| end.saturating_add(1));
    let kept = rest.get(line..).unwrap_or_default().to_vec();
    let cut = text.len().saturating_sub(kept.len());
    (kept, Some(format!("the end of it; {cut} bytes before had no room")))
}

impl Bundle {
    /// The file, signed with this key; without one its list says why.
    pub fn write(mut self, key: Result<SigningKey>) -> Result<(Vec<u8>, Manifest)> {
        let key = match key {
            Ok(key) => {
                self.manifest.signed_by = Some(Digest(key.verifying_key().to_bytes()));
                Some(key)
            }
            Err(problem) => {
                self.manifest.unsigned = Some(problem.to_string());
                None
            }
        };
        let mut list = serde_json::to_vec_pretty(&self.manifest).doing(|| "write JSON".into())?;
        list.push(b'\n');
        let mut archive = Vec::new();
        add(&mut archive, LIST, &list)?;
        if let Some(key) = key {
            add(&mut archive, "manifest.sig", &key.sign(&list).to_bytes())?;
            let public = key.verifying_key().to_public_key_pem(LineEnding::LF);
            add(
                &mut archive,
                "signer.pem",
                public.map_err(std::io::Error::other).doing(|| "write the key".into())?.as_bytes(),
            )?;
        }
        for (entry, bytes) in self.manifest.entries.iter().zip(&self.files) {
            add(&mut archive, &entry.name, bytes)?;
        }
        archive.extend(TRAILER);
        let packed = zstd::bulk::compress(&archive, LEVEL).doing(|| "compress the support bundle".into())?;
        Ok((packed, self.manifest))
    }
}

fn add(archive: &mut Vec<u8>, name: &str, bytes: &[u8]) -> Result<()> {
    let size = Bytes(length(bytes));
    // In a folder of its own, so that unpacking it leaves nothing beside it.
    archive.extend(encode_header(&format!("{FOLDER}/{name}"), size).at(|| "the support bundle".into())?);
    archive.extend(bytes);
    archive.extend(std::iter::repeat_n(0, usize::try_from(padding(size).0).unwrap_or(0)));
    Ok(())
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The version of the list.
pub const FORMAT: u32 = 1;
/// What it is a list of.
pub const KIND: &str = "bulkhead-support-bundle";
/// How a bundle's name ends.
pub const EXTENSION: &str = "tar.zst";
const FOLDER: &str = "support";
const LIST: &str = "manifest.json";
const LEVEL: i32 = 9;
/// Bytes of one entry.
const LONGEST: usize = 384 << 10;
/// Bytes of all entries. With the list, also where nothing can be compressed, it fits into an answer as base64.
const WHOLE: usize = 2560 << 10;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::MAX_ANSWER;
    use crate::error::Error;
    use crate::secret::Secret;

    const PLANTED: [&str; 12] = [
        "-----BEGIN PRIVATE KEY-----\nPLANTED1\n-----END PRIVATE KEY-----",
        "https://anna:PLANTED4@proxy.example/",
        "Authorization: Bearer PLANTED5",
        "mail-password = PLANTED6",
        "passphrase: PLANTED7 and more PLANTED8",
        "{\"token\":\"PLANTED9\"}",
        "$argon2id$v=19$m=19456,t=2,p=1$PLANTED10$PLANTED11",
        "AGE-SECRET-KEY-1PLANTED12",
        "claim code: PLANTED13",
        "the mail password PLANTED14 was typed here",
        "Cookie: __Host-session=PLANTED15",
        // Without an end it takes everything behind it along.
        "-----BEGIN OPENSSH PRIVATE KEY-----\nPLANTED2\nPLANTED3",
    ];

    /// Sources that have every secret everywhere.
    struct Careless;

    impl Sources for Careless {
        fn read(&self, part: Part) -> Result<Raw> {
            let text = PLANTED.join("\nä line between\n");
            Ok(match part {
                Part::Mail => return Err(Error::Usage(text)),
                part if part.name().contains(".json") => {
                    let mut facts = json!({ "a": { "list": PLANTED, "all": text, "password": { "in": "PLANTED16" } } });
                    for secret in PLANTED {
                        facts[secret] = json!(1);
                    }
                    Raw::Facts(if part == Part::History { json!([facts]) } else { facts })
                }
                _ => Raw::Text(
                    [b"kept \xff\xfe\n".as_slice(), b"password=\xffPLANTED17\xff\n", text.as_bytes()].concat(),
                ),
            })
        }

        fn secrets(&self) -> Vec<Secret> {
            vec![Secret::new("PLANTED14".into())]
        }
    }

    fn order(role: Role) -> Order {
        Order { by: "anna".into(), role, made: 1_800_000_000, appliance: Some("demo".into()) }
    }

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        zstd::stream::decode_all(packed).unwrap()
    }

    #[test]
    fn no_secret_of_any_source_is_in_the_bundle_and_each_is_counted() {
        let bundle = collect(&Careless, order(Role::Administrator));
        assert_eq!(bundle.manifest.entries.len(), Part::ALL.len() - 1);
        for entry in &bundle.manifest.entries {
            let kinds: Vec<&str> = entry.redacted.keys().map(String::as_str).collect();
            assert!(kinds.contains(&"private-key") && kinds.contains(&"url-login"), "{}: {kinds:?}", entry.name);
            assert!(kinds.contains(&"named-value") && kinds.contains(&"known-secret"), "{}: {kinds:?}", entry.name);
        }
        let total: u64 = bundle.manifest.entries.iter().flat_map(|entry| entry.redacted.values()).sum();
        assert!(bundle.manifest.redacted > total, "reasons are counted too");
        let (packed, _) = bundle.write(Ok(SigningKey::from_bytes(&[7; 32]))).unwrap();
        let all = String::from_utf8_lossy(&unpacked(&packed)).into_owned();
        assert!(all.contains("manifest.json") && all.contains("line between"));
        let at = all.find("PLANTED");
        assert_eq!(at.map(|at| &all[at.saturating_sub(80)..at + 10]), None);
    }

    /// A source that says this much.
    struct Talkative(usize);

    impl Sources for Talkative {
        fn read(&self, part: Part) -> Result<Raw> {
            let mut state = 7_u32;
            let mut noise = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b'a' + u8::try_from(state >> 24).unwrap() % 26
            };
            let line: Vec<u8> = (0..self.0).map(|at| if at % 30 == 29 { b'\n' } else { noise() }).collect();
            Ok(match part {
                Part::Status => Raw::Facts(json!({ "line": String::from_utf8(line).unwrap() })),
                Part::History | Part::Reports => Raw::Facts((0..self.0 / 10).map(|number| json!(number)).collect()),
                _ => Raw::Text(line),
            })
        }

        fn secrets(&self) -> Vec<Secret> {
            Vec::new()
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_said_and_the_whole_fits_into_an_answer() {
        let bundle = collect(&Talkative(1 << 20), order(Role::Administrator));
        let Manifest { entries, left_out, bytes, .. } = bundle.manifest.clone();
        assert!(bytes <= WHOLE as u64);
        assert!(left_out.iter().any(|one| one.name == "status.json" && one.why.contains("there is room for")));
        let of = |name: &str| entries.iter().position(|entry| entry.name == name).unwrap();
        let history: Vec<u64> = serde_json::from_slice(&bundle.files[of("history.json")]).unwrap();
        assert_eq!(history.last(), Some(&((1 << 20) / 10 - 1)), "the newest stay");
        assert!(entries[of("history.json")].note.as_ref().unwrap().contains("the newest"));
        let log = &entries[of("agent.log")];
        assert!(log.bytes <= LONGEST as u64 && log.note.as_ref().unwrap().contains("had no room"), "{log:?}");
        let (packed, manifest) = bundle.write(Ok(SigningKey::from_bytes(&[7; 32]))).unwrap();
        assert!(packed.len() / 3 * 4 + (64 << 10) < MAX_ANSWER, "{}", packed.len());
        assert_eq!(manifest.bytes, bytes);

        let reports = |bundle: &Bundle| -> Vec<u64> {
            let place = bundle.manifest.entries.iter().position(|entry| entry.name == "reports.json").unwrap();
            serde_json::from_slice(&bundle.files[place]).unwrap()
        };
        let small = collect(&Talkative(300), order(Role::Administrator));
        assert_eq!(reports(&small).len(), 30);
        assert!(small.manifest.entries.iter().all(|entry| entry.note.is_none()));
        assert_eq!(fitting(json!([1, 2, 3, 4]), 10, true).unwrap().0, b"[\n  1\n]\n");
        assert_eq!(fitting(json!([1, 2, 3, 4]), 10, false).unwrap().0, b"[\n  4\n]\n");
        assert!(fitting(json!(["a long one"]), 10, false).is_err());
    }

    #[test]
    fn an_operator_has_no_audit_log_and_what_is_missing_says_why() {
        let bundle = collect(&Talkative(100), order(Role::Operator));
        assert!(bundle.manifest.entries.iter().all(|entry| entry.name != "audit.json"));
        let why = bundle.manifest.left_out.iter().find(|one| one.name == "audit.json").unwrap();
        assert_eq!(why.why, "is for the role administrator");
        let (_, manifest) = bundle.write(Err(Error::Usage("no key".into()))).unwrap();
        assert_eq!((manifest.signed_by, manifest.unsigned.as_deref()), (None, Some("no key")));
    }
}
