//! Checks whose answers are set by whoever tests with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, PoisonError};

use formats::health::{Check, Probe};

use super::{Asked, Checklist, Probes, Seen};

/// Answers by name; a check without one holds.
#[derive(Debug, Default)]
pub struct Simulated {
    state: Mutex<State>,
    let_go: Condvar,
}

#[derive(Debug, Default)]
struct State {
    answers: BTreeMap<String, Seen>,
    hanging: BTreeSet<String>,
    asked: BTreeMap<String, usize>,
}

impl Simulated {
    /// What the check sees from now on.
    pub fn set(&self, name: &str, seen: Seen) {
        self.with(|state| drop(state.answers.insert(name.into(), seen)));
    }

    /// The check does not come back until [`Simulated::let_go`].
    pub fn hang(&self, name: &str) {
        self.with(|state| state.hanging.insert(name.into()));
    }

    /// Lets everything that hangs go on.
    pub fn let_go(&self) {
        self.with(|state| state.hanging.clear());
        self.let_go.notify_all();
    }

    /// How often the check was asked.
    pub fn asked(&self, name: &str) -> usize {
        self.with(|state| state.asked.get(name).copied().unwrap_or_default())
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Probes for Simulated {
    fn look(&self, asked: &Asked) -> Seen {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let times = state.asked.entry(asked.name.clone()).or_default();
        *times = times.saturating_add(1);
        while state.hanging.contains(&asked.name) {
            state = self.let_go.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.answers.get(&asked.name).cloned().unwrap_or(Ok(()))
    }
}

/// A list of checks of these names with this time limit in seconds.
pub fn list(names: &[&str], timeout: u32) -> Checklist {
    let asked = |name: &&str| Asked {
        name: (*name).to_owned(),
        check: Check { timeout, ..Check::new("simulated", Probe::Tcp { port: 1 }) },
        made: 0,
    };
    Checklist { asked: names.iter().map(asked).collect(), ..Checklist::default() }
}
