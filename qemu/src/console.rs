//! The guest's serial console: read continuously, stamped, kept in a log file, and searched for what a test expects.
//!
//! Guarantees: nothing the guest prints is lost (the log file holds every byte); a search consumes what it matched, so the same
//! words printed by a second boot match only once per boot; a search ends at once when the guest has ended. Terminal escapes are
//! removed before matching. Leaves to [`crate::Guest`] what a failure means.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::pattern::Pattern;
use crate::{Error, Result};

/// One line the guest printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Time since QEMU was started, when the line was complete.
    pub at: Duration,
    /// The text without terminal escapes and line end.
    pub text: String,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A line with the pattern of this index.
    Line(usize, Line),
    /// The time was over.
    TimedOut,
    /// The console closed: the guest ended.
    Closed,
}

/// Who else sees the console while it is read.
#[derive(Clone)]
pub enum Tap {
    /// Complete lines, stamped.
    Lines(Watcher<Line>),
    /// Every byte as it comes, for a terminal.
    Bytes(Watcher<[u8]>),
}

/// Called with everything new, from the reading thread.
pub type Watcher<T> = Arc<dyn Fn(&T) + Send + Sync>;

/// A console shared between its reading threads and the test.
#[derive(Debug, Clone)]
pub struct Console {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug)]
struct State {
    started: Instant,
    lines: VecDeque<Line>,
    /// Number of the oldest line still in `lines`.
    first: usize,
    /// Bytes after the last line end.
    partial: Vec<u8>,
    /// Searches go on from here: line number and characters of it already consumed.
    cursor: (usize, usize),
    /// Threads still reading.
    readers: usize,
    log: File,
    tap: Option<Tap>,
}

impl Console {
    /// A console that writes everything into a new file `log`.
    pub fn create(log: &Path, tap: Option<Tap>) -> Result<Self> {
        let log = File::create(log).map_err(Error::io("create", log))?;
        let state = State {
            started: Instant::now(),
            lines: VecDeque::new(),
            first: 0,
            partial: Vec::new(),
            cursor: (0, 0),
            readers: 0,
            log,
            tap,
        };
        Ok(Self { shared: Arc::new((Mutex::new(state), Condvar::new())) })
    }

    /// Reads the guest's serial port in a thread of its own until it closes.
    pub fn read_serial(&self, source: impl Read + Send + 'static) {
        self.spawn(source, State::receive);
    }

    /// Reads the emulator's own messages; their lines start with `qemu: `.
    pub fn read_messages(&self, source: impl Read + Send + 'static) {
        let mut pending = Vec::new();
        self.spawn(source, move |state, bytes| {
            pending.extend_from_slice(bytes);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                state.complete(&[b"qemu: ", line.as_slice()].concat());
            }
        });
    }

    fn spawn(&self, mut source: impl Read + Send + 'static, mut take: impl FnMut(&mut State, &[u8]) + Send + 'static) {
        self.lock().readers += 1;
        let console = self.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                take(&mut console.lock(), &buffer[..count]);
                console.shared.1.notify_all();
            }
            console.lock().readers -= 1;
            console.shared.1.notify_all();
        });
    }

    /// Waits for a line with one of `patterns` and consumes everything up to it. The unfinished last line counts too: prompts.
    pub fn search(&self, patterns: &[Pattern], timeout: Duration) -> Found {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if let Some((index, line)) = state.find(patterns) {
                return Found::Line(index, line);
            }
            if state.readers == 0 {
                return Found::Closed;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Found::TimedOut;
            }
            state = self.shared.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The first line with `pattern` so far that no search has consumed; consumes nothing.
    pub fn peek(&self, pattern: &Pattern) -> Option<Line> {
        let mut state = self.lock();
        let cursor = state.cursor;
        let found = state.find(std::slice::from_ref(pattern));
        state.cursor = cursor;
        found.map(|(_, line)| line)
    }

    /// Every line so far that is still held (the newest [`MAX_LINES`]), the unfinished one last.
    pub fn lines(&self) -> Vec<Line> {
        let state = self.lock();
        let mut lines: Vec<Line> = state.lines.iter().cloned().collect();
        if !state.partial.is_empty() {
            lines.push(Line { at: state.started.elapsed(), text: readable(&state.partial) });
        }
        lines
    }

    /// How many lines are complete: what is printed from now on is [`Self::lines_from`] this number.
    pub fn position(&self) -> usize {
        let state = self.lock();
        state.first + state.lines.len()
    }

    /// The lines from a [`Self::position`] on, as far as they are still held.
    pub fn lines_from(&self, position: usize) -> Vec<Line> {
        let skipped = position.saturating_sub(self.lock().first);
        self.lines().into_iter().skip(skipped).collect()
    }

    /// The last `count` lines, printed.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lines();
        lines[lines.len().saturating_sub(count)..].iter().map(Line::to_string).collect()
    }

    /// Time since the console was made.
    pub fn elapsed(&self) -> Duration {
        self.lock().started.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A reading thread that panicked has at worst lost a line: the state stays usable.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn receive(&mut self, bytes: &[u8]) {
        if let Some(Tap::Bytes(show)) = &self.tap {
            show(bytes);
        }
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.complete(&line);
        }
        if self.partial.len() > MAX_LINE {
            let line = std::mem::take(&mut self.partial);
            self.complete(&line);
        }
    }

    fn complete(&mut self, raw: &[u8]) {
        let line = Line { at: self.started.elapsed(), text: readable(raw) };
        // A full disk must not end the test by itself; the lines stay in memory.
        let _ = writeln!(self.log, "{line}");
        if let Some(Tap::Lines(show)) = &self.tap {
            show(&line);
        }
        self.lines.push_back(line);
        if self.lines.len() > MAX_LINES {
            self.lines.pop_front();
            self.first += 1;
        }
    }

    fn find(&mut self, patterns: &[Pattern]) -> Option<(usize, Line)> {
        let end = self.first + self.lines.len();
        for number in self.cursor.0.max(self.first)..=end {
            let partial;
            let line = if number == end {
                partial = Line { at: self.started.elapsed(), text: readable(&self.partial) };
                &partial
            } else {
                &self.lines[number - self.first]
            };
            let consumed = if number == self.cursor.0 { self.cursor.1 } else { 0 };
            let rest = line.text.get(consumed.min(line.text.len())..).unwrap_or("");
            if let Some(index) = patterns.iter().position(|pattern| pattern.matches(rest)) {
                let line = line.clone();
                self.cursor = if number == end { (end, line.text.len()) } else { (number + 1, 0) };
                return Some((index, line));
            }
        }
        None
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8.2} {}", self.at.as_secs_f64(), self.text)
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lines(_) => "Tap::Lines",
            Self::Bytes(_) => "Tap::Bytes",
        })
    }
}

