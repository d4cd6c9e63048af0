//! A plain server for a depot's files, for tests and small sites: any other web server does as well.
//!
//! Known attacks and our defence: paths that lead out of the folder (only plain names below `metadata` and `targets`, no symbolic link as
//! the last part, nothing that begins with a dot); slow and many clients (a limit of seconds for a head, and of connections); anything but GET
//! and HEAD (refused). Nothing is kept between requests.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use crate::{Error, Result};

/// A server that has its address.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    folder: PathBuf,
}

impl Server {
    /// Takes the address. Port 0: a free one.
    pub fn bind(folder: &Path, listen: SocketAddr) -> Result<Self> {
        let refused = |cause| Error::Environment(format!("cannot listen on {listen}: {cause}"));
        let listener = TcpListener::bind(listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        Ok(Self { listener, folder: folder.to_owned() })
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().map_err(|cause| Error::Environment(format!("the listening socket is gone: {cause}")))
    }

    /// Serves until the process ends.
    pub fn run(self) -> Result<()> {
        let failed = |cause: std::io::Error| Error::Environment(format!("the server cannot go on: {cause}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        runtime.map_err(failed)?.block_on(self.accept()).map_err(failed)
    }

    async fn accept(self) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let folder = Arc::new(self.folder);
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
            // A client that left again, or no descriptors for a moment: neither is the end of the server.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let folder = Arc::clone(&folder);
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let folder = Arc::clone(&folder);
                    async move { Ok::<_, Infallible>(answer(&folder, &request)) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .max_buf_size(HEAD)
                    .serve_connection(TokioIo::new(stream), service);
                // The client sees the same problem from its side.
                drop(connection.await);
                drop(permit);
            });
        }
    }
}

fn answer(folder: &Path, request: &Request<Incoming>) -> Response<Part> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let Some((file, length, tag)) = open(folder, request.uri().path()) else { return empty(StatusCode::NOT_FOUND) };
    let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let mut response = if text(header::IF_NONE_MATCH).is_some_and(|tags| matches(tags, &tag)) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        // A range of a file that is another one by now is no use to whoever has its beginning.
        let same = text(header::IF_RANGE).is_none_or(|wanted| wanted == tag);
        match text(header::RANGE).filter(|_| same).map_or(Range::All, |range| Range::parse(range, length)) {
            Range::Outside => {
                let mut response = empty(StatusCode::RANGE_NOT_SATISFIABLE);
                set(&mut response, header::CONTENT_RANGE, &format!("bytes */{length}"));
                response
            }
            Range::All => part(file, 0, length, StatusCode::OK),
            Range::Of(first, last) => {
                let mut response = part(file, first, last - first + 1, StatusCode::PARTIAL_CONTENT);
                set(&mut response, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{length}"));
                response
            }
        }
    };
    set(&mut response, header::ETAG, &tag);
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    // Everything but the timestamp and the next root has its version or digest in its name.
    set(&mut response, header::CACHE_CONTROL, "no-cache");
    response
}

/// The file a path names, its length, and a tag that changes with it.
fn open(folder: &Path, path: &str) -> Option<(File, u64, String)> {
    let decoded = percent_decoded(path)?;
    let mut parts = decoded.strip_prefix('/')?.split('/');
    let mut place = folder.to_owned();
    let first = parts.next().filter(|part| ["metadata", "targets"].contains(part))?;
    place.push(first);
    for part in parts {
        if part.is_empty() || part.starts_with('.') || part.contains('\0') {
            return None;
        }
        place.push(part);
    }
    let file =
        OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK).open(place).ok()?;
    let about = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let tag = format!("\"{:x}-{:x}-{:x}.{:x}\"", about.ino(), about.len(), about.mtime(), about.mtime_nsec());
    Some((file, about.len(), tag))
}

fn percent_decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let mut one = [0];
            hex::decode_to_slice(digits, &mut one).ok()?;
            bytes.extend(one);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether a list of tags names this one. A weak tag is as good: files do not change under their name but by a rename.
