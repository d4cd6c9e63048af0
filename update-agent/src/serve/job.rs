//! One thing at a time that takes long, in a thread of its own.
//!
//! Whoever asks is told at once that it began, and can ask how far it is; the result of the last one is kept until the next begins.
//! Nothing here outlives the program: what a job did to the disk is in journal and slots.
//!
//! A download that nobody waits for may take days over a slow line, and holds the place of what somebody asks for no longer than it takes
//! to stop: it gives way, and goes on another time from where it was. Others could have been let in beside it, but then two jobs would
//! share the folder of staged packages, the room on the disk and the line; and so there is still one job at a time, the next one
//! waiting until the one that gives way is gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use formats::Bytes;

use crate::api::{Job, Outcome, Problem};
use crate::error::{Doing, Error, Result};
use crate::report::Phase as Took;
use crate::serve::log;
use crate::slot::Phase;
use crate::workplace::now;

/// The jobs of one agent.
#[derive(Debug, Default, Clone)]
pub struct Jobs(Arc<Mutex<Entry>>);

/// The job at work, or the last one.
#[derive(Debug, Default)]
struct Entry {
    job: Option<Job>,
    /// It may be asked to give way at this moment.
    yields: bool,
    /// Its thread has come to its end.
    gone: Arc<AtomicBool>,
    /// Its phases so far, and when each began.
    phases: Vec<(String, Instant)>,
    /// What gave way and was not begun again yet.
    unfinished: Option<String>,
}

/// For whom a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Somebody who asked for it and waits. What is fetched for nobody gives way to it.
    Somebody,
    /// Nobody: it goes on by itself, and gives way while it fetches.
    Nobody,
}

/// The hand a job has on its own entry.
pub struct Hand {
    jobs: Jobs,
    id: u64,
    whose: For,
    gone: Arc<AtomicBool>,
    ended: bool,
}

impl Jobs {
    /// The one at work, or the last one.
    pub fn last(&self) -> Option<Job> {
        self.entry().job.clone()
    }

    /// What gave way since this was asked last: it may be begun again.
    pub fn unfinished(&self) -> Option<String> {
        self.entry().unfinished.take()
    }

    /// Begins one. Refused while another is at work that does not give way.
    pub fn begin(
        &self,
        what: &str,
        by: String,
        whose: For,
        work: impl FnOnce(&Hand) -> Result<Vec<String>> + Send + 'static,
    ) -> Result<Job> {
        let mut entry = self.entry();
        let mut unfinished = entry.unfinished.clone();
        if let Some(Job { id, what, result: None, .. }) = &entry.job {
            if !entry.yields || whose == For::Nobody {
                return Err(Error::AtWork { what: what.clone(), id: *id });
            }
            log(&format!("{what} (job {id}) gives way and goes on later from where it is"));
            unfinished = Some(what.clone());
        }
        let id = entry.job.as_ref().map_or(1, |last| last.id.saturating_add(1));
        let job = Job { id, what: what.into(), by, started: now(), phase: None, done: 0, of: 0, result: None };
        let gone = Arc::new(AtomicBool::new(false));
        let mut hand = Hand { jobs: self.clone(), id, whose, gone: Arc::clone(&gone), ended: false };
        // Of a job that has a result nothing is left to come but the end of its thread; one that gives way may be in the middle of it.
        let before = entry.yields.then(|| Arc::clone(&entry.gone));
        let thread = thread::Builder::new().name(format!("job-{id}"));
        // It waits for this function to let go of the entry.
        let started = thread.spawn(move || {
            while before.as_ref().is_some_and(|before| !before.load(Ordering::Acquire)) {
                thread::sleep(LOOK);
            }
            let result = work(&hand);
            hand.end(result);
        });
        started.doing(|| format!("start a thread for this {what}"))?;
        log(&format!("{} (job {id}) for {}", job.what, job.by));
        // From here on the one before finds that the place is not its own any more.
        *entry = Entry { job: Some(job.clone()), yields: false, gone, phases: Vec::new(), unfinished };
        Ok(job)
    }

