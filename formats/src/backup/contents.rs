//! The table of contents: what is in a backup, what was left out and why, and where it comes from.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{FORMAT, MAX_CONTENTS, MAX_EXCLUDED, MAX_FILES, MAX_PATH, MAX_TOTAL, WHAT};
use crate::manifest::{MAX_UNIX, check_name};
use crate::{Bytes, Digest, Error, Result, json};

/// `backup.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Contents {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The product line.
    pub product: String,
    /// What made it.
    pub made: Made,
    /// When, seconds since 1970 by that machine's clock.
    pub created: i64,
    /// What it is of.
    pub scopes: BTreeSet<Scope>,
    /// Logged history is in it.
    pub history: bool,
    /// The limits that were kept to.
    pub limits: Limits,
    /// What it has parts of, each with the version of its files.
    pub parts: Vec<Part>,
    /// Digest over the settings of the appliance: it changes when one of them does. Nothing when they are not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Digest>,
    /// Folders of the site that are in it, those above before those below.
    pub folders: Vec<Folder>,
    /// The files, in the order of the archive.
    pub files: Vec<File>,
    /// Everything that was looked at and left out.
    pub excluded: Vec<Excluded>,
}

/// What made a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Made {
    /// Version of the update agent.
    pub agent: String,
    /// Name and version of the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Name and version of the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Host name of the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The appliance's name among all.
    pub appliance: String,
    /// What the firmware calls the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its network interfaces.
    pub interfaces: Vec<String>,
}

/// What a backup may be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// What the appliance was told: network, depot, certificates and so on.
    Appliance,
    /// What the site keeps.
    Site,
}

impl Scope {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Appliance, Self::Site];

    /// The word for programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Appliance => "appliance",
            Self::Site => "site",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Something that is restored whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Part {
    /// For example `network`.
    pub name: String,
    /// What it belongs to.
    pub scope: Scope,
    /// The version of the form its files have.
    pub schema: u32,
}

/// The limits for files of the site's file store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// Files of more bytes are left out.
    pub file_bytes: u64,
    /// More files are left out.
    pub files: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 200_000, files: 50 }
    }
}

/// A folder, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Folder {
    /// The name of its part.
    pub part: String,
    /// Below the data partition.
    pub path: String,
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct File {
    /// The name of its part.
    pub part: String,
    /// Below the data partition.
    pub path: String,
    /// Length.
    pub bytes: u64,
    /// Of its content.
    pub sha256: Digest,
    /// Permissions; who may read, write and run it, and nothing else.
    pub mode: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// When it was changed last, seconds since 1970.
    pub modified: i64,
}

/// Something that was left out: a file, or a folder with everything in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Excluded {
    /// Below the data partition; strange characters written as escapes.
    pub path: String,
    /// Length of everything it stands for.
    pub bytes: u64,
    /// How many files it stands for.
    pub files: u64,
    /// Why.
    pub reason: Reason,
    /// The same for people.
    pub sentence: String,
}

/// Why something was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It belongs to this one machine, or can be had again.
    Declared,
    /// It is logged history, which was not wanted.
    History,
    /// It is above the limit for one file.
    TooLarge,
    /// There are more files than the limit.
    TooMany,
    /// It is no file: a link, a socket and so on.
    NotAFile,
    /// Its name cannot stand in a backup.
    Name,
    /// It changes all the time.
    Changing,
    /// This version does not know what it is.
    Unknown,
}

