//! Packages waiting on the data partition to be installed: copied whole, checked whole, named by what was signed.
//!
//! A package gets its name only when the copy is complete, on the medium and checked to its last byte; a cut copy is called `.new` and
//! removed when the agent starts again, or by the next one. Nothing is believed because it lies here: whoever had the disk in hand may have put it there, so each use
//! checks the whole package again. What is listed is read from the packages, never from a record beside them.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use formats::catalogue::Entry;
use formats::digest::Hasher;
use formats::trust::TrustStore;
use formats::tuf::{Refusal, Target, Why};
use formats::{Bytes, Digest};
use serde::{Deserialize, Serialize};

use crate::depot::Trouble;
use crate::error::{Doing, Error, Result};
use crate::journal::Release;
use crate::plain_file;
use crate::reader::Program;
use crate::slot::{Phase, Progress};
use crate::source::{PackageFile, Source};

/// The staged packages of one appliance.
pub struct Staging {
    folder: PathBuf,
    reserve: Bytes,
}

/// One of them, or what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Staged {
    /// The first 16 hexadecimal digits of the SHA-256 of its manifest.
    pub id: String,
    /// Length of the file.
    pub bytes: u64,
    /// What it is, when its signatures hold today.
    pub release: Option<Release>,
    /// Why there is no release.
    pub problem: Option<String>,
}

impl Staged {
    /// Whether it is this package of a depot. One build may be released under two versions, and it is the version that somebody wants.
    pub fn is(&self, entry: &Entry) -> bool {
        self.release.as_ref().is_some_and(|release| {
            (release.kind, &release.name, release.build_id) == (entry.kind, &entry.name, entry.build_id)
                && release.version == entry.version.to_string()
        })
    }
}

impl Staging {
    /// Those under `data`, the mounted data partition.
    pub fn new(data: &Path) -> Self {
        Self { folder: data.join("bulkhead/staged"), reserve: RESERVE }
    }

    /// The same, leaving so much room for everything else.
    #[must_use]
    pub fn with_reserve(self, reserve: Bytes) -> Self {
        Self { reserve, ..self }
    }

    /// Copies a package in. `file` is at its beginning. Returns its id and what it is.
    pub fn stage(
        &self,
        mut file: File,
        name: &str,
        trust: &TrustStore,
        program: &Program,
        progress: Progress<'_>,
    ) -> Result<(String, Release)> {
        // Signatures and length first: no space is given to what would be refused anyway.
        let length = Bytes(file.metadata().doing(|| format!("measure {name}"))?.len());
        let checked = PackageFile::glance(file.try_clone().doing(|| format!("open {name}"))?, name, trust, program)?;
        let (id, release) = (id(&checked), Release::from(checked.verified().manifest()));
        drop(checked);
        self.prepare()?;
        // The same package once more takes the place of itself.
        let more = usize::from(!self.path(&id)?.exists());
        self.check_count(name, more)?;
        self.check_room(name, length)?;
        file.rewind().doing(|| format!("read {name}"))?;
        let beside = self.folder.join(UNFINISHED);
        let result = self.copy(&mut file, &beside, length, name, progress).and_then(|()| {
            let copy = format!("the copy of {name}");
            let read = plain_file::open(&beside, OpenOptions::new().read(true)).doing(|| format!("open {copy}"))?;
            let package = PackageFile::read(read, &copy, trust, program)?;
            if self::id(&package) != id {
                return Err(Error::Source(format!("{name} changed while it was copied")));
            }
            // Complete and flushed before it has its name; the name is flushed before anybody is told.
            fs::rename(&beside, self.path(&id)?).doing(|| format!("name {copy}"))?;
            File::open(&self.folder).and_then(|folder| folder.sync_all()).doing(|| "flush the staged packages".into())
        });
        if result.is_err() {
            plain_file::remove_if_there(&beside).doing(|| format!("remove \"{}\"", beside.display()))?;
        }
        result.map(|()| (id, release))
    }

    /// Where a package is fetched to whose bytes have this digest, with room for as much of it as is missing. What was fetched of others
    /// is removed.
    pub fn room_for(&self, digest: Digest, missing: impl FnOnce(&Path) -> Bytes, name: &str) -> Result<PathBuf> {
        self.prepare()?;
        let path = self.folder.join(format!("{}{PART}", digest.short()));
        for other in self.parts()?.into_iter().filter(|other| *other != path) {
            plain_file::remove_if_there(&other).doing(|| format!("remove \"{}\"", other.display()))?;
        }
        self.check_count(name, 1)?;
        self.check_room(name, missing(&path))?;
        Ok(path)
    }

