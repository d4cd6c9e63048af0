//! The process that talks to browsers: listening socket on file descriptor 0, the keeper on file descriptor 1.
//!
//! Known attacks and our defence: endless or slow handshakes, heads and bodies (limits in bytes and seconds), answers nobody takes (ended
//! after the same time), more connections than there is memory for (they wait; those that say nothing are ended, and one network cannot have all), forms sent from other
//! sites (a proof made from the session, a cookie that is sent with requests of this site only, and the browser's word where the request
//! comes from), text of packages or people that looks like HTML (escaped where it is written, and no page may run a script or style that
//! is not the console's own), frames of other sites (forbidden), a parser taken over (no rights, and no secret but those passing through).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::serve::answer;
use super::tls::Shown;
use crate::account::throttle::network_of;
use crate::api::child::{PATIENCE, begin};
use crate::api::correspondent::Correspondent;
use crate::api::hurried::Hurried;
use crate::error::{Doing, Result};
use crate::reader::confine::Limits;

/// The user this process becomes: its own, so that neither a reader of packages nor the process of the socket can touch it.
pub const USER: u32 = 65_531;

/// Gives away every privilege, then serves until the keeper is gone.
pub fn run() -> Result<()> {
    let limits = Limits { user: USER, memory: MEMORY, open_files: OPEN_FILES, processes: 0, network: false };
    let (listener, keeper, runtime) = begin("serve-web", &limits, |descriptor| {
        let listener = std::net::TcpListener::from(descriptor);
        listener.local_addr()?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    })?;
    runtime.block_on(serve(listener, keeper)).doing(|| "serve browsers".into())
}

/// What every connection shares.
pub(super) struct Shared {
    pub(super) keeper: Correspondent,
    /// So many questions are with the keeper at the same time; others wait here, where that costs nothing.
    pub(super) turns: Arc<Semaphore>,
    /// So many downloads at the same time: each holds a piece.
    pub(super) downloads: Arc<Semaphore>,
    /// So many files are taken in at the same time.
    pub(super) files: Semaphore,
    shown: Shown,
}

async fn serve(listener: std::net::TcpListener, keeper: net::UnixStream) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let (keeper, from_keeper) = Correspondent::new(UnixStream::from_std(keeper)?);
    let shared = Arc::new(Shared {
        keeper,
        turns: Arc::new(Semaphore::new(QUESTIONS)),
        downloads: Arc::new(Semaphore::new(DOWNLOADS)),
        files: Semaphore::new(FILES),
        shown: Shown::default(),
    });
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let guests = Guests::default();
    let told = |news| {
        if let Ok(serving) = serde_json::from_value(news) {
            shared.shown.replace(serving);
        }
    };
    let replies = shared.keeper.distribute(from_keeper, told);
    let accepting = async {
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
            let Ok((stream, from)) = listener.accept().await else {
                // Gone before it was accepted, or nothing is left to accept it with: that passes, and must not be asked for without end.
                sleep(BREATH).await;
                continue;
            };
            // Hung up at once: whoever holds so many has no use for another.
            let Some(guest) = guests.welcome(from.ip()) else { continue };
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                converse(stream, from, shared).await;
                drop((guest, permit));
            });
        }
    };
    tokio::select! {
        ended = replies => ended,
        ended = accepting => ended,
    }
}

/// How many connections each network has, so that no single one takes all there are.
#[derive(Default, Clone)]
struct Guests(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// One of its connections; gone when this is dropped.
struct Guest(Guests, IpAddr);

impl Guests {
    /// Counts another connection; nothing when its network has as many as it may.
    fn welcome(&self, source: IpAddr) -> Option<Guest> {
        let network = network_of(source);
        let mut all = self.all();
        let count = all.entry(network).or_default();
        (*count < EACH).then(|| {
            *count = count.saturating_add(1);
            Guest(self.clone(), network)
        })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut all = self.0.all();
        match all.get_mut(&self.1) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => drop(all.remove(&self.1)),
        }
    }
}

/// One connection. Whatever goes wrong with it is its own affair.
async fn converse(stream: TcpStream, from: SocketAddr, shared: Arc<Shared>) {
    let Ok(local) = stream.local_addr() else { return };
    let Ok(Some(config)) = shared.shown.config(local.ip()) else { return };
    let handshake = TlsAcceptor::from(config).accept(Hurried::new(stream, PATIENCE));
    let Ok(Ok(stream)) = timeout(PATIENCE, handshake).await else { return };
    let source: IpAddr = from.ip();
    let service = service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, source, &shared).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // The browser sees the same problem from its side.
    drop(connection.await);
}

const MEMORY: u64 = 512 << 20;
const OPEN_FILES: u64 = 1400;
/// Connections at the same time.
const CONNECTIONS: usize = 1280;
/// The same from one address, or one network of IPv6: browsers have six each, and several people may come from behind one address.
const EACH: usize = 128;
const QUESTIONS: usize = 6;
const DOWNLOADS: usize = 16;
/// Each is held in memory, as it came and as it goes on to the keeper.
const FILES: usize = 4;
/// Longest head of a request.
const HEAD: usize = 16 << 10;
/// Before connections are accepted again after that failed.
const BREATH: Duration = Duration::from_millis(100);
/// For a head, which includes the pause before it: browsers keep connections for their next click.
const IDLE: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_cannot_have_every_connection_and_gets_back_what_it_lets_go() {
        let (guests, home) = (Guests::default(), IpAddr::from([192, 0, 2, 7]));
        let mut held: Vec<Guest> = (0..EACH).map(|_| guests.welcome(home).unwrap()).collect();
        assert!(guests.welcome(home).is_none());
        assert!(guests.welcome("::ffff:192.0.2.7".parse().unwrap()).is_none(), "the same by another name");
        let away = guests.welcome("2001:db8::1".parse().unwrap());
        assert!(away.is_some());
        held.pop();
        held.push(guests.welcome(home).unwrap());
        assert!(guests.welcome(home).is_none());
        drop((held, away));
        assert!(guests.all().is_empty(), "nothing is kept of who is gone");
    }
}
