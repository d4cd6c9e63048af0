//! Keeps an appliance up to date and tells the truth about it.
//!
//! This version knows one boot: it says what runs (`status`), feeds the watchdog and commits the slot it runs from once the machine is
//! healthy (`serve`). It guarantees that it never writes anything but boot state blocks, always the older one, one sector, read back.
//!
//! What bytes mean is the business of `formats`; verifying and mounting happened before it, in the initramfs program.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic"))]

mod error;
mod judge;
mod serve;
mod state;
mod status;
mod watchdog;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Result;

/// Keeps this appliance up to date and says what it runs
#[derive(Debug, Parser)]
#[command(name = "update-agent", version, max_term_width = 80, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what runs, from which slot, whether it is verified, and what went wrong
    Status(status::Options),
    /// Feed the watchdog and commit the running slot once it is healthy
    Serve(serve::Options),
}

const EXIT_CODES: &str = "Exit codes: 0 done, 2 usage, 3 bad input, 4 verification failed,\n\
    5 refused by state or requirement, 6 I/O or environment, 70 bug";

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("update-agent: {problem}");
            problem.exit_code()
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    match &cli.command {
        Command::Status(options) => status::run(options),
        Command::Serve(options) => serve::run(options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn help_of_every_command_fits_80_columns() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        let mut texts = vec![command.render_long_help().to_string()];
        texts.extend(command.get_subcommands_mut().map(|sub| sub.render_long_help().to_string()));
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
