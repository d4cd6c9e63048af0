//! A small depot with small packages, and the other TUF client.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use builder::depot::{Creation, Depot, Edit, Policy, RealStorage, Rotation, Signers, State};
use builder::keys;
use formats::manifest::{Effects, FORMAT, ImageInfo, Kind, LicenceInfo, Manifest, Member, Requires, SiteInfo};
use formats::package::{self, CHUNKS, Compressor, EULA, IMAGE, ImageEncoder, MAX_CHUNK, NOTES, SBOM};
use formats::tuf::{Freshness, Kept, refresh};
use formats::verity::{BLOCK_SIZE, BlockHasher, Parameters, TreeBuilder};
use formats::{Bytes, Digest, Guid, signature};

/// A time in the middle of the signed ones.
pub const NOW: i64 = 1_800_000_000;

/// What a package is about.
#[derive(Debug, Clone)]
pub struct Release {
    pub kind: Kind,
    pub version: &'static str,
    pub sequence: u64,
    pub base: Option<&'static str>,
    pub site: Option<&'static str>,
    pub eula: Option<&'static str>,
    pub notes: String,
}

impl Release {
    pub fn new(kind: Kind, version: &'static str, sequence: u64) -> Self {
        let notes = format!("# {kind} {version}\n");
        Self { kind, version, sequence, base: None, site: None, eula: None, notes }
    }

    /// Writes the package, signed by the keys of its kind in these folders.
    pub fn write(&self, path: &Path, folders: &[&Path]) {
        let mut members = BTreeMap::from([(NOTES, self.notes.clone().into_bytes())]);
        members.extend(self.eula.map(|eula| (EULA, eula.as_bytes().to_vec())));
        let image = (self.kind != Kind::Licence).then(|| {
            let (info, bytes) = image(self.sequence);
            let mut compressor = Compressor::new(3).unwrap();
            let mut encoder = ImageEncoder::new(Vec::new());
            for chunk in bytes.chunks(MAX_CHUNK) {
                encoder.push(&compressor.compress(chunk).unwrap()).unwrap();
            }
            let (frames, index, _) = encoder.finish().unwrap();
            members.extend([
                (SBOM, br#"{"bomFormat":"CycloneDX"}"#.to_vec()),
                (CHUNKS, index.encode()),
                (IMAGE, frames),
            ]);
            info
        });
        let site =
            SiteInfo { hostname: "a.example".into(), licences: None, expires: None, entry_points: BTreeMap::new() };
        let manifest = Manifest {
            format: FORMAT,
            required: vec![],
            kind: self.kind,
            product: "demo".into(),
            hardware: vec![],
            name: format!("demo-{}", self.kind),
            version: self.version.parse().unwrap(),
            build_id: Digest::of(format!("{self:?}").as_bytes()),
            sequence: self.sequence,
            requires: Requires {
                base: self.base.map(|range| range.parse().unwrap()),
                site: self.site.map(|range| range.parse().unwrap()),
            },
            effects: Effects::default(),
            image,
            members: members
                .iter()
                .map(|(name, bytes)| {
                    ((*name).to_owned(), Member { size: Bytes(bytes.len() as u64), digest: Digest::of(bytes) })
                })
                .collect(),
            created: 1_760_000_000,
            support_end: None,
            site: (self.kind == Kind::Site).then_some(site),
            licence: (self.kind == Kind::Licence).then(|| LicenceInfo { count: Some(5), ..LicenceInfo::default() }),
            health: vec![],
            trial: None,
            development: true,
        };
        let manifest = manifest.encode().unwrap();
        let role = self.kind.to_string();
        let signers: Vec<_> =
            folders.iter().map(|folder| keys::depot::private(folder, &role).unwrap().unwrap()).collect();
        let signatures = signature::sign(&manifest, &signers).unwrap();
        let mut slices: Vec<(&str, &[u8])> = members.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        let mut readers: BTreeMap<&str, &mut dyn Read> =
            slices.iter_mut().map(|(name, bytes)| (*name, bytes as &mut dyn Read)).collect();
        let mut file = fs::File::create(path).unwrap();
        package::write(&mut file, &manifest, &signatures, &mut readers).unwrap();
    }
}

fn image(seed: u64) -> (ImageInfo, Vec<u8>) {
    let params = Parameters { data_blocks: 5, salt: [3; 32], uuid: Guid::new(5) };
    let hasher = BlockHasher::new(&params.salt);
    let mut builder = TreeBuilder::new(params).unwrap();
    let mut image = Vec::new();
    for index in 0..params.data_blocks {
        let mut block = [0; BLOCK_SIZE];
        block[..8].copy_from_slice(&(seed * 1000 + index).to_le_bytes());
        builder.set_leaf(index, hasher.hash(&block)).unwrap();
        image.extend(block);
    }
    let tree = builder.finish().unwrap();
    image.extend(tree.bytes);
    (ImageInfo::new(&params, tree.root).unwrap(), image)
}

/// Keys, a depot, and a place for packages.
pub struct Shop {
    pub scratch: tempfile::TempDir,
    pub keys: PathBuf,
    pub depot: Depot,
}

impl Shop {
    /// A new depot with keys of its own.
    pub fn new() -> Self {
        Self::at(NOW)
    }

