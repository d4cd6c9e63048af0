//! What clients say about backups.

use std::collections::BTreeSet;
use std::path::PathBuf;

use formats::age::{Identity, Recipient};
use formats::backup::{Scope, setting::Setting};
use serde::{Deserialize, Serialize};

use crate::backup::{Key, Lock};
use crate::error::{Error, Result};
use crate::secret::Secret;

/// A backup to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CreateBackup {
    /// Of what; nothing: of appliance and site.
    #[serde(default)]
    pub scopes: Option<BTreeSet<Scope>>,
    /// Leave logged history out.
    #[serde(default)]
    pub no_history: bool,
    /// Encrypt it with this passphrase.
    #[serde(default)]
    pub passphrase: Option<Secret>,
    /// Or for these keys; with neither: as the setting says.
    #[serde(default)]
    pub recipients: Vec<Recipient>,
    /// Write it into this folder (absolute path) instead of keeping it on the appliance.
    #[serde(default)]
    pub to: Option<PathBuf>,
}

/// Where a backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum BackupSource {
    /// Kept on the appliance.
    Kept(String),
    /// Uploaded; its id.
    Uploaded(String),
    /// A file; absolute path.
    File(PathBuf),
}

/// A backup to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TestBackup {
    /// Which.
    pub backup: BackupSource,
    /// Its passphrase.
    #[serde(default)]
    pub passphrase: Option<Secret>,
    /// Or the text of a key file.
    #[serde(default)]
    pub identity: Option<Secret>,
}

/// A backup to restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Restore {
    /// Which.
    pub backup: BackupSource,
    /// Its passphrase.
    #[serde(default)]
    pub passphrase: Option<Secret>,
    /// Or the text of a key file.
    #[serde(default)]
    pub identity: Option<Secret>,
    /// Only what belongs to these.
    #[serde(default)]
    pub scopes: Option<BTreeSet<Scope>>,
    /// Only these parts.
    #[serde(default)]
    pub only: Option<BTreeSet<String>>,
    /// Say what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What is said about backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetBackups {
    /// The setting.
    pub setting: Setting,
    /// A passphrase to keep on the appliance, instead of recipients.
    #[serde(default)]
    pub passphrase: Option<Secret>,
}

/// A piece of a kept backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BackupPiece {
    /// Which.
    pub id: String,
    /// From this byte on.
    pub offset: u64,
}

impl CreateBackup {
    /// For whom it is encrypted; nothing: as the setting says.
    pub fn lock(&self) -> Result<Option<Lock>> {
        match (&self.passphrase, self.recipients.as_slice()) {
            (None, []) => Ok(None),
            (Some(passphrase), []) => {
                crate::backup::setting::check(passphrase)?;
                Ok(Some(Lock::Passphrase(passphrase.clone())))
            }
            (None, recipients) => Ok(Some(Lock::Recipients(recipients.to_vec()))),
            (Some(_), _) => Err(Error::Usage("a passphrase and recipients; say one of them".into())),
        }
    }
}

/// With what a backup is opened.
pub fn key(passphrase: Option<Secret>, identity: Option<&Secret>) -> Result<Key> {
    match (passphrase, identity) {
        (Some(passphrase), None) => Ok(Key::Passphrase(passphrase)),
        (None, Some(identity)) => {
            let identity = Identity::parse(identity.reveal()).map_err(|problem| Error::Usage(problem.to_string()))?;
            Ok(Key::Identity(identity))
        }
        _ => Err(Error::Usage("a backup is opened with its passphrase or with a key; say one of them".into())),
    }
}
