//! What a machine's clock says when it is switched on: the right time, or one that is wrong by so much.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use formats::manifest::Date;

/// How far a clock is from the right time, in seconds; what is ahead is positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock(i64);

impl Clock {
    /// The emulator's words for it: the clock begins there and goes on.
    pub(crate) fn arguments(self) -> Vec<String> {
        #[expect(clippy::disallowed_methods, reason = "a guest's clock is the host's, or so far away from it")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        vec!["-rtc".to_owned(), format!("base={}", self.shown(now))]
    }

    /// The moment it shows at the right time `now` (seconds since 1970), as `2036-11-23T16:37:14`; not before 1970.
    fn shown(self, now: u64) -> String {
        let moment = now.saturating_add_signed(self.0);
        let day = i64::try_from(moment).ok().and_then(Date::of_unix).map_or_else(String::new, |day| day.to_string());
        let (hour, minute, second) = (moment / 3600 % 24, moment / 60 % 60, moment % 60);
        format!("{day}T{hour:02}:{minute:02}:{second:02}")
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.0 < 0 { "behind" } else { "ahead" };
        write!(f, "{} days {side}", self.0.abs() / 86_400)
    }
}

impl FromStr for Clock {
    type Err = String;

    /// `+10 years` (of 365.25 days), `-3 days`, `+2 hours`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is no clock; write how wrong it is: \"+10 years\", \"-3 days\" or \"+2 hours\"");
        let (count, unit) = text.split_once(' ').ok_or_else(wrong)?;
        let unit = match unit {
            "year" | "years" => 31_557_600,
            "day" | "days" => 86_400,
            "hour" | "hours" => 3_600,
            _ => return Err(wrong()),
        };
        if !count.starts_with(['+', '-']) {
            return Err(wrong());
        }
        let seconds =
            count.parse::<i32>().ok().and_then(|count| i64::from(count).checked_mul(unit)).ok_or_else(wrong)?;
        if seconds.abs() > LONGEST { Err(wrong()) } else { Ok(Self(seconds)) }
    }
}

/// A hundred years: what a machine's own clock can say.
const LONGEST: i64 = 100 * 31_557_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_so_far_from_the_right_time() {
        let shown = |text: &str| text.parse::<Clock>().unwrap().shown(1_795_451_834);
        assert_eq!(shown("+0 days"), "2026-11-23T16:37:14");
        assert_eq!(shown("+10 years"), "2036-11-23T04:37:14");
        assert_eq!(shown("-10 years"), "2016-11-23T04:37:14");
        assert_eq!(shown("-1 hour"), "2026-11-23T15:37:14");
        assert_eq!(shown("-90 years"), "1970-01-01T00:00:00", "never before there are clocks");
    }

    #[test]
    fn what_is_no_clock_is_refused() {
        for text in ["", "10 years", "+10", "+ten years", "+10 moons", "+200 years", "+99999999999 days"] {
            assert!(text.parse::<Clock>().unwrap_err().contains("+10 years"), "{text}");
        }
    }
}
