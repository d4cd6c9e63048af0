//! The bytes of one copy: a GRUB environment block (GRUB manual, "The GRUB environment block"; `grub-core/lib/envblk.c`) in one sector.
//!
//! Text after a fixed first line, one `name=value` per line, padded with `#`. What is whole here is whole for GRUB's script, and only
//! stricter than it: known variables once each, canonical numbers (GRUB reads a leading 0 as octal), all of them between `seq` and
//! `end`. Variables this version does not know are ignored.

use std::collections::BTreeMap;

use super::{BootState, GOOD_TRIES, SlotState};
use crate::{Error, Result, SlotId};

/// Bytes in one copy: one sector, so that GRUB's `save_env` is a single-sector write.
pub const BLOCK_SIZE: usize = 512;

/// The highest sequence number: GRUB's `test -gt` compares signed 32-bit numbers.
pub const MAX_SEQUENCE: u64 = 0x7fff_ffff;

/// The newest whole copy and which of the two it is; `None` when neither is whole. The first wins a tie, as in GRUB's script.
pub fn newest(copies: [&[u8]; 2]) -> Option<(usize, BootState)> {
    let [first, second] = copies.map(|copy| BootState::parse(copy).ok());
    match (first, second) {
        (Some(first), Some(second)) if second.sequence > first.sequence => Some((1, second)),
        (Some(first), _) => Some((0, first)),
        (None, second) => second.map(|second| (1, second)),
    }
}

/// Which copy the agent may overwrite next: never the newest whole one.
pub fn older_copy(copies: [&[u8]; 2]) -> usize {
    match newest(copies) {
        Some((0, _)) => 1,
        _ => 0,
    }
}

impl BootState {
    /// Reads one copy.
    ///
    /// # Errors
    /// `Corrupt` when the block is not whole (torn, zeroed, foreign) or a variable has no legal value.
    pub fn parse(block: &[u8]) -> Result<Self> {
        let variables = Variables::read(block)?;
        let sequence = variables.number("seq", MAX_SEQUENCE)?;
        let end = variables.number("end", MAX_SEQUENCE)?;
        if sequence != end {
            return Err(corrupt(format!("it is torn: it begins as number {sequence} and ends as number {end}")));
        }
        Ok(Self {
            sequence,
            order: variables.order()?,
            a: SlotState { good: variables.number("a_ok", 1)? == 1, tries: variables.tries("a_tries")? },
            b: SlotState { good: variables.number("b_ok", 1)? == 1, tries: variables.tries("b_tries")? },
            last: variables.slot("last")?,
            site: variables.slot("site")?,
        })
    }

    /// The sector to write.
    ///
    /// # Errors
    /// `Invalid` when the sequence number is above [`MAX_SEQUENCE`] or a slot has more than [`GOOD_TRIES`] tries.
    pub fn encode(&self) -> Result<[u8; BLOCK_SIZE]> {
        if self.sequence > MAX_SEQUENCE {
            return Err(invalid(format!("sequence {} is above {MAX_SEQUENCE}", self.sequence)));
        }
        for slot in SlotId::BOTH {
            let tries = self.slot(slot).tries;
            if tries > GOOD_TRIES {
                return Err(invalid(format!("slot {slot} has {tries} tries; the limit is {GOOD_TRIES}")));
            }
        }
        let letter = |slot: Option<SlotId>| slot.map_or_else(String::new, |slot| slot.letter().to_string());
        let text = format!(
            "{FIRST_LINE}seq={seq}\norder={}{}\na_ok={}\na_tries={}\nb_ok={}\nb_tries={}\nlast={}\nsite={}\nend={seq}\n",
            self.order.letter(),
            (!self.order).letter(),
            u8::from(self.a.good),
            self.a.tries,
            u8::from(self.b.good),
            self.b.tries,
            letter(self.last),
            letter(self.site),
            seq = self.sequence,
        );
        let mut block = [b'#'; BLOCK_SIZE];
        crate::le::put(&mut block, 0, text.as_bytes());
        Ok(block)
    }
}

/// The known variables of a block whose shape is right.
struct Variables<'a>(BTreeMap<&'static str, &'a [u8]>);

