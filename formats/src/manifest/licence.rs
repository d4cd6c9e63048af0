//! What a licence package claims, and what is left of it on a day.
//!
//! A licence changes nothing that runs: no slot, no restart, no client has to be upgraded. Several may be installed, one of each package
//! line; their counts and features add up. When one ends nothing is stopped here: it counts for the days of grace, and then no more.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::check::name_rule;
use super::date::Date;

/// The claims of a licence package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LicenceInfo {
    /// The host name (a [name](super::check_name)) of the site it is bound to; none: any site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// How many licences it adds; none: it is not about a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// What it opens: names that the application knows, each once, at most [`MAX_FEATURES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// The last day on which number and features hold; none: they never end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Date>,
    /// For how many days after that they hold all the same, so that nobody stands still over a late renewal; at most [`MAX_GRACE`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub grace_days: u32,
    /// The last day of the maintenance contract: packages published later are not for this appliance. None: nothing is said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitled_until: Option<Date>,
}

/// What is left of a licence on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// It holds.
    Valid,
    /// Its last day has passed, and it holds until this one.
    Grace(Date),
    /// It does not hold any more, since the day after this one.
    Ended(Date),
}

impl LicenceInfo {
    /// What is left of it on this day.
    pub fn validity(&self, today: Date) -> Validity {
        let Some(expires) = self.expires.filter(|last| today > *last) else { return Validity::Valid };
        let last = self.last_day().unwrap_or(expires);
        if today <= last { Validity::Grace(last) } else { Validity::Ended(last) }
    }

    /// The last day on which number and features hold, days of grace included; none: they never end.
    pub fn last_day(&self) -> Option<Date> {
        let expires = self.expires?;
        let grace = i64::from(self.grace_days).saturating_mul(DAY);
        Some(Date::of_unix(expires.unix().saturating_add(grace)).unwrap_or(expires))
    }

    /// The rules for its fields; the error is a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(hostname) = &self.hostname {
            name_rule("hostname", hostname)?;
        }
        if self.features.len() > MAX_FEATURES {
            return Err(format!("{} features; at most {MAX_FEATURES} are allowed", self.features.len()));
        }
        let mut seen = BTreeSet::new();
        for feature in &self.features {
            name_rule("feature", feature)?;
            if !seen.insert(feature) {
                return Err(format!("feature \"{feature}\" is there twice"));
            }
        }
        if self.grace_days > MAX_GRACE {
            return Err(format!("{} days of grace; at most {MAX_GRACE} are allowed", self.grace_days));
        }
        if self.grace_days > 0 && self.expires.is_none() {
            return Err("days of grace, and no day on which it expires".into());
        }
        if self.count.is_none() && self.features.is_empty() && self.entitled_until.is_none() {
            return Err("a licence for nothing: it has no count, no features and no end of entitlement".into());
        }
        Ok(())
    }
}

impl fmt::Display for LicenceInfo {
    /// In one line, for example `15 licences, feature chat, until 2027-12-31 and 30 days of grace`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.count.map(|count| format!("{count} {}", if count == 1 { "licence" } else { "licences" })));
        match self.features.as_slice() {
            [] => {}
            [one] => parts.push(format!("feature {one}")),
            more => parts.push(format!("features {}", more.join(" and "))),
        }
        parts.extend(self.hostname.as_ref().map(|hostname| format!("for {hostname}")));
        parts.push(match (self.expires, self.grace_days) {
            (None, _) => "no end".into(),
            (Some(day), 0) => format!("until {day}"),
            (Some(day), grace) => format!("until {day} and {grace} days of grace"),
        });
        parts.extend(self.entitled_until.map(|day| format!("entitled to new packages until {day}")));
        f.write_str(&parts.join(", "))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Most features of a licence.
pub const MAX_FEATURES: usize = 32;
/// Most days of grace: ten years.
pub const MAX_GRACE: u32 = 3653;
/// In seconds.
const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn a_licence_holds_through_its_last_day_then_through_its_grace_then_no_more() {
        let licence =
            LicenceInfo { count: Some(5), expires: Some(day("2027-02-27")), grace_days: 2, ..LicenceInfo::default() };
        for (today, wanted) in [
            ("1970-01-01", Validity::Valid),
            ("2027-02-27", Validity::Valid),
            ("2027-02-28", Validity::Grace(day("2027-03-01"))),
            ("2027-03-01", Validity::Grace(day("2027-03-01"))),
            ("2027-03-02", Validity::Ended(day("2027-03-01"))),
        ] {
            assert_eq!(licence.validity(day(today)), wanted, "{today}");
        }
        let strict = LicenceInfo { grace_days: 0, ..licence.clone() };
        assert_eq!(strict.validity(day("2027-02-28")), Validity::Ended(day("2027-02-27")));
        let endless = LicenceInfo { expires: None, grace_days: 0, ..licence };
        assert_eq!(endless.validity(day("9999-12-31")), Validity::Valid);
        let last = LicenceInfo { expires: Some(day("9999-12-31")), grace_days: 9, ..LicenceInfo::default() };
        assert_eq!(last.last_day(), Some(day("9999-12-31")));
    }

    #[test]
    fn a_licence_is_told_in_one_line() {
        let licence = LicenceInfo {
            hostname: Some("a.example".into()),
            count: Some(1),
            features: vec!["chat".into(), "recording".into()],
            expires: Some(day("2027-12-31")),
            grace_days: 30,
            entitled_until: Some(day("2028-01-31")),
        };
        let wanted = "1 licence, features chat and recording, for a.example, until 2027-12-31 and 30 days of grace, \
                      entitled to new packages until 2028-01-31";
        assert_eq!(licence.to_string(), wanted);
        let plain = LicenceInfo { count: Some(15), ..LicenceInfo::default() };
        assert_eq!(plain.to_string(), "15 licences, no end");
    }
}
