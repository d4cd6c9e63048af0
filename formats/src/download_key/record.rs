//! The fields of a download key as bytes: number, length, value, one after the other.
//!
//! Known attacks and our defence: fields come in ascending order and lengths in their shortest form, so that one key has one encoding; a
//! length is compared with what is there before anything is taken; a list has a named limit; numbers are at most eight bytes without
//! leading zeros. An unknown field is ignored when its number is below [`REQUIRED`], so that a newer appliance is understood as far as it
//! can be, and refused above.

use std::collections::BTreeMap;

/// From this number on a field must be understood.
pub(super) const REQUIRED: u8 = 0x80;

/// Fields that are being written; numbers must not go down.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn put(&mut self, number: u8, value: &[u8]) -> Result<(), String> {
        let length = u16::try_from(value.len()).ok().filter(|length| *length < 1 << 14);
        let length = length.ok_or_else(|| format!("a value of {} bytes", value.len()))?;
        self.0.push(number);
        let low = u8::try_from(length & 0x7f).unwrap_or(0); // OK: seven bits
        match u8::try_from(length >> 7) {
            Ok(high) if high > 0 => self.0.extend([low | 0x80, high]),
            _ => self.0.push(low),
        }
        self.0.extend_from_slice(value);
        Ok(())
    }

    pub(super) fn text(&mut self, number: u8, value: &str) -> Result<(), String> {
        self.put(number, value.as_bytes())
    }

    pub(super) fn number(&mut self, number: u8, value: u64) -> Result<(), String> {
        let bytes = value.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        self.put(number, bytes.get(zeros..).unwrap_or_default())
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Fields that were read, each value by its number.
pub(super) struct Reader<'a>(BTreeMap<u8, Vec<&'a [u8]>>);

impl<'a> Reader<'a> {
    /// Takes `bytes` apart. Fields that are not in `known` are left out, or refused.
    pub(super) fn new(mut bytes: &'a [u8], known: &[u8]) -> Result<Self, Fault> {
        let mut fields: BTreeMap<u8, Vec<&[u8]>> = BTreeMap::new();
        while let Some((number, rest)) = bytes.split_first() {
            if fields.last_key_value().is_some_and(|(last, _)| last > number) {
                return Err(Fault::Damaged(format!("field {number} stands behind a higher one")));
            }
            let (length, rest) = length(rest).ok_or_else(|| Fault::Damaged(format!("field {number} has no length")))?;
            let cut = || Fault::Damaged(format!("field {number} is cut off"));
            let (value, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
            if !known.contains(number) && *number >= REQUIRED {
                return Err(Fault::Newer(*number));
            }
            fields.entry(*number).or_default().push(value);
            bytes = rest;
        }
        fields.retain(|number, _| known.contains(number));
        Ok(Self(fields))
    }

    /// Every value of a list.
    pub(super) fn many(&self, number: u8, limit: usize) -> Result<&[&'a [u8]], Fault> {
        let values = self.0.get(&number).map(Vec::as_slice).unwrap_or_default();
        if values.len() > limit {
            return Err(Fault::Damaged(format!(
                "field {number} comes {} times; at most {limit} are allowed",
                values.len()
            )));
        }
        Ok(values)
    }

    pub(super) fn maybe(&self, number: u8) -> Result<Option<&'a [u8]>, Fault> {
        self.many(number, 1).map(|values| values.first().copied())
    }

    pub(super) fn one(&self, number: u8) -> Result<&'a [u8], Fault> {
        self.maybe(number)?.ok_or_else(|| Fault::Damaged(format!("field {number} is missing")))
    }

    pub(super) fn text(&self, number: u8) -> Result<&'a str, Fault> {
        text(self.one(number)?)
    }

    pub(super) fn maybe_text(&self, number: u8) -> Result<Option<&'a str>, Fault> {
        self.maybe(number)?.map(text).transpose()
    }

    pub(super) fn texts(&self, number: u8, limit: usize) -> Result<Vec<&'a str>, Fault> {
        self.many(number, limit)?.iter().map(|value| text(value)).collect()
    }

    pub(super) fn number(&self, number: u8) -> Result<u64, Fault> {
        let value = self.one(number)?;
        let number_of = |value: &[u8]| value.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        match value.first() {
            Some(0) => Err(Fault::Damaged(format!("field {number} begins with a zero"))),
            _ if value.len() > 8 => Err(Fault::Damaged(format!("field {number} is no number of eight bytes"))),
            _ => Ok(number_of(value)),
        }
    }

    pub(super) fn array<const N: usize>(&self, number: u8) -> Result<[u8; N], Fault> {
        self.one(number)?.try_into().map_err(|_| Fault::Damaged(format!("field {number} is not {N} bytes long")))
    }

    pub(super) fn has(&self, number: u8) -> bool {
        self.0.contains_key(&number)
    }
}

/// Why fields cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// They break a rule.
    Damaged(String),
    /// A field of this number, which has to be understood, is not.
    Newer(u8),
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [low @ 0..=0x7f, rest @ ..] => Some((usize::from(*low), rest)),
        [low, high @ 1..=0x7f, rest @ ..] => Some((usize::from(*low & 0x7f) | usize::from(*high) << 7, rest)),
        _ => None,
    }
}

pub(super) fn text(value: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(value).map_err(|_| Fault::Damaged("a text is not UTF-8".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damaged(bytes: &[u8]) -> String {
        match Reader::new(bytes, &[1, 2]).and_then(|reader| reader.number(1)) {
            Err(Fault::Damaged(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_and_long_values_come_back() {
        for number in [0, 1, 255, 256, u64::MAX] {
            let mut writer = Writer::default();
            writer.number(1, number).unwrap();
            writer.put(2, &[7; 300]).unwrap();
            let bytes = writer.finish();
            let reader = Reader::new(&bytes, &[1, 2]).unwrap();
            assert_eq!((reader.number(1), reader.array(2)), (Ok(number), Ok([7; 300])));
        }
        assert!(Writer::default().put(1, &[0; 1 << 14]).is_err());
    }

    #[test]
    fn what_has_two_spellings_is_refused() {
        assert!(damaged(&[1, 1, 0]).contains("begins with a zero"));
        assert!(damaged(&[1, 0x81, 0, 5]).contains("no length"), "a length that could be shorter");
        assert!(damaged(&[2, 0, 1, 0]).contains("behind a higher one"));
        assert!(damaged(&[1, 0, 1, 0]).contains("comes 2 times"));
    }

    #[test]
    fn what_is_cut_or_missing_is_refused() {
        assert!(damaged(&[1]).contains("no length"));
        assert!(damaged(&[1, 3, 1, 1]).contains("cut off"));
        assert!(damaged(&[]).contains("missing"));
        assert!(damaged(&[1, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1]).contains("eight bytes"));
    }

    #[test]
    fn unknown_fields_are_ignored_unless_they_have_to_be_understood() {
        assert_eq!(Reader::new(&[1, 1, 5, 90, 1, 0], &[1]).unwrap().number(1), Ok(5));
        assert_eq!(Reader::new(&[1, 1, 5, 0x80, 0], &[1]).err(), Some(Fault::Newer(0x80)));
    }
}