    /// Takes a package in that was fetched to `path`, of [`Staging::room_for`], once it is checked whole. One that is refused is removed.
    pub fn adopt(&self, path: &Path, name: &str, trust: &TrustStore, program: &Program) -> Result<(String, Release)> {
        let result = plain_file::open(path, OpenOptions::new().read(true))
            .doing(|| format!("open {name}"))
            .and_then(|file| PackageFile::read(file, name, trust, program));
        match result {
            Ok(package) => {
                let id = id(&package);
                // It was flushed when it was complete; the name is flushed before anybody is told.
                fs::rename(path, self.path(&id)?).doing(|| format!("name {name}"))?;
                File::open(&self.folder)
                    .and_then(|folder| folder.sync_all())
                    .doing(|| "flush the staged packages".into())?;
                Ok((id, Release::from(package.verified().manifest())))
            }
            Err(problem) => {
                plain_file::remove_if_there(path).doing(|| format!("remove \"{}\"", path.display()))?;
                Err(problem)
            }
        }
    }

    /// Removes what was fetched in part of packages whose digest, in short, is none to go on with.
    pub fn drop_parts(&self, unwanted: impl Fn(&str) -> bool) -> Result<()> {
        for part in self.parts()? {
            if part.file_stem().and_then(|stem| stem.to_str()).is_none_or(&unwanted) {
                plain_file::remove_if_there(&part).doing(|| format!("remove \"{}\"", part.display()))?;
            }
        }
        Ok(())
    }

    /// Refuses before the first byte what has no room for its last one, or has too many packages. `name` names all of it.
    pub fn room_for_all(&self, name: &str, count: usize, length: Bytes) -> Result<()> {
        self.prepare()?;
        self.check_count(name, count)?;
        self.check_room(name, length)
    }

    /// Copies a package in from something else that holds it, whose bytes have to be `target`'s, and takes it in once it is checked whole.
    /// `place` names what holds it.
    pub fn take_in(
        &self,
        from: impl Read,
        target: &Target,
        (name, place): (&str, &str),
        (trust, program): (&TrustStore, &Program),
        progress: Progress<'_>,
    ) -> Result<(String, Release)> {
        self.room_for_all(name, 1, target.length)?;
        let beside = self.folder.join(UNFINISHED);
        let mut from = Hashed { from, hasher: Hasher::default() };
        let copied = self.copy(&mut from, &beside, target.length, name, progress);
        // A copy that ends too early has another digest.
        if copied.is_ok() && from.hasher.finish() == target.digest {
            return self.adopt(&beside, name, trust, program);
        }
        plain_file::remove_if_there(&beside).doing(|| format!("remove \"{}\"", beside.display()))?;
        copied?;
        let problem = "its SHA-256 is not the one that was signed for".into();
        Err(Trouble::Refused {
            refusal: Refusal { file: name.into(), why: Why::Mismatch, problem },
            place: place.into(),
        }
        .into())
    }

    fn parts(&self) -> Result<Vec<PathBuf>> {
        let parts = self.names()?.into_iter().filter(|name| name.to_str().is_some_and(|name| name.ends_with(PART)));
        Ok(parts.map(|name| self.folder.join(name)).collect())
    }

    /// Opens one.
    pub fn open(&self, id: &str) -> Result<(File, String)> {
        let path = self.path(id)?;
        match plain_file::open(&path, OpenOptions::new().read(true)) {
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Err(Error::NotStaged(id.into())),
            file => {
                Ok((file.doing(|| format!("open the staged package \"{id}\""))?, format!("staged package \"{id}\"")))
            }
        }
    }

    /// Removes one.
    pub fn discard(&self, id: &str) -> Result<()> {
        match fs::remove_file(self.path(id)?) {
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Err(Error::NotStaged(id.into())),
            removed => removed.doing(|| format!("remove the staged package \"{id}\"")),
        }
    }

    /// All of them, sorted by id.
    pub fn list(&self, trust: &TrustStore, program: &Program) -> Result<Vec<Staged>> {
        let mut ids = self.ids()?;
        // Only somebody else can have put more there.
        ids.truncate(MOST);
        Ok(ids.into_iter().map(|id| self.describe(id, trust, program)).collect())
    }

    /// How much of so many bytes with this digest is still to be fetched.
    pub fn missing(&self, digest: Digest, length: Bytes) -> Bytes {
        let part = self.folder.join(format!("{}{PART}", digest.short()));
        let there = fs::symlink_metadata(part).map_or(0, |part| part.len());
        Bytes(length.0.saturating_sub(there))
    }

    /// What is free where packages are staged, and what has to stay so.
    pub fn space(&self) -> std::io::Result<(Bytes, Bytes)> {
        // The folder is made with the first package.
        let there = self.folder.ancestors().find(|folder| folder.exists()).unwrap_or(&self.folder);
        Ok((plain_file::free(there)?, self.reserve))
    }

