//! The end of the kernel's log: `/dev/kmsg`, one record for each read.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

/// At most `limit` bytes of whole lines, or one line that says why there are none.
pub fn tail(limit: usize) -> String {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open("/dev/kmsg");
    let mut file = match file {
        Ok(file) => file,
        Err(problem) => return format!("(not readable: {problem})\n"),
    };
    let mut tail = Tail { lines: VecDeque::new(), length: 0, limit };
    let mut record = [0; RECORD];
    // A kernel that never stops talking must not keep anybody from restarting.
    for _ in 0..MOST {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(read) => tail.push(line(record.get(..read).unwrap_or_default())),
            // Overwritten while it was to be read: the next one is there. EPIPE is what the kernel says then.
            Err(problem) if matches!(problem.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
            Err(_) => break,
        }
    }
    tail.lines.into_iter().collect()
}

/// `6,339,5140900,-;text` and lines of details after it: time in microseconds since the start, and the text.
fn line(record: &[u8]) -> String {
    let record = String::from_utf8_lossy(record);
    let first = record.lines().next().unwrap_or_default();
    let Some((head, text)) = first.split_once(';') else { return format!("{first}\n") };
    let microseconds: u64 = head.split(',').nth(2).and_then(|time| time.parse().ok()).unwrap_or_default();
    format!("[{:5}.{:06}] {text}\n", microseconds / 1_000_000, microseconds % 1_000_000)
}

struct Tail {
    lines: VecDeque<String>,
    length: usize,
    limit: usize,
}

impl Tail {
    fn push(&mut self, line: String) {
        self.length = self.length.saturating_add(line.len());
        self.lines.push_back(line);
        while self.length > self.limit {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.length = self.length.saturating_sub(oldest.len());
        }
    }
}

/// The kernel's own limit of one record.
const RECORD: usize = 8192;
const MOST: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_becomes_one_line_with_its_time() {
        let record = b"6,339,5140900,-;NET: Registered protocol\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n";
        assert_eq!(line(record), "[    5.140900] NET: Registered protocol\n");
        assert_eq!(line(b"nonsense"), "nonsense\n");
        assert_eq!(line(b"a,b,c,d;x;y"), "[    0.000000] x;y\n");
        assert_eq!(line(b"\xff,;"), "[    0.000000] \n");
    }

    #[test]
    fn only_the_end_is_kept() {
        let mut tail = Tail { lines: VecDeque::new(), length: 0, limit: 10 };
        for text in ["one\n", "two\n", "three\n", "a line too long\n", "four\n"] {
            tail.push(text.into());
            assert!(tail.length <= 10);
        }
        assert_eq!(tail.lines.into_iter().collect::<String>(), "four\n");
    }
}
