//! What two programs must agree about in the update journal: where it lies, how a line is framed, what a sequence floor is, and how a
//! journal begins after a factory reset.
//!
//! One line per record: 16 hexadecimal digits of the SHA-256 of the JSON, a space, the JSON. A torn or foreign line has no content,
//! so a power cut spoils at most the line being written. Which records there are is the agent's business; the initramfs program
//! writes only the two a reset leaves behind.

use serde::{Deserialize, Serialize};

use crate::manifest::Kind;
use crate::reset_record::ResetRecord;
use crate::{Digest, Error, Result};

/// Directory of the journal, relative to the root of the data partition.
pub const DIRECTORY: &str = "bulkhead";
/// Name of the journal in [`DIRECTORY`].
pub const FILE: &str = "journal";
/// The version of the records written by this version.
pub const FORMAT: u32 = 1;

/// The highest sequence ever committed of a package line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// Base or site.
    pub kind: Kind,
    /// The line.
    pub name: String,
    /// Its floor.
    pub sequence: u64,
}

impl Floor {
    /// The floor of one line among `floors`.
    pub fn of(floors: &[Self], kind: Kind, name: &str) -> Option<u64> {
        floors.iter().find(|floor| floor.kind == kind && floor.name == name).map(|floor| floor.sequence)
    }

    /// Raises the floor of one line in `floors`; never lowers it.
    pub fn raise(floors: &mut Vec<Self>, kind: Kind, name: &str, sequence: u64) {
        match floors.iter_mut().find(|floor| floor.kind == kind && floor.name == name) {
            Some(floor) => floor.sequence = floor.sequence.max(sequence),
            None => floors.push(Self { kind, name: name.into(), sequence }),
        }
    }
}

/// The line, newline included, with this JSON as its content.
pub fn line(json: &[u8]) -> Vec<u8> {
    let mut line = Digest::of(json).short().into_bytes();
    line.push(b' ');
    line.extend_from_slice(json);
    line.push(b'\n');
    line
}

/// The JSON in a line without its newline; nothing when the line is torn or foreign.
pub fn content(line: &[u8]) -> Option<&[u8]> {
    let (check, json) = line.split_at_checked(CHECK)?;
    (check.strip_suffix(b" ")? == Digest::of(json).short().as_bytes()).then_some(json)
}

/// The journal a factory reset leaves: the floors, in the record every version knows, and who asked for it when. The same bytes for
/// the same request, so that a reset that is done again after a power cut ends in the same file system.
///
/// # Errors
/// None in practice: only what encoding JSON may return.
pub fn after_reset(record: &ResetRecord) -> Result<Vec<u8>> {
    let first = First { format: FORMAT, number: 1, time: record.asked, entry: "floors", floors: &record.floors };
    let second = Second { format: FORMAT, number: 2, time: record.asked, entry: "reset", by: &record.by };
    let json = |result: serde_json::Result<Vec<u8>>| {
        result.map_err(|problem| Error::invalid("update journal", problem.to_string()))
    };
    let lines = [line(&json(serde_json::to_vec(&first))?), line(&json(serde_json::to_vec(&second))?)];
    Ok(lines.concat())
}

#[derive(Serialize)]
struct First<'a> {
    format: u32,
    number: u64,
    time: u64,
    entry: &'static str,
    floors: &'a [Floor],
}

#[derive(Serialize)]
struct Second<'a> {
    format: u32,
    number: u64,
    time: u64,
    entry: &'static str,
    by: &'a str,
}

/// Bytes before the JSON of a line.
const CHECK: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_content_until_one_bit_of_it_changes() {
        let line = line(br#"{"format":1}"#);
        let (newline, whole) = line.split_last().unwrap();
        assert_eq!((*newline, content(whole)), (b'\n', Some(br#"{"format":1}"#.as_slice())));
        for at in 0..whole.len() {
            let mut changed = whole.to_vec();
            changed[at] ^= 1;
            assert_eq!(content(&changed), None, "byte {at}");
            assert_eq!(content(&whole[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_floor_is_raised_and_never_lowered() {
        let mut floors = Vec::new();
        for sequence in [5, 7, 6] {
            Floor::raise(&mut floors, Kind::Base, "demo", sequence);
        }
        Floor::raise(&mut floors, Kind::Site, "demo", 1);
        assert_eq!(floors.iter().map(|floor| floor.sequence).collect::<Vec<_>>(), [7, 1]);
    }
}
