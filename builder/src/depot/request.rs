//! A change of a depot whose keys are elsewhere: written down to be signed, and completed when the signatures are back.
//!
//! **Order.** A request puts new packages in their places, where nothing names them yet, and changes nothing else: appliances see the old
//! depot, and a request that is never answered costs the room of its packages. The import makes the same documents the depot's next ones,
//! signs what is signed here, and is seen whole or not at all like every change ([`super::edit`]).
//!
//! A request is for one state of the depot: whoever published the same roles in between has to ask again. What the import publishes, index
//! included, is what was shown and signed, byte for byte ([`crate::ceremony::binding`]).

use std::path::Path;

use formats::Digest;
use formats::tuf::{self, Targets};
use serde_json::Value;

use super::create::appear;
use super::document::{Document, RoleKeys, second};
use super::edit::{Edit, Hashed};
use super::signer::Signers;
use super::state::{Depot, Draft, OFFLINE, ONLINE, PACKAGES, State, TOP};
use super::storage::Storage;
use crate::ceremony::{Change, Content, FORMAT, Part, Request, Signature, Wanted};
use crate::{Error, Result};

impl Edit<'_> {
    /// Instead of publishing the change: what has to be signed for it.
    ///
    /// # Errors
    /// [`Error::Refused`] when nothing is missing here.
    pub fn request(mut self, before: &State) -> Result<Request> {
        let roles: Vec<&str> = OFFLINE.into_iter().filter(|role| self.touched().contains(*role)).collect();
        let mut parts = Vec::new();
        for role in roles {
            let now = self.now();
            self.draft.document_mut(role)?.renew(now)?;
            let mut wanted = vec![self.draft.keys(role)?];
            wanted.extend(self.also(role).cloned());
            let file = before.verified.kept().get(&format!("{role}.json"));
            let file = file.and_then(|bytes| serde_json::from_slice(bytes).ok());
            parts.push((part(role, self.draft.document(role)?, file, &wanted), wanted));
        }
        let mut change = Change { lost: self.lost(before)?, ..Change::default() };
        if self.draft.index != before.draft.index {
            // Signers see, and stand for, the very bytes that the import publishes.
            self.draft.index.created = self.draft.index.created.max(self.now());
            change.index = Some(self.draft.index.clone());
            change.index_before = Some(before.draft.index.clone());
        }
        let product = self.draft.index.product.clone();
        let (request, complete) = signed(product, self.now(), parts, change, self.signers())?;
        if complete {
            return Err(Error::Refused(
                "everything this change needs from people can be signed here; leave --request out".into(),
            ));
        }
        self.show_targets()?;
        Ok(request)
    }

    /// Whether a role of root's changes its keys without a signature by the old ones.
    fn lost(&self, before: &State) -> Result<bool> {
        let mut lost = false;
        for role in TOP {
            lost |= self.draft.keys(role)? != before.draft.keys(role)? && self.also(role).is_none();
        }
        Ok(lost)
    }

    /// Takes the documents of a request over.
    fn adopt(&mut self, before: &State, parts: &[(String, Document)], change: &Change) -> Result<()> {
        for (role, document) in parts {
            let now = before.draft.document(role)?.version();
            if document.version() != now + 1 {
                return Err(stale(&format!(
                    "{role} has version {now} by now, the request is for {}",
                    document.version()
                )));
            }
            self.freeze(role, document.clone());
        }
        if let Some(index) = &change.index {
            if change.index_before.as_ref() != Some(&before.draft.index) {
                return Err(stale("channels, rings or withdrawals have changed since"));
            }
            self.freeze_index(index.clone());
        }
        for role in
            TOP.into_iter().chain(PACKAGES).chain([ONLINE]).filter(|role| before.draft.documents.contains_key(*role))
        {
            let old = before.draft.keys(role)?;
            if self.draft.keys(role)? == old {
                continue;
            }
            if OFFLINE.contains(&role) && !parts.iter().any(|(name, _)| name == role) {
                return Err(Error::Verification(format!(
                    "the request changes the keys of {role} and lacks its metadata: it was altered"
                )));
            }
            self.touch(role);
            if role == "root" || (TOP.contains(&role) && !change.lost) {
                self.also_by(role, old);
            }
        }
        self.new_targets_are_here(before, parts)
    }

    /// Every file that the request names and the depot did not is in its place.
    fn new_targets_are_here(&self, before: &State, parts: &[(String, Document)]) -> Result<()> {
        for (role, document) in parts {
            let known = before.verified.role(role).map(Targets::files);
            for (name, value) in document.get("targets").as_object().into_iter().flatten() {
                let digest = value.pointer("/hashes/sha256").and_then(Value::as_str).and_then(|text| text.parse().ok());
                let digest: Digest =
                    digest.ok_or_else(|| Error::input(format!("the request gives \"{name}\" no SHA-256")))?;
                if known.and_then(|known| known.get(name)).is_some_and(|target| target.digest == digest) {
                    continue;
                }
                let path = self.depot().target(&tuf::path(name, &digest.to_string()));
                if !is_file(&path, digest)? {
                    return Err(stale(&format!("\"{}\" is not the file it names any more", path.display())));
                }
            }
        }
        Ok(())
    }
}

