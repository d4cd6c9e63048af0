//! What a depot offers: adding packages, moving them between channels, taking them back.

use std::collections::BTreeMap;
use std::path::Path;

use formats::Digest;
use formats::catalogue::{Entry, Listing, PackageId, Ring, Withdrawal};
use formats::manifest::Date;
use formats::package::Claims;
use formats::signature;
use formats::trust::Role;

use super::edit::Edit;
use super::state::State;
use crate::package::PackageFile;
use crate::verify::verify_package_for;
use crate::{Error, Result};

/// When a listing opens for each ring, in seconds from the change on.
pub type Opens = BTreeMap<String, i64>;

impl Edit<'_> {
    /// Adds a package to the depot, once every signature, digest and chunk of it is what an appliance wants, and lists it in `channel`.
    ///
    /// # Errors
    /// [`Error::Verification`]: an appliance would refuse it. [`Error::Refused`]: another build has this id, or scenarios have not shown of it what
    /// the depot requires.
    pub fn add(&mut self, before: &State, path: &Path, channel: &str, opens: &Opens) -> Result<PackageId> {
        // Verified is the copy, so that nobody can change the file in between.
        let staged = self.stage(&mut PackageFile::open(path)?.reader()?)?;
        let copy = PackageFile::open(&staged.0)?;
        let entry = self.verified(before, path, &copy)?;
        let id = entry.id();
        let role = id.kind().to_string();
        let (name, digest) = (id.target(), hex::encode(staged.1.0));
        let listed = self.draft.document(&role)?.get("targets").get(&name).cloned();
        match listed.as_ref().and_then(|target| target.pointer("/hashes/sha256")?.as_str()) {
            None => {
                let Claims { documents, manifest_bytes, .. } = copy.claims()?;
                let manifest = Digest::of(&manifest_bytes);
                before.policy()?.check(&id.to_string(), id.kind(), &manifest, &self.results, self.now())?;
                let custom = serde_json::to_value(&entry)
                    .map_err(|cause| Error::Bug(format!("cannot encode an entry: {cause}")))?;
                self.list(&role, &name, staged, Some(custom))?;
                let notes = self.stage(&mut documents.notes.as_bytes())?;
                self.list(&role, &id.notes_target(), notes, None)?;
                if let Some(eula) = documents.eula {
                    let eula = self.stage(&mut eula.as_bytes())?;
                    self.list(&role, &id.eula_target(), eula, None)?;
                }
            }
            Some(known) if known == digest => {}
            Some(_) => {
                return Err(Error::Refused(format!(
                    "{id} is in the depot already, as another build; a release never changes, give \"{}\" a new version",
                    path.display()
                )));
            }
        }
        self.promote(&id, channel, opens)?;
        Ok(id)
    }

    /// What the package is, when appliances would take it today.
    fn verified(&self, before: &State, path: &Path, copy: &PackageFile) -> Result<Entry> {
        let shown = path.display();
        let store = before.trust_store()?;
        let report = verify_package_for(copy, &store)?;
        if let Some(problem) = report.first_failure() {
            return Err(Error::Verification(format!("package \"{shown}\": {problem}")));
        }
        let claims = copy.claims()?;
        let wrong = || Error::format(format!("package \"{shown}\""));
        let signatures = claims.signatures.encode().map_err(wrong())?;
        let role = Role::from(claims.manifest.kind);
        let verified = signature::verify(&claims.manifest_bytes, &signatures, &store, role).map_err(wrong())?;
        verified.check_current(self.now()).map_err(wrong())?;
        Entry::of(&claims.manifest, copy.size).map_err(wrong())
    }

    /// Lists a package of the depot in a channel. One that is there stays as it is, so that nobody's waiting begins anew; where
    /// `opens` says something, that is taken.
    pub fn promote(&mut self, id: &PackageId, channel: &str, opens: &Opens) -> Result<()> {
        self.check_known(id)?;
        let now = self.now();
        let opens: BTreeMap<String, i64> =
            opens.iter().map(|(ring, after)| (ring.clone(), now.saturating_add(*after))).collect();
        let index = &mut self.draft.index;
        let listings = index.channels.entry(channel.to_owned()).or_default();
        match listings.iter_mut().find(|listing| listing.package == *id) {
            Some(listing) if listing.withdrawn.is_some() => {
                return Err(Error::Refused(format!(
                    "{id} was withdrawn from channel \"{channel}\"; release it anew with a new version"
                )));
            }
            Some(listing) if !opens.is_empty() => listing.opens = opens,
            Some(_) => {}
            None => listings.push(Listing { package: id.clone(), added: now, opens, for_all: false, withdrawn: None }),
        }
        index.encode().map(drop).map_err(Error::format("the index"))
    }

    /// Offers a package of a channel to appliances whose entitlement has ended as well, or not any more.
    pub fn offer_to_all(&mut self, id: &PackageId, channel: &str, for_all: bool) -> Result<()> {
        let listings = self.draft.index.channels.get_mut(channel).into_iter().flatten();
        let listing = listings.into_iter().find(|listing| listing.package == *id);
        let missing = || Error::input(format!("channel \"{channel}\" does not list {id}"));
        listing.ok_or_else(missing)?.for_all = for_all;
        Ok(())
    }

    /// Takes a package back, in one channel or in all that list it.
    pub fn withdraw(&mut self, id: &PackageId, channel: Option<&str>, reason: &str) -> Result<()> {
        self.check_known(id)?;
        let date = Date::of_unix(self.now()).ok_or_else(|| Error::input("the clock is not between 1970 and 9999"))?;
        let mut found = false;
        for (name, listings) in &mut self.draft.index.channels {
            for listing in listings.iter_mut().filter(|one| one.package == *id && channel.is_none_or(|c| c == name)) {
                found = true;
                listing.withdrawn.get_or_insert(Withdrawal { date, reason: reason.to_owned() });
            }
        }
        if !found {
            return Err(Error::Refused(format!("no channel lists {id}, so there is nothing to withdraw")));
        }
        self.draft.index.encode().map(drop).map_err(Error::format("the index"))
    }

    /// Other rings. Listings that open for a ring which is not there any more forget that.
    pub fn set_rings(&mut self, rings: Vec<Ring>) -> Result<()> {
        let known = |name: &String| rings.iter().any(|ring| ring.name == *name);
        for listing in self.draft.index.channels.values_mut().flatten() {
            listing.opens.retain(|name, _| known(name));
        }
        self.draft.index.rings = rings;
        self.draft.index.encode().map(drop).map_err(Error::format("the index"))
    }

    fn check_known(&self, id: &PackageId) -> Result<()> {
        let role = id.kind().to_string();
        if self.draft.document(&role)?.get("targets").get(id.target()).is_some() {
            return Ok(());
        }
        Err(Error::input(format!(
            "the depot has no {id}; see: bulkhead depot show {}",
            self.depot().folder().display()
        )))
    }
}
