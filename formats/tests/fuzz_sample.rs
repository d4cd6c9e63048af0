//! A short deterministic run of the fuzz targets on the stable compiler: thousands of mutations of each committed corpus file.
//!
//! `UPDATE_GOLDEN=1` rewrites the corpus from the seeds below.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use formats::age;
use formats::backup;
use formats::boot_state::BootState;
use formats::bundle;
use formats::fat::{FatKind, FatVolume};
use formats::gpt::{Gpt, Partition, types};
use formats::journal::Floor;
use formats::manifest::{ImageInfo, Kind, Manifest, Member};
use formats::package::{self, Compressor, ImageEncoder};
use formats::reset_record::{ResetRecord, Then};
use formats::verity::{Parameters, Superblock};
use formats::{Bytes, Digest, Guid, Lba, SectorSize, SlotId, footer, mbr};

#[path = "../fuzz/parsers.rs"]
mod parsers;

/// Mutations per corpus file.
const ROUNDS: usize = 3000;

/// A valid input for every target, by `target/file`.
fn seeds() -> BTreeMap<&'static str, Vec<u8>> {
    let manifest = include_bytes!("../src/manifest/golden.json").to_vec();
    let signatures = br#"{"format":1,"signatures":[{"key-id":"2222222222222222222222222222222222222222222222222222222222222222","signature":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="}]}"#;
    let mut slot_footer = footer::encode(&manifest, signatures).unwrap();
    slot_footer.truncate(32 + manifest.len() + signatures.len());
    let params = Parameters { data_blocks: 129, salt: [0xab; 32], uuid: Guid::new(7) };
    let state = BootState { last: Some(SlotId::A), ..BootState::initial(SlotId::A, Some(SlotId::B)) };
    BTreeMap::from([
        ("gpt/disk", tiny_disk()),
        ("backup/archive", small_backup(None)),
        ("backup/encrypted", small_backup(Some(parsers::BACKUP_KEY))),
        ("backup/setting", BACKUP_SETTING.to_vec()),
        ("backup/table", BACKUP_TABLE.to_vec()),
        ("boot_state/initial", state.encode().unwrap().to_vec()),
        ("bundle/small", small_bundle()),
        ("catalogue/entry", ENTRY.to_vec()),
        ("catalogue/index", INDEX.to_vec()),
        ("catalogue/inventory", INVENTORY.to_vec()),
        ("depot/operator", DEPOT.to_vec()),
        ("download_key/fields", key_fields()),
        ("download_key/text", parsers::signed_key(&key_fields()).into_bytes()),
        ("fat/fat12", tiny_fat12()),
        ("fat/fat32", tiny_fat32()),
        ("footer/site", slot_footer),
        ("health/operator", operators_checks()),
        ("manifest/licence", LICENCE.to_vec()),
        ("manifest/site", manifest),
        ("network/static", fixed_address()),
        ("package/site", small_package()),
        ("package/chunks", small_image().0),
        ("package/frame", small_image().1),
        ("manifest/signatures", signatures.to_vec()),
        ("reset_record/pending", reset_record()),
        ("smbios/oem_strings", OEM_STRINGS.to_vec()),
        ("tuf/root", TUF_ROOT.to_vec()),
        ("tuf/snapshot", TUF_SNAPSHOT.to_vec()),
        ("tuf/targets", TUF_TARGETS.to_vec()),
        ("tuf/timestamp", TUF_TIMESTAMP.to_vec()),
        ("verity_superblock/small", Superblock(params).encode()[..512].to_vec()),
    ])
}

const OEM_STRINGS: &[u8] = b"\x01\x08\x00\x01\x01\x02\x00\x00QEMU\0pc\0\0\x0b\x05\x00\x0b\x02bulkhead.claim-code=0123\0other\0\0\x7f\x04\x00\x7f\0\0";

