//! The interface of the running update agent: HTTP/1.1 with JSON on a Unix socket (`docs/api.md`, `docs/openapi.json`).
//!
//! The program that may write slots never talks to a client. A process of its own does ([`child`]): it has no rights, no files and no
//! network, owns the socket, takes HTTP apart, and turns what it finds into a [`Request`], one of a few typed things. The keeper
//! ([`crate::serve::keeper`]) receives it through [`channel`], decides, and answers with JSON. So a client that breaks into the
//! process it talks to can ask for what any client can ask for, and nothing else.
//!
//! [`route`] is the one table of what there is; [`client`] is the other end, for the commands.

mod actor;
mod backup;
mod certificates;
pub mod channel;
pub mod child;
pub mod client;
pub(crate) mod correspondent;
pub(crate) mod hurried;
mod network;
pub mod people;
pub mod role;
pub mod route;
mod upload;

use std::fmt;
use std::path::PathBuf;

use formats::catalogue::PackageId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;

pub use crate::certificates::export::Wanted as ExportCertificate;
pub use crate::depot::offer::Wanted;
pub use actor::Actor;
pub use backup::{BackupPiece, BackupSource, CreateBackup, Restore, SetBackups, TestBackup, key as backup_key};
pub use certificates::{BindCertificate, ImportCertificate, SigningRequest, UnbindCertificate};
pub use network::Network;
pub use upload::{BeginUpload, FinishUpload, UploadKind, UploadPiece};

/// The socket of an appliance.
pub const SOCKET: &str = "/run/bulkhead/agent.sock";
/// Longest request in bytes, with or without what HTTP puts around it.
pub const MAX_REQUEST: usize = 64 << 10;
/// The same where a file travels in it: a certificate with its key, 1 MiB, as base64.
pub const MAX_UPLOAD: usize = 1536 << 10;
/// Longest answer in bytes.
pub const MAX_ANSWER: usize = 4 << 20;

/// Who asks, as the kernel told the process that has the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// User.
    pub user: u32,
    /// Process.
    pub process: i32,
}

/// Something that is asked of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", content = "body", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// What runs, what is on trial, what failed, what the next restart does.
    Status,
    /// What the journal remembers.
    History,
    /// What came of installations.
    Reports,
    /// The job at work, or the last one.
    Job,
    /// What licences give.
    Licences,
    /// The packages that are staged.
    Staged,
    /// The licence terms in a package.
    Eula(Package),
    /// Ask the depot what there is.
    Check,
    /// What it offers.
    Updates,
    /// The way to a release.
    Plan(Wanted),
    /// What the appliance is and has, signed, for a depot elsewhere.
    DownloadKey,
    /// Fetch what is to be read before the way to a release is taken.
    Texts(Wanted),
    /// The release notes along it.
    Notes(Wanted),
    /// Follow the way to a release, through restarts.
    Upgrade(Upgrade),
    /// How far that is.
    UpgradeOutlook,
    /// Take that back.
    CancelUpgrade,
    /// What is to be known before something is installed.
    Preflight(Intent),
    /// Install a package.
    Install(Install),
    /// Copy a package to the data partition, checked.
    Stage(Stage),
    /// Remove a staged package.
    Discard(String),
    /// Keep what runs.
    Commit,
    /// Go back.
    Rollback(Rollback),
    /// Restart the machine.
    Restart,
    /// Turn it off.
    Shutdown,
    /// Run the health checks now.
    Health,
    /// Destroy everything on the data partition at the next start, which follows at once.
    FactoryReset(FactoryReset),
    /// Take that back.
    CancelReset,
    /// Who is told about updates by mail.
    Mail,
    /// Send a test.
    TestMail,
    /// How the machine gets its address.
    Network,
    /// Change that.
    SetNetwork(Network),
    /// The files that are being uploaded.
    Uploads,
    /// One of them.
    Upload(String),
    /// Make room for one.
    BeginUpload(BeginUpload),
    /// Take a piece of it.
    UploadPiece(UploadPiece),
    /// Take all of it in.
    FinishUpload(FinishUpload),
    /// Remove it.
    DiscardUpload(String),
    /// The backups that are kept, and what is set about them.
    Backups,
    /// One of them.
    Backup(String),
    /// A piece of one.
    BackupPiece(BackupPiece),
    /// Make one.
    CreateBackup(CreateBackup),
    /// Remove one.
    DeleteBackup(String),
    /// Read one to its end.
    TestBackup(TestBackup),
    /// Put one back.
    Restore(Restore),
    /// Say when and for whom they are made.
    SetBackups(SetBackups),
    /// The certificates, what is to be said about them, and what is bound.
    Certificates,
    /// Take one in.
    ImportCertificate(ImportCertificate),
    /// Give one out.
    ExportCertificate(ExportCertificate),
    /// Remove one.
    DeleteCertificate(String),
    /// Have it shown to clients.
    BindCertificate(BindCertificate),
    /// Not any more.
    UnbindCertificate(UnbindCertificate),
    /// Make a key, and what an authority is asked to sign for it.
    SigningRequest(SigningRequest),
    /// Remove that.
    DeleteSigningRequest(String),
    /// The code by which the first account is made; nothing when there is one.
    ClaimCode,
    /// Who may sign in, and with which tokens programs do.
    Accounts,
    /// Change that.
    ChangeAccounts(people::Change),
    /// Set the file of accounts aside, after which the appliance is claimed anew.
    ForgetAccounts,
    /// Who did what.
    Audit,
    /// What would be in a support bundle.
    Support,
    /// Make one.
    CreateSupport,
}

