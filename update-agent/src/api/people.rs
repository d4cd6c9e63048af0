//! What can be asked about accounts, tokens and the audit log.

use serde::{Deserialize, Serialize};

use crate::account::Role;
use crate::account::password::Password;
use crate::audit::{Broken, Head, Line};

/// A change of accounts or tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// Add an account.
    AddAccount {
        /// Its name.
        name: String,
        /// What it may do.
        role: Role,
        /// Its first password.
        password: Password,
    },
    /// Set a password. Everybody may set their own with the present one; who is at the machine needs none.
    SetPassword {
        /// Whose.
        name: String,
        /// The new one.
        password: Password,
        /// The present one of whoever asks.
        #[serde(default)]
        present: Option<Password>,
    },
    /// Give an account another role.
    SetRole {
        /// Whose.
        name: String,
        /// Which.
        role: Role,
    },
    /// Remove an account.
    RemoveAccount {
        /// Which.
        name: String,
    },
    /// Make a token for a program.
    AddToken {
        /// Its name.
        name: String,
        /// What it may do.
        role: Role,
        /// After how many days it ends, 1 to 3650.
        days: u32,
    },
    /// Remove a token.
    RemoveToken {
        /// Which.
        name: String,
    },
}

impl Change {
    /// What is changed, for the audit log.
    pub fn about(&self) -> String {
        match self {
            Self::AddAccount { name, role, .. } => format!("add account {name}, {role}"),
            Self::SetPassword { name, .. } => format!("password of {name}"),
            Self::SetRole { name, role } => format!("{name} becomes {role}"),
            Self::RemoveAccount { name } => format!("remove account {name}"),
            Self::AddToken { name, role, days } => format!("add token {name}, {role}, {days} days"),
            Self::RemoveToken { name } => format!("remove token {name}"),
        }
    }
}

/// Who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Accounts {
    /// In the order they were made.
    pub accounts: Vec<Entry>,
    /// In the order they were made.
    pub tokens: Vec<TokenEntry>,
}

/// An account without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When its password was set; seconds since 1970.
    pub changed: u64,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TokenEntry {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The account that made it; nothing when it was made at the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// When it was made; seconds since 1970.
    pub created: u64,
    /// When it ends; seconds since 1970.
    pub expires: u64,
}

/// The audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Log {
    /// The last lines, newest last.
    pub lines: Vec<Line>,
    /// Where the chain is; nothing when it is broken.
    pub head: Option<Head>,
    /// Where it is broken.
    pub broken: Option<Broken>,
}
