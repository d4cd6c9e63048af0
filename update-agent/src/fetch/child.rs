//! The process itself: the asking program on file descriptor 1, servers on the network.
//!
//! Known attacks and our defence: a server that sends without end (a limit for each file), that says nothing (seconds for each step),
//! that sends a head without end (16 KiB), that leads elsewhere (three redirects at most, none out of encryption, and where the bytes come
//! from does not matter to whoever verifies them), that unpacks to more than it sends (nothing is unpacked), that takes this process over
//! (nothing to gain but bytes that have to be signed, and passwords for the proxy and the mail server it was given).

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::post;
use super::tls::Authorities;
use super::web::{Part, Web};
use super::wire::{Answer, MAX_MESSAGE, MAX_ORDER, Means, Order};
use crate::api::channel;
use crate::error::{Doing, Error, Result};
use crate::reader::confine::{Limits, close_inherited, confine};

/// The user this process becomes: its own, so that neither a reader of packages nor the process that serves clients can touch it.
pub const USER: u32 = 65_532;

/// Gives away every right but the network, then does what it is told until nobody asks any more.
pub fn run() -> Result<()> {
    close_inherited();
    let stream = io::stdout().as_fd().try_clone_to_owned().map(UnixStream::from);
    let mut stream = stream.doing(|| "use file descriptor 1".into())?;
    if stream.peer_addr().is_err() {
        return Err(Error::Usage("\"fetch\" is started by update-agent itself, with a socket to hand bytes to".into()));
    }
    let unconfined =
        confine(&Limits { user: USER, memory: MEMORY, open_files: OPEN_FILES, processes: THREADS, network: true })?;
    let talking = || "talk to the program that asks".to_owned();
    channel::send(&mut stream, &unconfined, MAX_MESSAGE).doing(talking)?;
    let Some(means) = channel::receive::<Means>(&mut stream, MAX_ORDER).doing(talking)? else { return Ok(()) };
    let mut ready = Authorities::new(means.authorities.as_deref())
        .and_then(|authorities| Ok((Web::new(&means, &authorities)?, authorities)));
    while let Some(order) = channel::receive::<Order>(&mut stream, MAX_ORDER).doing(talking)? {
        let answer = match (&mut ready, order) {
            (Err(why), _) => Answer::Failed { why: why.clone() },
            (Ok((web, _)), Order::File { url, from, until }) => {
                web.serve(&url, &Part { from, until }, &mut stream).doing(talking)?;
                continue;
            }
            (Ok((_, authorities)), Order::Letter(letter)) => post::send(&letter, authorities),
        };
        channel::send(&mut stream, &answer, MAX_MESSAGE).doing(talking)?;
    }
    Ok(())
}

const MEMORY: u64 = 256 << 20;
const OPEN_FILES: u64 = 32;
/// A proxy's name is looked up in a thread, so that it can be given up. All fetching processes of an appliance share these.
const THREADS: u64 = 16;
