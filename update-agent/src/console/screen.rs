//! The screen as text: what a person at the machine wants to know, in 80 columns and 24 lines. Pure.
//!
//! Nothing that came from a disk steers the terminal: whatever is not printable ASCII is replaced, whatever is too long is cut.

use formats::SlotId;
use formats::boot_report::{BootFailure, BootReport, SiteReport};

use formats::reset_record::Then;

use super::menu::{Dialog, items};
use crate::lifecycle::{Occupant, State, Summary};

/// Columns of a serial line that nobody told otherwise.
pub const COLUMNS: usize = 80;
/// Its lines.
pub const LINES: usize = 24;

/// Everything the screen and the menu depend on.
#[derive(Debug, Clone)]
pub struct View {
    /// How this start went.
    pub report: BootReport,
    /// What the appliance is in the middle of; nothing when its records cannot be read.
    pub lifecycle: Option<(State, Summary)>,
    /// How far an upgrade is, in words; nothing when none is under way.
    pub upgrade: Option<String>,
    /// Starts that failed, newest last.
    pub failures: Vec<BootFailure>,
    /// How it gets its address.
    pub setting: String,
    /// The addresses it has, for example `eth0 192.0.2.10/24`.
    pub addresses: Vec<String>,
    /// The code by which the first account is made in a browser; nothing when that is not to be done.
    pub claim: Option<String>,
}

/// The whole screen, at most [`LINES`] lines of at most [`COLUMNS`] columns, without a line feed behind the last one, where people type.
pub fn screen(view: &View, dialog: &Dialog, note: Option<&str>) -> String {
    let mut below = vec![rule()];
    below.extend(dialog_lines(view, dialog));
    below.push(String::new());
    below.push(note.map(|note| cut(&plain(note), COLUMNS)).unwrap_or_default());
    let prompt = dialog.prompt();
    let room = LINES.saturating_sub(below.len()).saturating_sub(3);
    let mut facts = facts(view);
    if facts.len() > room {
        facts.truncate(room.saturating_sub(1));
        facts.push(entry("more", "update-agent status"));
    }
    let title = format!(" {} {}", view.report.product, view.report.base.version);
    let mut lines = vec![cut(&plain(&title), COLUMNS), rule()];
    lines.extend(facts);
    lines.extend(below);
    format!("{}\n{prompt}", lines.join("\n"))
}

/// `text` on a terminal: printable ASCII as it is, everything else a question mark.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect()
}

fn dialog_lines(view: &View, dialog: &Dialog) -> Vec<String> {
    let lines: Vec<String> = match dialog {
        Dialog::Menu => {
            (1..).zip(items(view)).map(|(number, item)| format!(" {number}  {}", plain(&item.label))).collect()
        }
        other => other.explanation().iter().flat_map(|line| wrapped(&plain(line), COLUMNS.saturating_sub(2))).collect(),
    };
    lines.into_iter().map(|line| cut(&line, COLUMNS)).collect()
}

fn facts(view: &View) -> Vec<String> {
    let report = &view.report;
    let verified = if report.base.verified { "verified" } else { "NOT VERIFIED" };
    let mut lines =
        entries("runs", &format!("slot {}, {} {}, {verified}", report.slot, report.base.name, report.base.version), 1);
    lines.extend(entries("site", &site(view), 2));
    if let Some((_, summary)) = &view.lifecycle {
        lines.extend(entries("update", &summary.state, 2));
        lines.extend(entries("", &format!("site: {}", summary.site_state), 2));
        lines.extend(entries("on trial", &on_trial(summary), 3));
        lines.extend(entries("restart", &next(summary), 2));
        for failed in &summary.failed {
            let release = &failed.release;
            let text = format!("{release} in {} slot {}: {}", release.kind, failed.slot, failed.reason);
            lines.extend(entries("failed", &text, 3));
        }
    } else {
        lines.extend(entries(
            "update",
            "the records of slots and boot state cannot be read; see update-agent status",
            2,
        ));
    }
    if let Some(upgrade) = &view.upgrade {
        lines.extend(entries("upgrade", upgrade, 3));
    }
    let addresses = if view.addresses.is_empty() { "no address".into() } else { view.addresses.join(", ") };
    lines.extend(entries("network", &format!("{addresses} ({})", view.setting), 2));
    if let Some(code) = &view.claim {
        lines.push(entry("claim", &format!("{code} is the code for the first account; type it at https://ADDRESS/")));
    }
    for warning in &report.warnings {
        lines.extend(entries("warning", warning, 2));
    }
    for failure in view.failures.iter().rev() {
        let slot = failure.slot.map_or_else(|| "unknown".into(), |slot: SlotId| slot.to_string());
        let text = format!("slot {slot}, version {}, did not start: {}", failure.version, failure.reason);
        lines.extend(entries("failed", &text, 2));
    }
    lines
}