const ENTRY: &[u8] = br#"{"kind": "site", "product": "demo", "hardware": ["x1"], "name": "app", "version": "2.0.0",
  "build-id": "1111111111111111111111111111111111111111111111111111111111111111", "sequence": 2, "requires": {"base": ">=2"},
  "effects": {"reboot": false, "site-downtime": true, "client-upgrade": true, "soak-hours": 24}, "size": "12 MiB", "image-size": "40 MiB",
  "created": 1700000000, "support-end": "2031-12-31", "site": {"hostname": "hello", "licences": 15},
  "notes": "2222222222222222222222222222222222222222222222222222222222222222",
  "eula": "3333333333333333333333333333333333333333333333333333333333333333", "development": true}"#;

const LICENCE: &[u8] = br#"{"format": 1, "kind": "licence", "product": "demo", "hardware": ["x1"], "name": "demo-support", "version": "1.0.0",
  "build-id": "1111111111111111111111111111111111111111111111111111111111111111", "sequence": 2, "requires": {"base": ">=2"},
  "effects": {"reboot": false, "site-downtime": false, "client-upgrade": false},
  "members": {"notes.md": {"size": 513, "digest": "3333333333333333333333333333333333333333333333333333333333333333"}},
  "created": 1760000000, "licence": {"hostname": "demo.example", "count": 15, "features": ["chat", "recording"],
    "expires": "2027-12-31", "grace-days": 30, "entitled-until": "2028-06-30"}, "development": false}"#;

const INDEX: &[u8] = br#"{"format": 1, "product": "demo", "created": 1700000000,
  "rings": [{"name": "early", "share": 100}, {"name": "rest", "share": 900}],
  "channels": {"stable": [{"package": "site/app-2.0.0", "added": 1700000000, "opens": {"rest": 1700003600}},
    {"package": "base/os-1.0.0", "added": 1600000000, "withdrawn": {"date": "2024-01-02", "reason": "it loses data"}}]}}"#;

const INVENTORY: &[u8] = br#"{"format": 1, "appliance": "one", "product": "demo", "hardware": ["x1"], "channel": "stable",
  "base": {"name": "os", "version": "1.0.0", "build-id": "1111111111111111111111111111111111111111111111111111111111111111",
    "sequence": 1, "requires": {"site": "<3"}},
  "site": {"name": "app", "version": "1.0.0", "build-id": "2222222222222222222222222222222222222222222222222222222222222222",
    "sequence": 1, "hostname": "hello", "soaks-until": 1700000000},
  "floors": [{"kind": "base", "name": "os", "sequence": 1}], "ring": "early", "entitled-until": "2031-12-31"}"#;

const TUF_ROOT: &[u8] =
    br#"{"_type": "root", "spec_version": "1.0.31", "version": 2, "expires": "2031-12-31T00:00:00Z",
  "consistent_snapshot": true,
  "keys": {"k": {"keytype": "ed25519", "scheme": "ed25519",
    "keyval": {"public": "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"}}},
  "roles": {"root": {"keyids": ["k"], "threshold": 1}, "timestamp": {"keyids": ["k"], "threshold": 1},
    "snapshot": {"keyids": ["k"], "threshold": 1}, "targets": {"keyids": ["k"], "threshold": 1}}}"#;

const TUF_TIMESTAMP: &[u8] =
    br#"{"_type": "timestamp", "spec_version": "1.0.31", "version": 1, "expires": "2031-12-31T00:00:00Z",
  "meta": {"snapshot.json": {"version": 1, "length": 500,
    "hashes": {"sha256": "1111111111111111111111111111111111111111111111111111111111111111"}}}}"#;

const TUF_SNAPSHOT: &[u8] =
    br#"{"_type": "snapshot", "spec_version": "1.0.31", "version": 1, "expires": "2031-12-31T00:00:00Z",
  "meta": {"targets.json": {"version": 1}, "base.json": {"version": 1, "length": 500}}}"#;

const TUF_TARGETS: &[u8] = br#"{"_type": "targets", "spec_version": "1.0.31", "version": 1, "expires": "2031-12-31T00:00:00Z",
  "targets": {"base/os-1.0.0.pkg": {"length": 2, "custom": {"a": [1, true, null]},
    "hashes": {"sha256": "1111111111111111111111111111111111111111111111111111111111111111"}}},
  "delegations": {"keys": {"k": {"keytype": "ed25519", "scheme": "ed25519", "bulkhead": {"name": "x", "expires": "2031-12-31"},
      "keyval": {"public": "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"}}},
    "roles": [{"name": "base", "keyids": ["k"], "threshold": 1, "terminating": true, "paths": ["base/*"]}]}}"#;

