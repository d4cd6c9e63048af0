//! Accounts and the audit log, for whoever is at the machine.

use std::io::{self, BufRead as _, IsTerminal as _};

use super::passphrase::typed;
use super::{Agent, say_answer};
use crate::account::Role;
use crate::account::password::Password;
use crate::api::people::{Accounts, Change, Log};
use crate::error::{Doing, Error, Result};
use crate::status::print_json;

/// Options of `claim-code`.
#[derive(Debug, clap::Args)]
pub struct ClaimCode {
    #[command(flatten)]
    agent: Agent,
}

/// Prints the code.
pub fn claim_code(options: &ClaimCode) -> Result<()> {
    match options.agent.client()?.get::<Option<String>>("/v1/claim-code")? {
        Some(code) => println!("{code}"),
        None => println!(
            "there is no claim code: this appliance has accounts already (\"update-agent account list\"), or answers no browsers \
             (\"serve --https\")"
        ),
    }
    Ok(())
}

/// Options of `account`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    agent: Agent,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List accounts and tokens
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Add an account; its password is asked for, or read from standard input
    Add {
        /// Name of the account
        name: String,
        /// What it may do: viewer, operator or administrator
        #[arg(long, value_parser = role)]
        role: Role,
    },
    /// Set a password; it is asked for, or read from standard input
    Password {
        /// Name of the account
        name: String,
    },
    /// Give an account another role
    Role {
        /// Name of the account
        name: String,
        /// What it may do: viewer, operator or administrator
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Remove an account
    Remove {
        /// Name of the account
        name: String,
    },
    /// Make a token for a program and print it; it cannot be shown again
    Token {
        /// Name of the token
        name: String,
        /// What it may do: viewer, operator or administrator
        #[arg(long, value_parser = role)]
        role: Role,
        /// Days until it ends
        #[arg(long, default_value_t = 365)]
        days: u32,
    },
    /// Remove a token
    RemoveToken {
        /// Name of the token
        name: String,
    },
    /// Forget all accounts and tokens: the appliance is claimed anew
    ForgetAll,
}

fn role(text: &str) -> std::result::Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.word() == text);
    found.ok_or_else(|| "it is viewer, operator or administrator".into())
}

/// Does it.
pub fn run(options: &Options) -> Result<()> {
    let client = options.agent.client()?;
    let change = match &options.command {
        Command::List { json } => {
            let accounts: Accounts = client.get("/v1/accounts")?;
            if *json {
                return print_json(&accounts);
            }
            list(&accounts);
            return Ok(());
        }
        Command::ForgetAll => return options.agent.remove("/v1/accounts"),
        Command::Add { name, role } => {
            Change::AddAccount { name: name.clone(), role: *role, password: new_password()? }
        }
        Command::Password { name } => {
            Change::SetPassword { name: name.clone(), password: new_password()?, present: None }
        }
        Command::Role { name, role } => Change::SetRole { name: name.clone(), role: *role },
        Command::Remove { name } => Change::RemoveAccount { name: name.clone() },
        Command::Token { name, role, days } => Change::AddToken { name: name.clone(), role: *role, days: *days },
        Command::RemoveToken { name } => Change::RemoveToken { name: name.clone() },
    };
    say_answer(&client.post("/v1/accounts", &change)?);
    Ok(())
}

fn list(accounts: &Accounts) {
    for one in &accounts.accounts {
        println!("{:<32} {}", one.name, one.role);
    }
    for one in &accounts.tokens {
        let end = i64::try_from(one.expires).map(formats::manifest::Date::shown).unwrap_or_default();
        println!("{:<32} {}, token until {end}", one.name, one.role);
    }
    if accounts.accounts.is_empty() {
        println!("nobody has an account; \"update-agent claim-code\" prints the code for the first one");
    }
}

/// Typed twice at a terminal, without showing it; else the first line of standard input.
fn new_password() -> Result<Password> {
    if !io::stdin().is_terminal() {
        return line();
    }
    let first = typed("new password: ")?;
    if first == typed("the same again: ")? {
        Ok(Password::from(first))
    } else {
        Err(Error::Usage("the two passwords differ".into()))
    }
}

fn line() -> Result<Password> {
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text).doing(|| "read a password".into())?;
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Ok(Password::new(text))
}

/// Options of `audit`.
#[derive(Debug, clap::Args)]
pub struct Audit {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: Agent,
}

/// Prints the last lines, and fails when one is not as it was written.
pub fn audit(options: &Audit) -> Result<()> {
    let log: Log = options.agent.client()?.get("/v1/audit")?;
    if options.json {
        print_json(&log)?;
    } else {
        for line in &log.lines {
            let time = i64::try_from(line.time).map(|unix| formats::window::local(unix, 0)).unwrap_or_default();
            println!(
                "{} {time} {} ({}): {} {} [{}]",
                line.number, line.actor, line.source, line.action, line.about, line.outcome
            );
        }
        if let Some(head) = log.head {
            println!("every line follows from the one before; the last is {}, SHA-256 {}", head.number, head.digest);
        }
    }
    match log.broken {
        Some(broken) => Err(broken.into()),
        None => Ok(()),
    }
}
