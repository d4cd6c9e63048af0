//! `bulkhead depot`.

mod answer;
mod import;
mod look;
mod offer;
mod prune;
mod rotate;
mod serve;
mod set_up;
mod signing;
mod simulate;

use builder::Result;
use clap::Subcommand;

/// Publish packages: a folder of static, signed files for any web server
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an empty depot, signed by every key once
    Init(set_up::Init),
    /// Verify packages, put them into the depot, and list them in a channel
    Add(offer::Add),
    /// List a package of the depot in a further channel
    Promote(offer::Promote),
    /// Take a package back, with a reason that operators read
    Withdraw(offer::Withdraw),
    /// Define the rollout rings
    Rings(offer::Rings),
    /// Say which scenarios packages need before "add" takes them
    Require(set_up::Require),
    /// Sign anew what would expire; run it every day
    Refresh(set_up::Refresh),
    /// Give a role other keys
    Rotate(rotate::Rotate),
    /// Go on with a change that was signed elsewhere
    Import(import::Arguments),
    /// Remove files that no client needs any more
    Prune(prune::Arguments),
    /// Say what is wrong with a depot, or will be soon; exit code 4 with findings
    Lint(look::Lint),
    /// Print who signs, until when, and what each channel offers
    Show(look::Show),
    /// Answer the download key of an appliance without a network
    Answer(answer::Answer),
    /// Plan for an appliance that is elsewhere, as it would itself
    Plan(answer::Planning),
    /// Print what was downloaded by download keys
    Ledger(answer::LedgerArguments),
    /// Say what a depot has to serve when a fleet follows a release
    Simulate(simulate::Arguments),
    /// Serve a depot over HTTP, for tests and small sites
    Serve(serve::Arguments),
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        match self.verb {
            Verb::Init(arguments) => arguments.run(),
            Verb::Add(arguments) => arguments.run(),
            Verb::Promote(arguments) => arguments.run(),
            Verb::Withdraw(arguments) => arguments.run(),
            Verb::Rings(arguments) => arguments.run(),
            Verb::Require(arguments) => arguments.run(),
            Verb::Refresh(arguments) => arguments.run(),
            Verb::Rotate(arguments) => arguments.run(),
            Verb::Import(arguments) => arguments.run(),
            Verb::Prune(arguments) => arguments.run(),
            Verb::Lint(arguments) => arguments.run(),
            Verb::Show(arguments) => arguments.run(),
            Verb::Answer(arguments) => arguments.run(),
            Verb::Plan(arguments) => arguments.run(),
            Verb::Ledger(arguments) => arguments.run(),
            Verb::Simulate(arguments) => arguments.run(),
            Verb::Serve(arguments) => arguments.run(),
        }
    }
}
