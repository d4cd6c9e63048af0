//! A plain server for a depot's files, for tests and small sites: any other web server does as well.
//!
//! Known attacks and our defence: paths that lead out of the folder (only plain names below `metadata` and `targets`, no symbolic link as
//! the last part, nothing that begins with a dot); slow and many clients (a limit of seconds for a head, and for one who takes nothing of an
//! answer, and of connections); anything but GET and HEAD (refused). Nothing is kept between requests. With a [`Portal`] there is a page for download keys, too.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek as _, SeekFrom};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use super::patience::Patient;
use super::portal::Portal;
use super::ranged::{self, Part, empty};
use crate::{Error, Result};

/// A server that has its address.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    shop: Shop,
    patience: Duration,
}

/// What is served.
#[derive(Debug)]
struct Shop {
    folder: PathBuf,
    portal: Option<Arc<Portal>>,
}

impl Server {
    /// Takes the address. Port 0: a free one.
    pub fn bind(folder: &Path, portal: Option<Portal>, listen: SocketAddr) -> Result<Self> {
        let refused = |cause| Error::Environment(format!("cannot listen on {listen}: {cause}"));
        let listener = TcpListener::bind(listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let shop = Shop { folder: folder.to_owned(), portal: portal.map(Arc::new) };
        Ok(Self { listener, shop, patience: PATIENCE })
    }

    /// How long a client may take for the head of a request, or take nothing of an answer; 30 seconds unless somebody says otherwise.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
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
        let (shop, patience) = (Arc::new(self.shop), self.patience);
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
            // A client that left again, or no descriptors for a moment: neither is the end of the server.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let shop = Arc::clone(&shop);
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let shop = Arc::clone(&shop);
                    async move { Ok::<_, Infallible>(shop.answer(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(patience)
                    .max_buf_size(HEAD)
                    .serve_connection(TokioIo::new(Patient::new(stream, patience)), service);
                // The client sees the same problem from its side.
                drop(connection.await);
                drop(permit);
            });
        }
    }
}

impl Shop {
    async fn answer(&self, request: Request<Incoming>) -> Response<Part> {
        match &self.portal {
            Some(portal) if Portal::is_for(request.uri().path()) => Arc::clone(portal).answer(request).await,
            _ => answer(&self.folder, &request),
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
    let start = |first: u64| {
        let mut file = file;
        file.seek(SeekFrom::Start(first))?;
        Ok(Box::new(file) as Box<dyn Read + Send>)
    };
    ranged::answer(request.headers(), length, &tag, start)
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

pub(super) fn percent_decoded(path: &str) -> Option<String> {
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

/// See [`Server::with_patience`].
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest head.
const HEAD: usize = 16 << 10;
/// Connections at a time; further ones wait.
const CONNECTIONS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

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
