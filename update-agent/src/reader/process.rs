//! Starting a reader, waiting for it, and ending it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Doing, Result};

/// How long a reader may take for one frame, at most 1 MiB of a file: even a worn USB stick is faster.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The program that reads packages.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    patience: Duration,
}

impl Program {
    /// This very program.
    pub fn own() -> Self {
        Self::at("/proc/self/exe")
    }

    /// The update agent at this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self::other(path, ["read-package"])
    }

    /// The update agent at this path, to fetch files; see [`crate::fetch`].
    pub fn fetching(path: impl Into<PathBuf>) -> Self {
        Self::other(path, ["fetch"])
    }

    /// The same program, to read certificates; see [`crate::certificates::reader`].
    #[must_use]
    pub fn for_certificates(&self) -> Self {
        Self::other(self.path.clone(), ["read-certificates"])
    }

    /// Anything else that speaks as a reader does, for tests.
    pub fn other(path: impl Into<PathBuf>, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { path: path.into(), arguments, patience: PATIENCE }
    }

    /// The same with another [`PATIENCE`].
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Starts it on a package. It gets nothing else of this process: no other file, no environment, no terminal.
    pub fn start(&self, package: File) -> Result<(Process, Patient)> {
        let doing = || "start a process without rights".to_owned();
        let (ours, theirs) = UnixStream::pair().doing(doing)?;
        let child = Command::new(&self.path)
            .args(&self.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(package)
            .stdout(OwnedFd::from(theirs))
            .stderr(Stdio::null())
            .spawn()
            .doing(doing)?;
        let stream = Patient { stream: ours, patience: self.patience, deadline: None };
        Ok((Process(Some(child)), stream))
    }
}

/// A reader at work. Ends with this value.
#[derive(Debug)]
pub struct Process(Option<Child>);

impl Process {
    /// Its number, while it was not ended.
    pub fn id(&self) -> Option<u32> {
        self.0.as_ref().map(Child::id)
    }

    /// Ends it and tells how it ended: by itself, if it had already, or by our hand.
    pub fn stop(&mut self) -> Option<String> {
        let mut child = self.0.take()?;
        // Between the end of its output and the end of a process lies a moment; what it was is worth waiting for.
        let until = Instant::now() + Duration::from_millis(200);
        while Instant::now() < until {
            if let Ok(Some(status)) = child.try_wait() {
                return told(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        end(&mut child);
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            end(&mut child);
        }
    }
}

fn end(child: &mut Child) {
    // A process that is gone already needs no ending; one that cannot be ended ends with this one.
    drop(child.kill());
    drop(child.wait());
}

fn told(status: ExitStatus) -> Option<String> {
    match (status.signal(), status.code()) {
        // It spoke on when nobody listened any more.
        (Some(libc::SIGPIPE), _) => None,
        (Some(signal), _) => Some(format!("ended by signal {signal}")),
        (_, Some(0)) => None,
        (_, code) => Some(format!("exit status {}", code.unwrap_or(-1))),
    }
}

/// A stream that waits so long for a frame and no longer. A frame is read as its header and its content; each has the whole time.
#[derive(Debug)]
pub struct Patient {
    stream: UnixStream,
    patience: Duration,
    deadline: Option<Instant>,
}

impl Patient {
    fn left(&mut self) -> io::Result<Duration> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + self.patience);
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left()?;
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }

    fn read_exact(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        self.deadline = None;
        while !buffer.is_empty() {
            match self.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => buffer = buffer.get_mut(read..).unwrap_or_default(),
                Err(problem) if problem.kind() == io::ErrorKind::Interrupted => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(())
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.patience))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
