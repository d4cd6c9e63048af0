//! `bulkhead-vm`: starts an appliance image in QEMU, shows its serial console, and says whether it came up.
//!
//! Exit codes: 0 as expected, 2 usage, 3 bad input, 4 the guest did not do what was expected, 6 environment.

#![forbid(unsafe_code)]

mod boot;
#[path = "power_cut/command.rs"]
mod power_cut;
mod scenarios;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use qemu::forge::Fault;

/// Boots appliance images in QEMU
#[derive(Debug, Parser)]
#[command(name = "bulkhead-vm", version, max_term_width = 80)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Boot an image and show its serial console
    Boot(boot::Boot),
    /// Record every write of an update, then judge and boot what cuts leave
    #[command(subcommand)]
    PowerCut(power_cut::PowerCut),
    /// Play scenarios: what is done to an appliance, and what has to be seen
    Scenario(scenarios::Scenarios),
    /// Make a package that is validly signed and wrong, from one that is right
    Forge(Forge),
    /// Serve one connection of a guest to a scenario's depot; the emulator starts it
    #[command(name = qemu::depot::VERB, hide = true)]
    DepotConnection {
        /// Folder with the order and the log
        state: PathBuf,
        /// The guest speaks TLS
        #[arg(long)]
        tls: bool,
    },
    /// Take one letter of a guest; the emulator starts it
    #[command(name = qemu::mail::VERB, hide = true)]
    MailConnection {
        /// Folder for the letters
        state: PathBuf,
    },
    /// Say whether this machine can run guests under KVM, by running one
    Probe,
}

/// Options of `forge`.
#[derive(Debug, Args)]
struct Forge {
    /// The package to start from
    package: PathBuf,
    /// The new package; must not exist
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// What shall be wrong with it
    #[arg(long, value_enum)]
    fault: Fault,
    /// Keys directory with the key that signed the package
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Boot(boot) => boot.run(),
        Verb::PowerCut(power_cut) => power_cut.run(),
        Verb::Scenario(scenarios) => scenarios.run(),
        Verb::Forge(forge) => qemu::forge::forge(&forge.package, &forge.output, &forge.keys, forge.fault),
        Verb::DepotConnection { state, tls } => {
            let serve = if tls { qemu::depot::connection::serve_encrypted } else { qemu::depot::connection::serve };
            serve(&state, std::io::stdin(), std::io::stdout());
            Ok(())
        }
        Verb::MailConnection { state } => {
            qemu::mail::serve(&state, std::io::stdin(), std::io::stdout());
            Ok(())
        }
        Verb::Probe => {
            println!("kvm: {}", qemu::accelerator::probe(qemu::Accelerator::Kvm));
            println!("tcg: {}", qemu::accelerator::probe(qemu::Accelerator::Tcg));
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bulkhead-vm: {}", error.chain());
            ExitCode::from(error.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_help_fits_80_columns() {
        Cli::command().debug_assert();
        let mut command = Cli::command().term_width(80);
        command.build();
        for verb in ["boot", "scenario", "forge", "probe"] {
            let help = command.find_subcommand_mut(verb).unwrap().render_long_help().to_string();
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        }
    }

    #[test]
    fn secure_boot_needs_keys_and_modes_exclude_each_other() {
        let parse = |words: &str| Cli::try_parse_from(words.split(' '));
        assert!(parse("bulkhead-vm boot x.img --firmware secure-boot --keys keys --forward 8080:80").is_ok());
        for words in [
            "bulkhead-vm boot x.img --firmware secure-boot",
            "bulkhead-vm boot x.img --interactive --expect x",
            "bulkhead-vm boot x.img --interactive --json",
            "bulkhead-vm boot x.img --forward x",
            "bulkhead-vm boot x.img --memory 1MB",
            "bulkhead-vm boot",
            "bulkhead-vm scenario",
            "bulkhead-vm scenario x --set y",
            "bulkhead-vm scenario x --firmware floppy",
            "bulkhead-vm scenario x --jobs 0",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
