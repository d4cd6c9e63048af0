//! PEM armour (RFC 7468): one labelled block of base64 per file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Wraps `der` as a block of this label, 64 columns.
pub fn encode(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out + "-----END " + label + "-----\n"
}

/// The label and content of the only block in `text`; comments before the block are skipped. The error says what is wrong.
pub fn decode(text: &str) -> Result<(String, Vec<u8>), String> {
    let mut lines = text.lines().map(str::trim_end);
    let label = lines
        .find_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .ok_or("is not a PEM file (no \"-----BEGIN\" line)")?;
    let end = format!("-----END {label}-----");
    let mut body = String::new();
    loop {
        match lines.next() {
            Some(line) if line == end => break,
            Some(line) => body.push_str(line),
            None => return Err(format!("has no \"{end}\" line; it is cut off")),
        }
    }
    if lines.any(|line| line.starts_with("-----BEGIN ")) {
        return Err("holds more than one PEM block; keep one per file".to_owned());
    }
    let der = STANDARD.decode(body).map_err(|_| format!("has a {label} block that is not base64"))?;
    Ok((label.to_owned(), der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_read_back() {
        for length in [0, 1, 47, 48, 49, 500] {
            let der = vec![0xa5; length];
            assert_eq!(decode(&encode("THING", &der)), Ok(("THING".to_owned(), der)));
        }
    }

    #[test]
    fn refuses_broken_blocks() {
        let good = encode("THING", b"some bytes");
        for (text, problem) in [
            (String::new(), "not a PEM file"),
            (good.replace("END THING", "END OTHER"), "cut off"),
            (good.replace(['b', 'c'], "*"), "not base64"),
            (good.repeat(2), "more than one"),
        ] {
            assert!(decode(&text).unwrap_err().contains(problem), "{text}");
        }
    }
}
