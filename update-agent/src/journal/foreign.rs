//! Lines of the journal that another version wrote and this one does not understand.
//!
//! After a fall back the older agent reads what the newer one wrote. It must not lower a floor because of that, must not take a number
//! twice, must not go on with an action the newer one has ended, and must leave the lines as they are for the newer one's return.
//! So a few fields keep their place in every version: `number`; `of` in what ends an action; `entry` = `begin` with `action.release`
//! in what begins one; `floors`; and `outcome.result` = `committed` beside `release` or `action.release`.

use formats::journal::{Floor, content};
use formats::manifest::Kind;
use serde::Deserialize;
use serde_json::Value;

use super::record::Record;

/// A whole line, of which only the fields that never move are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Its number; 0 when it has none.
    pub number: u64,
    /// The number of the record whose action it ends.
    pub ends: Option<u64>,
    /// The kind of release an action it begins is about.
    pub begins: Option<Kind>,
    /// The floors it vouches for.
    pub floors: Vec<Floor>,
}

impl Foreign {
    /// What is known about a line without its newline. Nothing when it is torn, or no JSON object, or this version's own.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(content(line)?).ok()?;
        if !value.is_object() || Record::parse(line).is_some() {
            return None;
        }
        let release = value.get("release").or_else(|| value.get("action")?.get("release")).and_then(floor);
        let begins = value.get("entry").and_then(Value::as_str) == Some("begin");
        let committed = value.get("outcome").and_then(|outcome| outcome.get("result")?.as_str()) == Some("committed");
        let listed = value.get("floors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Some(Self {
            number: value.get("number").and_then(Value::as_u64).unwrap_or(0),
            ends: value.get("of").and_then(Value::as_u64),
            begins: release.as_ref().filter(|_| begins).map(|release| release.kind),
            floors: listed.iter().filter_map(floor).chain(release.filter(|_| committed)).collect(),
        })
    }

    /// Whether this line ends the action begun by the record `number`, or begins a later one on packages of the same kind.
    pub fn passes_over(&self, number: u64, kind: Kind) -> bool {
        self.ends == Some(number) || (self.begins == Some(kind) && self.number > number)
    }
}

/// Kind, name and sequence of a release or of a floor: they have the same names in both.
fn floor(value: &Value) -> Option<Floor> {
    Floor::deserialize(value).ok()
}
