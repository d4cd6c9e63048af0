//! The content: chunks of 64 KiB, each authenticated with its number and whether it is the last (the construction "STREAM").

use std::io::{self, Read, Write};

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use zeroize::Zeroizing;

use super::{Result, WHAT, key, refused};
use crate::Error as FormatError;
use crate::error::Damage;

/// Encrypts what is written to it.
pub struct Sealed<W> {
    to: W,
    key: Zeroizing<[u8; 32]>,
    counter: u64,
    chunk: Vec<u8>,
}

/// Decrypts what is read from it. An end that is reported is the end that was written.
pub struct Opened<R> {
    from: R,
    key: Zeroizing<[u8; 32]>,
    counter: u64,
    /// Decrypted, and how much of it was given away.
    chunk: Vec<u8>,
    given: usize,
    /// The first byte of the next chunk, without which nobody knows whether there is one.
    ahead: Option<u8>,
    ended: bool,
}

impl<W: Write> Sealed<W> {
    pub(super) const fn new(to: W, key: Zeroizing<[u8; 32]>) -> Self {
        Self { to, key, counter: 0, chunk: Vec::new() }
    }

    /// Writes the last chunk, without which the file counts as cut off. What it was written to.
    pub fn finish(mut self) -> Result<W> {
        self.seal(true)?;
        Ok(self.to)
    }

    fn seal(&mut self, last: bool) -> Result<()> {
        let nonce = nonce(self.counter, last);
        cipher(&self.key)?.seal_in_place_append_tag(nonce, Aad::empty(), &mut self.chunk).map_err(|_| refused())?;
        self.to.write_all(&self.chunk)?;
        self.chunk.clear();
        self.counter = self.counter.checked_add(1).ok_or_else(refused)?;
        Ok(())
    }
}

impl<W: Write> Write for Sealed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits until there is more: only then it is not the last.
        if self.chunk.len() == CHUNK && !bytes.is_empty() {
            self.seal(false).map_err(io::Error::other)?;
        }
        let taken = bytes.len().min(CHUNK.saturating_sub(self.chunk.len()));
        self.chunk.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<R: Read> Opened<R> {
    pub(super) const fn new(from: R, key: Zeroizing<[u8; 32]>) -> Self {
        Self { from, key, counter: 0, chunk: Vec::new(), given: 0, ahead: None, ended: false }
    }

    fn next(&mut self) -> Result<()> {
        let mut sealed: Vec<u8> = self.ahead.take().into_iter().collect();
        let missing = SEALED.saturating_sub(sealed.len());
        self.from.by_ref().take(u64::try_from(missing).unwrap_or(0)).read_to_end(&mut sealed)?;
        if sealed.len() == SEALED {
            let mut one = Vec::new();
            self.from.by_ref().take(1).read_to_end(&mut one)?;
            self.ahead = one.pop();
        }
        let last = self.ahead.is_none();
        let opened = cipher(&self.key)?.open_in_place(nonce(self.counter, last), Aad::empty(), &mut sealed);
        let length = opened.map(|plain| plain.len()).map_err(|_| self.damage(last))?;
        sealed.truncate(length);
        // An empty chunk at the end of others: the same content, written in two ways.
        if length == 0 && self.counter > 0 {
            return Err(FormatError::damaged(WHAT, Damage::TrailingData, "it has an empty last chunk").into());
        }
        (self.chunk, self.given, self.ended) = (sealed, 0, last);
        self.counter = self.counter.checked_add(1).ok_or_else(refused)?;
        Ok(())
    }

    fn damage(&self, last: bool) -> FormatError {
        let at = self.counter.saturating_mul(u64::try_from(CHUNK).unwrap_or(0));
        if last {
            let problem = format!("it is cut off or damaged behind byte {at} of its content");
            return FormatError::damaged(WHAT, Damage::Truncated, problem);
        }
        FormatError::damaged(
            WHAT,
            Damage::DigestMismatch,
            format!("its content is damaged at byte {at} or soon behind"),
        )
    }
}

impl<R: Read> Read for Opened<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while self.given == self.chunk.len() {
            if self.ended {
                return Ok(0);
            }
            self.next().map_err(|error| match error {
                super::Error::Io(error) => error,
                other => io::Error::new(io::ErrorKind::InvalidData, other),
            })?;
        }
        let rest = self.chunk.get(self.given..).unwrap_or_default();
        let count = rest.len().min(into.len());
        for (to, from) in into.iter_mut().zip(rest) {
            *to = *from;
        }
        self.given = self.given.saturating_add(count);
        Ok(count)
    }
}

fn cipher(key: &Zeroizing<[u8; 32]>) -> Result<LessSafeKey> {
    key::cipher(key)
}

/// Eleven bytes of number, one that says whether it is the last.
fn nonce(counter: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    for (to, from) in bytes.iter_mut().skip(3).zip(counter.to_be_bytes()) {
        *to = from;
    }
    if let Some(flag) = bytes.last_mut() {
        *flag = u8::from(last);
    }
    Nonce::assume_unique_for_key(bytes)
}

const CHUNK: usize = 64 << 10;
/// A chunk and its tag.
const SEALED: usize = CHUNK + 16;
