//! The certificates of the appliance: what lies in their folder, and what is bound.
//!
//! A certificate is one file with its chain and its key, called by its fingerprint, so it is there whole or not at all, and the list is
//! what lies there. `bindings.json` says to whom each is shown. Every change is one replacement of one file, and the order of two
//! changes is such that a power cut between them leaves something that is complete: a certificate is kept before anything is bound to
//! it, and unbound before it is removed.
//!
//! A file that went bad is told and never shown to a client; what is bound to it is served with the appliance's own certificate, so that
//! the console can be reached.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use formats::Digest;

use super::binding::{Bindings, Place};
use super::entry::Entry;
use super::folder::{Directory, Folder};
use super::self_signed::{self, Names};
use super::serving::{Identity, Serving};
use super::trouble::Trouble;
use crate::error::{Doing, Error, Result};

/// The certificates of one appliance.
#[derive(Clone)]
pub struct Store {
    pub(super) folder: Arc<dyn Folder>,
    /// One change at a time. In it what could not be written: the own certificate of an appliance with a full data partition.
    unwritten: Arc<Mutex<Option<Entry>>>,
}

/// Something in the folder.
pub struct Kept {
    /// The name of its file.
    pub file: String,
    /// What is in it; why it is not believed.
    pub content: std::result::Result<Entry, String>,
}

impl Store {
    /// That of the data partition mounted at `data`.
    pub fn new(data: &Path) -> Self {
        Self::over(Arc::new(Directory::new(data)))
    }

    /// Over a folder that may be simulated.
    pub fn over(folder: Arc<dyn Folder>) -> Self {
        Self { folder, unwritten: Arc::default() }
    }

    /// Everything that lies there, the appliance's own certificate first.
    pub fn list(&self) -> Result<Vec<Kept>> {
        let names = self.folder.names().doing(|| "list the certificates".into())?;
        let (own, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name == OWN);
        let others = others.into_iter().filter(|name| fingerprint(name).is_some());
        Ok(own.into_iter().chain(others).map(|file| Kept { content: self.read(&file), file }).collect())
    }

