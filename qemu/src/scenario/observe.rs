//! Looking at a running guest until what a step wants is there, or it is too late.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Fact, Limit};
use crate::console::Found;
use crate::{Guest, Pattern, Result};

/// The first fact that is something else.
pub(super) fn wrong_fact(status: &Value, facts: &BTreeMap<String, Fact>) -> Option<String> {
    facts.iter().find_map(|(pointer, fact)| {
        let found = status.pointer(pointer).filter(|value| !value.is_null());
        let holds = match (fact, found) {
            (Fact::Is(wanted), Some(found)) => wanted == found,
            (Fact::Contains(text), Some(Value::String(found))) => found.contains(text.as_str()),
            (Fact::Absent, None) => true,
            _ => false,
        };
        let shown = found.map_or_else(|| "absent".to_owned(), Value::to_string);
        (!holds).then(|| format!("{pointer} {fact} does not hold: it is {shown}"))
    })
}

pub(super) fn expect(guest: &mut Guest, wanted: &Pattern, not_before: &[Pattern], within: Limit) -> Result<String> {
    let patterns: Vec<Pattern> = std::iter::once(wanted).chain(not_before).cloned().collect();
    match guest.expect_any(&patterns, within.patience(guest))? {
        (0, line) => Ok(line.text),
        (other, line) => {
            let forbidden = &patterns[other];
            Err(guest.failure(format!("a line with {forbidden} came before {wanted}: \"{}\"", line.text)))
        }
    }
}

pub(super) fn freeze(
    guest: &mut Guest,
    drive: usize,
    when: Option<&Pattern>,
    within: Limit,
    reset_within: Limit,
) -> Result<String> {
    if let Some(when) = when {
        guest.expect(when.clone(), within.patience(guest))?;
    }
    let resets = guest.resets();
    guest.freeze(drive)?;
    let frozen = Instant::now();
    let patience = reset_within.patience(guest);
    while guest.resets() == resets {
        if frozen.elapsed() >= patience {
            let seconds = patience.as_secs();
            return Err(guest.failure(format!("the machine did not restart within {seconds} s of the hang")));
        }
        // Lines are consumed by nobody meanwhile; only the end of the emulator matters.
        if matches!(guest.console().search(&[], Duration::from_millis(20)), Found::Closed) {
            return Err(guest.failure("the emulator ended while a drive was frozen".to_owned()));
        }
    }
    guest.thaw(drive)?;
    Ok(format!("restarted after {:.1} s", frozen.elapsed().as_secs_f64()))
}

pub(super) fn http(
    guest: &mut Guest,
    port: u16,
    path: &str,
    status: u16,
    prints: &[Pattern],
    within: Limit,
) -> Result<()> {
    let deadline = Instant::now() + within.patience(guest);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = guest.http_get(port, path, left)?;
        let missing = prints.iter().find(|pattern| !answer.body.lines().any(|line| pattern.matches(line)));
        if answer.status == status && missing.is_none() {
            return Ok(());
        }
        if left.is_zero() {
            let text = missing.map(|pattern| format!(" without a line with {pattern}")).unwrap_or_default();
            return Err(guest.failure(format!("port {port} {path} answers {}{text}", answer.status)));
        }
        std::thread::sleep(AGAIN);
    }
}

/// Between two looks at something that takes its time.
pub(super) const AGAIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn facts_are_compared_and_the_first_wrong_one_is_told() {
        let status = json!({"slot": "a", "tries": 3, "failed": [{"reason": "not healthy: web"}], "trial": null});
        let facts = |list: &[(&str, Fact)]| list.iter().map(|(p, f)| ((*p).to_owned(), f.clone())).collect();
        let right = facts(&[
            ("/slot", Fact::Is(json!("a"))),
            ("/tries", Fact::Is(json!(3))),
            ("/failed/0/reason", Fact::Contains("web".into())),
            ("/trial", Fact::Absent),
            ("/nowhere", Fact::Absent),
        ]);
        assert_eq!(wrong_fact(&status, &right), None);
        for (pointer, fact, found) in [
            ("/slot", Fact::Is(json!("b")), "it is \"a\""),
            ("/tries", Fact::Is(json!("3")), "it is 3"),
            ("/nowhere", Fact::Is(json!(1)), "it is absent"),
            ("/tries", Fact::Contains("3".into()), "it is 3"),
            ("/slot", Fact::Absent, "it is \"a\""),
        ] {
            let told = wrong_fact(&status, &facts(&[(pointer, fact)])).unwrap();
            assert!(told.contains(pointer) && told.contains(found), "{told}");
        }
    }
}
