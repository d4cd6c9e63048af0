//! The commands' end of the socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{Job, Outcome, Problem};
use crate::error::{Doing, Error, Result};

/// Talks to the agent of this machine.
pub struct Client {
    socket: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// A client of the agent that listens here.
    pub fn new(socket: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { socket: socket.into(), runtime: runtime.doing(|| "start the runtime".into())? })
    }

    /// Asks for something that is there at once.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.read(self.runtime.block_on(self.call(Method::GET, path, None))?)
    }

    /// The same, for who would rather do without than wait longer than this.
    pub fn get_within<T: DeserializeOwned>(&self, path: &str, limit: Duration) -> Result<T> {
        let answer =
            self.runtime.block_on(async { tokio::time::timeout(limit, self.call(Method::GET, path, None)).await });
        let late = |_| Error::NoAgent { socket: self.socket.clone(), why: "it does not answer in time".into() };
        self.read(answer.map_err(late)??)
    }

    /// Sends JSON and reads the answer. An agent that is just starting is waited for.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let body = serde_json::to_vec(body).doing(|| "write JSON".into())?;
        self.runtime.block_on(async {
            for _ in 0..STARTING_STEPS {
                if UnixStream::connect(&self.socket).await.is_ok() {
                    break;
                }
                tokio::time::sleep(STEP).await;
            }
        });
        self.read(self.runtime.block_on(self.call(Method::POST, path, Some(body)))?)
    }

    /// Removes something.
    pub fn delete(&self, path: &str) -> Result<Value> {
        self.runtime.block_on(self.call(Method::DELETE, path, None))
    }

    /// Waits for the end of a job and tells `show` how far it is. What it did, or why it failed. Ctrl-C ends the waiting only.
    pub fn follow(&self, job: &Job, show: impl Fn(&Job)) -> Result<Vec<String>> {
        self.runtime.block_on(async {
            tokio::select! {
                end = self.end_of(job, show) => end,
                _ = tokio::signal::ctrl_c() => Err(Error::StillAtWork { what: job.what.clone(), id: job.id }),
            }
        })
    }

    async fn end_of(&self, job: &Job, show: impl Fn(&Job)) -> Result<Vec<String>> {
        let mut silent = 0_u32;
        loop {
            tokio::time::sleep(STEP).await;
            let now: Job = match self.call(Method::GET, "/v1/job", None).await.and_then(|answer| self.read(answer)) {
                Ok(now) => now,
                // The process that has the socket may be starting again; the job does not mind.
                Err(problem @ Error::NoAgent { .. }) => {
                    silent = silent.saturating_add(1);
                    if silent > SILENT_STEPS {
                        return Err(problem);
                    }
                    continue;
                }
                Err(problem) => return Err(problem),
            };
            silent = 0;
            if now.id != job.id {
                return Err(Error::JobLost { what: job.what.clone() });
            }
            show(&now);
            match now.result {
                None => {}
                Some(Outcome::Done { steps }) => return Ok(steps),
                Some(Outcome::Failed(problem)) => return Err(Error::from(problem)),
            }
        }
    }

    fn read<T: DeserializeOwned>(&self, answer: Value) -> Result<T> {
        serde_json::from_value(answer)
            .map_err(|problem| self.no_agent(&format!("its answer is not understood: {problem}")))
    }

    async fn call(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Value> {
        let gone = |problem: &dyn std::fmt::Display| self.no_agent(&problem.to_string());
        let stream = UnixStream::connect(&self.socket).await.map_err(|problem| gone(&problem))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|problem| gone(&problem))?;
        let connection = tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header(HOST, "appliance");
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())));
        let request = request.map_err(|problem| Error::Usage(format!("\"{path}\": {problem}")))?;
        let response = sender.send_request(request).await.map_err(|problem| gone(&problem))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|problem| gone(&problem))?.to_bytes();
        connection.abort();
        let json: Value = serde_json::from_slice(&body).map_err(|problem| gone(&problem))?;
        if status.is_success() {
            return Ok(json);
        }
        let problem: Problem = serde_json::from_value(json).map_err(|_| gone(&format!("HTTP status {status}")))?;
        Err(Error::from(problem))
    }

    fn no_agent(&self, why: &str) -> Error {
        Error::NoAgent { socket: self.socket.clone(), why: why.into() }
    }
}

/// Between two questions how far a job is.
const STEP: Duration = Duration::from_millis(150);
/// Four seconds for the agent to start.
const STARTING_STEPS: u32 = 26;
/// After ten seconds without an answer nobody is there.
const SILENT_STEPS: u32 = 66;
