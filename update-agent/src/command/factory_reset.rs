//! `factory-reset`: orders the destruction of everything on the data partition for the next start, or takes the order back.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};

use formats::Guid;
use formats::reset_record::Then;
use nix::unistd::Uid;

use super::install::{Bar, restart};
use crate::error::{At, Doing, Error, Result};
use crate::lifecycle::{ResetRequest, silent};
use crate::serve::log;
use crate::workplace::{self, Access, Workplace};

/// Options of `factory-reset`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The site's host name (the product's name without a site), to confirm;
    /// asked for on a terminal when absent
    #[arg(long, value_name = "TEXT", conflicts_with = "cancel")]
    confirm: Option<String>,
    /// Turn the appliance off after the reset instead of starting it
    #[arg(long, conflicts_with = "cancel")]
    power_off: bool,
    /// Take a reset that waits for the restart back
    #[arg(long)]
    cancel: bool,
    #[command(flatten)]
    place: workplace::Place,
}

/// Orders the reset and restarts, or takes the order back.
pub fn run(options: &Options) -> Result<()> {
    let workplace = Workplace::open(&options.place, Access::Change)?;
    if options.cancel {
        super::conclude(&workplace, &workplace.agent(&silent).cancel_reset()?);
        return Ok(());
    }
    let confirm = match &options.confirm {
        Some(text) => text.clone(),
        None => typed(&workplace)?,
    };
    let bar = Bar::new();
    let progress = |phase, done, all| bar.show(phase, done, all);
    let then = if options.power_off { Then::PowerOff } else { Then::Start };
    let request = ResetRequest { confirm: &confirm, then, by: &caller(), id: fresh_id()?, now: workplace::now() };
    let result = workplace.agent(&progress).factory_reset(&request);
    bar.end();
    super::conclude(&workplace, &result?);
    if workplace.is_image() {
        return Ok(());
    }
    log("restarting; until then \"update-agent factory-reset --cancel\" takes it back");
    restart()
}

/// Asks on the terminal. The words are shown: this is against a slip of the hand, it is no password.
fn typed(workplace: &Workplace) -> Result<String> {
    let facts = workplace.agent(&silent).facts();
    let wanted = facts.reset_confirmation().unwrap_or_default();
    if !io::stdin().is_terminal() {
        return Err(Error::Usage(format!("a factory reset needs --confirm {wanted}")));
    }
    eprintln!("This destroys everything on the data partition: settings, journal, whatever the site stored.");
    eprintln!("The installed releases stay. There is no way back once the appliance has restarted.");
    eprint!("Type \"{wanted}\" to go on: ");
    let mut line = String::new();
    io::stderr().flush().and_then(|()| io::stdin().read_line(&mut line)).doing(|| "read the answer".into())?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// `root`, or the number of the user.
fn caller() -> String {
    let user = Uid::effective();
    if user.is_root() { "root".into() } else { format!("user {user}") }
}

/// Random numbers of the kernel, as text.
fn fresh_id() -> Result<Guid> {
    let path = "/proc/sys/kernel/random/uuid";
    let text = fs::read_to_string(path).doing(|| format!("read \"{path}\""))?;
    text.trim().parse().at(|| path.into())
}