/// The site that runs now; before its records are read, the one of the start.
fn site(view: &View) -> String {
    let running = view.lifecycle.as_ref().and_then(|(_, summary)| summary.site_running.as_ref());
    match (running, &view.report.site) {
        (Some(site), _) => occupant(site),
        (None, Some(SiteReport::Unusable { error })) => format!("none: {error}"),
        (None, Some(SiteReport::Running { slot, content })) if view.lifecycle.is_none() => {
            format!("slot {slot}, {} {}", content.name, content.version)
        }
        (None, _) => "none".into(),
    }
}

fn on_trial(summary: &Summary) -> String {
    let base = summary.on_trial.as_ref().map(|trial| {
        let when = if trial.started { "running; kept once it is healthy" } else { "from the next restart on" };
        format!("{}, {when}", occupant(&trial.occupant))
    });
    let site = summary.site_on_trial.as_ref();
    let site = site.map(|site| format!("site {}, running; kept once it is healthy", occupant(site)));
    let trials: Vec<String> = base.into_iter().chain(site).collect();
    if trials.is_empty() { "nothing".into() } else { trials.join("; ") }
}

fn next(summary: &Summary) -> String {
    if let Some(reset) = &summary.next_restart.reset {
        let then = if reset.then == Then::PowerOff { "then the appliance turns itself off" } else { "then it starts" };
        return format!("FACTORY RESET: everything in /data is destroyed, {then} (ordered by {})", reset.by);
    }
    let Some(base) = &summary.next_restart.base else { return "starts whatever loads: the boot state is lost".into() };
    let otherwise = summary.next_restart.otherwise.as_ref();
    let otherwise = otherwise.map(|other| format!("; if that fails {}", occupant(other))).unwrap_or_default();
    format!("starts {}{otherwise}", occupant(base))
}

/// A slot and what is in it.
pub fn occupant(occupant: &Occupant) -> String {
    match &occupant.release {
        Some(release) => format!("slot {}, {release}", occupant.slot),
        None => format!("slot {}", occupant.slot),
    }
}

/// A fact on at most `most` lines.
fn entries(name: &str, value: &str, most: usize) -> Vec<String> {
    let mut lines = wrapped(&plain(value), COLUMNS.saturating_sub(INDENT));
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            *last = format!("{}...", cut(last, COLUMNS.saturating_sub(INDENT).saturating_sub(3)));
        }
    }
    lines.iter().enumerate().map(|(number, line)| entry(if number == 0 { name } else { "" }, line)).collect()
}

fn entry(name: &str, value: &str) -> String {
    format!(" {name:<9} {value}")
}

/// Breaks ASCII text between words, and within words that are longer than a line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        for (number, piece) in pieces(word, width).into_iter().enumerate() {
            let fits = lines.last().is_some_and(|line| line.len().saturating_add(piece.len()) < width);
            match lines.last_mut() {
                Some(line) if line.is_empty() => line.push_str(piece),
                Some(line) if fits && number == 0 => {
                    line.push(' ');
                    line.push_str(piece);
                }
                _ => lines.push(piece.to_owned()),
            }
        }
    }
    lines
}

fn pieces(mut word: &str, width: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    while let Some((first, rest)) = word.split_at_checked(width).filter(|(_, rest)| !rest.is_empty()) {
        pieces.push(first);
        word = rest;
    }
    pieces.push(word);
    pieces
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

fn rule() -> String {
    "-".repeat(COLUMNS)
}

const INDENT: usize = 11;
