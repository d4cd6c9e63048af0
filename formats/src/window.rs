//! The maintenance window: the times of a week at which what disturbs people may begin.
//!
//! Pure: the time comes from the caller. Times of day are local, told as a fixed distance from UTC, because an appliance has no table of
//! time zones: where clocks change in summer, the window moves by an hour against the clock on the wall. An opening belongs to the day on
//! which it begins, and openings that touch are one. Whether something may begin is asked here; doing it is others' business.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::manifest::Date;
use crate::{Error, Result, json};

/// A weekly maintenance window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Window {
    /// Bit 0: Monday.
    days: u8,
    /// Minutes after midnight.
    from: u16,
    /// The same; not after `from`: on the next day.
    to: u16,
    /// Minutes by which local time is ahead of UTC.
    offset: i16,
}

/// Where a moment lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// In the window, until this second since 1970; nothing: it never closes.
    Open(Option<i64>),
    /// Outside; it opens at this second since 1970.
    Closed(i64),
}

/// Why something may not begin now. Shown as a sentence with its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outside {
    /// When it may be tried again, seconds since 1970; nothing: no opening is long enough.
    pub opens: Option<i64>,
    /// Seconds until the window closes; nothing when it is closed.
    left: Option<i64>,
    /// Seconds that are needed.
    needs: i64,
    /// Seconds of its longest opening.
    longest: i64,
    offset: i16,
}

impl Window {
    /// A window that opens at `from` on these days and closes at the next `to`, both as `22:00`; equal: it is open for a day. `days` as
    /// `mon`; none: every day. `offset`, as `+01:00`, is by how much local time is ahead of UTC.
    pub fn new(days: &[String], from: &str, to: &str, offset: &str) -> Result<Self> {
        let mut bits = 0_u8;
        for day in days {
            let bit = DAYS.iter().zip(BITS).find(|(name, _)| *name == day).map(|(_, bit)| bit);
            bits |= bit.ok_or_else(|| invalid(day, "a day like \"mon\""))?;
        }
        let bits = if days.is_empty() { ALL } else { bits };
        let time = |text: &str| time_of_day(text).ok_or_else(|| invalid(text, "a time of day like \"22:00\""));
        let distance = distance(offset).ok_or_else(|| invalid(offset, "a distance from UTC like \"+01:00\""))?;
        Ok(Self { days: bits, from: time(from)?, to: time(to)?, offset: distance })
    }

    /// Where a second since 1970 lies.
    pub fn at(self, now: i64) -> Moment {
        let second = self.second_of_week(now);
        match self.open_for(second) {
            0 => Moment::Closed(now.saturating_add(self.until_opening(second))),
            WEEK.. => Moment::Open(None),
            left => Moment::Open(Some(now.saturating_add(left))),
        }
    }

    /// Whether it is open.
    pub fn open(self, now: i64) -> bool {
        matches!(self.at(now), Moment::Open(_))
    }

    /// Whether something that takes `needs` seconds may begin now: only in the window, and only when it is open for so long.
    ///
    /// # Errors
    /// Why not, and from when on.
    pub fn admits(self, now: i64, needs: i64) -> std::result::Result<(), Outside> {
        let second = self.second_of_week(now);
        let left = self.open_for(second);
        if left > 0 && left >= needs.min(WEEK) {
            return Ok(());
        }
        let longest = self.starts().map(|start| self.open_for(start)).max().unwrap_or(0);
        // The first opening that is long enough; each begins where one of the days does, or is in the middle of one that does.
        let long_enough = self.starts().filter(|start| self.open_for(*start) >= needs.min(WEEK));
        let waits = long_enough
            .map(|start| week_of(start.saturating_sub(second)))
            .map(|wait| if wait == 0 { WEEK } else { wait });
        let opens = waits.min().map(|wait| now.saturating_add(wait));
        let left = (left > 0).then_some(left);
        Err(Outside { opens, left, needs, longest, offset: self.offset })
    }

    /// Seconds since the beginning of Monday, local time.
    fn second_of_week(self, now: i64) -> i64 {
        week_of(now.saturating_add(i64::from(self.offset).saturating_mul(60)).saturating_sub(FIRST_MONDAY))
    }

    /// When in the week it opens; openings that touch are not put together here.
    fn starts(self) -> impl Iterator<Item = i64> {
        let from = i64::from(self.from).saturating_mul(60);
        let days = (0_i64..).zip(BITS).filter(move |(_, bit)| self.days & bit != 0);
        days.map(move |(day, _)| day.saturating_mul(DAY).saturating_add(from))
    }

    /// Seconds from each start to its end.
    fn length(self) -> i64 {
        let minutes = i64::from(self.to).saturating_sub(i64::from(self.from));
        minutes.saturating_mul(60).saturating_sub(1).checked_rem_euclid(DAY).unwrap_or(0).saturating_add(1)
    }

