//! For tests: a log that is written by hand, and a small appliance disk with real slots, footers and boot state.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use ed25519_dalek::SigningKey;
use formats::boot_state::{BootState, SlotState};
use formats::gpt::Gpt;
use formats::gpt::types::LINUX_DATA;
use formats::manifest::{Effects, ImageInfo, Kind, Manifest, Member, Requires, SiteInfo};
use formats::signature;
use formats::trust::{Role, TrustStore, TrustedKey};
use formats::verity::{BLOCK_SIZE, Parameters, TreeBuilder, hash_block};
use formats::{Bytes, Digest, Guid, Lba, SectorSize, SlotId, footer, state_volume};
use tempfile::NamedTempFile;

use super::write_log::{DISCARD, FLUSH, MAGIC, MARK};
use crate::surgery::RawImage;

/// Writes a log as QEMU does.
pub struct LogWriter {
    entries: u64,
    body: Vec<u8>,
}

impl LogWriter {
    pub const fn new() -> Self {
        Self { entries: 0, body: Vec::new() }
    }

    pub fn entry(&mut self, sector: u64, sectors: u64, flags: u64, data: &[u8]) {
        self.header(sector, sectors, flags, &[]);
        self.body.extend_from_slice(data);
    }

    pub fn write(&mut self, at: u64, data: &[u8]) {
        self.entry(at / 512, data.len() as u64 / 512, 0, data);
    }

    pub fn flush(&mut self) {
        self.entry(0, 0, FLUSH, &[]);
    }

    pub fn discard(&mut self, at: u64, length: u64) {
        self.entry(at / 512, length / 512, DISCARD, &[]);
    }

    pub fn mark(&mut self, text: &str) {
        self.header(0, 0, MARK, text.as_bytes());
    }

    fn header(&mut self, sector: u64, sectors: u64, flags: u64, text: &[u8]) {
        self.entries += 1;
        let numbers = [sector, sectors, flags, text.len() as u64];
        self.body.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
        self.body.extend_from_slice(text);
        self.body.resize(self.body.len().next_multiple_of(512), 0);
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = [MAGIC, 1, self.entries, 512].into_iter().flat_map(u64::to_le_bytes).collect();
        bytes.resize(512, 0);
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A signed release, small.
pub struct Release {
    manifest: Vec<u8>,
    signatures: Vec<u8>,
    pub image: Vec<u8>,
}

impl Release {
    pub fn new(kind: Kind, sequence: u64) -> Self {
        let byte = |at: usize| u8::try_from((at / 16 + usize::try_from(sequence).unwrap() * 7) % 251).unwrap();
        let mut image: Vec<u8> = (0..DATA_BLOCKS * BLOCK_SIZE).map(byte).collect();
        let params =
            Parameters { data_blocks: DATA_BLOCKS as u64, salt: [3; 32], uuid: Guid::derive("seed", "verity") };
        let mut tree = TreeBuilder::new(params).unwrap();
        for (index, block) in image.chunks(BLOCK_SIZE).enumerate() {
            tree.set_leaf(index as u64, hash_block(&params.salt, block)).unwrap();
        }
        let tree = tree.finish().unwrap();
        image.extend_from_slice(&tree.bytes);
        let member = Member { size: Bytes(1), digest: Digest::of(b"x") };
        let members = ["notes.md", "sbom.cdx.json", "chunks.idx", "image.zst"].map(|name| (name.to_owned(), member));
        let manifest = Manifest {
            format: 1,
            required: Vec::new(),
            kind,
            product: "demo".into(),
            hardware: Vec::new(),
            name: format!("demo-{kind}"),
            version: format!("{sequence}.0.0").parse().unwrap(),
            build_id: Digest::of(format!("{kind} {sequence}").as_bytes()),
            sequence,
            requires: Requires::default(),
            effects: Effects::default(),
            health: Vec::new(),
            trial: None,
            image: Some(ImageInfo::new(&params, tree.root).unwrap()),
            members: members.into(),
            created: 1_700_000_000,
            support_end: None,
            site: (kind == Kind::Site).then(|| SiteInfo {
                hostname: "demo.example".into(),
                licences: None,
                expires: None,
                entry_points: BTreeMap::default(),
            }),
            licence: None,
            development: false,
        };
        let manifest = manifest.encode().unwrap();
        let signatures = signature::sign(&manifest, &[SigningKey::from_bytes(&[1; 32])]).unwrap();
        Self { manifest, signatures, image }
    }

    pub fn footer(&self) -> Vec<u8> {
        footer::encode(&self.manifest, &self.signatures).unwrap()
    }
}

/// Whom the small appliance trusts.
pub fn trust() -> TrustStore {
    let key = |role, byte| TrustedKey {
        role,
        public: SigningKey::from_bytes(&[byte; 32]).verifying_key(),
        development: false,
        expires: None,
        name: role.to_string(),
    };
    // One key may not have two roles; sites are signed by a key of their own only in the real product.
    TrustStore::new("demo", vec![key(Role::Base, 1)], [(Role::Base, 1)].into(), false).unwrap()
}

/// A disk with release 1 in base slot A, which is good, and nothing else.
pub fn small_disk() -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    let parts = [
        ("state", STATE_SECTORS),
        ("base-a", SLOT_SECTORS),
        ("base-b", SLOT_SECTORS),
        ("site-a", 256),
        ("site-b", 256),
        ("data", 256),
    ];
    let mut first = 64;
    let mut partitions = BTreeMap::new();
    for ((name, sectors), number) in parts.into_iter().zip(1..) {
        let guid = Guid::derive("test", name);
        let last = Lba(first + sectors - 1);
        let name = name.into();
        partitions.insert(
            number,
            formats::gpt::Partition { type_guid: LINUX_DATA, guid, first: Lba(first), last, attributes: 0, name },
        );
        first += sectors;
    }
    let sectors = first + 64;
    file.write_all(&vec![0; usize::try_from(sectors * 512).unwrap()]).unwrap();
    let gpt = Gpt::new(Guid::derive("test", "disk"), SectorSize::S512, sectors, partitions).unwrap();
    let mut raw = RawImage::open(file.path()).unwrap();
    raw.write(512, &gpt.encode_primary()).unwrap();
    let (lba, backup) = gpt.encode_backup();
    raw.write(lba.0 * 512, &backup).unwrap();
    let state = raw.partition("state").unwrap();
    raw.write(state.offset, &state_volume::image(&BootState::initial(SlotId::A, None)).unwrap()).unwrap();
    let release = Release::new(Kind::Base, 1);
    let slot = raw.partition("base-a").unwrap();
    raw.write(slot.offset, &release.image).unwrap();
    raw.write(slot.offset + slot.length - footer::FOOTER_SIZE as u64, &release.footer()).unwrap();
    file
}

/// A mistake in the order of an update.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    None,
    /// No flush between the image and what makes it startable.
    ForgottenFlush,
    /// The boot state still calls the slot good while it is overwritten.
    SlotNotGivenAway,
    /// Both copies of the boot state are written at once.
    BothCopies,
    /// After the commit the boot state goes back to the release before.
    Lost,
}

