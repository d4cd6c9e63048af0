//! The process itself: package on file descriptor 0, frames on file descriptor 1.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use formats::package::{self, Unverified};
use formats::trust::{Role, TrustStore};

use super::confine::{Limits, close_inherited, confine};
use super::frame::{self, Kind};
use crate::error::{Doing, Error, Result};

/// The user a reader becomes: nobody.
pub const USER: u32 = 65_534;

/// Gives away every privilege and reads the package. Fails only before that, or when nobody listens.
pub fn run() -> Result<()> {
    close_inherited();
    let duplicate = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned();
    let package = duplicate(io::stdin().as_fd()).map(File::from).doing(|| "use file descriptor 0".into())?;
    let stream = duplicate(io::stdout().as_fd()).map(UnixStream::from).doing(|| "use file descriptor 1".into())?;
    if stream.peer_addr().is_err() {
        return Err(Error::Usage(
            "\"read-package\" is started by update-agent itself, with a socket to hand the package to".into(),
        ));
    }
    let unconfined = confine(&Limits { user: USER, memory: MEMORY, open_files: 0, processes: 0, network: false })?;
    let mut text = unconfined.join("\n").into_bytes();
    text.truncate(Kind::Confined.limit());
    frame::send(&mut &stream, Kind::Confined, &text).doing(|| "hand over a package".into())?;
    match deliver(package, &stream) {
        Ok(()) => Ok(()),
        Err(frame::Error::Problem(problem)) => {
            let problem = frame::encode_problem(&problem);
            frame::send(&mut &stream, Kind::Problem, &problem).doing(|| "say what is wrong with a package".into())
        }
        Err(frame::Error::Io(cause)) => Err(cause).doing(|| "hand over a package".into()),
        Err(frame::Error::Protocol(problem)) => Err(Error::Reader(problem)),
    }
}

/// Everything behind the first frame. The other side decides after the second whether to go on.
///
/// The package is read to its end before a byte of its image is handed over, and then read again: what is damaged in the middle must not
/// cost a slot.
pub fn deliver(
    package: impl io::Read + io::Seek,
    mut stream: impl io::Read + Write,
) -> std::result::Result<(), frame::Error> {
    let unverified = Unverified::read(BufReader::with_capacity(BUFFER, package))?;
    frame::send(&mut stream, Kind::Manifest, unverified.manifest_bytes())?;
    frame::send(&mut stream, Kind::Signatures, unverified.signature_bytes())?;

    let mut trust = Vec::new();
    frame::receive(&mut stream, &[Kind::Trust], &mut trust)?;
    let trust = TrustStore::parse(&trust).map_err(package::Error::Format)?;
    let details = unverified.verify(&trust, &[Role::Base, Role::Site, Role::Licence])?.details()?;
    let documents = details.documents();
    frame::send(&mut stream, Kind::Notes, documents.notes.as_bytes())?;
    frame::send(&mut stream, Kind::Eula, documents.eula.as_deref().unwrap_or_default().as_bytes())?;
    frame::send(&mut stream, Kind::Index, &documents.index.encode())?;
    let mut image = details.image()?;
    image.check_ahead(&mut |_| frame::send(&mut stream, Kind::Checked, &[]))?;
    frame::send(&mut stream, Kind::Checked, &[])?;
    // The other side compares each piece with its digest, whatever is said here.
    while let Some(chunk) = image.next_content()? {
        frame::send(&mut stream, Kind::Piece, chunk.bytes)?;
    }
    Ok(frame::send(&mut stream, Kind::End, &[])?)
}

/// Chunk index, bill of materials and two chunks at their longest, several times over.
const MEMORY: u64 = 256 << 20;
const BUFFER: usize = 64 << 10;
