//! What time it is, as far as that can be known without asking anybody: the machine's clock, but never before something that was signed.
//!
//! A clock that is behind the newest signature is wrong for certain. One that is far ahead of it may be right: an appliance may have seen
//! nothing new for years. So the first is a statement and the second a question, and both say how far it is and the last time that is good.

use formats::manifest::Date;
use serde::Serialize;

use super::Places;
use crate::lifecycle::Facts;
use crate::workplace::now;

/// The time by which is judged what is good and what is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Clock {
    /// What the machine's clock says, seconds since 1970.
    pub says: i64,
    /// When the newest thing was made of which this appliance knows that it was signed.
    pub signed: i64,
    /// Until when the newest signed things are good; a depot that is asked often has the same list for years.
    #[serde(skip)]
    pub good_until: i64,
}

impl Clock {
    /// What is believed.
    pub fn now(self) -> i64 {
        self.says.max(self.signed)
    }

    /// The time of something that the machine's clock dated `then`, and that came after something which was signed at `signed`. A clock
    /// that said less cannot have meant it; of such a moment only is known that it is over, so it counts as the newest one that is known
    /// for certain.
    pub fn happened(self, then: i64, signed: i64) -> i64 {
        if signed.saturating_sub(then) > TOLERATED { self.signed.max(signed) } else { then }
    }

    /// A sentence about a clock that cannot be right.
    pub fn problem(self) -> Option<String> {
        (self.signed.saturating_sub(self.says) > TOLERATED).then(|| {
            format!(
                "the clock of this appliance is off by about {}: it says {}; last known good {}, when the newest thing known here was \
                 signed; set the clock; until then it counts as that day",
                self.off(),
                Date::shown(self.says),
                Date::shown(self.signed)
            )
        })
    }

    /// The same, or a question about one that is so far ahead that it may be wrong: for whatever fails because of the time.
    pub fn doubt(self) -> Option<String> {
        let ahead = self.says.saturating_sub(self.signed.max(self.good_until)) > LONG;
        self.problem().or_else(|| {
            ahead.then(|| {
                format!(
                    "the clock of this appliance says {}, and the newest thing known here was signed on {}: unless nothing new came for \
                     so long, the clock is off by about {}; last known good {}",
                    Date::shown(self.says),
                    Date::shown(self.signed),
                    self.off(),
                    Date::shown(self.signed)
                )
            })
        })
    }

    /// How far the clock is from the newest signature, in words.
    pub fn off(self) -> String {
        let seconds = self.says.abs_diff(self.signed);
        let (count, unit) = match seconds {
            0..=7199 => (seconds / 60, "minute"),
            7200..=172_799 => (seconds / 3600, "hour"),
            172_800..=63_071_999 => (seconds / DAY, "day"),
            // Half a year and more is one: ten years less an hour are ten years.
            _ => (seconds.saturating_add(YEAR / 2) / YEAR, "year"),
        };
        format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}

impl Places {
    /// The machine's clock, and the newest thing that was signed: the base that runs, and the list of the depot, which whoever signs only
    /// the list cannot make younger than all its other metadata lets it be.
    pub fn clock(&self, facts: &Facts) -> Clock {
        let base = facts.home().map_or(0, |base| base.created);
        let known = self.known();
        let (index, good_until) =
            known.map_or((0, 0), |known| (known.catalogue.index().created, known.depot.expires()));
        let says = i64::try_from(now()).unwrap_or(i64::MAX);
        Clock { says, signed: base.max(index.min(good_until)), good_until }
    }
}

/// Two good clocks may differ by so much, in seconds.
const TOLERATED: i64 = 600;
/// A clock that is further ahead of the newest signature, in seconds, is asked about. A release a year is not unusual.
const LONG: i64 = 400 * 86_400;
const DAY: u64 = 86_400;
const YEAR: u64 = 31_556_952;

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: i64 = 1_600_000_000;
    const TEN_YEARS: i64 = 315_569_520;

    #[test]
    fn no_time_before_the_newest_signature_is_believed() {
        let late = Clock { says: SIGNED + 1_000_000, signed: SIGNED, good_until: 0 };
        assert_eq!((late.now(), late.problem(), late.doubt()), (late.says, None, None));
        let early = Clock { says: 0, signed: SIGNED, good_until: 0 };
        assert_eq!(early.now(), SIGNED);
        let problem = early.problem().unwrap();
        assert!(problem.contains("says 1970-01-01") && problem.contains("last known good 2020-09-13"), "{problem}");
    }

    #[test]
    fn what_a_clock_cannot_have_meant_counts_as_the_newest_moment_that_is_certain() {
        let clock = Clock { says: SIGNED + 5000, signed: SIGNED, good_until: 0 };
        assert_eq!(clock.happened(SIGNED - 900, SIGNED - 1000), SIGNED - 900, "it was dated well, whatever came later");
        assert_eq!(clock.happened(SIGNED - 1599, SIGNED - 1000), SIGNED - 1599, "clocks differ a little");
        assert_eq!(clock.happened(0, SIGNED - 1000), SIGNED);
        assert_eq!(clock.happened(0, SIGNED + 70), SIGNED + 70, "what was installed by hand may be the newest");
    }

    #[test]
    fn ten_years_either_way_are_named_in_words() {
        let behind = Clock { says: SIGNED - TEN_YEARS, signed: SIGNED, good_until: 0 };
        let ahead = Clock { says: SIGNED + TEN_YEARS, signed: SIGNED, good_until: 0 };
        for text in [behind.problem(), behind.doubt(), ahead.doubt()] {
            let text = text.unwrap();
            assert!(text.contains("off by about 10 years") && text.contains("last known good 2020-09-13"), "{text}");
        }
        assert_eq!(ahead.problem(), None, "an appliance may have slept for ten years");
        let fresh = Clock { good_until: ahead.says + 1, ..ahead };
        assert_eq!(fresh.doubt(), None, "an old list in a depot that is kept fresh");
    }

    #[test]
    fn clocks_that_differ_a_little_are_left_alone_and_distances_have_fitting_units() {
        assert_eq!(Clock { says: SIGNED - 599, signed: SIGNED, good_until: 0 }.problem(), None);
        for (seconds, words) in [
            (0, "0 minutes"),
            (61, "1 minute"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
            (172_800, "2 days"),
            (63_072_000, "2 years"),
            (i64::MAX, "292277024627 years"),
        ] {
            assert_eq!(Clock { says: seconds, signed: 0, good_until: 0 }.off(), words);
            assert_eq!(Clock { says: 0, signed: seconds, good_until: 0 }.off(), words);
        }
    }
}
