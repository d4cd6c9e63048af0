//! What the process that fetches and the one that asks say to each other, in messages of [`crate::api::channel`]. Bytes of a file come as
//! pieces: a length in four bytes (little-endian), and as many bytes; after a length of zero follows an [`End`].

use std::fmt;

use formats::mail::{Address, Security};
use serde::{Deserialize, Serialize};

/// Longest message of the process that fetches, in bytes.
pub(super) const MAX_MESSAGE: usize = 8 << 10;
/// Longest message to it, in bytes: certificates of authorities, or a letter.
pub(super) const MAX_ORDER: usize = 1 << 20;
/// Longest piece in bytes.
pub(super) const MAX_PIECE: u32 = 64 << 10;

/// How a process reaches servers; said once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Means {
    /// The HTTP proxy to go through.
    pub proxy: Option<Proxy>,
    /// Certificates (PEM) of who may vouch for servers, beside those everybody knows.
    pub authorities: Option<String>,
    /// Most bytes each second.
    pub bandwidth: Option<u64>,
}

/// An HTTP proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Its address.
    pub url: String,
    /// Who the appliance is there.
    pub login: Option<Login>,
}

/// A user and what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// Text that is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Something that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Order {
    /// A file from `from` on; `until` is the first byte that is not wanted any more.
    File { url: String, from: u64, until: u64 },
    /// A letter is to be sent.
    Letter(Letter),
}

/// A mail, and the server that takes it. Everything that becomes a header is of a type that has no line breaks, or is refused with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// The mail server.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How the way to it is protected.
    pub security: Security,
    /// Who the appliance is there.
    pub login: Option<Login>,
    /// The appliance's own name, if it has one.
    pub hello: Option<String>,
    /// Who sends.
    pub from: Address,
    /// Who gets it.
    pub to: Vec<Address>,
    /// Seconds since 1970.
    pub date: i64,
    /// What makes it the same letter when it is sent twice: hexadecimal.
    pub id: String,
    /// One line.
    pub subject: String,
    /// The rest.
    pub text: String,
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Answer {
    /// Its bytes follow, from this one on.
    Found { from: u64 },
    /// There is no such file.
    Missing,
    /// It took the letter.
    Taken,
    /// Something else.
    Failed { why: String },
}

/// How the bytes ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum End {
    Complete,
    TooLong,
    Cut { why: String },
}
