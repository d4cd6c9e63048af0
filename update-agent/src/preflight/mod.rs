//! What is to be known before something is installed (`docs/preflight.md`).
//!
//! [`judge`] turns what was seen into findings, one for each thing looked at, in one order, and is pure. It refuses nothing: what an
//! installation refuses is refused there, and a finding that would lead to a refusal carries its code. Everything else it says is
//! advice. What is seen is gathered by the keeper (`crate::serve::desk_preflight`).

use formats::Bytes;
use formats::backup::setting::BeforeUpdates;
use formats::manifest::{Effects, Kind};
use serde::Serialize;

use crate::api::Problem;
use crate::certificates;
use crate::code::Code;
use crate::depot::clock::Clock;
use crate::depot::window::Shut;
use crate::upgrade::outlook::Rest;

/// How a thing stands. The worst of all is that of a whole preflight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Green,
    /// Worth knowing before.
    Amber,
    /// Refused, or not to be risked.
    Red,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// Its name, stable; `docs/preflight.md` lists them.
    pub id: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// In words.
    pub sentence: String,
    /// What to do about it; nothing where nothing is to be done.
    pub next: Option<String>,
    /// The code an installation would be refused with; nothing: it is not refused because of this.
    pub refusal: Option<String>,
}

/// Where something is to be installed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// One package of this kind, now.
    Package(Kind),
    /// Every package on a way, by an upgrade that waits for whatever it has to.
    Way,
}

/// Everything the judgement depends on.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What is to be installed.
    pub what: What,
    /// Why it would be refused as it is, whatever else is in order.
    pub suits: Result<(), Problem>,
    /// Room for what is still to be fetched; an error when it could not be measured.
    pub space: Result<Space, String>,
    /// The time.
    pub clock: Clock,
    /// The newest backup.
    pub backup: Backup,
    /// Sentences about certificates in use whose key was never exported as it is now.
    pub unsaved: Vec<String>,
    /// What clients will say about the certificate of the site; nothing when no site is installed by it.
    pub coverage: Option<Vec<certificates::Finding>>,
    /// The job at work.
    pub job: Option<String>,
    /// What the appliance is in the middle of.
    pub rest: Rest,
    /// A sentence about the upgrade that is under way.
    pub upgrade: Option<String>,
    /// Whether the maintenance window is open long enough; nothing when there is none.
    pub window: Option<Result<(), Shut>>,
    /// The releases whose licence terms nobody accepted yet.
    pub terms: Vec<String>,
}

/// Room on the data partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What is still to be fetched.
    pub fetch: Bytes,
    /// What has to stay free beside it.
    pub reserve: Bytes,
    /// What is free.
    pub free: Bytes,
}

/// The newest backup of the appliance's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// It has the settings as they are now.
    pub current: bool,
    /// What there is, in a sentence.
    pub sentence: String,
    /// What is set about backups before updates.
    pub before: BeforeUpdates,
    /// One can be made without asking anybody for a passphrase.
    pub can_encrypt: bool,
}

/// What happens to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Impact {
    /// People signed in to the console now.
    pub console_sessions: usize,
    /// They are signed out by it.
    pub console_sessions_end: bool,
    /// All of it for people.
    pub sentences: Vec<String>,
}

/// Judges all of it. Never empty; the order is always the same.
pub fn judge(seen: &Seen) -> Vec<Finding> {
    let all = [
        Some(suits(seen)),
        Some(space(&seen.space)),
        Some(clock(seen.clock)),
        Some(backup(&seen.backup)),
        Some(saved(&seen.unsaved)),
        seen.coverage.as_deref().map(coverage),
        Some(at_work(seen.job.as_deref())),
        Some(pending(seen)),
        Some(upgrade(seen)),
        seen.window.as_ref().map(|window| self::window(seen.what, window)),
        Some(terms(&seen.terms)),
    ];
    all.into_iter().flatten().collect()
}

/// The worst of them.
pub fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Green)
}

/// Whether a backup is to be offered first: none is made anyway, it is wanted, and it can be made.
pub fn offers_backup(backup: &Backup) -> bool {
    !backup.current && backup.before == BeforeUpdates::No && backup.can_encrypt
}

/// What an installation with these effects does to people. A restart ends what the agent has in memory.
pub fn impact(effects: &Effects, console_sessions: usize, site: bool) -> Impact {
    let ends = effects.reboot;
    let mut sentences = Vec::new();
    if effects.reboot {
        sentences.push("the appliance restarts".into());
    }
    if ends {
        sentences.push(match console_sessions {
            0 => "nobody is signed in to the console".into(),
            1 => "1 session of the console ends".into(),
            more => format!("{more} sessions of the console end"),
        });
    }
    if site && (effects.reboot || effects.site_downtime) {
        sentences.push("the application is away for a moment; how many people use it now, it does not tell".into());
    }
    if effects.client_upgrade {
        sentences.push("client programs have to be upgraded afterwards".into());
    }
    if sentences.is_empty() {
        sentences.push("nobody notices anything".into());
    }
    Impact { console_sessions, console_sessions_end: ends, sentences }
}

fn suits(seen: &Seen) -> Finding {
    match &seen.suits {
        Ok(()) => green("suits", "it suits what runs here"),
        Err(problem) => {
            refused("suits", &problem.code, problem.message.clone(), "choose another release, or see its code")
        }
    }
}

