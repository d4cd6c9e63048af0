//! The reset record: the order to destroy and format the data partition at the next start, in one sector of the state partition
//! ([`crate::state_volume::RESET_OFFSET`]).
//!
//! The agent writes it, the initramfs program carries it out and clears it. It has all that must survive the reset, above all the
//! sequence floors, which otherwise only the journal on the data partition knows.
//!
//! Known attacks and our defence. A torn, rotten or foreign sector must never destroy data: magic, length, SHA-256 and zero padding
//! all have to fit, anything else is damage and no order. A record of a later format is not carried out either. A record that
//! appears again after the reset (an old sector brought back by the disk) would destroy newer data: [`ResetRecord::file_system`] is
//! the UUID the reset gives the file system, and data that already carry it are never destroyed again. Names and numbers have the
//! limits of a manifest. The record is not signed: whoever can write this sector can as well overwrite the data partition.

use serde::{Deserialize, Serialize};

use crate::journal::Floor;
use crate::manifest::{Kind, check_name};
use crate::{Digest, Error, Guid, Result, json};

/// Bytes of the record: one sector, so that it is there or not.
pub const SIZE: usize = 512;
/// Most package lines a record carries; long names may not leave room for all of them.
pub const MAX_FLOORS: usize = 8;
/// Most characters of [`ResetRecord::by`].
pub const MAX_BY: usize = 32;

/// A factory reset that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetRecord {
    /// Drawn anew for every request.
    pub id: Guid,
    /// What happens when it is done.
    pub then: Then,
    /// Who asked: 1 to [`MAX_BY`] printable ASCII characters.
    pub by: String,
    /// When, in seconds since 1970 by the machine's clock, which may be wrong.
    pub asked: u64,
    /// The sequence floors to keep.
    pub floors: Vec<Floor>,
}

/// What happens when the data partition is formatted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// The machine goes on, as at its first start.
    Start,
    /// The machine turns itself off.
    PowerOff,
}

/// The JSON between the checksum and the padding. Fields this version does not know are ignored.
#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    id: Guid,
    then: Then,
    by: String,
    asked: u64,
    floors: Vec<(Kind, String, u64)>,
}

impl ResetRecord {
    /// Reads the sector: a record, or nothing when the sector is zero.
    ///
    /// # Errors
    /// `Corrupt` for everything else, `Unsupported` for a whole record of a later format. Neither is an order to destroy anything.
    pub fn parse(sector: &[u8]) -> Result<Option<Self>> {
        if sector.len() != SIZE {
            return Err(corrupt(format!("it has {} bytes; {SIZE} are expected", sector.len())));
        }
        if sector.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let content: Content = json::document(WHAT, whole(sector)?, SIZE, FORMAT)?;
        let floors = content.floors.into_iter().map(|(kind, name, sequence)| Floor { kind, name, sequence }).collect();
        let Content { id, then, by, asked, .. } = content;
        let record = Self { id, then, by, asked, floors };
        record.check().map_err(corrupt)?;
        Ok(Some(record))
    }

    /// The sector to write.
    ///
    /// # Errors
    /// `Invalid` when a field is outside its limits or the floors do not fit the sector.
    pub fn encode(&self) -> Result<[u8; SIZE]> {
        self.check().map_err(invalid)?;
        let floors = self.floors.iter().map(|floor| (floor.kind, floor.name.clone(), floor.sequence)).collect();
        let (id, then, by, asked) = (self.id, self.then, self.by.clone(), self.asked);
        let content = Content { format: FORMAT, id, then, by, asked, floors };
        let json = serde_json::to_vec(&content).map_err(|problem| invalid(problem.to_string()))?;
        let length = u16::try_from(json.len()).ok().filter(|_| json.len() <= ROOM).ok_or_else(|| {
            invalid(format!(
                "{} sequence floors need {} bytes; one sector has room for {ROOM}",
                self.floors.len(),
                json.len()
            ))
        })?;
        let mut sector = [0; SIZE];
        let bytes = [MAGIC.as_slice(), &length.to_le_bytes(), &Digest::of(&json).0, &json].concat();
        crate::le::put(&mut sector, 0, &bytes);
        Ok(sector)
    }

