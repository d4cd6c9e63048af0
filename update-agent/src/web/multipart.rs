//! Forms with files (multipart/form-data, RFC 7578), taken apart while they arrive, in constant memory.
//!
//! Known attacks and our defence: a boundary that never comes (what is held back is never longer than a delimiter or a head), a head
//! without end, parts without end (limits), a name that hides another one (one disposition in a head, each parameter once), a path as a
//! file's name (it is for people only, never part of a path), text where a boundary has to be (refused, nothing is guessed).

use super::form::Form;

/// A form that arrives.
#[derive(Debug)]
pub struct Multipart {
    /// What separates parts, with the line end before it.
    delimiter: Vec<u8>,
    /// What arrived and was not given out.
    held: Vec<u8>,
    state: State,
    parts: usize,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first delimiter.
    Start,
    /// What follows a delimiter: another part, or nothing any more.
    Delimiter,
    Head,
    Body,
    End,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A part begins.
    Part {
        /// Of the field.
        name: String,
        /// What the sender calls the file, for people only; nothing for an ordinary field.
        file: Option<String>,
    },
    /// Content of it, never longer than what was fed and held.
    Bytes(Vec<u8>),
    /// It is complete.
    PartEnd,
    /// All of it is.
    End,
}

/// Why a form is refused, for people.
pub type Why = &'static str;

impl Multipart {
    /// From the header that says what the body is.
    ///
    /// # Errors
    /// When it is no such form.
    pub fn of(content_type: &str) -> Result<Self, Why> {
        let (kind, rest) = content_type.split_once(';').unwrap_or((content_type, ""));
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Err("a file is sent as multipart/form-data");
        }
        let boundary = parameters(rest)?.into_iter().find(|(key, _)| key == "boundary").map(|(_, value)| value);
        let boundary = boundary.ok_or("a form with a file names its boundary")?;
        let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if boundary.is_empty() || boundary.len() > BOUNDARY || !boundary.bytes().all(printable) {
            return Err("the boundary of a form has 1 to 70 printable characters");
        }
        // The first delimiter has no line before it; with this one all are the same.
        let (held, delimiter) = (b"\r\n".to_vec(), format!("\r\n--{boundary}").into_bytes());
        Ok(Self { delimiter, held, state: State::Start, parts: 0 })
    }

    /// Takes what arrived. Ask for [`Multipart::next`] until it wants more before there is more.
    ///
    /// # Errors
    /// When something follows the end.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Why> {
        self.held.extend_from_slice(bytes);
        // Browsers end the last line, and nothing else follows it.
        if self.state == State::End && !b"\r\n".starts_with(self.held.as_slice()) {
            return Err("something follows the end of the form");
        }
        Ok(())
    }

    /// What is found next; nothing: more has to be fed.
    ///
    /// # Errors
    /// When it breaks a rule or a limit.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not fail, and ends at its first nothing")]
    pub fn next(&mut self) -> Result<Option<Event>, Why> {
        loop {
            match self.state {
                State::Start => {
                    let Some(head) = self.held.get(..self.delimiter.len()) else { return Ok(None) };
                    if head != self.delimiter {
                        return Err("a form does not begin with its boundary");
                    }
                    self.take(self.delimiter.len());
                    self.state = State::Delimiter;
                }
                State::Delimiter => match self.held.get(..2) {
                    None => return Ok(None),
                    Some(b"\r\n") => {
                        self.take(2);
                        self.state = State::Head;
                    }
                    Some(b"--") => {
                        self.take(2);
                        self.state = State::End;
                        self.feed(b"")?;
                        return Ok(Some(Event::End));
                    }
                    Some(_) => return Err("a boundary is followed by neither a part nor an end"),
                },
                State::Head => return self.head(),
                State::Body => return Ok(self.body()),
                State::End => return Ok(None),
            }
        }
    }

    /// Nothing more arrives.
    ///
    /// # Errors
    /// When the end did not come: the connection was cut.
    pub fn finish(&self) -> Result<(), Why> {
        if self.state == State::End { Ok(()) } else { Err("the form ends too early") }
    }

    fn head(&mut self) -> Result<Option<Event>, Why> {
        let Some(end) = self.held.windows(4).take(HEAD).position(|four| four == b"\r\n\r\n") else {
            return if self.held.len() > HEAD { Err("the head of a part is too long") } else { Ok(None) };
        };
        let head = self.take(end.saturating_add(4));
        let head = String::from_utf8(head.into_iter().take(end).collect());
        let (name, file) = disposition(&head.map_err(|_| "the head of a part is no text")?)?;
        self.parts = self.parts.saturating_add(1);
        if self.parts > PARTS {
            return Err("a form of more than 64 fields");
        }
        self.state = State::Body;
        Ok(Some(Event::Part { name, file }))
    }

    fn body(&mut self) -> Option<Event> {
        let clear = self.clear();
        if clear > 0 {
            return Some(Event::Bytes(self.take(clear)));
        }
        if self.held.starts_with(&self.delimiter) {
            self.take(self.delimiter.len());
            self.state = State::Delimiter;
            return Some(Event::PartEnd);
        }
        None
    }

    /// How much of what is held is content for sure: up to what is a delimiter, or may become one.
    fn clear(&self) -> usize {
        let mut from = 0_usize;
        while let Some(rest) = self.held.get(from..) {
            let Some(at) = rest.iter().position(|byte| *byte == b'\r') else { break };
            let candidate = rest.get(at..).unwrap_or_default();
            if candidate.starts_with(&self.delimiter) || self.delimiter.starts_with(candidate) {
                return from.saturating_add(at);
            }
            from = from.saturating_add(at).saturating_add(1);
        }
        self.held.len()
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.held.split_off(count.min(self.held.len()));
        std::mem::replace(&mut self.held, rest)
    }
}

