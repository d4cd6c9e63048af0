//! The archive: its bytes follow from its table of contents, so reading it is comparing.
//!
//! Known attacks and our defence: names that lead out, links, devices, repeated members (only what the table names may come, in its order,
//! and the table is checked first); endless data (the table has a limit, and each member the length the table says); other content than
//! the table says (SHA-256); something hidden in paddings or behind the end (compared with zeros).

use std::io::{Read, Write};

use super::contents::check_path;
use super::{CONTENTS, Contents, File, MAX_CONTENTS, Result, WHAT};
use crate::digest::Hasher;
use crate::error::Damage;
use crate::package::ustar;
use crate::{Bytes, Error};

/// Takes the files of a backup one after the other.
pub trait Sink {
    /// The next file begins.
    fn begin(&mut self, file: &File) -> std::io::Result<()>;
    /// The next piece of it.
    fn piece(&mut self, bytes: &[u8]) -> std::io::Result<()>;
    /// It is complete, and is what the table says.
    fn end(&mut self) -> std::io::Result<()>;
}

/// An archive whose table of contents was read.
pub struct Reader<R> {
    input: R,
    contents: Contents,
}

impl<R: Read> Reader<R> {
    /// Reads the table.
    pub fn open(mut input: R) -> Result<Self> {
        let block = block(&mut input)?;
        let (name, size) = ustar::parse(&block).map_err(ours)?;
        if name != CONTENTS {
            return Err(
                Error::damaged(WHAT, Damage::WrongMember, format!("it does not begin with \"{CONTENTS}\"")).into()
            );
        }
        if usize::try_from(size.0).map_or(true, |size| size > MAX_CONTENTS) {
            let problem = format!("its table of contents has {} bytes; at most {MAX_CONTENTS} are allowed", size.0);
            return Err(Error::damaged(WHAT, Damage::TooLong, problem).into());
        }
        // Grows with what arrives.
        let mut bytes = Vec::new();
        input.by_ref().take(size.0).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) != size.0 {
            return Err(cut_off().into());
        }
        zeros(&mut input, ustar::padding(size))?;
        Ok(Self { input, contents: Contents::parse(&bytes)? })
    }

    /// What it says about itself.
    pub const fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Reads everything else to the very end. Nothing that went into the sink counts before this returns.
    pub fn files(mut self, sink: &mut dyn Sink) -> Result<Contents> {
        let mut buffer = vec![0; PIECE];
        for file in &self.contents.files {
            expect(&mut self.input, &header(&file.path, Bytes(file.bytes))?, &file.path)?;
            sink.begin(file)?;
            let (mut left, mut hasher) = (file.bytes, Hasher::default());
            while left > 0 {
                let wanted = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                let piece = buffer.get_mut(..wanted).unwrap_or_default();
                self.input.read_exact(piece).map_err(ended)?;
                hasher.update(piece);
                sink.piece(piece)?;
                left = left.saturating_sub(u64::try_from(wanted).unwrap_or(0));
            }
            if hasher.finish() != file.sha256 {
                let problem = format!("\"{}\" is not what its table of contents says", crate::json::shown(&file.path));
                return Err(Error::damaged(WHAT, Damage::DigestMismatch, problem).into());
            }
            sink.end()?;
            zeros(&mut self.input, ustar::padding(Bytes(file.bytes)))?;
        }
        expect(&mut self.input, &ustar::TRAILER, "its end")?;
        // Asks for the byte that must not be there: behind it the reader below knows whether this is the end that was written.
        if self.input.by_ref().take(1).read_to_end(&mut Vec::new())? > 0 {
            return Err(Error::damaged(WHAT, Damage::TrailingData, "something follows its end").into());
        }
        Ok(self.contents)
    }
}

