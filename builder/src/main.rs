//! The `bulkhead` program: parses the command line, runs one verb, prints the error chain once, and ends with the exit code of
//! design section 8.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::output::note(builder::error::chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}
