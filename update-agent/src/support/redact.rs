//! Taking secrets out of what leaves the appliance in a support bundle. Pure.
//!
//! Two ways beside each other, because each misses what the other finds: secrets this appliance is known to have are found wherever they
//! stand and however they are written down; and what looks like a secret is taken out by its form: private keys, logins in addresses,
//! values with a name like "password", hashes of passwords, tokens. Where a secret ends is often not to be told, so too much is taken
//! rather than too little: an unquoted value ends with its line, a key without an end with the text.
//!
//! What cannot be found: a secret of somebody else without a name, as plain words or as hexadecimal digits, which digests are made of.
//! Text need not be UTF-8; what is not taken out stays as it is, byte for byte.

use std::collections::BTreeMap;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Map, Value};

use crate::account::book::TOKEN_PREFIX;
use crate::secret::Secret;

/// How many of each kind were taken out.
pub type Counts = BTreeMap<&'static str, u64>;

/// The secrets this appliance is known to have, in every form they are looked for.
pub struct Known(Vec<Vec<u8>>);

impl Known {
    /// These. What is shorter than [`SHORTEST`] would be found everywhere, and is left to its form.
    pub fn new(secrets: &[Secret]) -> Self {
        let mut forms = Vec::new();
        for secret in secrets {
            let text = secret.reveal().trim();
            if text.len() < SHORTEST {
                continue;
            }
            forms.push(text.as_bytes().to_vec());
            forms.push(STANDARD_NO_PAD.encode(text).into_bytes());
            forms.push(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().into_bytes());
            let quoted = serde_json::to_string(text).unwrap_or_default();
            forms.push(quoted.trim_matches('"').as_bytes().to_vec());
            forms.push(text.replace([' ', '-'], "").into_bytes());
        }
        forms.retain(|form| form.len() >= SHORTEST);
        // The longest first: one that begins like another must not leave its end behind.
        forms.sort_by_key(|form| (std::cmp::Reverse(form.len()), form.clone()));
        forms.dedup();
        Self(forms)
    }
}

/// The text without its secrets; what was taken out is counted.
pub fn text(bytes: &[u8], known: &Known, counts: &mut Counts) -> Vec<u8> {
    let mut work = Work { bytes: bytes.to_vec(), counts };
    for form in &known.0 {
        work.replace("known-secret", |bytes, from| find(bytes, form, from).map(|at| at..at.saturating_add(form.len())));
    }
    work.replace("private-key", private_key);
    work.replace("url-login", url_login);
    work.replace("named-value", named_value);
    work.replace("named-value", option_value);
    work.replace("password-hash", |bytes, from| prefixed(bytes, from, &HASHES, |byte| !is_end(byte) && byte != b':'));
    work.replace("token", |bytes, from| prefixed(bytes, from, &["AGE-SECRET-KEY-"], is_word));
    work.replace("token", own_token);
    work.replace("token", login_scheme);
    work.replace("long-token", |bytes, from| {
        long_token(bytes, from, |byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
    });
    work.replace("long-token", |bytes, from| long_token(bytes, from, is_word));
    work.bytes
}

/// The same of everything in JSON, which stays JSON.
pub fn json(value: Value, known: &Known, counts: &mut Counts) -> Value {
    match value {
        Value::String(words) => Value::String(string(&words, known, counts)),
        Value::Array(list) => Value::Array(list.into_iter().map(|one| json(one, known, counts)).collect()),
        Value::Object(fields) => {
            let mut clean = Map::new();
            for (name, value) in fields {
                let kept = if is_secret_name(name.as_bytes()) && !matches!(value, Value::Null | Value::Bool(_)) {
                    count(counts, "named-value");
                    Value::String(marker("named-value"))
                } else {
                    json(value, known, counts)
                };
                clean.insert(string(&name, known, counts), kept);
            }
            Value::Object(clean)
        }
        other => other,
    }
}

fn string(words: &str, known: &Known, counts: &mut Counts) -> String {
    String::from_utf8_lossy(&text(words.as_bytes(), known, counts)).into_owned()
}

struct Work<'a> {
    bytes: Vec<u8>,
    counts: &'a mut Counts,
}

