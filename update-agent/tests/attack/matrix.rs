//! The attacks, each with the code it must be refused with.

use std::collections::BTreeMap;

use formats::manifest::{Kind, LicenceInfo};
use formats::package::{CHUNKS, ChunkIndex, Compressor, IMAGE, ImageEncoder, MANIFEST, NOTES, SBOM, SIGNATURES};
use formats::trust::{Role, TrustStore, TrustedKey};
use update_agent::disk::Part;
use update_agent::disk::simulated::Medium;

use super::crafted::{Crafted, key};
use super::fixtures::{Release, release, release_with};

/// A package nobody should install.
pub struct Attack {
    pub name: String,
    pub code: &'static str,
    pub package: Vec<u8>,
    pub trust: TrustStore,
    /// What is special about the disk.
    pub prepare: fn(&mut Medium),
}

/// Key numbers of the matrix: 1 signs bases, 2 sites, 3 licences; 4 is a development key, 5 has expired; 6 and 7 sign bases where two
/// of three must; 9 is known to nobody.
fn store(development_and_expired: bool, two_of_three: bool) -> TrustStore {
    let trusted = |number, role, name: &str| TrustedKey {
        role,
        public: key(number).verifying_key(),
        development: number == 4,
        // The day before the running base was made.
        expires: (number == 5).then(|| "2023-11-13".parse().unwrap()),
        name: name.into(),
    };
    let mut keys =
        vec![trusted(1, Role::Base, "base"), trusted(2, Role::Site, "site"), trusted(3, Role::Licence, "licence")];
    if development_and_expired {
        keys.extend([trusted(4, Role::Base, "development"), trusted(5, Role::Base, "old")]);
    }
    if two_of_three {
        keys.extend([trusted(6, Role::Base, "second"), trusted(7, Role::Base, "third")]);
    }
    let needed = if two_of_three { 2 } else { 1 };
    TrustStore::new("demo", keys, [(Role::Base, needed), (Role::Site, 1)].into(), false).unwrap()
}

pub fn trust() -> TrustStore {
    store(true, false)
}

pub fn two_of_three() -> TrustStore {
    store(false, true)
}

struct Table(Vec<Attack>);

impl Table {
    fn add(&mut self, code: &'static str, name: impl Into<String>, package: Vec<u8>) -> &mut Attack {
        self.0.push(Attack { name: name.into(), code, package, trust: trust(), prepare: |_| {} });
        self.0.last_mut().unwrap()
    }
}

pub fn all() -> Vec<Attack> {
    let mut table = Table(Vec::new());
    let good = Crafted::of(&release(Kind::Base, 3).package);
    signatures(&mut table, &good);
    claims(&mut table, &good);
    damage(&mut table, &good);
    swaps(&mut table, &good);
    bombs(&mut table, &good);
    table.0
}

fn signatures(table: &mut Table, good: &Crafted) {
    table.add("wrong-key", "signed by a key nobody knows", good.clone().signed_by(&[9]).archive());
    table.add("expired-key", "signed by an expired key", good.clone().signed_by(&[5]).archive());
    table.add("development-key", "signed by a development key", good.clone().signed_by(&[4]).archive());
    table.add("wrong-role", "a base signed by the site key", good.clone().signed_by(&[2]).archive());
    table.add("threshold-not-met", "one signature of two", good.archive()).trust = two_of_three();
    let half = good.clone().signed_by(&[6, 9]);
    table.add("threshold-not-met", "one signature of two, and one by a stranger", half.archive()).trust =
        two_of_three();
    let mut twice = good.clone();
    let set = String::from_utf8(twice.member(SIGNATURES).clone()).unwrap();
    let (start, end) = (set.find("    {").unwrap(), set.find("\n  ]").unwrap());
    *twice.member(SIGNATURES) = format!("{},\n{}{}", &set[..end], &set[start..end], &set[end..]).into_bytes();
    table.add("threshold-not-met", "the same key twice", twice.archive()).trust = two_of_three();
    let mut none = good.clone();
    *none.member(SIGNATURES) = b"{\"format\": 1, \"signatures\": []}\n".to_vec();
    table.add("malformed", "no signature at all", none.archive());
    let mut licence = good.clone();
    licence.0.retain(|(name, _)| [MANIFEST, SIGNATURES, NOTES].contains(&name.as_str()));
    let licence = licence.claiming(|manifest| {
        manifest.kind = Kind::Licence;
        manifest.image = None;
        manifest.licence = Some(LicenceInfo { count: Some(9), ..LicenceInfo::default() });
        manifest.members.retain(|name, _| name == NOTES);
    });
    table.add("kind-not-accepted", "a licence", licence.signed_by(&[3]).archive());
}

