//! A path bundle as a stream of bytes, made of files of the depot as it is read: nothing of it is copied before, and from any byte on it can
//! be made again.
//!
//! It guarantees that metadata is that which was verified, and, when it is read from its beginning, that each target is the one that was
//! signed for. What is in it and whether it may be given away is decided elsewhere ([`super::answer`], [`super::ledger`]).

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use formats::bundle::{self, LABEL, Label, METADATA, TARGETS};
use formats::catalogue::PackageId;
use formats::digest::Hasher;
use formats::{Bytes, Digest};

use super::state::{Depot, INDEX, State};
use super::storage::{RealStorage, Storage as _};
use crate::{Error, Result};

/// What a bundle consists of.
#[derive(Debug, Clone)]
pub struct Contents {
    members: Vec<Member>,
    size: Bytes,
}

#[derive(Debug, Clone)]
struct Member {
    name: String,
    size: Bytes,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Memory(Vec<u8>),
    File(PathBuf, Digest),
}

impl Contents {
    /// The bundle of the packages that `label` names, in its order, with all metadata of the depot and its index.
    ///
    /// # Errors
    /// [`Error::Verification`] when the depot lacks a file or has one of another length than was signed for.
    pub fn of(depot: &Depot, state: &State, label: &Label) -> Result<Self> {
        let encoded = label.encode().map_err(Error::format("the bundle"))?;
        let mut members = vec![in_memory(LABEL.into(), encoded)];
        members.extend(metadata(depot, state)?);
        members.push(target(depot, state, INDEX)?);
        for id in &label.order {
            members.extend(package(depot, state, id)?);
        }
        let stored = members.iter().map(|member| bundle::stored(&member.name, member.size).0);
        let size = stored.fold(bundle::TRAILER.len() as u64, u64::saturating_add);
        for member in &members {
            // Said now and not in the middle of a download.
            bundle::header(&member.name, member.size).map_err(Error::format("the bundle"))?;
        }
        Ok(Self { members, size: Bytes(size) })
    }

    /// Length of the bundle.
    pub const fn size(&self) -> Bytes {
        self.size
    }

    /// Changes whenever one of its bytes may.
    pub fn tag(&self) -> String {
        let parts = self.members.iter().map(|member| {
            let digest = match &member.source {
                Source::Memory(bytes) => Digest::of(bytes),
                Source::File(_, digest) => *digest,
            };
            format!("{} {} {digest}\n", member.name, member.size.0)
        });
        Digest::of(parts.collect::<String>().as_bytes()).short()
    }

    /// Writes the bundle to a file, which has its name only once it is whole.
    ///
    /// # Errors
    /// [`Error::Verification`] when a file of the depot is not what was signed for.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let written = self.stream(0).map_err(Error::io("read", path)).and_then(|mut stream| {
            let mut storage = RealStorage;
            storage.write(&new, &mut stream)?;
            storage.rename(&new, path)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            storage.sync_folder(folder.unwrap_or(Path::new(".")))
        });
        written.map_err(|error| {
            // Best effort: what is left over is overwritten by the next run.
            drop(fs::remove_file(&new));
            match error {
                Error::Io { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                    Error::Verification(source.to_string())
                }
                error => error,
            }
        })
    }

    /// The bytes from `first` on. Targets are compared with their digests where they are read whole.
    pub fn stream(&self, first: u64) -> io::Result<Stream> {
        let mut segments = VecDeque::new();
        let mut skip = first;
        let mut add = |segment: Segment| {
            if let Some(rest) = segment.after(&mut skip) {
                segments.push_back(rest);
            }
        };
        for member in &self.members {
            add(Segment::memory(bundle::header(&member.name, member.size).map_err(io::Error::other)?));
            add(match &member.source {
                Source::Memory(bytes) => Segment::memory(bytes.clone()),
                Source::File(path, digest) => {
                    Segment::File { path: path.clone(), first: 0, size: member.size.0, digest: *digest }
                }
            });
            add(Segment::memory(vec![0; usize::try_from(bundle::padding(member.size).0).unwrap_or(0)]));
        }
        add(Segment::memory(bundle::TRAILER.to_vec()));
        Ok(Stream { segments, open: None })
    }
}

/// Everything a client that knows only the first root needs, byte for byte as it was verified.
fn metadata(depot: &Depot, state: &State) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    let mut add = |name: String, bytes: Vec<u8>| members.push(in_memory(format!("{METADATA}{name}"), bytes));
    let newest = state.verified.root().version();
    for version in newest.saturating_sub(formats::tuf::MAX_ROOTS)..=newest {
        let name = format!("{version}.root.json");
        let path = depot.metadata(&name);
        match fs::read(&path) {
            Ok(bytes) => add(name, bytes),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(Error::io("read", path)(cause)),
        }
    }
    for (name, bytes) in state.verified.kept().iter().filter(|(name, _)| *name != "root.json") {
        let role = name.trim_end_matches(".json");
        let versioned = match role {
            "timestamp" => name.clone(),
            _ => format!("{}.{name}", state.draft.document(role)?.version()),
        };
        add(versioned, bytes.clone());
    }
    Ok(members)
}