impl Work<'_> {
    /// Puts a mark in place of everything `next` finds from an offset on.
    fn replace(&mut self, kind: &'static str, next: impl Fn(&[u8], usize) -> Option<Range<usize>>) {
        let (mut clean, mut at) = (Vec::new(), 0_usize);
        while let Some(found) = next(&self.bytes, at).filter(|found| found.start >= at && found.end > at) {
            clean.extend(part(&self.bytes, at..found.start));
            clean.extend(marker(kind).as_bytes());
            count(self.counts, kind);
            at = found.end;
        }
        if at > 0 {
            clean.extend(part(&self.bytes, at..self.bytes.len()));
            self.bytes = clean;
        }
    }
}

fn marker(kind: &str) -> String {
    format!("[redacted: {kind}]")
}

fn count(counts: &mut Counts, kind: &'static str) {
    let number = counts.entry(kind).or_default();
    *number = number.saturating_add(1);
}

/// A private key in PEM, also one whose beginning or end is missing.
fn private_key(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let begin = key_mark(bytes, from, b"-----BEGIN ");
    let end = key_mark(bytes, from, b"-----END ");
    match (begin, end) {
        (None, None) => None,
        // The beginning was cut off with what stood before it.
        (None, Some(end)) => Some(from..end.end),
        (Some(begin), Some(end)) if end.start < begin.start => Some(from..end.end),
        (Some(begin), _) => {
            let end = key_mark(bytes, begin.end, b"-----END ").map_or(bytes.len(), |end| end.end);
            Some(begin.start..end)
        }
    }
}

/// The next line of this kind that is about a private key.
fn key_mark(bytes: &[u8], mut from: usize, kind: &[u8]) -> Option<Range<usize>> {
    loop {
        let start = find(bytes, kind, from)?;
        let label = start.saturating_add(kind.len());
        let rest = part(bytes, label..label.saturating_add(LONGEST_LABEL).min(bytes.len()));
        let length = find(rest, b"-----", 0).unwrap_or(rest.len());
        if find(part(rest, 0..length), b"PRIVATE KEY", 0).is_some() {
            return Some(start..label.saturating_add(length).saturating_add(5).min(bytes.len()));
        }
        from = label;
    }
}

/// User and password in an address.
fn url_login(bytes: &[u8], mut from: usize) -> Option<Range<usize>> {
    loop {
        let start = find(bytes, b"://", from)?.saturating_add(3);
        let word = part(bytes, start..bytes.len());
        let word = part(word, 0..word.iter().position(|byte| is_end(*byte)).unwrap_or(word.len()));
        let host = word.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(word.len());
        let last = |until: usize| part(word, 0..until).iter().rposition(|byte| *byte == b'@');
        // A password with a slash that nobody encoded: what looks like a port is none.
        let no_port = || {
            let port = part(word, 0..host).iter().rposition(|byte| *byte == b':')?;
            let port = part(word, port.saturating_add(1)..host);
            (!port.iter().all(u8::is_ascii_digit)).then_some(())
        };
        let end = last(host).or_else(|| no_port().and_then(|()| last(word.len())));
        if let Some(end) = end.filter(|end| *end > 0) {
            return Some(start..start.saturating_add(end));
        }
        from = start;
    }
}

/// What stands behind a name like "password" and a colon or an equals sign.
fn named_value(bytes: &[u8], mut from: usize) -> Option<Range<usize>> {
    loop {
        let sign = from.saturating_add(part(bytes, from..bytes.len()).iter().position(|byte| b"=:".contains(byte))?);
        let behind = sign.saturating_add(1);
        if is_named(part(bytes, sign.saturating_sub(LONGEST_NAME)..sign)) {
            let value = value(bytes, behind);
            let said = part(bytes, value.clone()).trim_ascii();
            // Taken out already, all of it: behind a mark there may be the rest of it.
            let mark = said.starts_with(b"[redacted: ")
                && said.iter().position(|byte| *byte == b']') == said.len().checked_sub(1);
            if !said.is_empty() && !mark {
                return Some(value);
            }
            from = value.end.max(behind);
        } else {
            from = behind;
        }
    }
}

/// The word behind an option of a command, like `--password WORD`.
fn option_value(bytes: &[u8], mut from: usize) -> Option<Range<usize>> {
    loop {
        let found = prefixed(bytes, from, &["--"], is_word)?;
        let start = found.end.saturating_add(1);
        let word = part(bytes, start..bytes.len()).iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
        let named = bytes.get(found.end) == Some(&b' ') && is_secret_name(part(bytes, found.clone()));
        if named && word > 0 {
            return Some(start..start.saturating_add(word));
        }
        from = found.end;
    }
}