/// Text without ECMA-48 escape sequences (section 5.4 for CSI) and other control characters.
fn readable(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut chars = text.chars().peekable();
    let mut clean = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // CSI: parameters and intermediates up to a final byte
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // character set selection: one more character
                Some('(' | ')' | '#') => drop(chars.next()),
                _ => {}
            },
            '\t' => clean.push('\t'),
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// Lines kept in memory; the log file keeps all.
pub const MAX_LINES: usize = 100_000;
/// A line is cut here when the guest prints no line end.
const MAX_LINE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn console(text: &'static str) -> (tempfile::TempDir, Console) {
        let dir = tempfile::tempdir().unwrap();
        let console = Console::create(&dir.path().join("log"), None).unwrap();
        console.read_serial(text.as_bytes());
        (dir, console)
    }

    const SOON: Duration = Duration::from_secs(10);

    fn found(found: &Found) -> &str {
        match found {
            Found::Line(_, line) => &line.text,
            Found::TimedOut => "TimedOut",
            Found::Closed => "Closed",
        }
    }

    #[test]
    fn a_match_is_consumed_so_that_the_next_boot_must_print_it_again() {
        let (_dir, console) = console("boot 1\nready one\nboot 2\nready two\n");
        assert_eq!(found(&console.search(&["ready".into()], SOON)), "ready one");
        assert_eq!(found(&console.search(&["ready".into()], SOON)), "ready two");
        assert_eq!(console.search(&["ready".into()], SOON), Found::Closed);
    }

    #[test]
    fn all_words_of_a_pattern_must_be_in_one_line() {
        let (_dir, console) = console("slot=A\nverified=yes\nverified=yes slot=A\n");
        assert_eq!(found(&console.search(&[["slot=A", "verified=yes"].into()], SOON)), "verified=yes slot=A");
    }

    #[test]
    fn a_prompt_without_line_end_is_found_once() {
        let (_dir, console) = console("name: ");
        assert_eq!(found(&console.search(&["name:".into()], SOON)), "name:");
        assert_eq!(console.search(&["name:".into()], SOON), Found::Closed);
    }

    #[test]
    fn the_earliest_line_wins_among_several_patterns() {
        let (_dir, console) = console("bad\ngood\n");
        assert_eq!(found(&console.search(&["good".into(), "bad".into()], SOON)), "bad");
    }

    #[test]
    fn peek_does_not_consume() {
        let (_dir, console) = console("one\ntwo\n");
        assert_eq!(console.search(&["nothing".into()], SOON), Found::Closed);
        assert_eq!(console.peek(&"two".into()).map(|line| line.text).as_deref(), Some("two"));
        assert_eq!(found(&console.search(&["one".into()], SOON)), "one");
    }

    #[test]
    fn terminal_escapes_do_not_hide_words() {
        assert_eq!(readable(b"\x1b[2J\x1b[01;01H\x1b[0m\x1b(BGRUB\r\n"), "GRUB");
        assert_eq!(readable(b"\x1b["), "");
    }

    #[test]
    fn the_log_file_has_every_line() {
        let (dir, console) = console("one\ntwo\n");
        console.search(&["two".into()], SOON);
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
        assert!(log.contains("one\n") && log.contains("two\n"), "{log}");
    }
}
