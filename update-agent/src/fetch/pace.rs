//! A cap on bytes in each second, kept over every stretch of time and not only on average: what a slow server left unused is not made up
//! for later. Pure: the time comes from the caller.

use std::time::Duration;

/// The bytes of one process.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    bandwidth: u64,
    /// When everything that was handed over is paid for.
    due: Duration,
}

impl Pace {
    /// At most so many bytes each second; zero counts as one.
    pub(super) fn new(bandwidth: u64) -> Self {
        Self { bandwidth: bandwidth.max(1), due: Duration::ZERO }
    }

    /// The longest piece to hand over at once: slowly means small pieces, not long silence.
    pub(super) fn piece(&self, most: u32) -> usize {
        let tenth = (self.bandwidth / 10).clamp(1, most.into());
        usize::try_from(tenth).unwrap_or(1)
    }

    /// So many bytes were handed over at `now`. How long to wait before the next ones.
    pub(super) fn passed(&mut self, now: Duration, bytes: u64) -> Duration {
        let cost = u128::from(bytes).saturating_mul(NANOS) / u128::from(self.bandwidth);
        let cost = Duration::from_nanos(u64::try_from(cost).unwrap_or(u64::MAX));
        // A little credit, or every late wake-up would be lost for ever and the rate stay below the cap.
        self.due = self.due.max(now.saturating_sub(CREDIT)).saturating_add(cost);
        self.due.saturating_sub(now)
    }
}

const NANOS: u128 = 1_000_000_000;
const CREDIT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands over as fast as it may for `seconds`, waking up late each time. When how much was handed over.
    fn transfer(bandwidth: u64, seconds: u64, late: Duration, stall: Option<(u64, u64)>) -> Vec<(Duration, u64)> {
        let mut pace = Pace::new(bandwidth);
        let (mut now, mut passed, piece) = (Duration::ZERO, Vec::new(), pace.piece(64 << 10) as u64);
        while now < Duration::from_secs(seconds) {
            if let Some((from, to)) = stall.filter(|(from, to)| (*from..*to).contains(&now.as_secs())) {
                assert!(from < to);
                now = Duration::from_secs(to);
            }
            passed.push((now, piece));
            now += pace.passed(now, piece).max(Duration::from_micros(50)) + late;
        }
        passed
    }

    fn most_in(passed: &[(Duration, u64)], window: Duration) -> u64 {
        let starts = passed.iter().map(|(start, _)| *start);
        let sums = starts
            .map(|start| passed.iter().filter(|(at, _)| *at >= start && *at < start + window).map(|(_, n)| n).sum());
        sums.max().unwrap()
    }

    #[test]
    fn the_rate_is_the_cap_within_five_percent_however_late_one_wakes_up() {
        for bandwidth in [1 << 10, 50_000, 1 << 20, 100 << 20] {
            for late in [0, 2, 20].map(Duration::from_millis) {
                let seconds = if bandwidth > 10 << 20 { 2 } else { 20 };
                let passed = transfer(bandwidth, seconds, late, None);
                let total: u64 = passed.iter().map(|(_, bytes)| bytes).sum();
                let wanted = bandwidth * seconds;
                // A piece of 64 KiB every 20 ms is all that fits between late awakenings at the highest rate.
                if bandwidth < 10 << 20 || late.is_zero() {
                    assert!(total >= wanted * 95 / 100, "{bandwidth} late {late:?}: {total} of {wanted}");
                }
                assert!(total <= wanted * 105 / 100 + bandwidth / 5, "{bandwidth} late {late:?}: {total} of {wanted}");
            }
        }
    }

    #[test]
    fn what_a_stall_left_unused_is_not_made_up_for() {
        let bandwidth = 100_000;
        let passed = transfer(bandwidth, 40, Duration::from_millis(1), Some((5, 20)));
        assert!(passed.iter().any(|(at, _)| at.as_secs() >= 20));
        assert!(most_in(&passed, Duration::from_secs(10)) <= bandwidth * 10 * 105 / 100);
    }

    #[test]
    fn numbers_at_the_edge_break_nothing() {
        assert_eq!(Pace::new(0).piece(64 << 10), 1);
        assert_eq!(Pace::new(u64::MAX).piece(64 << 10), 64 << 10);
        assert!(Pace::new(0).passed(Duration::MAX, u64::MAX) <= Duration::MAX);
        assert!(Pace::new(1).passed(Duration::ZERO, u64::MAX) > Duration::from_secs(1));
    }
}
