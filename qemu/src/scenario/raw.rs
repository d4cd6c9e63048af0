//! The keys of a scenario file, exactly as they are written there. `docs/scenarios.md` explains each.

use std::collections::BTreeMap;

use formats::Bytes;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::{Bus, FirmwareName};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    pub title: String,
    pub firmware: Option<Vec<FirmwareName>>,
    pub memory: Option<Bytes>,
    #[serde(default)]
    pub ports: Vec<u16>,
    pub network: Option<bool>,
    #[serde(default)]
    pub mailbox: bool,
    #[serde(default)]
    pub oem_strings: Vec<String>,
    pub depot: Option<Spanned<Depot>>,
    pub disk: Disk,
    #[serde(default)]
    pub drive: Vec<Spanned<Drive>>,
    pub steps: Vec<Spanned<Step>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Disk {
    pub image: String,
    pub size: Option<Bytes>,
    #[serde(default)]
    pub bus: Bus,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Drive {
    pub name: String,
    pub files: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub partitioned: bool,
    pub image: Option<String>,
    #[serde(default)]
    pub twin: bool,
    pub size: Option<Bytes>,
    #[serde(default)]
    pub bus: Bus,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Depot {
    pub folder: String,
    pub rate: Option<Bytes>,
    #[serde(default)]
    pub https: bool,
}

/// A line, or part of one.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged, expecting = "a text, a list of texts that are in one line, or { regex = \"...\" }")]
pub enum Pattern {
    Word(String),
    Words(Vec<String>),
    Regex(Regex),
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Regex {
    pub regex: String,
}

/// Every key a step can have; which go together is checked afterwards.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Step {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Pattern>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub typed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<BTreeMap<String, toml::Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeze: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<Pattern>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flip_byte: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_partition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destroy_boot_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unchanged: Option<String>,

    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Vec<Pattern>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<Pattern>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_within: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prints: Option<Vec<Pattern>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prints_not: Option<Vec<Pattern>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drive: Option<String>,
}

/// Where in a partition.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged, expecting = "a number of bytes, or \"footer\"")]
pub enum Offset {
    Byte(u64),
    Name(String),
}

/// What a step can do, and the further keys each may have.
pub const ACTIONS: [(&str, &[&str]); 18] = [
    ("power", &["when", "within", "after", "clock"]),
    ("expect", &["not-before", "within"]),
    ("run", &["exit-code", "prints", "prints-not", "within"]),
    ("until", &["within"]),
    ("type", &[]),
    ("status", &["within"]),
    ("freeze", &["when", "within", "reset-within"]),
    ("http", &["http-status", "prints", "within"]),
    ("depot", &["rate"]),
    ("sent", &["percent", "within"]),
    ("answer", &["drive"]),
    ("mail", &["prints", "within"]),
    ("flip-byte", &["offset", "drive"]),
    ("zero", &["offset", "length", "drive"]),
    ("copy-partition", &["to", "drive"]),
    ("destroy-boot-state", &[]),
    ("exchange", &[]),
    ("unchanged", &[]),
];
