//! What scenarios showed of packages: written by whoever plays them, judged by whoever publishes.
//!
//! A run names the packages it was about by the SHA-256 of their manifests, and a manifest stands for every byte of its package but the
//! signatures: what is signed again after the runs is still what was tried. The file is signed by nobody. It keeps a release engineer from
//! publishing what was not tried; it does not stop one who writes such a file by hand.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::manifest::{Date, Kind, MAX_UNIX, check_name};
use crate::{Digest, Error, Result, json};

/// The version of this format.
pub const FORMAT: u32 = 1;
/// Longest file in bytes.
pub const MAX_SIZE: usize = 4 << 20;

/// The results of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Results {
    /// Always [`FORMAT`].
    pub format: u32,
    /// When the last run began, seconds since 1970.
    pub made: i64,
    /// Each scenario that was played, on each firmware.
    pub runs: Vec<Run>,
}

/// One scenario on one firmware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Run {
    /// The name of the scenario.
    pub scenario: String,
    /// `bios`, `uefi` or `secure-boot`.
    pub firmware: String,
    /// Everything was as expected.
    pub passed: bool,
    /// SHA-256 of the manifests of all packages it was given, those inside disk images too.
    pub packages: BTreeSet<Digest>,
}

/// A run that packages of a kind need before they are published: `base=base-update` or `base=base-update@uefi`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Required {
    /// Which packages.
    pub kind: Kind,
    /// The scenario.
    pub scenario: String,
    /// On this firmware; none: on whichever it was played.
    pub firmware: Option<String>,
}

/// Why a package may not be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Shortfall {
    /// The clock, then or now, is wrong; with their day.
    #[error("the results are from {0}, which is still to come; one of the clocks is wrong")]
    Future(String),
    /// They are too old.
    #[error("the results are from {made}; at most {days} day(s) are allowed, play the scenarios again")]
    Old {
        /// Their day.
        made: String,
        /// How many days are allowed.
        days: u32,
    },
    /// A required scenario was not as expected.
    #[error("scenario \"{scenario}\" failed on {firmware}")]
    Red {
        /// Which.
        scenario: String,
        /// Where.
        firmware: String,
    },
    /// A required scenario was not played.
    #[error("{0} was not played")]
    Missing(Required),
    /// It was played with something else.
    #[error("{0} was played, but with other packages than this one (manifest {1})")]
    OtherBytes(Required, Digest),
}

impl Results {
    /// Reads and checks a file.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let results: Self = json::document(WHAT, bytes, MAX_SIZE, FORMAT)?;
        results.check().map_err(|problem| Error::corrupt(WHAT, problem))?;
        Ok(results)
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check().map_err(|problem| Error::invalid(WHAT, problem))?;
        json::encode_within(WHAT, self, MAX_SIZE)
    }

    fn check(&self) -> std::result::Result<(), String> {
        if !(0..=MAX_UNIX).contains(&self.made) {
            return Err(format!("made {} is not a second of the years 1970 to 9999", self.made));
        }
        for run in &self.runs {
            check_name("scenario", &run.scenario).map_err(|error| error.to_string())?;
            check_name("firmware", &run.firmware).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Whether a package of this kind, with a manifest of this digest, may be published at `now`, seconds since 1970, when `required` has to be
    /// green and no older than `days`.
    ///
    /// # Errors
    /// [`Shortfall`]: the first thing that is missing.
    pub fn judge(
        &self,
        kind: Kind,
        manifest: &Digest,
        required: &[Required],
        now: i64,
        days: u32,
    ) -> std::result::Result<(), Shortfall> {
        let required: Vec<&Required> = required.iter().filter(|one| one.kind == kind).collect();
        if required.is_empty() {
            return Ok(());
        }
        let day = |seconds| Date::of_unix(seconds).map(|day| day.to_string()).unwrap_or_default();
        let age = now.saturating_sub(self.made);
        if age < -CLOCKS_DIFFER {
            return Err(Shortfall::Future(day(self.made)));
        }
        if age > i64::from(days).saturating_mul(86_400) {
            return Err(Shortfall::Old { made: day(self.made), days });
        }
        required.into_iter().try_for_each(|one| self.meets(one, manifest))
    }

    fn meets(&self, required: &Required, manifest: &Digest) -> std::result::Result<(), Shortfall> {
        let runs: Vec<&Run> = self.runs.iter().filter(|run| required.is_about(run)).collect();
        if let Some(red) = runs.iter().find(|run| !run.passed) {
            return Err(Shortfall::Red { scenario: red.scenario.clone(), firmware: red.firmware.clone() });
        }
        match (runs.is_empty(), runs.iter().any(|run| run.packages.contains(manifest))) {
            (true, _) => Err(Shortfall::Missing(required.clone())),
            (false, false) => Err(Shortfall::OtherBytes(required.clone(), *manifest)),
            (false, true) => Ok(()),
        }
    }
}

impl Required {
    fn is_about(&self, run: &Run) -> bool {
        self.scenario == run.scenario && self.firmware.as_ref().is_none_or(|firmware| *firmware == run.firmware)
    }
}

impl FromStr for Required {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            let problem =
                format!("\"{}\" is not like \"base=base-update\" or \"base=base-update@uefi\"", json::shown(text));
            Error::invalid("required scenario", problem)
        };
        let (kind, rest) = text.split_once('=').ok_or_else(bad)?;
        let (scenario, firmware) = rest.split_once('@').map_or((rest, None), |(name, firmware)| (name, Some(firmware)));
        for name in [Some(scenario), firmware].into_iter().flatten() {
            check_name("scenario", name).map_err(|_| bad())?;
        }
        Ok(Self {
            kind: Kind::named(kind).ok_or_else(bad)?,
            scenario: scenario.into(),
            firmware: firmware.map(str::to_owned),
        })
    }
}

