//! TOML text to [`Recipe`], with errors a person can act on: file, line, column, and the nearest valid key for a mistyped one.

use super::Recipe;
use crate::{Error, Result};

/// Parses `text`; `name` is the file name shown in errors.
pub(super) fn parse(text: &str, name: &str) -> Result<Recipe> {
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
            let hint = match nearest(field, &valid) {
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

/// The valid word closest to `word`, if it is close enough to be a slip of the pen. Also used for module and package names.
pub(crate) fn nearest<'a>(word: &str, valid: &[&'a str]) -> Option<&'a str> {
    let limit = word.chars().count() / 3 + 1;
    valid
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance, with `_` and `-` taken as equal.
fn distance(a: &str, b: &str) -> usize {
    let normal = |text: &str| text.chars().map(|c| if c == '_' { '-' } else { c }).collect::<Vec<_>>();
    let (a, b) = (normal(a), normal(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text, "r.toml").expect_err("must be refused").to_string()
    }

    #[test]
    fn unknown_keys_are_refused_with_line_and_nearest_key() {
        let text = "recipe = 1\n[product]\nname = \"x\"\nversoin = \"1.0.0\"\n";
        assert_eq!(error(text), "r.toml:4:1: unknown key \"versoin\"; did you mean \"version\"?");
    }

    #[test]
    fn unknown_keys_without_a_near_one_list_what_is_valid() {
        let message = error("recipe = 1\n[keys]\nzzzzzz = 1\n");
        assert_eq!(message, "r.toml:3:1: unknown key \"zzzzzz\"; valid keys here: directory, allow-development");
    }

    #[test]
    fn wrong_types_are_refused_with_their_place() {
        assert!(error("recipe = \"one\"\n").starts_with("r.toml:1:10: "), "{}", error("recipe = \"one\"\n"));
    }

    #[test]
    fn underscores_count_as_dashes() {
        assert_eq!(nearest("base_slot", &["base-slot", "site-slot"]), Some("base-slot"));
        assert_eq!(nearest("entirely-else", &["base-slot"]), None);
    }
}
