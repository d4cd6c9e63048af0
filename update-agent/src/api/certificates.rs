//! What clients ask about certificates.

use serde::{Deserialize, Serialize};

use crate::certificates::Place;
use crate::certificates::request::{KeyKind, Subject};
use crate::secret::Secret;

/// A certificate to be taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ImportCertificate {
    /// PEM, DER or PKCS#12 in base64; at most 1 MiB without that.
    pub file: Secret,
    /// What it is locked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<Secret>,
    /// Names clients ask for, to hear whether it is for them.
    #[serde(default)]
    pub names: Vec<String>,
    /// Say what would be imported, and change nothing.
    #[serde(default)]
    pub check_only: bool,
}

/// A signing request to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SigningRequest {
    /// Host names and addresses.
    #[serde(default)]
    pub names: Vec<String>,
    /// A certificate whose names are asked for too: the first digits of its fingerprint.
    #[serde(default)]
    pub renew: Option<String>,
    /// The key to be made.
    #[serde(default)]
    pub key: KeyKind,
    /// What some authorities want to know.
    #[serde(default)]
    pub subject: Subject,
}

/// A binding to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BindCertificate {
    /// Which: the first digits of its fingerprint.
    pub certificate: String,
    /// To whom it is shown.
    pub to: Place,
}

/// A binding to be taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct UnbindCertificate {
    /// To whom nothing of its own is shown any more.
    pub to: Place,
}
