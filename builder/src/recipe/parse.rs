//! TOML text to what it describes, with errors a person can act on: file, line, column, and the nearest valid key for a mistyped one.

use serde::de::DeserializeOwned;

use crate::nearest::nearest;
use crate::{Error, Result};

/// Parses `text`; `name` is the file name shown in errors.
pub fn from_toml<T: DeserializeOwned>(text: &str, name: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| Error::input(explain(text, name, &error)))
}

fn explain(text: &str, name: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    let place = match error.span() {
        Some(span) => {
            let (line, column) = line_and_column(text, span.start);
            format!("{name}:{line}:{column}")
        }
        None => name.to_owned(),
    };
    match unknown_field(message) {
        Some((field, valid)) => {
            let hint = match nearest(field, valid.iter().copied()).first() {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("valid keys here: {}", valid.join(", ")),
            };
            format!("{place}: unknown key \"{field}\"; {hint}")
        }
        None => format!("{place}: {}", message.trim_end().replace('\n', "; ")),
    }
}

/// 1-based line and column (in characters) of a byte offset.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

/// Takes serde's "unknown field `x`, expected one of `a`, `b`" apart.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let mut quoted = rest.split('`');
    let field = quoted.next()?;
    // What remains alternates between text and quoted names.
    let valid = quoted.skip(1).step_by(2).collect();
    Some((field, valid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    fn error(text: &str) -> String {
        from_toml::<Recipe>(text, "r.toml").expect_err("must be refused").to_string()
    }

    #[test]
    fn unknown_keys_are_refused_with_line_and_nearest_key() {
        let text = "recipe = 1\n[product]\nname = \"x\"\nversoin = \"1.0.0\"\n";
        assert_eq!(error(text), "r.toml:4:1: unknown key \"versoin\"; did you mean \"version\"?");
    }

    #[test]
    fn unknown_keys_without_a_near_one_list_what_is_valid() {
        let message = error("recipe = 1\n[keys]\nzzzzzz = 1\n");
        assert_eq!(
            message,
            "r.toml:3:1: unknown key \"zzzzzz\"; valid keys here: directory, allow-development, threshold, co-signers"
        );
    }

    #[test]
    fn wrong_health_checks_are_refused_with_their_place() {
        let text = "recipe = 1\n[[base.health]]\nname = \"room\"\ndisk-space = \"/data\"\nfree = \"1MiB\"\n";
        let with = |from: &str, to: &str| error(&text.replacen(from, to, 1));
        assert_eq!(
            with("disk-space", "disk-spcae"),
            "r.toml:4:1: unknown key \"disk-spcae\"; did you mean \"disk-space\"?"
        );
        let message = with("free = \"1MiB\"", "status = 200");
        assert_eq!(
            message,
            "r.toml:2:1: health check \"room\": \"status\" belongs to \"http\", this is \"disk-space\""
        );
        assert!(with("\"1MiB\"", "\"1 MB\"").starts_with("r.toml:5:8: "), "{}", with("\"1MiB\"", "\"1 MB\""));
        let message = error("recipe = 1\n[base.trial]\nsetle = 1\n");
        assert_eq!(message, "r.toml:3:1: unknown key \"setle\"; did you mean \"settle\"?");
    }

    #[test]
    fn wrong_types_are_refused_with_their_place() {
        assert!(error("recipe = \"one\"\n").starts_with("r.toml:1:10: "), "{}", error("recipe = \"one\"\n"));
    }
}