    fn entry(&self) -> MutexGuard<'_, Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hand {
    /// The number of its job.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Tells how far it is.
    pub fn show(&self, phase: Phase, done: Bytes, of: Bytes) {
        let mut entry = self.jobs.entry();
        if let Some(job) = self.own(&mut entry) {
            let next = job.phase.as_deref() != Some(phase.words());
            (job.phase, job.done, job.of) = (Some(phase.words().into()), done.0, of.0);
            if next && entry.phases.len() < PHASES {
                entry.phases.push((phase.words().into(), Instant::now()));
            }
        }
    }

    /// How long each phase took so far; the last one goes on until now.
    pub fn phases(&self) -> Vec<Took> {
        let entry = self.jobs.entry();
        let ends = entry.phases.iter().skip(1).map(|(_, began)| *began).chain([Instant::now()]);
        let each = entry.phases.iter().zip(ends);
        each.map(|((name, began), end)| Took {
            name: name.clone(),
            seconds: end.saturating_duration_since(*began).as_secs(),
        })
        .collect()
    }

    /// Fetches. `fetch` is to ask the question it gets again and again, and to stop where the answer is an error: then somebody else
    /// has the place. What is fetched for somebody is not asked to.
    pub fn fetching(&self, fetch: impl FnOnce(&dyn Fn() -> Result<()>) -> Result<()>) -> Result<()> {
        self.set_yields(self.whose == For::Nobody)?;
        let done = fetch(&|| self.has_place());
        // Under one lock with whoever wants the place: either it was given away before this, or it stays.
        let place = self.set_yields(false);
        done.and(place)
    }

    fn set_yields(&self, yields: bool) -> Result<()> {
        let mut entry = self.jobs.entry();
        self.own(&mut entry).ok_or(Error::GaveWay)?;
        entry.yields = yields;
        Ok(())
    }

    fn has_place(&self) -> Result<()> {
        self.own(&mut self.jobs.entry()).map(drop).ok_or(Error::GaveWay)
    }

    /// The own entry; nothing once another job has the place.
    fn own<'e>(&self, entry: &'e mut Entry) -> Option<&'e mut Job> {
        entry.job.as_mut().filter(|job| job.id == self.id)
    }

    fn end(&mut self, result: Result<Vec<String>>) {
        let outcome = match result {
            Ok(steps) => {
                for step in &steps {
                    log(step);
                }
                Outcome::Done { steps }
            }
            Err(problem) => {
                log(&format!("{problem} [{}]", problem.code()));
                Outcome::Failed(Problem::from(&problem))
            }
        };
        self.ended = true;
        let mut entry = self.jobs.entry();
        if let Some(job) = self.own(&mut entry) {
            job.result = Some(outcome);
            entry.yields = false;
        }
    }
}

impl Drop for Hand {
    /// A job that ends without a result would keep all others out for ever.
    fn drop(&mut self) {
        if !self.ended {
            self.end(Err(Error::Bug("a job ended without a result".into())));
        }
        self.gone.store(true, Ordering::Release);
    }
}

