//! One thing at a time that takes long, in a thread of its own.
//!
//! Whoever asks is told at once that it began, and can ask how far it is; the result of the last one is kept until the next begins.
//! Nothing here outlives the program: what a job did to the disk is in journal and slots.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use formats::Bytes;

use crate::api::{Job, Outcome, Problem};
use crate::error::{Doing, Error, Result};
use crate::serve::log;
use crate::slot::Phase;
use crate::workplace::now;

/// The jobs of one agent.
#[derive(Debug, Default, Clone)]
pub struct Jobs(Arc<Mutex<Option<Job>>>);

/// The hand a job has on its own entry.
pub struct Hand {
    jobs: Jobs,
    ended: bool,
}

impl Jobs {
    /// The one at work, or the last one.
    pub fn last(&self) -> Option<Job> {
        self.entry().clone()
    }

    /// Begins one. Refused while another is at work.
    pub fn begin(
        &self,
        what: &str,
        by: String,
        work: impl FnOnce(&Hand) -> Result<Vec<String>> + Send + 'static,
    ) -> Result<Job> {
        let mut entry = self.entry();
        if let Some(Job { id, what, result: None, .. }) = &*entry {
            return Err(Error::AtWork { what: what.clone(), id: *id });
        }
        let id = entry.as_ref().map_or(1, |last| last.id.saturating_add(1));
        let job = Job { id, what: what.into(), by, started: now(), phase: None, done: 0, of: 0, result: None };
        let mut hand = Hand { jobs: self.clone(), ended: false };
        let thread = thread::Builder::new().name(format!("job-{id}"));
        // It waits for this function to let go of the entry.
        let started = thread.spawn(move || {
            let result = work(&hand);
            hand.end(result);
        });
        started.doing(|| format!("start a thread for this {what}"))?;
        log(&format!("{} (job {id}) for {}", job.what, job.by));
        *entry = Some(job.clone());
        Ok(job)
    }

    fn entry(&self) -> MutexGuard<'_, Option<Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hand {
    /// Tells how far it is.
    pub fn show(&self, phase: Phase, done: Bytes, of: Bytes) {
        if let Some(job) = &mut *self.jobs.entry() {
            (job.phase, job.done, job.of) = (Some(phase.words().into()), done.0, of.0);
        }
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
        if let Some(job) = &mut *self.jobs.entry() {
            job.result = Some(outcome);
        }
    }
}

impl Drop for Hand {
    /// A job that ends without a result would keep all others out for ever.
    fn drop(&mut self) {
        if !self.ended {
            self.end(Err(Error::Bug("a job ended without a result".into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;

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
        let first = jobs.begin("install", "user 0".into(), move |hand| {
            hand.show(Phase::Writing, Bytes(1), Bytes(4));
            wait.recv().unwrap();
            Ok(vec!["done".into()])
        });
        assert_eq!(first.unwrap().id, 1);
        let problem = jobs.begin("commit", "user 1".into(), |_| Ok(Vec::new())).unwrap_err();
        assert_eq!((problem.code(), problem.to_string().contains("install (job 1)")), ("busy", true), "{problem}");
        go.send(()).unwrap();
        let job = ended(&jobs);
        assert_eq!((job.phase.as_deref(), job.done, job.of), (Some("writing"), 1, 4));
        assert_eq!(job.result, Some(Outcome::Done { steps: vec!["done".into()] }));
        let second = jobs.begin("commit", "user 1".into(), |_| Err(Error::Usage("no".into()))).unwrap();
        assert_eq!((second.id, second.phase), (2, None));
        let problem = Problem { code: "usage".into(), message: "no".into() };
        assert_eq!(ended(&jobs).result, Some(Outcome::Failed(problem)));
    }

    #[test]
    fn a_job_that_panics_keeps_nobody_out() {
        let jobs = Jobs::default();
        jobs.begin("install", "user 0".into(), |_| panic!("on purpose")).unwrap();
        assert!(matches!(ended(&jobs).result, Some(Outcome::Failed(problem)) if problem.code == "bug"));
        jobs.begin("commit", "user 0".into(), |_| Ok(Vec::new())).unwrap();
    }
}
