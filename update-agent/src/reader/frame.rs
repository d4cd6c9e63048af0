//! The frames between the reader of a package and the program that uses it.
//!
//! A frame is one byte that says what it is, its length in four bytes (little-endian), and as many bytes. Each kind has a limit, and
//! which kind may come is known at every moment, so the receiver allocates for nothing it does not want.
//!
//! | order | frame | from | content |
//! |---|---|---|---|
//! | 1 | `Confined` | reader | what could not be given away, one line each; empty when everything was |
//! | 2 | `Manifest`, `Signatures` | reader | the members of the package, as they are |
//! | 3 | `Trust` | receiver | the trust store: manifest and signatures are good, go on |
//! | 4 | `Notes`, `Eula`, `Index` | reader | the other members; an empty `Eula` when there is none |
//! | 5 | `Checked`, … | reader | one more chunk is what was signed; one for each chunk, and one for the end of the package |
//! | 6 | `Piece`, … | reader | the slot image, one chunk after the other |
//! | 7 | `End` | reader | the package ended as it must |
//!
//! In place of any of its frames the reader may send `Problem`, its last.

use std::io::{self, Read, Write};

use formats::{Damage, Distrust, manifest, package, signature, trust};

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// What the reader could not give away.
    Confined = 1,
    /// The manifest.
    Manifest = 2,
    /// The signature set.
    Signatures = 3,
    /// The trust store.
    Trust = 4,
    /// Release notes.
    Notes = 5,
    /// Licence terms.
    Eula = 6,
    /// The chunk index.
    Index = 7,
    /// A chunk of the slot image.
    Piece = 8,
    /// The end of the package.
    End = 9,
    /// What is wrong with the package, see [`encode_problem`].
    Problem = 10,
    /// A part of the package was checked.
    Checked = 11,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Confined,
        Self::Manifest,
        Self::Signatures,
        Self::Trust,
        Self::Notes,
        Self::Eula,
        Self::Index,
        Self::Piece,
        Self::End,
        Self::Problem,
        Self::Checked,
    ];

    /// Its number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Longest content in bytes.
    pub const fn limit(self) -> usize {
        match self {
            Self::Confined | Self::Problem => 4 << 10,
            Self::Manifest => manifest::MAX_SIZE,
            Self::Signatures => signature::MAX_SIZE,
            Self::Trust => trust::MAX_SIZE,
            Self::Notes | Self::Eula => package::MAX_TEXT,
            Self::Index => package::MAX_INDEX,
            Self::Piece => package::MAX_CHUNK,
            Self::End | Self::Checked => 0,
        }
    }
}

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other side is gone, or silent for too long.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not keep to the protocol.
    #[error("{0}")]
    Protocol(String),
    /// It found something wrong with the package.
    #[error(transparent)]
    Problem(#[from] package::Error),
}

/// Sends one frame.
pub fn send(output: &mut impl Write, kind: Kind, content: &[u8]) -> io::Result<()> {
    let length = u32::try_from(content.len()).ok().filter(|_| content.len() <= kind.limit());
    let length = length.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("a {kind:?} frame of {} bytes", content.len()))
    })?;
    let [a, b, c, d] = length.to_le_bytes();
    output.write_all(&[kind.number(), a, b, c, d])?;
    output.write_all(content)?;
    output.flush()
}

/// Receives the frame that must come now, one of `wanted`, into `content`.
pub fn receive(input: &mut impl Read, wanted: &[Kind], content: &mut Vec<u8>) -> Result<Kind, Error> {
    let mut header = [0; 5];
    input.read_exact(&mut header)?;
    let [number, a, b, c, d] = header;
    let kind = Kind::ALL.into_iter().find(|kind| kind.number() == number);
    let kind = kind.ok_or_else(|| Error::Protocol(format!("a frame of the unknown kind {number}")))?;
    if kind != Kind::Problem && !wanted.contains(&kind) {
        return Err(Error::Protocol(format!("a {kind:?} frame where {wanted:?} must be")));
    }
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > kind.limit() {
        let limit = kind.limit();
        return Err(Error::Protocol(format!("a {kind:?} frame of {length} bytes; at most {limit} are allowed")));
    }
    content.resize(length, 0);
    input.read_exact(content)?;
    if kind == Kind::Problem { Err(decode_problem(content).into()) } else { Ok(kind) }
}

/// The structures a package problem can be about. The names are constants of the program; only their place in here travels.
const STRUCTURES: [&str; 5] = ["package", "package image", "chunk index", "manifest", "signature set"];

/// A problem as bytes: class, reason, structure, error number, text.
pub fn encode_problem(problem: &package::Error) -> Vec<u8> {
    let structure = |what: &str| number(STRUCTURES.iter().position(|one| *one == what));
    let (class, why, structure, errno, text) = match problem {
        package::Error::Io(cause) => (0, 0, 0, cause.raw_os_error().unwrap_or(0), cause.to_string()),
        package::Error::Format(cause) => match cause {
            formats::Error::Corrupt { what, why, problem } => {
                (1, number(Damage::ALL.iter().position(|one| one == why)), structure(what), 0, problem.clone())
            }
            formats::Error::Unsupported { what, problem } => (2, 0, structure(what), 0, problem.clone()),
            formats::Error::Invalid { what, problem } => (3, 0, structure(what), 0, problem.clone()),
            formats::Error::Untrusted { what, why, problem } => {
                (4, number(Distrust::ALL.iter().position(|one| one == why)), structure(what), 0, problem.clone())
            }
        },
    };
    let [a, b, c, d] = errno.to_le_bytes();
    let mut bytes = vec![class, why, structure, a, b, c, d];
    bytes.extend_from_slice(text.as_bytes());
    bytes.truncate(Kind::Problem.limit());
    bytes
}

fn number(position: Option<usize>) -> u8 {
    position.and_then(|position| u8::try_from(position).ok()).unwrap_or(0)
}

/// The problem in these bytes. Its text is for people and decides nothing; it is made safe to print.
fn decode_problem(bytes: &[u8]) -> package::Error {
    let Some(([class, why, structure, a, b, c, d], text)) = bytes.split_first_chunk() else {
        return package::Error::Io(io::Error::other("the reader does not say why"));
    };
    let what = STRUCTURES.get(usize::from(*structure)).copied().unwrap_or("package");
    let (why, errno, problem) = (usize::from(*why), i32::from_le_bytes([*a, *b, *c, *d]), printable(text));
    package::Error::Format(match class {
        1 => formats::Error::damaged(what, Damage::ALL.get(why).copied().unwrap_or(Damage::Malformed), problem),
        2 => formats::Error::unsupported(what, problem),
        3 => formats::Error::invalid(what, problem),
        4 => formats::Error::untrusted(what, Distrust::ALL.get(why).copied().unwrap_or(Distrust::Unsigned), problem),
        _ if errno > 0 => return package::Error::Io(io::Error::from_raw_os_error(errno)),
        _ => return package::Error::Io(io::Error::other(problem)),
    })
}

/// Text from a process that may have been taken over, without anything that steers a terminal.
pub fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