/// What to read before a package, and the package.
fn package(depot: &Depot, state: &State, id: &PackageId) -> Result<Vec<Member>> {
    let texts = [id.notes_target(), id.eula_target()];
    let there = texts.iter().filter(|name| state.verified.target(name).is_some());
    there.chain([&id.target()]).map(|name| target(depot, state, name)).collect()
}

fn target(depot: &Depot, state: &State, name: &str) -> Result<Member> {
    let wrong =
        |problem: &str| Error::Verification(format!("depot \"{}\": {name} {problem}", depot.folder().display()));
    let target = state.verified.target(name).ok_or_else(|| wrong("is not signed for"))?;
    let path = depot.target(&target.path(name));
    match fs::metadata(&path) {
        Ok(about) if about.is_file() && about.len() == target.length.0 => {}
        Ok(_) => return Err(wrong("is not the file that was signed for; see: bulkhead depot lint")),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(wrong("is missing; see: bulkhead depot lint"));
        }
        Err(cause) => return Err(Error::io("read", path)(cause)),
    }
    let source = Source::File(path, target.digest);
    Ok(Member { name: format!("{TARGETS}{}", target.path(name)), size: target.length, source })
}

fn in_memory(name: String, bytes: Vec<u8>) -> Member {
    Member { name, size: Bytes(bytes.len() as u64), source: Source::Memory(bytes) }
}

/// A bundle, or the rest of one, as it is read.
#[derive(Debug)]
pub struct Stream {
    segments: VecDeque<Segment>,
    open: Option<Open>,
}

#[derive(Debug)]
enum Segment {
    Memory(Cursor<Vec<u8>>),
    File { path: PathBuf, first: u64, size: u64, digest: Digest },
}

/// The segment that is read now.
#[derive(Debug)]
enum Open {
    Memory(Cursor<Vec<u8>>),
    File { path: PathBuf, left: io::Take<File>, account: Option<(Hashing, Digest)> },
}

/// Keeps the state of a digest out of what is printed for debugging.
#[derive(Default)]
struct Hashing(Hasher);

impl std::fmt::Debug for Hashing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hashing")
    }
}

impl Segment {
    fn memory(bytes: Vec<u8>) -> Self {
        Self::Memory(Cursor::new(bytes))
    }

    /// What is left of it behind `skip` bytes, which become fewer; nothing when all of it lies before.
    fn after(mut self, skip: &mut u64) -> Option<Self> {
        let length = match &self {
            Self::Memory(bytes) => bytes.get_ref().len() as u64,
            Self::File { size, .. } => *size,
        };
        if *skip >= length {
            *skip -= length;
            return None;
        }
        match &mut self {
            Self::Memory(bytes) => bytes.set_position(*skip),
            Self::File { first, .. } => *first = *skip,
        }
        *skip = 0;
        Some(self)
    }

    fn open(self) -> io::Result<Open> {
        match self {
            Self::Memory(bytes) => Ok(Open::Memory(bytes)),
            Self::File { path, first, size, digest } => {
                let mut file = File::open(&path)?;
                file.seek(SeekFrom::Start(first))?;
                let account = (first == 0).then(|| (Hashing::default(), digest));
                Ok(Open::File { path, left: file.take(size - first), account })
            }
        }
    }
}

impl Open {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(bytes) => bytes.read(buffer),
            Self::File { path, left, account } => {
                let count = left.read(buffer)?;
                if let Some((hasher, _)) = account {
                    hasher.0.update(buffer.get(..count).unwrap_or_default());
                }
                if count == 0 && left.limit() > 0 {
                    return Err(damaged(path, "is shorter than what was signed for"));
                }
                let whole = account.take_if(|_| left.limit() == 0);
                if whole.is_some_and(|(hasher, digest)| hasher.0.finish() != digest) {
                    return Err(damaged(path, "is not the file that was signed for"));
                }
                Ok(count)
            }
        }
    }
}

fn damaged(path: &Path, problem: &str) -> io::Error {
    let text = format!("\"{}\" {problem}; see: bulkhead depot lint", path.display());
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if self.open.is_none() {
                let Some(segment) = self.segments.pop_front() else { return Ok(0) };
                self.open = Some(segment.open()?);
            }
            let count = self.open.as_mut().map_or(Ok(0), |open| open.read(buffer))?;
            if count > 0 {
                return Ok(count);
            }
            self.open = None;
        }
        Ok(0)
    }
}