/// Every field of a backup's table of contents.
const BACKUP_TABLE: &[u8] = br#"{"format": 1, "product": "demo", "created": 1795392000, "scopes": ["appliance", "site"], "history": false,
  "made": {"agent": "0.1.0", "base": "os 1.0.0", "site": "app 1.0.0", "hostname": "hello", "appliance": "one", "model": "x1",
    "interfaces": ["eth0"]}, "limits": {"file-bytes": 200000, "files": 50},
  "parts": [{"name": "network", "scope": "appliance", "schema": 1}, {"name": "site", "scope": "site", "schema": 1}],
  "settings": "1111111111111111111111111111111111111111111111111111111111111111",
  "folders": [{"part": "site", "path": "site/files", "mode": 493, "user": 0, "group": 0}],
  "files": [{"part": "network", "path": "bulkhead/network.json", "bytes": 3, "mode": 384, "user": 0, "group": 0, "modified": 1700000000,
      "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}],
  "excluded": [{"path": "site/files/film", "bytes": 900000, "files": 1, "reason": "too-large", "sentence": "is larger than 200 KB"}]}"#;

/// Every field an operator may say about backups.
const BACKUP_SETTING: &[u8] =
    br#"{"format": 1, "recipients": ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"],
  "schedule": {"days": ["sun"], "at": "02:30", "utc-offset": "+01:00"}, "keep": 7, "history": true,
  "limits": {"file-bytes": 200000, "files": 50}, "before-updates": "require"}"#;

/// The archive with that table, encrypted for a key or not.
fn small_backup(key: Option<&str>) -> Vec<u8> {
    let table = backup::Contents::parse(BACKUP_TABLE).unwrap();
    let archive = backup::write(Vec::new(), &table, |_| Ok(b"abc".as_slice()), |_| {}).unwrap();
    let Some(key) = key else { return archive };
    let recipients = [age::Identity::parse(key).unwrap().recipient().unwrap()];
    let mut chance = |buffer: &mut [u8]| {
        buffer.fill(7);
        Ok(())
    };
    let mut sealed = age::seal(Vec::new(), age::Lock::Recipients(&recipients), &mut chance).unwrap();
    std::io::Write::write_all(&mut sealed, &archive).unwrap();
    sealed.finish().unwrap()
}

/// Every field an operator may set.
const DEPOT: &[u8] = br#"{"format": 1, "url": "http://depot.example:8080/demo", "channel": "stable", "ring": "early",
  "proxy": "http://[2001:db8::1]:3128", "proxy-user": "hall", "proxy-password-file": "proxy-password", "ca-file": "ca.pem",
  "bandwidth": 1000000, "check-hours": 24, "auto": "install",
  "window": {"days": ["sat", "sun"], "from": "22:00", "to": "04:00", "utc-offset": "+01:00"},
  "mail": {"server": "mail.example", "port": 587, "security": "starttls", "user": "a", "password-file": "mail-password",
    "from": "a@b.example", "to": ["c@d.example", "e+f@g.example"]}}"#;

/// Every field of a network setting.
fn fixed_address() -> Vec<u8> {
    br#"{"format": 1, "method": "static", "interface": "eth0", "address": "192.0.2.10/24", "gateway": "192.0.2.1",
  "dns": ["192.0.2.53", "2001:db8::53"]}"#
        .to_vec()
}

/// Every kind of check an operator may ask for.
fn operators_checks() -> Vec<u8> {
    br#"{"format": 1, "checks": [
  {"name": "agent", "process": "update-agent", "timeout": 5},
  {"name": "daemon", "pid-file": "/run/httpd.pid"},
  {"name": "page", "http": "http://[::1]:8080/page", "status": 204, "contains": "All is well", "limit": "4KiB"},
  {"name": "mail", "tcp": 25},
  {"name": "room", "disk-space": "/data", "free": "4MiB"},
  {"name": "share", "disk-space": "/data", "free-percent": 5},
  {"name": "clock", "clock": "after-release", "within-days": 3650}
]}"#
    .to_vec()
}