fn matches(tags: &str, tag: &str) -> bool {
    tags.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

/// What of a file is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// All; also where the wish is not understood, or is for several parts.
    All,
    /// From the first to the last of these bytes.
    Of(u64, u64),
    /// Nothing of it is there.
    Outside,
}

impl Range {
    fn parse(text: &str, length: u64) -> Self {
        let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::All;
        };
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
        let (first, last) = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last),
            (Some(first), None) if last.is_empty() => (first, u64::MAX),
            (None, Some(count)) if first.is_empty() && count > 0 => (length.saturating_sub(count), u64::MAX),
            (None, Some(0)) if first.is_empty() => return Self::Outside,
            _ => return Self::All,
        };
        if first >= length { Self::Outside } else { Self::Of(first, last.min(length - 1)) }
    }
}

fn set(response: &mut Response<Part>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn empty(status: StatusCode) -> Response<Part> {
    let mut response = Response::new(Part { file: None, left: 0 });
    *response.status_mut() = status;
    response
}

fn part(mut file: File, first: u64, length: u64, status: StatusCode) -> Response<Part> {
    if file.seek(SeekFrom::Start(first)).is_err() {
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let mut response = Response::new(Part { file: Some(file), left: length });
    *response.status_mut() = status;
    response
}

/// A piece of a file, read when the client takes it.
struct Part {
    file: Option<File>,
    left: u64,
}

impl Body for Part {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let wanted = usize::try_from(self.left.min(PIECE)).unwrap_or(0);
        if wanted == 0 {
            return Poll::Ready(None);
        }
        let Some(file) = &mut self.file else { return Poll::Ready(None) };
        let mut buffer = vec![0; wanted];
        let read = file.read_exact(&mut buffer);
        self.left -= wanted as u64;
        Poll::Ready(Some(read.map(|()| Frame::data(buffer.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// How long a client may take for the head of a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest head.
const HEAD: usize = 16 << 10;
/// Connections at a time; further ones wait.
const CONNECTIONS: usize = 512;
/// Read at a time.
const PIECE: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (text, wanted) in [
            ("bytes=0-0", Range::Of(0, 0)),
            ("bytes=5-", Range::Of(5, 9)),
            ("bytes=5-100", Range::Of(5, 9)),
            ("bytes=-3", Range::Of(7, 9)),
            ("bytes=-30", Range::Of(0, 9)),
            ("bytes=10-", Range::Outside),
            ("bytes=-0", Range::Outside),
            ("bytes=5-4", Range::All),
            ("bytes=0-1,3-4", Range::All),
            ("bytes=+1-2", Range::All),
            ("chunks=1-2", Range::All),
        ] {
            assert_eq!(Range::parse(text, 10), wanted, "{text}");
        }
        assert_eq!(Range::parse("bytes=0-", 0), Range::Outside);
    }

    #[test]
    fn nothing_outside_the_depot_is_served() {
        let folder = tempfile::tempdir().unwrap();
        for part in ["metadata", "targets/base"] {
            std::fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        for file in ["secret", "metadata/1.root.json", "targets/base/a+b", "metadata/.new", "targets/.lock"] {
            std::fs::write(folder.path().join(file), "text").unwrap();
        }
        std::os::unix::fs::symlink("../secret", folder.path().join("metadata/link")).unwrap();
        for good in ["/metadata/1.root.json", "/targets/base/a+b", "/targets/base/a%2Bb"] {
            assert_eq!(open(folder.path(), good).unwrap().1, 4, "{good}");
        }
        for bad in [
            "/secret",
            "/",
            "",
            "metadata/1.root.json",
            "/metadata",
            "/metadata/",
            "/metadata/../secret",
            "/metadata/%2e%2e/secret",
            "/metadata/..%2fsecret",
            "/metadata//1.root.json",
            "/metadata/.new",
            "/targets/.lock",
            "/metadata/link",
            "/metadata/%",
            "/metadata/%ff",
            "/metadata/%00",
            "//metadata/1.root.json",
        ] {
            assert!(open(folder.path(), bad).is_none(), "{bad}");
        }
    }
}
