//! Reading a bundle in one pass, from anybody: label and metadata into memory, of targets only where they are.
//!
//! Known attacks and our defence, each with a test in `tests.rs`:
//!
//! 1. Names: only [`LABEL`], `metadata/NAME.json` and `targets/…` of plain parts; nothing absolute, hidden, or leading out.
//! 2. Order and duplicates: label, metadata, targets; no name twice.
//! 3. Endless data: label, each file of metadata, all metadata together and the number of members have limits, met before a byte is read;
//!    no memory is taken for a length that is only claimed.
//! 4. Two readers that disagree: headers are canonical in every bit; pax headers say one long name and nothing else; no links, no devices.
//! 5. Hidden data in paddings, behind the end: refused.
//! 6. A cut bundle: refused wherever it is cut, and never taken for its end.
//! 7. Content: nothing here is verified. A target is compared with the digest that was signed for when it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom};

use super::header::{TRAILER, check_member_name, padding, pax_length, pax_name, shortened};
use super::{LABEL, Label, MAX_LABEL, MAX_MEMBERS, MAX_METADATA, METADATA, Result, TARGETS, WHAT};
use crate::error::Damage;
use crate::package::ustar;
use crate::tuf::{MAX_ROOT, MAX_SNAPSHOT, MAX_TARGETS, MAX_TIMESTAMP};
use crate::{Bytes, Error};

/// A bundle that was read. None of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// What it says of itself.
    pub label: Label,
    /// The depot's metadata by name, for example `7.snapshot.json`: what [`crate::tuf::refresh`] fetches.
    pub metadata: BTreeMap<String, Vec<u8>>,
    /// Where each target is, by its path below the folder of targets: what [`crate::tuf::Target::path`] returns.
    pub targets: BTreeMap<String, Span>,
    /// Length of the whole file.
    pub size: Bytes,
}

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From this byte on.
    pub offset: Bytes,
    /// So many bytes.
    pub size: Bytes,
}

impl Bundle {
    /// Reads the bundle that begins at the start of `input` and is all of it.
    pub fn read(input: impl Read + Seek) -> Result<Self> {
        Reader { input, at: 0, seen: BTreeSet::new(), held: 0 }.run()
    }

    /// A file of metadata of at most so many bytes, as [`crate::tuf::refresh`] asks for it.
    pub fn fetch(&self, name: &str, limit: usize) -> Option<Vec<u8>> {
        self.metadata.get(name).filter(|bytes| bytes.len() <= limit).cloned()
    }
}

struct Reader<R> {
    input: R,
    /// The next byte that is read.
    at: u64,
    seen: BTreeSet<String>,
    /// Bytes of metadata so far.
    held: u64,
}

impl<R: Read + Seek> Reader<R> {
    fn run(mut self) -> Result<Bundle> {
        self.input.seek(SeekFrom::Start(0)).map_err(super::Error::Io)?;
        let (mut label, mut metadata, mut targets) = (None, BTreeMap::new(), BTreeMap::new());
        while let Some((name, size)) = self.header()? {
            self.check(&name, size, label.is_some(), targets.is_empty())?;
            if let Some(path) = name.strip_prefix(TARGETS) {
                targets.insert(path.to_owned(), Span { offset: Bytes(self.at), size });
                self.skip(size)?;
            } else if let Some(file) = name.strip_prefix(METADATA) {
                metadata.insert(file.to_owned(), self.content(size)?);
            } else {
                label = Some(Label::parse(&self.content(size)?)?);
            }
            self.padding(size)?;
        }
        let label = label.ok_or_else(|| damaged(Damage::WrongMember, format!("it has no \"{LABEL}\"")))?;
        Ok(Bundle { label, metadata, targets, size: Bytes(self.at) })
    }

    /// Name and length of the next member; nothing at the end.
    fn header(&mut self) -> Result<Option<(String, Bytes)>> {
        let mut block = self.block()?;
        if block.iter().all(|byte| *byte == 0) {
            return self.end().map(|()| None);
        }
        let mut long = None;
        if let Some(length) = pax_length(&block) {
            long = Some(pax_name(&self.block()?, length)?);
            block = self.block()?;
        }
        let (name, size) = ustar::parse(&block).map_err(ours)?;
        let Some(long) = long else { return Ok(Some((name, size))) };
        if name != shortened(&long) {
            return Err(damaged(Damage::Malformed, "a pax header is not that of the member behind it").into());
        }
        Ok(Some((long, size)))
    }

