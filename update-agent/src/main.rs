//! The command line of the update agent. Everything it does is in the library beside it.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use update_agent::command::{
    account, backup, cert, download_key, factory_reset, health, history, install, licences, mail, network, notes,
    packages, preflight, report, simple, support, updates, upgrade,
};
use update_agent::error::Result;
use update_agent::{api, certificates, console, fetch, reader, serve, status, web};

/// Keeps this appliance up to date and says what it runs
#[derive(Debug, Parser)]
#[command(name = "update-agent", version, max_term_width = 80, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what runs, what is on trial, what failed, what the next restart does
    Status(status::Options),
    /// Install a base or site into the slot nothing runs from, or a licence
    Install(install::Options),
    /// Say what is to be known before something is installed
    Preflight(preflight::Options),
    /// Keep the release on trial
    Commit(simple::Commit),
    /// Go back to the release before, or take back what waits for a restart
    Rollback(simple::Rollback),
    /// Restart the appliance, unless something is at work on it
    Restart(simple::Down),
    /// Turn the appliance off, unless something is at work on it
    Shutdown(simple::Down),
    /// List what was installed and how it ended
    History(history::Options),
    /// Say what came of installations, with what was found before them
    Report(report::Options),
    /// Destroy everything in /data and start as for the first time
    FactoryReset(factory_reset::Options),
    /// Run every health check now
    Health(health::Options),
    /// Show status and a menu to whoever is at this terminal
    Console(console::Options),
    /// Show or set how this appliance gets its address
    Network(network::Options),
    /// Make, list, try and restore backups
    Backup(backup::Options),
    /// Feed the watchdog and commit the running slot once it is healthy
    Serve(serve::Options),
    /// List the licences, how much they give, and until when
    Licences(licences::Options),
    /// Copy a package to the data partition, to be installed later
    Stage(packages::Stage),
    /// List the staged packages
    Staged(packages::Staged),
    /// Remove a staged package
    Discard(packages::Discard),
    /// Print the licence terms that come with a package
    Eula(packages::Eula),
    /// Say what the agent is doing, or how its last job ended
    Job(packages::Job),
    /// Ask the depot what there is, and list it
    Check(updates::Check),
    /// List the updates the depot offered when it was last asked
    List(updates::List),
    /// Say which packages in which order lead to a release
    Plan(updates::Plan),
    /// Make a key by which a depot elsewhere can make a bundle for this appliance
    DownloadKey(download_key::Options),
    /// Print the release notes of all packages that lead to a release
    Notes(notes::Options),
    /// Install everything on the way to a release, in order, through restarts
    Upgrade(upgrade::Options),
    /// Say who is told about updates by mail, or send a test
    Mail(mail::Options),
    /// Show, import, export, request and bind certificates
    Cert(cert::Options),
    /// Print the code by which the first account is made in a browser
    ClaimCode(account::ClaimCode),
    /// List and change who may sign in
    Account(account::Options),
    /// Make one file for whoever helps, without secrets, or say what is in it
    Support(support::Options),
    /// Print who did what, and check that nobody changed the log
    Audit(account::Audit),
    /// Fetch files for another update-agent
    #[command(hide = true)]
    Fetch,
    /// Serve clients for another update-agent
    #[command(hide = true)]
    ServeApi,
    /// Read certificates for another update-agent
    #[command(hide = true)]
    ReadCertificates,
    /// Serve browsers for another update-agent
    #[command(hide = true)]
    ServeWeb,
    /// Take a package apart for another update-agent
    #[command(hide = true)]
    ReadPackage,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 2 usage, 3 bad input, 4 verification failed,\n\
    5 refused by state or requirement, 6 I/O or environment, 70 bug";

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("update-agent: {problem} [{}]", problem.code());
            problem.exit_code()
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    match &cli.command {
        Command::Status(options) => status::run(options),
        Command::Install(options) => install::run(options),
        Command::Preflight(options) => preflight::run(options),
        Command::Commit(options) => simple::commit(options),
        Command::Rollback(options) => simple::rollback(options),
        Command::Restart(options) => simple::restart(options),
        Command::Shutdown(options) => simple::shutdown(options),
        Command::History(options) => history::run(options),
        Command::Report(options) => report::run(options),
        Command::FactoryReset(options) => factory_reset::run(options),
        Command::Health(options) => health::run(options),
        Command::Console(options) => console::run(options),
        Command::Network(options) => network::run(options),
        Command::Backup(options) => backup::run(options),
        Command::Serve(options) => serve::run(options),
        Command::Licences(options) => licences::run(options),
        Command::Stage(options) => packages::stage(options),
        Command::Staged(options) => packages::staged(options),
        Command::Discard(options) => packages::discard(options),
        Command::Eula(options) => packages::eula(options),
        Command::Job(options) => packages::job(options),
        Command::Check(options) => updates::check(options),
        Command::List(options) => updates::list(options),
        Command::Plan(options) => updates::plan(options),
        Command::DownloadKey(options) => download_key::run(options),
        Command::Notes(options) => notes::run(options),
        Command::Upgrade(options) => upgrade::run(options),
        Command::Mail(options) => mail::run(options),
        Command::Cert(options) => cert::run(options),
        Command::Fetch => fetch::child::run(),
        Command::ServeApi => api::child::run(),
        Command::ReadCertificates => certificates::reader::run(),
        Command::ClaimCode(options) => account::claim_code(options),
        Command::Account(options) => account::run(options),
        Command::Support(options) => support::run(options),
        Command::Audit(options) => account::audit(options),
        Command::ServeWeb => web::child::run(),
        Command::ReadPackage => reader::child::run(),
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
