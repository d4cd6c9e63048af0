//! Test results as `JUnit` XML, the one format every CI server reads (the common subset of the Jenkins and Ant schemas:
//! `testsuite` with `testcase`, `failure` and `skipped`).

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::{Error, Result};

/// The results of one run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    suite: String,
    cases: Vec<Case>,
}

#[derive(Debug, Clone)]
struct Case {
    name: String,
    time: Duration,
    outcome: Outcome,
    console: String,
}

/// How one test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Not as expected: why.
    Failed(String),
    /// Not run: what is missing.
    Skipped(String),
}

impl Report {
    /// An empty report of this suite.
    pub fn new(suite: impl Into<String>) -> Self {
        Self { suite: suite.into(), cases: Vec::new() }
    }

    /// Adds a test: its name, how long it took, how it ended, and what its guest printed (empty if nothing is of interest).
    pub fn add(&mut self, name: impl Into<String>, time: Duration, outcome: Outcome, console: impl Into<String>) {
        self.cases.push(Case { name: name.into(), time, outcome, console: console.into() });
    }

    /// The whole document.
    pub fn to_xml(&self) -> String {
        let count = |wanted: fn(&Outcome) -> bool| self.cases.iter().filter(|case| wanted(&case.outcome)).count();
        let time: Duration = self.cases.iter().map(|case| case.time).sum();
        let suite = escape(&self.suite);
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let _ = writeln!(
            xml,
            "<testsuite name=\"{suite}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{:.3}\">",
            self.cases.len(),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::Skipped(_))),
            time.as_secs_f64()
        );
        for case in &self.cases {
            case.write(&mut xml, &suite);
        }
        xml.push_str("</testsuite>\n");
        xml
    }

    /// Writes the document beside `path` and renames it when whole.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        std::fs::write(&partial, self.to_xml()).map_err(Error::io("write", &partial))?;
        std::fs::rename(&partial, path).map_err(Error::io("create", path))
    }
}

impl Case {
    fn write(&self, xml: &mut String, suite: &str) {
        let (name, time) = (escape(&self.name), self.time.as_secs_f64());
        let _ = writeln!(xml, "  <testcase classname=\"{suite}\" name=\"{name}\" time=\"{time:.3}\">");
        match &self.outcome {
            Outcome::Passed => {}
            Outcome::Failed(why) => {
                let first = escape(why.lines().next().unwrap_or(""));
                let _ = writeln!(xml, "    <failure message=\"{first}\">{}</failure>", escape(why));
            }
            Outcome::Skipped(why) => {
                let _ = writeln!(xml, "    <skipped message=\"{}\"/>", escape(why));
            }
        }
        if !self.console.is_empty() {
            let _ = writeln!(xml, "    <system-out>{}</system-out>", escape(&self.console));
        }
        xml.push_str("  </testcase>\n");
    }
}

/// Text that is safe in XML 1.0 (section 2.2: most control characters cannot even be escaped; they become U+FFFD).
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("boot");
        report.add("boots \"A\" & B", Duration::from_millis(1500), Outcome::Passed, "");
        report.add("falls back", Duration::ZERO, Outcome::Failed("no <slot>\nsecond line".into()), "\u{1b}[0m<kernel>");
        report.add("secure boot", Duration::ZERO, Outcome::Skipped("needs ovmf".into()), "");
        report
    }

    #[test]
    fn the_document_counts_and_escapes() {
        let expected = concat!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
            "<testsuite name=\"boot\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"1.500\">\n",
            "  <testcase classname=\"boot\" name=\"boots &quot;A&quot; &amp; B\" time=\"1.500\">\n  </testcase>\n",
            "  <testcase classname=\"boot\" name=\"falls back\" time=\"0.000\">\n",
            "    <failure message=\"no &lt;slot&gt;\">no &lt;slot&gt;\nsecond line</failure>\n",
            "    <system-out>\u{fffd}[0m&lt;kernel&gt;</system-out>\n  </testcase>\n",
            "  <testcase classname=\"boot\" name=\"secure boot\" time=\"0.000\">\n",
            "    <skipped message=\"needs ovmf\"/>\n  </testcase>\n</testsuite>\n",
        );
        assert_eq!(report().to_xml(), expected);
    }

    #[test]
    fn the_file_appears_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("junit.xml");
        report().write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), report().to_xml());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(report().write(Path::new("/nowhere/junit.xml")).is_err());
    }
}
