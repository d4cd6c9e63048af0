//! The keeper's part in certificates.

use std::fs;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::desk::{Desk, value};
use crate::api::{BindCertificate, ImportCertificate, SigningRequest, UnbindCertificate};
use crate::certificates::export::Wanted;
use crate::certificates::listing::Listing;
use crate::certificates::self_signed::is_pattern;
use crate::certificates::{Finding, Light, Names, Serving, Trouble, reader, request};
use crate::error::{Error, Result};
use crate::lifecycle::{Facts, silent};
use crate::network::bare_addresses;
use crate::workplace::now;

impl Desk {
    /// What servers of this appliance show to their clients, by name and address. To be asked again now and then: [`Serving::change`] says
    /// whether there is something new, for example because the appliance has another address.
    pub fn serving(&self) -> Result<Serving> {
        self.serving_of(&self.look()?.agent(&silent).facts()?)
    }

    fn serving_of(&self, facts: &Facts) -> Result<Serving> {
        let site = facts.site_info().map(|site| site.hostname.clone());
        let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let names = Names::new(site.into_iter().chain([own.trim().to_owned()]), bare_addresses());
        self.certificates.serving(&names, self.clock(facts).now())
    }

    /// Everything that is here.
    pub(super) fn certificates(&self) -> Result<Listing> {
        self.certificates_of(&self.look()?.agent(&silent).facts()?)
    }

    /// Everything that is here, of an appliance with these facts.
    pub(super) fn certificates_of(&self, facts: &Facts) -> Result<Listing> {
        // So that the list has what is shown where nothing is bound.
        self.serving_of(facts)?;
        let site = facts.site_info().map(|site| site.hostname.clone());
        self.certificates.listing(site.as_deref(), &self.light(facts, &[]))
    }

    /// Takes one in, or says what would be.
    pub(super) fn import_certificate(&self, order: &ImportCertificate) -> Result<Value> {
        if order.names.len() > MAX_NAMES {
            return Err(Error::Usage(format!("at most {MAX_NAMES} names are looked for at once")));
        }
        let file = STANDARD.decode(order.file.reveal()).map(Zeroizing::new);
        let file = file.map_err(|_| Error::Usage("\"file\" is no base64".into()))?;
        let found = reader::read(&self.program, &file, order.passphrase.as_ref())?;
        let facts = self.look()?.agent(&silent).facts()?;
        let light = self.light(&facts, &order.names);
        let done = if order.check_only {
            self.certificates.examine(found, &light)?
        } else {
            self.certificates.import(found, &light)?
        };
        Ok(json!({
            "certificate": value(done.entry.certificate.facts())?,
            "has-key": done.entry.key.is_some(),
            "findings": value(&done.findings)?,
            "steps": done.steps,
        }))
    }

    /// Gives one out.
    pub(super) fn export_certificate(&self, wanted: &Wanted) -> Result<Value> {
        let entry = self.certificates.find(&wanted.of)?;
        let file = self.certificates.export(&entry, wanted, now())?;
        Ok(json!({ "file": STANDARD.encode(&*file) }))
    }

    /// Removes a signing request.
    pub(super) fn delete_signing_request(&self, id: &str) -> Result<Value> {
        self.certificates.remove_request(id)?;
        Ok(json!({ "steps": [format!("the signing request {id} is removed with its key")] }))
    }

    /// Removes one, or the signing request with this id.
    pub(super) fn delete_certificate(&self, wanted: &str) -> Result<Value> {
        let damaged = |problem: &Error| problem.code() == "certificate-damaged";
        let fingerprint = match self.certificates.find(wanted) {
            Ok(entry) => entry.fingerprint(),
            // What went bad is called by its whole fingerprint.
            Err(problem) if damaged(&problem) => wanted.parse().map_err(|_| problem)?,
            Err(problem) => return Err(problem),
        };
        if self.certificates.entry(fingerprint).is_none()
            && self
                .certificates
                .find(crate::certificates::store::SELF_SIGNED)
                .is_ok_and(|own| own.fingerprint() == fingerprint)
        {
            return Err(Trouble::OwnCertificate.into());
        }
        self.certificates.remove(fingerprint)?;
        Ok(json!({ "steps": [format!("the certificate {fingerprint} is removed with its key")] }))
    }

    /// Makes a signing request.
    pub(super) fn signing_request(&self, order: &SigningRequest) -> Result<Value> {
        let (mut hosts, mut addresses) = (Vec::new(), Vec::new());
        if let Some(renewed) = &order.renew {
            let entry = self.certificates.find(renewed)?;
            hosts.extend(entry.certificate.facts().names.iter().cloned());
            addresses.extend(entry.certificate.facts().addresses.iter().copied());
        }
        if order.names.len() > MAX_NAMES {
            return Err(Error::Usage(format!("a signing request is for at most {MAX_NAMES} names")));
        }
        for name in &order.names {
            match name.parse::<IpAddr>() {
                Ok(address) => addresses.push(address),
                Err(_) if is_pattern(name.trim_end_matches('.')) => hosts.push(name.clone()),
                Err(_) => {
                    let told: String = name.chars().take(80).collect();
                    return Err(Error::Usage(format!(
                        "\"{}\" is neither a host name nor an address",
                        told.escape_debug()
                    )));
                }
            }
        }
        let made = request::make(&Names::new(hosts, addresses), &order.subject, order.key)?;
        self.certificates.keep_request(&made)?;
        Ok(json!({ "signing-request": value(made.facts())?, "pem": made.pem() }))
    }

    /// Binds one.
    pub(super) fn bind_certificate(&self, order: BindCertificate) -> Result<Value> {
        let place = order.to.checked().map_err(Error::Usage)?;
        let entry = self.certificates.find(&order.certificate)?;
        let fingerprint = entry.fingerprint();
        if self.certificates.entry(fingerprint).is_none() {
            return Err(Trouble::OwnCertificate.into());
        }
        let before = self.certificates.bind(place.clone(), Some(fingerprint))?;
        let mut steps = vec![format!("the certificate {fingerprint} is shown to {place}")];
        steps.extend(before.filter(|before| *before != fingerprint).map(|before| format!("{before} was before")));
        let facts = self.look()?.agent(&silent).facts()?;
        let site = facts.site_info().map(|site| site.hostname.clone());
        let listing = self.certificates.listing(site.as_deref(), &self.light(&facts, &[]))?;
        let listed = listing.certificates.into_iter().find(|one| one.facts.fingerprint == fingerprint);
        let findings = listed.map(|listed| listed.findings).unwrap_or_default();
        Ok(json!({ "steps": steps, "findings": value(&findings)? }))
    }

    /// Takes a binding away.
    pub(super) fn unbind_certificate(&self, order: UnbindCertificate) -> Result<Value> {
        let place = order.to.checked().map_err(Error::Usage)?;
        let step = match self.certificates.bind(place.clone(), None)? {
            Some(before) => format!("the certificate {before} is not shown to {place} any more"),
            None => format!("nothing was bound for {place}"),
        };
        Ok(json!({ "steps": [step] }))
    }

    /// What clients of a site will say about the certificate it is reached with.
    pub(super) fn coverage(&self, host: &str, facts: &Facts) -> Vec<Finding> {
        let found = self.certificates.coverage(host, &self.light(facts, &[]));
        // A preflight finds out what it can; what it cannot is no reason against an installation.
        found.unwrap_or_default()
    }

    fn light<'a>(&self, facts: &Facts, wanted: &'a [String]) -> Light<'a> {
        let clock = self.clock(facts);
        Light { now: clock.now(), clock: clock.doubt(), wanted }
    }
}

const MAX_NAMES: usize = 100;
