//! A mail server for a guest: it takes every letter and keeps it, and passes none on.
//!
//! As for the depot the emulator starts a program for each connection. What it was sent lies in a folder, a file for each letter, and is
//! there only when the whole letter came and the guest was told so: what is counted is what the sender knows to be taken.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Error, Result};

/// The letters a guest sent.
#[derive(Debug)]
pub struct Mailbox(TempDir);

impl Mailbox {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bulkhead-vm-mail-").tempdir();
        folder.map(Self).map_err(Error::io("create a directory in", std::env::temp_dir()))
    }

    /// What the emulator starts for each connection: `program` is `bulkhead-vm`.
    pub fn command(&self, program: &Path) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        vec![text(program), VERB.to_owned(), text(self.0.path())]
    }

    /// Every letter as a person reads it, the line `RCPT TO:` of each addressee before its headers.
    pub fn letters(&self) -> Result<Vec<String>> {
        let folder = self.0.path();
        let entries = std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == ENDING)).collect();
        paths.sort();
        let read = |path: &PathBuf| std::fs::read(path).map_err(Error::io("read", path));
        paths.iter().map(|path| Ok(readable(&String::from_utf8_lossy(&read(path)?)))).collect()
    }
}

/// The letter with its quoted-printable lines (RFC 2045) put together again.
fn readable(letter: &str) -> String {
    let encoded = letter.contains("Content-Transfer-Encoding: quoted-printable\n");
    let Some((head, body)) = letter.split_once("\n\n").filter(|_| encoded) else { return letter.to_owned() };
    let joined = body.replace("=\n", "");
    let mut parts = joined.split('=');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        match code {
            Some(byte) => bytes.extend([&[byte], &part.as_bytes()[2..]].concat()),
            None => bytes.extend([b"=", part.as_bytes()].concat()),
        }
    }
    format!("{head}\n\n{}", String::from_utf8_lossy(&bytes))
}

/// Speaks SMTP with one client. What fails ends the connection.
pub fn serve(state: &Path, input: impl Read, output: impl Write) {
    drop(converse(state, BufReader::new(input), output));
}

fn converse(state: &Path, mut input: impl BufRead, mut output: impl Write) -> std::io::Result<()> {
    let mut said = |text: &str| output.write_all(format!("{text}\r\n").as_bytes()).and_then(|()| output.flush());
    said("220 scenario")?;
    let mut letter = String::new();
    loop {
        let Some(line) = line(&mut input)? else { return Ok(()) };
        match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "RCPT" => {
                letter.push_str(&line);
                letter.push('\n');
                said("250 ok")?;
            }
            "DATA" => {
                said("354 go on")?;
                loop {
                    // One that breaks off is no letter.
                    let Some(line) = self::line(&mut input)? else { return Ok(()) };
                    if line == "." {
                        break;
                    }
                    // A line that begins with a dot comes with two.
                    letter.push_str(line.strip_prefix('.').unwrap_or(&line));
                    letter.push('\n');
                    if letter.len() > LONGEST {
                        return said("552 too long");
                    }
                }
                keep(state, &std::mem::take(&mut letter))?;
                said("250 kept")?;
            }
            "QUIT" => return said("221 bye"),
            _ => said("250 ok")?,
        }
    }
}

/// Complete before it has its name, and behind all that are there.
fn keep(state: &Path, letter: &str) -> std::io::Result<()> {
    let number = std::fs::read_dir(state)?.count();
    let new = state.join(format!("{number:06}.new"));
    std::fs::write(&new, letter)?;
    std::fs::rename(&new, new.with_extension(ENDING))
}

fn line(input: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if input.take(LONGEST_LINE).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()))
}

/// The subcommand of `bulkhead-vm` that serves a connection.
pub const VERB: &str = "mail-connection";
/// Where the guest finds the server.
pub const ADDRESS: &str = "10.0.2.101:25";
const ENDING: &str = "letter";
const LONGEST: usize = 1 << 20;
const LONGEST_LINE: u64 = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_lines_are_put_together_and_others_left_alone() {
        let head = "Content-Transfer-Encoding: quoted-printable\n\n";
        assert_eq!(
            readable(&format!("{head}a =3D b, upda=\nte =C3=A4\n=\u{fc}")),
            format!("{head}a = b, update \u{e4}\n=\u{fc}")
        );
        assert_eq!(readable("Subject: =3D\n\n=3D=\n"), "Subject: =3D\n\n=3D=\n");
    }

    #[test]
    fn a_letter_is_kept_whole_and_one_that_breaks_off_is_not() {
        let mailbox = Mailbox::new().unwrap();
        let head = "EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nSubject: one\r\n\r\n..dot\r\n";
        let send = |rest: &str| {
            let mut output = Vec::new();
            serve(mailbox.0.path(), format!("{head}{rest}").as_bytes(), &mut output);
            String::from_utf8(output).unwrap()
        };
        assert!(send(".\r\nQUIT\r\n").ends_with("250 kept\r\n221 bye\r\n"));
        assert_eq!(mailbox.letters().unwrap(), ["RCPT TO:<b@x>\nSubject: one\n\n.dot\n"]);
        assert!(send(".\r\nQUIT\r\n").contains("kept"));
        assert_eq!(mailbox.letters().unwrap().len(), 2);
        let broken = send("");
        assert_eq!((broken.contains("kept"), mailbox.letters().unwrap().len()), (false, 2));
    }
}