/// Label, one file of metadata, and two targets, one of them with a name that needs a header of its own.
fn small_bundle() -> Vec<u8> {
    let order = vec!["base/os-2.0.0".parse().unwrap()];
    let label =
        bundle::Label { format: 1, product: "demo".into(), appliance: "one".into(), order, created: 1_700_000_000 };
    let long = format!("targets/base/{}.a-rather-long-name-1.0.0.pkg", "1".repeat(64));
    let members = [
        (bundle::LABEL, label.encode().unwrap()),
        ("metadata/2.root.json", b"{}".to_vec()),
        ("targets/index/1.index.json", b"index".to_vec()),
        (&long, b"package".to_vec()),
    ];
    let mut bytes = Vec::new();
    for (name, content) in members {
        bytes.extend(bundle::header(name, Bytes(content.len() as u64)).unwrap());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend(bundle::TRAILER);
    bytes
}

/// The fields of a download key, as a key has them between its public key and its signature.
fn key_fields() -> Vec<u8> {
    let inventory = formats::plan::Inventory::parse(INVENTORY).unwrap();
    let (made, expires) = (1_700_000_000, 1_700_086_400);
    let key = formats::download_key::DownloadKey { inventory, root: 3, nonce: [9; 16], made, expires };
    let text = key.sign(&parsers::package_key()).unwrap();
    let value = |c| "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().position(|letter| letter == c).unwrap();
    let bits: Vec<usize> = text[6..].chars().flat_map(|c| (0..5).rev().map(move |bit| value(c) >> bit & 1)).collect();
    let byte = |bits: &[usize]| u8::try_from(bits.iter().fold(0, |sum, bit| sum << 1 | bit)).unwrap();
    let bytes: Vec<u8> = bits.chunks_exact(8).map(byte).collect();
    bytes[32..bytes.len() - 64].to_vec()
}

/// A pending reset with two floors, without the padding.
fn reset_record() -> Vec<u8> {
    let floor = |kind, name: &str, sequence| Floor { kind, name: name.into(), sequence };
    let floors = vec![floor(Kind::Base, "demo-base", 12), floor(Kind::Site, "demo-site", 3)];
    let id = Guid::derive("fuzz", "reset");
    let record = ResetRecord { id, then: Then::PowerOff, by: "root".into(), asked: 1_772_368_205, floors };
    let mut sector = record.encode().unwrap().to_vec();
    sector.truncate(sector.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    sector
}

/// A disk of 10 sectors whose primary header states 4 entries; it has no backup.
fn tiny_disk() -> Vec<u8> {
    let partition = |name: &str, first: u64, last: u64| Partition {
        type_guid: types::LINUX_DATA,
        guid: Guid::derive("fuzz", name),
        first: Lba(first),
        last: Lba(last),
        attributes: 0,
        name: name.to_owned(),
    };
    let partitions = BTreeMap::from([(1, partition("base-a", 40, 49)), (2, partition("data", 50, 59))]);
    let gpt = Gpt::new(Guid::new(1), SectorSize::S512, 100, partitions).unwrap();
    let mut disk = mbr::protective(100).to_vec();
    disk.extend(gpt.encode_primary());
    disk.truncate(1024 + 4 * 128);
    let put = |disk: &mut Vec<u8>, at: usize, number: u32| disk[at..at + 4].copy_from_slice(&number.to_le_bytes());
    put(&mut disk, 512 + 80, 4);
    let crc = crc32fast::hash(&disk[1024..]);
    put(&mut disk, 512 + 88, crc);
    put(&mut disk, 512 + 16, 0);
    let crc = crc32fast::hash(&disk[512..604]);
    put(&mut disk, 512 + 16, crc);
    disk
}

fn tiny_fat12() -> Vec<u8> {
    let volume = FatVolume::new(FatKind::Fat12, Bytes::mib(1), "TINY", 1).unwrap();
    let volume = volume.file("DIR/state1", b"one".to_vec()).unwrap();
    let mut image = volume.file("two", b"two".to_vec()).unwrap().image().unwrap();
    image.truncate(5 * 4096);
    image
}

/// Far too few clusters for a real FAT32, but the reader goes by the fields: a root directory with one file of two clusters.
fn tiny_fat32() -> Vec<u8> {
    let volume = FatVolume::new(FatKind::Fat32, Bytes::mib(33), "TINY", 1).unwrap();
    let whole = volume.file("FILE.BIN", vec![b'x'; 600]).unwrap();
    let extents = whole.extents().unwrap();
    let mut image = vec![0; 6 * 512];
    image[..512].copy_from_slice(&extents[0].1);
    let fields: [(usize, &[u8]); 4] = [(14, &[1, 0]), (16, &[1]), (32, &[6, 0, 0, 0]), (36, &[1, 0, 0, 0])];
    for (at, field) in fields {
        image[at..at + field.len()].copy_from_slice(field);
    }
    for (sector, extent) in [(1, 4), (2, 6), (3, 7)] {
        image[sector * 512..][..extents[extent].1.len()].copy_from_slice(&extents[extent].1);
    }
    image
}

/// Index and frames of a slot image of two file system blocks.
fn small_image() -> (Vec<u8>, Vec<u8>) {
    let mut compressor = Compressor::new(3).unwrap();
    let mut encoder = ImageEncoder::new(Vec::new());
    let image: Vec<u8> = (0..16_384_u32).map(|at| (at / 64).to_le_bytes()[0]).collect();
    encoder.push(&compressor.compress(&image).unwrap()).unwrap();
    let (frames, index, _) = encoder.finish().unwrap();
    (index.encode(), frames)
}

/// A site package signed by the key of the fuzz targets.
fn small_package() -> Vec<u8> {
    let mut manifest = Manifest::parse(include_bytes!("../src/manifest/golden.json")).unwrap();
    let params = Parameters { data_blocks: 2, salt: [0xab; 32], uuid: Guid::new(7) };
    manifest.image = Some(ImageInfo::new(&params, Digest([0x11; 32])).unwrap());
    assert_eq!(manifest.image().unwrap().size, Bytes(16_384));
    let (index, frames) = small_image();
    let mut members = BTreeMap::from([
        (package::NOTES, b"# Better\n".as_slice()),
        (package::EULA, b"You agree.\n"),
        (package::SBOM, b"{}"),
        (package::CHUNKS, &index),
        (package::IMAGE, &frames),
    ]);
    let member = |bytes: &[u8]| Member { size: Bytes(bytes.len() as u64), digest: Digest::of(bytes) };
    manifest.members = members.iter().map(|(name, bytes)| ((*name).to_owned(), member(bytes))).collect();
    let manifest = manifest.encode().unwrap();
    let signatures = formats::signature::sign(&manifest, &[parsers::package_key()]).unwrap();
    let mut readers = members.iter_mut().map(|(name, bytes)| (*name, bytes as &mut dyn std::io::Read)).collect();
    let mut archive = Vec::new();
    package::write(&mut archive, &manifest, &signatures, &mut readers).unwrap();
    archive
}

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// xorshift64*: enough chance for mutations, the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(number).unwrap() % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        const TELLING: [u8; 12] = [0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff, b'#', b'\n', b'"', b'9'];
        match self.below(2) {
            0 => TELLING[self.below(TELLING.len())],
            _ => u8::try_from(self.below(256)).unwrap(),
        }
    }

    /// One to four changes: a byte, a bit, a run, a cut, a copy from elsewhere, an insertion, a removal.
    fn mutated(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(16)).min(bytes.len());
            match self.below(8) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.byte()),
                2 if !bytes.is_empty() => drop(bytes.remove(at)),
                3 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                4 => bytes[at..end].fill(0xff),
                5 if !bytes.is_empty() => {
                    let from = self.below(bytes.len() - (end - at) + 1);
                    bytes.copy_within(from..from + (end - at), at);
                }
                _ if !bytes.is_empty() => bytes[at] = self.byte(),
                _ => {}
            }
        }
        bytes
    }
}

