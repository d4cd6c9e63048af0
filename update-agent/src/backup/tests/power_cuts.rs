//! A restore on a simulated file system, with the power or an operation failing at each moment.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use crate::backup::restore::{Change, Plan, Step, Tree, carry_out, finish};

/// A file system on which the power fails: renames that were not flushed may be lost, the last ones first.
#[derive(Clone, Default)]
struct Medium {
    names: BTreeMap<String, u64>,
    record: Option<Vec<u8>>,
}

struct Simulated {
    now: RefCell<Medium>,
    /// What is on the medium for certain, and each state since.
    durable: RefCell<Vec<Medium>>,
    /// Operations until the power fails, or until one fails.
    left: RefCell<usize>,
    /// An operation fails once instead of the power for good.
    once: bool,
}

impl Simulated {
    fn new(medium: Medium, left: usize, once: bool) -> Self {
        Self { durable: RefCell::new(vec![medium.clone()]), now: RefCell::new(medium), left: RefCell::new(left), once }
    }

    fn operation(&self) -> io::Result<()> {
        let mut left = self.left.borrow_mut();
        if *left == 0 {
            if self.once {
                *left = usize::MAX;
            }
            return Err(io::Error::other("the power failed"));
        }
        *left -= 1;
        Ok(())
    }

    fn changed(&self, change: impl FnOnce(&mut Medium)) {
        change(&mut self.now.borrow_mut());
        self.durable.borrow_mut().push(self.now.borrow().clone());
    }

    fn flushed(&self) {
        let now = self.now.borrow().clone();
        *self.durable.borrow_mut() = vec![now];
    }
}

impl Tree for Simulated {
    fn number(&self, path: &str) -> io::Result<Option<u64>> {
        Ok(self.now.borrow().names.get(path).copied())
    }
    fn exchange(&self, one: &str, other: &str) -> io::Result<()> {
        self.operation()?;
        self.changed(|medium| {
            let (first, second) = (medium.names[one], medium.names[other]);
            medium.names.extend([(one.to_owned(), second), (other.to_owned(), first)]);
        });
        Ok(())
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.operation()?;
        self.changed(|medium| {
            let number = medium.names.remove(from).unwrap();
            assert_eq!(medium.names.insert(to.into(), number), None);
        });
        Ok(())
    }
    fn flush(&self, _: &str) -> io::Result<()> {
        self.operation()?;
        self.flushed();
        Ok(())
    }
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.now.borrow().record.clone())
    }
    fn keep(&self, record: &[u8]) -> io::Result<()> {
        self.operation()?;
        self.changed(|medium| medium.record = Some(record.into()));
        self.operation()?;
        self.flushed();
        Ok(())
    }
    fn forget(&self) -> io::Result<()> {
        self.operation()?;
        self.changed(|medium| medium.record = None);
        self.operation()?;
        self.flushed();
        Ok(())
    }
    fn clear(&self) -> io::Result<()> {
        self.operation()?;
        self.changed(|medium| medium.names.retain(|path, _| !path.starts_with("beside/")));
        Ok(())
    }
}

fn step(path: &str, change: Change, number: u64) -> Step {
    Step { path: path.into(), beside: format!("beside/{path}"), change, number }
}

/// Three paths in use, of which one is replaced, one comes back and one goes.
fn example() -> (Medium, Plan) {
    let names =
        [("a", 1), ("c", 3), ("beside/a", 11), ("beside/b", 12)].map(|(path, number)| (path.to_owned(), number));
    let steps = vec![step("a", Change::Replace, 11), step("b", Change::Place, 12), step("c", Change::Remove, 3)];
    (Medium { names: names.into(), record: None }, Plan::new(steps))
}

fn in_use(medium: &Medium) -> Vec<(&str, u64)> {
    let own = medium.names.iter().filter(|(path, _)| !path.starts_with("beside/"));
    own.map(|(path, number)| (path.as_str(), *number)).collect()
}

const BEFORE: [(&str, u64); 2] = [("a", 1), ("c", 3)];
const AFTER: [(&str, u64); 2] = [("a", 11), ("b", 12)];

/// Completes it on this medium, with the power failing again after each operation. What is in use in the end.
fn settled(medium: &Medium) {
    for again in 0..24 {
        let tree = Simulated::new(medium.clone(), again, false);
        let cut = finish(&tree).is_err();
        let left: Vec<Medium> = tree.durable.borrow().clone();
        for medium in left {
            let last = Simulated::new(medium.clone(), usize::MAX, false);
            finish(&last).unwrap();
            let end = last.now.borrow().clone();
            assert!(in_use(&end) == BEFORE || in_use(&end) == AFTER, "{:?}", end.names);
            assert!(end.record.is_none() && end.names.len() == 2);
        }
        if !cut {
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn the_power_may_fail_at_any_moment_of_a_restore() {
    let (medium, plan) = example();
    let mut cuts = 0;
    for left in 0.. {
        let tree = Simulated::new(medium.clone(), left, false);
        let done = carry_out(&tree, &plan);
        for medium in tree.durable.borrow().iter() {
            // Never is a path missing that is there before and after.
            assert!(medium.names.contains_key("a"));
            settled(medium);
        }
        cuts += 1;
        if done.is_ok() && *tree.left.borrow() > 0 {
            assert_eq!(in_use(&tree.now.borrow()), AFTER);
            break;
        }
    }
    assert!(cuts > 12, "{cuts}");
}

#[test]
fn a_step_that_fails_takes_everything_back() {
    let (medium, plan) = example();
    let mut taken_back = 0;
    for left in 0..16 {
        let tree = Simulated::new(medium.clone(), left, true);
        match carry_out(&tree, &plan) {
            Ok(()) => assert_eq!(in_use(&tree.now.borrow()), AFTER),
            Err(problem) => {
                assert_eq!(problem.code(), "not-restored", "{problem}");
                assert_eq!(in_use(&tree.now.borrow()), BEFORE, "{left}");
                assert!(tree.now.borrow().record.is_none());
                taken_back += 1;
            }
        }
    }
    assert!(taken_back >= 8, "{taken_back}");
}
