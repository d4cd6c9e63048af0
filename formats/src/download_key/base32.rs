//! Crockford's base32: digits and letters that survive being read aloud, and fit the dense mode of a QR code.
//!
//! Known attacks and our defence: one value has one spelling but for what people do to text (lower case, `O` for `0`, `I` and `L` for `1`);
//! bits left over at the end have to be zero, so that no second text means the same bytes.

/// The text of these bytes.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits = bits.saturating_add(8);
        while bits >= 5 {
            bits = bits.saturating_sub(5);
            text.push(letter(held >> bits));
            held &= !(u32::MAX << bits);
        }
    }
    if bits > 0 {
        text.push(letter(held << 5_u32.saturating_sub(bits)));
    }
    text
}

/// The bytes of a text; else the first character that has no place in one, or what is wrong with its end.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0_u32, 0_u32);
    for c in text.chars() {
        let value = value(c).ok_or_else(|| format!("\"{}\" is no character of one", c.escape_default()))?;
        held = (held << 5) | value;
        bits = bits.saturating_add(5);
        if bits >= 8 {
            bits = bits.saturating_sub(8);
            bytes.extend(u8::try_from(held >> bits));
            held &= !(u32::MAX << bits);
        }
    }
    if held != 0 || bits >= 5 {
        return Err("its end is missing or wrong".into());
    }
    Ok(bytes)
}

fn letter(value: u32) -> char {
    let letter = usize::try_from(value & 31).ok().and_then(|at| ALPHABET.get(at));
    letter.map_or('0', |letter| char::from(*letter)) // OK: 32 letters
}

fn value(c: char) -> Option<u32> {
    let upper = match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let at = ALPHABET.iter().position(|letter| char::from(*letter) == upper)?;
    u32::try_from(at).ok()
}

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back() {
        for length in 0..40_u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(151)).collect();
            assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        }
        // Written down by hand from the published alphabet.
        assert_eq!(encode(b"\xff\x00\x10"), "ZW010");
        assert_eq!(decode("zwolo"), Ok(b"\xff\x00\x10".to_vec()), "read aloud and typed");
    }

    #[test]
    fn one_value_has_one_text() {
        assert!(decode("ZW011").unwrap_err().contains("end"), "a bit that means nothing");
        assert!(decode("ZW0100").unwrap_err().contains("end"), "a character that means nothing");
        for bad in ["U", "ZW*10", "ZW01\u{e9}", "ZW 10"] {
            assert!(decode(bad).unwrap_err().contains("no character"), "{bad}");
        }
    }
}