    /// The UUID of the file system this reset makes. It is on the partition from the moment the reset is complete, and on no other.
    pub fn file_system(&self) -> Guid {
        Guid::derive(&self.id.to_string(), "data after a factory reset")
    }

    fn check(&self) -> std::result::Result<(), String> {
        let printable = self.by.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !printable || !(1..=MAX_BY).contains(&self.by.len()) {
            return Err(format!("\"by\" is not 1 to {MAX_BY} printable ASCII characters"));
        }
        if self.asked > MAX_EXACT {
            return Err(format!("the time {} is above {MAX_EXACT}", self.asked));
        }
        if self.floors.len() > MAX_FLOORS {
            return Err(format!("{} sequence floors; at most {MAX_FLOORS} are allowed", self.floors.len()));
        }
        for (index, floor) in self.floors.iter().enumerate() {
            check_name("package line", &floor.name).map_err(|problem| problem.to_string())?;
            if floor.sequence > MAX_EXACT {
                return Err(format!("the floor of \"{}\" is above {MAX_EXACT}", floor.name));
            }
            let same = |other: &Floor| other.kind == floor.kind && other.name == floor.name;
            if self.floors.iter().take(index).any(same) {
                return Err(format!("{} \"{}\" has two floors", floor.kind, floor.name));
            }
        }
        Ok(())
    }
}

/// The JSON of a sector whose magic, length, checksum and padding are right.
fn whole(sector: &[u8]) -> Result<&[u8]> {
    let rest = sector
        .strip_prefix(MAGIC.as_slice())
        .ok_or_else(|| corrupt("it is not zero and does not begin with its magic number"))?;
    let cut = || corrupt("it ends in its header");
    let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
    let (digest, rest) = rest.split_first_chunk::<32>().ok_or_else(cut)?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (json, padding) = rest
        .split_at_checked(length)
        .ok_or_else(|| corrupt(format!("it claims {length} bytes, more than one sector holds")))?;
    if Digest::of(json).0 != *digest {
        return Err(corrupt("its content does not match its checksum"));
    }
    if padding.iter().any(|byte| *byte != 0) {
        return Err(corrupt("its padding is not zero"));
    }
    Ok(json)
}

fn corrupt(problem: impl Into<String>) -> Error {
    Error::corrupt(WHAT, problem)
}

fn invalid(problem: impl Into<String>) -> Error {
    Error::invalid(WHAT, problem)
}

