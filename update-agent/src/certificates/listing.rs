//! What is said about the certificates that are here, and about the name a site is reached by. Derived anew each time.

use formats::Digest;
use serde::Serialize;

use super::binding::{Bindings, Place};
use super::certificate::Facts;
use super::entry::Entry;
use super::export::{Exported, confirmation};
use super::finding::{self, Chain, Finding, Kind, Light};
use super::request;
use super::store::{Kept, SELF_SIGNED, Store};
use crate::error::Result;

/// Everything that is here.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listing {
    /// The certificates, the appliance's own first.
    pub certificates: Vec<Listed>,
    /// Signing requests that wait for their certificates.
    pub signing_requests: Vec<Waiting>,
    /// What is shown to whom.
    pub bindings: Bindings,
    /// A sentence for each file that went bad.
    pub problems: Vec<String>,
}

/// A certificate that is here.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listed {
    /// What it says.
    #[serde(flatten)]
    pub facts: Facts,
    /// The appliance made it for itself.
    pub own: bool,
    /// Its private key is here.
    pub has_key: bool,
    /// How far its chain goes.
    pub chain: Chain,
    /// Those above it.
    pub above: Vec<Facts>,
    /// To whom it is shown.
    pub bound: Vec<Place>,
    /// When it was last exported.
    pub exported: Option<Exported>,
    /// What is to be typed so that its key may leave unencrypted.
    pub confirmation: String,
    /// What is to be said about it.
    pub findings: Vec<Finding>,
}

/// A signing request that is here.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Waiting {
    /// What it asks for.
    #[serde(flatten)]
    pub facts: request::Facts,
    /// What is sent to an authority.
    pub pem: String,
}

impl Store {
    /// All of it. `site` is the name the site is reached by.
    pub fn listing(&self, site: Option<&str>, light: &Light<'_>) -> Result<Listing> {
        let mut problems = Vec::new();
        let bindings = self.bindings().unwrap_or_else(|problem| {
            problems.push(problem.to_string());
            Bindings::default()
        });
        let mut certificates = Vec::new();
        for Kept { file, content } in self.list()? {
            match content {
                Ok(entry) => {
                    let own = file.starts_with(SELF_SIGNED);
                    certificates.push(self.listed(&entry, own, &bindings, site, light));
                }
                // It is made anew when it is needed.
                Err(_) if file.starts_with(SELF_SIGNED) => {}
                Err(why) => {
                    problems.push(format!("\"{file}\" is damaged and not used: {why}; delete it and import it again"));
                }
            }
        }
        let (waiting, bad) = self.requests()?;
        problems.extend(bad.iter().map(ToString::to_string));
        let signing_requests =
            waiting.iter().map(|request| Waiting { facts: request.facts().clone(), pem: request.pem() }).collect();
        Ok(Listing { certificates, signing_requests, bindings, problems })
    }

    fn listed(&self, entry: &Entry, own: bool, bindings: &Bindings, site: Option<&str>, light: &Light<'_>) -> Listed {
        let mut bound = bindings.places(entry.fingerprint());
        if own && bindings.default.is_none() {
            bound.push(Place::Default);
        }
        let wanted: Vec<String> = bound.iter().filter_map(|place| wanted(place, bindings, site)).collect();
        let mut findings = finding::findings(entry, &Light { wanted: &wanted, ..light.clone() });
        if !own && !bound.is_empty() {
            findings.extend(self.not_exported(entry));
        }
        Listed {
            facts: entry.certificate.facts().clone(),
            own,
            has_key: entry.key.is_some(),
            chain: finding::chain(entry),
            above: entry.chain.iter().map(|one| one.facts().clone()).collect(),
            bound,
            exported: self.exports().remove(&entry.fingerprint()),
            confirmation: confirmation(entry),
            findings,
        }
    }

    /// What clients will say that ask for `host`: findings about the certificate that is shown to them.
    pub fn coverage(&self, host: &str, light: &Light<'_>) -> Result<Vec<Finding>> {
        let bindings = self.bindings()?;
        let of_name = bindings.names.get(&host.to_ascii_lowercase());
        let bound: Option<Digest> = of_name.copied().or(bindings.default);
        let Some(bound) = bound else {
            let text =
                format!("no certificate is bound for \"{host}\", so clients see the appliance's own and are warned");
            let cure = "import one that is issued for it, and bind it: \"update-agent cert bind\"".into();
            return Ok(vec![Finding { cure, ..Finding::new(Kind::SelfSigned, text) }]);
        };
        let Some(entry) = self.entry(bound) else {
            let text = format!("the certificate {bound} that is bound for \"{host}\" is not here any more, or damaged");
            let cure = "import it again, or bind another one".into();
            return Ok(vec![Finding { cure, ..Finding::new(Kind::KeyMissing, text) }]);
        };
        let wanted = [host.to_owned()];
        let mut findings = finding::findings(&entry, &Light { wanted: &wanted, ..light.clone() });
        findings.extend(self.not_exported(&entry));
        for finding in &mut findings {
            finding.text = format!("the certificate that clients of \"{host}\" see: {}", finding.text);
        }
        Ok(findings)
    }

    fn not_exported(&self, entry: &Entry) -> Option<Finding> {
        let text = "it was not exported with its key since it was last changed, so there may be no copy of it";
        (entry.key.is_some() && !self.is_saved(entry)).then(|| Finding::new(Kind::NotExported, text.into()))
    }
}

/// What clients ask for to whom it is shown.
fn wanted(place: &Place, bindings: &Bindings, site: Option<&str>) -> Option<String> {
    match place {
        Place::Name(name) => Some(name.clone()),
        Place::Address(_) => None,
        Place::Default => {
            site.filter(|site| !bindings.names.contains_key(&site.to_ascii_lowercase())).map(str::to_owned)
        }
    }
}
