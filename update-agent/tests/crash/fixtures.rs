//! Small releases, small disks, one key.

use std::collections::BTreeMap;
use std::io::Read;

use ed25519_dalek::SigningKey;
use formats::boot_state::{BootState, SlotState};
use formats::manifest::{Effects, ImageInfo, Kind, LicenceInfo, Manifest, Member, Requires, SiteInfo};
use formats::package::{CHUNKS, Compressor, EULA, IMAGE, ImageEncoder, NOTES, SBOM};
use formats::signature::{self, VerifiedManifest};
use formats::trust::{Role, TrustStore, TrustedKey};
use formats::verity::{BLOCK_SIZE, Parameters, TreeBuilder, hash_block};
use formats::{Bytes, Digest, Guid, SlotId, footer, state_volume};
use update_agent::disk::Part;
use update_agent::disk::simulated::{Disk, Medium};
use update_agent::health;
use update_agent::journal::Journal;
use update_agent::lifecycle::{Agent, Running, silent};
use update_agent::site::{Now, Site};
use update_agent::source::InMemory;

/// With superblock and tree 11 blocks. Written in pieces of one block and with the first held back that makes 10 pending writes,
/// whose 1024 subsets are all played.
const DATA_BLOCKS: u64 = 9;
/// Blocks GRUB would read: kernel, initramfs, signatures.
pub const KERNEL_BLOCKS: usize = 3;
const SLOT_SIZE: usize = 12 * BLOCK_SIZE + footer::FOOTER_SIZE;
pub const MAGIC: &[u8; 8] = b"KERNEL\0\0";

/// A signed release and its image.
#[derive(Debug, Clone)]
pub struct Release {
    pub manifest: Vec<u8>,
    pub signatures: Vec<u8>,
    pub image: Vec<u8>,
    pub verified: VerifiedManifest,
    /// The package file.
    pub package: Vec<u8>,
}

fn keys() -> [SigningKey; 3] {
    [1, 2, 3].map(|number| SigningKey::from_bytes(&[number; 32]))
}

/// What base packages are signed with.
pub fn base_key() -> SigningKey {
    let [base, ..] = keys();
    base
}

/// Whom the simulated appliance believes.
pub fn trust() -> TrustStore {
    let [base, site, licence] = keys();
    let key = |key: &SigningKey, role, name: &str| TrustedKey {
        role,
        public: key.verifying_key(),
        development: false,
        expires: None,
        name: name.into(),
    };
    let keys =
        vec![key(&base, Role::Base, "base"), key(&site, Role::Site, "site"), key(&licence, Role::Licence, "licence")];
    TrustStore::new("demo", keys, [(Role::Base, 1), (Role::Site, 1), (Role::Licence, 1)].into(), false).unwrap()
}

/// A release whose bytes follow from kind and sequence.
pub fn release(kind: Kind, sequence: u64) -> Release {
    release_with(kind, sequence, |_| {})
}

/// The same with other claims.
pub fn release_with(kind: Kind, sequence: u64, change: impl FnOnce(&mut Manifest)) -> Release {
    build(kind, sequence, None, change)
}

/// The same with licence terms in its package.
#[allow(dead_code, reason = "only the daemon asks for them")]
pub fn release_with_terms(kind: Kind, sequence: u64, terms: &str) -> Release {
    build(kind, sequence, Some(terms), |_| {})
}

