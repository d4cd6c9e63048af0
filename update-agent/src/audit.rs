//! The audit log: who did what from where, and what was refused. Lines are only ever appended, and each names the SHA-256 of the one before,
//! so that nobody can change, remove or add one in between without all that follow being wrong.
//!
//! Guarantees: a line is on the medium before what it tells of is answered; a power cut loses at most a line nobody was answered for, and
//! the torn rest is cut off at the next line. The file is replaced when it is full, and the next one goes on with the chain; the last few
//! are kept. What it cannot show: that its end was cut off by somebody with the rights of the agent. An exported head (the last digest)
//! kept elsewhere shows that too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use formats::Digest;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error, Result};
use crate::plain_file;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Line {
    /// Counts up from 1.
    pub number: u64,
    /// Seconds since 1970 by the machine's clock.
    pub time: u64,
    /// Who, for example `anna` or `user 0, process 412`.
    pub actor: String,
    /// From where: an address, or `here`.
    pub source: String,
    /// What was asked for, for example `install`.
    pub action: String,
    /// With what, without secrets; may be empty.
    pub about: String,
    /// `done`, `begun`, or the code of the refusal.
    pub outcome: String,
    /// SHA-256 of the line before, without its line feed; zeros before the first.
    pub previous: Digest,
}

/// What is to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed<'a> {
    /// As in [`Line`].
    pub actor: &'a str,
    /// As in [`Line`].
    pub source: &'a str,
    /// As in [`Line`].
    pub action: &'a str,
    /// As in [`Line`].
    pub about: &'a str,
    /// As in [`Line`].
    pub outcome: &'a str,
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// The line, counted from 1 in the file.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// The last line's number and digest: where a chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of the last line; 0 before the first.
    pub number: u64,
    /// Of the last line; zeros before the first.
    pub digest: Digest,
}

impl Head {
    /// Before the first line.
    pub const START: Self = Self { number: 0, digest: Digest([0; 32]) };
}

/// Checks the lines of a log and returns them with the head behind them. `before` is where the chain was; nothing: the first line is
/// believed about it, as when older files are gone.
///
/// # Errors
/// The first line that is not as it was written.
pub fn verify(log: &[u8], before: Option<Head>) -> std::result::Result<(Vec<Line>, Head), Broken> {
    let mut head = before;
    let mut lines = Vec::new();
    for (place, text) in log.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let broken = |why: &str| Broken { line: place.saturating_add(1), why: why.into() };
        let text = text.strip_suffix(b"\n").ok_or_else(|| broken("it is cut off"))?;
        let line: Line = serde_json::from_slice(text).map_err(|problem| broken(&problem.to_string()))?;
        // One line has one spelling, or its digest would not be the one that was made.
        if serde_json::to_vec(&line).ok().as_deref() != Some(text) {
            return Err(broken("it is spelled differently"));
        }
        let expected = head.unwrap_or(Head { number: line.number.saturating_sub(1), digest: line.previous });
        if line.number != expected.number.saturating_add(1) {
            return Err(broken(&format!("its number is {}, behind {}", line.number, expected.number)));
        }
        if line.previous != expected.digest {
            return Err(broken("it does not follow the line before: one of them was changed, or one is missing"));
        }
        head = Some(Head { number: line.number, digest: Digest::of(text) });
        lines.push(line);
    }
    Ok((lines, head.unwrap_or(Head::START)))
}

/// The log of an appliance.
#[derive(Debug)]
pub struct Audit {
    folder: PathBuf,
    /// Writers wait for each other; the head is known once the file was read.
    head: Mutex<Option<Head>>,
    full: u64,
}

impl Audit {
    /// The one under `data`, the mounted data partition.
    pub fn new(data: &Path) -> Self {
        Self { folder: data.join(FOLDER), head: Mutex::new(None), full: FULL }
    }

