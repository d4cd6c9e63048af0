//! What each fuzz target does with its bytes, shared with the deterministic sample in `tests/fuzz_sample.rs`.
//!
//! Every function must return for every input: no panic, no endless loop, no memory beyond the parser's stated bounds. What is accepted
//! must also survive being printed and encoded again. Where a checksum would refuse every mutation, the bytes are tried once as they
//! are and once with the checksum made right, so that the fields behind it are reached.

#![allow(dead_code, reason = "each fuzz target uses one of these functions")]

use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, SigningKey};
use formats::age::{self, Identity};
use formats::backup;
use formats::boot_state::{BootState, Event, newest, next, select};
use formats::bundle::{self, Bundle};
use formats::catalogue::{Entry, Index};
use formats::depot::Setting;
use formats::download_key::SignedKey;
use formats::footer::{self, Footer};
use formats::gpt::Gpt;
use formats::manifest::{Manifest, Member};
use formats::mbr::Mbr;
use formats::network::Network;
use formats::package::{self, Chunk, ChunkIndex, Decoder, Package};
use formats::plan::Inventory;
use formats::reset_record::{self, ResetRecord};
use formats::signature::{self, SignatureSet};
use formats::trust::{Role, TrustStore, TrustedKey};
use formats::tuf::{self, Freshness, Kept};
use formats::verity::Superblock;
use formats::window::Moment;
use formats::{Bytes, Digest, SectorSize, SlotId, fat};
use serde_json::{Value, json};

/// Runs the target of this name; false when there is none.
pub fn run(target: &str, data: &[u8]) -> bool {
    match target {
        "gpt" => gpt(data),
        "backup" => backup(data),
        "boot_state" => boot_state(data),
        "bundle" => bundle(data),
        "catalogue" => catalogue(data),
        "depot" => depot(data),
        "download_key" => download_key(data),
        "fat" => fat(data),
        "footer" => footer(data),
        "health" => health(data),
        "manifest" => manifest(data),
        "network" => network(data),
        "package" => package(data),
        "tuf" => tuf(data),
        "reset_record" => reset_record(data),
        "smbios" => smbios(data),
        "verity_superblock" => verity_superblock(data),
        _ => return false,
    }
    true
}

/// Partition table: the bytes are a whole tiny disk.
pub fn gpt(data: &[u8]) {
    gpt_disk(data);
    gpt_disk(&with_right_gpt_checksums(data));
}

fn gpt_disk(disk: &[u8]) {
    for sector in [SectorSize::S512, SectorSize::S4096] {
        let sectors = disk.len() as u64 / sector.bytes();
        drop(Mbr::parse(disk, sectors));
        drop(Gpt::parse_backup(disk, sector, sectors));
        let Ok((table, copies)) = Gpt::read(disk, disk, sector, sectors) else { continue };
        assert!(!format!("{table}{copies}").is_empty());
        drop(table.grown_to(table.disk_sectors().saturating_mul(2)));
        let mut head = vec![0; usize::try_from(sector.bytes()).expect("a sector fits memory")];
        head.extend(table.encode_primary());
        assert_eq!(Gpt::parse_primary(&head, sector).as_ref(), Ok(&table));
        let (_, backup) = table.encode_backup();
        assert_eq!(Gpt::parse_backup(&backup, sector, table.disk_sectors()), Ok(table));
    }
}

/// Both checksums of the primary copy of a disk with 512-byte sectors, over the lengths its header states.
fn with_right_gpt_checksums(disk: &[u8]) -> Vec<u8> {
    let mut disk = disk.to_vec();
    let Some(header) = disk.get(512..604) else { return disk };
    let number = |at: usize| header[at..].first_chunk().copied().map_or(0, u32::from_le_bytes) as usize;
    let start = number(72).saturating_mul(512);
    let entries = disk.get(start..start.saturating_add(number(80).saturating_mul(128)));
    let crc = entries.map_or(0, crc32fast::hash);
    disk[600..604].copy_from_slice(&crc.to_le_bytes());
    disk[528..532].fill(0);
    let crc = crc32fast::hash(&disk[512..604]);
    disk[528..532].copy_from_slice(&crc.to_le_bytes());
    disk
}