    /// Whether there are none. Costs no process.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.ids()?.is_empty())
    }

    fn ids(&self) -> Result<Vec<String>> {
        // Ids are of one length, and in order as the names of their files are.
        let names = self.names()?;
        let ids = names.iter().filter_map(|name| name.to_str()?.strip_suffix(ENDING));
        Ok(ids.filter(|id| is_id(id)).map(str::to_owned).collect())
    }

    fn names(&self) -> Result<Vec<OsString>> {
        plain_file::names(&self.folder).doing(|| format!("list \"{}\"", self.folder.display()))
    }

    /// What is staged is listed by opening each, so there is an end to it.
    fn check_count(&self, name: &str, more: usize) -> Result<()> {
        let count = self.ids()?.len();
        if count.saturating_add(more) <= MOST {
            return Ok(());
        }
        Err(Error::TooManyStaged { name: name.into(), count, most: MOST })
    }

    fn describe(&self, id: String, trust: &TrustStore, program: &Program) -> Staged {
        let found = self.open(&id).and_then(|(file, name)| {
            let length = file.metadata().doing(|| format!("measure {name}"))?.len();
            Ok((length, PackageFile::glance(file, &name, trust, program)))
        });
        match found {
            Ok((bytes, Ok(package))) => {
                let release = Some(Release::from(package.verified().manifest()));
                Staged { id, bytes, release, problem: None }
            }
            Ok((bytes, Err(problem))) => Staged { id, bytes, release: None, problem: Some(problem.to_string()) },
            Err(problem) => Staged { id, bytes: 0, release: None, problem: Some(problem.to_string()) },
        }
    }

    /// Removes what a copy left that was cut off by a power cut or the end of the agent. Call it while nobody copies.
    pub fn tidy(&self) -> Result<()> {
        let cut = self.folder.join(UNFINISHED);
        plain_file::remove_if_there(&cut).doing(|| format!("remove \"{}\"", cut.display()))
    }

    /// Makes the folder, and tidies up after a cut.
    fn prepare(&self) -> Result<()> {
        let doing = || format!("make \"{}\"", self.folder.display());
        fs::create_dir_all(&self.folder).doing(doing)?;
        let metadata = fs::symlink_metadata(&self.folder).doing(doing)?;
        if !metadata.is_dir() {
            return Err(io::Error::other("it is no directory")).doing(doing);
        }
        self.tidy()
    }

    fn check_room(&self, name: &str, length: Bytes) -> Result<()> {
        let space = self.space();
        let (free, _) = space.doing(|| format!("measure the free space of \"{}\"", self.folder.display()))?;
        let needed = Bytes(length.0.saturating_add(self.reserve.0));
        if needed <= free {
            return Ok(());
        }
        let what = format!("staging {name} ({}, and {} to stay free)", up_to_mib(length), up_to_mib(self.reserve));
        Err(Error::NoRoom { what, needed: up_to_mib(needed), free: down_to_mib(free), place: self.folder.clone() })
    }

    fn copy(&self, from: &mut impl Read, to: &Path, length: Bytes, name: &str, progress: Progress<'_>) -> Result<()> {
        let doing = || format!("copy {name} to \"{}\"", self.folder.display());
        let mut copy =
            plain_file::open(to, OpenOptions::new().write(true).create_new(true).mode(0o600)).doing(doing)?;
        let mut piece = vec![0; PIECE];
        let mut done = 0_u64;
        while done < length.0 {
            let read = from.read(&mut piece).doing(|| format!("read {name}"))?;
            if read == 0 {
                break;
            }
            copy.write_all(piece.get(..read).unwrap_or_default()).doing(doing)?;
            done = done.saturating_add(read as u64);
            progress(Phase::Writing, Bytes(done), length);
        }
        copy.sync_all().doing(doing)
    }

    fn path(&self, id: &str) -> Result<PathBuf> {
        if is_id(id) { Ok(self.folder.join(format!("{id}{ENDING}"))) } else { Err(Error::NotStaged(shown(id))) }
    }
}

/// What is read through it is hashed.
struct Hashed<R> {
    from: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(piece)?;
        self.hasher.update(piece.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// The name of a staged package: it follows from what was signed.
fn id(package: &PackageFile) -> String {
    Digest::of(package.manifest()).short()
}

/// Whether this can be the name of a staged package: nothing else ever becomes part of a path.
pub fn is_id(id: &str) -> bool {
    id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Rounded up, for people: whoever makes that much room has made enough.
fn up_to_mib(bytes: Bytes) -> Bytes {
    Bytes(bytes.0.checked_next_multiple_of(MIB).unwrap_or(bytes.0))
}

/// Rounded down, so that what is free never looks like enough when it is not.
fn down_to_mib(bytes: Bytes) -> Bytes {
    Bytes(bytes.0.saturating_sub(bytes.0.checked_rem(MIB).unwrap_or(0)))
}

fn shown(id: &str) -> String {
    id.chars().filter(|c| !c.is_control()).take(32).collect()
}

/// Room on the data partition that staging leaves to journal and application.
const RESERVE: Bytes = Bytes(16 << 20);
/// More packages are not staged, because listing one costs a process; a path bundle has no more either.
pub const MOST: usize = 256;
const ENDING: &str = ".pkg";
/// Of a package that is being fetched.
const PART: &str = ".part";
const UNFINISHED: &str = "package.new";
const PIECE: usize = 1 << 20;
const MIB: u64 = 1 << 20;
