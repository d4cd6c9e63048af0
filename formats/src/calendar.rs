//! When an appliance asks its depot by itself. Pure: whoever calls says what the time is, and does the waiting.
//!
//! Every appliance has a moment of its own in the period between two checks, drawn from its name. So a fleet of any size asks evenly over
//! the period without a server that deals out turns, and goes on doing so after the power came back for all at once: nobody's moment
//! depends on when it was started. An appliance that was off at its moment asks soon after it starts, and those starts are spread too.

use crate::Digest;

/// How often an appliance asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm<'a> {
    /// Its name among all.
    pub appliance: &'a str,
    /// Hours between two checks; zero: never by itself.
    pub hours: u32,
}

impl Rhythm<'_> {
    /// Seconds between two checks; nothing when it never asks by itself.
    pub fn period(&self) -> Option<i64> {
        i64::from(self.hours).checked_mul(3600).filter(|period| *period > 0)
    }

    /// The appliance's moment: seconds from the beginning of each period, periods counted from 1970 on.
    pub fn moment(&self) -> Option<i64> {
        self.period().map(|period| drawn(b"moment", self.appliance, period))
    }

    /// When to ask next, seconds since 1970. `last`: when it asked before, by itself or because it was told to; `started`: since when it
    /// has been running. A `last` that is later than the clock says now is better left out: somebody has set the clock back.
    ///
    /// A time that has passed means: now.
    pub fn next(&self, last: Option<i64>, started: i64) -> Option<i64> {
        let (period, moment) = (self.period()?, self.moment()?);
        let after = |time: i64| {
            let into = time.saturating_sub(moment).rem_euclid(period);
            time.saturating_add(period.saturating_sub(into))
        };
        let regular = after(last.unwrap_or(started));
        if last.is_some() && regular >= started {
            return Some(regular);
        }
        // It never asked, or was off at its moment.
        let spread = SPREAD.min(period / 4).max(1);
        let soon = started.saturating_add(SETTLE).saturating_add(drawn(b"start", self.appliance, spread));
        Some(soon.min(after(started).max(started.saturating_add(SETTLE))))
    }

    /// When to ask again after a check that failed at this time, seconds since 1970; [`Rhythm::next`] may come before. An eighth of the
    /// period later, but neither as often as a crowd would nor as late as half a day.
    pub fn again(&self, failed: i64) -> Option<i64> {
        let pause = self.period()?.checked_div(8)?.clamp(SOONEST_AGAIN, LATEST_AGAIN);
        Some(failed.saturating_add(pause))
    }
}

/// Hours between two checks of an appliance whose operator said nothing about it.
pub const CHECK_HOURS: u32 = 24;

/// A number below `limit` that looks like chance, the same each time.
fn drawn(purpose: &[u8], appliance: &str, limit: i64) -> i64 {
    let digest = Digest::of(&[purpose, appliance.as_bytes()].join(&0));
    let head = digest.0.iter().take(7).fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
    head.checked_rem(limit).unwrap_or(0)
}

/// Seconds after its start in which an appliance has other things to do.
const SETTLE: i64 = 120;
/// Seconds over which the checks after a start are spread at most.
const SPREAD: i64 = 3600;
const SOONEST_AGAIN: i64 = 900;
const LATEST_AGAIN: i64 = 2 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    fn names() -> impl Iterator<Item = String> {
        (0..20_000).map(|number| format!("appliance-{number}"))
    }

    fn daily(name: &str) -> Rhythm<'_> {
        Rhythm { appliance: name, hours: 24 }
    }

    /// How many fall into each of 24 equal parts of `span` seconds from `NOW` on.
    fn parts(times: impl Iterator<Item = i64>, span: i64) -> Vec<usize> {
        let mut parts = vec![0; 24];
        for time in times {
            parts[usize::try_from((time - NOW) * 24 / span).unwrap()] += 1;
        }
        parts
    }

    #[test]
    fn a_fleet_asks_evenly_over_the_period_and_each_appliance_once_in_it() {
        let names: Vec<String> = names().collect();
        let times = names.iter().map(|name| {
            let rhythm = daily(name);
            let first = rhythm.next(Some(NOW - 1), NOW - 30 * DAY).unwrap();
            let second = rhythm.next(Some(first), NOW - 30 * DAY).unwrap();
            assert_eq!((second - first, first >= NOW), (DAY, true), "{name}");
            // A check that came a little late does not push the next one.
            assert_eq!(rhythm.next(Some(first + 600), NOW - 30 * DAY), Some(second));
            first
        });
        for count in parts(times, DAY) {
            assert!((700..970).contains(&count), "{count} of 20000 in one hour");
        }
    }

    #[test]
    fn after_a_common_power_cut_the_checks_are_spread_too() {
        let names: Vec<String> = names().collect();
        for last in [None, Some(NOW - 3 * DAY)] {
            let times: Vec<i64> = names.iter().map(|name| daily(name).next(last, NOW).unwrap()).collect();
            assert!(times.iter().all(|time| (NOW + SETTLE..=NOW + SETTLE + SPREAD).contains(time)));
            for count in parts(times.iter().map(|time| time - SETTLE), SPREAD) {
                assert!((680..1000).contains(&count), "{count} of 20000 in one part of the hour");
            }
        }
    }

    #[test]
    fn whoever_asked_shortly_before_its_restart_waits_for_its_moment() {
        for name in names().take(200) {
            let rhythm = daily(&name);
            let moment = rhythm.next(Some(NOW), NOW - DAY).unwrap();
            assert_eq!(rhythm.next(Some(NOW), moment - 60), Some(moment));
            assert!(rhythm.next(Some(NOW), moment + 1).unwrap() <= moment + 1 + SETTLE + SPREAD, "missed");
        }
    }

    #[test]
    fn a_failed_check_is_tried_again_sooner_but_not_at_once() {
        let again = |hours| Rhythm { appliance: "x", hours }.again(NOW).map(|time| time - NOW);
        assert_eq!([again(24), again(12), again(1), again(0)], [Some(7200), Some(5400), Some(900), None]);
    }

    #[test]
    fn short_periods_are_kept_and_zero_means_never() {
        for name in names().take(200) {
            let hourly = Rhythm { appliance: &name, hours: 1 };
            let soon = hourly.next(None, NOW).unwrap();
            assert!((NOW + SETTLE..NOW + SETTLE + 900).contains(&soon), "{soon}");
            assert!(hourly.moment().unwrap() < 3600);
            assert_eq!(Rhythm { appliance: &name, hours: 0 }.next(None, NOW), None);
            let longest = Rhythm { appliance: &name, hours: u32::MAX };
            assert!(longest.next(Some(i64::MAX), i64::MIN).is_some());
        }
    }
}