fn claims(table: &mut Table, good: &Crafted) {
    let other = good.clone().claiming(|manifest| manifest.product = "other".into());
    table.add("other-product", "for another product", other.archive());
    let build = good.clone().claiming(|manifest| manifest.development = true);
    table.add("development-build", "a development build with a release key", build.archive());
    let feature = String::from_utf8(good.0[0].1.clone()).unwrap().replacen(
        "\"kind\"",
        "\"required\": [\"telepathy\"], \"kind\"",
        1,
    );
    table.add("too-new", "an unknown required feature", good.clone().signed(feature.as_bytes(), &[1]).archive());
    let crafted =
        |kind, sequence, change: fn(&mut formats::manifest::Manifest)| release_with(kind, sequence, change).package;
    table.add(
        "other-hardware",
        "for other hardware",
        crafted(Kind::Base, 3, |manifest| manifest.hardware = vec!["model-y".into()]),
    );
    table.add("below-floor", "an older release", release(Kind::Base, 1).package);
    let again = crafted(Kind::Base, 2, |manifest| manifest.build_id = formats::Digest::of(b"another build"));
    table.add("other-build", "another build under the number that runs", again);
    table.add(
        "needs-base",
        "a site for a later base",
        crafted(Kind::Site, 11, |manifest| {
            manifest.requires.base = Some(">=3".parse().unwrap());
        }),
    );
    table.add(
        "other-hostname",
        "a site for another host",
        crafted(Kind::Site, 11, |manifest| {
            manifest.site.as_mut().unwrap().hostname = "other.example".into();
        }),
    );
    table.add("too-big", "an image longer than the slot", good.archive()).prepare =
        |medium| medium.set(Part::Base(formats::SlotId::B), vec![0; 100 * 1024]);
}

fn damage(table: &mut Table, good: &Crafted) {
    let whole = good.archive();
    for name in [MANIFEST, SIGNATURES, NOTES, SBOM, CHUNKS, IMAGE] {
        let range = good.range(name);
        let middle = range.start + range.len() / 2;
        table.add("truncated", format!("cut in {name}"), whole[..middle].to_vec());
        table.add("truncated", format!("cut in the header of {name}"), whole[..range.start - 100].to_vec());
        let mut flipped = whole.clone();
        flipped[middle] ^= 1;
        let code = match name {
            MANIFEST => "bad-signature",
            SIGNATURES => "malformed",
            _ => "digest-mismatch",
        };
        table.add(code, format!("a bit flipped in {name}"), flipped);
        let mut header = whole.clone();
        header[range.start - 512 + 130] ^= 1;
        table.add("malformed", format!("a bit flipped in the header of {name}"), header);
        let mut hidden = whole.clone();
        if !range.end.is_multiple_of(512) {
            hidden[range.end] = 1;
            table.add("trailing-data", format!("something hidden behind {name}"), hidden);
        }
    }
    let mut signature = good.clone();
    let set = signature.member(SIGNATURES);
    let at = set.windows(14).position(|window| window == b"\"signature\": \"").unwrap() + 40;
    set[at] = if set[at] == b'A' { b'B' } else { b'A' };
    table.add("bad-signature", "another signature under the name of the right key", signature.archive());
    table.add("truncated", "cut before the end of the archive", whole[..whole.len() - 512].to_vec());
    table.add("trailing-data", "one byte behind the end", [whole.as_slice(), &[0]].concat());
    table.add("trailing-data", "a second package behind the end", [whole.as_slice(), &whole].concat());
    let (mut order, mut early, mut late) = (good.clone(), good.clone(), good.clone());
    order.0.swap(2, 3);
    table.add("wrong-member", "notes and bill of materials exchanged", order.archive());
    early.0.insert(1, good.0[0].clone());
    table.add("wrong-member", "two manifests", early.archive());
    late.0.push(good.0[5].clone());
    table.add("trailing-data", "two images", late.archive());
}

