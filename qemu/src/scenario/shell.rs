//! Commands on the root shell of the serial console: what they printed and how they ended.
//!
//! The shell's echo of what is typed, lines the kernel prints in between and output without a line end are no obstacle: a command's
//! output is what stands between two marks that the shell puts together, so that their echo is not them. The first command after
//! each start waits until the shell answers.

use std::time::{Duration, Instant};

use crate::console::Found;
use crate::{Guest, Pattern, Result};

/// A shell on a guest's serial console.
#[derive(Debug, Default)]
pub struct Shell {
    /// Numbers the marks: an answer that came too late is not taken for the next one.
    count: u32,
    /// The number of resets at which it answered last.
    answered_at: Option<u32>,
}

/// What a command left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit code.
    pub code: u8,
    /// What it printed, with what else came on the console meanwhile.
    pub lines: Vec<String>,
}

impl Shell {
    /// Forgets that it answered: the machine was switched on.
    pub fn restarted(&mut self) {
        self.answered_at = None;
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// [`crate::Error::Guest`] when no shell answers, the command does not end in time, or the machine restarts meanwhile.
    pub fn run(&mut self, guest: &mut Guest, command: &str, patience: Duration) -> Result<Outcome> {
        let deadline = Instant::now() + patience;
        self.wait(guest, deadline, patience)?;
        self.count += 1;
        let (begin, end) = (format!("{BEGIN} {}", self.count), format!("{END} {} ", self.count));
        let from = guest.console().position();
        let typed = format!("echo '{BEGIN}'' {n}'; {{ {command}\n}}; echo '{END}'' {n}' \"$?\"\n", n = self.count);
        guest.send(&typed)?;
        let Some(last) = self.search(guest, &end, deadline)? else {
            let seconds = patience.as_secs();
            return Err(guest.failure(format!("the command \"{command}\" did not end within {seconds} s")));
        };
        let lines = guest.console().lines_from(from).into_iter().map(|line| line.text);
        let lines = lines.skip_while(|line| !is_mark(line, &begin)).skip(1);
        let mut lines: Vec<String> = lines.take_while(|line| !line.contains(&end)).collect();
        let (before, code) = last.split_once(&end).unwrap_or((&last, ""));
        if !before.is_empty() {
            lines.push(before.to_owned());
        }
        let code = code.trim().parse();
        let code =
            code.map_err(|_| guest.failure(format!("the shell did not say how \"{command}\" ended: \"{last}\"")))?;
        Ok(Outcome { code, lines })
    }

    /// Types an empty command until the shell answers: it may not have started, and what is typed before that may be lost.
    fn wait(&mut self, guest: &mut Guest, deadline: Instant, patience: Duration) -> Result<()> {
        while self.answered_at != Some(guest.resets()) {
            self.count += 1;
            let resets = guest.resets();
            guest.send(&format!("\necho '{END}'' {} 'ready\n", self.count))?;
            let turn = deadline.min(Instant::now() + ANSWER);
            if self.search(guest, &format!("{END} {} ready", self.count), turn)?.is_some() {
                self.answered_at = Some(resets);
            } else if Instant::now() >= deadline {
                let seconds = patience.as_secs();
                return Err(guest.failure(format!(
                    "no root shell answered on the serial console within {seconds} s; the image under test must start one there"
                )));
            }
        }
        Ok(())
    }

    /// The line with `mark`, or nothing when the time is over.
    fn search(&self, guest: &mut Guest, mark: &str, deadline: Instant) -> Result<Option<String>> {
        let resets = guest.resets();
        loop {
            match guest.console().search(&[Pattern::from(mark)], TURN) {
                Found::Line(_, line) => return Ok(Some(line.text)),
                Found::Closed => return Err(guest.failure("the guest ended while a command ran".to_owned())),
                Found::TimedOut if guest.resets() != resets && self.answered_at == Some(resets) => {
                    return Err(guest.failure("the machine was reset while a command ran".to_owned()));
                }
                Found::TimedOut if Instant::now() >= deadline => return Ok(None),
                Found::TimedOut => {}
            }
        }
    }
}

/// The mark alone: not its echo, which has quotes, and not a longer number.
fn is_mark(line: &str, mark: &str) -> bool {
    line.strip_suffix(mark).is_some_and(|before| !before.ends_with('\''))
}

const BEGIN: &str = "SCENARIO-BEGIN";
const END: &str = "SCENARIO-END";
/// A shell that runs answers within this time.
const ANSWER: Duration = Duration::from_secs(3);
const TURN: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_echo_of_a_mark_is_not_the_mark() {
        assert!(is_mark("SCENARIO-BEGIN 7", "SCENARIO-BEGIN 7"));
        assert!(is_mark("~ # SCENARIO-BEGIN 7", "SCENARIO-BEGIN 7"));
        assert!(!is_mark("~ # echo 'SCENARIO-BEGIN'' 7'; { ls", "SCENARIO-BEGIN 7"));
        assert!(!is_mark("SCENARIO-BEGIN 77", "SCENARIO-BEGIN 7"));
    }
}