const WHAT: &str = "reset record";
const FORMAT: u32 = 1;
const MAGIC: [u8; 16] = *b"BULKHEAD-RESET\x01\n";
/// Bytes left for the JSON.
const ROOM: usize = SIZE - 16 - 2 - 32;
/// As in a manifest: 2^53 - 1.
const MAX_EXACT: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(kind: Kind, name: &str, sequence: u64) -> Floor {
        Floor { kind, name: name.into(), sequence }
    }

    fn record() -> ResetRecord {
        ResetRecord {
            id: Guid::derive("test", "request"),
            then: Then::Start,
            by: "root".into(),
            asked: 1_772_368_205,
            floors: vec![floor(Kind::Base, "demo", 7), floor(Kind::Site, "demo", 7)],
        }
    }

    /// A sector with this JSON and a right checksum.
    fn sector_of(json: &str) -> Vec<u8> {
        let length = u16::try_from(json.len()).unwrap().to_le_bytes();
        let mut sector = [MAGIC.as_slice(), &length, &Digest::of(json.as_bytes()).0, json.as_bytes()].concat();
        sector.resize(SIZE, 0);
        sector
    }

    fn problem(sector: &[u8]) -> String {
        ResetRecord::parse(sector).unwrap_err().to_string()
    }

    #[test]
    fn a_record_survives_the_round_trip_and_a_zero_sector_is_none() {
        assert_eq!(ResetRecord::parse(&record().encode().unwrap()), Ok(Some(record())));
        let off = ResetRecord { then: Then::PowerOff, floors: Vec::new(), ..record() };
        assert_eq!(ResetRecord::parse(&off.encode().unwrap()), Ok(Some(off)));
        assert_eq!(ResetRecord::parse(&[0; SIZE]), Ok(None));
    }

    #[test]
    fn no_changed_byte_and_no_torn_sector_is_an_order() {
        let sector = record().encode().unwrap();
        for at in 0..SIZE {
            let mut changed = sector;
            changed[at] ^= 0x20;
            assert!(ResetRecord::parse(&changed).is_err(), "byte {at}");
            assert!(ResetRecord::parse(&sector[..at]).is_err(), "{at} bytes");
        }
        assert!(ResetRecord::parse(&[0xA5; SIZE]).is_err());
        assert!(problem(&[0; 4096]).contains("4096 bytes"));
    }

    #[test]
    fn a_length_beyond_the_sector_is_damage() {
        let mut sector = record().encode().unwrap();
        sector[16..18].copy_from_slice(&u16::MAX.to_le_bytes());
        assert!(problem(&sector).contains("more than one sector holds"));
    }

    #[test]
    fn what_a_later_version_adds_is_ignored_and_a_later_format_is_not_carried_out() {
        let json = r#"{"format":1,"id":"00000000-0000-0000-0000-000000000001","then":"start","by":"x","asked":1,"floors":[],"why":2}"#;
        assert!(ResetRecord::parse(&sector_of(json)).unwrap().is_some());
        let later = json.replace("\"format\":1", "\"format\":2");
        assert!(matches!(ResetRecord::parse(&sector_of(&later)), Err(Error::Unsupported { .. })));
    }

    #[test]
    fn fields_outside_their_limits_are_refused_by_reader_and_writer() {
        let name = "n".repeat(65);
        let many: Vec<Floor> = (0..9).map(|n| floor(Kind::Base, &format!("l{n}"), 1)).collect();
        for bad in [
            ResetRecord { by: String::new(), ..record() },
            ResetRecord { by: "x".repeat(33), ..record() },
            ResetRecord { by: "\u{1b}[2J".into(), ..record() },
            ResetRecord { asked: u64::MAX, ..record() },
            ResetRecord { floors: vec![floor(Kind::Base, &name, 1)], ..record() },
            ResetRecord { floors: vec![floor(Kind::Base, "a/b", 1)], ..record() },
            ResetRecord { floors: vec![floor(Kind::Base, "demo", u64::MAX)], ..record() },
            ResetRecord { floors: vec![floor(Kind::Base, "demo", 1), floor(Kind::Base, "demo", 2)], ..record() },
            ResetRecord { floors: many, ..record() },
        ] {
            assert!(matches!(bad.encode(), Err(Error::Invalid { .. })), "{bad:?}");
            let floors: Vec<_> = bad.floors.iter().map(|f| (f.kind, &f.name, f.sequence)).collect();
            let json = serde_json::json!({"format": 1, "id": bad.id, "then": "start", "by": bad.by, "asked": bad.asked, "floors": floors});
            assert!(matches!(ResetRecord::parse(&sector_of(&json.to_string())), Err(Error::Corrupt { .. })), "{bad:?}");
        }
        let twice = r#"{"format":1,"format":1}"#;
        assert!(problem(&sector_of(twice)).contains("twice"));
    }

    #[test]
    fn base_and_site_fit_whatever_their_names_and_too_many_lines_are_named() {
        let long = |number: u64| format!("{}{number}", "n".repeat(63));
        let floors = |lines: u64| (0..lines).map(|n| floor(Kind::Base, &long(n), MAX_EXACT)).collect::<Vec<_>>();
        let worst = ResetRecord { by: "x".repeat(MAX_BY), asked: MAX_EXACT, then: Then::PowerOff, ..record() };
        assert!(ResetRecord { floors: floors(2), ..worst.clone() }.encode().is_ok());
        let problem = ResetRecord { floors: floors(8), ..worst }.encode().unwrap_err().to_string();
        assert!(problem.contains("8 sequence floors need") && problem.contains("room for 462"), "{problem}");
    }

    #[test]
    fn every_request_makes_another_file_system() {
        let other = ResetRecord { id: Guid::derive("test", "another request"), ..record() };
        assert_ne!(record().file_system(), other.file_system());
        assert_ne!(record().file_system(), record().id);
    }
}
