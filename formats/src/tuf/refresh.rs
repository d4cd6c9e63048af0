//! The workflow of a client (specification, section 5): from the newest root known to the files of every role.

use std::collections::BTreeMap;

use super::metadata::{Listing, Named, Root, Target, Targets};
use super::{MAX_ROOT, MAX_ROOTS, MAX_SNAPSHOT, MAX_TARGETS, MAX_TIMESTAMP, Refusal, Why};

/// The metadata that was verified last, byte for byte, by the name of the file without its version; `root.json` is always there. Whoever
/// keeps it must keep others from changing it: it is what rollbacks are noticed by.
pub type Kept = BTreeMap<String, Vec<u8>>;

/// What is to be thought of metadata whose last second has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It is refused: somebody may be holding newer metadata back.
    Required {
        /// The time, seconds since 1970.
        now: i64,
    },
    /// It is taken: an operator has decided so, who holds the depot on a medium of known age. Rollbacks are refused all the same.
    Waived,
}

/// A depot whose metadata was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depot {
    root: Root,
    targets: Targets,
    roles: BTreeMap<String, Targets>,
    kept: Kept,
    expires: i64,
}

/// Why a depot could not be refreshed. Nothing of it is to be used, and what was kept stays good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble<E> {
    /// A file could not be fetched.
    #[error("{0}")]
    Fetch(E),
    /// A file was not believed.
    #[error("{0}")]
    Refused(#[from] Refusal),
}

/// Gets one file of a depot's metadata, of at most so many bytes; nothing: there is no such file.
pub type Fetch<'a, E> = dyn FnMut(&str, usize) -> Result<Option<Vec<u8>>, E> + 'a;

/// Verifies a depot. `fetch` gets the name of a file in the depot's folder of metadata and the most bytes it may return; nothing: there is no
/// such file. What is known already is not fetched again: an unchanged depot costs the root that is not there, and the timestamp.
///
/// # Errors
/// [`Trouble`]. The new roots found until then are in nothing that is returned: the next refresh finds them again.
pub fn refresh<'a, E>(kept: &'a Kept, freshness: Freshness, fetch: &'a mut Fetch<'a, E>) -> Result<Depot, Trouble<E>> {
    Refresh { kept, new: Kept::new(), freshness, fetch, expires: i64::MAX }.run()
}

struct Refresh<'a, E> {
    kept: &'a Kept,
    new: Kept,
    freshness: Freshness,
    fetch: &'a mut Fetch<'a, E>,
    expires: i64,
}

