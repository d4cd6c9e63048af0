//! The process that talks to browsers: listening socket on file descriptor 0, the keeper on file descriptor 1.
//!
//! Known attacks and our defence: endless or slow handshakes, heads and bodies (limits in bytes and seconds), answers nobody takes (ended
//! after the same time), more connections than there is memory for (they wait; those that say nothing are ended), forms sent from other
//! sites (a proof made from the session, a cookie that is sent with requests of this site only, and the browser's word where the request
//! comes from), text of packages or people that looks like HTML (escaped where it is written, and no page may run a script or style that
//! is not the console's own), frames of other sites (forbidden), a parser taken over (no rights, and no secret but those passing through).

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net;
use std::sync::Arc;
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
    pub(super) turns: Semaphore,
    shown: Shown,
}

async fn serve(listener: std::net::TcpListener, keeper: net::UnixStream) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let (keeper, from_keeper) = Correspondent::new(UnixStream::from_std(keeper)?);
    let shared = Arc::new(Shared { keeper, turns: Semaphore::new(QUESTIONS), shown: Shown::default() });
    let room = Arc::new(Semaphore::new(CONNECTIONS));
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
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                converse(stream, from, shared).await;
                drop(permit);
            });
        }
    };
    tokio::select! {
        ended = replies => ended,
        ended = accepting => ended,
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
const QUESTIONS: usize = 6;
/// Longest head of a request.
const HEAD: usize = 16 << 10;
/// Before connections are accepted again after that failed.
const BREATH: Duration = Duration::from_millis(100);
/// For a head, which includes the pause before it: browsers keep connections for their next click.
const IDLE: Duration = Duration::from_mins(1);
