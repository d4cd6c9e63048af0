//! Calendar days, as people write them in contracts: `2031-12-31`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Error, Result, json};

/// A day of the Gregorian calendar, years 1970 to 9999. Later days are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// The last day there is.
    pub const LAST: Self = Self { year: 9999, month: 12, day: 31 };

    /// The day that contains this second since 1970, in UTC; `None` outside 1970 to 9999.
    pub fn of_unix(seconds: i64) -> Option<Self> {
        if !(0..=MAX_UNIX).contains(&seconds) {
            return None;
        }
        let mut days = seconds.checked_div(86_400)?;
        let mut year: u16 = 1970;
        while days >= year_days(year) {
            days = days.checked_sub(year_days(year))?;
            year = year.checked_add(1)?;
        }
        let mut month: u8 = 1;
        while days >= i64::from(month_days(year, month)) {
            days = days.checked_sub(i64::from(month_days(year, month)))?;
            month = month.checked_add(1)?;
        }
        Some(Self { year, month, day: u8::try_from(days.checked_add(1)?).ok()? })
    }

    /// The day that contains this second for people; the bare second outside 1970 to 9999.
    pub fn shown(seconds: i64) -> String {
        Self::of_unix(seconds).map_or_else(|| format!("second {seconds}"), |day| day.to_string())
    }

    /// Its first second in UTC, since 1970.
    pub fn unix(self) -> i64 {
        let years = (1970..self.year).map(year_days);
        let months = (1..self.month).map(|month| i64::from(month_days(self.year, month)));
        let days = years.chain(months).chain([i64::from(self.day).saturating_sub(1)]);
        days.fold(0_i64, i64::saturating_add).saturating_mul(86_400)
    }
}

fn year_days(year: u16) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

const fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn month_days(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for Date {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::invalid("date", format!("\"{}\" is not a day such as \"2031-12-31\"", json::shown(text)));
        let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text.as_bytes() else { return Err(bad()) };
        let year = number(&[y1, y2, y3, y4]).ok_or_else(bad)?;
        let month = number(&[m1, m2]).and_then(|n| u8::try_from(n).ok()).ok_or_else(bad)?;
        let day = number(&[d1, d2]).and_then(|n| u8::try_from(n).ok()).ok_or_else(bad)?;
        if year < 1970 || !(1..=12).contains(&month) || !(1..=month_days(year, month)).contains(&day) {
            return Err(bad());
        }
        Ok(Self { year, month, day })
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |sum, digit| {
        let value = digit.is_ascii_digit().then(|| digit.wrapping_sub(b'0'))?;
        sum.checked_mul(10)?.checked_add(u16::from(value))
    })
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The last second of the year 9999.
pub const MAX_UNIX: i64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_days_of_the_calendar_only() {
        for text in ["1970-01-01", "2000-02-29", "2024-02-29", "2031-12-31", "9999-12-31"] {
            assert_eq!(text.parse::<Date>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "2031-12-32",
            "2031-00-01",
            "2031-13-01",
            "2023-02-29",
            "2100-02-29",
            "2031-1-1",
            "1969-12-31",
            "2031-12-31 ",
            "+031-12-31",
            "2031/12/31",
            "２０３１-12-31",
        ] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }

    #[test]
    fn days_sort_and_follow_from_unix_seconds() {
        for (seconds, day) in
            [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (1_767_225_599, "2025-12-31"), (MAX_UNIX, "9999-12-31")]
        {
            assert_eq!(Date::of_unix(seconds).unwrap().to_string(), day);
            assert_eq!(day.parse::<Date>().unwrap().unix(), seconds - seconds % 86_400);
        }
        assert_eq!((Date::of_unix(-1), Date::of_unix(MAX_UNIX + 1)), (None, None));
        assert!("2031-09-30".parse::<Date>().unwrap() < "2031-10-01".parse().unwrap());
    }
}