/// The log of an update of [`small_disk`] to release 2 in slot B, in the order the agent keeps, but for the mistake.
pub fn update(disk: &Path, mistake: Mistake) -> LogWriter {
    let raw = RawImage::open(disk).unwrap();
    let (state_at, slot) = (raw.partition("state").unwrap().offset, raw.partition("base-b").unwrap());
    let footer_at = slot.offset + slot.length - footer::FOOTER_SIZE as u64;
    let mut log = LogWriter::new();
    let mut state = raw.boot_state().unwrap().unwrap();
    let mut change = |log: &mut LogWriter, order: SlotId, b: SlotState| {
        state = BootState { sequence: state.sequence + 1, order, b, ..state };
        let copies = state_volume::COPY_OFFSETS;
        let older = if state.sequence.is_multiple_of(2) { copies[1] } else { copies[0] };
        log.write(state_at + older, &state.encode().unwrap());
        if mistake == Mistake::BothCopies {
            log.write(state_at + copies[0] + copies[1] - older, &vec![0; 512]);
        }
        log.flush();
    };
    let release = Release::new(Kind::Base, 2);
    let begun = if mistake == Mistake::SlotNotGivenAway { SlotState::GOOD } else { SlotState::EMPTY };
    change(&mut log, SlotId::A, begun);
    log.write(footer_at, &footer::erased());
    log.write(slot.offset, &[0; BLOCK_SIZE]);
    log.flush();
    for (at, piece) in (0_u64..).step_by(3 * BLOCK_SIZE).zip(release.image.chunks(3 * BLOCK_SIZE)) {
        let (skip, piece) = if at == 0 { (BLOCK_SIZE, &piece[BLOCK_SIZE..]) } else { (0, piece) };
        log.write(slot.offset + at + skip as u64, piece);
    }
    if mistake != Mistake::ForgottenFlush {
        log.flush();
    }
    log.write(slot.offset, &release.image[..BLOCK_SIZE]);
    if mistake != Mistake::ForgottenFlush {
        log.flush();
    }
    log.write(footer_at, &release.footer());
    if mistake != Mistake::ForgottenFlush {
        log.flush();
    }
    change(&mut log, SlotId::B, SlotState::TRIAL);
    change(&mut log, SlotId::B, SlotState::GOOD);
    if mistake == Mistake::Lost {
        change(&mut log, SlotId::A, SlotState::GOOD);
    }
    log
}

const DATA_BLOCKS: usize = 9;
const STATE_SECTORS: u64 = 2048;
const SLOT_SECTORS: u64 = (12 * BLOCK_SIZE as u64 + footer::FOOTER_SIZE as u64) / 512;
