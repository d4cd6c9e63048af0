//! The keeper's answers as pages read them: JSON of which every part may be missing, because a disk may not be readable and an appliance may
//! have no site. What is missing reads as nothing.

use formats::manifest::Date;
use formats::window::local;
use serde_json::Value;

/// A part of an answer.
#[derive(Debug, Clone, Copy)]
pub struct View<'a>(&'a Value);

impl<'a> View<'a> {
    /// All of an answer.
    pub const fn of(value: &'a Value) -> Self {
        Self(value)
    }

    /// A part of it, by its path (RFC 6901).
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        Self(self.0.pointer(path).unwrap_or(&Value::Null))
    }

    /// Whether there is something.
    pub fn there(self) -> bool {
        !self.0.is_null()
    }

    /// A text, a number, or nothing, as text.
    pub fn text(self) -> String {
        match self.0 {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        }
    }

    /// A text that is there.
    pub fn some(self) -> Option<String> {
        Some(self.text()).filter(|text| !text.is_empty())
    }

    /// Whether it is `true`.
    pub fn yes(self) -> bool {
        self.0.as_bool().unwrap_or_default()
    }

    /// A number of 0 or more.
    pub fn number(self) -> u64 {
        self.0.as_u64().unwrap_or_default()
    }

    /// The parts of a list.
    pub fn list(self) -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator {
        self.0.as_array().map(Vec::as_slice).unwrap_or_default().iter().map(Self)
    }

    /// The names in an object and what stands there.
    pub fn fields(self) -> impl Iterator<Item = (&'a str, Self)> {
        self.0.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), Self(value)))
    }

    /// Bytes in the unit people read.
    pub fn size(self) -> String {
        formats::Bytes(self.number()).to_string()
    }

    /// Seconds since 1970 as day and time of day, UTC; nothing when it is nothing.
    pub fn time(self) -> String {
        self.0.as_i64().map(|unix| local(unix, 0)).unwrap_or_default()
    }

    /// The same as a day only.
    pub fn day(self) -> String {
        self.0.as_i64().map(Date::shown).unwrap_or_default()
    }

    /// `name version` of a release.
    pub fn release(self) -> Option<String> {
        Some(format!("{} {}", self.at("/name").some()?, self.at("/version").text()))
    }
}
