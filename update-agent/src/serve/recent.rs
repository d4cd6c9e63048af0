//! The last lines the agent said, for who looks for a fault: its log goes to the machine's console and is kept nowhere else.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::command::history::date;
use crate::workplace::now;

/// Remembers a line, and forgets the oldest.
pub fn remember(line: &str) {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() >= MOST {
        lines.pop_front();
    }
    // A line has at most a few KiB, mostly far less; the longest are cut here.
    lines.push_back((now(), line.chars().take(LONGEST).collect()));
}

/// All that is remembered, oldest first, with its time in UTC.
pub fn lines() -> String {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().flat_map(|(time, line)| [date(*time), " ".into(), line.clone(), "\n".into()]).collect()
}

static LINES: Mutex<VecDeque<(u64, String)>> = Mutex::new(VecDeque::new());
const MOST: usize = 1000;
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_with_their_time() {
        for number in 0..MOST + 10 {
            remember(&format!("{number} {}", "x".repeat(2 * LONGEST)));
        }
        let lines = lines();
        // Other tests may say something at the same time.
        assert!(lines.contains(&format!(" {} xxx", MOST + 9)) && !lines.contains(" 3 xxx"), "{}", lines.len());
        assert!(lines.lines().all(|line| line.len() <= LONGEST + 20));
    }
}