impl<'a> Variables<'a> {
    fn read(block: &'a [u8]) -> Result<Self> {
        if block.len() > BLOCK_SIZE {
            return Err(corrupt(format!("it has {} bytes; the limit is one sector of {BLOCK_SIZE}", block.len())));
        }
        let mut rest =
            block.strip_prefix(FIRST_LINE.as_bytes()).ok_or_else(|| corrupt("its first line is not GRUB's"))?;
        let mut known = BTreeMap::new();
        let mut ended = false;
        while !rest.is_empty() && !rest.starts_with(b"#") {
            let (name, value, after) = split_variable(rest)?;
            rest = after;
            let Some(name) = KNOWN.into_iter().find(|known| known.as_bytes() == name) else { continue };
            if ended || (name == "seq") != known.is_empty() {
                return Err(corrupt(format!("variable \"{name}\" is not between \"seq\" and \"end\"")));
            }
            if known.insert(name, value).is_some() {
                return Err(corrupt(format!("variable \"{name}\" appears twice")));
            }
            ended = name == "end";
        }
        if rest.iter().any(|byte| *byte != b'#') {
            return Err(corrupt("something other than \"#\" follows the variables"));
        }
        Ok(Self(known))
    }

    fn value(&self, name: &str) -> Result<&'a [u8]> {
        self.0.get(name).copied().ok_or_else(|| corrupt(format!("variable \"{name}\" is missing")))
    }

    /// A decimal number as GRUB and people read it: no sign, no leading zero.
    fn number(&self, name: &str, limit: u64) -> Result<u64> {
        let value = self.value(name)?;
        let canonical = value.iter().all(u8::is_ascii_digit) && (value.len() == 1 || !value.starts_with(b"0"));
        std::str::from_utf8(value)
            .ok()
            .filter(|_| canonical)
            .and_then(|text| text.parse().ok())
            .filter(|number| *number <= limit)
            .ok_or_else(|| corrupt(format!("{name}={} is not a number from 0 to {limit}", value.escape_ascii())))
    }

    fn tries(&self, name: &str) -> Result<u8> {
        let tries = self.number(name, u64::from(GOOD_TRIES))?;
        Ok(u8::try_from(tries).unwrap_or(GOOD_TRIES))
    }

    fn order(&self) -> Result<SlotId> {
        match self.value("order")? {
            b"ab" => Ok(SlotId::A),
            b"ba" => Ok(SlotId::B),
            other => Err(corrupt(format!("order={} is neither \"ab\" nor \"ba\"", other.escape_ascii()))),
        }
    }

    /// A slot letter, or nothing.
    fn slot(&self, name: &str) -> Result<Option<SlotId>> {
        match self.0.get(name).copied() {
            None | Some(b"") => Ok(None),
            Some(b"a") => Ok(Some(SlotId::A)),
            Some(b"b") => Ok(Some(SlotId::B)),
            Some(other) => Err(corrupt(format!("{name}={} is neither empty, \"a\" nor \"b\"", other.escape_ascii()))),
        }
    }
}

/// Name, value and what follows the line. A backslash hides the character after it, a line break included, as in GRUB.
fn split_variable(text: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let mut hidden = false;
    let line_end = text.iter().position(|byte| {
        let ends = *byte == b'\n' && !hidden;
        hidden = *byte == b'\\' && !hidden;
        ends
    });
    let (line, rest) = line_end
        .and_then(|at| text.split_at_checked(at))
        .ok_or_else(|| corrupt("its last variable has no line end"))?;
    let equals = line.iter().position(|byte| *byte == b'=').filter(|at| *at > 0);
    let (name, value) = equals
        .and_then(|at| line.split_at_checked(at))
        .ok_or_else(|| corrupt(format!("line \"{}\" is not of the form name=value", line.escape_ascii())))?;
    Ok((name, value.get(1..).unwrap_or_default(), rest.get(1..).unwrap_or_default()))
}

fn corrupt(problem: impl Into<String>) -> Error {
    Error::corrupt("boot state block", problem)
}

fn invalid(problem: impl Into<String>) -> Error {
    Error::invalid("boot state block", problem)
}

