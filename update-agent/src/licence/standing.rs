//! What licences give this appliance on a day. Pure.

use std::collections::BTreeSet;

use formats::manifest::{Date, LicenceInfo, SiteInfo, Validity};
use serde::{Deserialize, Serialize};

use super::{Licences, is_for};
use crate::journal::Release;

/// What holds, all licences together, and each of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    /// How many licences there are, those that came with the site among them; nothing when nothing is counted.
    pub count: Option<u64>,
    /// What is open, each once.
    pub features: Vec<String>,
    /// The last day for which this appliance is entitled to new packages; nothing when no licence says so.
    pub entitled_until: Option<Date>,
    /// Every licence that is installed.
    pub licences: Vec<Line>,
    /// What is wrong with files that are no licences, a sentence each.
    pub problems: Vec<String>,
}

/// One licence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Line {
    /// Which.
    pub release: Release,
    /// What it claims.
    pub claims: LicenceInfo,
    /// Its number and features count today.
    pub holds: bool,
    /// For people: what it claims, what is left of it, and what to do.
    pub summary: String,
}

/// What `licences` give on this day to an appliance whose site is `site`.
pub fn standing(licences: &Licences, site: Option<&SiteInfo>, today: Date) -> Standing {
    let hostname = site.map(|site| site.hostname.as_str());
    let mut features = BTreeSet::new();
    let of_site = site.filter(|site| site.expires.is_none_or(|last| today <= last)).and_then(|site| site.licences);
    let mut count = of_site.map(u64::from);
    let mut lines = Vec::new();
    for (manifest, claims) in licences.claims() {
        let left = claims.validity(today);
        let ours = is_for(claims, hostname);
        let holds = ours && !matches!(left, Validity::Ended(_));
        if holds {
            features.extend(claims.features.iter().cloned());
            count = claims.count.map_or(count, |more| Some(count.unwrap_or(0).saturating_add(more.into())));
        }
        let release = Release::from(manifest);
        let rest = words(claims, left, ours, hostname);
        lines.push(Line { summary: format!("{release}: {claims}{rest}"), release, claims: claims.clone(), holds });
    }
    Standing {
        count,
        features: features.into_iter().collect(),
        entitled_until: licences.entitled_until(hostname),
        licences: lines,
        problems: licences.problems.clone(),
    }
}

/// What is to be said beyond the claims.
fn words(claims: &LicenceInfo, left: Validity, ours: bool, hostname: Option<&str>) -> String {
    if !ours {
        let theirs = claims.hostname.as_deref().unwrap_or_default();
        let serves = formats::plan::serves(hostname);
        return format!("; it does not count: it is for the site \"{theirs}\", and this appliance {serves}");
    }
    let expired = claims.expires.map(|day| day.to_string()).unwrap_or_default();
    match left {
        Validity::Valid => String::new(),
        Validity::Grace(last) => {
            format!("; it expired on {expired} and counts until {last}: install one that goes on")
        }
        Validity::Ended(_) => {
            format!(
                "; it expired on {expired} and does not count any more, what runs keeps running: install one that goes on"
            )
        }
    }
}