#[test]
fn the_committed_corpus_is_what_the_seeds_make() {
    for (name, seed) in seeds() {
        let path = corpus().join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &seed).unwrap();
        }
        assert_eq!(
            fs::read(&path).ok(),
            Some(seed),
            "{name}: run this test with UPDATE_GOLDEN=1 and review the change"
        );
    }
}

#[test]
fn every_seed_is_accepted_by_its_parser() {
    let seeds = seeds();
    let files = |name: &str| formats::fat::open_slice(&seeds[name]).and_then(|mut volume| volume.files());
    assert_eq!(files("fat/fat12").unwrap().len(), 2);
    assert_eq!(files("fat/fat32").unwrap().len(), 1);
    assert!(Gpt::parse_primary(&seeds["gpt/disk"], SectorSize::S512).is_ok());
    assert!(BootState::parse(&seeds["boot_state/initial"]).is_ok());
    let mut sector = seeds["reset_record/pending"].clone();
    sector.resize(512, 0);
    assert!(ResetRecord::parse(&sector).unwrap().is_some());
    assert!(Superblock::parse(&seeds["verity_superblock/small"]).is_ok());
    assert_eq!(formats::health::parse_operator(&seeds["health/operator"]).unwrap().len(), 7);
    assert!(formats::catalogue::Entry::parse(&seeds["catalogue/entry"]).is_ok());
    assert!(formats::catalogue::Index::parse(&seeds["catalogue/index"]).is_ok());
    assert!(formats::manifest::Manifest::parse(&seeds["manifest/licence"]).is_ok());
    assert!(formats::plan::Inventory::parse(&seeds["catalogue/inventory"]).is_ok());
    assert!(formats::depot::Setting::parse(&seeds["depot/operator"]).is_ok());
    assert_eq!(bundle::Bundle::read(std::io::Cursor::new(&seeds["bundle/small"])).unwrap().targets.len(), 2);
    let key = age::Identity::parse(parsers::BACKUP_KEY).unwrap();
    let opened = age::open(seeds["backup/encrypted"].as_slice(), age::Key::Identity(&key)).unwrap();
    assert_eq!(backup::Reader::open(opened).unwrap().contents().files.len(), 1);
    assert!(backup::Reader::open(seeds["backup/archive"].as_slice()).is_ok());
    assert!(backup::Contents::parse(&seeds["backup/table"]).is_ok());
    assert!(backup::setting::Setting::parse(&seeds["backup/setting"]).is_ok());
    let key = String::from_utf8(seeds["download_key/text"].clone()).unwrap();
    assert_eq!(formats::download_key::SignedKey::parse(&key).unwrap().key().root, 3);
    assert!(Manifest::parse(&seeds["manifest/site"]).is_ok());
    assert!(package::peek(seeds["package/site"].as_slice()).is_ok());
    assert!(package::ChunkIndex::parse(&seeds["package/chunks"]).is_ok());
    assert!(formats::signature::SignatureSet::parse(&seeds["manifest/signatures"]).is_ok());
}

#[test]
fn no_mutation_makes_a_parser_panic() {
    for (name, seed) in seeds() {
        let target = name.split_once('/').unwrap().0;
        assert!(parsers::run(target, &seed), "{target} has no function");
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ seed.len() as u64);
        for round in 0..ROUNDS {
            let input = chance.mutated(&seed);
            let result = std::panic::catch_unwind(|| parsers::run(target, &input));
            assert!(result.is_ok(), "{name}, mutation {round}: {}", input.escape_ascii());
        }
    }
}

#[test]
fn every_fuzz_target_has_a_function_and_a_corpus() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut targets: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    targets.sort();
    let mut seeded: Vec<String> = seeds().keys().map(|name| name.split_once('/').unwrap().0.to_owned()).collect();
    seeded.dedup();
    assert_eq!(targets, seeded);
}
