//! Who gets mail from an appliance, and through which server: the part `mail` of `depot.json`.
//!
//! Known attacks and our defence: a line break in an address would add headers or recipients of somebody else's choice, and one in a name
//! would add commands: addresses and names are made of a few plain characters, nothing is quoted, escaped or decoded. A password never
//! stands in this file, and is never sent without encryption.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Error, Result, json};

/// Most recipients.
pub const MAX_TO: usize = 16;

/// How mail is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mail {
    /// The mail server: a name or an address.
    pub server: String,
    /// Its port; see [`Mail::port`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How the way to it is protected.
    #[serde(default)]
    pub security: Security,
    /// The user to log in as; none: no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The file with the password, beside the file with this setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<FileName>,
    /// Who sends.
    pub from: Address,
    /// Who gets it; one at least, [`MAX_TO`] at most.
    pub to: Vec<Address>,
}

/// How the way to a mail server is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// Not at all.
    None,
    /// Encrypted before anything is said that matters; refused when the server cannot.
    #[default]
    Starttls,
    /// Encrypted from the first byte.
    Tls,
}

/// A mail address, `name@example.org`: no comment, no quotes, ASCII only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(String);

/// The name of a file, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

impl Mail {
    /// The port, or what is usual: 25, 587 for STARTTLS, 465 for TLS.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            Security::None => 25,
            Security::Starttls => 587,
            Security::Tls => 465,
        })
    }

    /// The same, once every field keeps to its rule.
    pub fn checked(self) -> Result<Self> {
        let refused = |problem: String| Err(Error::invalid(WHAT, problem));
        if !is_host(&self.server) {
            return refused(format!("server \"{}\" is no name or address of a server", json::shown(&self.server)));
        }
        if self.port == Some(0) {
            return refused("port 0 does not exist".into());
        }
        if let Some(user) = self.user.as_deref().filter(|user| !is_user(user)) {
            return refused(format!(
                "user \"{}\" is not 1 to {MAX_USER} printable ASCII characters",
                json::shown(user)
            ));
        }
        if self.user.is_some() != self.password_file.is_some() {
            return refused("\"user\" and \"password-file\" come together or not at all".into());
        }
        if self.user.is_some() && self.security == Security::None {
            return refused(
                "a password is not sent without encryption: set \"security\" to \"starttls\" or \"tls\"".into(),
            );
        }
        if !(1..=MAX_TO).contains(&self.to.len()) {
            return refused(format!("{} recipients in \"to\"; 1 to {MAX_TO} are allowed", self.to.len()));
        }
        Ok(self)
    }
}

impl Address {
    /// What follows the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl FileName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad =
            || Error::invalid(WHAT, format!("\"{}\" is no mail address like name@example.org", json::shown(text)));
        let (name, domain) = text.split_once('@').ok_or_else(bad)?;
        let word =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || SIGNS.contains(&b));
        let label = |part: &str| {
            let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            plain && (1..=63).contains(&part.len()) && !part.starts_with('-') && !part.ends_with('-')
        };
        if text.len() <= MAX_ADDRESS && name.len() <= 64 && name.split('.').all(word) && domain.split('.').all(label) {
            return Ok(Self(text.into()));
        }
        Err(bad())
    }
}

impl FromStr for FileName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if plain && (1..=64).contains(&text.len()) && !text.starts_with(['.', '-']) {
            return Ok(Self(text.into()));
        }
        Err(Error::invalid("file name", format!("\"{}\" is not like \"ca.pem\", without a folder", json::shown(text))))
    }
}

/// A name of plain characters, or an address.
fn is_host(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    let name = plain && (1..=253).contains(&text.len()) && !text.starts_with(['-', '.']);
    name || text.parse::<std::net::Ipv6Addr>().is_ok()
}