fn swaps(table: &mut Table, good: &Crafted) {
    let index = |package: &Crafted| {
        let bytes = &package.0.iter().find(|(name, _)| name == CHUNKS).unwrap().1;
        ChunkIndex::parse(bytes).unwrap().chunks().to_vec()
    };
    // Releases whose frames are as long as ours, so that nothing but the content is wrong.
    let ours = index(good);
    let twin = (4..200).map(|sequence| Crafted::of(&release(Kind::Base, sequence).package)).find(|other| {
        index(other).iter().map(|chunk| chunk.frame_length).eq(ours.iter().map(|chunk| chunk.frame_length))
    });
    let mut twin = twin.expect("some release compresses to the same lengths");
    let middle = ours[ours.len() / 2];
    let at = usize::try_from(middle.frame_offset.0).unwrap();
    let frame = at..at + usize::try_from(middle.frame_length).unwrap();
    let mut chunk = good.clone();
    let foreign = twin.member(IMAGE)[frame.clone()].to_vec();
    assert_ne!(foreign, chunk.member(IMAGE)[frame.clone()]);
    chunk.member(IMAGE)[frame].copy_from_slice(&foreign);
    table.add("digest-mismatch", "the middle chunk of another signed release", chunk.archive());
    for name in [CHUNKS, IMAGE] {
        let mut swapped = good.clone();
        swapped.member(name).clone_from(twin.member(name));
        table.add("digest-mismatch", format!("{name} of another signed release"), swapped.archive());
    }
    let mut both = good.clone();
    both.member(CHUNKS).clone_from(twin.member(CHUNKS));
    both.member(IMAGE).clone_from(twin.member(IMAGE));
    table.add("digest-mismatch", "index and image of another signed release", both.archive());
}

/// Signed by the right key: the maker itself is the attacker, or was careless.
fn bombs(table: &mut Table, good: &Crafted) {
    let bomb = Compressed::of(&vec![0; 64 << 20]);
    table.add("too-long", "a frame that unpacks to 64 MiB", bomb.first_frame_of(good, |_| {}));
    let short = Compressed::of(&[0; 4096]);
    table.add("too-long", "a frame that unpacks to less than its record", short.first_frame_of(good, |_| {}));
    let huge = short.first_frame_of(good, |index| index[44..48].copy_from_slice(&(64_u32 << 20).to_le_bytes()));
    table.add("malformed", "an index with a frame of 64 MiB", huge);
    let many = short.first_frame_of(good, |index| index[20..24].copy_from_slice(&u32::MAX.to_le_bytes()));
    table.add("malformed", "an index of four milliard chunks", many);
}

/// One zstd frame.
struct Compressed(Vec<u8>);

impl Compressed {
    fn of(content: &[u8]) -> Self {
        let mut frame = Vec::new();
        ImageEncoder::new(&mut frame).push(&Compressor::new(3).unwrap().compress(content).unwrap()).unwrap();
        Self(frame)
    }

    /// A package, signed as it is, whose first frame is this one; `change` may change the index further.
    fn first_frame_of(&self, good: &Crafted, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut package = good.clone();
        let index = ChunkIndex::parse(package.member(CHUNKS)).unwrap();
        let first = usize::try_from(index.chunks()[0].frame_length).unwrap();
        let rest = package.member(IMAGE)[first..].to_vec();
        *package.member(IMAGE) = [self.0.as_slice(), &rest].concat();
        let mut at = 0_u64;
        let mut records = package.member(CHUNKS).clone();
        for (number, record) in records[24..].chunks_mut(88).enumerate() {
            if number == 0 {
                record[20..24].copy_from_slice(&u32::try_from(self.0.len()).unwrap().to_le_bytes());
                record[56..88].copy_from_slice(&formats::Digest::of(&self.0).0);
            }
            record[12..20].copy_from_slice(&at.to_le_bytes());
            at += u64::from(u32::from_le_bytes(record[20..24].try_into().unwrap()));
        }
        change(&mut records);
        *package.member(CHUNKS) = records;
        package.listed().archive()
    }
}

/// Which codes the attacks of the issue must be told apart by.
pub const DISTINCT: [&str; 10] = [
    "wrong-key",
    "expired-key",
    "threshold-not-met",
    "truncated",
    "digest-mismatch",
    "trailing-data",
    "other-product",
    "other-hardware",
    "below-floor",
    "development-key",
];

/// The same release, signed again.
pub fn resigned(release: &Release, keys: &[u8], trust: &TrustStore) -> Release {
    let package = Crafted::of(&release.package).signed_by(keys);
    let (manifest, signatures) = (package.0[0].1.clone(), package.0[1].1.clone());
    let role = if release.verified.manifest().kind == Kind::Site { Role::Site } else { Role::Base };
    let verified = formats::signature::verify(&manifest, &signatures, trust, role).unwrap();
    Release { manifest, signatures, verified, package: package.archive(), image: release.image.clone() }
}

/// How many attacks end in each code.
pub fn tally(attacks: &[Attack]) -> BTreeMap<&'static str, usize> {
    let mut tally = BTreeMap::new();
    for attack in attacks {
        *tally.entry(attack.code).or_default() += 1;
    }
    tally
}
