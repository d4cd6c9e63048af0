//! Health checks: what must hold for a machine to be well, as data. Nothing here runs a check.
//!
//! Checks come from three places: the manifest of the base and of the site (signed), and a file of the operator (untrusted, see
//! [`parse_operator`]). Recipe, manifest and operator's file have the same form: one flat table for each check, in which one key
//! (`process`, `pid-file`, `http`, `tcp`, `command`, `disk-space`, `clock`) tells what is checked.
//!
//! Known attacks and our defence: a check that looks at another machine (only loopback addresses can be said); a command outside the
//! verified base and site (refused here by its path, and again on the device by the file system it lies on), or any command in the
//! operator's file; checks without end (number, time, bytes read and lengths have limits); text that steers a console (printable ASCII
//! only); a key that an older reader would pass over and so check something else (unknown keys are refused; a manifest with checks
//! must name the feature [`FEATURE`], so that an agent without checks refuses the package instead of ignoring them).

mod form;
mod shown;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::json::{self, shown as printable};
use crate::{Bytes, Error, Result};

/// The feature a manifest with checks requires. A kind of check that is added later gets a feature of its own.
pub const FEATURE: &str = "health";

/// Most checks in one list.
pub const MAX_CHECKS: usize = 32;

/// Longest operator's file in bytes.
pub const MAX_FILE: usize = 32 << 10;

/// Most bytes a check reads of an HTTP answer.
pub const MAX_ANSWER: Bytes = Bytes(1 << 20);

/// Seconds a check may take when it does not say.
pub const DEFAULT_TIMEOUT: u32 = 10;

/// Bytes a check reads of an HTTP answer when it does not say.
pub const DEFAULT_ANSWER: Bytes = Bytes(64 << 10);

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "form::Form", into = "form::Form")]
pub struct Check {
    /// Names it in findings: a [name](crate::manifest::check_name), unique in its list. A check that failed before an update does not
    /// block the update when the new release fails one of the same name.
    pub name: String,
    /// Seconds it may take, 1 to 60; a check that takes longer has failed.
    pub timeout: u32,
    /// What is checked.
    pub probe: Probe,
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A process runs: one of this name, the one a file names, or both at once.
    Process {
        /// Name of the program as the kernel or its first argument tells it, without folder.
        name: Option<String>,
        /// Absolute path of a file with its number.
        pid_file: Option<String>,
    },
    /// A web server on this machine answers.
    Http {
        /// What is asked for, with `GET`.
        url: LocalUrl,
        /// The status it must answer, 100 to 599.
        status: u16,
        /// Text that must be in the part of the body that is read.
        contains: Option<String>,
        /// Most bytes of the answer that are read, up to [`MAX_ANSWER`].
        limit: Bytes,
    },
    /// Something on this machine accepts connections.
    Tcp {
        /// Where, on 127.0.0.1.
        port: u16,
    },
    /// A program of the base or the site ends with success.
    Command {
        /// Absolute path of the program, then its arguments; no shell sees them.
        words: Vec<String>,
    },
    /// A file system has room.
    DiskSpace {
        /// Absolute path of something on it.
        path: String,
        /// How much.
        least: Room,
    },
    /// The clock is not before the release was made.
    Clock {
        /// Nor more than this many days after it; 1 to 36,525.
        within_days: Option<u32>,
    },
}

/// Free space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// So many bytes.
    Free(Bytes),
    /// So much of the whole file system, 1 to 99.
    Percent(u8),
}

/// `http://127.0.0.1[:PORT]/PATH`, the same with `[::1]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUrl {
    /// Where the server listens; always a loopback address.
    pub address: SocketAddr,
    /// What is asked for: `/` and printable ASCII, at most 256 characters.
    pub path: String,
}

/// How long a release on trial has for proving itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trial {
    /// Seconds all checks have to hold without a break before the release is kept, 1 to 3600. Default: 3.
    #[serde(default = "default_settle")]
    pub settle: u32,
    /// Seconds after which a release that is not kept yet is given up: more than `settle`, 10 to 7200. Default: 300.
    #[serde(default = "default_deadline")]
    pub deadline: u32,
}

