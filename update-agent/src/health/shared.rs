//! Rounds of checks for whoever asks, any number at the same time.
//!
//! Whoever asks while a round of the same checks is running gets what that one finds, so many who ask cost no more than one. A check
//! that hangs is not started a second time, whoever asks and however often: it keeps one thread, and each answer says that it still
//! hangs. The overseer has rounds of its own, because nobody else's question may make a check look as if it hung.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::{Appliance, Checklist, Finding, Rounds};

/// Rounds that are shared; a copy shares them too.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

struct Inner {
    rounds: Rounds,
    running: Mutex<Option<Arc<Round>>>,
}

/// One round, which others may be waiting for.
struct Round {
    list: Checklist,
    result: Mutex<Progress>,
    ended: Condvar,
}

enum Progress {
    Running,
    /// With its findings; without any when it was cut off.
    Ended(Option<Vec<Finding>>),
}

impl Shared {
    /// Shares these.
    pub fn new(rounds: Rounds) -> Self {
        Self(Arc::new(Inner { rounds, running: Mutex::default() }))
    }

    /// Those of the machine this program runs on; all of this process are the same.
    pub fn of_this_machine() -> Self {
        static MACHINE: OnceLock<Shared> = OnceLock::new();
        MACHINE.get_or_init(|| Self::new(Rounds::new(Arc::new(Appliance::default())))).clone()
    }

    /// What the checks of this list find now: in the round that is running, if it has the same list, or in a new one.
    pub fn run(&self, list: &Checklist) -> Vec<Finding> {
        loop {
            let mut running = lock(&self.0.running);
            let Some(theirs) = running.clone() else {
                let ours = Arc::new(Round {
                    list: list.clone(),
                    result: Mutex::new(Progress::Running),
                    ended: Condvar::new(),
                });
                *running = Some(Arc::clone(&ours));
                drop(running);
                let mut turn = Turn { shared: &self.0, round: ours, findings: None };
                let findings = self.0.rounds.run(list);
                turn.findings = Some(findings.clone());
                return findings;
            };
            drop(running);
            match theirs.wait() {
                Some(findings) if theirs.list == *list => return findings,
                _ => {}
            }
        }
    }
}

impl Round {
    fn wait(&self) -> Option<Vec<Finding>> {
        let mut result = lock(&self.result);
        loop {
            match &*result {
                Progress::Ended(findings) => return findings.clone(),
                Progress::Running => result = self.ended.wait(result).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Ends the round whatever happens in it: those who wait must not wait for ever.
struct Turn<'a> {
    shared: &'a Inner,
    round: Arc<Round>,
    findings: Option<Vec<Finding>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.shared.running) = None;
        *lock(&self.round.result) = Progress::Ended(self.findings.take());
        self.round.ended.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::simulated::{self, Simulated};
    use super::*;

    #[test]
    fn however_many_ask_and_however_often_a_check_that_hangs_keeps_one_thread() {
        let probes = Arc::new(Simulated::default());
        probes.hang("site/dead");
        let shared = Shared::new(Rounds::new(probes.clone()));
        let list = simulated::list(&["base/good", "site/dead"], 1);
        for _ in 0..2 {
            let started = Instant::now();
            thread::scope(|scope| {
                let askers: Vec<_> = (0..20).map(|_| scope.spawn(|| shared.clone().run(&list))).collect();
                for asker in askers {
                    let findings = asker.join().unwrap();
                    assert!(findings[0].holds() && !findings[1].holds(), "{findings:?}");
                }
            });
            assert!(started.elapsed() < Duration::from_secs(20));
        }
        assert_eq!(probes.asked("site/dead"), 1, "a thread for each");
        probes.let_go();
        let back = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(20));
            shared.run(&list)[1].holds()
        });
        assert!(back, "a check that comes back counts again");
    }

    #[test]
    fn who_asks_during_a_round_of_the_same_checks_gets_what_it_finds_and_others_have_their_own() {
        let probes = Arc::new(Simulated::default());
        probes.hang("base/slow");
        let shared = Shared::new(Rounds::new(probes.clone()));
        let (list, other) = (simulated::list(&["base/slow"], 30), simulated::list(&["site/new"], 30));
        thread::scope(|scope| {
            let first = scope.spawn(|| shared.run(&list));
            while probes.asked("base/slow") == 0 {
                thread::sleep(Duration::from_millis(2));
            }
            let second = scope.spawn(|| shared.run(&list));
            let third = scope.spawn(|| shared.run(&other));
            // The place itself, who runs it, and the two who wait.
            let holders = || lock(&shared.0.running).as_ref().map_or(0, Arc::strong_count);
            while holders() < 4 {
                thread::sleep(Duration::from_millis(2));
            }
            assert!(!second.is_finished() && !third.is_finished());
            probes.let_go();
            // It did not hang: nobody is told that it does because another one asked, too.
            assert!(first.join().unwrap()[0].holds());
            assert!(second.join().unwrap()[0].holds());
            assert_eq!(third.join().unwrap()[0].name, "site/new");
        });
        assert_eq!(probes.asked("base/slow"), 1);
    }
}
