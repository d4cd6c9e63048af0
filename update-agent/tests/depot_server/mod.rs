//! A depot for tests: a small publisher, and a web server that can cut, hold back and count.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use formats::Digest;
use formats::catalogue::{Entry, Index, Listing, PackageId};
use formats::manifest::Manifest;
use formats::tuf::{canonical, key_id, key_value};
use serde_json::{Map, Value, json};

pub const LATER: &str = "2099-12-31T00:00:00Z";

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn described(keys: &[u8]) -> (Vec<String>, Map<String, Value>) {
    let values = keys
        .iter()
        .map(|number| key_value(&key(*number).verifying_key(), Some(json!({"name": format!("key {number}")}))));
    let map: Map<String, Value> = values.map(|value| (key_id(&value).unwrap(), value)).collect();
    (map.keys().cloned().collect(), map)
}

fn envelope(signed: &Value, keys: &[u8]) -> Vec<u8> {
    let message = canonical(signed).unwrap();
    let sign = |number: &u8| {
        let (ids, _) = described(&[*number]);
        json!({"keyid": ids[0], "sig": hex::encode(key(*number).sign(&message).to_bytes())})
    };
    let signatures: Vec<Value> = keys.iter().map(sign).collect();
    serde_json::to_vec_pretty(&json!({"signed": signed, "signatures": signatures})).unwrap()
}

fn named(version: u64, bytes: &[u8]) -> Value {
    json!({"version": version, "length": bytes.len(), "hashes": {"sha256": hex::encode(Digest::of(bytes).0)}})
}

/// A depot and everything in it.
pub struct Depot {
    /// Counts up with every publication.
    pub version: u64,
    /// Root keys, one version after the other.
    pub roots: Vec<u8>,
    pub expires: &'static str,
    /// Keys of the roles base and site.
    pub base_key: u8,
    pub site_key: u8,
    pub index: Index,
    targets: BTreeMap<String, (Vec<u8>, Option<Value>)>,
    /// Lengths that are signed and not true.
    lengths: BTreeMap<String, u64>,
}

impl Depot {
    pub fn new() -> Self {
        let index = Index::new("demo", 1_700_000_000);
        let targets = BTreeMap::new();
        Self {
            version: 1,
            roots: vec![40],
            expires: LATER,
            base_key: 1,
            site_key: 2,
            index,
            targets,
            lengths: BTreeMap::new(),
        }
    }

    /// Puts a package into the channel "stable".
    pub fn add(&mut self, manifest: &[u8], package: &[u8]) -> PackageId {
        self.add_of_size(manifest, package, package.len() as u64)
    }

    /// The same with a size that is said to be its own.
    pub fn add_of_size(&mut self, manifest: &[u8], package: &[u8], size: u64) -> PackageId {
        let manifest = Manifest::parse(manifest).unwrap();
        let entry = Entry::of(&manifest, formats::Bytes(size)).unwrap();
        let id = entry.id();
        self.lengths.insert(id.target(), size);
        let custom = serde_json::to_value(&entry).unwrap();
        self.targets.insert(id.target(), (package.to_vec(), Some(custom)));
        if let Ok(claims) = formats::package::peek(package) {
            self.targets.insert(id.notes_target(), (claims.documents.notes.into_bytes(), None));
            self.targets.extend(claims.documents.eula.map(|eula| (id.eula_target(), (eula.into_bytes(), None))));
        }
        let (package, opens) = (id.clone(), BTreeMap::new());
        let listing = Listing { package, added: 1_700_000_000, opens, for_all: false, withdrawn: None };
        self.index.channels.entry("stable".into()).or_default().push(listing);
        id
    }

    pub fn listing(&mut self, id: &PackageId) -> &mut Listing {
        let listings = self.index.channels.get_mut("stable").unwrap();
        listings.iter_mut().find(|listing| listing.package == *id).unwrap()
    }

    fn header(&self, kind: &str, version: u64) -> Value {
        json!({"_type": kind, "spec_version": "1.0.31", "version": version, "expires": self.expires})
    }

    pub fn root(&self, version: usize) -> Vec<u8> {
        let mut signed = self.header("root", version as u64);
        let (mut keys, mut roles) = (Map::new(), Map::new());
        for (role, number) in [("root", self.roots[version - 1]), ("timestamp", 41), ("snapshot", 42), ("targets", 43)]
        {
            let (ids, map) = described(&[number]);
            roles.insert(role.into(), json!({"keyids": ids, "threshold": 1}));
            keys.extend(map);
        }
        signed["consistent_snapshot"] = true.into();
        signed["keys"] = keys.into();
        signed["roles"] = roles.into();
        let mut signers = vec![self.roots[version - 1]];
        signers.extend(version.checked_sub(2).map(|before| self.roots[before]));
        signers.dedup();
        envelope(&signed, &signers)
    }