/// Writes an archive. `open` gives the content of each file, which has to be what the table says.
///
/// # Errors
/// `Corrupt` with [`Damage::DigestMismatch`] when a file is another one by now; what was written is no backup then.
pub fn write<W: Write, R: Read>(
    mut to: W,
    contents: &Contents,
    mut open: impl FnMut(&File) -> std::io::Result<R>,
    mut progress: impl FnMut(u64),
) -> Result<W> {
    let table = contents.encode()?;
    let size = Bytes(u64::try_from(table.len()).unwrap_or(u64::MAX));
    to.write_all(&ustar::encode(CONTENTS, size)?)?;
    to.write_all(&table)?;
    pad(&mut to, size)?;
    let (mut buffer, mut done) = (vec![0; PIECE], 0_u64);
    for file in &contents.files {
        to.write_all(&header(&file.path, Bytes(file.bytes))?)?;
        let changed = || {
            Error::damaged(
                WHAT,
                Damage::DigestMismatch,
                format!("\"{}\" changed while it was read", crate::json::shown(&file.path)),
            )
        };
        // One byte more than there should be is enough to notice.
        let mut from = open(file)?.take(file.bytes.saturating_add(1));
        let (mut left, mut hasher) = (file.bytes, Hasher::default());
        loop {
            let read = from.read(&mut buffer)?;
            let piece = buffer.get(..read).unwrap_or_default();
            let length = u64::try_from(read).unwrap_or(u64::MAX);
            if read == 0 {
                break;
            }
            left = left.checked_sub(length).ok_or_else(changed)?;
            hasher.update(piece);
            to.write_all(piece)?;
            done = done.saturating_add(length);
            progress(done);
        }
        if left > 0 || hasher.finish() != file.sha256 {
            return Err(changed().into());
        }
        pad(&mut to, Bytes(file.bytes))?;
    }
    to.write_all(&ustar::TRAILER)?;
    Ok(to)
}

/// What stands before the content of a file: names that do not fit a header, or are not ASCII, stand in a pax header before it.
fn header(path: &str, size: Bytes) -> crate::Result<Vec<u8>> {
    check_path(path).map_err(|problem| Error::invalid(WHAT, problem))?;
    if path.len() <= ustar::MAX_NAME && path.is_ascii() {
        return Ok(ustar::encode(path, size)?.to_vec());
    }
    let record = pax_record(path);
    let length = Bytes(u64::try_from(record.len()).unwrap_or(u64::MAX));
    let mut bytes = ustar::encode_as(PAX, PAX_NAME, length)?.to_vec();
    bytes.extend_from_slice(&record);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes.extend(ustar::encode(LONG_NAME, size)?);
    Ok(bytes)
}

/// `LENGTH path=NAME`, where the length counts all of it.
fn pax_record(path: &str) -> Vec<u8> {
    let rest = format!(" path={path}\n");
    let with = |digits: usize| rest.len().saturating_add(digits);
    let digits = (1..=4).find(|digits| with(*digits).to_string().len() == *digits).unwrap_or(4);
    format!("{}{rest}", with(digits)).into_bytes()
}

fn expect(input: &mut impl Read, expected: &[u8], what: &str) -> Result<()> {
    let mut found = vec![0; expected.len()];
    input.read_exact(&mut found).map_err(ended)?;
    if found == expected {
        return Ok(());
    }
    let problem = format!("something else stands where \"{}\" must", crate::json::shown(what));
    Err(Error::damaged(WHAT, Damage::WrongMember, problem).into())
}

fn zeros(input: &mut impl Read, length: Bytes) -> Result<()> {
    let mut rest = Vec::new();
    input.take(length.0).read_to_end(&mut rest)?;
    if u64::try_from(rest.len()).unwrap_or(u64::MAX) != length.0 {
        return Err(cut_off().into());
    }
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Error::damaged(WHAT, Damage::TrailingData, "something is hidden behind a member").into());
    }
    Ok(())
}

fn pad(to: &mut impl Write, size: Bytes) -> Result<()> {
    let zeros = [0; BLOCK];
    let length = usize::try_from(ustar::padding(size).0).unwrap_or(0);
    Ok(to.write_all(zeros.get(..length).unwrap_or_default())?)
}

fn block(input: &mut impl Read) -> Result<ustar::Block> {
    let mut block = [0; BLOCK];
    input.read_exact(&mut block).map_err(ended)?;
    Ok(block)
}

fn ended(error: std::io::Error) -> super::Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => cut_off().into(),
        _ => error.into(),
    }
}

fn cut_off() -> Error {
    Error::damaged(WHAT, Damage::Truncated, "it ends too early")
}

/// Trouble with a header, told of the backup.
fn ours(error: Error) -> Error {
    match error {
        Error::Corrupt { why, problem, .. } => Error::damaged(WHAT, why, problem),
        other => other,
    }
}

const PAX: u8 = b'x';
const PAX_NAME: &str = "PaxHeader";
/// What programs that do not read pax headers see.
const LONG_NAME: &str = "long-name";
const BLOCK: usize = 512;
const PIECE: usize = 64 << 10;