/// Whether what ends here is the name of a secret.
fn is_named(before: &[u8]) -> bool {
    let before = before.trim_ascii_end();
    let before = before.strip_suffix(b"\"").or_else(|| before.strip_suffix(b"'")).unwrap_or(before);
    let before = before.strip_suffix(b"\\").unwrap_or(before);
    let line = before.rsplit(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
    let word = line.rsplit(|byte| !(is_word(*byte) || *byte == b'.')).next().unwrap_or_default();
    let words = plain(line);
    is_secret_name(word) || PHRASES.iter().any(|phrase| words.ends_with(phrase.as_bytes()))
}

fn is_secret_name(name: &[u8]) -> bool {
    let name = plain(name);
    let harmless = ["file", "path", "files"].iter().any(|end| name.ends_with(end.as_bytes()));
    let part = |word: &&str| find(&name, word.as_bytes(), 0).is_some();
    !harmless && (NAMES.iter().any(|word| name == word.as_bytes()) || WORDS.iter().any(part))
}

/// Letters and digits alone, small.
fn plain(name: &[u8]) -> Vec<u8> {
    name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
}

/// Where the value is that begins here: in its quotes, or to the end of its line; of an empty line the next one.
fn value(bytes: &[u8], from: usize) -> Range<usize> {
    let blank = part(bytes, from..bytes.len()).iter().take_while(|byte| b" \t=>".contains(byte)).count();
    let start = from.saturating_add(blank);
    let rest = part(bytes, start..bytes.len());
    let line = rest.iter().position(|byte| b"\r\n".contains(byte)).unwrap_or(rest.len());
    let quoted = |opening: usize, end: usize| start.saturating_add(opening)..start.saturating_add(end);
    if rest.starts_with(b"\\\"") {
        return quoted(2, find(rest, b"\\\"", 2).filter(|end| *end < line).unwrap_or(line));
    }
    if let Some(quote) = rest.first().copied().filter(|byte| b"\"'".contains(byte)) {
        let mut escaped = false;
        let end = part(rest, 0..line).iter().enumerate().skip(1).find(|(_, byte)| {
            let ends = **byte == quote && !escaped;
            escaped = **byte == b'\\' && !escaped;
            ends
        });
        return quoted(1, end.map_or(line, |(end, _)| end));
    }
    if part(rest, 0..line).iter().all(|byte| b"|>-+ \t".contains(byte)) {
        let next = part(rest, line..rest.len());
        let gap = next.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let next = part(next, gap..next.len());
        let length = next.iter().position(|byte| b"\r\n".contains(byte)).unwrap_or(next.len());
        return quoted(0, line.saturating_add(gap).saturating_add(length));
    }
    quoted(0, line)
}

/// What begins with one of these and goes on with bytes of this kind.
fn prefixed(bytes: &[u8], from: usize, prefixes: &[&str], goes_on: impl Fn(u8) -> bool) -> Option<Range<usize>> {
    let first =
        prefixes.iter().filter_map(|prefix| Some((find(bytes, prefix.as_bytes(), from)?, prefix.len()))).min()?;
    let behind = first.0.saturating_add(first.1);
    let length = part(bytes, behind..bytes.len()).iter().take_while(|byte| goes_on(**byte)).count();
    Some(first.0..behind.saturating_add(length))
}

/// A token of a program for this console.
fn own_token(bytes: &[u8], mut from: usize) -> Option<Range<usize>> {
    loop {
        let found = prefixed(bytes, from, &[TOKEN_PREFIX], |byte| byte.is_ascii_hexdigit())?;
        if found.len() >= TOKEN_PREFIX.len().saturating_add(SHORTEST_OWN) {
            return Some(found);
        }
        from = found.end;
    }
}

/// `Bearer TOKEN` and `Basic LOGIN`.
fn login_scheme(bytes: &[u8], mut from: usize) -> Option<Range<usize>> {
    loop {
        let found = prefixed(bytes, from, &["bearer ", "basic "], |byte| !is_end(byte))?;
        let word = part(bytes, found.clone());
        let word =
            part(word, word.iter().position(|byte| *byte == b' ').map_or(0, |at| at.saturating_add(1))..word.len());
        let odd = word.iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || *byte == b'=');
        if word.len() >= SHORTEST_TOKEN && odd {
            return Some(found);
        }
        from = found.end;
    }
}

