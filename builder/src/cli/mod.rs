//! The command line: one verb, one file.

mod build;
mod depot;
mod diff;
mod export;
mod init;
mod inspect;
mod keys;
pub mod output;
mod package;
mod plan;
mod progress;
mod sign;
mod verify;

use builder::Result;
use clap::{Parser, Subcommand};

/// Build signed A/B appliance images, without root
#[derive(Debug, Parser)]
#[command(name = "bulkhead", version, max_term_width = 80, after_help = EXIT_CODES)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a folder with a recipe, an overlay and development keys to start from
    Init(init::Arguments),
    /// Make signing keys
    Keys(keys::Arguments),
    /// Print what a build would do, and stop
    Plan(plan::Arguments),
    /// Build the disk image a recipe describes, and the packages that update to it
    Build(build::Arguments),
    /// Print what is inside a disk image, package or path bundle, read with our own code only
    Inspect(inspect::Arguments),
    /// Check every digest and signature of a disk image, package or path bundle and name the place that is wrong
    Verify(verify::Arguments),
    /// Say what changes from one package to another, and how much of it must be fetched
    Diff(diff::Arguments),
    /// Make packages that have no image: licences
    Package(package::Arguments),
    /// Add a signature to a package, for appliances that want more than one
    Sign(sign::Arguments),
    /// Wrap a raw disk image for a hypervisor
    Export(export::Arguments),
    /// Publish packages: a folder of static, signed files for any web server
    Depot(depot::Arguments),
}

impl Arguments {
    /// Runs the verb.
    pub fn run(self) -> Result<()> {
        match self.verb {
            Verb::Init(arguments) => arguments.run(),
            Verb::Keys(arguments) => arguments.run(),
            Verb::Plan(arguments) => arguments.run(),
            Verb::Build(arguments) => arguments.run(),
            Verb::Inspect(arguments) => arguments.run(),
            Verb::Verify(arguments) => arguments.run(),
            Verb::Diff(arguments) => arguments.run(),
            Verb::Package(arguments) => arguments.run(),
            Verb::Sign(arguments) => arguments.run(),
            Verb::Export(arguments) => arguments.run(),
            Verb::Depot(arguments) => arguments.run(),
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 2 usage, 3 bad input, 4 verification failed,
5 refused, 6 I/O or environment, 70 bug.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn help_of_every_verb_fits_80_columns() {
        fn walk(command: &mut clap::Command) {
            let help = command.render_long_help().to_string();
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
            for sub in command.get_subcommands_mut() {
                walk(sub);
            }
        }
        let mut command = Arguments::command();
        command.build();
        walk(&mut command);
    }
}