/// Most phases of a job of which is known how long they took.
const PHASES: usize = 64;
/// Between two looks whether the job that gives way is gone.
const LOOK: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn ended(jobs: &Jobs) -> Job {
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            if let Some(job) = jobs.last().filter(|job| job.result.is_some()) {
                return job;
            }
            thread::sleep(Duration::from_millis(2));
        }
        panic!("the job does not end: {:?}", jobs.last());
    }

    #[test]
    fn one_job_at_a_time_and_its_result_is_kept() {
        let jobs = Jobs::default();
        assert_eq!(jobs.last(), None);
        let (go, wait) = mpsc::channel::<()>();
        let first = jobs.begin("install", "user 0".into(), For::Somebody, move |hand| {
            hand.show(Phase::Writing, Bytes(1), Bytes(4));
            wait.recv().unwrap();
            Ok(vec!["done".into()])
        });
        assert_eq!(first.unwrap().id, 1);
        let problem = jobs.begin("commit", "user 1".into(), For::Somebody, |_| Ok(Vec::new())).unwrap_err();
        assert_eq!((problem.code(), problem.to_string().contains("install (job 1)")), ("busy", true), "{problem}");
        go.send(()).unwrap();
        let job = ended(&jobs);
        assert_eq!((job.phase.as_deref(), job.done, job.of), (Some("writing"), 1, 4));
        assert_eq!(job.result, Some(Outcome::Done { steps: vec!["done".into()] }));
        let second = jobs.begin("commit", "user 1".into(), For::Somebody, |_| Err(Error::Usage("no".into()))).unwrap();
        assert_eq!((second.id, second.phase), (2, None));
        let problem = Problem { code: "usage".into(), message: "no".into() };
        assert_eq!(ended(&jobs).result, Some(Outcome::Failed(problem)));
    }

    #[test]
    fn a_job_that_panics_keeps_nobody_out() {
        let jobs = Jobs::default();
        jobs.begin("install", "user 0".into(), For::Somebody, |_| panic!("on purpose")).unwrap();
        assert!(matches!(ended(&jobs).result, Some(Outcome::Failed(problem)) if problem.code == "bug"));
        jobs.begin("commit", "user 0".into(), For::Somebody, |_| Ok(Vec::new())).unwrap();
    }

    /// A job that fetches until it is told to stop, and then takes a moment.
    fn fetches(jobs: &Jobs, whose: For, stopped: &Arc<AtomicBool>) -> Job {
        let stopped = Arc::clone(stopped);
        let (begun, wait) = mpsc::channel();
        let job = jobs.begin("stage", "the calendar".into(), whose, move |hand| {
            hand.fetching(|still| {
                begun.send(()).unwrap();
                while still().is_ok() {
                    thread::sleep(Duration::from_millis(2));
                }
                thread::sleep(Duration::from_millis(100));
                stopped.store(true, Ordering::Release);
                still()
            })?;
            Ok(vec!["never".into()])
        });
        wait.recv().unwrap();
        job.unwrap()
    }

    #[test]
    fn what_is_fetched_for_nobody_gives_way_and_is_gone_before_the_next_job_begins() {
        let (jobs, stopped) = (Jobs::default(), Arc::new(AtomicBool::new(false)));
        fetches(&jobs, For::Nobody, &stopped);
        let problem = jobs.begin("mail", "the calendar".into(), For::Nobody, |_| Ok(Vec::new())).unwrap_err();
        assert_eq!((problem.code(), jobs.unfinished()), ("busy", None), "to somebody only");
        let seen = Arc::clone(&stopped);
        let alone = move |_: &Hand| Ok(vec![format!("alone: {}", seen.load(Ordering::Acquire))]);
        let begun = Instant::now();
        let job = jobs.begin("install", "user 0".into(), For::Somebody, alone).unwrap();
        assert!(begun.elapsed() < Duration::from_millis(90), "nobody waits for the answer");
        // The place is taken already: a third one comes too late.
        assert_eq!(
            jobs.begin("commit", "user 0".into(), For::Somebody, |_| Ok(Vec::new())).unwrap_err().code(),
            "busy"
        );
        let ended = ended(&jobs);
        assert_eq!((ended.id, ended.result), (job.id, Some(Outcome::Done { steps: vec!["alone: true".into()] })));
        assert_eq!((jobs.unfinished().as_deref(), jobs.unfinished()), (Some("stage"), None));
    }

    #[test]
    fn what_somebody_waits_for_gives_way_to_nobody() {
        let (jobs, stopped) = (Jobs::default(), Arc::new(AtomicBool::new(false)));
        fetches(&jobs, For::Somebody, &stopped);
        let begin = || jobs.begin("commit", "user 0".into(), For::Somebody, |_| Ok(Vec::new()));
        assert_eq!(begin().unwrap_err().code(), "busy");
        assert!(!stopped.load(Ordering::Acquire));
    }

    #[test]
    fn a_job_for_nobody_holds_its_place_while_it_does_not_fetch() {
        let jobs = Jobs::default();
        let (go, wait) = mpsc::channel::<()>();
        jobs.begin("upgrade", "the calendar".into(), For::Nobody, move |hand| {
            hand.fetching(|_| Ok(()))?;
            wait.recv().unwrap();
            Ok(Vec::new())
        })
        .unwrap();
        thread::sleep(Duration::from_millis(50));
        let begin = || jobs.begin("commit", "user 0".into(), For::Somebody, |_| Ok(Vec::new()));
        assert_eq!(begin().unwrap_err().code(), "busy", "what is written to a slot is written to its end");
        go.send(()).unwrap();
        ended(&jobs);
        assert_eq!((begin().unwrap().id, jobs.unfinished()), (2, None));
    }
}