/// Boot state block, alone and as one of two copies; an accepted state goes through every transition.
pub fn boot_state(data: &[u8]) {
    let (first, second) = data.split_at(data.len() / 2);
    assert!(newest([first, second]).is_none_or(|(index, _)| index < 2));
    let Ok(state) = BootState::parse(data) else { return };
    assert!(!state.to_string().is_empty());
    assert_eq!(BootState::parse(&state.encode().expect("a parsed state can be encoded")), Ok(state));
    assert!(select(&state).started(|_| true).is_some());
    for slot in SlotId::BOTH {
        let events = [Event::BeginWrite, Event::Arm, Event::Commit, Event::Refill, Event::GiveUp, Event::SwitchSite];
        for event in events.into_iter().chain([Event::CountTry as fn(SlotId) -> Event, Event::LastResort]) {
            if let Ok(after) = next(&state, event(slot)) {
                assert!(after.encode().is_ok());
            }
        }
    }
}

/// FAT volume: list it and read its small files.
pub fn fat(data: &[u8]) {
    let Ok(mut volume) = fat::open_slice(data) else { return };
    assert!(!volume.to_string().is_empty());
    let Ok(files) = volume.files() else { return };
    for file in files.iter().filter(|file| file.size.0 <= 64 << 10).take(16) {
        if let Ok(content) = volume.read_file(file) {
            assert_eq!(content.len() as u64, file.size.0);
        }
    }
}

/// Slot footer; the bytes are its beginning, zeros follow.
pub fn footer(data: &[u8]) {
    drop(Footer::parse(data));
    let mut area = data.to_vec();
    area.resize(footer::FOOTER_SIZE, 0);
    drop(Footer::parse(&area));
    let (content, checksum) = area.split_at_mut(footer::FOOTER_SIZE - 32);
    checksum.copy_from_slice(&Digest::of(content).0);
    let Ok(parsed) = Footer::parse(&area) else { return };
    assert!(!parsed.to_string().is_empty());
    let encoded = footer::encode(&parsed.manifest, &parsed.signatures).expect("a parsed footer can be encoded");
    assert_eq!(Footer::parse(&encoded), Ok(parsed));
}

/// The operator's health checks; what is accepted can be signed as well.
pub fn health(data: &[u8]) {
    let Ok(checks) = formats::health::parse_operator(data) else { return };
    for check in &checks {
        assert!(check.to_string().bytes().all(|b| b == b' ' || b.is_ascii_graphic()));
    }
    let again = serde_json::json!({"format": 1, "checks": &checks});
    assert_eq!(formats::health::parse_operator(again.to_string().as_bytes()), Ok(checks));
}

/// What an appliance does about a depot: an address that is accepted has no character that means something elsewhere, nor has one for mail,
/// and a window is open or says when it will be.
pub fn depot(data: &[u8]) {
    let Ok(setting) = Setting::parse(data) else { return };
    for file in setting.ca_file.iter().chain(&setting.proxy_password_file) {
        assert!(!file.as_str().contains('/') && !file.as_str().starts_with('.'), "{file:?}");
    }
    for address in setting.mail.iter().flat_map(|mail| mail.to.iter().chain([&mail.from])) {
        let text = address.to_string();
        assert!(text.bytes().all(|b| b.is_ascii_graphic() && !b"<>()[],;:\\\"".contains(&b)), "{text}");
    }
    for now in [i64::MIN, 0, 1_795_392_000, i64::MAX] {
        let moment = setting.window.map(|window| (window, window.at(now)));
        if let Some((window, Moment::Closed(opens))) = moment {
            let counted = (0..1 << 40).contains(&now);
            assert!(!counted || (opens > now && window.open(opens)), "{window}");
            assert!(!window.admits(now, 60).unwrap_err().to_string().is_empty());
        }
    }
    for url in setting.url.iter().chain(&setting.proxy) {
        assert!(url.bytes().all(|b| b.is_ascii_graphic() && !b"?#@%\\\"'".contains(&b)), "{url}");
    }
    assert_eq!(Setting::parse(&setting.encode().expect("a parsed setting can be encoded")), Ok(setting));
}

/// The network setting: every word the hook gets is one word of letters no shell minds.
pub fn network(data: &[u8]) {
    let Ok(network) = Network::parse(data) else { return };
    for word in network.words() {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"./:_-".contains(&b);
        assert!(!word.is_empty() && word.bytes().all(plain) && (word == "-" || !word.starts_with('-')), "{word}");
    }
    assert_eq!(Network::parse(&network.encode().expect("a parsed setting can be encoded")), Ok(network));
}