    /// Seconds it stays open from this second of the week on, openings that touch put together; zero when it is closed, a week or more
    /// when it never closes.
    fn open_for(self, second: i64) -> i64 {
        let mut total = 0_i64;
        while total < WEEK {
            let at = second.saturating_add(total);
            let left = |start: i64| self.length().saturating_sub(week_of(at.saturating_sub(start)));
            match self.starts().map(left).max().unwrap_or(0) {
                more @ 1.. => total = total.saturating_add(more),
                _ => break,
            }
        }
        total
    }

    fn until_opening(self, second: i64) -> i64 {
        self.starts().map(|start| week_of(start.saturating_sub(second))).min().unwrap_or(0)
    }
}

/// What schedules need of a window.
#[cfg(feature = "backup")]
impl Window {
    /// When it opened last, this second included, whether it is still open or not; seconds since 1970.
    pub(crate) fn last_opening(self, now: i64) -> i64 {
        let second = self.second_of_week(now);
        let since = self.starts().map(|start| week_of(second.saturating_sub(start))).min();
        now.saturating_sub(since.unwrap_or(0)) // OK: a window has a day at least
    }

    /// When it opens next, after this second.
    pub(crate) fn next_opening(self, now: i64) -> i64 {
        let second = self.second_of_week(now).saturating_add(1);
        now.saturating_add(1).saturating_add(self.until_opening(second))
    }

    /// Days (none: every day), time of the opening and distance from UTC, as they are written.
    pub(crate) fn opening(self) -> (Vec<String>, String, String) {
        let Written { days, from, utc_offset, .. } = self.into();
        (days, from, utc_offset)
    }
}

/// The same second of a week.
fn week_of(second: i64) -> i64 {
    second.checked_rem_euclid(WEEK).unwrap_or(0)
}

/// Minutes after midnight of `22:00`.
fn time_of_day(text: &str) -> Option<u16> {
    let &[h1, h2, b':', m1, m2] = text.as_bytes() else { return None };
    let number = |tens: u8, ones: u8| {
        let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte.wrapping_sub(b'0')));
        digit(tens)?.checked_mul(10)?.checked_add(digit(ones)?)
    };
    let (hours, minutes) = (number(h1, h2)?, number(m1, m2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    hours.checked_mul(60)?.checked_add(minutes)
}

/// Minutes of `+01:00`, at most 14 hours.
fn distance(text: &str) -> Option<i16> {
    let (sign, rest) = text.split_at_checked(1)?;
    let minutes = i16::try_from(time_of_day(rest)?).ok().filter(|minutes| *minutes <= 14 * 60)?;
    match sign {
        "+" => Some(minutes),
        "-" => minutes.checked_neg(),
        _ => None,
    }
}

/// A second since 1970 as day and time for people, in a local time that is so many minutes ahead of UTC.
pub fn local(unix: i64, offset: i16) -> String {
    let local = unix.saturating_add(i64::from(offset).saturating_mul(60));
    let minute = local.checked_rem_euclid(DAY).and_then(|second| second.checked_div(60)).unwrap_or(0);
    match Date::of_unix(local) {
        Some(day) => format!("{day} {} (UTC{})", clock(minute), written_distance(offset)),
        None => format!("second {unix}"),
    }
}

fn clock(minutes: i64) -> String {
    let hours = minutes.checked_div(60).unwrap_or(0);
    format!("{hours:02}:{:02}", minutes.checked_rem(60).unwrap_or(0))
}

fn written_distance(offset: i16) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    format!("{sign}{}", clock(i64::from(offset.unsigned_abs())))
}

/// Seconds in minutes or hours, rounded up.
fn duration(seconds: i64) -> String {
    let minutes = seconds.saturating_add(59).checked_div(60).unwrap_or(0);
    if minutes < 120 { format!("{minutes} min") } else { format!("{} h {} min", minutes / 60, minutes % 60) }
}

impl fmt::Display for Window {
    /// For example `sat, sun from 22:00 to 04:00 (UTC+01:00)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = if self.days == ALL { "every day".into() } else { names(self.days).join(", ") };
        let [from, to] = [self.from, self.to].map(|minutes| clock(minutes.into()));
        write!(f, "{days} from {from} to {to} (UTC{})", written_distance(self.offset))
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opens = self.opens.map(|opens| local(opens, self.offset));
        let needs = duration(self.needs);
        match (opens, self.left) {
            (Some(opens), Some(left)) => {
                let left = duration(left);
                write!(
                    f,
                    "about {needs} are needed and the maintenance window closes in {left}; it opens again on {opens}"
                )
            }
            (Some(opens), None) => write!(f, "the maintenance window is closed; it opens on {opens}"),
            (None, _) => {
                let longest = duration(self.longest);
                write!(
                    f,
                    "about {needs} are needed and the maintenance window is never open for more than {longest}: set a longer one"
                )
            }
        }
    }
}