fn build(kind: Kind, sequence: u64, terms: Option<&str>, change: impl FnOnce(&mut Manifest)) -> Release {
    let build_id = Digest::of(format!("{kind} {sequence}").as_bytes());
    let mut data: Vec<u8> = (0..usize::try_from(DATA_BLOCKS).unwrap() * BLOCK_SIZE)
        .map(|at| u8::try_from((at / 16 + usize::try_from(sequence).unwrap() * 7) % 251).unwrap())
        .collect();
    let body = Digest::of(&data[BLOCK_SIZE..KERNEL_BLOCKS * BLOCK_SIZE]);
    data[..8].copy_from_slice(MAGIC);
    data[8..40].copy_from_slice(&build_id.0);
    data[40..72].copy_from_slice(&body.0);
    let head = Digest::of(&data[..BLOCK_SIZE - 32]);
    data[BLOCK_SIZE - 32..BLOCK_SIZE].copy_from_slice(&head.0);

    let params = Parameters { data_blocks: DATA_BLOCKS, salt: [3; 32], uuid: Guid::derive("seed", "verity") };
    let mut tree = TreeBuilder::new(params).unwrap();
    for (index, block) in data.chunks(BLOCK_SIZE).enumerate() {
        tree.set_leaf(index as u64, hash_block(&params.salt, block)).unwrap();
    }
    let tree = tree.finish().unwrap();
    data.extend_from_slice(&tree.bytes);
    let mut compressor = Compressor::new(1).unwrap();
    let mut frames = ImageEncoder::new(Vec::new());
    data.chunks(3 * BLOCK_SIZE).for_each(|chunk| frames.push(&compressor.compress(chunk).unwrap()).unwrap());
    let (frames, index, image_member) = frames.finish().unwrap();
    let index = index.encode();
    let member = |bytes: &[u8]| Member { size: Bytes(bytes.len() as u64), digest: Digest::of(bytes) };
    let (notes, sbom) = (b"What is new.\n".as_slice(), b"{}".as_slice());
    let members = [(NOTES, member(notes)), (SBOM, member(sbom)), (CHUNKS, member(&index)), (IMAGE, image_member)];

    let mut manifest = Manifest {
        format: 1,
        required: Vec::new(),
        kind,
        product: "demo".into(),
        hardware: Vec::new(),
        name: format!("demo-{kind}"),
        version: format!("{sequence}.0.0").parse().unwrap(),
        build_id,
        sequence,
        requires: Requires::default(),
        effects: Effects::default(),
        image: Some(ImageInfo::new(&params, tree.root).unwrap()),
        members: members.map(|(name, member)| (name.into(), member)).into(),
        created: 1_700_000_000,
        support_end: None,
        site: (kind == Kind::Site).then(|| SiteInfo {
            hostname: "demo.example".into(),
            licences: None,
            expires: None,
            entry_points: BTreeMap::default(),
        }),
        licence: None,
        health: Vec::new(),
        trial: None,
        development: false,
    };
    let mut terms = terms.map(str::as_bytes);
    if let Some(terms) = terms {
        manifest.members.insert(EULA.into(), member(terms));
    }
    change(&mut manifest);
    let manifest = manifest.encode().unwrap();
    let [base, site, _] = keys();
    let (key, role) = if kind == Kind::Site { (site, Role::Site) } else { (base, Role::Base) };
    let signatures = signature::sign(&manifest, &[key]).unwrap();
    let verified = signature::verify(&manifest, &signatures, &trust(), role).unwrap();
    let mut package = Vec::new();
    let mut members: BTreeMap<&str, &mut dyn Read> = BTreeMap::new();
    let (mut notes, mut sbom, mut index, mut frames) = (notes, sbom, index.as_slice(), frames.as_slice());
    members.insert(NOTES, &mut notes);
    if let Some(terms) = &mut terms {
        members.insert(EULA, terms);
    }
    members.insert(SBOM, &mut sbom);
    members.insert(CHUNKS, &mut index);
    members.insert(IMAGE, &mut frames);
    formats::package::write(&mut package, &manifest, &signatures, &mut members).unwrap();
    Release { manifest, signatures, image: data, verified, package }
}

