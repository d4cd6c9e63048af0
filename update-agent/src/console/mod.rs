//! `console`: the screen and the menu for whoever stands at the machine, on its display or its serial line.
//!
//! Plain text for 80 columns and 24 lines; the only control sequence is the one that clears the screen. What it shows is derived from
//! the disk anew each time, as `status` does it; what is chosen becomes commands of this program ([`menu`]), run on the same terminal.
//! Who may use it is not its business: whoever starts it on a terminal lets everybody in front of that terminal use it
//! (`docs/console.md`).

pub mod menu;
pub mod screen;
#[cfg(test)]
mod tests;

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use formats::boot_report::REPORT_PATH;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::menu::{Dialog, Order};
use self::screen::{View, screen};
use crate::api::SOCKET;
use crate::api::client::Client;
use crate::error::{Doing, Result};
use crate::licence::Directory;
use crate::lifecycle::{derive, silent, summarize};
use crate::upgrade::look::of_this_machine;
use crate::workplace::{self, Access, Workplace};
use crate::{network, status};

/// Options of `console`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=60))]
    refresh: u16,
    /// Print the screen once and end
    #[arg(long)]
    once: bool,
    /// Boot report of the initramfs program
    #[arg(long, value_name = "FILE", default_value = REPORT_PATH)]
    report: PathBuf,
}

/// Shows the screen until its terminal is gone.
pub fn run(options: &Options) -> Result<()> {
    let look = || look(&options.report);
    if options.once {
        println!("{}", screen(&look()?, &Dialog::Menu, None));
        return Ok(());
    }
    let mut input = Input::default();
    let mut dialog = Dialog::Menu;
    let mut note: Option<String> = None;
    let mut shown = String::new();
    loop {
        let view = look()?;
        let text = screen(&view, &dialog, note.as_deref());
        // Only when something changed: a line that is being typed would vanish from sight.
        if text != shown {
            show(&text).doing(|| "write to the terminal".into())?;
            shown = text;
        }
        let line = match input.line(Duration::from_secs(options.refresh.into())).doing(|| "read the terminal".into())? {
            Typed::Nothing => continue,
            Typed::End => return Ok(()),
            Typed::Line(line) => line,
        };
        let answer = dialog.answer(&line, &view);
        (dialog, note) = (answer.next, answer.note);
        shown.clear();
        if !answer.orders.is_empty() {
            carry_out(&answer.orders)?;
            show("\n Press Enter to go on: ").doing(|| "write to the terminal".into())?;
            if matches!(input.line(Duration::MAX).doing(|| "read the terminal".into())?, Typed::End) {
                return Ok(());
            }
        }
    }
}

/// Everything there is to show, read anew.
fn look(report: &Path) -> Result<View> {
    let report = status::report(report)?;
    let lifecycle = Workplace::appliance(&report, None, Access::Look).ok().and_then(|workplace| {
        let facts = workplace.agent(&silent).facts().ok()?;
        let licences = workplace.agent(&silent).licences(&Directory::new(Path::new(workplace::DATA))).ok()?;
        let upgrade = of_this_machine(&facts, &licences)
            .map(|told| told.map_or_else(|problem| problem, |outlook| outlook.summary));
        Some(((derive(&facts), summarize(&facts)), upgrade))
    });
    let (lifecycle, upgrade) = lifecycle.unzip();
    let mut failures = workplace::failures();
    failures.drain(..failures.len().saturating_sub(FAILURES_SHOWN));
    let setting = network::setting().map_or_else(|problem| format!("setting unusable: {problem}"), |it| it.to_string());
    let claim = Client::new(Path::new(SOCKET)).and_then(|agent| agent.get_within("/v1/claim-code", CLAIM_LIMIT));
    Ok(View {
        report,
        lifecycle,
        upgrade: upgrade.flatten(),
        failures,
        setting,
        addresses: network::addresses(),
        // An agent that does not answer must not keep anybody from seeing the rest.
        claim: claim.unwrap_or(None),
    })
}

/// For the claim code, the only thing on the screen the agent has to be asked for.
const CLAIM_LIMIT: Duration = Duration::from_secs(2);

/// Runs the commands on this terminal, one after the other, until one fails; each says itself what it did.
fn carry_out(orders: &[Order]) -> Result<()> {
    show(CLEAR).doing(|| "write to the terminal".into())?;
    for order in orders {
        let (mut command, shown) = match order {
            Order::Agent(words) => {
                let own = std::env::current_exe().doing(|| "find this program".into())?;
                let mut command = Command::new(own);
                command.args(words);
                (command, format!("update-agent {}", words.join(" ")))
            }
            Order::System(program) => (Command::new(program), (*program).to_owned()),
        };
        println!("# {shown}");
        let done = command.status();
        match done {
            Ok(status) if status.success() => {}
            Ok(status) => {
                println!("not done: \"{shown}\" ended with {status}");
                break;
            }
            Err(problem) => {
                println!("not done: cannot start \"{shown}\": {problem}");
                break;
            }
        }
    }
    Ok(())
}

fn show(text: &str) -> io::Result<()> {
    let clear = if text.starts_with('\n') { "" } else { CLEAR };
    // A serial line in raw mode does not go back to the first column by itself.
    let text = text.replace('\n', "\r\n");
    let mut output = io::stdout().lock();
    write!(output, "{clear}{text}")?;
    output.flush()
}

/// What came from the terminal.
enum Typed {
    /// A line without its end.
    Line(String),
    /// Nothing for as long as was waited.
    Nothing,
    /// Nothing ever again.
    End,
}

/// Lines from standard input, of which each may take its time.
#[derive(Default)]
struct Input(Vec<u8>);

impl Input {
    /// The next line, when it comes within `patience`.
    fn line(&mut self, patience: Duration) -> io::Result<Typed> {
        loop {
            if let Some(end) = self.0.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                let line = self.0.drain(..=end).collect::<Vec<u8>>();
                return Ok(Typed::Line(String::from_utf8_lossy(&line).into_owned()));
            }
            // Nobody types so much without an end.
            self.0.truncate(LONGEST_LINE);
            let stdin = io::stdin();
            let mut waiting = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::NONE);
            if poll(&mut waiting, timeout)? == 0 {
                return Ok(Typed::Nothing);
            }
            let mut bytes = [0; 256];
            let number = nix::unistd::read(stdin.as_fd(), &mut bytes)?;
            match bytes.get(..number) {
                None | Some([]) => return Ok(Typed::End),
                Some(typed) => self.0.extend_from_slice(typed),
            }
        }
    }
}

const CLEAR: &str = "\x1b[H\x1b[2J";
const FAILURES_SHOWN: usize = 2;
const LONGEST_LINE: usize = 256;
