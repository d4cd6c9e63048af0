//! Whatever the bytes are, the parsers of signed structures answer; they never panic, and what they accept they write back.

use formats::footer::{self, FOOTER_SIZE, Footer};
use formats::manifest::Manifest;
use formats::signature::SignatureSet;
use formats::trust::TrustStore;
use formats::verity::Superblock;
use proptest::prelude::*;

/// JSON-like text: real key names and values in a wrong order, which reaches deeper than random bytes do.
fn nearly_json() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "1",
        "-1",
        "null",
        "true",
        "\"\"",
        "\"format\"",
        "\"format\":1,",
        "\"kind\":\"base\",",
        "\"keys\"",
        "\"signatures\"",
        "\"required\":[]",
        "\"image\":{",
        "\"version\":\"1.0.0\",",
        "\"\\u0000\"",
        "1e400",
        "\u{202e}",
        "\\",
    ]);
    prop::collection::vec(words, 0..40).prop_map(|words| words.concat())
}

fn all_parsers(bytes: &[u8]) -> usize {
    let messages = [
        Manifest::parse(bytes).map(drop),
        SignatureSet::parse(bytes).map(drop),
        TrustStore::parse(bytes).map(drop),
        Superblock::parse(bytes).map(drop),
        Footer::parse(bytes).map(drop),
    ];
    let refusals = messages.into_iter().filter_map(Result::err).map(|error| error.to_string());
    refusals.inspect(|text| assert!(!text.chars().any(char::is_control), "{text:?}")).count()
}

proptest! {
    #[test]
    fn random_bytes_are_refused_by_every_parser(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert_eq!(all_parsers(&bytes), 5);
    }

    #[test]
    fn text_that_is_nearly_json_is_refused_by_every_parser(text in nearly_json()) {
        prop_assert_eq!(all_parsers(text.as_bytes()), 5);
    }

    #[test]
    fn any_two_documents_survive_a_footer(manifest in prop::collection::vec(any::<u8>(), 0..3000), signatures in prop::collection::vec(any::<u8>(), 0..3000)) {
        let bytes = footer::encode(&manifest, &signatures).unwrap();
        prop_assert_eq!(bytes.len(), FOOTER_SIZE);
        let footer = Footer::parse(&bytes).unwrap();
        prop_assert!(!footer.to_string().chars().any(|c| c.is_control() && c != '\n'));
        prop_assert_eq!(footer, Footer { manifest, signatures });
    }
}
