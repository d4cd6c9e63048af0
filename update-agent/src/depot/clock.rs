//! What time it is, as far as that can be known without asking anybody: the machine's clock, but never before something that was signed.

use formats::manifest::Date;
use serde::Serialize;

/// The time by which is judged what is good and what is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Clock {
    /// What the machine's clock says, seconds since 1970.
    pub says: i64,
    /// When the newest thing was made of which this appliance knows that it was signed.
    pub signed: i64,
}

impl Clock {
    /// What is believed.
    pub fn now(self) -> i64 {
        self.says.max(self.signed)
    }

    /// A sentence about a clock that cannot be right.
    pub fn problem(self) -> Option<String> {
        (self.says < self.signed).then(|| {
            format!(
                "the clock of this appliance says {}, and what it has from its makers was signed on {}: set the clock; until then it counts \
                 as that day",
                day(self.says),
                day(self.signed)
            )
        })
    }
}

/// A day for people.
pub fn day(unix: i64) -> String {
    Date::of_unix(unix).map_or_else(|| format!("second {unix}"), |day| day.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_before_the_newest_signature_is_believed() {
        let late = Clock { says: 1_700_000_000, signed: 1_600_000_000 };
        assert_eq!((late.now(), late.problem()), (1_700_000_000, None));
        let early = Clock { says: 0, signed: 1_600_000_000 };
        assert_eq!(early.now(), 1_600_000_000);
        let problem = early.problem().unwrap();
        assert!(problem.contains("says 1970-01-01") && problem.contains("2020-09-13"), "{problem}");
    }
}