fn is_user(text: &str) -> bool {
    (1..=MAX_USER).contains(&text.len()) && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for FileName {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

const WHAT: &str = "mail setting";
const MAX_ADDRESS: usize = 254;
const MAX_USER: usize = 256;
/// What the part before the `@` may have beside letters, digits and dots between them (RFC 5322, atext).
const SIGNS: &[u8] = b"!#$%&'*+-/=?^_`{|}~";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Mail> {
        serde_json::from_str::<Mail>(text).map_err(|error| Error::corrupt(WHAT, error.to_string()))?.checked()
    }

    #[test]
    fn a_setting_is_read_and_the_usual_port_is_that_of_its_protection() {
        let mail = |security: &str| {
            read(&format!(r#"{{"server":"mail.example","security":"{security}","from":"a@b","to":["c@d.example"]}}"#))
        };
        assert_eq!([mail("none"), mail("starttls"), mail("tls")].map(|mail| mail.unwrap().port()), [25, 587, 465]);
        let usual = read(r#"{"server":"2001:db8::1","port":2525,"from":"a@b","to":["c@d"],"user":"x","password-file":"mail-password"}"#).unwrap();
        assert_eq!((usual.security, usual.port()), (Security::Starttls, 2525));
        assert_eq!(read(&serde_json::to_string(&usual).unwrap()), Ok(usual));
    }

    #[test]
    fn no_address_carries_a_header_a_command_or_a_second_recipient() {
        for text in ["a@b", "first.last+tag@mail.example.org", "o'neil@x-y.example", "a@192.0.2.1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b c",
            "a@b\r\nBcc: x@y",
            "a\n@b",
            "a@b\0",
            "a@b,c@d",
            "<a@b>",
            "A <a@b>",
            "\"a\"@b",
            "a@b>",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a@b..c",
            "a@-b",
            "a@b-",
            "a@b_c",
            "\u{e4}@b",
            "a@b\u{2028}c",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
        assert!(format!("{}@b", "a".repeat(65)).parse::<Address>().is_err());
        assert!(format!("a@{}", "b.".repeat(130)).parse::<Address>().is_err());
    }

    #[test]
    fn what_breaks_a_rule_is_refused() {
        for (text, wanted) in [
            (r#"{"server":"mail\r\nx","from":"a@b","to":["c@d"]}"#, "server"),
            (r#"{"server":"-x","from":"a@b","to":["c@d"]}"#, "server"),
            (r#"{"server":"user@x","from":"a@b","to":["c@d"]}"#, "server"),
            (r#"{"server":"x","port":0,"from":"a@b","to":["c@d"]}"#, "port"),
            (r#"{"server":"x","from":"a@b","to":[]}"#, "recipients"),
            (r#"{"server":"x","from":"a@b","to":["c@d"],"user":"x"}"#, "together"),
            (r#"{"server":"x","from":"a@b","to":["c@d"],"password-file":"x"}"#, "together"),
            (
                r#"{"server":"x","security":"none","from":"a@b","to":["c@d"],"user":"x","password-file":"x"}"#,
                "encryption",
            ),
            (r#"{"server":"x","from":"a@b","to":["c@d"],"user":"x\n","password-file":"x"}"#, "printable"),
            (r#"{"server":"x","from":"a@b","to":["c@d"],"user":"x","password-file":"../shadow"}"#, "folder"),
            (r#"{"server":"x","from":"a@b","to":["c@d"],"user":"x","password-file":".x"}"#, "folder"),
            (r#"{"server":"x","from":"a\n@b","to":["c@d"]}"#, "address"),
            (r#"{"server":"x","security":"ssl","from":"a@b","to":["c@d"]}"#, "ssl"),
        ] {
            let problem = read(text).unwrap_err().to_string();
            assert!(problem.contains(wanted), "{text}: {problem}");
        }
        let many = vec!["\"a@b\""; MAX_TO + 1].join(",");
        assert!(read(&format!(r#"{{"server":"x","from":"a@b","to":[{many}]}}"#)).is_err());
    }
}