/// A file of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The name of its field.
    pub field: String,
    /// What the sender calls it, for people only.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// A form that is in memory already: its fields and its files.
///
/// # Errors
/// When it breaks a rule or a limit.
pub fn whole(content_type: &str, body: &[u8]) -> Result<(Form, Vec<File>), Why> {
    let mut parser = Multipart::of(content_type)?;
    let (mut fields, mut files) = (Vec::new(), Vec::new());
    let mut part = (String::new(), None, Vec::new());
    parser.feed(body)?;
    while let Some(event) = parser.next()? {
        match event {
            Event::Part { name, file } => part = (name, file, Vec::new()),
            Event::Bytes(mut bytes) => part.2.append(&mut bytes),
            Event::PartEnd => match std::mem::take(&mut part) {
                (field, Some(name), bytes) => files.push(File { field, name, bytes }),
                (field, None, bytes) => fields.push((field, String::from_utf8_lossy(&bytes).into_owned())),
            },
            Event::End => break,
        }
    }
    parser.finish()?;
    Ok((Form::of(fields), files))
}

/// Name and file name from the head of a part.
fn disposition(head: &str) -> Result<(String, Option<String>), Why> {
    let mut found = None;
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        let (key, value) = line.split_once(':').ok_or("a line in the head of a part has no name")?;
        if key.eq_ignore_ascii_case("content-disposition") && found.replace(value).is_some() {
            return Err("a part says twice what it is");
        }
    }
    let (kind, rest) = found.and_then(|value| value.split_once(';')).ok_or("a part does not say what it is")?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err("a part is no field of a form");
    }
    let (mut name, mut file) = (None, None);
    for (key, value) in parameters(rest)? {
        let place = match key.as_str() {
            "name" => &mut name,
            "filename" => &mut file,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err("a part is named twice");
        }
    }
    let name =
        name.filter(|name| !name.is_empty() && name.len() <= NAME).ok_or("a part has no name of 1 to 64 bytes")?;
    let shown = |file: String| file.chars().filter(|c| !c.is_control()).take(FILE_NAME).collect();
    Ok((name, file.map(shown)))
}

/// `; key=value; key="value"` without what is around the values. A quote in a value comes as `%22` from browsers, and stays so.
fn parameters(mut rest: &str) -> Result<Vec<(String, String)>, Why> {
    let mut all = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        if rest.is_empty() {
            return Ok(all);
        }
        let (key, value) = rest.split_once('=').ok_or("a parameter has no value")?;
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quote is not closed")?,
            None => value.split_at(value.find([';', ' ']).unwrap_or(value.len())),
        };
        if !behind.trim_start().is_empty() && !behind.trim_start().starts_with(';') {
            return Err("something follows the value of a parameter");
        }
        all.push((key.trim().to_ascii_lowercase(), value.to_owned()));
        rest = behind;
    }
}

