//! What the depot says about packages before they are fetched: release notes and licence terms, the same texts that are in the packages.
//!
//! A text is known by the SHA-256 that the entry of its package names, which the package's role signed; what is kept of texts is named by
//! it and compared with it whenever it is read. So it does not matter who served or kept it, and one byte that was changed is found.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use formats::Digest;
use formats::catalogue::{Catalogue, Entry, PackageId};
use formats::package::{EULA, MAX_TEXT, NOTES, check_text};
use formats::tuf::{Depot, Refusal, Why};
use serde::{Deserialize, Serialize};

use crate::depot::Trouble;
use crate::error::{At, Doing, Error, Result};
use crate::fetch::Fetcher;
use crate::journal::History;
use crate::plain_file;

/// The notes of several packages, in the order in which they would be installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Notes {
    /// One for each package.
    pub packages: Vec<About>,
}

/// What is to be read before one package is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct About {
    /// The package.
    pub package: PackageId,
    /// Its release notes.
    pub notes: String,
    /// Its licence terms; nothing when it has none.
    pub terms: Option<Terms>,
}

/// Licence terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Terms {
    /// SHA-256 of the text.
    pub digest: Digest,
    /// They were accepted on this appliance.
    pub accepted: bool,
}

/// One text of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its target in the depot.
    pub target: String,
    /// What it must be.
    pub digest: Digest,
    /// What such a text is called in a package.
    member: &'static str,
}

impl Text {
    /// The texts of a package.
    pub fn of(entry: &Entry) -> Vec<Self> {
        [Self::notes(entry)].into_iter().chain(Self::terms(entry)).collect()
    }

    /// The release notes of a package.
    pub fn notes(entry: &Entry) -> Self {
        Self { target: entry.id().notes_target(), digest: entry.notes, member: NOTES }
    }

    /// The licence terms of a package.
    pub fn terms(entry: &Entry) -> Option<Self> {
        entry.eula.map(|digest| Self { target: entry.id().eula_target(), digest, member: EULA })
    }

    /// The text from the depot at `url`, when it is what was signed for.
    pub fn fetch(&self, url: &str, fetcher: &mut Fetcher, depot: &Depot) -> Result<String> {
        let bytes = fetcher.whole(&format!("{url}/targets/{}", self.path(depot)?), MAX_TEXT)?;
        self.read(bytes.ok_or_else(|| Trouble::NotFetched(self.target.clone()))?)
    }

    /// Where it is in the depot. An error when the depot says two things about it.
    fn path(&self, depot: &Depot) -> Result<String> {
        let target = depot.target(&self.target);
        let problem = match target {
            None => "the depot does not have it".to_owned(),
            Some(target) if target.digest != self.digest => "it is another text than the one in the package".into(),
            Some(target) => return Ok(target.path(&self.target)),
        };
        let why = if target.is_none() { Why::Missing } else { Why::Mismatch };
        Err(self.refused(why, problem))
    }

    /// The text in these bytes, when it is what was signed for.
    pub fn read(&self, bytes: Vec<u8>) -> Result<String> {
        if Digest::of(&bytes) != self.digest {
            return Err(self.refused(Why::Mismatch, "its SHA-256 is not the one that was signed for".into()));
        }
        check_text(self.member, bytes).at(|| self.target.clone())
    }

    fn refused(&self, why: Why, problem: String) -> Error {
        let refusal = Refusal { file: self.target.clone(), why, problem };
        Trouble::Refused { refusal, place: "the depot".into() }.into()
    }
}

/// Texts that were fetched, on the data partition.
#[derive(Debug)]
pub struct Texts(PathBuf);

impl Texts {
    /// Those of the data partition mounted at `data`.
    pub fn new(data: &Path) -> Self {
        Self(data.join("bulkhead/depot/texts"))
    }

    /// One that was fetched. What is there and is not what was signed for is not there.
    pub fn kept(&self, text: &Text) -> Option<String> {
        text.read(plain_file::read(&self.file(text.digest), MAX_TEXT).ok()?).ok()
    }

    /// Keeps one that was just read.
    pub fn keep(&self, text: &Text, content: &str) -> Result<()> {
        let path = self.file(text.digest);
        let doing = || format!("keep \"{}\"", path.display());
        fs::create_dir_all(&self.0).doing(doing)?;
        plain_file::replace(&path, &self.0.join("text.new"), content.as_bytes(), 0o600).doing(doing)
    }

    /// Removes those of packages that the depot does not have any more.
    pub fn tidy(&self, catalogue: &Catalogue) -> Result<()> {
        let named: BTreeSet<PathBuf> =
            catalogue.entries().values().flat_map(Text::of).map(|text| self.file(text.digest)).collect();
        let Ok(entries) = fs::read_dir(&self.0) else { return Ok(()) };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| !named.contains(path)) {
            plain_file::remove_if_there(&path).doing(|| format!("remove \"{}\"", path.display()))?;
        }
        Ok(())
    }

    /// The notes of these packages, in this order. An error when one of them was not fetched.
    pub fn notes(&self, entries: &[&Entry], history: &History) -> Result<Notes> {
        let about = |entry: &&Entry| {
            let of = Text::notes(entry);
            let notes = self.kept(&of).ok_or_else(|| Error::from(Trouble::NotFetched(of.target.clone())))?;
            let terms = entry.eula.map(|digest| Terms { digest, accepted: history.accepted(digest) });
            Ok(About { package: entry.id(), notes, terms })
        };
        Ok(Notes { packages: entries.iter().map(about).collect::<Result<_>>()? })
    }

    fn file(&self, digest: Digest) -> PathBuf {
        self.0.join(digest.to_string())
    }
}

impl Notes {
    /// All of them as one text: newest last, as they would be installed.
    pub fn merged(&self) -> String {
        let of_one = |about: &About| {
            let open = about.terms.as_ref().filter(|terms| !terms.accepted);
            let terms = open.map(|terms| {
                let (digest, package) = (terms.digest, &about.package);
                format!("\n(Licence terms to accept, SHA-256 {digest}: update-agent eula {package})\n")
            });
            format!("## {}\n\n{}\n{}\n", about.package, about.notes.trim_end(), terms.unwrap_or_default())
        };
        self.packages.iter().map(of_one).collect()
    }
}
