//! When a backup is made by itself. Pure: the time comes from the caller.
//!
//! A backup is due once its moment has passed and none was made since. So one that was missed, because the appliance was off or another
//! job was at work, is made as soon as it can be, once; and the first one is due at once.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::window::Window;
use crate::{Error, Result};

/// A time of day on some days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Schedule(Window);

impl Schedule {
    /// At a time like `02:30` on days like `sun` (none: every day), by a clock that is `+01:00` or so ahead of UTC.
    pub fn new(days: &[String], at: &str, offset: &str) -> Result<Self> {
        Window::new(days, at, at, offset).map(Self)
    }

    /// Whether one is due. `made`: when the last one was made; `failed`: when one was tried last that could not be made. Times that lie
    /// ahead of the clock are those of a wrong clock and do not count.
    pub fn is_due(self, made: Option<i64>, failed: Option<i64>, now: i64) -> bool {
        let past = |time: &i64| *time <= now;
        let planned = self.0.last_opening(now);
        let missing = made.filter(past).is_none_or(|made| made < planned);
        missing && failed.filter(past).is_none_or(|failed| now.saturating_sub(failed) >= AGAIN)
    }

    /// The next planned moment, seconds since 1970.
    pub fn next(self, now: i64) -> i64 {
        self.0.next_opening(now)
    }
}

/// A schedule as it is written in a file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    days: Vec<String>,
    at: String,
    #[serde(default = "utc")]
    utc_offset: String,
}

fn utc() -> String {
    "+00:00".into()
}

impl TryFrom<Written> for Schedule {
    type Error = Error;
    fn try_from(written: Written) -> Result<Self> {
        if written.days.len() > 7 {
            return Err(Error::invalid("backup schedule", format!("{} days; a week has 7", written.days.len())));
        }
        Self::new(&written.days, &written.at, &written.utc_offset)
    }
}

impl From<Schedule> for Written {
    fn from(Schedule(window): Schedule) -> Self {
        let (days, at, utc_offset) = window.opening();
        Self { days, at, utc_offset }
    }
}

impl fmt::Display for Schedule {
    /// For example `sat, sun at 02:30 (UTC+01:00)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, at, offset) = self.0.opening();
        let days = if days.is_empty() { "every day".into() } else { days.join(", ") };
        write!(f, "{days} at {at} (UTC{offset})")
    }
}

/// Seconds until one that failed is tried again.
const AGAIN: i64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 2026-11-23 00:00 UTC.
    const MONDAY: i64 = 1_795_392_000;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    fn schedule(days: &[&str], at: &str, offset: &str) -> Schedule {
        Schedule::new(&days.iter().map(|day| (*day).to_owned()).collect::<Vec<_>>(), at, offset).unwrap()
    }

    /// One look each ten minutes for so many days: when one was made, in hours since Monday.
    fn made(schedule: Schedule, days: i64, mut last: Option<i64>, works: impl Fn(i64) -> bool) -> Vec<i64> {
        let (mut made, mut failed) = (Vec::new(), None);
        for now in (MONDAY..MONDAY + days * DAY).step_by(600) {
            if schedule.is_due(last, failed, now) {
                if works(now - MONDAY) {
                    (last, failed) = (Some(now), None);
                    made.push((now - MONDAY) / HOUR);
                } else {
                    failed = Some(now);
                }
            }
        }
        made
    }

    #[test]
    fn one_is_made_each_day_or_on_the_days_that_were_said() {
        let last = Some(MONDAY - HOUR);
        assert_eq!(made(schedule(&[], "02:30", "+00:00"), 3, last, |_| true), [2, 26, 50]);
        assert_eq!(made(schedule(&["wed", "sun"], "23:00", "+01:00"), 14, last, |_| true), [70, 166, 238, 334]);
        assert_eq!(made(schedule(&["mon"], "00:00", "+00:00"), 7, last, |_| true), [0], "at the very second");
    }

    #[test]
    fn the_first_is_due_at_once_and_one_that_was_missed_is_made_once() {
        assert_eq!(made(schedule(&["sun"], "03:00", "+00:00"), 7, None, |_| true), [0, 147]);
        let off = |since: i64| !(2 * HOUR..40 * HOUR).contains(&since);
        assert_eq!(made(schedule(&[], "03:00", "+00:00"), 3, Some(MONDAY - HOUR), off), [40, 51]);
    }

    #[test]
    fn one_that_fails_is_tried_again_every_hour() {
        let schedule = schedule(&[], "00:00", "+00:00");
        assert!(schedule.is_due(None, None, MONDAY));
        assert!(!schedule.is_due(None, Some(MONDAY), MONDAY + HOUR - 1));
        assert!(schedule.is_due(None, Some(MONDAY), MONDAY + HOUR));
    }

    #[test]
    fn times_ahead_of_the_clock_keep_nothing_from_being_made() {
        let schedule = schedule(&[], "00:00", "+00:00");
        assert!(schedule.is_due(Some(MONDAY + 400 * DAY), Some(MONDAY + 1), MONDAY));
    }

    #[test]
    fn the_next_moment_is_never_this_one() {
        let schedule = schedule(&["mon", "tue"], "00:00", "+00:00");
        assert_eq!(schedule.next(MONDAY), MONDAY + DAY);
        assert_eq!(schedule.next(MONDAY + DAY), MONDAY + 7 * DAY);
        assert_eq!(schedule.next(MONDAY - 1), MONDAY);
    }

    #[test]
    fn it_is_written_and_read_and_shown() {
        for json in
            [r#"{"at":"02:30","utc-offset":"+00:00"}"#, r#"{"days":["sat","sun"],"at":"23:59","utc-offset":"-03:30"}"#]
        {
            let schedule: Schedule = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&schedule).unwrap(), json);
        }
        assert_eq!(schedule(&["sun"], "02:30", "+01:00").to_string(), "sun at 02:30 (UTC+01:00)");
        for wrong in
            [r#"{"at":"24:00"}"#, r#"{"at":"02:30","days":["caturday"]}"#, r#"{"days":[]}"#, r#"{"at":"2:30"}"#]
        {
            assert!(serde_json::from_str::<Schedule>(wrong).is_err(), "{wrong}");
        }
    }
}
