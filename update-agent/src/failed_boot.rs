//! What is kept of a release that was given up: why, what each check saw, what the initramfs program noted, and the end of the kernel's
//! log. A reason in the journal is one line; this is for whoever has to find out more.
//!
//! Text files below `bulkhead/failed` on the data partition, the newest [`KEPT`] of them, each at most [`LIMIT`] bytes. The partition may
//! have been prepared by anybody: no link is followed, and what is written has nothing a terminal would obey.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use formats::boot_report::BootFailure;

use crate::health::Finding;
use crate::plain_file;

/// Longest log in bytes.
pub const LIMIT: usize = 256 << 10;
/// How many are kept.
pub const KEPT: usize = 5;

/// What there is to tell.
#[derive(Debug, Default)]
pub struct Account<'a> {
    /// The release and its slot.
    pub release: String,
    /// When, for people.
    pub when: String,
    /// The reason in the journal.
    pub reason: String,
    /// The last round of checks.
    pub findings: &'a [Finding],
    /// What the initramfs program noted.
    pub failures: &'a [BootFailure],
    /// The end of the kernel's log, or why there is none.
    pub kernel: String,
}

/// Keeps it, durable on return, and drops the oldest.
pub fn keep(data: &Path, account: &Account<'_>) -> io::Result<()> {
    let directory = directory(data);
    for folder in [directory.parent().unwrap_or(data), &directory] {
        match fs::symlink_metadata(folder) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(ErrorKind::NotADirectory.into()),
            Err(_) => fs::create_dir(folder)?,
        }
    }
    let numbers = numbers(&directory)?;
    let next = numbers.last().map_or(1, |newest| newest.saturating_add(1));
    // Room first: a full partition must not lose the newest for the sake of the oldest.
    let surplus = numbers.len().saturating_sub(KEPT.saturating_sub(1));
    for old in numbers.iter().take(surplus) {
        fs::remove_file(path(&directory, *old))?;
    }
    plain_file::replace(&path(&directory, next), &directory.join("new"), text(account).as_bytes(), 0o600)
}

/// The log number `back` from the newest, which is 1.
pub fn read(data: &Path, back: usize) -> io::Result<Option<String>> {
    let directory = directory(data);
    let numbers = match numbers(&directory) {
        Err(problem) if problem.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let Some(number) = numbers.iter().rev().nth(back.saturating_sub(1)) else { return Ok(None) };
    let bytes = plain_file::read(&path(&directory, *number), LIMIT)?;
    Ok(Some(String::from_utf8_lossy(&bytes).lines().map(|line| plain(line) + "\n").collect()))
}

/// The last part is what may be long, so its beginning is what goes.
fn text(account: &Account<'_>) -> String {
    let Account { release, when, reason, findings, failures, kernel } = account;
    let mut text = format!("{release} was given up at {when}\n{}\n\nHealth checks, last round:\n", plain(reason));
    for finding in *findings {
        add(&mut text, &finding.to_string());
        for line in finding.output.lines() {
            add(&mut text, &format!("        | {line}"));
        }
    }
    text.push_str("\nStarts the initramfs program gave up:\n");
    for failure in failures.iter().rev().take(NOTED).rev() {
        let slot = failure.slot.map_or_else(|| "unknown".into(), |slot| slot.to_string());
        add(&mut text, &format!("slot {slot}, version {}: {}", failure.version, failure.reason));
    }
    text.push_str("\nKernel log:\n");
    let mut kept = LIMIT / 2;
    let head: String = text.chars().take_while(|letter| take(&mut kept, letter.len_utf8())).collect();
    let mut room = LIMIT.saturating_sub(head.len());
    let safe: Vec<String> = kernel.lines().map(|line| plain(line) + "\n").collect();
    let tail = safe.iter().rev().take_while(|line| take(&mut room, line.len())).count();
    head + &safe.iter().skip(safe.len().saturating_sub(tail)).map(String::as_str).collect::<String>()
}

/// Takes from what is left, if there is enough.
fn take(left: &mut usize, wanted: usize) -> bool {
    left.checked_sub(wanted).map(|rest| *left = rest).is_some()
}

fn add(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    writeln!(text, "{}", plain(line)).unwrap_or_default();
}

fn plain(line: &str) -> String {
    line.chars().filter(|letter| !letter.is_control() || *letter == '\t').collect()
}

fn directory(data: &Path) -> PathBuf {
    data.join("bulkhead/failed")
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number}.log"))
}

