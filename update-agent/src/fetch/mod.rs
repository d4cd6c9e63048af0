//! Getting files from a depot and sending mail, in a process of its own that has the network and nothing else.
//!
//! The program that may write slots speaks to no server. It starts itself a second time as `fetch`: [`child`] gives away every right but
//! the network ([`crate::reader::confine`]), gets addresses and limits, and hands over bytes. It decides nothing: whether there is a file,
//! where it begins and how it ended is all it says, and nothing of that is believed further than that bytes are missing; what the bytes
//! are worth is found out by whoever asked ([`formats::tuf`]). Answers have a limit each, and one that takes too long ends the process.
//!
//! `web` speaks HTTP, `post` SMTP, `tls` says whom both believe, `pace` keeps the cap on the bandwidth.

pub mod child;
mod means;
mod pace;
mod post;
mod tls;
mod web;
mod wire;

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

pub(crate) use means::login;
pub use wire::{Letter, Login, Means, Proxy, Secret};

use self::wire::{Answer, End, Order};
use crate::api::channel;
use crate::depot::Trouble;
use crate::error::{Doing, Error, Result};
use crate::reader::frame::printable;
use crate::reader::{Patient, Process, Program};

/// A process that fetches, and the way to it. Ends with this value.
pub struct Fetcher {
    process: Process,
    stream: Patient,
    unconfined: Vec<String>,
    /// Files asked for, and bytes received.
    counts: Counts,
}

/// What fetching cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files asked for.
    pub requests: u64,
    /// Bytes of files, what HTTP puts around them not counted.
    pub bytes: u64,
}

/// A file on its way.
pub struct Body<'a> {
    fetcher: &'a mut Fetcher,
    /// Where in the file its first byte is: where it was asked for, or zero when the server sends whole files only.
    pub from: u64,
    left: u32,
    end: Option<End>,
}

/// How a file that was on its way stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Nothing more is coming.
    Complete,
    /// It has more bytes than were wanted.
    TooLong,
    /// It broke off.
    Cut(String),
}

impl Fetcher {
    /// Starts a process.
    pub fn start(program: &Program, means: &Means) -> Result<Self> {
        let nothing = File::open("/dev/null").doing(|| "open \"/dev/null\"".into())?;
        let (process, stream) = program.start(nothing)?;
        let mut fetcher = Self { process, stream, unconfined: Vec::new(), counts: Counts::default() };
        fetcher.unconfined = fetcher.receive()?;
        fetcher.send(means)?;
        Ok(fetcher)
    }

    /// What the process could not give away of its rights, a sentence each; none on an appliance.
    pub fn unconfined(&self) -> impl Iterator<Item = String> {
        let kept = self.unconfined.iter().map(|kept| printable(kept.as_bytes()));
        kept.map(|kept| format!("the process that fetches is not confined as on an appliance: {kept}"))
    }

    /// What it cost until now.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Asks for the file at `url`, from byte `from` on and not beyond byte `until`. Nothing: the server does not have it.
    ///
    /// # Errors
    /// `Unreachable` when the server does not answer, `Fetcher` when the process failed.
    pub fn get(&mut self, url: &str, from: u64, until: u64) -> Result<Option<Body<'_>>> {
        self.send(&Order::File { url: url.into(), from, until })?;
        self.counts.requests = self.counts.requests.saturating_add(1);
        match self.receive()? {
            Answer::Missing => Ok(None),
            Answer::Failed { why } => Err(unreachable(url, &why)),
            Answer::Found { from: first } if first == from || first == 0 => {
                Ok(Some(Body { fetcher: self, from: first, left: 0, end: None }))
            }
            Answer::Found { .. } => Err(self.failed("it hands over another part of the file than was asked for")),
            Answer::Taken => Err(self.failed("it speaks of a letter")),
        }
    }

    /// Has a letter sent. The server answers for it afterwards, or the error says why not.
    ///
    /// # Errors
    /// `MailNotSent` when the server does not take it, `Fetcher` when the process failed.
    pub fn post(&mut self, letter: &Letter) -> Result<()> {
        self.send(&Order::Letter(letter.clone()))?;
        match self.receive()? {
            Answer::Taken => Ok(()),
            Answer::Failed { why } => {
                let (server, why) = (format!("{}:{}", letter.server, letter.port), printable(why.as_bytes()));
                Err(Trouble::MailNotSent { server, why }.into())
            }
            Answer::Missing | Answer::Found { .. } => Err(self.failed("it speaks of a file")),
        }
    }

    /// A whole file of at most `limit` bytes. Nothing: the server does not have it.
    pub fn whole(&mut self, url: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        let wanted = u64::try_from(limit).unwrap_or(u64::MAX);
        let Some(mut body) = self.get(url, 0, wanted)? else { return Ok(None) };
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).map_err(|problem| fetcher_failed(&problem.to_string()))?;
        match body.stop() {
            Stop::Complete => Ok(Some(bytes)),
            Stop::TooLong => Err(unreachable(url, &format!("the file has more than {limit} bytes"))),
            Stop::Cut(why) => Err(unreachable(url, &why)),
        }
    }

    fn send(&mut self, message: &impl serde::Serialize) -> Result<()> {
        channel::send(&mut self.stream, message, wire::MAX_ORDER).map_err(|problem| self.failed(&problem.to_string()))
    }

    fn receive<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        match channel::receive(&mut self.stream, wire::MAX_MESSAGE) {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(self.failed("it ended")),
            Err(problem) => Err(self.failed(&problem.to_string())),
        }
    }

    fn failed(&mut self, what: &str) -> Error {
        fetcher_failed(&match self.process.stop() {
            Some(how) => format!("{what} ({how})"),
            None => what.to_owned(),
        })
    }
}

impl Body<'_> {
    /// How it stopped, once it was read to its end.
    pub fn stop(self) -> Stop {
        match self.end {
            Some(End::Complete) => Stop::Complete,
            Some(End::TooLong) => Stop::TooLong,
            Some(End::Cut { why }) => Stop::Cut(printable(why.as_bytes())),
            None => Stop::Cut("it was not read to its end".into()),
        }
    }
}

impl Read for Body<'_> {
    /// Ends where the server's bytes end; [`Body::stop`] tells why. An error only when the process failed.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.end.is_some() || buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            let mut header = [0; 4];
            self.fetcher.stream.read_exact(&mut header)?;
            self.left = u32::from_le_bytes(header);
            if self.left > wire::MAX_PIECE {
                return Err(io::Error::other(format!("a piece of {} bytes", self.left)));
            }
            if self.left == 0 {
                let end = channel::receive(&mut self.fetcher.stream, wire::MAX_MESSAGE)?;
                self.end = Some(end.ok_or(io::ErrorKind::UnexpectedEof)?);
                return Ok(0);
            }
        }
        let wanted = usize::try_from(self.left).unwrap_or(buffer.len()).min(buffer.len());
        let read = self.fetcher.stream.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self.left.saturating_sub(u32::try_from(read).unwrap_or(u32::MAX));
        self.fetcher.counts.bytes = self.fetcher.counts.bytes.saturating_add(read as u64);
        Ok(read)
    }
}

/// The process failed while a body was read from it.
pub(crate) fn fetcher_failed(what: &str) -> Error {
    Trouble::Fetcher(printable(what.as_bytes())).into()
}

fn unreachable(url: &str, why: &str) -> Error {
    Trouble::Unreachable { url: url.into(), why: printable(why.as_bytes()) }.into()
}

/// For one step with a server.
const PATIENCE: Duration = Duration::from_secs(30);
/// Characters of a reason.
const TEXT: usize = 400;
