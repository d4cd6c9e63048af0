//! The process that has the socket: listening socket on file descriptor 0, the keeper on file descriptor 1.
//!
//! Known attacks and our defence: endless or slow heads and bodies (limits in bytes and seconds), connections kept without a
//! word or without taking the answers (ended after the same time), more connections than anybody needs (they wait), JSON that is no request (refused here; the keeper parses again), a parser taken over (nothing to gain, see
//! [`crate::reader::confine`]; the keeper ends and restarts whoever breaks the protocol).

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::correspondent::Correspondent as Keeper;
use super::hurried::Hurried;
use super::route::{self, problem};
use super::{Envelope, MAX_REQUEST, MAX_UPLOAD, Peer, channel};
use crate::code::Code;
use crate::error::{Doing, Error, Result};
use crate::reader::confine::{Limits, close_inherited, confine};

/// The user this process becomes: its own, so that a reader of packages cannot touch it.
pub const USER: u32 = 65_533;

/// Gives away every privilege, then serves until the keeper is gone.
pub fn run() -> Result<()> {
    let limits = Limits { user: USER, memory: MEMORY, open_files: OPEN_FILES, processes: 0, network: false };
    let (listener, keeper, runtime) = begin("serve-api", &limits, |descriptor| {
        let listener = net::UnixListener::from(descriptor);
        listener.local_addr()?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    })?;
    runtime.block_on(serve(listener, keeper)).doing(|| "serve clients".into())
}

/// How a process that serves clients begins: with its listening socket on descriptor 0, which `listening` takes, and the keeper on
/// descriptor 1. It gives away every privilege and tells the keeper what it could not give away.
pub(crate) fn begin<L>(
    command: &str,
    limits: &Limits,
    listening: impl FnOnce(OwnedFd) -> io::Result<L>,
) -> Result<(L, net::UnixStream, Runtime)> {
    close_inherited();
    let duplicate = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned();
    let descriptor = duplicate(io::stdin().as_fd()).doing(|| "use descriptor 0".into())?;
    let keeper = duplicate(io::stdout().as_fd()).map(net::UnixStream::from).doing(|| "use descriptor 1".into())?;
    let (Ok(listener), Ok(_)) = (listening(descriptor), keeper.peer_addr()) else {
        return Err(Error::Usage(format!("\"{command}\" is started by \"update-agent serve\", with its sockets")));
    };
    let unconfined = confine(limits)?;
    channel::send(&mut &keeper, &unconfined, MAX_REQUEST).doing(|| "talk to the keeper".into())?;
    keeper.set_nonblocking(true).doing(|| "prepare the sockets".into())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    Ok((listener, keeper, runtime.doing(|| "start the runtime".into())?))
}

async fn serve(listener: net::UnixListener, keeper: net::UnixStream) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let (keeper, from_keeper) = Keeper::new(UnixStream::from_std(keeper)?);
    let keeper = Arc::new(keeper);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let replies = keeper.distribute(from_keeper, |_| ());
    let accepting = async {
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
            let (stream, _) = listener.accept().await?;
            let keeper = Arc::clone(&keeper);
            tokio::spawn(async move {
                converse(stream, keeper).await;
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
async fn converse(stream: UnixStream, keeper: Arc<Keeper>) {
    let Ok(credentials) = stream.peer_cred() else { return };
    let peer = Peer { user: credentials.uid(), process: credentials.pid().unwrap_or(0) };
    let service = service_fn(|request: Request<Incoming>| {
        let (keeper, peer) = (Arc::clone(&keeper), peer.clone());
        async move { Ok::<_, Infallible>(answer(request, peer, &keeper).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(Hurried::new(stream, PATIENCE)), service);
    // The client sees the same problem from its side.
    drop(connection.await);
}

async fn answer(request: Request<Incoming>, peer: Peer, keeper: &Keeper) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let limit = route::limit(head.method.as_str(), head.uri.path());
    let body = match timeout(PATIENCE, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return refusal(413, Code::TooLong, &format!("a body of more than {limit} bytes")),
        Err(_) => return refusal(408, Code::Truncated, "the body did not arrive in time"),
    };
    let request = match route::request(head.method.as_str(), head.uri.path(), &body) {
        Ok(request) => request,
        Err((status, problem)) => return response(status, &problem),
    };
    let asking = keeper.ask(MAX_UPLOAD.saturating_mul(2), None, |id| Envelope { id, peer, request });
    match timeout(KEEPER_PATIENCE, asking).await {
        Ok(Some(reply)) => response(reply.status, &reply.body),
        Ok(None) => refusal(503, Code::NoAgent, "the update agent is gone; ask again in a moment"),
        Err(_) => refusal(504, Code::NoAgent, "the update agent does not answer in time; ask again in a moment"),
    }
}

fn refusal(status: u16, code: Code, message: &str) -> Response<Full<Bytes>> {
    response(status, &problem(code, message.into()))
}

fn response(status: u16, body: &impl Serialize) -> Response<Full<Bytes>> {
    let mut json = serde_json::to_vec(body).unwrap_or_default();
    json.push(b'\n');
    let mut response = Response::new(Full::new(Bytes::from(json)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

const MEMORY: u64 = 256 << 20;
const OPEN_FILES: u64 = 64;
const CONNECTIONS: usize = 16;
/// Longest head of a request.
const HEAD: usize = 16 << 10;
/// For a head, which includes the pause before it, for a body, and for taking an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// For the keeper's answer: none takes longer, what does is a job.
pub(crate) const KEEPER_PATIENCE: Duration = Duration::from_secs(100);
