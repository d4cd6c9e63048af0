//! Whether what disturbs people may begin now, as far as the operator's maintenance window goes.
//!
//! A window is a time of the clock on the wall, so it goes by what the machine's clock says, and by nothing else: where that clock cannot
//! be right, nothing begins by itself, because the day as which a wrong clock counts elsewhere has no time of day.

use std::time::Duration;

use formats::depot::Setting;
use formats::window::Outside;

use super::clock::Clock;
use crate::code::Code;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    /// It is closed, or closes too soon; it opens again for long enough.
    #[error("not now: {0}; what is begun by hand does not wait for it")]
    Now(Outside),
    /// It is never open for so long.
    #[error("{0} in depot.json and begin the upgrade again, or install the next package by hand")]
    Always(Outside),
    /// Nobody knows.
    #[error("it is not known whether the maintenance window is open: {0}")]
    NoTime(String),
}

impl Shut {
    /// The code of this refusal.
    pub const fn code(&self) -> Code {
        match self {
            Self::Now(_) | Self::NoTime(_) => Code::OutsideWindow,
            Self::Always(_) => Code::WindowTooShort,
        }
    }
}

/// Whether something that takes so long may begin now. What takes no time is asked for when it is not known how long it takes.
pub fn admitted(setting: &Setting, clock: Clock, needs: Duration) -> Result<(), Shut> {
    let Some(window) = setting.window else { return Ok(()) };
    if let Some(problem) = clock.problem() {
        return Err(Shut::NoTime(problem));
    }
    let needs = i64::try_from(needs.as_secs()).unwrap_or(i64::MAX);
    window.admits(clock.says, needs).map_err(|outside| match outside.opens {
        Some(_) => Shut::Now(outside),
        None => Shut::Always(outside),
    })
}

#[cfg(test)]
mod tests {
    use formats::window::Window;

    use super::*;

    const MONDAY_NOON: i64 = 1_795_435_200;
    const HOUR: u64 = 3600;

    fn at(signed: i64, needs: u64) -> Result<(), Shut> {
        let window = Window::new(&["mon".into()], "11:00", "14:00", "+00:00").unwrap();
        let setting = Setting { window: Some(window), ..Setting::default() };
        let clock = Clock { says: MONDAY_NOON, signed, good_until: 0 };
        admitted(&setting, clock, Duration::from_secs(needs))
    }

    #[test]
    fn a_clock_that_is_known_to_be_behind_opens_no_window() {
        // By the clock on the wall it is open; by the newest signature it is three years later.
        let shut = at(MONDAY_NOON + 3 * 31_556_952, 0).unwrap_err();
        let text = shut.to_string();
        assert_eq!(shut.code(), Code::OutsideWindow);
        assert!(
            text.starts_with("it is not known whether the maintenance window is open: the clock")
                && text.contains("3 years"),
            "{text}"
        );
        let none = Setting::default();
        assert_eq!(
            admitted(&none, Clock { says: 0, signed: MONDAY_NOON, good_until: 0 }, Duration::ZERO),
            Ok(()),
            "no window"
        );
    }

    #[test]
    fn what_does_not_fit_any_more_waits_and_what_never_fits_is_told_so() {
        assert_eq!(at(0, 0), Ok(()));
        assert_eq!(at(0, 2 * HOUR), Ok(()));
        let shut = at(0, 2 * HOUR + 1).unwrap_err();
        assert!(matches!(shut, Shut::Now(outside) if outside.opens == Some(MONDAY_NOON + 7 * 86_400 - 3600)));
        let shut = at(0, 3 * HOUR + 1).unwrap_err();
        assert_eq!(
            (shut.code(), shut.to_string().contains("set a longer one in depot.json")),
            (Code::WindowTooShort, true)
        );
    }
}
