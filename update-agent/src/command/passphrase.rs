//! Passphrases for commands: from a file, from standard input, or typed on a terminal that does not show them; never as an argument, which
//! every process of the machine could read.

use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::error::{Doing, Error, Result};
use crate::secret::Secret;

/// Where a passphrase comes from.
#[derive(Debug, Clone, clap::Args)]
pub struct Source {
    /// File whose first line is the passphrase, "-" for standard input;
    /// by default it is asked for on a terminal
    #[arg(long, value_name = "FILE|-")]
    passphrase_file: Option<PathBuf>,
}

impl Source {
    /// The one in the file that was named, if one was.
    pub fn named(&self) -> Result<Option<Secret>> {
        let Some(path) = &self.passphrase_file else { return Ok(None) };
        let doing = || format!("read the passphrase from \"{}\"", path.display());
        let mut text = Zeroizing::new(String::new());
        let limit = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(2);
        if path == Path::new("-") {
            io::stdin().take(limit).read_to_string(&mut text).doing(doing)?;
        } else {
            File::open(path).doing(doing)?.take(limit).read_to_string(&mut text).doing(doing)?;
        }
        one_line(&text).map(Some)
    }

    /// The same, or one that is typed; nothing without a terminal.
    pub fn asked(&self, prompt: &str) -> Result<Option<Secret>> {
        match self.named()? {
            None if io::stdin().is_terminal() => typed(prompt).map(Some),
            named => Ok(named),
        }
    }

    /// For something new: what is typed is typed twice.
    pub fn new_one(&self) -> Result<Option<Secret>> {
        if let Some(named) = self.named()? {
            return if named.reveal().is_empty() { Err(empty()) } else { Ok(Some(named)) };
        }
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let first = typed("New passphrase: ")?;
        if first.reveal().is_empty() {
            return Err(empty());
        }
        if typed("The same again: ")? != first {
            return Err(Error::Usage("the two passphrases differ; nothing was done".into()));
        }
        Ok(Some(first))
    }
}

fn one_line(text: &str) -> Result<Secret> {
    let line = text.lines().next().unwrap_or_default();
    if line.len() > LONGEST {
        return Err(Error::Usage(format!("a passphrase has at most {LONGEST} bytes")));
    }
    Ok(Secret::new(line.to_owned()))
}

fn empty() -> Error {
    Error::Usage("an empty passphrase protects nothing".into())
}

/// Reads one line while the terminal shows nothing of it.
pub fn typed(prompt: &str) -> Result<Secret> {
    let doing = || "read the passphrase from the terminal".to_owned();
    let terminal = io::stdin();
    let shown = tcgetattr(&terminal).doing(doing)?;
    let mut hidden = shown.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    hidden.local_flags.insert(LocalFlags::ECHONL);
    eprint!("{prompt}");
    io::stderr().flush().doing(doing)?;
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &hidden).doing(doing)?;
    let mut line = Zeroizing::new(String::new());
    let read = terminal.lock().read_line(&mut line);
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &shown).doing(doing)?;
    read.doing(doing)?;
    one_line(&line)
}

/// Bytes of a passphrase.
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_file_is_the_passphrase_with_its_spaces() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passphrase");
        let source = Source { passphrase_file: Some(file.clone()) };
        std::fs::write(&file, " ein schöner Satz \r\nnot this\n").unwrap();
        assert_eq!(source.named().unwrap().unwrap().reveal(), " ein schöner Satz ");
        std::fs::write(&file, "\n").unwrap();
        assert_eq!(source.new_one().unwrap_err().code(), "usage");
        std::fs::write(&file, "x".repeat(1025)).unwrap();
        assert_eq!(source.named().unwrap_err().code(), "usage");
        assert!(Source { passphrase_file: None }.named().unwrap().is_none());
    }
}
