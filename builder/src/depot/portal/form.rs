//! What a browser sends when a form is sent: `application/x-www-form-urlencoded`.

use super::super::serve::percent_decoded;

/// The fields of both forms.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    /// The download key as it was pasted.
    pub(super) key: String,
    /// The package to come to; empty: the newest.
    pub(super) to: String,
}

impl Form {
    /// Reads a form. Nothing when it is none, has no key, or has a field twice; fields that are not known are ignored.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut key, mut to) = (None, None);
        for pair in std::str::from_utf8(bytes).ok()?.split('&') {
            let (name, value) = pair.split_once('=')?;
            let field = match name {
                "key" => &mut key,
                "to" => &mut to,
                _ => continue,
            };
            if field.replace(percent_decoded(&value.replace('+', " "))?).is_some() {
                return None;
            }
        }
        Some(Self { key: key?, to: to.unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_browsers_send_it() {
        let form = |text: &str| Form::parse(text.as_bytes());
        let read = form("key=BKDK1-00%0D%0A+00&to=base%2Fa-1.0.0%2Bb&more=1").unwrap();
        assert_eq!((read.key.as_str(), read.to.as_str()), ("BKDK1-00\r\n 00", "base/a-1.0.0+b"));
        assert_eq!(form("key=").unwrap(), Form::default());
        for bad in ["", "key", "to=x", "key=a&key=b", "key=%", "key=%ff", "key=a&"] {
            assert_eq!(form(bad), None, "{bad}");
        }
        assert_eq!(Form::parse(b"key=\xff"), None);
    }
}
