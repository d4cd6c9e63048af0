//! What must hold for any bytes whatsoever.

use update_agent::certificates::assemble::assemble;
use update_agent::certificates::read::read;
use update_agent::certificates::{Bindings, Entry, Light, finding};
use update_agent::secret::Secret;

/// Whether a file of certificates is accepted. Whatever is, is kept and read again as the same.
pub fn certificates(data: &[u8]) -> bool {
    let mut accepted = Bindings::parse(data).is_ok() | Entry::parse(data).is_ok();
    for passphrase in [None, Some(Secret::new("secret".into()))] {
        let Ok(found) = read(data, passphrase.as_ref()) else { continue };
        accepted = true;
        let Ok(assembled) = assemble(found) else { continue };
        let entry = assembled.entry;
        let kept = Entry::parse(entry.encode().as_bytes());
        assert!(kept.is_ok_and(|kept| kept == entry));
        let wanted = ["one.example".to_owned(), "192.0.2.10".to_owned()];
        for finding in finding::findings(&entry, &Light { now: 1_800_000_000, clock: None, wanted: &wanted }) {
            assert!(!finding.text.contains(char::is_control));
        }
    }
    accepted
}
