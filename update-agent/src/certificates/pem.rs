//! PEM (RFC 7468, and the headers of RFC 1421 as far as they say that a key is encrypted): sections of base64 between two lines.
//!
//! Text around sections is skipped, as every program does that reads PEM: bundles come with remarks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// One section.
pub struct Section {
    /// For example `CERTIFICATE`.
    pub label: String,
    /// The lines before the base64 say that it is encrypted in a way of their own.
    pub encrypted: bool,
    /// What it holds.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// The sections of a text, in their order.
///
/// # Errors
/// What is wrong, in words, when a section does not end or holds no base64, or there are more than `most`.
pub fn sections(text: &str, most: usize) -> Result<Vec<Section>, String> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES)) else { continue };
        if found.len() >= most {
            return Err(format!("it has more than {most} sections"));
        }
        let end = format!("{END}{label}{DASHES}");
        let mut base64 = Zeroizing::new(String::new());
        let mut encrypted = false;
        loop {
            match lines.next() {
                None => return Err(format!("the section \"{}\" has no end", shown(label))),
                Some(line) if line == end => break,
                Some(line) if line.starts_with(DASHES) => {
                    return Err(format!("another line than its end follows in the section \"{}\"", shown(label)));
                }
                // `Proc-Type: 4,ENCRYPTED`, `DEK-Info: …`: base64 has no colon.
                Some(line) if line.contains(':') => encrypted |= line.ends_with("ENCRYPTED"),
                Some(line) => base64.push_str(line),
            }
        }
        let bytes = STANDARD.decode(base64.as_bytes());
        let bytes = bytes.map_err(|_| format!("the section \"{}\" is no base64", shown(label)))?;
        found.push(Section { label: label.into(), encrypted, bytes: Zeroizing::new(bytes) });
    }
    Ok(found)
}

/// One section as text.
pub fn section(label: &str, bytes: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(bytes));
    let mut text = Zeroizing::new(String::with_capacity(base64.len().saturating_mul(2).saturating_add(100)));
    for part in [BEGIN, label, DASHES, "\n"] {
        text.push_str(part);
    }
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(WIDTH).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    for part in [END, label, DASHES, "\n"] {
        text.push_str(part);
    }
    text
}

/// A label as it may stand in a sentence.
fn shown(label: &str) -> String {
    label.chars().filter(|letter| letter.is_ascii_graphic() || *letter == ' ').take(40).collect()
}

/// Of a certificate.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// Of a key in PKCS#8.
pub const PRIVATE_KEY: &str = "PRIVATE KEY";
/// Of a certificate signing request.
pub const REQUEST: &str = "CERTIFICATE REQUEST";
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const WIDTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_whatever_its_length() {
        for length in [0, 1, 47, 48, 49, 96, 1000] {
            let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let text = format!("a remark\r\n{}\n\n{}", *section("X", &bytes), *section("Y", b"1"));
            assert!(text.lines().all(|line| line.len() <= WIDTH));
            let read = sections(&text, 2).unwrap();
            assert_eq!((read[0].label.as_str(), read[0].bytes.as_slice()), ("X", bytes.as_slice()));
            assert_eq!((read[1].label.as_str(), read[1].bytes.as_slice(), read.len()), ("Y", &b"1"[..], 2));
        }
    }

    #[test]
    fn what_is_cut_mixed_up_or_endless_is_refused_with_its_reason() {
        let refused = |text: &str| sections(text, 2).err().unwrap();
        assert!(refused("-----BEGIN X-----\nAAAA\n").contains("\"X\" has no end"));
        assert!(refused("-----BEGIN X-----\nAAAA\n-----END Y-----\n").contains("another line than its end"));
        assert!(refused("-----BEGIN X-----\nA*\n-----END X-----\n").contains("no base64"));
        assert!(refused(&section("X", b"1").repeat(3)).contains("more than 2"));
        assert!(sections("nothing at all", 2).unwrap().is_empty());
    }

    #[test]
    fn a_key_in_the_traditional_encryption_is_recognised() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----";
        assert!(sections(text, 2).unwrap()[0].encrypted);
    }
}