impl fmt::Display for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind, self.scenario)?;
        self.firmware.iter().try_for_each(|firmware| write!(f, "@{firmware}"))
    }
}

const WHAT: &str = "scenario results";
/// Seconds by which two machines' clocks may differ.
const CLOCKS_DIFFER: i64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn run(scenario: &str, firmware: &str, passed: bool, packages: &[&str]) -> Run {
        let packages = packages.iter().map(|name| digest(name)).collect();
        Run { scenario: scenario.into(), firmware: firmware.into(), passed, packages }
    }

    fn results() -> Results {
        let runs = vec![
            run("base-update", "bios", true, &["old", "new"]),
            run("base-update", "uefi", true, &["old", "new"]),
            run("first-boot", "bios", true, &["old"]),
            run("site-update", "bios", false, &["site"]),
        ];
        Results { format: FORMAT, made: NOW, runs }
    }

    fn judged(kind: Kind, package: &str, required: &[&str], now: i64) -> std::result::Result<(), Shortfall> {
        let required: Vec<Required> = required.iter().map(|text| text.parse().unwrap()).collect();
        results().judge(kind, &digest(package), &required, now, 14)
    }

    #[test]
    fn what_was_tried_may_be_published_and_nothing_else() {
        let wanted = ["base=base-update@bios", "base=base-update@uefi", "site=site-update"];
        assert_eq!(judged(Kind::Base, "new", &wanted, NOW), Ok(()));
        assert_eq!(judged(Kind::Licence, "anything", &wanted, NOW), Ok(()), "nothing is required of licences");
        let other = judged(Kind::Base, "other", &wanted, NOW).unwrap_err();
        assert_eq!(other, Shortfall::OtherBytes(wanted[0].parse().unwrap(), digest("other")));
        let red = judged(Kind::Site, "site", &wanted, NOW).unwrap_err();
        assert_eq!(red.to_string(), "scenario \"site-update\" failed on bios");
        let missing = judged(Kind::Base, "new", &["base=base-update@secure-boot"], NOW).unwrap_err();
        assert_eq!(missing.to_string(), "base=base-update@secure-boot was not played");
        assert!(matches!(judged(Kind::Base, "new", &["base=first-boot"], NOW), Err(Shortfall::OtherBytes(..))));
    }

    #[test]
    fn results_grow_old_and_do_not_come_from_the_future() {
        let at = |now| judged(Kind::Base, "new", &["base=base-update"], now);
        assert_eq!((at(NOW + 14 * DAY), at(NOW - 3600)), (Ok(()), Ok(())));
        assert!(matches!(at(NOW + 14 * DAY + 1), Err(Shortfall::Old { days: 14, .. })));
        assert!(matches!(at(NOW - 3601), Err(Shortfall::Future(_))));
    }

    #[test]
    fn files_are_read_as_they_were_written_and_damaged_ones_are_refused() {
        assert_eq!(Results::parse(&results().encode().unwrap()), Ok(results()));
        let text = String::from_utf8(results().encode().unwrap()).unwrap();
        for (from, to) in [
            ("\"format\": 1", "\"format\": 2"),
            ("\"made\": 1800000000", "\"made\": -1"),
            ("\"passed\": true", "\"passed\": 1"),
            ("base-update", "base update"),
            ("\"bios\"", "\"bios\", \"firmware\": \"uefi\""),
        ] {
            assert!(text.contains(from));
            assert!(Results::parse(text.replace(from, to).as_bytes()).is_err(), "{to}");
        }
        assert!(Results::parse(&vec![b' '; MAX_SIZE + 1]).is_err());
    }

    #[test]
    fn requirements_are_read_and_shown_alike() {
        for text in ["base=base-update", "site=site-update@uefi", "licence=licence@secure-boot"] {
            assert_eq!(text.parse::<Required>().unwrap().to_string(), text);
        }
        for text in ["", "base", "=x", "base=", "base=x@", "base=@uefi", "other=x", "base=x@uefi@bios", "base=x y"] {
            assert!(text.parse::<Required>().is_err(), "{text}");
        }
    }
}