/// A long word of small and capital letters and digits: what chance looks like in base64.
fn long_token(bytes: &[u8], mut from: usize, in_it: impl Fn(u8) -> bool) -> Option<Range<usize>> {
    loop {
        let start = from.saturating_add(part(bytes, from..bytes.len()).iter().position(|byte| in_it(*byte))?);
        let word = part(bytes, start..bytes.len());
        let word = part(word, 0..word.iter().position(|byte| !in_it(*byte)).unwrap_or(word.len()));
        let end = start.saturating_add(word.len());
        let mixed = [u8::is_ascii_digit, u8::is_ascii_lowercase, u8::is_ascii_uppercase];
        if word.len() >= LONG && mixed.iter().all(|kind| word.iter().any(kind)) {
            return Some(start..end);
        }
        from = end;
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

/// What no address, hash or token has in it.
fn is_end(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte.is_ascii_control() || b"\"'`<>\\".contains(&byte)
}

/// Where this begins, whatever its letters' case.
fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let first = wanted.first()?;
    let rest = bytes.get(from..)?;
    let windows = rest.windows(wanted.len());
    let found = windows.enumerate().find(|(_, window)| {
        window.first().is_some_and(|byte| byte.eq_ignore_ascii_case(first)) && window.eq_ignore_ascii_case(wanted)
    });
    found.map(|(at, _)| from.saturating_add(at))
}

fn part(bytes: &[u8], range: Range<usize>) -> &[u8] {
    bytes.get(range).unwrap_or_default()
}

/// Names that have one of these in them are names of secrets.
const WORDS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "passcode",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "claimcode",
    "credential",
    "authorization",
    "cookie",
];
/// Names that are nothing else.
const NAMES: [&str; 7] = ["pass", "pwd", "psk", "pin", "auth", "session", "identity"];
/// The same in several words.
const PHRASES: [&str; 6] = ["claimcode", "privatekey", "apikey", "accesskey", "recoverycode", "setupcode"];
/// How hashes of passwords begin.
const HASHES: [&str; 12] =
    ["$argon2", "$2a$", "$2b$", "$2y$", "$1$", "$5$", "$6$", "$7$", "$y$", "$gy$", "$scrypt$", "$pbkdf2"];
