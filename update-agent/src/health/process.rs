//! Does a program run?

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::{Miss, Seen};
use crate::plain_file;

/// Looks for a process by name, by the file with its number, or by both at once.
pub fn look(name: Option<&str>, pid_file: Option<&str>) -> Seen {
    match (name, pid_file) {
        (name, Some(file)) => numbered(name, Path::new(file)),
        (Some(name), None) if processes().any(|number| is(&number, name)) => Ok(()),
        (Some(_), None) => Err(Miss::new("no such process runs")),
        // Nothing is asked; the format refuses such a check.
        (None, None) => Ok(()),
    }
}

fn numbered(name: Option<&str>, file: &Path) -> Seen {
    let bytes =
        plain_file::read(file, 64).map_err(|problem| Miss::new(format!("the file is not readable: {problem}")))?;
    let text = String::from_utf8_lossy(&bytes);
    let number = text.trim();
    if number.is_empty() || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Miss::new(format!("the file holds \"{number}\", which is no process number")));
    }
    if arguments(number).is_none() {
        return Err(Miss::new(format!("process {number} does not run")));
    }
    match name {
        Some(name) if !is(number, name) => Err(Miss::new(format!("process {number} is another program"))),
        _ => Ok(()),
    }
}

/// The numbers of all processes.
fn processes() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.bytes().all(|digit| digit.is_ascii_digit()))
}

/// A program is known by the name the kernel keeps, of which that is the first 15 bytes, or by its first argument: a script is known
/// by the former only, a program started under another name by the latter.
fn is(number: &str, name: &str) -> bool {
    let Some(first) = arguments(number) else { return false };
    let short = name.get(..KERNEL_NAME.min(name.len())).unwrap_or(name);
    let kernel = fs::read_to_string(format!("/proc/{number}/comm")).unwrap_or_default();
    kernel.trim_end_matches('\n') == short || Path::new(&first).file_name() == Some(OsStr::new(name))
}

/// The first argument. Kernel threads and processes that have ended have none.
fn arguments(number: &str) -> Option<String> {
    let line = fs::read(format!("/proc/{number}/cmdline")).ok()?;
    let first = line.split(|byte| *byte == 0).next()?;
    (!line.is_empty()).then(|| String::from_utf8_lossy(first).into_owned())
}

const KERNEL_NAME: usize = 15;

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// A process under a name nobody else has.
    fn sleeper(folder: &Path, name: &str) -> Child {
        let program = folder.join(name);
        fs::copy("/bin/sleep", &program).unwrap();
        let child = Command::new(program).arg("60").spawn().unwrap();
        // The kernel wakes the parent a moment before the new program has its arguments.
        assert!(soon(|| look(Some(name), None).is_ok()));
        child
    }

    fn soon(holds: impl Fn() -> bool) -> bool {
        (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            holds()
        })
    }

    fn saw(name: Option<&str>, file: Option<&Path>) -> String {
        look(name, file.and_then(Path::to_str)).unwrap_err().saw
    }

    #[test]
    fn a_process_is_found_by_name_and_by_file_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let name = "bulkhead-health-sleeper";
        let mut child = sleeper(folder.path(), name);
        let file = folder.path().join("pid");
        fs::write(&file, format!("{}\n", child.id())).unwrap();
        assert_eq!(look(Some(name), None), Ok(()));
        assert_eq!(look(None, file.to_str()), Ok(()));
        assert_eq!(look(Some(name), file.to_str()), Ok(()));
        assert!(saw(Some("another-program"), Some(&file)).ends_with("is another program"));
        child.kill().unwrap();
        // Ended and not waited for: a zombie does no work.
        assert!(soon(|| look(Some(name), None).is_err()));
        assert!(saw(None, Some(&file)).ends_with("does not run"));
        child.wait().unwrap();
        assert_eq!(saw(Some(name), None), "no such process runs");
    }

    #[test]
    fn a_file_without_a_number_is_no_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        assert!(saw(None, Some(&file)).starts_with("the file is not readable"));
        for text in ["", "self", "../1", "-1", "4294967296"] {
            fs::write(&file, text).unwrap();
            let saw = saw(None, Some(&file));
            assert!(saw.contains("no process number") || saw.ends_with("does not run"), "{text}: {saw}");
        }
    }
}
