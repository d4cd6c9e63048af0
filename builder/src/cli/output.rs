//! What a verb prints, to a standard output that may be full, closed, or a pager the reader has left.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use builder::{Error, Result};

/// Prints a text that brings its own line breaks. A reader who has seen enough and closed the pipe is no error.
pub fn text(text: impl Display) -> Result<()> {
    let mut output = std::io::stdout().lock();
    match write!(output, "{text}").and_then(|()| output.flush()) {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => Err(Error::io("write", "standard output")(cause)),
        _ => Ok(()),
    }
}

/// Prints one line or one JSON document.
pub fn line(line: impl Display) -> Result<()> {
    text(format_args!("{line}\n"))
}

/// Tells people something on standard error; when nobody listens, nothing is lost that a result depends on.
pub fn note(line: impl Display) {
    drop(writeln!(std::io::stderr(), "bulkhead: {line}"));
}
