//! Records of pax extended headers (POSIX.1-2017, pax, "pax Extended Header"): `LENGTH KEY=VALUE\n`.
//!
//! The `tar` crate splits records at newlines and so breaks on binary values such as `security.capability`; lengths decide here.

use std::collections::BTreeMap;

/// What extended headers say about the next member of an archive.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Name of the member.
    pub path: Option<Vec<u8>>,
    /// Target of a link.
    pub linkpath: Option<Vec<u8>>,
    /// Length of the content in bytes.
    pub size: Option<u64>,
    /// Numeric owner.
    pub uid: Option<u64>,
    /// Numeric group.
    pub gid: Option<u64>,
    /// Whole seconds since 1970; the fraction is dropped downwards.
    pub mtime: Option<i64>,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Extensions {
    /// Adds the records of one extended header. The error is a sentence.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), String> {
        for (key, value) in records(bytes)? {
            self.set(key, value)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        match key {
            "path" => self.path = Some(value.to_vec()),
            "linkpath" => self.linkpath = Some(value.to_vec()),
            "size" => self.size = Some(number(key, value)?),
            "uid" => self.uid = Some(number(key, value)?),
            "gid" => self.gid = Some(number(key, value)?),
            "mtime" => self.mtime = Some(seconds(value)?),
            key if key.starts_with("GNU.sparse.") => {
                return Err("it is stored as a sparse file; make the archive without --sparse".to_owned());
            }
            key if key.starts_with("SCHILY.acl.") && !value.is_empty() => {
                return Err(
                    "it has a POSIX access control list, which is not supported; make the archive without --acls"
                        .into(),
                );
            }
            key => {
                if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                    self.xattrs.insert(name.to_owned(), value.to_vec());
                }
            }
        }
        Ok(())
    }
}

/// Splits an extended header into its records.
pub fn records(bytes: &[u8]) -> Result<Vec<(&str, &[u8])>, String> {
    let broken = || "its extended header is damaged".to_owned();
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = rest.iter().take(MAX_DIGITS).position(|byte| *byte == b' ').ok_or_else(broken)?;
        let digits = std::str::from_utf8(&rest[..space]).map_err(|_| broken())?;
        let length: usize = digits.parse().map_err(|_| broken())?;
        let record = rest.get(space + 1..length).ok_or_else(broken)?;
        let record = record.strip_suffix(b"\n").ok_or_else(broken)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
        let key = std::str::from_utf8(&record[..equals]).map_err(|_| broken())?;
        found.push((key, &record[equals + 1..]));
        rest = &rest[length..];
    }
    Ok(found)
}

fn number(key: &str, value: &[u8]) -> Result<u64, String> {
    let text = String::from_utf8_lossy(value);
    text.parse().map_err(|_| format!("its extended header says {key}=\"{}\"", text.escape_debug()))
}

/// `1234.5` or `-1.5` as whole seconds, rounded down.
fn seconds(value: &[u8]) -> Result<i64, String> {
    let text = String::from_utf8_lossy(value);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let broken = || format!("its extended header says mtime=\"{}\"", text.escape_debug());
    let seconds: i64 = whole.parse().map_err(|_| broken())?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(broken());
    }
    let below = whole.starts_with('-') && fraction.bytes().any(|byte| byte != b'0');
    seconds.checked_sub(i64::from(below)).ok_or_else(broken)
}

/// Digits of a record length that are looked at.
const MAX_DIGITS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn extensions(bytes: &[u8]) -> Result<Extensions, String> {
        let mut extensions = Extensions::default();
        extensions.add(bytes)?;
        Ok(extensions)
    }

    #[test]
    fn values_may_contain_newlines() {
        let found = extensions(b"31 SCHILY.xattr.user.a=\n1 b=c\n\n12 size=123\n").unwrap();
        assert_eq!(found.xattrs["user.a"], b"\n1 b=c\n");
        assert_eq!(found.size, Some(123));
    }

    #[test]
    fn times_round_down() {
        for (text, expected) in [("5", 5), ("5.9", 5), ("-1.5", -2), ("-0.5", -1), ("-3.0", -3)] {
            assert_eq!(seconds(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_damaged_records() {
        for bytes in [
            &b"x"[..],
            b"99 a=b\n",
            b"7 a=bcd",
            b"0 a=b\n",
            b"6 abc\n",
            b"13 size=12a4\n",
            b"12 mtime=1.x\n",
            b"\xff 1",
        ] {
            assert!(extensions(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn refuses_what_would_be_lost() {
        assert!(extensions(b"22 GNU.sparse.major=1\n").unwrap_err().contains("sparse"));
        assert!(extensions(b"32 SCHILY.acl.access=user::rwx\n\n").unwrap_err().contains("access control"));
    }
}