/// Longest boundary (RFC 2046).
const BOUNDARY: usize = 70;
/// Longest head of a part.
const HEAD: usize = 2048;
/// Parts of a form.
const PARTS: usize = 64;
/// Longest name of a field in bytes.
const NAME: usize = 64;
/// Characters that are kept of the name of a file.
const FILE_NAME: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=----x1";
    const FORM: &str = "------x1\r\nContent-Disposition: form-data; name=\"proof\"\r\n\r\nabc\r\n------x1\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"C:\\a;\tb.pkg\"\r\nContent-Type: application/octet-stream\r\n\r\n\
        one\r\n------x2\r\n\r\r\n--\r\n------x1--\r\n";

    type Part = (String, Option<String>, Vec<u8>);

    /// What is found when so much at a time arrives: parts as name and file, and their content.
    fn taken(form: &[u8], piece: usize) -> Result<Vec<Part>, Why> {
        let mut parser = Multipart::of(TYPE)?;
        let mut parts: Vec<Part> = Vec::new();
        for bytes in form.chunks(piece) {
            parser.feed(bytes)?;
            while let Some(event) = parser.next()? {
                match event {
                    Event::Part { name, file } => parts.push((name, file, Vec::new())),
                    Event::Bytes(bytes) => parts.last_mut().unwrap().2.extend(bytes),
                    Event::PartEnd | Event::End => {}
                }
            }
            assert!(parser.held.len() <= HEAD + piece, "{} bytes are held", parser.held.len());
        }
        parser.finish().map(|()| parts)
    }

    #[test]
    fn a_form_is_the_same_in_whatever_pieces_it_arrives() {
        let wanted = [
            ("proof".into(), None, b"abc".to_vec()),
            ("file".into(), Some("C:\\a;b.pkg".into()), b"one\r\n------x2\r\n\r\r\n--".to_vec()),
        ];
        for piece in 1..=FORM.len() {
            assert_eq!(taken(FORM.as_bytes(), piece).as_deref(), Ok(&wanted[..]), "{piece} at a time");
        }
        let (form, files) = whole(TYPE, FORM.as_bytes()).unwrap();
        assert_eq!((form.get("proof"), form.get("file")), (Some("abc"), None));
        assert_eq!((files.len(), files[0].field.as_str(), files[0].bytes.as_slice()), (1, "file", &wanted[1].2[..]));
    }

    #[test]
    fn a_long_file_is_never_held() {
        let mut parser = Multipart::of(TYPE).unwrap();
        parser.feed(b"------x1\r\nContent-Disposition: form-data; name=f; filename=\"\"\r\n\r\n").unwrap();
        let mut sum = 0;
        for _ in 0..1000 {
            parser.feed(&[b'\r'; 4096]).unwrap();
            while let Some(event) = parser.next().unwrap() {
                if let Event::Bytes(bytes) = event {
                    sum += bytes.len();
                }
            }
            assert!(parser.held.len() <= 10, "{}", parser.held.len());
        }
        assert!(sum > 4_095_000, "{sum}");
    }

    #[test]
    fn a_form_that_is_cut_anywhere_is_refused() {
        // Only the line end behind the end may be missing.
        for end in 0..FORM.len() - 2 {
            assert!(taken(&FORM.as_bytes()[..end], 7).is_err(), "cut at {end}");
        }
        for end in FORM.len() - 2..FORM.len() {
            assert!(taken(&FORM.as_bytes()[..end], 7).is_ok(), "cut at {end}");
        }
    }

    #[test]
    fn what_breaks_a_rule_is_refused_with_a_reason() {
        let part = |head: &str| format!("------x1\r\n{head}\r\n\r\nx\r\n------x1--\r\n");
        let long = format!("content-disposition: form-data; name={}", "n".repeat(65));
        let endless = format!("content-disposition: form-data; name=n; x={}", "n".repeat(3000));
        for (form, wanted) in [
            ("preamble\r\n------x1--".into(), "does not begin"),
            ("------x12\r\n".into(), "neither"),
            (format!("{FORM}more"), "follows the end"),
            (format!("{FORM}{FORM}"), "follows the end"),
            (part(""), "does not say"),
            (part("content-type: a/b"), "does not say"),
            (part("no colon"), "no name"),
            (part("content-disposition: attachment; name=a"), "no field"),
            (part("content-disposition: form-data; name=\"\""), "1 to 64"),
            (part(&long), "1 to 64"),
            (part(&endless), "too long"),
            (part("content-disposition: form-data; name=a; name=b"), "named twice"),
            (part("content-disposition: form-data; name=a\r\ncontent-disposition: form-data; name=b"), "says twice"),
            (part("content-disposition: form-data; name=\"a"), "not closed"),
            (part("content-disposition: form-data; name=\"a\"b"), "follows the value"),
            (part("content-disposition: form-data; name"), "no value"),
            (
                format!("------x1{}--", "\r\ncontent-disposition: form-data; name=a\r\n\r\n\r\n------x1".repeat(65)),
                "64 fields",
            ),
        ] {
            for piece in [1, 5, 10_000] {
                let why = taken(form.as_bytes(), piece).unwrap_err();
                assert!(why.contains(wanted), "{why}: {form}");
            }
        }
        for kind in [
            "text/plain",
            "multipart/form-data",
            "multipart/form-data; boundary=\"\"",
            "multipart/form-data; boundary=\u{e4}",
        ] {
            assert!(Multipart::of(kind).is_err(), "{kind}");
        }
        assert!(Multipart::of(&format!("multipart/form-data; boundary={}", "x".repeat(71))).is_err());
        assert!(Multipart::of("Multipart/Form-Data; charset=utf-8; boundary=\"a b\"").is_ok());
    }
}
