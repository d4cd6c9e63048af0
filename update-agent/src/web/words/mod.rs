//! Every word of the console in each language. A word that is missing in one does not compile.
//!
//! What the agent itself says - why a package is blocked, what a job did - is English in every language, and marked as such for screen
//! readers.

/// Makes a `Words` of what is listed, `of`, which gives those of a language, and for tests the pairs.
macro_rules! words {
    ($($name:ident: $english:literal, $german:literal;)*) => {
        /// The words of one language.
        #[derive(Debug)]
        #[expect(missing_docs, reason = "each is its own English")]
        pub struct Words {
            $(pub $name: &'static str,)*
        }

        /// The words of a language.
        pub const fn of(language: $crate::web::words::Language) -> &'static Words {
            match language {
                $crate::web::words::Language::English => &ENGLISH,
                $crate::web::words::Language::German => &GERMAN,
            }
        }

        static ENGLISH: Words = Words { $($name: $english,)* };
        static GERMAN: Words = Words { $($name: $german,)* };
        #[cfg(test)]
        pub(super) const PAIRS: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $german),)*];
    };
}

pub mod backups;
pub mod certificates;
pub mod confirm;
mod general;
pub mod install;
pub mod jobs;
pub mod mail;
pub mod report;
pub mod support;
pub mod upload;

pub use general::Words;

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// German.
    German,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// Its tag (RFC 5646).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// What it calls itself.
    pub const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::German => "Deutsch",
        }
    }

    /// The one with this tag.
    pub fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag() == tag)
    }

    /// What is said on several pages, or on those that need few words. A page with many has them in a file of its own here.
    pub const fn words(self) -> &'static Words {
        general::of(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of every file.
    fn pairs() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        [
            general::PAIRS,
            backups::PAIRS,
            certificates::PAIRS,
            confirm::PAIRS,
            install::PAIRS,
            jobs::PAIRS,
            mail::PAIRS,
            report::PAIRS,
            support::PAIRS,
            upload::PAIRS,
        ]
        .into_iter()
        .flatten()
        .copied()
    }

    #[test]
    fn every_language_has_every_word_and_they_are_not_all_the_same() {
        let mut same = Vec::new();
        for (name, english, german) in pairs() {
            assert!(!english.trim().is_empty() && !german.trim().is_empty(), "{name}");
            for end in ['.', '?', ':'] {
                assert_eq!(english.ends_with(end), german.ends_with(end), "{name}");
            }
            if english == german {
                same.push(name);
            }
        }
        assert!(same.len() < pairs().count() / 8, "not translated: {same:?}");
    }

    #[test]
    fn a_language_is_found_by_its_tag() {
        for language in Language::ALL {
            assert_eq!(Language::of_tag(language.tag()), Some(language));
            assert!(!language.name().is_empty());
        }
        assert_eq!(Language::of_tag("fr"), None);
        assert!(Language::German.words().sign_in != Language::English.words().sign_in);
    }
}
