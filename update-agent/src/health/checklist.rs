//! The checks that apply to this appliance now.

use formats::health::{Check, Trial, parse_operator};
use formats::manifest::{Kind, Manifest};

use super::Finding;
use crate::lifecycle::Facts;

/// Where the operator's checks lie, relative to the root of the data partition.
pub const OPERATOR_PATH: &str = "bulkhead/health.json";

/// A check and who asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `base/page`: unique on an appliance, and the same before and after an update.
    pub name: String,
    /// The check.
    pub check: Check,
    /// When the release that asks was made, in seconds since 1970; of an operator's check, when the base was.
    pub made: i64,
}

/// Everything to look at, and how long a trial takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checklist {
    /// The checks.
    pub asked: Vec<Asked>,
    /// What is wrong with the list itself.
    pub findings: Vec<Finding>,
    /// What the base says about its trial.
    pub base_trial: Option<Trial>,
    /// What the site says about its trial.
    pub site_trial: Option<Trial>,
}

impl Checklist {
    /// The checks of the base and the site that run, and those in the bytes of the operator's file. Nothing runs from an image file.
    ///
    /// A file of the operator that cannot be read is a finding: checks somebody counts on must not vanish in silence.
    pub fn new(facts: &Facts, operator: Option<Result<Vec<u8>, String>>) -> Self {
        let Some(running) = facts.running else { return Self::default() };
        let base = facts.content(Kind::Base, running.base).manifest();
        let site = running.site.and_then(|slot| facts.content(Kind::Site, slot).manifest());
        let mut list = Self {
            base_trial: base.and_then(|base| base.trial),
            site_trial: site.and_then(|site| site.trial),
            ..Self::default()
        };
        for manifest in [base, site].into_iter().flatten() {
            list.ask(&manifest.kind.to_string(), &manifest.health, manifest.created);
        }
        let checks = operator.map(|bytes| bytes.and_then(|bytes| parse_operator(&bytes).map_err(|e| e.to_string())));
        match checks {
            None => {}
            Some(Ok(checks)) => list.ask("operator", &checks, base.map_or(0, |base: &Manifest| base.created)),
            Some(Err(problem)) => list.findings.push(Finding::failed(
                "operator/health.json",
                "the operator's checks are readable",
                &format!("{problem}; correct or remove \"/data/{OPERATOR_PATH}\""),
            )),
        }
        list
    }

    fn ask(&mut self, who: &str, checks: &[Check], made: i64) {
        let named = |check: &Check| Asked { name: format!("{who}/{}", check.name), check: check.clone(), made };
        self.asked.extend(checks.iter().map(named));
    }
}
