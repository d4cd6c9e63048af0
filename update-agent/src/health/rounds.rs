//! All checks at once, each with its time limit, whatever they do.
//!
//! Every check runs in a thread of its own: one that hangs, in a system call on a dead mount for example, costs that thread and
//! nothing else. A round always ends: when all have answered, or a moment after the longest time limit of those that have not. A
//! check that still hangs is not started a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Asked, Checklist, Finding, Miss, Probes, Seen};

/// Runs rounds of checks.
pub struct Rounds {
    probes: Arc<dyn Probes>,
    /// Checks that have not come back.
    away: Arc<Mutex<BTreeSet<String>>>,
    grace: Duration,
}

impl Rounds {
    /// Rounds that look through `probes`.
    pub fn new(probes: Arc<dyn Probes>) -> Self {
        Self { probes, away: Arc::default(), grace: GRACE }
    }

    /// One round. The findings are those of the list, in its order.
    pub fn run(&self, list: &Checklist) -> Vec<Finding> {
        let started = Instant::now();
        let (answers, answered) = mpsc::channel();
        let mut seen: BTreeMap<usize, (Seen, Duration)> = BTreeMap::new();
        let mut waiting: BTreeMap<usize, Duration> = BTreeMap::new();
        for (index, asked) in list.asked.iter().enumerate() {
            match self.start(index, asked, &answers) {
                Ok(()) => drop(waiting.insert(index, limit(asked).saturating_add(self.grace))),
                Err(problem) => drop(seen.insert(index, (Err(Miss::new(problem)), Duration::ZERO))),
            }
        }
        drop(answers);
        while let Some(end) = waiting.values().max() {
            match answered.recv_timeout(end.saturating_sub(started.elapsed())) {
                Ok((index, result)) => {
                    waiting.remove(&index);
                    seen.insert(index, (result, started.elapsed()));
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        let own = list.asked.iter().enumerate().map(|(index, asked)| {
            let late = || (Err(Miss::new(format!("no answer within {} s", asked.check.timeout))), started.elapsed());
            let (result, took) = seen.remove(&index).unwrap_or_else(late);
            Finding::of(asked, result, u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
        });
        let own: Vec<Finding> = own.collect();
        list.findings.iter().cloned().chain(own).collect()
    }

    fn start(&self, index: usize, asked: &Asked, answers: &mpsc::Sender<(usize, Seen)>) -> Result<(), String> {
        if !self.away.lock().unwrap_or_else(PoisonError::into_inner).insert(asked.name.clone()) {
            return Err("still hangs since an earlier round".into());
        }
        let (probes, away, asked, answers) =
            (Arc::clone(&self.probes), Arc::clone(&self.away), asked.clone(), answers.clone());
        let name = asked.name.clone();
        let looks = move || {
            let result = probes.look(&asked);
            away.lock().unwrap_or_else(PoisonError::into_inner).remove(&asked.name);
            // Nobody listens any more when the round is over.
            drop(answers.send((index, result)));
        };
        let spawned = thread::Builder::new().name("health".into()).stack_size(STACK).spawn(looks);
        spawned.map(drop).map_err(|problem| {
            self.away.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            format!("cannot be started: {problem}")
        })
    }
}

/// The time a check may take.
pub(super) fn limit(asked: &Asked) -> Duration {
    Duration::from_secs(asked.check.timeout.into())
}

/// What a check may take longer than its limit: it keeps the limit itself, and says more about it than we can.
const GRACE: Duration = Duration::from_secs(1);
/// Checks are shallow; many of them must not cost much memory.
const STACK: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::super::simulated::{self, Simulated};
    use super::*;

    #[test]
    fn findings_come_in_the_order_of_the_list_with_what_was_wrong_with_the_list_first() {
        let probes = Simulated::default();
        probes.set("b/2", Err(Miss::new("no")));
        let mut list = simulated::list(&["a/1", "b/2", "c/3"], 1);
        list.findings.push(Finding::failed("operator/health.json", "it is readable", "damaged"));
        let findings = Rounds::new(Arc::new(probes)).run(&list);
        let shown: Vec<(&str, bool)> = findings.iter().map(|one| (one.name.as_str(), one.holds())).collect();
        assert_eq!(shown, [("operator/health.json", false), ("a/1", true), ("b/2", false), ("c/3", true)]);
    }

    #[test]
    fn a_check_that_hangs_ends_the_round_in_time_hinders_no_other_and_is_not_started_twice() {
        let probes = Arc::new(Simulated::default());
        probes.hang("site/dead");
        let rounds = Rounds { grace: Duration::from_millis(50), ..Rounds::new(probes.clone()) };
        let list = simulated::list(&["base/good", "site/dead"], 1);
        let started = Instant::now();
        let findings = rounds.run(&list);
        assert!(started.elapsed() < Duration::from_secs(10));
        assert!(findings[0].holds() && findings[0].milliseconds < 1000, "{findings:?}");
        assert_eq!(findings[1].problem.as_deref(), Some("no answer within 1 s"));
        let again = rounds.run(&list);
        assert_eq!(again[1].problem.as_deref(), Some("still hangs since an earlier round"));
        assert_eq!(probes.asked("site/dead"), 1);
        probes.let_go();
        let back = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(20));
            rounds.run(&list)[1].holds()
        });
        assert!(back, "a check that comes back counts again");
    }
}