    /// Writes a line down. Durable on return.
    ///
    /// # Errors
    /// When it cannot be written. A log that is damaged is set aside and a new chain begun, which its first line says: refusing to go
    /// on would leave an appliance that nobody can administer.
    pub fn write(&self, deed: &Deed<'_>, time: u64) -> Result<()> {
        let mut kept = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let doing = || format!("write the audit log in \"{}\"", self.folder.display());
        let mut head = match *kept {
            Some(head) => head,
            None => self.begin(time)?,
        };
        if fs::metadata(self.current()).is_ok_and(|file| file.len() >= self.full) {
            self.turn().doing(doing)?;
        }
        head = append(&self.current(), deed, time, head).doing(doing)?;
        *kept = Some(head);
        Ok(())
    }

    /// The lines of the file that is written to now, newest last, and whether the chain holds.
    pub fn lines(&self) -> Result<(Vec<Line>, std::result::Result<Head, Broken>)> {
        // A line that is being written must not look like one that is cut off.
        let _kept = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.head_of(&self.older(1)).unwrap_or(None);
        let log = self.read(&self.current())?;
        Ok(match verify(&log, before) {
            Ok((lines, head)) => (lines, Ok(head)),
            Err(broken) => {
                let good = log.split_inclusive(|byte| *byte == b'\n').take(broken.line.saturating_sub(1));
                let good: Vec<u8> = good.flatten().copied().collect();
                (verify(&good, None).map(|(lines, _)| lines).unwrap_or_default(), Err(broken))
            }
        })
    }

    /// Every file, oldest first.
    #[cfg(test)]
    fn everything(&self) -> Result<Vec<u8>> {
        let _kept = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for number in (1..=KEPT).rev() {
            all.extend(self.read(&self.older(number))?);
        }
        all.extend(self.read(&self.current())?);
        Ok(all)
    }

    /// Finds out where the chain is, and mends what a power cut left.
    fn begin(&self, time: u64) -> Result<Head> {
        let doing = || format!("write the audit log in \"{}\"", self.folder.display());
        fs::create_dir_all(&self.folder).doing(doing)?;
        let before = self.head_of(&self.older(1))?;
        let mut log = self.read(&self.current())?;
        let whole = log.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last.saturating_add(1));
        if whole < log.len() {
            let file = plain_file::open(&self.current(), OpenOptions::new().write(true)).doing(doing)?;
            // Nobody was answered for a line without an end: see "write".
            file.set_len(u64::try_from(whole).unwrap_or_default()).and_then(|()| file.sync_all()).doing(doing)?;
            log.truncate(whole);
        }
        let start = if log.is_empty() { before.or(Some(Head::START)) } else { before };
        match verify(&log, start) {
            Ok((_, head)) => Ok(head),
            Err(broken) => {
                self.turn().doing(doing)?;
                let about = format!("line {}: {}", broken.line, broken.why);
                let deed =
                    Deed { actor: "agent", source: "here", action: "audit-log-broken", about: &about, outcome: "done" };
                // Behind what was set aside, where that is whole in itself: the next start looks there for the line before.
                let head = self.head_of(&self.older(1))?.unwrap_or(Head::START);
                append(&self.current(), &deed, time, head).doing(doing)
            }
        }
    }

    /// The current file becomes the newest older one, and the oldest goes. A power cut between two of the renames leaves a gap in the
    /// numbers of the files, and every line in one of them.
    fn turn(&self) -> io::Result<()> {
        for number in (1..KEPT).rev() {
            rename_if_there(&self.older(number), &self.older(number.saturating_add(1)))?;
        }
        rename_if_there(&self.current(), &self.older(1))?;
        File::open(&self.folder)?.sync_all()
    }

    /// The head behind an older file; nothing when it is not there or broken.
    fn head_of(&self, path: &Path) -> Result<Option<Head>> {
        let log = self.read(path)?;
        if log.is_empty() {
            return Ok(None);
        }
        Ok(verify(&log, None).ok().map(|(_, head)| head))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match plain_file::open(path, OpenOptions::new().read(true)) {
            // Twice what is ever written: no more is read of a file somebody else made.
            Ok(file) => file.take(self.full.saturating_mul(2)).read_to_end(&mut bytes).map(drop),
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(problem) => Err(problem),
        }
        .doing(|| format!("read \"{}\"", path.display()))?;
        Ok(bytes)
    }

    fn current(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }

    fn older(&self, number: usize) -> PathBuf {
        self.folder.join(format!("audit.{number}.jsonl"))
    }
}