/// The numbers of the logs, oldest first.
fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Notes of the initramfs program that are kept.
const NOTED: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn account(release: &str) -> Account<'static> {
        Account { release: release.into(), when: "2026-03-01".into(), reason: "no page".into(), ..Account::default() }
    }

    #[test]
    fn the_newest_five_are_kept_and_read_from_the_newest_on() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(read(data.path(), 1).unwrap(), None);
        for number in 1..=8 {
            keep(data.path(), &account(&format!("demo {number}"))).unwrap();
        }
        assert!(read(data.path(), 1).unwrap().unwrap().starts_with("demo 8 was given up at 2026-03-01\nno page\n"));
        assert!(read(data.path(), 5).unwrap().unwrap().starts_with("demo 4 was given up"));
        assert_eq!(read(data.path(), 6).unwrap(), None);
        assert_eq!(fs::read_dir(data.path().join("bulkhead/failed")).unwrap().count(), KEPT);
    }

    #[test]
    fn a_log_stays_within_its_limit_and_keeps_its_head_and_the_end_of_the_kernels_log() {
        let data = tempfile::tempdir().unwrap();
        let output = "x".repeat(4000);
        let one = Finding { output, ..Finding::failed("base/self-test", "it succeeds", "exit status: 3") };
        let findings: Vec<Finding> = (0..100).map(|_| one.clone()).collect();
        let kernel = (0..100_000).map(|n| format!("[{n}] ä line of the kernel")).collect::<Vec<_>>().join("\n");
        keep(data.path(), &Account { findings: &findings, kernel, ..account("demo 1") }).unwrap();
        let log = read(data.path(), 1).unwrap().unwrap();
        assert!(log.len() <= LIMIT && log.len() > LIMIT * 9 / 10, "{}", log.len());
        assert!(log.contains("FAILED  base/self-test: exit status: 3 (wanted: it succeeds)\n        | xxx"));
        assert!(log.ends_with("[99999] ä line of the kernel\n"), "{}", &log[log.len() - 100..]);
    }

    #[test]
    fn nothing_in_it_can_steer_a_terminal_also_when_somebody_else_wrote_it() {
        let data = tempfile::tempdir().unwrap();
        let kernel = "a \u{1b}[2J bell \u{7}\n".to_owned();
        keep(data.path(), &Account { kernel, ..account("demo 1") }).unwrap();
        fs::write(data.path().join("bulkhead/failed/2.log"), b"\x1b]0;evil\x07\xff\n").unwrap();
        for back in [1, 2] {
            let log = read(data.path(), back).unwrap().unwrap();
            assert!(!log.chars().any(|letter| letter.is_control() && letter != '\n'), "{log:?}");
        }
    }

    #[test]
    fn no_link_is_followed() {
        let data = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("bulkhead")).unwrap();
        let failed = data.path().join("bulkhead/failed");
        std::os::unix::fs::symlink(elsewhere.path(), &failed).unwrap();
        assert!(keep(data.path(), &account("demo 1")).is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        fs::remove_file(&failed).unwrap();
        fs::create_dir(&failed).unwrap();
        let victim = elsewhere.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, failed.join("new")).unwrap();
        std::os::unix::fs::symlink(&victim, failed.join("7.log")).unwrap();
        assert!(read(data.path(), 1).is_err());
        keep(data.path(), &account("demo 1")).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(read(data.path(), 1).unwrap().unwrap().starts_with("demo 1"));
    }
}