fn names(days: u8) -> Vec<&'static str> {
    DAYS.into_iter().zip(BITS).filter(|(_, bit)| days & bit != 0).map(|(name, _)| name).collect()
}

/// A window as it is written in a file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Written {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    days: Vec<String>,
    from: String,
    to: String,
    #[serde(default = "utc")]
    utc_offset: String,
}

fn utc() -> String {
    written_distance(0)
}

impl TryFrom<Written> for Window {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        if written.days.len() > DAYS.len() {
            return Err(Error::invalid(WHAT, format!("{} days; a week has {}", written.days.len(), DAYS.len())));
        }
        Self::new(&written.days, &written.from, &written.to, &written.utc_offset)
    }
}

impl From<Window> for Written {
    fn from(window: Window) -> Self {
        let days =
            if window.days == ALL { Vec::new() } else { names(window.days).into_iter().map(Into::into).collect() };
        let [from, to] = [window.from, window.to].map(|minutes| clock(minutes.into()));
        Self { days, from, to, utc_offset: written_distance(window.offset) }
    }
}

fn invalid(text: &str, wanted: &str) -> Error {
    Error::invalid(WHAT, format!("\"{}\" is not {wanted}", json::shown(text)))
}

const WHAT: &str = "maintenance window";
const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;
/// 1970-01-05.
const FIRST_MONDAY: i64 = 4 * DAY;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const BITS: [u8; 7] = [1, 2, 4, 8, 16, 32, 64];
const ALL: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;
    /// Monday, 2026-11-23 00:00 UTC.
    const MONDAY: i64 = 1_795_392_000;

    fn window(days: &[&str], from: &str, to: &str, offset: &str) -> Window {
        let days: Vec<String> = days.iter().map(|day| (*day).into()).collect();
        Window::new(&days, from, to, offset).unwrap()
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let weekend = window(&["sat"], "22:00", "04:00", "+00:00");
        let saturday = MONDAY + 5 * DAY;
        assert_eq!(weekend.at(MONDAY), Moment::Closed(saturday + 22 * HOUR));
        assert_eq!(weekend.at(saturday + 22 * HOUR - 1), Moment::Closed(saturday + 22 * HOUR));
        assert_eq!(weekend.at(saturday + 22 * HOUR), Moment::Open(Some(saturday + 28 * HOUR)));
        assert_eq!(weekend.at(saturday + 28 * HOUR - 1), Moment::Open(Some(saturday + 28 * HOUR)));
        assert_eq!(weekend.at(saturday + 28 * HOUR), Moment::Closed(saturday + 7 * DAY + 22 * HOUR));
        assert!(!weekend.open(saturday + 3 * HOUR), "the night before");
    }

    #[test]
    fn a_week_begins_anew_on_monday_and_a_day_where_the_appliance_is() {
        let sunday = window(&["sun"], "23:00", "01:00", "+00:00");
        assert!(sunday.open(MONDAY) && sunday.open(MONDAY + HOUR - 1) && !sunday.open(MONDAY + HOUR));
        let tokyo = window(&["mon"], "01:00", "02:00", "+09:00");
        assert_eq!(tokyo.at(MONDAY - 8 * HOUR), Moment::Open(Some(MONDAY - 7 * HOUR)));
        let newfoundland = window(&["mon"], "01:00", "02:00", "-03:30");
        assert_eq!(newfoundland.at(MONDAY), Moment::Closed(MONDAY + 4 * HOUR + HOUR / 2));
    }

    #[test]
    fn openings_that_touch_are_one() {
        let weekend = window(&["sat", "sun"], "00:00", "00:00", "+00:00");
        assert_eq!(weekend.at(MONDAY + 5 * DAY + HOUR), Moment::Open(Some(MONDAY + 7 * DAY)));
        assert_eq!(window(&[], "00:00", "00:00", "+00:00").at(MONDAY + 3), Moment::Open(None));
        assert_eq!(window(&[], "07:30", "07:30", "+02:00").at(MONDAY + 3), Moment::Open(None));
        let over_the_week = window(&["sun", "mon"], "12:00", "12:00", "+00:00");
        assert_eq!(over_the_week.at(MONDAY - DAY), Moment::Closed(MONDAY - DAY / 2));
        assert_eq!(over_the_week.at(MONDAY), Moment::Open(Some(MONDAY + DAY + DAY / 2)));
    }

    #[test]
    fn what_takes_longer_than_is_left_waits_for_an_opening_that_is_long_enough() {
        let night = window(&["tue", "thu"], "22:00", "00:00", "+01:00");
        let tuesday = MONDAY + DAY + 21 * HOUR;
        assert_eq!(night.admits(tuesday, 2 * HOUR), Ok(()));
        let late = night.admits(tuesday + HOUR + 1, HOUR).unwrap_err();
        assert_eq!(late.opens, Some(tuesday + 2 * DAY));
        assert_eq!(
            late.to_string(),
            "about 60 min are needed and the maintenance window closes in 60 min; it opens again on 2026-11-26 22:00 (UTC+01:00)"
        );
        let closed = night.admits(MONDAY, 60).unwrap_err();
        assert_eq!(closed.to_string(), "the maintenance window is closed; it opens on 2026-11-24 22:00 (UTC+01:00)");
        assert_eq!(closed.opens, Some(tuesday));
        let never = night.admits(tuesday, 2 * HOUR + 1).unwrap_err();
        assert_eq!(
            (never.opens, never.to_string().contains("never open for more than 2 h 0 min")),
            (None, true),
            "{never}"
        );
    }

    #[test]
    fn one_opening_a_week_that_is_too_far_gone_is_waited_for_a_whole_week() {
        let weekly = window(&["mon"], "00:00", "02:00", "+00:00");
        assert_eq!(weekly.admits(MONDAY + 1, 2 * HOUR).unwrap_err().opens, Some(MONDAY + 7 * DAY));
        assert_eq!(window(&[], "00:00", "00:00", "+00:00").admits(MONDAY, i64::MAX), Ok(()), "it never closes");
    }

    #[test]
    fn every_minute_of_two_weeks_agrees_with_counting() {
        for (days, from, to, offset) in [
            (&["mon", "wed"][..], "22:00", "04:00", "+05:30"),
            (&["sun"], "00:00", "23:59", "-11:00"),
            (&[], "23:30", "00:30", "+14:00"),
            (&["fri", "sat", "sun"], "18:00", "18:00", "+00:00"),
        ] {
            let window = window(days, from, to, offset);
            // From the end to the beginning, so that the next change is always known.
            let (mut change, mut after) = (None, None);
            for now in (0..14 * 1440).rev().map(|minute| MONDAY + minute * 60) {
                let open = window.open(now);
                if after.is_some_and(|after| after != open) {
                    change = Some(now + 60);
                }
                after = Some(open);
                match (window.at(now), change) {
                    (Moment::Open(until), Some(change)) => assert_eq!(until, Some(change)),
                    (Moment::Closed(opens), Some(change)) => assert_eq!(opens, change),
                    (_, None) => {}
                }
            }
            assert!(change.is_some());
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_nonsense_is_not() {
        for text in [
            r#"{"days":["sat","sun"],"from":"22:00","to":"04:00","utc-offset":"+01:00"}"#,
            r#"{"from":"00:00","to":"00:00","utc-offset":"-09:30"}"#,
        ] {
            let window: Window = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&window).unwrap(), text);
        }
        assert_eq!(
            window(&["sat", "sun"], "22:00", "04:00", "+01:00").to_string(),
            "sat, sun from 22:00 to 04:00 (UTC+01:00)"
        );
        let utc: Window =
            serde_json::from_str(r#"{"from":"1:00","to":"02:00"}"#.replace("1:", "01:").as_str()).unwrap();
        assert_eq!(utc.to_string(), "every day from 01:00 to 02:00 (UTC+00:00)");
        for text in [
            r#"{"from":"22:00"}"#,
            r#"{"from":"24:00","to":"01:00"}"#,
            r#"{"from":"22:60","to":"01:00"}"#,
            r#"{"from":"+2:00","to":"01:00"}"#,
            r#"{"from":"2:00","to":"01:00"}"#,
            r#"{"from":"22:00","to":"01:00","days":["Mon"]}"#,
            r#"{"from":"22:00","to":"01:00","days":["mon","mon","mon","mon","mon","mon","mon","mon"]}"#,
            r#"{"from":"22:00","to":"01:00","utc-offset":"01:00"}"#,
            r#"{"from":"22:00","to":"01:00","utc-offset":"+14:01"}"#,
            r#"{"from":"22:00","to":"01:00","utc-offset":"\u00b101:00"}"#,
        ] {
            assert!(serde_json::from_str::<Window>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_at_the_end_of_what_can_be_counted_break_nothing() {
        let night = window(&["tue"], "22:00", "00:00", "-14:00");
        for now in [i64::MIN, -1, 0, i64::MAX] {
            assert!(night.admits(now, i64::MAX).is_err());
            assert!(!local(now, -840).is_empty());
        }
    }
}
