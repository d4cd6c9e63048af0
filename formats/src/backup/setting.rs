//! What an operator says about backups: `backup.json` beside the other settings.

use serde::{Deserialize, Serialize};

use super::Limits;
use super::schedule::Schedule;
use crate::age::{MAX_RECIPIENTS, Recipient};
use crate::mail::FileName;
use crate::{Error, Result, json};

/// Longest file in bytes.
pub const MAX_FILE: usize = 8 << 10;
/// The version of this format.
pub const FORMAT: u32 = 1;
/// Backups that are kept when nothing is said.
pub const KEEP: u32 = 7;
/// Most backups that are kept.
pub const MAX_KEEP: u32 = 100;

/// The setting. Its fields are only what [`Setting::parse`] and [`Setting::checked`] let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Setting {
    /// Always [`FORMAT`].
    pub format: u32,
    /// For whom backups are encrypted that are made by themselves: public keys, nothing secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<Recipient>,
    /// Instead of those, a file with the passphrase, beside this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<FileName>,
    /// When one is made by itself; nothing: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// How many are kept on the appliance, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// Whether logged history is in those that are made by themselves.
    #[serde(default = "yes")]
    pub history: bool,
    /// The limits for files of the site's file store.
    #[serde(default)]
    pub limits: Limits,
    /// What is done before an update.
    #[serde(default)]
    pub before_updates: BeforeUpdates,
}

/// What is done about backups before something is installed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BeforeUpdates {
    /// Nothing.
    No,
    /// One is made when there is somebody to encrypt it for; else nothing.
    #[default]
    Make,
    /// One is made, and without one nothing is installed.
    Require,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            format: FORMAT,
            recipients: Vec::new(),
            passphrase_file: None,
            schedule: None,
            keep: None,
            history: true,
            limits: Limits::default(),
            before_updates: BeforeUpdates::default(),
        }
    }
}

impl Setting {
    /// Reads one file.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let setting: Self = json::document(WHAT, bytes, MAX_FILE, FORMAT)?;
        setting.checked().map_err(|error| Error::corrupt(WHAT, error.to_string()))
    }

    /// The bytes of the file. `Invalid` when a field breaks its rule.
    pub fn encode(&self) -> Result<Vec<u8>> {
        json::encode_within(WHAT, &self.clone().checked()?, MAX_FILE)
    }

    /// The same, once every field keeps to its rule.
    pub fn checked(self) -> Result<Self> {
        let refused = |problem: String| Err(Error::invalid(WHAT, problem));
        if self.recipients.len() > MAX_RECIPIENTS {
            return refused(format!("{} recipients; at most {MAX_RECIPIENTS} are allowed", self.recipients.len()));
        }
        if !self.recipients.is_empty() && self.passphrase_file.is_some() {
            return refused("recipients and a passphrase; say one of them".into());
        }
        if let Some(keep) = self.keep.filter(|keep| !(1..=MAX_KEEP).contains(keep)) {
            return refused(format!("{keep} backups to keep; 1 to {MAX_KEEP} can be"));
        }
        if !self.can_encrypt() && (self.schedule.is_some() || self.before_updates == BeforeUpdates::Require) {
            return refused(
                "backups are to be made by themselves, and nothing says for whom they are encrypted: say recipients"
                    .into(),
            );
        }
        Ok(self)
    }

    /// Whether a backup can be made without anybody saying a passphrase.
    pub fn can_encrypt(&self) -> bool {
        !self.recipients.is_empty() || self.passphrase_file.is_some()
    }

    /// How many are kept.
    pub fn kept(&self) -> usize {
        usize::try_from(self.keep.unwrap_or(KEEP)).unwrap_or(usize::MAX)
    }
}

fn yes() -> bool {
    true
}

const WHAT: &str = "backup setting";

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn it_is_written_and_read_and_says_what_it_does_not_need() {
        let text = format!(
            r#"{{"format":1,"recipients":["{KEY}"],"schedule":{{"at":"02:30"}},"keep":3,"history":false,
                "limits":{{"file-bytes":1000,"files":2}},"before-updates":"require","later":true}}"#
        );
        let setting = Setting::parse(text.as_bytes()).unwrap();
        assert_eq!((setting.kept(), setting.can_encrypt(), setting.history), (3, true, false));
        assert_eq!(Setting::parse(&setting.encode().unwrap()).unwrap(), setting);
        let least = Setting::parse(br#"{"format":1}"#).unwrap();
        assert_eq!(least, Setting::default());
        assert_eq!((least.limits.file_bytes, least.limits.files, least.kept()), (200_000, 50, 7));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for wrong in [
            r#""schedule":{"at":"02:30"}"#.to_owned(),
            r#""before-updates":"require""#.into(),
            r#""keep":0"#.into(),
            r#""keep":101"#.into(),
            r#""limits":{"file-bytes":1}"#.into(),
            r#""recipients":["age1qqqq"]"#.into(),
            r#""passphrase-file":"../shadow""#.into(),
            format!(r#""recipients":["{KEY}"],"passphrase-file":"backup-passphrase""#),
            format!(r#""recipients":["{}"]"#, vec![KEY; 17].join("\",\"")),
        ] {
            assert!(Setting::parse(format!(r#"{{"format":1,{wrong}}}"#).as_bytes()).is_err(), "{wrong}");
        }
        assert!(matches!(Setting::parse(br#"{"format":2}"#), Err(Error::Unsupported { .. })));
    }
}
