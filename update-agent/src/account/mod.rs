//! Who may do what over the network: accounts with roles, tokens for programs, sessions, and the first account of a new appliance.
//!
//! Everything here is decided by the keeper ([`crate::serve::guard`]). The process that talks to browsers only carries passwords,
//! session secrets and tokens to it; of none of them is more than a digest on the data partition.

pub mod book;
pub mod claim;
pub mod password;
mod refusal;
pub mod session;
pub mod throttle;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use refusal::Refusal;

/// What an account may do. Each role may do what the one before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look at everything but what concerns accounts.
    Viewer,
    /// Install, stage, keep and leave releases, restart.
    Operator,
    /// Change network, accounts and certificates, reset to factory defaults.
    Administrator,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Administrator];

    /// The word for programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Checks the name of an account or token: 1 to 64 letters, digits, `.`, `_`, `-` and `@`, so that it can stand in any log and page.
///
/// # Errors
/// The rule, for people.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(plain) {
        Ok(())
    } else {
        Err(format!("a name has 1 to {MAX_NAME} letters, digits, \".\", \"_\", \"-\" and \"@\""))
    }
}

/// Characters of a name.
const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn names_can_stand_in_any_log_and_page() {
        for good in ["anna", "a.b-c_d@example.org", &"x".repeat(64)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "anna maria", "<b>", "a\n", "ä", "a/b", "a\"b", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_role_may_do_what_the_one_before_may() {
        assert!(Role::ALL.is_sorted());
        assert_eq!(
            Role::ALL.map(|role| serde_json::to_value(role).unwrap()),
            Role::ALL.map(|role| Value::from(role.word()))
        );
    }
}
