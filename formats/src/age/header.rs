//! The header of an encrypted file: for whom it is, as lines of text, and a MAC over them.

use std::io::{BufRead, Read as _};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{MAX_RECIPIENTS, Result, WHAT, cut, key};
use crate::error::Damage;
use crate::{Error as FormatError, json};

/// With what a file can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    /// One passphrase.
    Passphrase,
    /// Private keys.
    Keys,
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stanza {
    /// Its type and what belongs to it.
    pub(super) words: Vec<String>,
    /// The file's key, wrapped.
    pub(super) body: Vec<u8>,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) stanzas: Vec<Stanza>,
}

impl Stanza {
    pub(super) fn is(&self, kind: &str) -> bool {
        self.words.first().is_some_and(|word| word == kind)
    }
}

impl Header {
    /// Its bytes, to the line feed behind its MAC.
    pub(super) fn encode(&self, file_key: &[u8; 16]) -> Result<Vec<u8>> {
        let mut bytes = self.signed();
        let tag = hmac::sign(&mac_key(file_key)?, &bytes);
        bytes.extend(format!(" {}\n", STANDARD_NO_PAD.encode(tag.as_ref())).bytes());
        Ok(bytes)
    }

    /// Reads one and the MAC behind it.
    pub(super) fn read(from: &mut impl BufRead) -> Result<(Self, Vec<u8>)> {
        let mut lines = Lines { from: from.by_ref().take(MAX_HEADER) };
        if lines.next()? != VERSION {
            return Err(bad("it does not begin as one").into());
        }
        let mut stanzas: Vec<Stanza> = Vec::new();
        loop {
            let line = lines.next()?;
            if let Some(mac) = line.strip_prefix("--- ") {
                let header = Self { stanzas };
                header.check_form()?;
                return Ok((header, decoded(mac)?));
            }
            let words = line.strip_prefix("-> ").ok_or_else(|| bad("a line is neither a recipient nor the end"))?;
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            let graphic = |word: &String| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
            if !words.iter().all(graphic) {
                return Err(bad("a recipient has an empty word, or one with strange characters").into());
            }
            stanzas.push(Stanza { words, body: lines.body()? });
            if stanzas.len() > MAX_STANZAS {
                return Err(
                    FormatError::damaged(WHAT, Damage::TooLong, format!("more than {MAX_STANZAS} recipients")).into()
                );
            }
        }
    }

    /// A passphrase stands alone, as the format demands: else whoever wrote the file could have added themselves.
    fn check_form(&self) -> Result<()> {
        match self.stanzas.as_slice() {
            [] => Err(bad("it is for nobody").into()),
            [_] => Ok(()),
            several if several.iter().any(|one| one.is(SCRYPT)) => {
                Err(bad("a passphrase beside other recipients").into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn locked(&self) -> Locked {
        if self.stanzas.iter().any(|one| one.is(SCRYPT)) { Locked::Passphrase } else { Locked::Keys }
    }

    /// Whether whoever wrapped the key wrote this header.
    pub(super) fn check(&self, file_key: &[u8; 16], mac: &[u8]) -> Result<()> {
        hmac::verify(&mac_key(file_key)?, &self.signed(), mac)
            .map_err(|_| FormatError::damaged(WHAT, Damage::DigestMismatch, "its header was changed").into())
    }

    /// Everything up to the MAC.
    fn signed(&self) -> Vec<u8> {
        let mut text = format!("{VERSION}\n");
        for stanza in &self.stanzas {
            for part in ["-> ", &stanza.words.join(" "), "\n"] {
                text.push_str(part);
            }
            let body = STANDARD_NO_PAD.encode(&stanza.body);
            let mut rest = body.as_str();
            // The last line is shorter than the others, and may be empty.
            while let Some((line, more)) = rest.split_at_checked(COLUMNS) {
                text.push_str(line);
                text.push('\n');
                rest = more;
            }
            text.push_str(rest);
            text.push('\n');
        }
        text.push_str("---");
        text.into_bytes()
    }
}

/// Lines of at most so many bytes together.
struct Lines<R> {
    from: R,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<String> {
        let mut line = Vec::new();
        self.from.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(cut(std::io::ErrorKind::UnexpectedEof.into()));
        }
        String::from_utf8(line).map_err(|_| bad("a line of its header is no text").into())
    }

    fn body(&mut self) -> Result<Vec<u8>> {
        let mut text = String::new();
        loop {
            let line = self.next()?;
            let full = line.len() == COLUMNS;
            if line.len() > COLUMNS {
                return Err(bad("a line of a recipient is too long").into());
            }
            text.push_str(&line);
            if !full {
                return decoded(&text);
            }
        }
    }
}

/// Canonical base64 without padding.
pub(super) fn decoded(text: &str) -> Result<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).map_err(|_| bad(&format!("\"{}\" is not canonical base64", json::shown(text))).into())
}

pub(super) fn bad(problem: &str) -> FormatError {
    FormatError::corrupt(WHAT, problem)
}

fn mac_key(file_key: &[u8; 16]) -> Result<hmac::Key> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key::derived(file_key, &[], b"header")?.as_slice()))
}

pub(super) const SCRYPT: &str = "scrypt";
const VERSION: &str = "age-encryption.org/v1";
const COLUMNS: usize = 64;
/// Recipients of other kinds stand beside ours.
const MAX_STANZAS: usize = 2 * MAX_RECIPIENTS;
/// Bytes; ours have less than a quarter of it.
const MAX_HEADER: u64 = 16 << 10;
