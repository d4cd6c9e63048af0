//! Passwords: what is asked of one, and what is kept of it.
//!
//! Kept is an Argon2id hash (RFC 9106) with the parameters OWASP names as its least for servers: 19 MiB, two passes, one lane. One is
//! computed at a time, so that many who sign in at once cost the appliance time and not memory.

use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use formats::Digest;
use serde::{Deserialize, Serialize};

use crate::chance;
use crate::error::{Error, Result};
use crate::secret::Secret;

/// A password somebody typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(Secret);

impl Password {
    /// From what was typed.
    pub fn new(text: String) -> Self {
        Self(Secret::new(text))
    }

    /// What was typed.
    pub fn text(&self) -> &str {
        self.0.reveal()
    }

    /// Whether it may be one for this account: 12 to 256 characters, not one character over and over, not with the name in it.
    ///
    /// Nothing is asked about kinds of characters: that makes passwords that are forgotten, not ones that are hard to guess (NIST SP
    /// 800-63B, 5.1.1.2).
    ///
    /// # Errors
    /// The rule that is broken, for people.
    pub fn check(&self, account: &str) -> std::result::Result<(), &'static str> {
        let text = self.text();
        let length = text.chars().count();
        let lower = text.to_lowercase();
        let distinct = lower.chars().collect::<std::collections::BTreeSet<_>>().len();
        if !(LEAST..=MOST).contains(&length) {
            Err("a password has 12 to 256 characters; several words are easy to remember and hard to guess")
        } else if distinct < DISTINCT {
            Err("this password has too few different characters")
        } else if account.len() >= SHORT_NAME && lower.contains(&account.to_lowercase()) {
            Err("a password must not contain the name of its account")
        } else if COMMON.iter().any(|common| lower.contains(common)) {
            Err("this password is made of what is tried first by whoever guesses")
        } else {
            Ok(())
        }
    }
}

impl From<Secret> for Password {
    fn from(secret: Secret) -> Self {
        Self(secret)
    }
}

/// What is kept of a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Hash {
    /// KiB of memory it takes.
    memory: u32,
    /// Passes over it.
    passes: u32,
    salt: Digest,
    derived: Digest,
}

impl Hash {
    /// Of this password, with a new salt.
    ///
    /// # Errors
    /// When there is no chance to be had, or no memory.
    pub fn of(password: &Password) -> Result<Self> {
        let salt = Digest(chance::draw()?);
        let derived = derive(password, MEMORY, PASSES, &salt)?;
        Ok(Self { memory: MEMORY, passes: PASSES, salt, derived })
    }

    /// Whether it is of this password. Takes as long when it is not.
    ///
    /// # Errors
    /// When the file it came from asks for more than this program would ever have written, or there is no memory.
    pub fn matches(&self, password: &Password) -> Result<bool> {
        let found = derive(password, self.memory.min(MOST_MEMORY), self.passes.min(MOST_PASSES), &self.salt)?;
        let difference = found.0.iter().zip(self.derived.0).fold(0, |difference, (a, b)| difference | (a ^ b));
        Ok(difference == 0)
    }
}

fn derive(password: &Password, memory: u32, passes: u32, salt: &Digest) -> Result<Digest> {
    // One at a time: see above.
    let _one = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wrong = |problem: argon2::Error| Error::Bug(format!("hash a password: {problem}"));
    let parameters = Params::new(memory, passes, 1, Some(32)).map_err(wrong)?;
    let mut hash = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(password.text().as_bytes(), &salt.0, &mut hash)
        .map_err(wrong)?;
    Ok(Digest(hash))
}

static TURN: Mutex<()> = Mutex::new(());
const LEAST: usize = 12;
const MOST: usize = 256;
const DISTINCT: usize = 5;
/// Shorter names are in too many good passwords.
const SHORT_NAME: usize = 4;
const MEMORY: u32 = 19 << 10;
const PASSES: u32 = 2;
const MOST_MEMORY: u32 = 64 << 10;
const MOST_PASSES: u32 = 8;
/// What long passwords that are guessed first are made of.
const COMMON: &[&str] = &["password", "passwort", "123456789", "qwertyuiop", "qwertzuiop", "letmein", "bulkhead"];

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.into())
    }

    #[test]
    fn short_dull_and_well_known_passwords_are_refused() {
        for good in ["correct horse battery", "zwölf Zeichen sind genug", "aB3$aB3$aB3$x"] {
            assert_eq!(password(good).check("anna"), Ok(()), "{good}");
        }
        for bad in
            ["", "elevenchars", "aaaaaaaaaaaaaaaa", "abababababab", "my-Password-1", "Anna is my name", "0123456789ab"]
        {
            assert!(password(bad).check("anna").is_err(), "{bad}");
        }
        assert!(password(&"long enough ".repeat(22)).check("anna").is_err());
    }

    #[test]
    fn a_hash_knows_its_password_and_no_other_and_shows_nothing() {
        let one = Hash::of(&password("correct horse battery")).unwrap();
        assert!(one.matches(&password("correct horse battery")).unwrap());
        assert!(!one.matches(&password("correct horse batterx")).unwrap());
        let again = Hash::of(&password("correct horse battery")).unwrap();
        assert_ne!(one.derived, again.derived, "salts differ");
        let kept = serde_json::to_string(&one).unwrap();
        assert!(!kept.contains("correct"));
        assert_eq!(serde_json::from_str::<Hash>(&kept).unwrap(), one);
        assert!(!format!("{:?}", password("correct horse battery")).contains("horse"));
    }

    #[test]
    fn the_hash_is_the_one_others_compute() {
        // echo -n 'correct horse battery' | argon2 saltsaltsaltsaltsaltsaltsaltsalt -id -k 64 -t 3 -p 1 -l 32 -r
        let salt = Digest(*b"saltsaltsaltsaltsaltsaltsaltsalt");
        let found = derive(&password("correct horse battery"), 64, 3, &salt).unwrap();
        assert_eq!(found.to_string(), KNOWN);
    }

    const KNOWN: &str = "dfb684afe44ce55b59a2c49cadc5cfc8a720e1361defe0166879c2fd67ae1800";
}