/// A licence of the line `demo-licence`: five licences of any site, for ever, unless `change` says otherwise.
#[allow(dead_code, reason = "most tests are about slots")]
pub fn licence_with(
    sequence: u64,
    terms: Option<&str>,
    change: impl FnOnce(&mut Manifest, &mut LicenceInfo),
) -> Release {
    let member = |bytes: &[u8]| Member { size: Bytes(bytes.len() as u64), digest: Digest::of(bytes) };
    let (mut notes, mut terms) = (b"Five more.\n".as_slice(), terms.map(str::as_bytes));
    let mut claims = LicenceInfo { count: Some(5), ..LicenceInfo::default() };
    let mut manifest = Manifest {
        kind: Kind::Licence,
        name: "demo-licence".into(),
        build_id: Digest::of(format!("licence {sequence}").as_bytes()),
        image: None,
        members: [(NOTES.into(), member(notes))].into(),
        ..release(Kind::Base, sequence).verified.manifest().clone()
    };
    manifest.members.extend(terms.map(|terms| (EULA.into(), member(terms))));
    change(&mut manifest, &mut claims);
    manifest.licence = Some(claims);
    let manifest = manifest.encode().unwrap();
    let [.., key] = keys();
    let signatures = signature::sign(&manifest, &[key]).unwrap();
    let verified = signature::verify(&manifest, &signatures, &trust(), Role::Licence).unwrap();
    let mut members: BTreeMap<&str, &mut dyn Read> = BTreeMap::from([(NOTES, &mut notes as &mut dyn Read)]);
    if let Some(terms) = &mut terms {
        members.insert(EULA, terms);
    }
    let mut package = Vec::new();
    formats::package::write(&mut package, &manifest, &signatures, &mut members).unwrap();
    Release { manifest, signatures, image: Vec::new(), verified, package }
}

impl Release {
    pub fn source(&self) -> InMemory {
        InMemory {
            manifest: self.manifest.clone(),
            signatures: self.signatures.clone(),
            image: self.image.clone(),
            piece: BLOCK_SIZE,
            position: 0,
        }
    }

    /// A slot partition holding it.
    pub fn slot(&self) -> Vec<u8> {
        let mut slot = empty_slot();
        slot[..self.image.len()].copy_from_slice(&self.image);
        let footer = footer::encode(&self.manifest, &self.signatures).unwrap();
        slot[SLOT_SIZE - footer::FOOTER_SIZE..].copy_from_slice(&footer);
        slot
    }
}

/// A slot as the builder leaves it: zeros.
pub fn empty_slot() -> Vec<u8> {
    vec![0; SLOT_SIZE]
}

/// A disk: what is in its four slots, and its boot state.
pub fn medium(base: [Option<&Release>; 2], site: [Option<&Release>; 2], state: &BootState) -> Medium {
    let mut medium = Medium::new();
    let slots = [SlotId::A, SlotId::B].into_iter();
    for (slot, (base, site)) in slots.zip(base.into_iter().zip(site)) {
        medium.set(Part::Base(slot), base.map_or_else(empty_slot, Release::slot));
        medium.set(Part::Site(slot), site.map_or_else(empty_slot, Release::slot));
    }
    medium.set(Part::State, state_volume::image(state).unwrap());
    medium.site = Some(Now { slot: state.site, started: true });
    medium
}

pub const fn running(base: SlotId, site: Option<SlotId>) -> Running {
    Running { base, site, site_started: true, site_then: site, site_named_then: site, boot: Some(FIRST_START) }
}

/// The start of the machine that scenarios begin in.
pub const FIRST_START: Guid = Guid::new(1);

pub fn state(order: SlotId, a: SlotState, b: SlotState, site: Option<SlotId>) -> BootState {
    BootState { sequence: 20, order, a, b, last: Some(order), site }
}

/// Base 2 runs from slot A, base 1 is the way back; site 10 runs.
pub fn steady() -> Medium {
    let [one, two, site] = [release(Kind::Base, 1), release(Kind::Base, 2), release(Kind::Site, 10)];
    medium(
        [Some(&two), Some(&one)],
        [Some(&site), None],
        &state(SlotId::A, SlotState::GOOD, SlotState::GOOD, Some(SlotId::A)),
    )
}

/// An agent on this disk, which also has its journal and, on a machine, its site; nothing fails its checks.
pub fn agent<'a>(disk: &'a Disk, trust: &'a TrustStore, running: Option<Running>) -> Agent<'a> {
    Agent {
        disk,
        journal: Journal::new(disk, || 0),
        trust,
        running,
        site: running.map(|_| disk as &dyn Site),
        failures: Vec::new(),
        health: &health::Nothing,
        progress: &silent,
    }
}
