//! The first account: whoever can read the claim code at the machine makes it.
//!
//! An appliance without an account has no password anybody could know. It shows a code at the machine (`update-agent claim-code`) that is drawn at each start, kept nowhere, and replaced after a few wrong guesses.

use std::fmt;

use formats::smbios;

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

    /// The one that was given to the machine when it was deployed, in the OEM strings of its firmware's table: `bulkhead.claim-code=CODE`.
    /// Nothing when none was given.
    ///
    /// # Errors
    /// What is wrong with it, without the code.
    pub fn deployed(table: &[u8]) -> Option<std::result::Result<Self, String>> {
        let given = smbios::oem_strings(table).into_iter().find_map(|string| string.strip_prefix(DEPLOYED))?;
        let code: String = plain(given).collect();
        let known = code.bytes().all(|byte| ALPHABET.contains(&byte));
        let long = (LENGTH..=LONGEST).contains(&code.len());
        Some(if known && long {
            Ok(Self { code, wrong: 0 })
        } else {
            Err(format!(
                "the claim code in the machine's OEM strings is not one: it has {LENGTH} to {LONGEST} characters of \"{}\", and hyphens \
                 where you like; until it is corrected and the machine started again, the code on its screen counts",
                String::from_utf8_lossy(ALPHABET)
            ))
        })
    }

    /// As it is shown: `XXXX-XXXX-XXXX`.
    pub fn shown(&self) -> String {
        let groups: Vec<_> = self.code.as_bytes().chunks(GROUP).map(String::from_utf8_lossy).collect();
        groups.join("-")
    }

    /// Whether this is it, however it was typed. After ten wrong ones there is another code.
    pub fn accepts(&mut self, typed: &str) -> Result<bool> {
        let typed: String = plain(typed).take(LONGEST.saturating_add(1)).collect();
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

/// A code without what people put between its characters, and with those that look alike made the same.
fn plain(typed: &str) -> impl Iterator<Item = char> {
    typed.chars().filter(|c| !"- ".contains(*c)).map(|c| match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    })
}

impl fmt::Debug for ClaimCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimCode")
    }
}

/// Crockford's base 32.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 12;
/// Of one that was given.
const LONGEST: usize = 64;
const DEPLOYED: &str = "bulkhead.claim-code=";
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

    /// A table with these OEM strings.
    fn table(strings: &[&str]) -> Vec<u8> {
        let mut table = vec![11, 5, 0, 0, 1];
        for string in strings {
            table.extend(string.as_bytes());
            table.push(0);
        }
        table.push(0);
        table
    }

    #[test]
    fn a_code_given_at_deployment_is_taken_and_replaced_like_any_other() {
        let given = table(&["other=1", "bulkhead.claim-code=site-4711-abcd-efgh"]);
        let mut code = ClaimCode::deployed(&given).unwrap().unwrap();
        assert_eq!(code.shown(), "S1TE-4711-ABCD-EFGH");
        assert!(code.accepts("SITE 4711 abcdefgh").unwrap());
        for _ in 0..10 {
            assert!(!code.accepts("0000-0000-0000").unwrap());
        }
        assert!(!code.accepts("SITE-4711-ABCD-EFGH").unwrap());
        assert!(ClaimCode::deployed(&table(&["other=1"])).is_none() && ClaimCode::deployed(b"").is_none());
    }

    #[test]
    fn a_code_that_is_none_is_refused_without_being_repeated() {
        for wrong in ["", "short", "UUUU-UUUU-UUUU", "passwört-passwört", &"A".repeat(65)] {
            let told = ClaimCode::deployed(&table(&[&format!("bulkhead.claim-code={wrong}")])).unwrap().unwrap_err();
            assert!(told.contains("12 to 64 characters") && (wrong.is_empty() || !told.contains(wrong)), "{told}");
        }
    }
}