/// The firmware's table: every string is a part of it.
pub fn smbios(data: &[u8]) {
    for found in formats::smbios::oem_strings(data) {
        assert!(!found.is_empty() && data.windows(found.len()).any(|part| part == found.as_bytes()));
    }
}

/// The three JSON documents: manifest, signature set, trust store.
pub fn manifest(data: &[u8]) {
    if let Ok(manifest) = Manifest::parse(data) {
        assert!(!manifest.to_string().is_empty());
        if let Ok(again) = manifest.encode() {
            assert_eq!(Manifest::parse(&again), Ok(manifest));
        }
    }
    if let Ok(set) = SignatureSet::parse(data) {
        assert!(set.encode().is_ok());
    }
    if let Ok(store) = TrustStore::parse(data) {
        assert!(store.encode().is_ok());
    }
}

/// Package, chunk index and frame: as they are, and once with everything signed and digested again, so that what lies behind the
/// signature is reached.
pub fn package(data: &[u8]) {
    read_package(data);
    if let Some(resigned) = resigned(data) {
        read_package(&resigned);
    }
    if let Ok(index) = ChunkIndex::parse(data) {
        assert_eq!(ChunkIndex::parse(&index.encode()), Ok(index));
    }
    let mut decoder = Decoder::new().expect("memory for a decoder");
    for length in [1, 4096, 16_384, 1 << 20, u32::MAX] {
        let frame_length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let (digest, frame_digest) = (Digest::of(data), Digest::of(data));
        let chunk = Chunk { offset: Bytes(0), length, frame_offset: Bytes(0), frame_length, digest, frame_digest };
        drop(decoder.decode(&chunk, data).map(<[u8]>::len));
    }
}

/// The key of every corpus package.
pub fn package_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn read_package(data: &[u8]) {
    let public = package_key().verifying_key();
    let trusted = TrustedKey { role: Role::Site, public, development: false, expires: None, name: "fuzz".into() };
    let trust = TrustStore::new("demo", vec![trusted], BTreeMap::from([(Role::Site, 1)]), false).expect("a good store");
    if let Ok(claims) = package::peek(data) {
        assert!(!claims.manifest.to_string().is_empty());
    }
    let Ok(package) = Package::open(data, &trust, &[Role::Site]) else { return };
    let length = package.archive_size();
    let Ok(mut image) = package.details().and_then(package::Details::image) else { return };
    let mut end = 0;
    loop {
        match image.next_chunk() {
            Ok(Some(chunk)) => {
                assert_eq!(chunk.offset.0, end);
                end += chunk.bytes.len() as u64;
            }
            Ok(None) => break assert_eq!(length.0, data.len() as u64),
            Err(_) => break,
        }
    }
}