const FIRST_LINE: &str = "# GRUB Environment Block\n";
const KNOWN: [&str; 9] = ["seq", "order", "a_ok", "a_tries", "b_ok", "b_tries", "last", "site", "end"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slot_state() -> impl Strategy<Value = SlotState> {
        (any::<bool>(), 0..=GOOD_TRIES).prop_map(|(good, tries)| SlotState { good, tries })
    }

    fn slot_id() -> impl Strategy<Value = SlotId> {
        prop_oneof![Just(SlotId::A), Just(SlotId::B)]
    }

    prop_compose! {
        fn any_state()(
            sequence in prop_oneof![0..130_u64, 0..=MAX_SEQUENCE], order in slot_id(), a in slot_state(), b in slot_state(),
            last in proptest::option::of(slot_id()), site in proptest::option::of(slot_id()),
        ) -> BootState {
            BootState { sequence, order, a, b, last, site }
        }
    }

    /// What `save_env` does to one variable: the new value in place, the lines after it moved, the block still as long.
    fn save_env(block: &[u8; BLOCK_SIZE], name: &str, value: &str) -> [u8; BLOCK_SIZE] {
        let text = String::from_utf8(block.to_vec()).unwrap();
        let lines: Vec<String> = text
            .trim_end_matches('#')
            .lines()
            .map(|line| if line.starts_with(&format!("{name}=")) { format!("{name}={value}") } else { line.to_owned() })
            .collect();
        let text = format!("{:#<width$}", lines.join("\n") + "\n", width = BLOCK_SIZE);
        text.into_bytes().try_into().unwrap()
    }

    fn block_of(text: &str) -> Vec<u8> {
        format!("{:#<width$}", format!("{FIRST_LINE}{text}"), width = BLOCK_SIZE).into_bytes()
    }

    const PLAIN: &str = "seq=7\norder=ba\na_ok=1\na_tries=5\nb_ok=0\nb_tries=2\nlast=a\nsite=\nend=7\n";

    #[test]
    fn the_text_is_what_grub_expects() {
        let state = BootState {
            sequence: 7,
            order: SlotId::B,
            a: SlotState::GOOD,
            b: SlotState { good: false, tries: 2 },
            last: Some(SlotId::A),
            site: None,
        };
        assert_eq!(state.encode().unwrap().to_vec(), block_of(PLAIN));
    }

    proptest! {
        #[test]
        fn every_state_survives_the_round_trip(state in any_state()) {
            prop_assert_eq!(BootState::parse(&state.encode().unwrap()), Ok(state));
        }

        #[test]
        fn a_torn_block_is_the_old_one_the_new_one_or_none(old in any_state(), mut new in any_state()) {
            if new.sequence == old.sequence {
                new.sequence = (old.sequence + 1) % MAX_SEQUENCE;
            }
            let (old_bytes, new_bytes) = (old.encode().unwrap(), new.encode().unwrap());
            for cut in 0..=BLOCK_SIZE {
                let torn = [&new_bytes[..cut], &old_bytes[cut..]].concat();
                if let Ok(read) = BootState::parse(&torn) {
                    prop_assert!(read == old || read == new, "a mix was accepted at byte {}: {:?}", cut, read);
                }
            }
        }

        #[test]
        fn an_edit_by_grub_changes_only_what_it_names(state in any_state(), tries in 0..=GOOD_TRIES, last in slot_id()) {
            let edited = save_env(&state.encode().unwrap(), "a_tries", &tries.to_string());
            let edited = save_env(&edited, "last", &last.letter().to_string());
            let expected = BootState { a: SlotState { tries, ..state.a }, last: Some(last), ..state };
            prop_assert_eq!(BootState::parse(&edited), Ok(expected));
        }

        #[test]
        fn arbitrary_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..600)) {
            drop(BootState::parse(&tail));
            drop(BootState::parse(&[FIRST_LINE.as_bytes(), tail.as_slice()].concat()));
        }
    }

    #[test]
    fn the_newest_whole_copy_wins() {
        fn number(copies: [&[u8]; 2]) -> Option<(usize, u64)> {
            newest(copies).map(|(index, state)| (index, state.sequence))
        }
        let copy = |sequence| BootState { sequence, ..BootState::initial(SlotId::A, None) }.encode().unwrap();
        let bad = [0_u8; BLOCK_SIZE];
        assert_eq!(number([&copy(1), &copy(2)]), Some((1, 2)));
        assert_eq!(number([&copy(3), &copy(2)]), Some((0, 3)));
        assert_eq!(number([&copy(10), &copy(9)]), Some((0, 10)));
        assert_eq!(number([&copy(4), &copy(4)]), Some((0, 4)));
        assert_eq!(number([&bad, &copy(2)]), Some((1, 2)));
        assert_eq!(number([&copy(3), &bad]), Some((0, 3)));
        assert_eq!(number([&bad, &[]]), None);
        assert_eq!(older_copy([&copy(3), &copy(2)]), 1);
        assert_eq!(older_copy([&copy(3), &bad]), 1);
        assert_eq!(older_copy([&copy(1), &copy(2)]), 0);
        assert_eq!(older_copy([&bad, &bad]), 0);
    }

    #[test]
    fn ignores_variables_it_does_not_know() {
        let text = PLAIN.replace("last=a", "colour=blue\\\nish\nlast=a") + "later=1\n";
        assert_eq!(BootState::parse(&block_of(&text)), BootState::parse(&block_of(PLAIN)));
    }

    #[test]
    fn reads_a_block_that_predates_the_site_variable() {
        assert!(BootState::parse(&block_of(&PLAIN.replace("site=\n", ""))).is_ok());
    }

    #[test]
    fn refuses_what_is_not_whole_or_not_legal() {
        let cases = [
            ("seq=7", "seq=8", "begins as number 8 and ends as number 7"),
            ("seq=7", "seq=", "seq= is not a number"),
            ("seq=7", "seq=07", "seq=07 is not a number"),
            ("seq=7", "seq=-7", "seq=-7 is not a number"),
            ("seq=7", "seq=4294967296", "is not a number from 0 to 2147483647"),
            ("seq=7\n", "", "\"order\" is not between"),
            ("end=7\n", "", "\"end\" is missing"),
            ("end=7\n", "end=7", "no line end"),
            ("end=7\n", "end=7\nend=7\n", "\"end\" is not between"),
            ("end=7\n", "end=7\n\n", "not of the form name=value"),
            ("last=a\n", "end=7\nlast=a\n", "\"last\" is not between"),
            ("a_tries=5", "a_tries=6", "a_tries=6 is not a number from 0 to 5"),
            ("a_tries=5", "a_tries=05", "a_tries=05 is not"),
            ("a_tries=5", "a_tries=12", "a_tries=12 is not"),
            ("a_tries=5", "a_tries=x", "a_tries=x is not"),
            ("a_tries=5\n", "", "\"a_tries\" is missing"),
            ("a_tries=5\n", "a_tries=5\na_tries=4\n", "\"a_tries\" appears twice"),
            ("b_ok=0", "b_ok=2", "b_ok=2 is not a number from 0 to 1"),
            ("order=ba", "order=aa", "order=aa is neither"),
            ("last=a", "last=c", "last=c is neither"),
            ("site=", "site=ab", "site=ab is neither"),
            ("a_ok=1", "a_ok", "not of the form name=value"),
        ];
        for (from, to, expected) in cases {
            let error = BootState::parse(&block_of(&PLAIN.replace(from, to))).unwrap_err().to_string();
            assert!(error.contains(expected), "{from:?} -> {to:?}: {error}");
        }
    }

    #[test]
    fn refuses_foreign_bytes_and_oversized_blocks() {
        let mut zeros_after = block_of(PLAIN);
        zeros_after[500] = 0;
        let mut oversized = block_of(PLAIN);
        oversized.push(b'#');
        for (bytes, expected) in [
            (vec![0; BLOCK_SIZE], "first line"),
            (vec![], "first line"),
            (b"# GRUB".to_vec(), "first line"),
            (FIRST_LINE.as_bytes().to_vec(), "\"seq\" is missing"),
            (zeros_after, "other than \"#\""),
            (oversized, "513 bytes"),
        ] {
            let error = BootState::parse(&bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn refuses_to_encode_what_grub_cannot_read() {
        let state = BootState::initial(SlotId::A, None);
        assert!(BootState { sequence: MAX_SEQUENCE + 1, ..state }.encode().is_err());
        assert!(BootState { a: SlotState { good: true, tries: 6 }, ..state }.encode().is_err());
    }

    #[test]
    fn the_longest_state_leaves_room_in_its_sector() {
        let state = BootState {
            sequence: MAX_SEQUENCE,
            last: Some(SlotId::A),
            ..BootState::initial(SlotId::A, Some(SlotId::B))
        };
        assert!(state.encode().unwrap().ends_with(&[b'#'; 300]));
    }
}
