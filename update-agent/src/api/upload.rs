//! What clients say about files they upload.

use formats::Digest;
use serde::{Deserialize, Serialize};

/// What is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadKind {
    /// A package, a licence or a path bundle.
    Package,
    /// A backup.
    Backup,
}

/// A file that is about to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BeginUpload {
    /// What it is.
    pub kind: UploadKind,
    /// What it is called, for people only.
    pub name: String,
    /// Its length in bytes; more, when it is only known at the end.
    pub length: u64,
    /// Of its bytes.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// Tells it from another file of the same name and length, for example when it was changed last.
    #[serde(default)]
    pub mark: Option<String>,
}

/// A piece of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct UploadPiece {
    /// Of which upload.
    pub id: String,
    /// From this byte on.
    pub offset: u64,
    /// As base64, at most 512 KiB.
    pub bytes: String,
}

/// All of it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FinishUpload {
    /// Of which upload.
    pub id: String,
    /// Its length, when it was not known at the beginning.
    #[serde(default)]
    pub length: Option<u64>,
    /// Take a path bundle whatever day it is; why.
    #[serde(default)]
    pub accept_expired: Option<String>,
}