    /// The certificate whose fingerprint begins so, at least four digits, colons and capitals allowed; `self-signed` is the appliance's
    /// own.
    pub fn find(&self, wanted: &str) -> Result<Entry> {
        if wanted == SELF_SIGNED {
            return self.read_or_damaged(OWN);
        }
        let digits: String =
            wanted.chars().filter(|letter| *letter != ':').take(80).collect::<String>().to_ascii_lowercase();
        let unknown = || Trouble::None(format!("\"{}\"", wanted.chars().take(80).collect::<String>().escape_debug()));
        if digits.len() < SHORTEST || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(unknown().into());
        }
        let names = self.folder.names().doing(|| "list the certificates".into())?;
        let mut fitting = names.iter().filter(|name| fingerprint(name).is_some() && name.starts_with(&digits));
        let found = match (fitting.next(), fitting.next()) {
            (Some(one), None) => self.read_or_damaged(one)?,
            (Some(_), Some(_)) => return Err(Trouble::Ambiguous(digits).into()),
            (None, _) => {
                let own = self.read(OWN).ok().filter(|own| own.fingerprint().to_string().starts_with(&digits));
                own.ok_or_else(unknown)?
            }
        };
        Ok(found)
    }

    /// The certificate with this fingerprint, if it is here and whole.
    pub fn entry(&self, certificate: Digest) -> Option<Entry> {
        self.read(&file_of(certificate)).ok()
    }

    /// Keeps a certificate, in the place of the same with less.
    pub fn keep(&self, entry: &Entry) -> Result<()> {
        let _alone = self.alone();
        self.put(&file_of(entry.fingerprint()), entry.encode().as_bytes())
    }

    /// Writes a file with a key, while there is room.
    pub(super) fn put(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let names = self.folder.names().doing(|| "list the certificates".into())?;
        let there = names.iter().any(|name| name == file);
        if !there && names.iter().filter(|name| name.ends_with(ENDING)).count() >= LIMIT {
            return Err(Trouble::Full.into());
        }
        self.folder.replace(file, bytes).doing(|| format!("write the certificate \"{file}\""))
    }

    /// Removes a certificate that is bound nowhere.
    pub fn remove(&self, certificate: Digest) -> Result<()> {
        let _alone = self.alone();
        let bound = self.bindings()?.places(certificate);
        if !bound.is_empty() {
            return Err(Trouble::Bound { certificate, bound }.into());
        }
        let file = file_of(certificate);
        self.folder.remove(&file).doing(|| format!("remove the certificate \"{file}\""))
    }

    /// What is bound.
    pub fn bindings(&self) -> Result<Bindings> {
        let damaged = |why| Trouble::Damaged {
            file: BINDINGS.into(),
            why,
            cure: "bind a certificate: that makes it anew, and what was bound before is forgotten",
        };
        match self.folder.read(BINDINGS) {
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(Bindings::default()),
            bytes => {
                Ok(Bindings::parse(&bytes.doing(|| "read the bindings of certificates".into())?).map_err(damaged)?)
            }
        }
    }

    /// Binds a certificate that has a key; with nothing, unbinds. The one that was bound there before.
    pub fn bind(&self, place: Place, certificate: Option<Digest>) -> Result<Option<Digest>> {
        let _alone = self.alone();
        if let Some(certificate) = certificate {
            let entry = self.read_or_damaged(&file_of(certificate))?;
            entry.key.ok_or(Trouble::NoKey(certificate))?;
        }
        // What is lost is lost, and to bind something is the way out of it.
        let mut bindings = self.bindings().or_else(|problem| match certificate {
            Some(_) => Ok(Bindings::default()),
            None => Err(problem),
        })?;
        let before = bindings.set(place, certificate).map_err(Error::Usage)?;
        let doing = || "write the bindings of certificates".to_owned();
        let bytes = serde_json::to_vec_pretty(&bindings).doing(doing)?;
        self.folder.replace(BINDINGS, &bytes).doing(doing)?;
        Ok(before)
    }

    /// What servers show. Where nothing is bound by default, the appliance's own certificate is made, and made anew when its names are
    /// not `names` any more or it nears its end; `now` are seconds since 1970.
    pub fn serving(&self, names: &Names, now: i64) -> Result<Serving> {
        let mut unwritten = self.alone();
        let mut problems = Vec::new();
        let bindings = self.bindings().unwrap_or_else(|problem| {
            problems.push(problem.to_string());
            Bindings::default()
        });
        let mut bound = |place: Place, certificate: &Digest| {
            let identity = self
                .read(&file_of(*certificate))
                .and_then(|entry| Identity::of(&entry).ok_or_else(|| "it has no private key".into()));
            identity.map_err(|why| problems.push(format!(
                "the certificate {certificate} that is to be shown to {place} cannot be used: {why}; import it again or bind another one"
            ))).ok()
        };
        let default = bindings.default.as_ref().and_then(|certificate| bound(Place::Default, certificate));
        let mut by_name = BTreeMap::new();
        for (name, certificate) in &bindings.names {
            by_name.extend(bound(Place::Name(name.clone()), certificate).map(|identity| (name.clone(), identity)));
        }
        let mut by_address = BTreeMap::new();
        for (address, certificate) in &bindings.addresses {
            by_address.extend(bound(Place::Address(*address), certificate).map(|identity| (*address, identity)));
        }
        let default = if let Some(identity) = default {
            identity
        } else {
            let own = self.own(&mut unwritten, names, now, &mut problems)?;
            Identity::of(&own).ok_or_else(|| Error::Bug("a certificate without its key was made".into()))?
        };
        let change = Digest([0; 32]);
        Ok(Serving { change, default, names: by_name, addresses: by_address, problems }.stamped())
    }

    /// The appliance's own certificate, made when there is none that does.
    fn own(&self, unwritten: &mut Option<Entry>, names: &Names, now: i64, problems: &mut Vec<String>) -> Result<Entry> {
        let does =
            |entry: &Entry| entry.key.is_some() && self_signed::still_does(entry.certificate.facts(), names, now);
        if let Ok(entry) = self.read(OWN)
            && does(&entry)
        {
            return Ok(entry);
        }
        let entry = if let Some(entry) = unwritten.take().filter(does) {
            entry
        } else {
            let (certificate, key) = self_signed::make(names, now)?;
            Entry { certificate, chain: Vec::new(), key: Some(key) }
        };
        if let Err(problem) = self.folder.replace(OWN, entry.encode().as_bytes()) {
            // A console that shows another certificate after each restart is better than none.
            problems.push(format!(
                "the appliance's own certificate cannot be written, and is another one after a restart: {problem}"
            ));
            *unwritten = Some(entry.clone());
        }
        Ok(entry)
    }

    pub(super) fn read(&self, file: &str) -> std::result::Result<Entry, String> {
        let bytes = self.folder.read(file).map(zeroize::Zeroizing::new).map_err(|problem| problem.to_string())?;
        let entry = Entry::parse(&bytes)?;
        if fingerprint(file).is_some_and(|named| named != entry.fingerprint()) {
            return Err(format!("it holds the certificate {}", entry.fingerprint()));
        }
        Ok(entry)
    }

    fn read_or_damaged(&self, file: &str) -> Result<Entry> {
        let names = self.folder.names().doing(|| "list the certificates".into())?;
        if !names.iter().any(|name| name == file) {
            return Err(Trouble::None(file.trim_end_matches(ENDING).into()).into());
        }
        let cure = "delete it and import it again";
        Ok(self.read(file).map_err(|why| Trouble::Damaged { file: file.into(), why, cure })?)
    }

    pub(super) fn alone(&self) -> MutexGuard<'_, Option<Entry>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn file_of(certificate: Digest) -> String {
    format!("{certificate}{ENDING}")
}

/// The fingerprint a file is called by.
fn fingerprint(file: &str) -> Option<Digest> {
    file.strip_suffix(ENDING)?.parse().ok()
}

/// Most files with keys.
pub const LIMIT: usize = 64;
/// What the appliance's own certificate is called.
pub const SELF_SIGNED: &str = "self-signed";
const OWN: &str = "self-signed.pem";
const BINDINGS: &str = "bindings.json";
pub(super) const ENDING: &str = ".pem";
/// Fewest digits of a fingerprint.
const SHORTEST: usize = 4;
