//! The first account: whoever can read the claim code at the machine makes it.
//!
//! An appliance without an account has no password anybody could know. It shows a code at the machine (`update-agent claim-code`) that is drawn at each start, kept nowhere, and replaced after a few wrong guesses.

use std::fmt;

use crate::chance;
use crate::error::Result;

/// The code of an appliance nobody has claimed.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimCode {
    code: String,
    wrong: u32,
}

impl ClaimCode {
    /// Draws one: twelve characters without those that look alike, 60 bits.
    pub fn draw() -> Result<Self> {
        let bytes: [u8; LENGTH] = chance::draw()?;
        let code = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 31))).map(|byte| char::from(*byte));
        Ok(Self { code: code.collect(), wrong: 0 })
    }

    /// As it is shown: `XXXX-XXXX-XXXX`.
    pub fn shown(&self) -> String {
        let (first, rest) = self.code.split_at_checked(GROUP).unwrap_or((&self.code, ""));
        let (second, third) = rest.split_at_checked(GROUP).unwrap_or((rest, ""));
        format!("{first}-{second}-{third}")
    }

    /// Whether this is it, however it was typed. After ten wrong ones there is another code.
    pub fn accepts(&mut self, typed: &str) -> Result<bool> {
        let plain = |c: char| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        let typed: String = typed.chars().filter(|c| !"- ".contains(*c)).take(LENGTH + 1).map(plain).collect();
        let right = typed.len() == self.code.len()
            && typed.bytes().zip(self.code.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0;
        if !right {
            self.wrong = self.wrong.saturating_add(1);
            if self.wrong >= GUESSES {
                *self = Self::draw()?;
            }
        }
        Ok(right)
    }
}

impl fmt::Debug for ClaimCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimCode")
    }
}

/// Crockford's base 32.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 12;
const GROUP: usize = 4;
const GUESSES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_accepted_however_it_is_typed_and_no_other() {
        let mut code = ClaimCode { code: "01ABCDEFGHJK".into(), wrong: 0 };
        assert_eq!(code.shown(), "01AB-CDEF-GHJK");
        for typed in ["01AB-CDEF-GHJK", "01abcdefghjk", " oIab cdef ghjk ", "OLAB-CDEF-GHJK"] {
            assert!(code.accepts(typed).unwrap(), "{typed}");
        }
        for typed in ["", "01AB-CDEF-GHJ", "01AB-CDEF-GHJKX", "01AB-CDEF-GHJJ"] {
            assert!(!code.accepts(typed).unwrap(), "{typed}");
        }
    }

    #[test]
    fn after_ten_wrong_ones_there_is_another_code() {
        let mut code = ClaimCode::draw().unwrap();
        let before = code.shown();
        for _ in 0..9 {
            assert!(!code.accepts("0000-0000-000").unwrap());
        }
        assert_eq!(code.shown(), before);
        assert!(!code.accepts("0000-0000-000").unwrap());
        assert_ne!(code.shown(), before);
        assert!(!code.accepts(&before).unwrap());
    }
}
