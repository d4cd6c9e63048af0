//! A program of base or site, run once, with nothing left of it when it is over.
//!
//! It runs in a process group of its own: at its time limit, and after its end, whatever is left of the group is killed. It gets no
//! input, a fixed environment, and no shell sees its arguments. It is run only from a file system this start has verified: the path
//! was signed, and this makes sure that what it leads to was signed as well.

use std::collections::VecDeque;
use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::{Miss, Seen};

/// Runs `words` if the program lies on one of the file systems of `verified`.
pub fn look(words: &[String], verified: &[PathBuf], time: Duration) -> Seen {
    let Some((program, arguments)) = words.split_first() else { return Err(Miss::new("no program is named")) };
    let program =
        fs::canonicalize(program).map_err(|problem| Miss::new(format!("there is no such program: {problem}")))?;
    if !is_on(&program, verified) {
        return Err(Miss::new("the program is not on the verified base or site"));
    }
    let failed = |problem: std::io::Error| Miss::new(format!("cannot be run: {problem}"));
    let (mut reader, writer) = std::io::pipe().map_err(failed)?;
    let mut command = Command::new(&program);
    command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(failed)?).stderr(writer).process_group(0);
    let mut child = command.spawn().map_err(failed)?;
    // It holds the writing end of the pipe: with it gone, the pipe ends when the program and its children have.
    drop(command);
    let mut tail = Tail::default();
    let in_time = wait(&child, &mut reader, &mut tail, time);
    // Before its remains are taken away: until then nobody else can get its number, which is the number of its group.
    kill_group(&child);
    let ended = child.wait();
    let saw = match (in_time, ended) {
        (Ok(true), Ok(status)) if status.success() => return Ok(()),
        (Ok(true), Ok(status)) => status.to_string(),
        (Ok(false), Ok(_)) => format!("not finished within {} s; killed", time.as_secs()),
        (Err(problem), _) | (_, Err(problem)) => problem.to_string(),
    };
    let output = tail.text();
    let last = output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let saw = if last.is_empty() { saw } else { format!("{saw}: {last}") };
    Err(Miss { saw, output })
}

/// Whether a file lies on the same file system as one of these folders.
fn is_on(program: &Path, verified: &[PathBuf]) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let Some(own) = device(program) else { return false };
    verified.iter().any(|folder| device(folder) == Some(own))
}

/// Reads along until the program ends; false when it has not in time. Children it leaves behind may hold the pipe: they are not
/// waited for.
fn wait(child: &Child, reader: &mut std::io::PipeReader, tail: &mut Tail, time: Duration) -> std::io::Result<bool> {
    let started = Instant::now();
    let mut open = true;
    loop {
        let ended = has_ended(child)?;
        let left = time.saturating_sub(started.elapsed());
        if !ended && left.is_zero() {
            return Ok(false);
        }
        // Ended: only what is in the pipe already. Else a short wait, as the end of a program wakes nobody here.
        let pause = if ended { Duration::ZERO } else { left.min(PAUSE) };
        let readable = if open { readable(reader, pause)? } else { rest(pause) };
        if readable {
            let mut piece = [0; 4096];
            match reader.read(&mut piece)? {
                0 => open = false,
                read => tail.push(piece.get(..read).unwrap_or_default()),
            }
        } else if ended {
            return Ok(true);
        }
    }
}

/// Leaves its remains, so that its number stays taken.
fn has_ended(child: &Child) -> std::io::Result<bool> {
    let number = i32::try_from(child.id()).map_err(std::io::Error::other)?;
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    Ok(waitid(Id::Pid(Pid::from_raw(number)), flags)? != WaitStatus::StillAlive)
}

fn rest(pause: Duration) -> bool {
    std::thread::sleep(pause);
    false
}

fn readable(reader: &std::io::PipeReader, pause: Duration) -> std::io::Result<bool> {
    let mut ends = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO);
    match poll(&mut ends, timeout) {
        Ok(number) => Ok(number > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(problem) => Err(problem.into()),
    }
}

/// Nothing of the group is wanted any more; usually there is nothing left, and nothing to be told about.
fn kill_group(child: &Child) {
    if let Ok(number) = i32::try_from(child.id()) {
        killpg(Pid::from_raw(number), Signal::SIGKILL).unwrap_or_default();
    }
}

/// The end of what a program printed, in bounded memory.
#[derive(Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let over = self.0.len().saturating_sub(OUTPUT);
        self.0.drain(..over);
    }

    fn text(&self) -> String {
        let (first, second) = self.0.as_slices();
        String::from_utf8_lossy(&[first, second].concat()).into_owned()
    }
}

/// Most bytes kept of a program's output.
const OUTPUT: usize = 4 << 10;
const PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, time: u64) -> Seen {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        look(&words, &["/bin/".into()], Duration::from_secs(time))
    }

    #[test]
    fn success_is_well_and_failure_says_how_it_ended_and_what_it_printed() {
        assert_eq!(run("exit 0", 5), Ok(()));
        let miss = run("echo first; echo the end >&2; exit 3", 5).unwrap_err();
        assert_eq!((miss.saw.as_str(), miss.output.as_str()), ("exit status: 3: the end", "first\nthe end\n"));
        assert!(run("kill -9 $$", 5).unwrap_err().saw.starts_with("signal: 9"));
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let started = Instant::now();
        let miss = run(&format!("sleep 1000 & echo $! >{}; wait", file.display()), 1).unwrap_err();
        assert!(miss.saw.starts_with("not finished within 1 s; killed"), "{miss:?}");
        assert!(started.elapsed() < Duration::from_secs(10));
        let child = fs::read_to_string(file).unwrap();
        let gone = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            // An ended process that nobody waits for yet has no arguments.
            fs::read(format!("/proc/{}/cmdline", child.trim())).map_or(true, |line| line.is_empty())
        });
        assert!(gone, "its child lives on");
    }

    #[test]
    fn a_child_left_behind_neither_delays_the_answer_nor_survives() {
        let started = Instant::now();
        assert_eq!(run("sleep 1000 & exit 0", 30), Ok(()));
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn output_without_end_costs_little_and_its_end_is_kept() {
        let miss = run("yes | head -c 3000000; echo; echo over; exit 1", 20).unwrap_err();
        assert!(miss.output.len() <= OUTPUT && miss.output.ends_with("over\n"), "{}", miss.output.len());
        assert!(run("yes", 1).unwrap_err().output.len() <= OUTPUT);
    }

    #[test]
    fn only_programs_of_a_verified_file_system_are_run() {
        let mark = |seen: Seen| seen.unwrap_err().saw;
        let words = ["/bin/sh", "-c", "exit 0"].map(str::to_owned);
        assert!(
            mark(look(&words, &["/proc".into()], Duration::from_secs(5))).contains("not on the verified base or site")
        );
        assert!(mark(look(&words, &[], Duration::from_secs(5))).contains("not on the verified"));
        assert!(
            mark(look(&["/none".into()], &["/".into()], Duration::from_secs(5)))
                .starts_with("there is no such program")
        );
    }
}
