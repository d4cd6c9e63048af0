//! Words for people: the console, and the kernel log, from where the running system can still read them.

use std::fs::OpenOptions;
use std::io::Write;

/// Tells what happens. Goes to the console directly, because `quiet` hides the kernel log there, and to the kernel log at a level
/// that is never printed, so that nothing appears twice.
pub fn say(text: &str) {
    line("/dev/console", &format!("bulkhead-init: {text}\r\n"));
    line("/dev/kmsg", &format!("<7>bulkhead-init: {text}\n"));
}

/// Tells what is odd; the same text goes into the boot report.
pub fn warn(warnings: &mut Vec<String>, text: String) {
    say(&format!("warning: {text}"));
    warnings.push(text);
}

/// Tells the end. The kernel log prints this level on every console, also those `/dev/console` is not.
pub fn say_fatal(reason: &str) {
    let text = format!("bulkhead-init: FATAL: {reason}; restarting");
    line("/dev/console", &format!("{text}\r\n"));
    line("/dev/kmsg", &format!("<2>{text}\n"));
}

/// Best effort: a machine without a console must boot too.
fn line(device: &str, text: &str) {
    if let Ok(mut file) = OpenOptions::new().write(true).open(device) {
        // One write, so that lines of the kernel do not come between.
        drop(file.write_all(text.as_bytes()));
    }
}
