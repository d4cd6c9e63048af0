//! Taking a certificate in: everything is decided before one file is written, so nothing is ever half imported.

use super::assemble::{Assembled, assemble};
use super::entry::Entry;
use super::finding::{Finding, Light, Severity, duplicate, findings};
use super::read::Found;
use super::store::Store;
use super::trouble::Trouble;
use crate::error::Result;

/// A certificate as it would be kept.
#[derive(Clone)]
pub struct Examined {
    /// With what was here of it before.
    pub entry: Entry,
    /// What is to be said about it.
    pub findings: Vec<Finding>,
    /// What becomes of the file, a sentence each.
    pub steps: Vec<String>,
}

impl Store {
    /// Looks at what a file holds, beside what is here, and changes nothing. A key alone completes a certificate that is here without
    /// one; a certificate alone gets the key that was made here for it.
    ///
    /// # Errors
    /// Why it cannot be one certificate with its chain and key.
    pub fn examine(&self, found: Found, light: &Light<'_>) -> Result<Examined> {
        let mut steps = Vec::new();
        let Assembled { mut entry, others } =
            if found.certificates.is_empty() { self.completed_by(found)? } else { assemble(found)? };
        if others > 0 {
            let (plural, are) = if others == 1 { ("", "is") } else { ("s", "are") };
            steps.push(format!("{others} certificate{plural} in the file did not sign it and {are} left out"));
        }
        let present = self.entry(entry.fingerprint());
        if let Some(present) = &present {
            entry.key = entry.key.or_else(|| present.key.clone());
            if entry.chain.is_empty() {
                entry.chain.clone_from(&present.chain);
            }
        }
        if entry.key.is_none() {
            entry.key = self.requested_key(entry.certificate.public());
            if entry.key.is_some() {
                steps.push("its private key was made here for the signing request, and is kept with it".into());
            }
        }
        let mut findings = findings(&entry, light);
        if present.as_ref() == Some(&entry) {
            findings.insert(0, duplicate(entry.fingerprint()));
        }
        Ok(Examined { entry, findings, steps })
    }

    /// Keeps what a file holds, unless something about it forbids that.
    pub fn import(&self, found: Found, light: &Light<'_>) -> Result<Examined> {
        let mut examined = self.examine(found, light)?;
        if let Some(refusing) = examined.findings.iter().find(|finding| finding.severity == Severity::Refused) {
            return Err(Trouble::Refused(Box::new(refusing.clone())).into());
        }
        self.keep(&examined.entry)?;
        let facts = examined.entry.certificate.facts();
        examined.steps.push(format!("the certificate {} for \"{}\" is imported", facts.fingerprint, facts.subject));
        // Not before the certificate is kept with the key.
        self.tidy_requests()?;
        Ok(examined)
    }

    /// A certificate that is here, with the key that was found.
    fn completed_by(&self, found: Found) -> Result<Assembled> {
        let mut keys = found.keys.into_iter();
        let key = keys.next().filter(|_| keys.next().is_none()).ok_or(Trouble::NoCertificate)?;
        let entries = self.list()?.into_iter().filter_map(|kept| kept.content.ok());
        let mut fitting: Vec<Entry> = entries.filter(|entry| entry.certificate.public() == key.public()).collect();
        // The newest of several for one key is the one that is waited for.
        fitting.sort_by_key(|entry| (entry.key.is_none(), entry.certificate.facts().not_before));
        let entry = fitting.pop().ok_or(Trouble::NoCertificate)?;
        Ok(Assembled { entry: Entry { key: Some(key), ..entry }, others: 0 })
    }
}
