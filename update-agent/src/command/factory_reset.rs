//! `factory-reset`: orders the destruction of everything on the data partition for the next start, or takes the order back.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};

use formats::Guid;
use formats::reset_record::Then;
use nix::unistd::Uid;

use super::progress::Bar;
use super::{concluded, say};
use crate::api;
use crate::error::{At, Doing, Error, Result};
use crate::lifecycle::{ResetRequest, silent};
use crate::power::restart;
use crate::slot::{Phase, Progress};
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
    #[command(flatten)]
    agent: super::Agent,
}

/// Orders the reset and restarts, or takes the order back.
pub fn run(options: &Options) -> Result<()> {
    if options.cancel {
        return cancel(options);
    }
    let confirm = match &options.confirm {
        Some(text) => text.clone(),
        None => typed(&Workplace::open(&options.place, Access::Look)?)?,
    };
    let order = api::FactoryReset { confirm, power_off: options.power_off };
    if options.place.disk.is_none() {
        return options.agent.run("/v1/factory-reset", &order);
    }
    let workplace = Workplace::open(&options.place, Access::Change)?;
    let bar = Bar::new();
    let progress = |phase: Phase, done, all| bar.show(phase.words(), done, all);
    let result = perform(&workplace, &order, Uid::effective(), &progress);
    bar.end();
    say(&result?);
    Ok(())
}

fn cancel(options: &Options) -> Result<()> {
    if options.place.disk.is_none() {
        return options.agent.remove("/v1/factory-reset");
    }
    let workplace = Workplace::open(&options.place, Access::Change)?;
    let done = workplace.agent(&silent).cancel_reset()?;
    say(&concluded(&workplace, &done));
    Ok(())
}

/// Orders the reset for `user`, and restarts an appliance.
pub(crate) fn perform(
    workplace: &Workplace,
    order: &api::FactoryReset,
    user: Uid,
    progress: Progress<'_>,
) -> Result<Vec<String>> {
    let then = if order.power_off { Then::PowerOff } else { Then::Start };
    let by = if user.is_root() { "root".into() } else { format!("user {user}") };
    let request = ResetRequest { confirm: &order.confirm, then, by: &by, id: fresh_id()?, now: workplace::now() };
    let mut steps = concluded(workplace, &workplace.agent(progress).factory_reset(&request)?);
    if !workplace.is_image() {
        steps.push("restarting; until then \"update-agent factory-reset --cancel\" takes it back".into());
        restart()?;
    }
    Ok(steps)
}

/// Asks on the terminal. The words are shown: this is against a slip of the hand, it is no password.
fn typed(workplace: &Workplace) -> Result<String> {
    let facts = workplace.agent(&silent).facts()?;
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

/// Random numbers of the kernel, as text.
fn fresh_id() -> Result<Guid> {
    let path = "/proc/sys/kernel/random/uuid";
    let text = fs::read_to_string(path).doing(|| format!("read \"{path}\""))?;
    text.trim().parse().at(|| path.into())
}
