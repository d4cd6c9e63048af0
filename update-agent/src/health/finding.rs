//! What a round of checks found, and the judgement of it. Pure.

use std::fmt;

use serde::Serialize;

use super::{Asked, Seen};

/// One check and what it saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// Whose check and which: `site/page`.
    pub name: String,
    /// What has to hold.
    pub wanted: String,
    /// What was seen instead; nothing when it holds.
    pub problem: Option<String>,
    /// The end of what the check's program printed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// How long it took.
    pub milliseconds: u64,
}

/// What findings mean for a release on trial.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Checks that fail and did not fail before.
    pub blocking: Vec<Finding>,
    /// Names of the checks that fail as they did before.
    pub excused: Vec<String>,
}

/// Judges findings by what failed before the update: what was broken already is not the new release's fault.
pub fn verdict(findings: &[Finding], baseline: &[String]) -> Verdict {
    let failing = findings.iter().filter(|finding| finding.problem.is_some());
    let (excused, blocking): (Vec<&Finding>, Vec<&Finding>) = failing.partition(|one| baseline.contains(&one.name));
    Verdict {
        blocking: blocking.into_iter().cloned().collect(),
        excused: excused.into_iter().map(|finding| finding.name.clone()).collect(),
    }
}

impl Verdict {
    /// Nothing fails that did not fail before.
    pub fn is_well(&self) -> bool {
        self.blocking.is_empty()
    }

    /// The checks that block and what they saw, in a line that stays short.
    pub fn reason(&self) -> String {
        let shown: Vec<String> = self.blocking.iter().take(REASONS).map(Finding::short).collect();
        let more = self.blocking.len().saturating_sub(REASONS);
        let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
        format!("{}{rest}", shown.join("; "))
    }
}

impl Finding {
    /// What became of a check.
    pub fn of(asked: &Asked, seen: Seen, milliseconds: u64) -> Self {
        let (problem, output) = match seen {
            Ok(()) => (None, String::new()),
            Err(miss) => (Some(line(&miss.saw, LINE)), block(&miss.output)),
        };
        Self { name: asked.name.clone(), wanted: asked.check.probe.to_string(), problem, output, milliseconds }
    }

    /// A failure of something that is no check of a list.
    pub fn failed(name: &str, wanted: &str, problem: &str) -> Self {
        let problem = Some(line(problem, LINE));
        Self { name: name.into(), wanted: wanted.into(), problem, output: String::new(), milliseconds: 0 }
    }

    /// True when the check holds.
    pub const fn holds(&self) -> bool {
        self.problem.is_none()
    }

    fn short(&self) -> String {
        let problem = self.problem.as_deref().unwrap_or_default();
        line(&format!("{} failed: {problem} (wanted: {})", self.name, self.wanted), REASON)
    }
}

/// One line for people; a failing check's output is left to the caller.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            None => write!(f, "ok      {}: {}", self.name, self.wanted),
            Some(problem) => write!(f, "FAILED  {}: {problem} (wanted: {})", self.name, self.wanted),
        }
    }
}

/// `text` in one line of at most `limit` characters, without anything a terminal would obey: it may come from a program or from a
/// web server.
fn line(text: &str, limit: usize) -> String {
    let plain = text.chars().map(|letter| if letter.is_control() || is_invisible(letter) { ' ' } else { letter });
    let words = plain.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().nth(limit).is_none() {
        return words;
    }
    format!("{}...", words.chars().take(limit.saturating_sub(3)).collect::<String>())
}

/// The lines of a program's output, made safe one by one.
fn block(text: &str) -> String {
    text.lines().map(|one| line(one, LINE)).filter(|one| !one.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Marks that change the direction of what stands beside them, and others nobody can see.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Failing checks named in a reason.
const REASONS: usize = 3;
const REASON: usize = 240;
const LINE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &str, problem: Option<&str>) -> Finding {
        let good = Finding { problem: None, ..Finding::failed(name, "it holds", "") };
        problem.map_or(good, |problem| Finding::failed(name, "it holds", problem))
    }

    #[test]
    fn a_check_that_failed_before_the_update_does_not_block_it_and_a_new_failure_does() {
        let findings = [finding("base/a", None), finding("operator/mail", Some("refused")), finding("site/x", None)];
        let before = ["operator/mail".to_owned()];
        let judged = verdict(&findings, &before);
        assert!(judged.is_well());
        assert_eq!(judged.excused, before);
        let judged = verdict(&findings, &["site/x".into()]);
        assert_eq!(judged.reason(), "operator/mail failed: refused (wanted: it holds)");
        assert!(!judged.is_well() && judged.excused.is_empty());
    }

    #[test]
    fn nothing_to_check_is_well() {
        assert!(verdict(&[], &["site/page".into()]).is_well());
    }

    #[test]
    fn a_reason_stays_short_whatever_was_seen_and_cannot_steer_a_terminal() {
        let rude = format!("\u{1b}[2J\u{202e}\r\n{}", "x".repeat(5000));
        let findings: Vec<Finding> = (0..40).map(|n| finding(&format!("site/{n}"), Some(&rude))).collect();
        let reason = verdict(&findings, &[]).reason();
        assert!(reason.len() < 800, "{}", reason.len());
        assert!(reason.ends_with("; and 37 more"), "{reason}");
        assert!(!reason.contains(char::is_control) && !reason.contains('\u{202e}'), "{reason}");
    }
}
