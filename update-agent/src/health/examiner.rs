//! Which checks fail before an update begins.

use std::io::ErrorKind;
use std::path::Path;

use formats::health::MAX_FILE;

use super::{Checklist, Finding, OPERATOR_PATH, Shared};
use crate::lifecycle::Facts;
use crate::plain_file;
use crate::workplace::DATA;

/// Someone who can tell which checks fail now.
pub trait Examiner {
    /// Their names.
    fn failing(&self, facts: &Facts) -> Vec<String>;
}

/// For what does not run, such as an image file: nothing can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nothing;

impl Examiner for Nothing {
    fn failing(&self, _: &Facts) -> Vec<String> {
        Vec::new()
    }
}

impl Examiner for Shared {
    fn failing(&self, facts: &Facts) -> Vec<String> {
        let list = Checklist::new(facts, operators_file(Path::new(DATA)));
        let failing = self.run(&list).into_iter().filter(|finding| !finding.holds());
        failing.map(|Finding { name, .. }| name).collect()
    }
}

/// The operator's checks below the root of the data partition; nothing when there are none.
pub fn operators_file(data: &Path) -> Option<Result<Vec<u8>, String>> {
    match plain_file::read(&data.join(OPERATOR_PATH), MAX_FILE) {
        Ok(bytes) => Some(Ok(bytes)),
        Err(problem) if problem.kind() == ErrorKind::NotFound => None,
        Err(problem) => Some(Err(problem.to_string())),
    }
}
