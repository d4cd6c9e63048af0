//! A package from the depot into a file, in as many attempts as it takes.
//!
//! What arrived stays: a cut, an end of the agent or a power cut cost what was not written yet, and the next attempt asks for the rest only.
//! The file is named by the digest the depot's role signed for, so the rest of one package never ends up behind the beginning of another.
//! What was written before is not looked at again until all is there; then the digest of the whole file decides. When it is wrong, the
//! file is fetched once more from its beginning, because a power cut may have taken what had seemed written.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use formats::Bytes;
use formats::tuf::{Refusal, Target, Why};

use super::Trouble;
use crate::error::{Doing, Error, Result};
use crate::fetch::{Body, Fetcher, Stop, fetcher_failed};
use crate::plain_file;
use crate::slot::{Phase, Progress};

/// One download.
pub struct Download<'a> {
    /// Where it is.
    pub url: &'a str,
    /// What it must be.
    pub target: &'a Target,
    /// The file it goes to.
    pub to: &'a Path,
    /// Who is told.
    pub progress: Progress<'a>,
    /// Asked again and again; where the answer is an error, it ends with that, and what arrived stays.
    pub still: &'a dyn Fn() -> Result<()>,
}

impl Download<'_> {
    /// How much of it is there already.
    pub fn there(to: &Path, target: &Target) -> Bytes {
        let length = std::fs::symlink_metadata(to).map_or(0, |metadata| metadata.len());
        Bytes(if length <= target.length.0 { length } else { 0 })
    }

    /// Fetches what is missing. `start` starts a process that fetches; one that failed is replaced.
    pub fn run(&self, start: &dyn Fn() -> Result<Fetcher>) -> Result<()> {
        let mut file = self.opened()?;
        let resumed = self.length(&file)? > 0;
        self.complete(&mut file, start)?;
        if self.is_right(&mut file)? {
            return Ok(());
        }
        file.set_len(0).doing(|| self.doing())?;
        if resumed {
            self.complete(&mut file, start)?;
            if self.is_right(&mut file)? {
                return Ok(());
            }
            file.set_len(0).doing(|| self.doing())?;
        }
        let problem = "its SHA-256 is not the one that was signed for".into();
        let refusal = Refusal { file: self.url.into(), why: Why::Mismatch, problem };
        Err(Trouble::Refused { refusal, place: "the depot".into() }.into())
    }

    fn opened(&self) -> Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = plain_file::open(self.to, &mut options).doing(|| self.doing())?;
        if self.length(&file)? > self.target.length.0 {
            file.set_len(0).doing(|| self.doing())?;
        }
        Ok(file)
    }

    /// Until all bytes are there, or several attempts in a row brought none.
    fn complete(&self, file: &mut File, start: &dyn Fn() -> Result<Fetcher>) -> Result<()> {
        let mut pauses = PAUSES.iter();
        let mut fetcher = start()?;
        loop {
            (self.still)()?;
            let before = self.length(file)?;
            if before == self.target.length.0 {
                return file.sync_all().doing(|| self.doing());
            }
            let problem = match self.attempt(file, &mut fetcher, before) {
                Ok(None) => continue,
                Ok(Some(why)) => Trouble::Unreachable { url: self.url.into(), why }.into(),
                Err(Error::Depot(trouble)) if matches!(*trouble, Trouble::Unreachable { .. }) => Error::Depot(trouble),
                Err(Error::Depot(trouble)) if matches!(*trouble, Trouble::Fetcher(_)) => {
                    fetcher = start()?;
                    Error::Depot(trouble)
                }
                Err(problem) => return Err(problem),
            };
            if self.length(file)? > before {
                pauses = PAUSES.iter();
            } else {
                let Some(pause) = pauses.next() else { return Err(problem) };
                self.wait(*pause)?;
            }
        }
    }

    fn wait(&self, pause: Duration) -> Result<()> {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            (self.still)()?;
            thread::sleep(TICK.min(pause));
        }
        Ok(())
    }

    /// One request. What stopped it, unless all of it came.
    fn attempt(&self, file: &mut File, fetcher: &mut Fetcher, from: u64) -> Result<Option<String>> {
        let Some(body) = fetcher.get(self.url, from, self.target.length.0)? else {
            let problem = "the depot does not have it".into();
            let refusal = Refusal { file: self.url.into(), why: Why::Missing, problem };
            return Err(Trouble::Refused { refusal, place: "the depot".into() }.into());
        };
        if body.from != from {
            file.set_len(body.from).doing(|| self.doing())?;
        }
        file.seek(SeekFrom::Start(body.from)).doing(|| self.doing())?;
        match self.copy(body, file)? {
            Stop::Complete if self.length(file)? < self.target.length.0 => Ok(Some("the file ends too early".into())),
            // What it has beyond the signed length is nothing to us.
            Stop::Complete | Stop::TooLong => Ok(None),
            Stop::Cut(why) => Ok(Some(why)),
        }
    }

    fn copy(&self, mut body: Body<'_>, file: &mut File) -> Result<Stop> {
        let mut piece = vec![0; PIECE];
        let (mut length, mut flushed, mut last) = (body.from, body.from, Instant::now());
        loop {
            let read = body.read(&mut piece).map_err(|problem| fetcher_failed(&problem.to_string()))?;
            if read == 0 {
                return Ok(body.stop());
            }
            file.write_all(piece.get(..read).unwrap_or_default()).doing(|| self.doing())?;
            length = length.saturating_add(read as u64);
            (self.progress)(Phase::Fetching, Bytes(length), self.target.length);
            (self.still)()?;
            if length.saturating_sub(flushed) >= FLUSHED || last.elapsed() >= FLUSHED_AFTER {
                file.sync_data().doing(|| self.doing())?;
                (flushed, last) = (length, Instant::now());
            }
        }
    }

    fn is_right(&self, file: &mut File) -> Result<bool> {
        file.rewind().doing(|| self.doing())?;
        let (_, digest) = plain_file::digest(file).doing(|| self.doing())?;
        Ok(digest == self.target.digest)
    }

    fn length(&self, file: &File) -> Result<u64> {
        Ok(file.metadata().doing(|| self.doing())?.len())
    }

    fn doing(&self) -> String {
        format!("fetch \"{}\" to \"{}\"", self.url, self.to.display())
    }
}

/// After attempts that brought nothing; the next one after the last of these is the end.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(8),
    Duration::from_secs(15),
];
/// Between two questions whether it may go on, while it waits.
const TICK: Duration = Duration::from_millis(200);
const PIECE: usize = 256 << 10;
/// So much a power cut costs, at most, in bytes fetched again; over slow lines less, what came in so much time.
const FLUSHED: u64 = 8 << 20;
const FLUSHED_AFTER: Duration = Duration::from_secs(1);