    pub fn at(now: i64) -> Self {
        let shop = Self::unmade();
        shop.creation(now).run(shop.depot.folder(), &[], &mut RealStorage).unwrap();
        shop
    }

    /// Keys, and no depot yet.
    pub fn unmade() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let keys = scratch.path().join("keys");
        make_keys(&keys, &["base", "site", "licence", "root", "targets", "snapshot", "timestamp", "depot"]);
        let depot = Depot::new(&scratch.path().join("depot"));
        Self { scratch, keys, depot }
    }

    pub fn creation(&self, now: i64) -> Creation {
        Creation {
            product: "demo".into(),
            keys: self.keys.clone(),
            co_signers: vec![],
            root_threshold: 1,
            targets_threshold: 1,
            package_threshold: 1,
            rings: vec![],
            lifetimes: BTreeMap::new(),
            policy: Policy::default(),
            now,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub fn package(&self, release: &Release) -> PathBuf {
        let path = self.path(&format!("{}-{}.pkg", release.kind, release.version));
        release.write(&path, &[&self.keys]);
        path
    }

    pub fn signers(&self) -> Signers {
        Signers { folders: vec![self.keys.clone()], ..Signers::default() }
    }

    pub fn change<T>(
        &self,
        now: i64,
        change: impl FnOnce(&mut Edit<'_>, &State) -> builder::Result<T>,
    ) -> builder::Result<(T, State)> {
        self.change_by(&self.signers(), now, change)
    }

    pub fn change_by<T>(
        &self,
        signers: &Signers,
        now: i64,
        change: impl FnOnce(&mut Edit<'_>, &State) -> builder::Result<T>,
    ) -> builder::Result<(T, State)> {
        let mut storage = RealStorage;
        let (mut edit, before) = Edit::begin(&self.depot, signers, &mut storage, now)?;
        let done = change(&mut edit, &before)?;
        Ok((done, edit.publish()?))
    }

    /// A folder with another key for a role, and the rotation to it.
    pub fn new_key(&self, role: &str) -> (PathBuf, Rotation) {
        let number = fs::read_dir(self.scratch.path()).unwrap().count();
        let new = self.path(&format!("{role}-{number}"));
        make_keys(&new, &[role]);
        let rotation = Rotation { new: vec![new.clone()], ..Rotation::default() };
        (new, rotation)
    }

    /// Puts that key in the place of the one before.
    pub fn take_over(&self, role: &str, new: &Path) {
        for file in [format!("{role}.key"), format!("{role}.pub")] {
            fs::rename(new.join(&file), self.keys.join(&file)).unwrap();
        }
    }

    /// Adds a release to channel "stable".
    pub fn add(&self, now: i64, release: &Release) -> builder::Result<State> {
        let path = self.package(release);
        self.change(now, |edit, before| edit.add(before, &path, "stable", &BTreeMap::new())).map(|(_, state)| state)
    }
}

/// Development keys of these roles.
pub fn make_keys(folder: &Path, roles: &[&str]) {
    keys::depot::make(folder, roles, true, 1_700_000_000, "demo").unwrap();
}

/// Every file below a folder with its content; the writer's own files left out.
pub fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if !entry.file_name().to_string_lossy().starts_with('.') {
                found.insert(entry.path().strip_prefix(folder).unwrap().to_owned(), fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

/// What an appliance sees that was delivered with `root`.
pub fn seen(depot: &Depot, kept: &Kept, now: i64) -> Result<formats::tuf::Depot, String> {
    let mut fetch = |name: &str, _: usize| Ok::<_, String>(fs::read(depot.metadata(name)).ok());
    refresh(kept, Freshness::Required { now }, &mut fetch).map_err(|trouble| trouble.to_string())
}

pub fn delivered(depot: &Depot) -> Kept {
    Kept::from([("root.json".into(), fs::read(depot.metadata("1.root.json")).unwrap())])
}

/// `bulkhead depot serve`, ended when dropped.
pub struct Served {
    child: Child,
    pub url: String,
}

impl Served {
    pub fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bulkhead"))
            .args(["depot", "serve", "--listen", "127.0.0.1:0"])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        Self { child, url }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Refreshes with python-tuf, its state kept in `state`, and downloads `target`; what it printed, or its complaint.
pub fn python_tuf(served: &Served, root: &Path, state: &Path, target: &str) -> Result<String, String> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/python-tuf/bin/python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tuf_client.py");
    assert!(python.exists(), "python-tuf is missing; run scripts/setup");
    let output = Command::new(python).arg(script).arg(&served.url).args([root, state]).arg(target).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