/// Bytes of the shortest secret that is looked for as such.
const SHORTEST: usize = 4;
const SHORTEST_TOKEN: usize = 8;
/// Digits of a token of ours, of which the end may be cut off.
const SHORTEST_OWN: usize = 16;
/// Bytes of a word that only chance makes.
const LONG: usize = 40;
/// Bytes of a name.
const LONGEST_NAME: usize = 80;
/// Bytes between the dashes of PEM.
const LONGEST_LABEL: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(words: &str) -> String {
        let known = Known::new(&[Secret::new("open sesame 7".into()), Secret::new("abc".into())]);
        String::from_utf8(text(words.as_bytes(), &known, &mut Counts::new())).unwrap()
    }

    #[test]
    fn secrets_of_every_form_are_taken_out_and_what_stands_around_them_stays() {
        for (before, after) in [
            ("said open sesame 7 loudly", "said [redacted: known-secret] loudly"),
            ("said OPEN Sesame 7", "said [redacted: known-secret]"),
            ("b3BlbiBzZXNhbWUgNw==", "[redacted: known-secret]=="),
            ("q=open+sesame+7&x=1", "q=[redacted: known-secret]&x=1"),
            ("a\n-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nb", "a\n[redacted: private-key]\nb"),
            ("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nAAAA", "a\n[redacted: private-key]"),
            ("IIEv\nAAAA\n-----END OPENSSH PRIVATE KEY-----\nb", "[redacted: private-key]\nb"),
            ("-----BEGIN EC PRIVATE KEY-----\\nMII\\n-----END EC PRIVATE KEY-----\\n", "[redacted: private-key]\\n"),
            ("get http://anna:pw@proxy.example:3128/x", "get http://[redacted: url-login]@proxy.example:3128/x"),
            ("get http://anna:p@w@proxy.example/", "get http://[redacted: url-login]@proxy.example/"),
            ("get http://anna:p/w@proxy.example/", "get http://[redacted: url-login]@proxy.example/"),
            ("password=hunter2 more of it", "password=[redacted: named-value]"),
            ("Password : hunter2\nnext", "Password : [redacted: named-value]\nnext"),
            (
                "{\"mail-password\": \"hun\\\"ter2\", \"x\": 1}",
                "{\"mail-password\": \"[redacted: named-value]\", \"x\": 1}",
            ),
            (
                "{\\\"token\\\":\\\"hunter2\\\",\\\"x\\\":1}",
                "{\\\"token\\\":\\\"[redacted: named-value]\\\",\\\"x\\\":1}",
            ),
            ("api_key='hunter 2' x", "api_key='[redacted: named-value]' x"),
            ("passphrase: |\n  four words by chance\nnext", "passphrase: [redacted: named-value]\nnext"),
            ("password: open sesame 7, then http://a:b@h/", "password: [redacted: named-value]"),
            (
                "ran x --proxy-password hunter2 --password-file f",
                "ran x --proxy-password [redacted: named-value] --password-file f",
            ),
            ("Claim code: ABCD-EFGH", "Claim code: [redacted: named-value]"),
            ("bulkhead.claim-code=ABCDEFGHJKMN", "bulkhead.claim-code=[redacted: named-value]"),
            ("Authorization: Basic YW5uYTpwdw==", "Authorization: [redacted: named-value]"),
            ("Set-Cookie: __Host-session=00ff; Path=/", "Set-Cookie: [redacted: named-value]"),
            ("sent Bearer abcDEF123.x-y to it", "sent [redacted: token] to it"),
            ("sent basic YW5uYTpwdw== to it", "sent [redacted: token] to it"),
            ("hash $argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA end", "hash [redacted: password-hash] end"),
            ("root:$6$salt$hash:19000:", "root:[redacted: password-hash]:19000:"),
            ("ours bulkhead-00112233445566778899aabbccddeeff end", "ours [redacted: token] end"),
            ("age AGE-SECRET-KEY-1QQPZRY9 end", "age [redacted: token] end"),
            ("key MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQi end", "key [redacted: long-token] end"),
            ("t aB3_aB3-aB3_aB3-aB3_aB3-aB3_aB3-aB3_aB3-aB3_ end", "t [redacted: long-token] end"),
        ] {
            assert_eq!(cleaned(before), after, "{before}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        for words in [
            "",
            "the passphrase is wrong: try again",
            "\"passphrase-file\": \"backup-passphrase\"",
            "https://depot.example:8443/demo?mail=it@example.org",
            "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "[    5.140900] NET: Registered PF_INET6 protocol family",
            "a basic configuration, a bearer of news",
            "-----BEGIN CERTIFICATE-----",
            "abc",
            "bulkhead-support-bundle",
            "costs $1 and $2",
        ] {
            assert_eq!(cleaned(words), words);
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay_and_hide_nothing() {
        let known = Known::new(&[]);
        let mut counts = Counts::new();
        let clean = text(b"\xff\x00password=\xfe\xfd\n\x80 tail", &known, &mut counts);
        assert_eq!(clean, b"\xff\x00password=[redacted: named-value]\n\x80 tail");
        assert_eq!(counts, Counts::from([("named-value", 1)]));
    }

    #[test]
    fn json_stays_json_and_loses_what_has_the_name_of_a_secret() {
        let known = Known::new(&[Secret::new("open sesame 7".into())]);
        let mut counts = Counts::new();
        let given = serde_json::json!({
            "proxy-password": "x", "token": ["a", "b"], "pin": 1234, "has-password": true, "secret": null,
            "list": [{ "log": "password=\"hunter2\"\nand", "open sesame 7": 1 }], "passphrase-file": "name", "count": 3,
        });
        let wanted = serde_json::json!({
            "proxy-password": "[redacted: named-value]", "token": "[redacted: named-value]", "pin": "[redacted: named-value]",
            "has-password": true, "secret": null,
            "list": [{ "log": "password=\"[redacted: named-value]\"\nand", "[redacted: known-secret]": 1 }],
            "passphrase-file": "name", "count": 3,
        });
        assert_eq!(json(given, &known, &mut counts), wanted);
        assert_eq!(counts, Counts::from([("known-secret", 1), ("named-value", 4)]));
    }
}