    /// Every file, by its path in the depot.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut targets = self.targets.clone();
        targets.insert("index/index.json".into(), (self.index.encode().unwrap(), None));
        let mut files: BTreeMap<String, Vec<u8>> = (1..=self.roots.len())
            .map(|version| (format!("metadata/{version}.root.json"), self.root(version)))
            .collect();
        for (name, (bytes, _)) in &targets {
            let (folder, file) = name.rsplit_once('/').unwrap();
            files.insert(format!("targets/{folder}/{}.{file}", hex::encode(Digest::of(bytes).0)), bytes.clone());
        }
        let version = self.version;
        let mut meta = Map::new();
        let mut add = |name: &str, bytes: Vec<u8>| {
            meta.insert(format!("{name}.json"), named(version, &bytes));
            files.insert(format!("metadata/{version}.{name}.json"), bytes);
        };
        let roles = [
            ("base", "base", self.base_key),
            ("site", "site", self.site_key),
            ("licence", "licence", 3),
            ("depot", "index", 44),
        ];
        let (mut keys, mut delegated) = (Map::new(), Vec::new());
        for (role, folder, number) in roles {
            let mut signed = self.header("targets", version);
            let of_role = targets.iter().filter(|(name, _)| name.starts_with(&format!("{folder}/")));
            signed["targets"] = of_role
                .map(|(name, (bytes, custom))| {
                    let mut target = named(1, bytes);
                    target.as_object_mut().unwrap().remove("version");
                    if let Some(length) = self.lengths.get(name) {
                        target["length"] = (*length).into();
                    }
                    if let Some(custom) = custom {
                        target["custom"] = custom.clone();
                    }
                    (name.clone(), target)
                })
                .collect::<Map<_, _>>()
                .into();
            add(role, envelope(&signed, &[number]));
            let (ids, map) = described(&[number]);
            keys.extend(map);
            let paths = [format!("{folder}/*")];
            delegated.push(json!({"name": role, "keyids": ids, "threshold": 1, "terminating": true, "paths": paths}));
        }
        let mut signed = self.header("targets", version);
        signed["targets"] = json!({});
        signed["delegations"] = json!({"keys": keys, "roles": delegated});
        add("targets", envelope(&signed, &[43]));
        let mut snapshot = self.header("snapshot", version);
        snapshot["meta"] = meta.into();
        let snapshot = envelope(&snapshot, &[42]);
        let mut timestamp = self.header("timestamp", version);
        timestamp["meta"] = json!({"snapshot.json": named(version, &snapshot)});
        files.insert(format!("metadata/{version}.snapshot.json"), snapshot);
        files.insert("metadata/timestamp.json".into(), envelope(&timestamp, &[41]));
        files
    }
}

/// What a server does, and what it was asked.
#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    /// The next answers with a body of a package end after so many bytes.
    pub cuts: Vec<usize>,
    /// Serves whole files only.
    pub no_ranges: bool,
    /// Every answer leads to the same path behind this.
    pub leads_to: Option<String>,
    /// Paths asked for, and bytes of bodies sent.
    pub asked: Vec<String>,
    pub sent: u64,
    /// Of that, what was of packages.
    pub sent_of_packages: u64,
}

/// A web server on this machine.
pub struct Server {
    pub url: String,
    pub state: Arc<Mutex<State>>,
}

impl Server {
    pub fn start(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self::start_with(files, "http", |stream, state| drop(converse(stream, state)))
    }

    /// The same; `converse_on` makes of a connection what HTTP is spoken on, and speaks it with [`converse`].
    pub fn start_with(
        files: BTreeMap<String, Vec<u8>>,
        scheme: &str,
        converse_on: impl Fn(TcpStream, &Mutex<State>) + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}/demo", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, stream, converse_on) = (Arc::clone(&shared), stream.unwrap(), converse_on.clone());
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                // A client that went away is its own affair.
                std::thread::spawn(move || converse_on(stream, &shared));
            }
        });
        Self { url, state }
    }

    pub fn publish(&self, depot: &Depot) {
        self.state.lock().unwrap().files = depot.files();
    }

    /// Paths asked for since the last time, and bytes sent.
    pub fn counts(&self) -> (Vec<String>, u64) {
        let mut state = self.state.lock().unwrap();
        (std::mem::take(&mut state.asked), std::mem::take(&mut state.sent))
    }
}

/// Answers requests until nobody asks any more.
pub fn converse(stream: impl Read + Write, state: &Mutex<State>) -> std::io::Result<()> {
    let mut input = BufReader::new(stream);
    loop {
        let (mut path, mut from) = (String::new(), 0_usize);
        loop {
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if let Some(rest) = line.strip_prefix("GET /demo/") {
                path = rest.split(' ').next().unwrap_or_default().into();
            }
            if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                from = range.trim_end_matches('-').parse().unwrap_or(0);
            }
            if line.is_empty() {
                break;
            }
        }
        let (head, body, cut) = {
            let mut state = state.lock().unwrap();
            state.asked.push(path.clone());
            if let Some(place) = &state.leads_to {
                let answer = format!("HTTP/1.1 302 Found\r\nLocation: {place}/{path}\r\nContent-Length: 0\r\n\r\n");
                input.get_mut().write_all(answer.as_bytes())?;
                continue;
            }
            let Some(bytes) = state.files.get(&path).cloned() else {
                input.get_mut().write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnone\n")?;
                continue;
            };
            let from = if state.no_ranges { 0 } else { from };
            let body = bytes[from.min(bytes.len())..].to_vec();
            let head = if from > 0 {
                let (last, all) = (bytes.len() - 1, bytes.len());
                format!("206 Partial Content\r\nContent-Range: bytes {from}-{last}/{all}")
            } else {
                "200 OK".into()
            };
            let cut = if is_package(&path) && !state.cuts.is_empty() { Some(state.cuts.remove(0)) } else { None };
            let cut = cut.map(|cut| cut.min(body.len()));
            let sent = cut.unwrap_or(body.len()) as u64;
            state.sent += sent;
            state.sent_of_packages += if is_package(&path) { sent } else { 0 };
            (head, body, cut)
        };
        let (length, stream) = (body.len(), input.get_mut());
        stream.write_all(format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n").as_bytes())?;
        stream.write_all(&body[..cut.unwrap_or(length)])?;
        if cut.is_some() {
            stream.flush()?;
            std::thread::sleep(Duration::from_millis(50));
            return Ok(());
        }
    }
}

/// Whether this is the path of a package.
pub fn is_package(path: &str) -> bool {
    path.strip_suffix(".pkg").is_some()
}
