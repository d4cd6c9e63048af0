//! Text nobody may read by accident: passphrases and private keys.
//!
//! It is wiped from memory when it is dropped, and shown as nothing but its name wherever values are shown. It travels in JSON, between
//! processes of this program and to those who may have it; what buffers on that way hold of it is not wiped.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A text that is wiped and not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps it.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Whoever asks takes care of it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_travels_as_text_and_is_not_shown() {
        let secret: Secret = serde_json::from_str("\"correct horse\"").unwrap();
        assert_eq!(secret.reveal(), "correct horse");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"correct horse\"");
        assert!(!format!("{secret:?} {:?}", Some(&secret)).contains("horse"));
    }
}