impl Default for Trial {
    fn default() -> Self {
        Self { settle: default_settle(), deadline: default_deadline() }
    }
}

const fn default_settle() -> u32 {
    3
}

const fn default_deadline() -> u32 {
    300
}

impl Trial {
    /// Whether the numbers are in their ranges; if not, which is not.
    pub fn check(self) -> std::result::Result<(), String> {
        let Self { settle, deadline } = self;
        if !(1..=3600).contains(&settle) {
            return Err(format!("the trial's settle = {settle} is not between 1 and 3600 seconds"));
        }
        if !(10..=7200).contains(&deadline) || deadline <= settle {
            return Err(format!(
                "the trial's deadline = {deadline} is not between 10 and 7200 seconds and above settle = {settle}"
            ));
        }
        Ok(())
    }
}

impl Check {
    /// A check with the usual time limit.
    pub fn new(name: &str, probe: Probe) -> Self {
        Self { name: name.into(), timeout: DEFAULT_TIMEOUT, probe }
    }

    /// Whether every value is in its range; if not, the check and which value is not.
    pub fn check(&self) -> std::result::Result<(), String> {
        crate::manifest::check_name("name", &self.name)
            .map_err(|error| error.to_string())
            .and_then(|()| self.problem())
            .map_err(|problem| format!("health check \"{}\": {problem}", printable(&self.name)))
    }

    fn problem(&self) -> std::result::Result<(), String> {
        range("timeout", self.timeout, 1, MAX_TIMEOUT, "seconds")?;
        match &self.probe {
            Probe::Process { name: None, pid_file: None } => Err("neither \"process\" nor \"pid-file\"".into()),
            Probe::Process { name, pid_file } => {
                name.iter().try_for_each(|name| process_name(name))?;
                pid_file.iter().try_for_each(|path| absolute("pid-file", path))
            }
            Probe::Http { url, status, contains, limit } => {
                url.check()?;
                range("status", u32::from(*status), 100, 599, "")?;
                contains.iter().try_for_each(|wanted| text("contains", wanted))?;
                if *limit < Bytes(1) || *limit > MAX_ANSWER {
                    return Err(format!("limit = {limit} is not between 1 B and {MAX_ANSWER}"));
                }
                Ok(())
            }
            Probe::Tcp { port } => range("tcp", u32::from(*port), 1, 65_535, ""),
            Probe::Command { words } => command(words),
            Probe::DiskSpace { path, least } => {
                absolute("disk-space", path)?;
                match least {
                    Room::Free(Bytes(0)) => Err("free = 0 B holds always".into()),
                    Room::Free(_) => Ok(()),
                    Room::Percent(percent) => range("free-percent", u32::from(*percent), 1, 99, ""),
                }
            }
            Probe::Clock { within_days } => {
                within_days.iter().try_for_each(|days| range("within-days", *days, 1, 36_525, "days"))
            }
        }
    }
}

/// The rules of a whole list: each check's own, their number, and that no two have the same name.
pub fn check_list(checks: &[Check]) -> std::result::Result<(), String> {
    if checks.len() > MAX_CHECKS {
        return Err(format!("{} health checks; at most {MAX_CHECKS} are allowed", checks.len()));
    }
    for (index, check) in checks.iter().enumerate() {
        check.check()?;
        if checks.iter().take(index).any(|before| before.name == check.name) {
            return Err(format!("health check \"{}\" is there twice; names must differ", printable(&check.name)));
        }
    }
    Ok(())
}

/// The operator's file: `{"format": 1, "checks": [...]}`. Anybody who can write the data partition may have written it, so it cannot
/// start programs.
pub fn parse_operator(bytes: &[u8]) -> Result<Vec<Check>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(rename = "format")]
        _format: u32,
        checks: Vec<Check>,
    }
    let file: File = json::document(FILE, bytes, MAX_FILE, 1)?;
    check_list(&file.checks).map_err(|problem| Error::corrupt(FILE, problem))?;
    match file.checks.iter().find(|check| matches!(check.probe, Probe::Command { .. })) {
        Some(check) => Err(Error::corrupt(
            FILE,
            format!("health check \"{}\" is a command; only base and site may start programs", check.name),
        )),
        None => Ok(file.checks),
    }
}