impl<E> Refresh<'_, E> {
    fn run(mut self) -> Result<Depot, Trouble<E>> {
        let (first, root) = self.root()?;
        // A root that takes the keys of timestamp or snapshot away says that their versions may have been driven up by a thief.
        let same = first.timestamp == root.timestamp && first.snapshot == root.snapshot;
        let known_timestamp = self.known("timestamp.json", same, |bytes| Listing::timestamp(bytes, &root.timestamp));
        let known_snapshot =
            self.known("snapshot.json", same, |bytes| Listing::snapshot("snapshot.json", bytes, &root.snapshot));

        let timestamp = self.timestamp(&root, known_timestamp.as_ref())?;
        let snapshot = self.snapshot(&root, &timestamp, known_snapshot.as_ref())?;
        let targets =
            self.targets("targets.json", &snapshot, |file, bytes| Targets::verified(file, bytes, &root.targets))?;
        let mut roles = BTreeMap::new();
        for delegation in targets.delegations() {
            let name = format!("{}.json", delegation.name);
            let role =
                self.targets(&name, &snapshot, |file, bytes| Targets::verified(file, bytes, &delegation.keys))?;
            if !role.delegations().is_empty() {
                return Err(Refusal::new(&name, Why::Malformed, "it delegates further, which is not understood").into());
            }
            if let Some(target) = role.files().keys().find(|target| !delegation.covers(target)) {
                let target = crate::json::shown(target);
                return Err(Refusal::new(
                    &name,
                    Why::Malformed,
                    format!("it speaks for \"{target}\", which it may not"),
                )
                .into());
            }
            roles.insert(delegation.name.clone(), role);
        }
        Ok(Depot { root, targets, roles, kept: self.new, expires: self.expires })
    }

    /// The root known, and the newest one.
    fn root(&mut self) -> Result<(Root, Root), Trouble<E>> {
        let Some(bytes) = self.kept.get("root.json") else {
            return Err(Refusal::new("root.json", Why::Missing, "there is no trusted root to begin with").into());
        };
        let first = Root::trusted(bytes)?;
        let (mut root, mut newest) = (first.clone(), bytes.clone());
        for _ in 0..MAX_ROOTS {
            let name = format!("{}.root.json", root.version().saturating_add(1));
            let Some(bytes) = (self.fetch)(&name, MAX_ROOT).map_err(Trouble::Fetch)? else {
                self.check_fresh("root.json", root.expires())?;
                self.new.insert("root.json".into(), newest);
                return Ok((first, root));
            };
            root = root.next(&bytes)?;
            newest = bytes;
        }
        let problem = format!("more than {MAX_ROOTS} roots one after the other");
        Err(Refusal::new("root.json", Why::TooLong, problem).into())
    }

    /// What a kept file says, unless its keys have changed since.
    fn known(&self, file: &str, same: bool, read: impl Fn(&[u8]) -> Result<Listing, Refusal>) -> Option<Listing> {
        self.kept.get(file).filter(|_| same).and_then(|bytes| read(bytes).ok())
    }

    fn timestamp(&mut self, root: &Root, known: Option<&Listing>) -> Result<Listing, Trouble<E>> {
        let file = "timestamp.json";
        let bytes = self.fetched(file, MAX_TIMESTAMP)?;
        let timestamp = Listing::timestamp(&bytes, &root.timestamp)?;
        if let Some(known) = known {
            not_older(file, timestamp.header.version, known.header.version)?;
            for (name, named) in &known.files {
                let now = timestamp.files.get(name).map_or(0, |now| now.version);
                not_older(name, now, named.version)?;
            }
        }
        self.check_fresh(file, timestamp.header.expires)?;
        self.new.insert(file.into(), bytes);
        Ok(timestamp)
    }

    fn snapshot(&mut self, root: &Root, timestamp: &Listing, known: Option<&Listing>) -> Result<Listing, Trouble<E>> {
        let file = "snapshot.json";
        let Some(named) = timestamp.files.get(file) else {
            return Err(Refusal::new(file, Why::Missing, "the timestamp does not name it").into());
        };
        let bytes = self.named(file, named, MAX_SNAPSHOT)?;
        let snapshot = Listing::snapshot(file, &bytes, &root.snapshot)?;
        named.check_version(file, snapshot.header)?;
        for (name, before) in known.iter().flat_map(|known| &known.files) {
            let now = snapshot.files.get(name).map_or(0, |now| now.version);
            not_older(name, now, before.version)?;
        }
        self.check_fresh(file, snapshot.header.expires)?;
        self.new.insert(file.into(), bytes);
        Ok(snapshot)
    }

    fn targets(
        &mut self,
        file: &str,
        snapshot: &Listing,
        read: impl Fn(&str, &[u8]) -> Result<Targets, Refusal>,
    ) -> Result<Targets, Trouble<E>> {
        let Some(named) = snapshot.files.get(file) else {
            return Err(Refusal::new(file, Why::Missing, "the snapshot does not name it").into());
        };
        let bytes = self.named(file, named, MAX_TARGETS)?;
        let targets = read(file, &bytes)?;
        named.check_version(file, targets.header)?;
        self.check_fresh(file, targets.header.expires)?;
        self.new.insert(file.into(), bytes);
        Ok(targets)
    }

    /// A file that a signed one names: the kept one where it is the same. That it is the named version is checked once it is verified; with
    /// a digest in the name there is no other.
    fn named(&mut self, file: &str, named: &Named, limit: usize) -> Result<Vec<u8>, Trouble<E>> {
        if let Some(bytes) = self.kept.get(file).filter(|bytes| named.is(bytes)) {
            return Ok(bytes.clone());
        }
        let bytes = self.fetched(&format!("{}.{file}", named.version), named.limit(limit))?;
        named.check(file, &bytes)?;
        Ok(bytes)
    }

    fn fetched(&mut self, name: &str, limit: usize) -> Result<Vec<u8>, Trouble<E>> {
        let bytes = (self.fetch)(name, limit).map_err(Trouble::Fetch)?;
        let bytes = bytes.ok_or_else(|| Refusal::new(name, Why::Missing, "the depot does not have it"))?;
        if bytes.len() > limit {
            let problem = format!("{} bytes; at most {limit} are allowed", bytes.len());
            return Err(Refusal::new(name, Why::TooLong, problem).into());
        }
        Ok(bytes)
    }

    fn check_fresh(&mut self, file: &str, expires: i64) -> Result<(), Refusal> {
        self.expires = self.expires.min(expires);
        match self.freshness {
            Freshness::Required { now } if now > expires => {
                let day = crate::manifest::Date::of_unix(expires).map(|day| day.to_string()).unwrap_or_default();
                Err(Refusal::new(file, Why::Expired, format!("it was good until {day}")))
            }
            _ => Ok(()),
        }
    }
}

fn not_older(file: &str, now: u64, before: u64) -> Result<(), Refusal> {
    if now >= before {
        return Ok(());
    }
    Err(Refusal::new(file, Why::Rollback, format!("version {now}; version {before} was seen before")))
}

impl Depot {
    /// The newest root.
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// The top-level targets, which say who signs packages.
    pub const fn targets(&self) -> &Targets {
        &self.targets
    }

    /// What a delegated role says.
    pub fn role(&self, name: &str) -> Option<&Targets> {
        self.roles.get(name)
    }

    /// One file of the depot, whichever role speaks for it. Paths of two roles that overlap: the first one named has the word.
    pub fn target(&self, name: &str) -> Option<&Target> {
        let own = self.targets.files().get(name);
        own.or_else(|| {
            let role = self.targets.delegations().iter().find(|delegation| delegation.covers(name))?;
            self.roles.get(&role.name)?.files().get(name)
        })
    }

    /// What to keep for the next refresh.
    pub const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The second, since 1970, until which all of it is good.
    pub const fn expires(&self) -> i64 {
        self.expires
    }
}

impl Target {
    /// The path below the depot's folder of targets.
    pub fn path(&self, name: &str) -> String {
        path(name, &hex::encode(self.digest.0))
    }
}

/// Where the target of this name and digest, hexadecimal, lies below the folder of targets of a depot with consistent snapshots: its digest
/// stands before the last part of its name.
pub fn path(name: &str, digest: &str) -> String {
    match name.rsplit_once('/') {
        Some((folder, file)) => format!("{folder}/{digest}.{file}"),
        None => format!("{digest}.{name}"),
    }
}
