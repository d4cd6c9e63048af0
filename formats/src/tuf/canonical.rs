//! The canonical form of JSON that TUF signs (OLPC): keys sorted, no space, text escaped as little as possible, whole numbers only.

use serde_json::Value;

use crate::{Error, Result};

/// The canonical bytes of `value`. `Invalid` for a number that is not whole.
pub fn canonical(value: &Value) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write(value, &mut bytes)?;
    Ok(bytes)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::Null => out.extend(b"null"),
        Value::Bool(true) => out.extend(b"true"),
        Value::Bool(false) => out.extend(b"false"),
        Value::Number(number) if number.is_f64() => {
            return Err(Error::invalid("canonical JSON", format!("{number} is not a whole number")));
        }
        Value::Number(number) => out.extend(number.to_string().bytes()),
        Value::String(string) => text(string, out),
        Value::Array(items) => list(items, out)?,
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push(b'{');
            for (at, key) in keys.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                text(key, out);
                out.push(b':');
                write(map.get(key).unwrap_or(&Value::Null), out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn list(items: &[Value], out: &mut Vec<u8>) -> Result<()> {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out)?;
    }
    out.push(b']');
    Ok(())
}

/// Only the quotation mark and the backslash are escaped; everything else stands as it is, control characters too.
fn text(string: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in string.bytes() {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_form_for_one_value() {
        let value = serde_json::json!({"b": [1, -2, true, null], "a": {"z": "q\"\\\n\u{fc}", "B": 18_446_744_073_709_551_615_u64}});
        let wanted = "{\"a\":{\"B\":18446744073709551615,\"z\":\"q\\\"\\\\\n\u{fc}\"},\"b\":[1,-2,true,null]}";
        assert_eq!(String::from_utf8(canonical(&value).unwrap()).unwrap(), wanted);
        assert!(canonical(&serde_json::json!([1.5])).unwrap_err().to_string().contains("1.5 is not a whole number"));
    }
}
