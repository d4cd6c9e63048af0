//! What scenarios must have shown of a package before the depot takes it.
//!
//! The rule stands in the metadata of targets, signed by people: whoever only has the online keys cannot lift it in silence. It binds this
//! program; what an appliance believes does not depend on it.

use formats::Digest;
use formats::manifest::Kind;
use formats::results::{Required, Results, Shortfall};
use serde_json::{Value, json};

use super::document::Document;
use super::edit::Edit;
use super::state::State;
use crate::{Error, Result};

/// The rule of a depot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// What has to be green; empty: nothing.
    pub required: Vec<Required>,
    /// How many days old results may be.
    pub days: u32,
}

impl Policy {
    /// The rule that this metadata of targets states.
    pub fn of(targets: &Document) -> Result<Self> {
        let stated = targets.get("bulkhead").get(FIELD).unwrap_or(&Value::Null);
        let scenarios = stated.get("scenarios").and_then(Value::as_array).into_iter().flatten();
        let required = scenarios.map(|one| one.as_str().unwrap_or_default().parse()).collect::<formats::Result<_>>();
        let days = stated.get("days").and_then(Value::as_u64).and_then(|days| u32::try_from(days).ok());
        Ok(Self {
            required: required.map_err(Error::format("the depot's rule about results"))?,
            days: days.unwrap_or(0),
        })
    }

    /// States the rule in metadata of targets.
    pub fn state(&self, targets: &mut Document) {
        let own = targets.object("bulkhead");
        own.remove(FIELD);
        if !self.required.is_empty() {
            let scenarios: Vec<String> = self.required.iter().map(ToString::to_string).collect();
            own.insert(FIELD.into(), json!({"days": self.days, "scenarios": scenarios}));
        }
    }

    /// Whether a package may be added, with what these results show of it.
    ///
    /// # Errors
    /// [`Error::Refused`] with what is missing.
    pub fn check(&self, package: &str, kind: Kind, manifest: &Digest, shown: &[Results], now: i64) -> Result<()> {
        for one in self.required.iter().filter(|one| one.kind == kind) {
            let judge = |results: &Results| results.judge(kind, manifest, std::slice::from_ref(one), now, self.days);
            let judged: Vec<_> = shown.iter().map(judge).collect();
            let red = judged.iter().any(|verdict| matches!(verdict, Err(Shortfall::Red { .. })));
            if !red && judged.iter().any(std::result::Result::is_ok) {
                continue;
            }
            let worst = judged.into_iter().filter_map(std::result::Result::err);
            let why = worst.max_by_key(|why| matches!(why, Shortfall::Red { .. }));
            let why = why.map_or_else(
                || format!("{one} has to be green, and no results were given (--results FILE)"),
                |why| why.to_string(),
            );
            return Err(Error::Refused(format!("{package} is not published: {why}")));
        }
        Ok(())
    }
}

impl Edit<'_> {
    /// What scenarios showed of packages that are added after this.
    pub fn show_results(&mut self, results: Vec<Results>) {
        self.results = results;
    }

    /// Another rule.
    pub fn require_results(&mut self, policy: &Policy) -> Result<()> {
        policy.state(self.draft.document_mut("targets")?);
        self.touch("targets");
        Ok(())
    }
}

impl State {
    /// The rule of the depot.
    pub fn policy(&self) -> Result<Policy> {
        Policy::of(self.draft.document("targets")?)
    }
}

const FIELD: &str = "required-results";
