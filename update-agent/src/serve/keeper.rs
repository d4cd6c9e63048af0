//! The keeper: owns a socket, keeps the process that serves it alive, and answers what that process asks. There is one for clients on
//! this machine and one for those who come over the network; what is different about them is a [`Front`].
//!
//! It runs in threads beside the loop that feeds the watchdog, which waits for none of them. Nothing a client or that process sends
//! ends it: a process that breaks the protocol is ended and started again, ever more slowly while it keeps dying.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use super::desk::{Answer, Desk};
use crate::api::{Actor, Envelope, MAX_ANSWER, MAX_REQUEST, MAX_UPLOAD, Problem, Reply, channel};
use crate::error::{Doing, Error, Result};
use crate::plain_file;
use crate::serve::log;

/// What one keeper does differently from another one.
pub trait Front: Send + Sync + 'static {
    /// The hidden command of the process that serves the socket.
    fn command(&self) -> &'static str;

    /// Longest message of that process, in bytes.
    fn longest(&self) -> usize;

    /// Takes a message apart: its number, and what answers it, in a thread of its own.
    ///
    /// # Errors
    /// When it is no message of this protocol; the process is ended for that.
    fn take(&self, message: Value) -> serde_json::Result<(u64, Work)>;

    /// Whether the process is told things nobody asked for.
    fn has_news(&self) -> bool {
        false
    }

    /// What it is told: once it runs, and again whenever that is something else.
    fn news(&self) -> Option<Value> {
        None
    }

    /// What is done once, before anybody is served.
    fn tidy(&self) {}
}

/// Answers one message.
pub type Work = Box<dyn FnOnce() -> Result<Answer> + Send>;

impl Front for Desk {
    fn command(&self) -> &'static str {
        "serve-api"
    }

    fn longest(&self) -> usize {
        MAX_UPLOAD.saturating_mul(2)
    }

    fn take(&self, message: Value) -> serde_json::Result<(u64, Work)> {
        let Envelope { id, peer, request } = serde_json::from_value(message)?;
        let desk = self.clone();
        Ok((id, Box::new(move || desk.answer(&Actor::Here(peer), request, None))))
    }

    fn tidy(&self) {
        Self::tidy(self);
    }
}

/// What the keeper for this machine needs.
pub struct Setup {
    /// Deals with requests.
    pub desk: Desk,
    /// The socket; its folder must exist.
    pub socket: PathBuf,
    /// The program that serves it as `serve-api`: this one, unless a test says otherwise.
    pub program: PathBuf,
}

/// A keeper at work.
pub struct Keeper {
    shared: Arc<Shared>,
    supervisor: Option<JoinHandle<()>>,
}

struct Shared {
    front: Box<dyn Front>,
    stopped: AtomicBool,
    /// Requests being dealt with.
    busy: AtomicUsize,
    /// The process that has the socket now.
    process: Mutex<Option<(u32, UnixStream)>>,
}