fn is_file(path: &Path, digest: Digest) -> Result<bool> {
    let Ok(mut file) = std::fs::File::open(path) else { return Ok(false) };
    let mut hashed = Hashed::new(&mut file);
    std::io::copy(&mut hashed, &mut std::io::sink()).map_err(Error::io("read", path))?;
    Ok(hashed.finish().0 == digest)
}

/// What has to be signed for a depot that does not exist yet.
pub(super) fn of_new(mut draft: Draft, signers: &Signers, now: i64) -> Result<Request> {
    let mut parts = Vec::new();
    let mut new = std::collections::BTreeMap::new();
    for role in draft.documents.keys().cloned().collect::<Vec<_>>() {
        if !OFFLINE.contains(&role.as_str()) {
            new.insert(role.clone(), draft.document(&role)?.fields());
            continue;
        }
        draft.document_mut(&role)?.renew(now)?;
        let wanted = vec![draft.keys(&role)?];
        parts.push((part(&role, draft.document(&role)?, None, &wanted), wanted));
    }
    let (product, index) = (draft.index.product.clone(), Some(draft.index));
    Ok(signed(product, now, parts, Change { index, new, ..Change::default() }, signers)?.0)
}

/// Completes a requested change with the signatures in `signers`.
///
/// # Errors
/// [`Error::Refused`] when the depot has changed since, [`Error::Verification`] when the request was altered or appliances would not believe
/// the result, [`Error::Input`] when signatures are missing. Nothing was changed then.
pub fn import(
    depot: &Depot,
    request: &Request,
    signers: &Signers,
    storage: &mut dyn Storage,
    now: i64,
) -> Result<State> {
    let Some(change) = &request.change else {
        return Err(Error::input(
            "the request is for a package; complete it with: bulkhead sign PACKAGE --answer FILE",
        ));
    };
    request.check_bound()?;
    let parts = request.parts.iter().map(|part| document(part, now)).collect::<Result<Vec<_>>>()?;
    if !change.new.is_empty() {
        let draft = new_draft(&parts, change)?;
        let frozen: Vec<String> = parts.iter().map(|(role, _)| role.clone()).collect();
        return appear(depot.folder(), draft, &frozen, signers, storage, now);
    }
    let (mut edit, before) = Edit::begin(depot, signers, storage, now)?;
    edit.adopt(&before, &parts, change)?;
    edit.publish()
}

fn new_draft(parts: &[(String, Document)], change: &Change) -> Result<Draft> {
    let damaged = || Error::input("the request lacks a part of the new depot".to_owned());
    let mut documents: std::collections::BTreeMap<String, Document> = parts.iter().cloned().collect();
    for (role, fields) in &change.new {
        documents.insert(role.clone(), Document::of(fields).ok_or_else(damaged)?);
    }
    Ok(Draft { documents, index: change.index.clone().ok_or_else(damaged)? })
}

/// The document of a part, once it is one that people sign and that still has time.
fn document(part: &Part, now: i64) -> Result<(String, Document)> {
    let role = &part.role;
    let wrong = || Error::input(format!("the request's part for {role} is no metadata of a role of people"));
    let Content::Metadata { document, .. } = &part.content else { return Err(wrong()) };
    if !OFFLINE.contains(&role.as_str()) {
        return Err(wrong());
    }
    let document = Document::of(document).ok_or_else(wrong)?;
    if second(document.expires()).is_none_or(|last| last < now) {
        return Err(stale(&format!("its {role} was good until {}", document.expires())));
    }
    Ok((role.clone(), document))
}

/// A document for somebody to sign, without a signature yet.
fn part(role: &str, document: &Document, before: Option<Value>, wanted: &[RoleKeys]) -> Part {
    let public = |keys: &RoleKeys| Wanted {
        threshold: keys.threshold,
        keys: keys.keys.values().map(|key| hex::encode(key.as_bytes())).collect(),
    };
    Part {
        role: role.to_owned(),
        content: Content::Metadata { document: document.fields(), before },
        wanted: wanted.iter().map(public).collect(),
        signatures: Vec::new(),
    }
}

/// A request of these parts and whose keys they want, with those signatures that can be made here; whether they are all.
fn signed(
    product: String,
    now: i64,
    parts: Vec<(Part, Vec<RoleKeys>)>,
    change: Change,
    signers: &Signers,
) -> Result<(Request, bool)> {
    let (parts, wanted): (Vec<Part>, Vec<Vec<RoleKeys>>) = parts.into_iter().unzip();
    let mut request = Request { format: FORMAT, product, made: now, parts, change: Some(change) };
    // Before the first signature: it stands for all of this.
    request.bind()?;
    let mut whole = true;
    for (part, wanted) in request.parts.iter_mut().zip(&wanted) {
        let message = part.message()?;
        for keys in wanted {
            let (signatures, _) = signers.available(&part.role, keys, &message);
            whole &= signatures.len() >= keys.threshold;
            for (id, raw) in signatures {
                let Some(key) = keys.keys.get(&id).map(|key| hex::encode(key.as_bytes())) else { continue };
                let signature = Signature { message: Digest::of(&message), key, signature: hex::encode(raw) };
                if !part.signatures.contains(&signature) {
                    part.signatures.push(signature);
                }
            }
        }
    }
    Ok((request, whole))
}

fn stale(why: &str) -> Error {
    Error::Refused(format!("the request is out of date: {why}; make it again and have it signed anew"))
}
