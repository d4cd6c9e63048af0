//! The support bundle: one file with what somebody elsewhere needs to understand this appliance, and without its secrets
//! (`docs/support.md`).
//!
//! [`Part`] is the table of what is in it and why. [`Sources`] gets each part, [`redact`] takes secrets out, [`bundle`] keeps to the limits,
//! lists what came of it and writes the archive. Nothing of it is kept on the appliance.

pub mod bundle;
pub mod machine;
pub mod redact;

use serde_json::Value;

use crate::account::Role;
use crate::error::Result;
use crate::secret::Secret;

/// Something that is in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What runs.
    Status,
    /// The journal.
    History,
    /// The checks.
    Health,
    /// What the agent said.
    Agent,
    /// Releases that were given up.
    Failed,
    /// What installations did.
    Reports,
    /// The last job.
    Job,
    /// The way to the newest release.
    Preflight,
    /// What the depot offers.
    Updates,
    /// Where it is.
    Depot,
    /// Packages that are here.
    Staged,
    /// Licences.
    Licences,
    /// Addresses.
    Network,
    /// Who is told.
    Mail,
    /// Certificates.
    Certificates,
    /// Backups.
    Backups,
    /// Memory and disks.
    Machine,
    /// Who did what.
    Audit,
    /// What the kernel said.
    Kernel,
}

impl Part {
    /// All of them. What comes first has room first.
    pub const ALL: [Self; 19] = [
        Self::Status,
        Self::History,
        Self::Health,
        Self::Agent,
        Self::Machine,
        Self::Kernel,
        Self::Failed,
        Self::Job,
        Self::Preflight,
        Self::Updates,
        Self::Depot,
        Self::Network,
        Self::Licences,
        Self::Certificates,
        Self::Staged,
        Self::Reports,
        Self::Backups,
        Self::Mail,
        Self::Audit,
    ];

    /// Its file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status.json",
            Self::History => "history.json",
            Self::Health => "health.json",
            Self::Agent => "agent.log",
            Self::Failed => "failed-releases.log",
            Self::Reports => "reports.json",
            Self::Job => "job.json",
            Self::Preflight => "preflight.json",
            Self::Updates => "updates.json",
            Self::Depot => "depot.json",
            Self::Staged => "staged.json",
            Self::Licences => "licences.json",
            Self::Network => "network.json",
            Self::Mail => "mail.json",
            Self::Certificates => "certificates.json",
            Self::Backups => "backups.json",
            Self::Machine => "machine.txt",
            Self::Audit => "audit.json",
            Self::Kernel => "kernel.log",
        }
    }

    /// Why it is in it.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Status => "what runs, both copies of the boot state, the slots and their releases, failed starts",
            Self::History => "the journal: what was installed, kept and given up, and why",
            Self::Health => "every health check, run now, with what it saw",
            Self::Agent => "what the update agent said since it started",
            Self::Failed => "why releases were given up, with the kernel's log of that moment",
            Self::Reports => "what installations found, did and how they ended",
            Self::Job => "what is being done now, or was done last",
            Self::Preflight => "what stands in the way of the newest release",
            Self::Updates => "what the depot offers, and how it was asked last",
            Self::Depot => "which depot is asked, how, and when",
            Self::Staged => "the packages that are ready to be installed",
            Self::Licences => "the licences and until when they are good",
            Self::Network => "how the appliance gets its address, and which it has",
            Self::Mail => "who is told about updates, and how the last message ended",
            Self::Certificates => {
                "certificates, their names and ends, and what is to be said about them; public parts only"
            }
            Self::Backups => "which backups there are, how old they are, and what is set",
            Self::Machine => "memory, disks, mounts, uptime, kernel and its command line",
            Self::Audit => "who did what, and what was refused",
            Self::Kernel => "the end of the kernel's log",
        }
    }

    /// Who may have it.
    pub const fn role(self) -> Role {
        match self {
            Self::Audit => Role::Administrator,
            _ => Role::Operator,
        }
    }

    /// Which end of a list goes when it is too long.
    const fn oldest_last(self) -> bool {
        matches!(self, Self::Reports)
    }
}

/// A part as it was found.
#[derive(Debug, Clone)]
pub enum Raw {
    /// JSON.
    Facts(Value),
    /// Lines, which need not be text.
    Text(Vec<u8>),
}

/// Where the parts come from: the running agent, or a test.
pub trait Sources {
    /// One of them.
    fn read(&self, part: Part) -> Result<Raw>;
    /// The secrets the appliance has, to be looked for everywhere.
    fn secrets(&self) -> Vec<Secret>;
}

/// What is never in a bundle, and why.
pub const NEVER: [(&str, &str); 6] = [
    (
        "private keys",
        "keys of certificates, of signing requests and of the appliance itself would let others pass for it",
    ),
    ("passwords", "the files with passwords of mail server and proxy and with the passphrase of backups"),
    ("accounts", "hashes of passwords and tokens, sessions and the claim code would help to sign in"),
    ("data of the site", "what the application keeps is its users' and not needed to understand updates"),
    ("backups", "they have every secret of the appliance in them; the list of them is here"),
    ("packages", "whoever helps has them already; their names and digests are here"),
];