impl Keeper {
    /// Takes the socket and starts to serve it. Refused while another keeper has it.
    pub fn start(setup: Setup) -> Result<Self> {
        // Beside the socket, and not the lock of the appliance that jobs take, which is "agent.lock".
        let lock = setup.socket.with_extension("sock-lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&lock);
        let file = file.doing(|| format!("open \"{}\"", lock.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| Error::Busy(format!("the socket \"{}\"", setup.socket.display())))?;
        let listener = listen(&setup.socket).doing(|| format!("listen on \"{}\"", setup.socket.display()))?;
        Self::keep(Box::new(setup.desk), listener.into(), setup.program, Some(lock))
    }

    /// Keeps a process that serves `listener`. `lock` is held for as long.
    pub fn keep(front: Box<dyn Front>, listener: OwnedFd, program: PathBuf, lock: Option<Flock<File>>) -> Result<Self> {
        let shared = Arc::new(Shared {
            front,
            stopped: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            process: Mutex::new(None),
        });
        let ours = Arc::clone(&shared);
        let supervisor = thread::Builder::new().name("keeper".into()).spawn(move || {
            let _lock = lock;
            // Before the first client is answered, so nobody copies; and not in the thread that feeds the watchdog.
            ours.front.tidy();
            supervise(&ours, &program, &listener);
        });
        Ok(Self { shared, supervisor: Some(supervisor.doing(|| "start the keeper".into())?) })
    }

    /// The process that has the socket, while there is one.
    pub fn process(&self) -> Option<u32> {
        self.shared.process().as_ref().map(|(id, _)| *id)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        if let Some((_, stream)) = self.shared.process().as_ref() {
            stream.shutdown(Shutdown::Both).unwrap_or(());
        }
        if let Some(supervisor) = self.supervisor.take() {
            // It ends on its own account; how does not matter to anybody any more.
            drop(supervisor.join());
        }
    }
}

impl Shared {
    fn process(&self) -> std::sync::MutexGuard<'_, Option<(u32, UnixStream)>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// Only root may connect. Until the mode is set nobody else can either: connecting needs the right to write, which the usual mask
/// takes from all others.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    plain_file::remove_if_there(socket)?;
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Starts the process, answers it until it ends, waits, starts it again.
fn supervise(shared: &Arc<Shared>, program: &Path, listener: &OwnedFd) {
    let mut pause = FIRST_PAUSE;
    while !shared.stopped() {
        let started = Instant::now();
        match start(program, shared.front.command(), listener) {
            Ok((mut child, stream)) => {
                let problem = match stream.try_clone() {
                    Ok(copy) => {
                        *shared.process() = Some((child.id(), copy));
                        // Whoever ends the keeper either finds the process above, or is seen here.
                        if shared.stopped() { None } else { attend(shared, stream) }
                    }
                    Err(problem) => Some(problem),
                };
                *shared.process() = None;
                // Gone already, or about to be; there is nothing else to do about it.
                drop(child.kill());
                let ended = child.wait().map_or_else(|problem| problem.to_string(), |status| status.to_string());
                if !shared.stopped() {
                    let why = problem.map(|problem| format!(": {problem}")).unwrap_or_default();
                    log(&format!("the process that serves clients ended ({ended}){why}; it is started again"));
                }
            }
            Err(problem) => log(&format!("cannot start the process that serves clients: {problem}")),
        }
        if started.elapsed() >= STEADY {
            pause = FIRST_PAUSE;
        }
        let until = Instant::now() + pause;
        while !shared.stopped() && Instant::now() < until {
            thread::sleep(FIRST_PAUSE);
        }
        pause = pause.saturating_mul(2).min(LAST_PAUSE);
    }
}

fn start(program: &Path, command: &str, listener: &OwnedFd) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_write_timeout(Some(WRITING))?;
    let child = Command::new(program)
        .arg(command)
        .env_clear()
        .current_dir("/")
        .stdin(listener.try_clone()?)
        .stdout(OwnedFd::from(theirs))
        .stderr(Stdio::null())
        .spawn()?;
    Ok((child, ours))
}

/// Answers requests until the process is gone or breaks the protocol, which is returned.
fn attend(shared: &Arc<Shared>, stream: UnixStream) -> Option<io::Error> {
    let output = match stream.try_clone() {
        Ok(output) => Arc::new(Mutex::new(output)),
        Err(problem) => return Some(problem),
    };
    let mut input = stream;
    match channel::receive::<Vec<String>>(&mut input, MAX_REQUEST) {
        Ok(Some(unconfined)) => {
            for kept in unconfined {
                log(&format!("the process that serves clients is not confined as on an appliance: {kept}"));
            }
        }
        Ok(None) => return None,
        Err(problem) => return Some(problem),
    }
    let _newsboy = Newsboy::start(shared, &output);
    loop {
        let message: Value = match channel::receive(&mut input, shared.front.longest()) {
            Ok(Some(message)) => message,
            Ok(None) => return None,
            Err(problem) => return Some(problem),
        };
        let (id, work) = match shared.front.take(message) {
            Ok(taken) => taken,
            Err(problem) => return Some(problem.into()),
        };
        let (output, ours) = (Arc::clone(&output), Arc::clone(shared));
        if shared.busy.fetch_add(1, Ordering::AcqRel) >= AT_ONCE {
            shared.busy.fetch_sub(1, Ordering::AcqRel);
            reply(&output, &failed(id, &Error::Busy("more requests than it answers at once".into())));
            continue;
        }
        let thread = thread::Builder::new().name("request".into());
        let spawned = thread.spawn(move || {
            let _turn = Turn(&ours);
            let answer = match work() {
                Ok(Answer::Facts(body)) => Reply { id, status: 200, body },
                Ok(Answer::Begun(job)) => {
                    Reply { id, status: 202, body: serde_json::to_value(*job).unwrap_or_default() }
                }
                Err(problem) => failed(id, &problem),
            };
            reply(&output, &answer);
        });
        if let Err(problem) = spawned {
            shared.busy.fetch_sub(1, Ordering::AcqRel);
            log(&format!("a request is not answered: {problem}"));
        }
    }
}

/// Tells the process what it has to know, at once and whenever that changes.
struct Newsboy(Arc<AtomicBool>);

impl Newsboy {
    fn start(shared: &Arc<Shared>, output: &Arc<Mutex<UnixStream>>) -> Self {
        let gone = Arc::new(AtomicBool::new(false));
        let (ended, shared, output) = (Arc::clone(&gone), Arc::clone(shared), Arc::clone(output));
        let walk = move || {
            if !shared.front.has_news() {
                return;
            }
            let mut told = None;
            while !ended.load(Ordering::Acquire) && !shared.stopped() {
                let news = shared.front.news();
                if let Some(body) = news.clone().filter(|_| news != told) {
                    reply(&output, &Reply { id: Reply::NEWS, status: 200, body });
                    told = news;
                }
                thread::park_timeout(NEWS);
            }
        };
        if let Err(problem) = thread::Builder::new().name("news".into()).spawn(walk) {
            log(&format!("the process that serves clients is told nothing: {problem}"));
        }
        Self(gone)
    }
}

impl Drop for Newsboy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

struct Turn<'a>(&'a Shared);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An error as clients get it.
fn failed(id: u64, problem: &Error) -> Reply {
    let status = match (problem.code(), problem.reason().exit()) {
        ("not-found" | "no-account", _) => 404,
        ("not-signed-in" | "wrong-password" | "not-claimed", _) => 401,
        ("not-allowed" | "wrong-claim-code", _) => 403,
        ("too-many-tries", _) => 429,
        (_, 2) => 400,
        (_, 3 | 4) => 422,
        (_, 5) => 409,
        _ => 500,
    };
    let body = Problem::from(problem);
    Reply { id, status, body: serde_json::to_value(body).unwrap_or_default() }
}

/// A process that does not take its reply is found out by whoever reads from it.
fn reply(output: &Mutex<UnixStream>, reply: &Reply) {
    let too_long = || {
        let told = Error::Bug(format!("an answer of more than {MAX_ANSWER} bytes"));
        channel::encode(&failed(reply.id, &told), MAX_ANSWER)
    };
    let Ok(message) = channel::encode(reply, MAX_ANSWER).or_else(|_| too_long()) else { return };
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    if output.write_all(&message).is_err() {
        output.shutdown(Shutdown::Both).unwrap_or(());
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// A process that lived so long had nothing wrong with it.
const STEADY: Duration = Duration::from_mins(1);
/// For one reply.
const WRITING: Duration = Duration::from_secs(10);
/// How often it is looked whether there are news.
const NEWS: Duration = Duration::from_secs(5);
/// Requests answered at the same time.
const AT_ONCE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_too_long_becomes_one_that_says_so_and_the_process_stays() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = Mutex::new(ours);
        let body = Value::String("x".repeat(MAX_ANSWER));
        reply(&ours, &Reply { id: 7, status: 200, body });
        reply(&ours, &Reply { id: 8, status: 200, body: Value::Null });
        let told: Reply = channel::receive(&mut theirs, MAX_ANSWER).unwrap().unwrap();
        assert_eq!((told.id, told.status), (7, 500), "{}", told.body);
        let next: Reply = channel::receive(&mut theirs, MAX_ANSWER).unwrap().unwrap();
        assert_eq!((next.id, next.status), (8, 200));
    }
}
