//! What the process that fetches and the one that asks say to each other, in messages of [`crate::api::channel`]. Bytes of a file come as
//! pieces: a length in four bytes (little-endian), and as many bytes; after a length of zero follows an [`End`].

use serde::{Deserialize, Serialize};

/// Longest message in bytes.
pub(super) const MAX_MESSAGE: usize = 8 << 10;
/// Longest piece in bytes.
pub(super) const MAX_PIECE: u32 = 64 << 10;

/// How a process fetches; said once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speed {
    /// The HTTP proxy to go through.
    pub proxy: Option<String>,
    /// Most bytes each second.
    pub bandwidth: Option<u64>,
}

/// A file that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    pub(super) url: String,
    /// First byte that is wanted.
    pub(super) from: u64,
    /// The first byte that is not wanted any more.
    pub(super) until: u64,
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Answer {
    /// Its bytes follow, from this one on.
    Found { from: u64 },
    /// There is no such file.
    Missing,
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
