//! What must hold for any bytes whatsoever.

use update_agent::certificates::assemble::assemble;
use update_agent::certificates::read::read;
use update_agent::certificates::{Bindings, Entry, Light, finding};
use update_agent::secret::Secret;
use update_agent::support::redact::{self, Counts, Known};
use update_agent::web::form::{Form, cookie, language};
use update_agent::web::multipart::{Event, Multipart, Why, whole};
use update_agent::web::route::{Page, Query};

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

/// Whether a form with files is accepted, the line that says what it is before it. It is the same in whatever pieces it arrives.
pub fn multipart(data: &[u8]) -> bool {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let kind = String::from_utf8_lossy(&data[..end]).into_owned();
    let body = data.get(end + 1..).unwrap_or_default();
    let all = parts(&kind, body, body.len().max(1));
    // An end that is found late is refused late; what is accepted at once is accepted in pieces, and the other way round.
    for piece in [1, 7] {
        assert_eq!(parts(&kind, body, piece).ok(), all.clone().ok());
    }
    assert_eq!(whole(&kind, body).is_ok(), all.is_ok());
    all.is_ok()
}

/// Whether page, session and form are understood: the lines of a cookie, of the languages wanted and of an address before it.
pub fn request(data: &[u8]) -> bool {
    let mut lines = data.splitn(4, |byte| *byte == b'\n');
    let mut line = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (cookies, wanted, address) = (line(), line(), line());
    // A cookie of another name is never taken for ours, and no value reaches into the next cookie.
    if let Some(value) = cookie(&cookies, "__Host-session") {
        assert!(!value.contains(';') && cookies.contains("__Host-session="));
    }
    let _ = language(&wanted);
    let (path, query) = address.split_once('?').unwrap_or((&address, ""));
    let query = Query::parse(query);
    assert_eq!(query.to_text().parse().ok(), query.to, "a way is asked for again as it was understood");
    let known = Page::at(path).is_some() && cookie(&cookies, "__Host-session").is_some();
    Form::parse(lines.next().unwrap_or_default()).is_ok() && known
}

/// Whether secrets of six kinds are found in a text. Whatever it is, no secret that is known stays, and no private key that is whole.
pub fn redact(data: &[u8]) -> bool {
    let known = Known::new(&[Secret::new("hunter2-hunter2".into())]);
    let mut counts = Counts::new();
    let clean = redact::text(data, &known, &mut counts).to_ascii_lowercase();
    let there = |wanted: &[u8]| clean.windows(wanted.len()).any(|window| window == wanted);
    assert!(!there(b"hunter2-hunter2") && !there(b"-----begin private key-----"));
    let text = serde_json::Value::String(String::from_utf8_lossy(data).into_owned());
    assert!(!redact::json(text, &known, &mut Counts::new()).to_string().contains("hunter2-hunter2"));
    counts.len() >= 6
}

type Part = (String, Option<String>, Vec<u8>);

fn parts(kind: &str, body: &[u8], piece: usize) -> Result<Vec<Part>, Why> {
    let mut parser = Multipart::of(kind)?;
    let mut parts: Vec<Part> = Vec::new();
    for bytes in body.chunks(piece) {
        parser.feed(bytes)?;
        while let Some(event) = parser.next()? {
            match event {
                Event::Part { name, file } => {
                    assert!(name.len() <= 64 && !file.iter().any(|file| file.contains(char::is_control)));
                    parts.push((name, file, Vec::new()));
                }
                Event::Bytes(bytes) => parts.last_mut().expect("content belongs to a part").2.extend(bytes),
                Event::PartEnd | Event::End => {}
            }
        }
    }
    parser.finish().map(|()| parts)
}
