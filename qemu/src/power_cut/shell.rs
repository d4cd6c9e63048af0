//! Typing into a root shell on a guest's serial console.

use std::time::Duration;

use crate::{Guest, Result};

/// Types a command and waits until it has ended well.
pub fn run(guest: &mut Guest, command: &str, timeout: Duration) -> Result<()> {
    // The words are put together by the shell, so that the echo of the typed line is not taken for the answer.
    guest.send(&format!("{{ {command}; }} && echo \"STEP\" \"done\" || echo \"STEP\" \"failed\"\n"))?;
    guest.expect_before("STEP done", "STEP failed", timeout).map(drop)
}

/// Types a command whose output is one line, and returns that line.
pub fn ask(guest: &mut Guest, command: &str, timeout: Duration) -> Result<String> {
    // A line counts as soon as its words are there: the last word makes sure that it is complete.
    guest.send(&format!("echo \"ANSWER\" \"is $({command})\" \"ANSWER\" \"ends\"\n"))?;
    let line = guest.expect(["ANSWER is ", " ANSWER ends"], timeout)?;
    let answer = line.text.split_once("ANSWER is ").and_then(|(_, rest)| rest.rsplit_once(" ANSWER ends"));
    Ok(answer.map(|(answer, _)| answer.trim().to_owned()).unwrap_or_default())
}