fn space(space: &Result<Space, String>) -> Finding {
    match space {
        Ok(Space { fetch: Bytes(0), .. }) => green("space", "nothing has to be fetched"),
        Ok(space) => {
            let needed = Bytes(space.fetch.0.saturating_add(space.reserve.0));
            let figures = format!("{} to fetch and {} to stay free, {} free", space.fetch, space.reserve, space.free);
            if needed <= space.free {
                green("space", &format!("there is room on the data partition: {figures}"))
            } else {
                let text = format!("there is no room on the data partition: {figures}");
                refused("space", Code::NoSpace.word(), text, "discard staged packages or old backups")
            }
        }
        Err(problem) => amber("space", format!("the free space could not be measured: {problem}"), None),
    }
}

fn clock(clock: Clock) -> Finding {
    match (clock.problem(), clock.doubt()) {
        (Some(problem), _) => finding("clock", Verdict::Red, problem, Some("set the clock")),
        (None, Some(doubt)) => amber("clock", doubt, Some("compare the clock with another one")),
        (None, None) => green("clock", "the clock is not behind anything that was signed"),
    }
}

fn backup(backup: &Backup) -> Finding {
    let (id, sentence) = ("backup", backup.sentence.clone());
    match (backup.before, backup.current, backup.can_encrypt) {
        (BeforeUpdates::Make | BeforeUpdates::Require, _, true) => {
            green(id, &format!("{sentence}; a new one is made before anything is installed"))
        }
        (BeforeUpdates::Require, _, false) => {
            let why =
                format!("{sentence}; one has to be made before updates, and nothing says for whom it is encrypted");
            refused(id, Code::BackupRequired.word(), why, "set a passphrase or recipients for backups")
        }
        (_, true, _) => green(id, &sentence),
        (_, false, true) => finding(id, Verdict::Red, sentence, Some("back up first: --backup, or the button here")),
        (_, false, false) => {
            finding(id, Verdict::Red, sentence, Some("make a backup first: \"update-agent backup create\""))
        }
    }
}

fn saved(unsaved: &[String]) -> Finding {
    let id = "certificates-saved";
    match unsaved {
        [] => green(id, "every certificate in use was exported with its key, or made here"),
        some => amber(id, some.join("; "), Some("export it with its key, and keep the file in a safe place")),
    }
}

fn coverage(found: &[certificates::Finding]) -> Finding {
    let id = "certificate-coverage";
    match found.iter().find(|one| one.severity != certificates::Severity::Note) {
        None => green(id, "clients accept the certificate of the site's name"),
        Some(first) => {
            let all: Vec<&str> = found.iter().map(|one| one.text.as_str()).collect();
            finding(id, Verdict::Red, all.join("; "), Some(&first.cure))
        }
    }
}

fn at_work(job: Option<&str>) -> Finding {
    match job {
        None => green("at-work", "nothing else is at work"),
        Some(what) => {
            let text = format!("{what} is at work, and only one thing is at a time");
            refused("at-work", Code::Busy.word(), text, "wait until it has ended")
        }
    }
}

fn pending(seen: &Seen) -> Finding {
    let id = "pending";
    match (&seen.rest, seen.what) {
        (Rest::AtRest, _) => green(id, "nothing waits for a restart and nothing is on trial"),
        (_, What::Package(Kind::Licence)) => green(id, "what is under way does not matter to a licence"),
        (Rest::Armed { release, .. }, What::Package(Kind::Base)) => {
            let text = format!("{release} waits for a restart; another base takes its place");
            amber(id, text, Some("restart first to try it, or go on without it"))
        }
        (Rest::Armed { release, .. }, _) => {
            amber(id, format!("{release} waits for a restart"), Some("restart first to try it"))
        }
        (Rest::Trial(what) | Rest::Busy(what), _) => amber(id, what.clone(), Some("wait until it has ended")),
    }
}

fn upgrade(seen: &Seen) -> Finding {
    match (&seen.upgrade, seen.what) {
        (None, _) => green("upgrade", "no upgrade is under way"),
        (Some(text), What::Way) => {
            refused("upgrade", Code::UpgradeUnderWay.word(), text.clone(), "wait until it has ended, or cancel it")
        }
        (Some(text), What::Package(_)) => amber("upgrade", text.clone(), Some("let it end, or cancel it")),
    }
}

fn window(what: What, window: &Result<(), Shut>) -> Finding {
    match (window, what) {
        (Ok(()), _) => green("window", "the maintenance window is open long enough"),
        (Err(shut @ Shut::Always(_)), What::Way) => {
            refused("window", shut.code().word(), shut.to_string(), "set a longer maintenance window")
        }
        (Err(shut), What::Way) => amber("window", shut.to_string(), Some("begin it; it waits for the window")),
        (Err(shut), What::Package(_)) => {
            amber("window", shut.to_string(), Some("wait for the window, unless it may disturb people now"))
        }
    }
}

fn terms(open: &[String]) -> Finding {
    match open {
        [] => green("terms", "no licence terms are left to accept"),
        some => {
            let text = format!("the licence terms of {} have to be accepted", some.join(", "));
            refused("terms", Code::EulaNotAccepted.word(), text, "read and accept them: --accept-eula, or the box here")
        }
    }
}

fn green(id: &'static str, sentence: &str) -> Finding {
    finding(id, Verdict::Green, sentence.into(), None)
}

fn amber(id: &'static str, sentence: String, next: Option<&str>) -> Finding {
    finding(id, Verdict::Amber, sentence, next)
}

fn refused(id: &'static str, code: &str, sentence: String, next: &str) -> Finding {
    Finding { refusal: Some(code.into()), ..finding(id, Verdict::Red, sentence, Some(next)) }
}

fn finding(id: &'static str, verdict: Verdict, sentence: String, next: Option<&str>) -> Finding {
    Finding { id, verdict, sentence, next: next.map(Into::into), refusal: None }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