impl Contents {
    /// The JSON. `Invalid` when it breaks a rule.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check().map_err(|problem| Error::invalid(WHAT, problem))?;
        json::encode_within(WHAT, self, MAX_CONTENTS)
    }

    /// Reads and checks one. Fields of later versions are passed over; a later format is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let contents: Self = json::document(WHAT, bytes, MAX_CONTENTS, FORMAT)?;
        contents.check().map_err(|problem| Error::corrupt(WHAT, problem))?;
        Ok(contents)
    }

    /// Length of all files.
    pub fn total(&self) -> Bytes {
        Bytes(self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes)))
    }

    fn check(&self) -> std::result::Result<(), String> {
        check_name("product", &self.product).map_err(|error| error.to_string())?;
        if !(0..=MAX_UNIX).contains(&self.created) {
            return Err(format!("it was made at second {}, which is not between 1970 and 9999", self.created));
        }
        if self.scopes.is_empty() {
            return Err("it is of nothing".into());
        }
        let several = self.files.len().saturating_add(self.folders.len());
        if several > MAX_FILES
            || self.excluded.len() > MAX_EXCLUDED.saturating_add(Scope::ALL.len())
            || self.parts.len() > MAX_PARTS
        {
            return Err(format!(
                "it has more than {MAX_FILES} files, {MAX_EXCLUDED} lines about what was left out, or {MAX_PARTS} parts"
            ));
        }
        if self.total().0 > MAX_TOTAL {
            return Err(format!("its files have {}; at most {} are allowed", self.total(), Bytes(MAX_TOTAL)));
        }
        self.check_parts()?;
        self.check_paths()
    }

    fn check_parts(&self) -> std::result::Result<(), String> {
        let mut names = BTreeSet::new();
        for part in &self.parts {
            check_name("part", &part.name).map_err(|error| error.to_string())?;
            if !names.insert(part.name.as_str()) || !self.scopes.contains(&part.scope) {
                return Err(format!("part \"{}\" comes twice, or does not belong to what it is of", part.name));
            }
        }
        let mut used = self.files.iter().map(|file| &file.part).chain(self.folders.iter().map(|folder| &folder.part));
        match used.find(|part| !names.contains(part.as_str())) {
            Some(part) => Err(format!("\"{}\" is none of its parts", json::shown(part))),
            None => Ok(()),
        }
    }

    /// Each path once, and nothing inside a file.
    fn check_paths(&self) -> std::result::Result<(), String> {
        let files = self.files.iter().map(|file| file.path.as_str());
        let folders = self.folders.iter().map(|folder| folder.path.as_str());
        let mut seen = BTreeSet::new();
        for path in files.clone().chain(folders) {
            check_path(path)?;
            if !seen.insert(path) {
                return Err(format!("\"{}\" comes twice", json::shown(path)));
            }
        }
        let files: BTreeSet<&str> = files.collect();
        for path in &seen {
            let mut above = *path;
            while let Some((folder, _)) = above.rsplit_once('/') {
                if files.contains(folder) {
                    return Err(format!("\"{}\" lies in a file", json::shown(path)));
                }
                above = folder;
            }
        }
        // A file that is run with the rights of its owner is nothing a backup may bring.
        let files = self.files.iter().map(|file| file.mode).filter(|mode| *mode > 0o777);
        let folders = self.folders.iter().map(|folder| folder.mode).filter(|mode| *mode > 0o7777);
        match files.chain(folders).next() {
            Some(mode) => Err(format!("permissions {mode:o}")),
            None => Ok(()),
        }
    }
}

/// Whether a file with this path can stand in a backup.
pub fn is_path(path: &str) -> bool {
    check_path(path).is_ok()
}

/// A path in a backup: relative, of plain parts, of characters that stand for themselves.
pub(super) fn check_path(path: &str) -> std::result::Result<(), String> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let good = (1..=MAX_PATH).contains(&path.len()) && path.split('/').all(plain) && !path.contains(char::is_control);
    if good && path != super::CONTENTS {
        return Ok(());
    }
    Err(format!("\"{}\" is not the path of a file in a backup", json::shown(path)))
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Declared => "is never in a backup",
            Self::History => "is logged history, which was to be left out",
            Self::TooLarge => "is larger than the limit for one file of the file store",
            Self::TooMany => "is above the limit for the number of files of the file store",
            Self::NotAFile => "is no file",
            Self::Name => "has a name that cannot stand in a backup",
            Self::Changing => "changed each time it was read",
            Self::Unknown => "is not known to this version",
        })
    }
}

const MAX_PARTS: usize = 64;
