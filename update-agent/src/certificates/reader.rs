//! Reading what people bring in a process of its own, which has no rights, no files and no network, and limits in memory and time.
//!
//! The program that may write slots gives the bytes and the passphrase away, and gets certificates and keys back, each in one simple form
//! that it parses again. So a file that ends the parser, or takes it over, can be refused or bring other certificates than it should, and
//! nothing else. The passphrase is wiped with the process.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::key::Key;
use super::read::{self, Found, MAX_INPUT, Unread};
use super::trouble::Trouble;
use crate::api::channel;
use crate::error::{Doing, Error, Result};
use crate::reader::Program;
use crate::reader::confine::{Limits, close_inherited, confine};
use crate::reader::frame::printable;
use crate::secret::Secret;

/// The user this process becomes: its own.
pub const USER: u32 = 65_530;

/// What is to be read.
#[derive(Serialize, Deserialize)]
struct Order {
    file: Secret,
    passphrase: Option<Secret>,
}

/// What was read.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Found { certificates: Vec<String>, keys: Vec<Secret> },
    Unread(Unread),
}

/// Has a file read by `program`.
///
/// # Errors
/// [`Trouble`] with what is wrong with the file, also when the process failed on it.
pub fn read(program: &Program, file: &[u8], passphrase: Option<&Secret>) -> Result<Found> {
    if file.len() > MAX_INPUT {
        return Err(
            Trouble::Unreadable(format!("it has {} bytes, and at most {MAX_INPUT} are taken", file.len())).into()
        );
    }
    // The memory of one at a time is enough.
    let _alone = READING.lock().unwrap_or_else(PoisonError::into_inner);
    let nothing = File::open("/dev/null").doing(|| "open \"/dev/null\"".into())?;
    let (mut process, mut stream) = program.for_certificates().start(nothing)?;
    let order = Order { file: Secret::new(STANDARD.encode(file)), passphrase: passphrase.cloned() };
    let mut talk = || -> io::Result<Answer> {
        let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
        channel::receive::<Vec<String>>(&mut stream, MAX_MESSAGE)?.ok_or_else(gone)?;
        channel::send(&mut stream, &order, MAX_MESSAGE)?;
        channel::receive(&mut stream, MAX_MESSAGE)?.ok_or_else(gone)
    };
    match talk() {
        Ok(Answer::Found { certificates, keys }) => Ok(taken(&certificates, &keys).map_err(Trouble::Unreadable)?),
        Ok(Answer::Unread(unread)) => Err(Trouble::from(safe(unread)).into()),
        Err(problem) => {
            let how = process.stop().map(|how| format!(" ({how})")).unwrap_or_default();
            let why = format!("the process that reads it failed on it: {problem}{how}");
            Err(Trouble::Unreadable(printable(why.as_bytes())).into())
        }
    }
}

/// The process itself.
pub fn run() -> Result<()> {
    close_inherited();
    let stream = io::stdout().as_fd().try_clone_to_owned().map(UnixStream::from);
    let mut stream = stream.doing(|| "use file descriptor 1".into())?;
    if stream.peer_addr().is_err() {
        return Err(Error::Usage(
            "\"read-certificates\" is started by update-agent itself, with a socket to answer on".into(),
        ));
    }
    let unconfined = confine(&Limits { user: USER, memory: MEMORY, open_files: 0, processes: 0, network: false })?;
    let talking = || "talk to the program that asks".to_owned();
    channel::send(&mut stream, &unconfined, MAX_MESSAGE).doing(talking)?;
    let Some(order) = channel::receive::<Order>(&mut stream, MAX_MESSAGE).doing(talking)? else { return Ok(()) };
    let file = STANDARD.decode(order.file.reveal()).map(Zeroizing::new);
    let file = file.map_err(|_| Error::Usage("what is to be read is no base64".into()))?;
    let answer = match read::read(&file, order.passphrase.as_ref()) {
        Ok(found) => Answer::Found {
            certificates: found.certificates.iter().map(|one| STANDARD.encode(one.der())).collect(),
            keys: found.keys.iter().map(|key| Secret::new(STANDARD.encode(key.pkcs8()))).collect(),
        },
        Err(unread) => Answer::Unread(unread),
    };
    channel::send(&mut stream, &answer, MAX_MESSAGE).doing(talking)
}

/// What the process says it found, parsed here.
fn taken(certificates: &[String], keys: &[Secret]) -> std::result::Result<Found, String> {
    let mut found = Found::default();
    let bad = |_| "the process that reads it answers nonsense".to_owned();
    for one in certificates {
        found.certificates.push(Certificate::parse(&STANDARD.decode(one).map_err(bad)?)?);
    }
    for one in keys {
        let key = STANDARD.decode(one.reveal()).map(Zeroizing::new).map_err(bad)?;
        found.keys.push(Key::from_pkcs8(&key)?);
    }
    Ok(found)
}

/// Its sentences, made safe for terminals.
fn safe(unread: Unread) -> Unread {
    let safe = |text: String| printable(text.as_bytes()).chars().take(TEXT).collect();
    match unread {
        Unread::Unreadable(text) => Unread::Unreadable(safe(text)),
        Unread::Locked(text) => Unread::Locked(safe(text)),
        Unread::UnusableKey(text) => Unread::UnusableKey(safe(text)),
    }
}

static READING: Mutex<()> = Mutex::new(());
const MEMORY: u64 = 256 << 20;
const MAX_MESSAGE: usize = 3 << 20;
/// Characters of a sentence.
const TEXT: usize = 500;
