//! Fields of a form, cookies, and the choice of language: what browsers send around what they want. Every parser has limits.

use zeroize::Zeroizing;

use super::multipart;
use super::words::Language;

/// The fields of a form, in the order they were sent.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Form {
    fields: Vec<(String, String)>,
    files: Vec<(String, Zeroizing<Vec<u8>>)>,
}

impl Form {
    /// From `name=value&…`, percent-encoded.
    ///
    /// # Errors
    /// When there are more fields than any page has.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let fields: Vec<(String, String)> = form_urlencoded::parse(bytes)
            .take(MAX_FIELDS.saturating_add(1))
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        if fields.len() > MAX_FIELDS {
            Err(format!("a form of more than {MAX_FIELDS} fields"))
        } else {
            Ok(Self { fields, files: Vec::new() })
        }
    }

    /// From fields that were taken apart already.
    pub const fn of(fields: Vec<(String, String)>) -> Self {
        Self { fields, files: Vec::new() }
    }

    /// From a body of this type, which is [`Form::parse`]'s or one with files.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn read(content_type: &str, body: &[u8]) -> Result<Self, String> {
        if !Self::brings_files(content_type) {
            return Self::parse(body);
        }
        let (form, files) = multipart::whole(content_type, body)?;
        let files = files.into_iter().map(|file| (file.field, Zeroizing::new(file.bytes))).collect();
        Ok(Self { files, ..form })
    }

    /// Whether a body of this type has files in it.
    pub fn brings_files(content_type: &str) -> bool {
        content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("multipart/form-data"))
    }

    /// The files that were chosen for a field; a browser sends an empty one when none was.
    pub fn files(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.files
            .iter()
            .filter(move |(field, file)| field == name && !file.is_empty())
            .map(|(_, file)| file.as_slice())
    }

    /// A field as it was sent; nothing when it was not.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// A field without spaces around it; nothing when that is empty.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::trim).filter(|text| !text.is_empty()).map(Into::into)
    }

    /// Whether a box was ticked.
    pub fn ticked(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// The value of a cookie.
pub fn cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').filter_map(|one| one.trim().split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The language a browser wants most of those there are (RFC 9110, 12.5.4).
pub fn language(accept: &str) -> Language {
    let mut best = (Language::English, 0);
    for one in accept.split(',').take(MAX_FIELDS) {
        let mut parts = one.split(';');
        let tag = parts.next().unwrap_or_default().trim();
        let quality = parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(Some(1000), thousandths);
        let language = Language::ALL.into_iter().find(|language| {
            tag.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(language.tag()))
                && tag.get(2..3).is_none_or(|next| next == "-")
        });
        if let (Some(language), Some(quality)) = (language, quality)
            && quality > best.1
        {
            best = (language, quality);
        }
    }
    best.0
}

/// `0.8` as 800.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, rest) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
    let rest: u32 = format!("{rest:0<3}").get(..3)?.parse().ok()?;
    whole
        .parse::<u32>()
        .ok()
        .filter(|whole| *whole <= 1)?
        .checked_mul(1000)?
        .checked_add(rest)
        .filter(|sum| *sum <= 1000)
}

const MAX_FIELDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_out_as_they_were_typed() {
        let form = Form::parse(b"name=anna&note=a+%26+b%0A%C3%A4&empty=+&box=on").unwrap();
        assert_eq!(form.get("note"), Some("a & b\nä"));
        assert_eq!((form.text("empty"), form.text("missing")), (None, None));
        assert!(form.ticked("box") && !form.ticked("other"));
        assert!(Form::parse("a=1&".repeat(65).as_bytes()).is_err());
        assert_eq!(Form::parse(b"%ff=%zz").unwrap().fields.len(), 1, "what is no text becomes some");
    }

    #[test]
    fn cookies_are_told_apart_by_their_whole_name() {
        let header = "lang=de; __Host-session=abc=; xlang=en";
        assert_eq!((cookie(header, "lang"), cookie(header, "__Host-session")), (Some("de"), Some("abc=")));
        assert_eq!((cookie(header, "session"), cookie("", "lang")), (None, None));
    }

    #[test]
    fn the_language_wanted_most_is_taken_and_english_for_all_others() {
        for (accept, wanted) in [
            ("", Language::English),
            ("de", Language::German),
            ("de-AT,en;q=0.5", Language::German),
            ("fr, de;q=0.3, en;q=0.7", Language::English),
            ("en;q=0.3, de;q=0.31", Language::German),
            ("den", Language::English),
            ("de;q=0", Language::English),
            ("de;q=7", Language::English),
            ("ä", Language::English),
        ] {
            assert_eq!(language(accept), wanted, "{accept}");
        }
    }
}
