//! Making a backup: a file beside its name, complete and flushed before it has it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use formats::backup::{self, Contents, Error as FormatError, FORMAT, Made};
use formats::digest::Hasher;
use formats::error::Damage;
use formats::{Bytes, Digest, Error as Format, age};

use super::Lock;
use super::collect::{Wanted, collect};
use super::trouble::{told, told_of_age};
use crate::chance;
use crate::error::{Doing, Error, Result};
use crate::plain_file;
use crate::slot::{Phase, Progress};

/// What a backup says of where it comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The product line.
    pub product: String,
    /// What makes it.
    pub made: Made,
    /// When, seconds since 1970.
    pub created: i64,
}

/// A backup that was made.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its table of contents.
    pub contents: Contents,
    /// Length of the file.
    pub bytes: u64,
    /// Of the file.
    pub sha256: Digest,
}

/// Makes a backup of the data partition mounted at `data`, called `to`, whose folder must exist and which must not. `reserve`: bytes that have
/// to stay free there.
///
/// A file that changes while it is read is tried again, and is left out by name when it changes each time.
pub fn make(
    data: &Path,
    to: &Path,
    wanted: &Wanted,
    lock: &Lock,
    origin: &Origin,
    reserve: Bytes,
    progress: Progress<'_>,
) -> Result<Written> {
    let mut wanted = wanted.clone();
    let mut unruly: BTreeSet<String> = BTreeSet::new();
    loop {
        let found = collect(data, &wanted)?;
        let contents = Contents {
            format: FORMAT,
            product: origin.product.clone(),
            made: origin.made.clone(),
            created: origin.created,
            scopes: wanted.scopes.clone(),
            history: wanted.history,
            limits: wanted.limits,
            settings: wanted.scopes.contains(&backup::Scope::Appliance).then(|| found.settings()),
            parts: found.parts,
            folders: found.folders,
            files: found.files,
            excluded: found.excluded,
        };
        check_room(to, &contents, reserve)?;
        let mut current = String::new();
        match write(data, to, &contents, lock, &mut current, progress) {
            Err(Failure::Changed) => {
                // The second time it is left out.
                if !unruly.insert(current.clone()) {
                    wanted.changing.insert(current);
                }
                if unruly.len() > UNRULY {
                    return Err(io::Error::other("too many files change while they are read"))
                        .doing(|| "make a backup".into());
                }
            }
            Err(Failure::Other(problem)) => return Err(problem),
            Ok((bytes, sha256)) => return Ok(Written { contents, bytes, sha256 }),
        }
    }
}

enum Failure {
    /// The file that was read last is another one than a moment ago.
    Changed,
    Other(Error),
}

impl From<Error> for Failure {
    fn from(problem: Error) -> Self {
        Self::Other(problem)
    }
}

fn write(
    data: &Path,
    to: &Path,
    contents: &Contents,
    lock: &Lock,
    current: &mut String,
    progress: Progress<'_>,
) -> std::result::Result<(u64, Digest), Failure> {
    let name = format!("the backup \"{}\"", to.display());
    let beside = to.with_extension("new");
    let doing = || format!("write {name}");
    plain_file::remove_if_there(&beside).doing(doing)?;
    let file = plain_file::open(&beside, OpenOptions::new().write(true).create_new(true).mode(0o600)).doing(doing)?;
    let done = encrypt(data, file, contents, lock, current, progress, &name).and_then(|(file, bytes, digest)| {
        file.sync_all().doing(doing)?;
        // Never in the place of another one.
        if fs::symlink_metadata(to).is_ok() {
            return Err(Failure::Other(Error::System { action: doing(), cause: io::ErrorKind::AlreadyExists.into() }));
        }
        fs::rename(&beside, to).doing(doing)?;
        let folder = to.parent().ok_or(io::ErrorKind::InvalidInput).doing(doing)?;
        File::open(folder).and_then(|folder| folder.sync_all()).doing(doing)?;
        Ok((bytes, digest))
    });
    if done.is_err() {
        // The first problem is the one to report.
        plain_file::remove_if_there(&beside).unwrap_or(());
    }
    done
}

fn encrypt(
    data: &Path,
    file: File,
    contents: &Contents,
    lock: &Lock,
    current: &mut String,
    progress: Progress<'_>,
    name: &str,
) -> std::result::Result<(File, u64, Digest), Failure> {
    let counted = Counted { to: BufWriter::new(file), bytes: 0, hasher: Hasher::default() };
    let sealed = age::seal(counted, lock.as_age(), &mut chance::fill).map_err(|problem| told_of_age(problem, name))?;
    let total = contents.total();
    let open = |file: &backup::File| {
        current.clone_from(&file.path);
        plain_file::open(&data.join(&file.path), OpenOptions::new().read(true))
    };
    let written = backup::write(sealed, contents, open, |done| progress(Phase::Writing, Bytes(done), total));
    let sealed = written.map_err(|problem| match problem {
        FormatError::Format(Format::Corrupt { why: Damage::DigestMismatch, .. }) => Failure::Changed,
        FormatError::Io(problem) if problem.kind() == io::ErrorKind::NotFound => Failure::Changed,
        other => Failure::Other(told(other, name)),
    })?;
    let counted = sealed.finish().map_err(|problem| told_of_age(problem, name))?;
    let file = counted.to.into_inner().map_err(io::IntoInnerError::into_error).doing(|| format!("write {name}"))?;
    Ok((file, counted.bytes, counted.hasher.finish()))
}

/// Refuses before the first byte what has no room for its last one.
fn check_room(to: &Path, contents: &Contents, reserve: Bytes) -> Result<()> {
    let folder = to.parent().unwrap_or(to);
    let free = plain_file::free(folder).doing(|| format!("measure the free space of \"{}\"", folder.display()))?;
    let files = contents.files.len() as u64;
    // Headers, paddings and the table beside the content; encryption adds less than a thousandth.
    let length = contents.total().0.saturating_add(files.saturating_mul(4096)).saturating_add(1 << 20);
    let needed = Bytes(length.saturating_add(reserve.0));
    if needed <= free {
        return Ok(());
    }
    Err(Error::NoRoom { what: "a backup".into(), needed, free, place: folder.into() })
}

/// Counts and hashes what is written.
struct Counted<W> {
    to: W,
    bytes: u64,
    hasher: Hasher,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Files that change while they are read before it is given up.
const UNRULY: usize = 64;