impl LocalUrl {
    /// Reads `http://127.0.0.1:8080/page`; the port may be left out, and `localhost` stands for 127.0.0.1.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let bad = || {
            format!(
                "\"{}\" is not an address of this machine such as \"http://127.0.0.1:8080/page\"; HTTPS and other hosts cannot be checked",
                printable(text)
            )
        };
        let rest = text.strip_prefix("http://").ok_or_else(bad)?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at).ok_or_else(bad)?,
            None => (rest, "/"),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port_number(port).ok_or_else(bad)?),
            _ => (authority, 80),
        };
        let ip = match host {
            "127.0.0.1" | "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            "[::1]" => IpAddr::V6(Ipv6Addr::LOCALHOST),
            _ => return Err(bad()),
        };
        let url = Self { address: SocketAddr::new(ip, port), path: path.into() };
        url.check().map(|()| url)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let Self { address, path } = self;
        let visible = path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        if !address.ip().is_loopback() || address.port() == 0 {
            return Err(format!("{address} is not a port of this machine"));
        }
        if !path.starts_with('/') || path.len() > MAX_TEXT || !visible {
            return Err(format!(
                "the path \"{}\" is not \"/\" and at most {MAX_TEXT} printable ASCII characters without \"#\"",
                printable(path)
            ));
        }
        Ok(())
    }
}

/// Digits only: the standard reader would take a sign.
fn port_number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|port| *port != 0)
}

fn process_name(name: &str) -> std::result::Result<(), String> {
    let good = name.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    if good && (1..=64).contains(&name.len()) {
        return Ok(());
    }
    Err(format!("process = \"{}\" is not a program's name without its folder, 1 to 64 characters", printable(name)))
}

fn command(words: &[String]) -> std::result::Result<(), String> {
    let Some(program) = words.first() else { return Err("command is empty; name a program".into()) };
    absolute("command", program)?;
    if let Some(top) = UNVERIFIED.iter().find(|top| is_below(program, top)) {
        return Err(format!(
            "command \"{}\" lies in {top}, which nobody signed; put the program into the base or the site",
            printable(program)
        ));
    }
    if words.len() > MAX_WORDS {
        return Err(format!("command has {} words; at most {MAX_WORDS} are allowed", words.len()));
    }
    words.iter().skip(1).filter(|word| !word.is_empty()).try_for_each(|word| text("command", word))
}

fn is_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An absolute path in its one right spelling.
fn absolute(key: &str, path: &str) -> std::result::Result<(), String> {
    let visible = path.len() <= MAX_TEXT && path.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    let plain = |rest: &str| rest.is_empty() || rest.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if visible && path.strip_prefix('/').is_some_and(plain) {
        return Ok(());
    }
    Err(format!("{key} = \"{}\" is not an absolute path without \".\", \"..\" or \"//\"", printable(path)))
}

fn text(key: &str, value: &str) -> std::result::Result<(), String> {
    let visible = value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if visible && (1..=MAX_TEXT).contains(&value.len()) {
        return Ok(());
    }
    Err(format!("{key} = \"{}\" is not 1 to {MAX_TEXT} printable ASCII characters", printable(value)))
}

fn range(key: &str, value: u32, least: u32, most: u32, unit: &str) -> std::result::Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let text = format!("{key} = {value} is not between {least} and {most} {unit}");
    Err(text.trim_end().to_owned())
}

const FILE: &str = "the operator's health file";
const MAX_TIMEOUT: u32 = 60;
const MAX_TEXT: usize = 256;
const MAX_WORDS: usize = 32;
/// Folders of a running appliance that no signature covers.
const UNVERIFIED: [&str; 7] = ["/data", "/run", "/tmp", "/dev", "/proc", "/sys", "/var/run"];

#[cfg(test)]
pub(crate) mod tests;
