//! `upgrade`: everything in order, through restarts, by itself.

use formats::catalogue::PackageId;

use crate::api;
use crate::error::Result;

/// Options of `upgrade`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent switch of the command line")]
pub struct Options {
    /// The package that is wanted in the end, for example
    /// site/demo-site-2.0.0; by default the newest there is a way to
    #[arg(long, value_name = "ID")]
    to: Option<PackageId>,
    /// Leave no time between sites for clients to follow; they may have to
    /// be installed anew
    #[arg(long, requires = "reason")]
    no_soak: bool,
    /// Why; the history keeps it
    #[arg(long, value_name = "TEXT", requires = "no_soak")]
    reason: Option<String>,
    /// Accept the licence terms of every package on the way
    #[arg(long)]
    accept_eula: bool,
    /// Take the packages that are staged, and do not ask the depot
    #[arg(long)]
    offline: bool,
    /// Make no backup before it although one is set; why. The history keeps
    /// it
    #[arg(long, value_name = "REASON")]
    no_backup: Option<String>,
    /// Make a backup before it, whatever is set
    #[arg(long, conflicts_with = "no_backup")]
    backup: bool,
    /// Take back the upgrade that is under way; what was installed stays
    #[arg(long, conflicts_with_all = ["to", "no_soak", "accept_eula", "offline", "backup"])]
    cancel: bool,
    #[command(flatten)]
    agent: super::Agent,
}

/// Has it begun, or taken back.
pub fn run(options: &Options) -> Result<()> {
    if options.cancel {
        return options.agent.remove("/v1/upgrade");
    }
    let order = api::Upgrade {
        to: options.to.clone(),
        no_soak: options.reason.clone(),
        accept_eula: options.accept_eula,
        offline: options.offline,
        no_backup: options.no_backup.clone(),
        backup: options.backup,
    };
    let wanted = api::Wanted { to: order.to.clone(), no_soak: order.no_soak.is_some() };
    if !order.offline {
        super::preflight::before(&options.agent, &api::Intent::Way(wanted));
    }
    options.agent.run("/v1/upgrade", &order)
}