/// A package: a file on this machine, one that is staged, or one of the depot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Package {
    /// Absolute path.
    File(PathBuf),
    /// Its id, see [`crate::staging`].
    Staged(String),
    /// Its id in the depot.
    Depot(PackageId),
}

/// What is to be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Intent {
    /// A package.
    Package(Package),
    /// Every package on the way to a release.
    Way(Wanted),
}

/// An installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Install {
    /// What to install.
    pub package: Package,
    /// The hardware model this is, when the firmware does not tell.
    #[serde(default)]
    pub hardware: Option<String>,
    /// The licence terms in the package are accepted.
    #[serde(default)]
    pub accept_eula: bool,
    /// Restart into a new base at once.
    #[serde(default)]
    pub restart: bool,
    /// Take a path bundle whatever day it is; why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_expired: Option<String>,
    /// Make no backup before it, although the operator wants one; why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_backup: Option<String>,
    /// Make a backup before it, whatever is set.
    #[serde(default)]
    pub backup: bool,
}

/// An upgrade: every package on the way to a release, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Upgrade {
    /// What is wanted in the end; nothing: the newest there is a way to.
    #[serde(default)]
    pub to: Option<PackageId>,
    /// Why no time is left between sites for clients to follow; nothing: it is.
    #[serde(default)]
    pub no_soak: Option<String>,
    /// The licence terms of every package on the way are accepted.
    #[serde(default)]
    pub accept_eula: bool,
    /// Packages are taken from staging, and the depot is not asked.
    #[serde(default)]
    pub offline: bool,
    /// Make no backup before it, although the operator wants one; why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_backup: Option<String>,
    /// Make a backup before it, whatever is set.
    #[serde(default)]
    pub backup: bool,
}

impl Upgrade {
    /// Refuses a reason that says nothing, or too much.
    pub fn check(&self) -> crate::error::Result<()> {
        let wrong = |reason: &&String| reason.trim().is_empty() || reason.chars().count() > REASON;
        match self.no_soak.as_ref().filter(wrong) {
            Some(_) => {
                Err(Error::Usage(format!("the reason for leaving clients no time has 1 to {REASON} characters")))
            }
            None => Ok(()),
        }
    }
}

/// Characters of a reason.
const REASON: usize = 400;

/// What is to be staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Stage {
    /// A package or a path bundle; absolute path.
    File(PathBuf),
    /// A package of the depot.
    Depot(PackageId),
    /// A path bundle, whatever day it is.
    Expired(ExpiredBundle),
}

/// A path bundle whose last day may have passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExpiredBundle {
    /// Absolute path.
    pub file: PathBuf,
    /// Why it is taken all the same.
    pub reason: String,
}

/// A way back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rollback {
    /// Of the site instead of the base.
    #[serde(default)]
    pub site: bool,
}

/// A factory reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FactoryReset {
    /// The site's host name, or the product's name without a site.
    pub confirm: String,
    /// Turn the machine off afterwards.
    #[serde(default)]
    pub power_off: bool,
}

/// A request on its way to the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Repeated in the reply.
    pub id: u64,
    /// Who asks.
    pub peer: Peer,
    /// For what.
    #[serde(flatten)]
    pub request: Request,
}

/// The keeper's answer on its way back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Of the request.
    pub id: u64,
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Value,
}

impl Reply {
    /// The number of what nobody asked for.
    pub const NEWS: u64 = 0;
}

/// An error as clients get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// One of `docs/errors.md`.
    pub code: String,
    /// For people.
    pub message: String,
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        Self { code: error.code().into(), message: error.to_string() }
    }
}

/// Something that takes long, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Job {
    /// Counts up from 1 since the agent started.
    pub id: u64,
    /// `install`, `stage`, `commit`, …
    pub what: String,
    /// Who asked for it.
    pub by: String,
    /// Seconds since 1970 by the machine's clock.
    pub started: u64,
    /// What it is doing, for example `writing`; nothing when there is no measure of it.
    pub phase: Option<String>,
    /// Bytes of this phase that are done.
    pub done: u64,
    /// Bytes of this phase.
    pub of: u64,
    /// How it ended; nothing while it is at work.
    pub result: Option<Outcome>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// As it should.
    Done {
        /// What was done, a sentence each.
        steps: Vec<String>,
    },
    /// Not.
    Failed(Problem),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {}, process {}", self.user, self.process)
    }
}