fn append(path: &Path, deed: &Deed<'_>, time: u64, head: Head) -> io::Result<Head> {
    let short = |text: &str| text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    let line = Line {
        number: head.number.saturating_add(1),
        time,
        actor: short(deed.actor),
        source: short(deed.source),
        action: short(deed.action),
        about: short(deed.about),
        outcome: short(deed.outcome),
        previous: head.digest,
    };
    let text = serde_json::to_vec(&line)?;
    let mut file = plain_file::open(path, OpenOptions::new().write(true).create(true).truncate(false))?;
    let end = file.seek(SeekFrom::End(0))?;
    let written = file.write_all(&[text.as_slice(), b"\n"].concat()).and_then(|()| file.sync_data());
    if let Err(problem) = written {
        // Half a line must not stand before the next one.
        file.set_len(end).unwrap_or(());
        return Err(problem);
    }
    if end == 0 {
        // A new file: its name has to last, too.
        File::open(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?.sync_all()?;
    }
    Ok(Head { number: line.number, digest: Digest::of(&text) })
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        Self::AuditBroken { line: broken.line, why: broken.why }
    }
}

/// The folder, below the data partition.
pub const FOLDER: &str = "bulkhead/audit";
/// Bytes after which a file is set aside.
const FULL: u64 = 4 << 20;
/// Older files that are kept.
const KEPT: usize = 4;
/// Characters of a word in a line.
const LONGEST: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    const DEED: Deed<'_> =
        Deed { actor: "anna", source: "192.0.2.7", action: "install", about: "base/x-2", outcome: "begun" };

    fn written(count: u64) -> (tempfile::TempDir, Audit) {
        let data = tempfile::tempdir().unwrap();
        let audit = Audit::new(data.path());
        for time in 0..count {
            audit.write(&DEED, time).unwrap();
        }
        (data, audit)
    }

    fn bytes(audit: &Audit) -> Vec<u8> {
        fs::read(audit.current()).unwrap()
    }

    #[test]
    fn lines_are_numbered_and_each_names_the_one_before() {
        let (data, audit) = written(3);
        let (lines, head) = audit.lines().unwrap();
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(head.unwrap().number, 3);
        // Another agent goes on with the chain.
        Audit::new(data.path()).write(&DEED, 9).unwrap();
        let (lines, head) = verify(&bytes(&audit), Some(Head::START)).unwrap();
        assert_eq!((lines.len(), head.number), (4, 4));
    }

    #[test]
    fn a_line_that_was_changed_removed_added_or_moved_is_found() {
        let (_data, audit) = written(4);
        let log = String::from_utf8(bytes(&audit)).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        let joined = |lines: &[&str]| lines.iter().flat_map(|line| [line, "\n"]).collect::<String>();
        for (changed, line) in [
            (log.replacen("\"time\":1", "\"time\":7", 1), 3),
            (log.replacen("\"actor\"", " \"actor\"", 1), 1),
            (joined(&[lines[0], lines[2], lines[3]]), 2),
            (joined(&[lines[0], lines[0], lines[1]]), 2),
            (joined(&[lines[0], lines[2], lines[1], lines[3]]), 2),
            (joined(&lines[1..]), 1),
            (log[..log.len() - 1].into(), 4),
        ] {
            let broken = verify(changed.as_bytes(), Some(Head::START)).unwrap_err();
            assert_eq!(broken.line, line, "{}", broken.why);
        }
    }

    #[test]
    fn a_power_cut_at_any_byte_leaves_whole_lines_and_the_chain_goes_on() {
        let (_data, audit) = written(3);
        let whole = bytes(&audit);
        for cut in 0..whole.len() {
            let data = tempfile::tempdir().unwrap();
            let after = Audit::new(data.path());
            fs::create_dir_all(&after.folder).unwrap();
            fs::write(after.current(), &whole[..cut]).unwrap();
            after.write(&DEED, 77).unwrap();
            let (lines, _) = verify(&bytes(&after), Some(Head::START)).unwrap();
            let kept = whole[..cut].split(|byte| *byte == b'\n').count() - 1;
            assert_eq!(lines.len(), kept + 1);
        }
    }

    #[test]
    fn a_full_file_is_set_aside_and_the_next_goes_on_with_the_chain() {
        let data = tempfile::tempdir().unwrap();
        let audit = Audit { full: 400, ..Audit::new(data.path()) };
        for time in 0..8 {
            audit.write(&DEED, time).unwrap();
        }
        assert!(audit.older(1).exists() && audit.older(2).exists());
        let (lines, head) = verify(&audit.everything().unwrap(), Some(Head::START)).unwrap();
        assert_eq!((lines.len(), head.number), (8, 8));
        assert!(audit.lines().unwrap().1.is_ok());
        for time in 0..40 {
            audit.write(&DEED, time).unwrap();
        }
        assert!(!audit.older(KEPT + 1).exists());
        let (lines, _) = verify(&audit.everything().unwrap(), None).unwrap();
        assert_eq!(lines.last().unwrap().number, 48);
        // Where the older file is known, the first line of the next one cannot be replaced.
        let (text, first) = (String::from_utf8(bytes(&audit)).unwrap(), lines[0].previous);
        fs::write(
            audit.current(),
            text.replacen(&audit.lines().unwrap().0[0].previous.to_string(), &first.to_string(), 1),
        )
        .unwrap();
        assert!(audit.lines().unwrap().1.is_err());
    }

    #[test]
    fn a_damaged_log_is_set_aside_and_the_next_one_says_so() {
        let (data, audit) = written(3);
        let damaged = String::from_utf8(bytes(&audit)).unwrap().replacen("anna", "otto", 1);
        fs::write(audit.current(), &damaged).unwrap();
        assert_eq!(audit.lines().unwrap().1.unwrap_err().line, 2);
        let next = Audit::new(data.path());
        next.write(&DEED, 5).unwrap();
        assert_eq!(fs::read_to_string(next.older(1)).unwrap(), damaged);
        let (lines, _) = verify(&bytes(&next), Some(Head::START)).unwrap();
        assert_eq!(lines.iter().map(|line| line.action.as_str()).collect::<Vec<_>>(), ["audit-log-broken", "install"]);
        assert!(lines[0].about.starts_with("line 2"), "{}", lines[0].about);
    }

    #[test]
    fn a_log_that_does_not_follow_the_one_before_is_set_aside_once_and_not_at_each_start() {
        let (data, audit) = written(3);
        let (_elsewhere, other) = written(2);
        fs::write(audit.older(1), bytes(&other)).unwrap();
        let start = |time| {
            let next = Audit::new(data.path());
            next.write(&DEED, time).unwrap();
            let (lines, head) = next.lines().unwrap();
            assert!(head.is_ok(), "{head:?}");
            lines.iter().map(|line| line.action.clone()).collect::<Vec<_>>()
        };
        assert_eq!(start(5), ["audit-log-broken", "install"]);
        assert_eq!(start(6), ["audit-log-broken", "install", "install"]);
    }

    #[test]
    fn nothing_in_a_line_can_pretend_to_be_another() {
        let (_data, audit) = written(0);
        let long = "x".repeat(5_000);
        audit.write(&Deed { actor: "a\nb\u{7}", about: &long, ..DEED }, 0).unwrap();
        let (lines, _) = verify(&bytes(&audit), Some(Head::START)).unwrap();
        assert_eq!((lines[0].actor.as_str(), lines[0].about.len()), ("ab", LONGEST));
    }
}
