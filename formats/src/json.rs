//! JSON from untrusted bytes, read so that no two readers can disagree about it.
//!
//! Known attacks and our defence: a key given twice (readers differ on which one wins) is refused at every depth, also under fields
//! this version ignores; depth and length are bounded before anything is allocated for them; text from the document that ends up
//! in an error message is escaped and cut. Which fields are required, and what they mean, is left to the caller's types.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::{Damage, Error, Result};

/// Reads one JSON document of at most `limit` bytes. Errors name `what`.
pub fn parse(what: &'static str, bytes: &[u8], limit: usize) -> Result<Value> {
    if bytes.len() > limit {
        let problem = format!("{} bytes; at most {limit} are allowed", bytes.len());
        return Err(Error::damaged(what, Damage::TooLong, problem));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut reader).map_err(|error| damaged(what, &error))?;
    reader.end().map_err(|error| damaged(what, &error))?;
    Ok(value)
}

/// Turns a document into `T`; a field that is missing or of the wrong type is an error that names `what`.
pub fn decode<T: DeserializeOwned>(what: &'static str, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| damaged(what, &error))
}

/// Reads a whole document of one format: [`parse`], [`check_format`], [`decode`].
pub fn document<T: DeserializeOwned>(what: &'static str, bytes: &[u8], limit: usize, format: u32) -> Result<T> {
    let value = parse(what, bytes, limit)?;
    check_format(what, &value, format)?;
    decode(what, value)
}

/// The number under `format`, which every document of ours carries, when this version can read it.
pub fn check_format(what: &'static str, value: &Value, understood: u32) -> Result<()> {
    match value.get("format").and_then(Value::as_u64) {
        Some(format) if format == u64::from(understood) => Ok(()),
        Some(format) => Err(Error::unsupported(what, format!("it has format {format}; {understood} is understood"))),
        None => Err(Error::corrupt(what, "it has no \"format\" number")),
    }
}

/// Readable, deterministic JSON: two spaces, keys in the order of the type, one final line feed.
pub fn encode(what: &'static str, value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| Error::invalid(what, error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The same, refused when it is longer than its reader allows.
pub fn encode_within(what: &'static str, value: &impl serde::Serialize, limit: usize) -> Result<Vec<u8>> {
    let bytes = encode(what, value)?;
    if bytes.len() > limit {
        return Err(Error::invalid(what, format!("{} bytes; at most {limit} are allowed", bytes.len())));
    }
    Ok(bytes)
}

/// `text` in a form that is safe on a console: control, invisible and non-ASCII characters escaped, at most 80 characters.
pub fn shown(text: &str) -> String {
    shortened(text, SHOWN_CHARS)
}

fn shortened(text: &str, limit: usize) -> String {
    let cut = text.chars().nth(limit).is_some();
    let kept = text.chars().take(limit);
    let mut safe: String = kept
        .flat_map(|c| {
            let plain = c == ' ' || c.is_ascii_graphic();
            plain.then_some(c).into_iter().chain((!plain).then(|| c.escape_default()).into_iter().flatten())
        })
        .collect();
    if cut {
        safe.push_str("...");
    }
    safe
}

fn damaged(what: &'static str, error: &serde_json::Error) -> Error {
    Error::corrupt(what, shortened(&error.to_string(), MESSAGE_CHARS))
}

/// Builds a [`Value`] one level at a time, refusing repeated keys and too much depth.
#[derive(Clone, Copy)]
struct Strict {
    depth: u8,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> std::result::Result<Self, E> {
        let depth = self.depth.saturating_add(1);
        if depth > MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key \"{key}\" appears twice")));
            }
            let value = entries.next_value_seed(inner)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Our documents need four levels; unknown optional fields get some room.
const MAX_DEPTH: u8 = 16;
const SHOWN_CHARS: usize = 80;
const MESSAGE_CHARS: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse("document", text.as_bytes(), 1 << 20).unwrap_err().to_string()
    }

    #[test]
    fn refuses_repeated_keys_at_every_depth_and_in_every_spelling() {
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":[{"b":1,"b":2}]}"#, r#"{"x":{"y":{"b":1,"b":1}}}"#]
        {
            assert!(problem(text).contains("appears twice"), "{text}: {}", problem(text));
        }
        assert!(parse("document", br#"{"a":{"a":1},"b":{"a":1}}"#, 100).is_ok());
    }

    #[test]
    fn refuses_deep_nesting_before_it_costs_stack() {
        let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(parse("document", nested(16).as_bytes(), 100).is_ok());
        assert!(problem(&nested(17)).contains("nested deeper than 16 levels"));
        assert!(problem(&"[".repeat(500_000)).contains("nested deeper"));
        assert!(problem(&r#"{"a":"#.repeat(100_000)).contains("nested deeper"));
    }

    #[test]
    fn refuses_oversize_truncated_and_trailing_input() {
        assert_eq!(
            parse("document", b"[1, 2]", 5).unwrap_err().to_string(),
            "document is damaged: 6 bytes; at most 5 are allowed"
        );
        for text in ["", "{", r#"{"a":"#, "[1] 2", "\u{feff}{}", "{\"a\":1}\0", r#"{"a":"\ud800"}"#, "NaN", "1e999"] {
            assert!(parse("document", text.as_bytes(), 100).is_err(), "{text}");
        }
        assert!(parse("document", b"\"\xff\"", 100).is_err(), "not UTF-8");
    }

    #[test]
    fn text_of_the_document_cannot_steer_a_console_through_an_error() {
        let text = format!(r#"{{"\u001b[2J\u202e{}":1,"\u001b[2J\u202e{0}":1}}"#, "x".repeat(400));
        let problem = problem(&text);
        assert!(problem.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{problem}");
        assert!(problem.len() < 400, "{}", problem.len());
        assert_eq!(shown("a\u{1b}[2Jb\u{202e}ü"), r"a\u{1b}[2Jb\u{202e}\u{fc}");
    }
}
