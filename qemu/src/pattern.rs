//! What a line of the serial console is compared with.

use std::fmt;

use regex_lite::Regex;

use crate::{Error, Result};

/// Words that must all be in one line, in any order; or a regular expression that must be found in one line.
#[derive(Debug, Clone)]
pub struct Pattern(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Words(Vec<String>),
    Regex(Regex),
}

impl Pattern {
    /// A regular expression (the syntax of the `regex` crate, ASCII classes), found anywhere in a line.
    ///
    /// # Errors
    /// [`Error::Input`] when it is none.
    pub fn regex(expression: &str) -> Result<Self> {
        let compiled = Regex::new(expression);
        compiled.map(|regex| Self(Kind::Regex(regex))).map_err(|error| {
            Error::Input(format!("\"{expression}\" is not a regular expression: {}", error.to_string().trim()))
        })
    }

    /// True when the line has it.
    pub fn matches(&self, line: &str) -> bool {
        match &self.0 {
            Kind::Words(words) => !line.is_empty() && words.iter().all(|word| line.contains(word.as_str())),
            Kind::Regex(regex) => !line.is_empty() && regex.is_match(line),
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Words(ours), Kind::Words(theirs)) => ours == theirs,
            (Kind::Regex(ours), Kind::Regex(theirs)) => ours.as_str() == theirs.as_str(),
            _ => false,
        }
    }
}

impl Eq for Pattern {}

impl From<Vec<String>> for Pattern {
    fn from(words: Vec<String>) -> Self {
        Self(Kind::Words(words))
    }
}

impl From<&str> for Pattern {
    fn from(word: &str) -> Self {
        Self::from(vec![word.to_owned()])
    }
}

impl From<&String> for Pattern {
    fn from(word: &String) -> Self {
        Self::from(vec![word.clone()])
    }
}

impl From<&[&str]> for Pattern {
    fn from(words: &[&str]) -> Self {
        Self::from(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }
}

impl<const N: usize> From<[&str; N]> for Pattern {
    fn from(words: [&str; N]) -> Self {
        Self::from(words.as_slice())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Regex(regex) => write!(f, "/{}/", regex.as_str()),
            Kind::Words(words) => {
                for (index, word) in words.iter().enumerate() {
                    write!(f, "{}\"{word}\"", if index == 0 { "" } else { " and " })?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_expressions_are_looked_for_in_one_line() {
        assert!(Pattern::from(["slot=B", "READY"]).matches("READY slot=B"));
        assert!(!Pattern::from(["slot=B", "READY"]).matches("READY slot=A"));
        let expression = Pattern::regex("tries left.*: [0-2]$").unwrap();
        assert!(expression.matches("slot b ok=0, tries left after this one: 2"));
        assert!(!expression.matches("slot b ok=0, tries left after this one: 3"));
        assert_eq!(expression.to_string(), "/tries left.*: [0-2]$/");
    }

    #[test]
    fn refuses_an_expression_that_is_none_with_its_text() {
        let error = Pattern::regex("a(b").unwrap_err().to_string();
        assert!(error.starts_with("\"a(b\" is not a regular expression"), "{error}");
    }
}