/// The entries of a damaged archive as a correctly listed and signed one.
fn resigned(data: &[u8]) -> Option<Vec<u8>> {
    let mut members = BTreeMap::new();
    let mut rest = data;
    while let Some((header, content)) = rest.split_at_checked(512) {
        let name = std::str::from_utf8(header.get(..100)?).ok()?.trim_end_matches('\0').to_owned();
        let size = std::str::from_utf8(header.get(124..135)?).ok().and_then(|text| usize::from_str_radix(text, 8).ok());
        let Some(content) = content.get(..size.unwrap_or(usize::MAX)) else { break };
        members.insert(name, content);
        rest = rest.get(512 + content.len().next_multiple_of(512)..)?;
    }
    let mut manifest = Manifest::parse(members.get(package::MANIFEST)?).ok()?;
    let known = package::members(manifest.kind).iter();
    let present: Vec<_> = known.filter_map(|(name, _)| Some((*name, *members.get(*name)?))).collect();
    let member = |bytes: &[u8]| Member { size: Bytes(bytes.len() as u64), digest: Digest::of(bytes) };
    manifest.members = present.iter().map(|(name, bytes)| ((*name).to_owned(), member(bytes))).collect();
    let manifest = manifest.encode().ok()?;
    let signatures = signature::sign(&manifest, &[package_key()]).ok()?;
    let mut archive = Vec::new();
    let all = [(package::MANIFEST, manifest.as_slice()), (package::SIGNATURES, signatures.as_slice())];
    for (name, bytes) in all.into_iter().chain(present) {
        archive.extend(package::encode_header(name, Bytes(bytes.len() as u64)).ok()?);
        archive.extend(bytes);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.extend(package::TRAILER);
    Some(archive)
}

/// Backup: the bytes as the encrypted file, as the archive inside, as its table of contents, and as the operator's setting.
pub fn backup(data: &[u8]) {
    drop(age::locked(data));
    let key = Identity::parse(BACKUP_KEY).expect("it is one");
    if let Ok(mut opened) = age::open(data, age::Key::Identity(&key)) {
        drop(std::io::copy(&mut opened, &mut std::io::sink()));
    }
    if let Ok(contents) = backup::Contents::parse(data) {
        assert_eq!(backup::Contents::parse(&contents.encode().expect("a parsed table can be written")), Ok(contents));
    }
    if let Ok(setting) = backup::setting::Setting::parse(data) {
        let encoded = setting.encode().expect("a parsed setting can be written");
        assert_eq!(backup::setting::Setting::parse(&encoded), Ok(setting));
    }
    let Ok(reader) = backup::Reader::open(data) else { return };
    let mut read = Read::default();
    let Ok(contents) = reader.files(&mut read) else { return };
    let mut files = read.0.iter();
    let again = backup::write(Vec::new(), &contents, |_| Ok(files.next().expect("one for each").as_slice()), |_| {});
    let again = again.expect("what was read can be written");
    assert_eq!(backup::Reader::open(again.as_slice()).expect("and read").contents(), &contents);
}

/// The files of a backup.
#[derive(Default)]
struct Read(Vec<Vec<u8>>);

impl backup::Sink for Read {
    fn begin(&mut self, file: &backup::File) -> std::io::Result<()> {
        assert!(file.path.split('/').all(|part| !part.is_empty() && part != "." && part != ".."), "{}", file.path);
        self.0.push(Vec::new());
        Ok(())
    }
    fn piece(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.last_mut().expect("it has begun").extend(bytes);
        Ok(())
    }
    fn end(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A key everybody knows.
pub const BACKUP_KEY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

/// Path bundle: what is accepted has every target inside the file, and names that any folder may have.
pub fn bundle(data: &[u8]) {
    let Ok(read) = Bundle::read(std::io::Cursor::new(data)) else { return };
    assert_eq!(read.size.0, data.len() as u64);
    assert_eq!(bundle::Label::parse(&read.label.encode().expect("a parsed label can be written")), Ok(read.label));
    for (path, span) in &read.targets {
        assert!(span.offset.0 + span.size.0 <= data.len() as u64);
        assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')), "{path}");
    }
}

/// Download key: as it is, and the bytes as the fields of a key that is signed, so that what lies behind the signature is reached.
pub fn download_key(data: &[u8]) {
    drop(SignedKey::parse(&String::from_utf8_lossy(data)));
    let Ok(key) = SignedKey::parse(&signed_key(data)) else { return };
    let again = key.key().sign(&package_key()).expect("a parsed key can be signed");
    assert_eq!(SignedKey::parse(&again).map(|again| again.key().clone()), Ok(key.key().clone()));
}

/// The text of a key with these fields, by the key of the fuzz targets. Written down anew from the description of the format.
pub fn signed_key(fields: &[u8]) -> String {
    let mut said = package_key().verifying_key().to_bytes().to_vec();
    said.extend(fields);
    let message = [b"bulkhead-download-key-v1\0".as_slice(), &Digest::of(&said).0].concat();
    said.extend(package_key().sign(&message).to_bytes());
    let bits: Vec<u8> = said.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let value =
        |bits: &[u8]| bits.iter().chain([0; 4].iter()).take(5).fold(0_usize, |sum, bit| sum << 1 | usize::from(*bit));
    let letter = |bits: &[u8]| char::from(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[value(bits)]);
    format!("BKDK1-{}", bits.chunks(5).map(letter).collect::<String>())
}

/// Entry and index of a depot, and an inventory from another machine.
pub fn catalogue(data: &[u8]) {
    if let Ok(entry) = Entry::parse(data) {
        assert_eq!(entry.id().to_string().parse(), Ok(entry.id()));
        assert_eq!(entry.check_target(&entry.id().target()), Ok(()));
    }
    if let Ok(index) = Index::parse(data) {
        assert_eq!(Index::parse(&index.encode().expect("a parsed index can be written")), Ok(index));
    }
    if let Ok(inventory) = Inventory::parse(data) {
        assert_eq!(Inventory::parse(&inventory.encode().expect("a parsed inventory can be written")), Ok(inventory));
    }
}

/// Metadata of a depot: the bytes as they are, and signed in the place of each file, so that the fields behind the signatures are reached.
pub fn tuf(data: &[u8]) {
    let _ = tuf::Root::trusted(data);
    let Ok(signed) = serde_json::from_slice::<Value>(data) else { return };
    let Some(bytes) = signed_metadata(&signed) else { return };
    let header = |kind: &str| {
        let expires = "2031-12-31T00:00:00Z";
        json!({"_type": kind, "spec_version": "1.0.31", "version": 1, "expires": expires, "meta": {}})
    };
    let naming = |kind: &str, file: &str| {
        let mut listing = header(kind);
        listing["meta"][file] = json!({"version": 1});
        signed_metadata(&listing)
    };
    let root = signed_metadata(&first_root()).expect("the fixed root has a canonical form");
    let kept = Kept::from([("root.json".to_owned(), root)]);
    for replaced in ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let _ = tuf::refresh(&kept, Freshness::Required { now: 0 }, &mut |name, limit| -> Result<_, ()> {
            assert!(limit <= tuf::MAX_TARGETS);
            Ok(match name {
                _ if name == replaced => Some(bytes.clone()),
                "timestamp.json" => naming("timestamp", "snapshot.json"),
                "1.snapshot.json" => naming("snapshot", "targets.json"),
                _ => None,
            })
        });
    }
    if let Ok(root) = tuf::Root::trusted(&bytes) {
        assert!(root.version() > 0);
    }
}

/// `signed` in an envelope, signed with the key that the fixed root trusts for everything.
fn signed_metadata(signed: &Value) -> Option<Vec<u8>> {
    let message = tuf::canonical(signed).ok()?;
    let key = package_key();
    let id = tuf::key_id(&tuf::key_value(&key.verifying_key(), None)).ok()?;
    let signature = hex::encode(key.sign(&message).to_bytes());
    serde_json::to_vec(&json!({"signed": signed, "signatures": [{"keyid": id, "sig": signature}]})).ok()
}

fn first_root() -> Value {
    let value = tuf::key_value(&package_key().verifying_key(), None);
    let id = tuf::key_id(&value).expect("a key has an id");
    let role = json!({"keyids": [id], "threshold": 1});
    json!({
        "_type": "root", "spec_version": "1.0.31", "version": 1, "expires": "2031-12-31T00:00:00Z", "consistent_snapshot": true,
        "keys": {id: value}, "roles": {"root": role, "timestamp": role, "snapshot": role, "targets": role},
    })
}

/// dm-verity superblock.
pub fn verity_superblock(data: &[u8]) {
    let Ok(superblock) = Superblock::parse(data) else { return };
    assert!(!superblock.to_string().is_empty());
    assert_eq!(Superblock::parse(&superblock.encode()), Ok(superblock));
}

/// Reset record; the bytes are the beginning of its sector, zeros follow.
pub fn reset_record(data: &[u8]) {
    let mut sector = data.to_vec();
    sector.resize(reset_record::SIZE, 0);
    reset_sector(data);
    reset_sector(&sector);
    let length = usize::from(u16::from_le_bytes([sector[16], sector[17]]));
    if let Some(json) = sector.get(50..50 + length) {
        let digest = Digest::of(json);
        sector[18..50].copy_from_slice(&digest.0);
        reset_sector(&sector);
    }
}

fn reset_sector(sector: &[u8]) {
    let Ok(Some(record)) = ResetRecord::parse(sector) else { return };
    let encoded = record.encode().expect("a parsed record fits its sector");
    assert_eq!(ResetRecord::parse(&encoded), Ok(Some(record.clone())));
    let journal = formats::journal::after_reset(&record).expect("a journal can be begun");
    assert!(
        journal
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .all(|line| formats::journal::content(line).is_some())
    );
}
