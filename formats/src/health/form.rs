//! The flat table of a check, as recipe, manifest and operator's file have it.

use serde::{Deserialize, Serialize};

use super::{Check, DEFAULT_ANSWER, DEFAULT_TIMEOUT, LocalUrl, Probe, Room};
use crate::Bytes;
use crate::json::shown;

/// `[[base.health]]`, `[[site.health]]`: one health check. `process` and `pid-file` may go together; otherwise exactly one of
/// `process`, `pid-file`, `http`, `tcp`, `command`, `disk-space`, `clock` says what is checked, and the other keys belong to one of
/// these.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Form {
    /// Names the check in findings: lower-case letters, digits, `.` and `-`.
    pub name: String,
    /// Seconds it may take, 1 to 60. Default: 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// A program of this name runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The process whose number is in this file runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<String>,
    /// A web server of this machine answers: `http://127.0.0.1:8080/page`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Status the web server has to answer. Default: 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Text that has to be in the answer's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Most bytes of the answer that are read, up to 1 MiB. Default: 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Bytes>,
    /// Something accepts connections on this port of 127.0.0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<u16>,
    /// This program of base or site, with these arguments, ends with success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// The file system of this path has room: `free` or `free-percent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_space: Option<String>,
    /// Least free space of `disk-space`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<Bytes>,
    /// The same in percent of the file system, 1 to 99.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_percent: Option<u8>,
    /// `"after-release"`: the clock is not before the release was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
    /// Nor more than this many days after it. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_days: Option<u32>,
}

impl TryFrom<Form> for Check {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        let name = form.name.clone();
        let timeout = form.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let probe = form.probe().map_err(|problem| format!("health check \"{}\": {problem}", shown(&name)))?;
        let check = Self { name, timeout, probe };
        check.check()?;
        Ok(check)
    }
}

impl Form {
    fn probe(self) -> Result<Probe, String> {
        let kind = self.kind()?;
        self.only_keys_of(kind)?;
        Ok(match kind {
            "http" => Probe::Http {
                url: LocalUrl::parse(&self.http.unwrap_or_default())?,
                status: self.status.unwrap_or(200),
                contains: self.contains,
                limit: self.limit.unwrap_or(DEFAULT_ANSWER),
            },
            "tcp" => Probe::Tcp { port: self.tcp.unwrap_or_default() },
            "command" => Probe::Command { words: self.command.unwrap_or_default() },
            "disk-space" => {
                let least = match (self.free, self.free_percent) {
                    (Some(bytes), None) => Room::Free(bytes),
                    (None, Some(percent)) => Room::Percent(percent),
                    _ => return Err("disk-space needs either \"free\" or \"free-percent\"".into()),
                };
                Probe::DiskSpace { path: self.disk_space.unwrap_or_default(), least }
            }
            "clock" => match self.clock.as_deref() {
                Some(AFTER_RELEASE) => Probe::Clock { within_days: self.within_days },
                other => {
                    let other = shown(other.unwrap_or_default());
                    return Err(format!("clock = \"{other}\" is not known; write clock = \"{AFTER_RELEASE}\""));
                }
            },
            _ => Probe::Process { name: self.process, pid_file: self.pid_file },
        })
    }

    /// The one key that says what is checked.
    fn kind(&self) -> Result<&'static str, String> {
        let given: Vec<&'static str> = [
            ("process", self.process.is_some() || self.pid_file.is_some()),
            ("http", self.http.is_some()),
            ("tcp", self.tcp.is_some()),
            ("command", self.command.is_some()),
            ("disk-space", self.disk_space.is_some()),
            ("clock", self.clock.is_some()),
        ]
        .into_iter()
        .filter_map(|(kind, given)| given.then_some(kind))
        .collect();
        match given.as_slice() {
            [kind] => Ok(kind),
            [] => Err("nothing says what to check; \
                       give one of process, pid-file, http, tcp, command, disk-space, clock"
                .into()),
            several => Err(format!("{} are given; make a check of each", several.join(" and "))),
        }
    }

    /// A key of another kind would be ignored: somebody meant something by it.
    fn only_keys_of(&self, kind: &str) -> Result<(), String> {
        let extra = [
            ("status", "http", self.status.is_some()),
            ("contains", "http", self.contains.is_some()),
            ("limit", "http", self.limit.is_some()),
            ("free", "disk-space", self.free.is_some()),
            ("free-percent", "disk-space", self.free_percent.is_some()),
            ("within-days", "clock", self.within_days.is_some()),
        ];
        match extra.into_iter().find(|(_, of, given)| *given && *of != kind) {
            Some((key, of, _)) => Err(format!("\"{key}\" belongs to \"{of}\", this is \"{kind}\"")),
            None => Ok(()),
        }
    }
}

impl From<Check> for Form {
    /// The shortest table that means this check.
    fn from(check: Check) -> Self {
        let timeout = Some(check.timeout).filter(|timeout| *timeout != DEFAULT_TIMEOUT);
        let form = Self { name: check.name, timeout, ..Self::default() };
        match check.probe {
            Probe::Process { name, pid_file } => Self { process: name, pid_file, ..form },
            Probe::Http { url, status, contains, limit } => Self {
                http: Some(url.to_string()),
                status: Some(status).filter(|status| *status != 200),
                contains,
                limit: Some(limit).filter(|limit| *limit != DEFAULT_ANSWER),
                ..form
            },
            Probe::Tcp { port } => Self { tcp: Some(port), ..form },
            Probe::Command { words } => Self { command: Some(words), ..form },
            Probe::DiskSpace { path, least } => match least {
                Room::Free(bytes) => Self { disk_space: Some(path), free: Some(bytes), ..form },
                Room::Percent(percent) => Self { disk_space: Some(path), free_percent: Some(percent), ..form },
            },
            Probe::Clock { within_days } => Self { clock: Some(AFTER_RELEASE.into()), within_days, ..form },
        }
    }
}

const AFTER_RELEASE: &str = "after-release";