    /// Rules 1 to 3.
    fn check(&mut self, name: &str, size: Bytes, labelled: bool, before_targets: bool) -> Result<()> {
        check_member_name(name).map_err(|problem| damaged(Damage::WrongMember, problem))?;
        let wrong = |problem: String| Err(damaged(Damage::WrongMember, problem).into());
        if labelled == (name == LABEL) {
            return wrong(format!("\"{name}\" where another member must be; \"{LABEL}\" comes first and once"));
        }
        if name.starts_with(METADATA) && !before_targets {
            return wrong(format!("\"{name}\" stands behind targets"));
        }
        if !self.seen.insert(name.to_owned()) {
            return wrong(format!("\"{name}\" comes twice"));
        }
        if self.seen.len() > MAX_MEMBERS {
            return Err(damaged(Damage::TooLong, format!("it has more than {MAX_MEMBERS} members")).into());
        }
        let Some(limit) = limit(name) else { return Ok(()) };
        if size.0 > limit {
            let problem = format!("\"{name}\" has {} bytes; at most {limit} are allowed", size.0);
            return Err(damaged(Damage::TooLong, problem).into());
        }
        self.held = self.held.saturating_add(size.0);
        if self.held > MAX_METADATA {
            let problem = format!("its metadata has more than {MAX_METADATA} bytes");
            return Err(damaged(Damage::TooLong, problem).into());
        }
        Ok(())
    }

    fn block(&mut self) -> Result<ustar::Block> {
        let mut block = [0; 512];
        self.fill(&mut block)?;
        Ok(block)
    }

    fn content(&mut self, size: Bytes) -> Result<Vec<u8>> {
        // Grows with what arrives: a length in a header costs its sender as much as us.
        let mut bytes = Vec::new();
        self.input.by_ref().take(size.0).read_to_end(&mut bytes).map_err(super::Error::Io)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) != size.0 {
            return Err(cut_off().into());
        }
        self.at = self.at.saturating_add(size.0);
        Ok(bytes)
    }

    /// Passes over bytes. Behind the end of a file there is nothing to read, so that a cut is noticed with the padding or the next header.
    fn skip(&mut self, size: Bytes) -> Result<()> {
        self.at = self.at.checked_add(size.0).ok_or_else(cut_off)?;
        self.input.seek(SeekFrom::Start(self.at)).map(drop).map_err(super::Error::Io)
    }

    fn padding(&mut self, size: Bytes) -> Result<()> {
        let mut block = [0; 512];
        let padding = usize::try_from(padding(size).0).ok().and_then(|length| block.get_mut(..length));
        let padding = padding.unwrap_or_default(); // OK: shorter than a block
        self.fill(padding)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(damaged(Damage::TrailingData, "something is hidden behind a member").into());
        }
        Ok(())
    }

    /// The second half of the trailer, and nothing behind it.
    fn end(&mut self) -> Result<()> {
        let mut rest = [0; TRAILER.len() / 2];
        self.fill(&mut rest)?;
        let more = self.input.by_ref().take(1).read_to_end(&mut Vec::new()).map_err(super::Error::Io)?;
        if more > 0 || rest.iter().any(|byte| *byte != 0) {
            return Err(damaged(Damage::TrailingData, "something follows its last member").into());
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.input.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => cut_off().into(),
            _ => super::Error::Io(error),
        })?;
        self.at = self.at.saturating_add(u64::try_from(buffer.len()).unwrap_or(u64::MAX));
        Ok(())
    }
}

/// The most bytes of a member that is kept in memory; nothing for targets.
fn limit(name: &str) -> Option<u64> {
    let file = name.strip_prefix(METADATA);
    let limit = match file.map(|file| file.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches('.')) {
        None if name == LABEL => MAX_LABEL,
        None => return None,
        Some("root.json") => MAX_ROOT,
        Some("timestamp.json") => MAX_TIMESTAMP,
        Some("snapshot.json") => MAX_SNAPSHOT,
        Some(_) => MAX_TARGETS,
    };
    u64::try_from(limit).ok()
}

fn damaged(why: Damage, problem: impl Into<String>) -> Error {
    Error::damaged(WHAT, why, problem)
}

fn cut_off() -> Error {
    damaged(Damage::Truncated, "it is cut off; copy it again")
}

/// Trouble with a header, told of the bundle.
fn ours(error: Error) -> Error {
    match error {
        Error::Corrupt { why, problem, .. } => damaged(why, problem),
        other => other,
    }
}
