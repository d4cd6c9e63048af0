//! Failures, split by who must act; each has a [`Code`], and the exit code follows from that.

use std::io;
use std::process::ExitCode;

use crate::code::Code;
use crate::depot::clock::Clock;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine refused something, or this is no appliance.
    #[error("cannot {action}: {cause}")]
    System {
        /// What was tried, with its object.
        action: String,
        /// The answer.
        cause: io::Error,
    },
    /// Bytes that are not what they should be.
    #[error("{place}: {cause}")]
    Content {
        /// Where the bytes are.
        place: String,
        /// What is wrong with them.
        cause: formats::Error,
    },
    /// A package file that was good a moment ago.
    #[error(
        "{place} changed while it was installed: {cause}; the slot is empty and what runs keeps running: let nobody write to the \
         file and install it again"
    )]
    Changed {
        /// Which file.
        place: String,
        /// What is wrong with it now.
        cause: formats::Error,
    },
    /// The boot state does not allow it.
    #[error(transparent)]
    Refused(#[from] formats::boot_state::Refusal),
    /// What was written is not what is read.
    #[error("{0}")]
    NotKept(String),
    /// A package whose signed root hash is not that of its signed image.
    #[error("the package contradicts itself: {0}")]
    WrongRootHash(String),
    /// A slot is not what was signed any more.
    #[error("{0}")]
    Rotten(String),
    /// The lifecycle does not allow it now.
    #[error(transparent)]
    NotNow(#[from] crate::lifecycle::Refusal),
    /// The release does not suit this appliance.
    #[error(transparent)]
    Unfit(#[from] crate::lifecycle::Unfit),
    /// A factory reset without the right words.
    #[error("not confirmed: a factory reset of this appliance needs the text \"{wanted}\"")]
    NotConfirmed {
        /// What has to be typed.
        wanted: String,
    },
    /// Taking back what nobody asked for.
    #[error("no factory reset is pending")]
    NoResetPending,
    /// The site could not be switched; the one before runs again.
    #[error("the site is not switched: {0}")]
    SiteNotSwitched(String),
    /// The site could not be switched, and the one before does not run either.
    #[error("no site runs: {0}; restart the appliance to get the site before")]
    SiteDown(String),
    /// The base has no hook.
    #[error("this base cannot switch a site while it runs: it has no \"{0}\"; install a base that has one")]
    NoSiteHook(String),
    /// The package contradicts itself.
    #[error("the package is damaged: {0}")]
    Source(String),
    /// The process that reads packages died, lied or hung.
    #[error(
        "the process that reads the package failed: {0}; nothing of it is used, and the running system is as it was"
    )]
    Reader(String),
    /// Nobody answers on the socket.
    #[error(
        "the update agent does not answer at \"{}\": {why}; it runs as \"update-agent serve\", started by the init of the base; with \
         --disk a disk image file is changed without it", .socket.display()
    )]
    NoAgent {
        /// The socket.
        socket: std::path::PathBuf,
        /// What came instead of an answer.
        why: String,
    },
    /// The agent answered that it failed or refuses.
    #[error("{message}")]
    Told {
        /// Its words.
        message: String,
        /// Its code.
        code: Code,
    },
    /// Nobody waits for a job any more, which does not end it.
    #[error("the {what} goes on (job {id}); see how it ends with \"update-agent job\"")]
    StillAtWork {
        /// What it is.
        what: String,
        /// Its number.
        id: u64,
    },
    /// The agent restarted, or another job began.
    #[error(
        "nothing is known any more about the end of this {what}; see \"update-agent status\" and \"update-agent history\""
    )]
    JobLost {
        /// What it was.
        what: String,
    },
    /// One job at a time.
    #[error("the update agent is at work: {what} (job {id}); try again when it is done, see \"update-agent job\"")]
    AtWork {
        /// On what.
        what: String,
        /// Its number.
        id: u64,
    },
    /// The place of a download is needed.
    #[error("the download gave way to another job; what arrived is kept, and it goes on later from there")]
    GaveWay,
    /// A package comes with licence terms that nobody accepted.
    #[error(
        "{release} comes with licence terms that nobody accepted on this appliance (SHA-256 {digest}); read them with \"update-agent \
         eula\" and install with --accept-eula"
    )]
    TermsNotAccepted {
        /// Name and version.
        release: String,
        /// Of the text.
        digest: formats::Digest,
    },
    /// The data partition has no room for a package.
    #[error("{what} needs {needed} and \"{}\" has {free} free; discard staged packages or make room there", .place.display())]
    NoRoom {
        /// What does not fit.
        what: String,
        /// How much has to be free.
        needed: formats::Bytes,
        /// How much is.
        free: formats::Bytes,
        /// Where.
        place: std::path::PathBuf,
    },
    /// There is an end to what may be staged.
    #[error(
        "{name} is not staged: {count} packages are, and more than {most} are not kept; remove some with \"update-agent discard\""
    )]
    TooManyStaged {
        /// What was to be staged.
        name: String,
        /// How many are.
        count: usize,
        /// How many may be.
        most: usize,
    },
    /// What is kept of an upgrade is not understood.
    #[error(
        "\"{}\" is not understood: it is damaged, or of a newer agent; \"update-agent upgrade --cancel\" removes it", .0.display()
    )]
    Kept(std::path::PathBuf),
    /// Another upgrade has to end first.
    #[error("{0}; take it back with \"update-agent upgrade --cancel\" first")]
    UpgradeUnderWay(String),
    /// There is none to take back, or not any more.
    #[error("no upgrade is under way")]
    NoUpgrade,
    /// There is no such staged package.
    #[error("no package \"{0}\" is staged; \"update-agent staged\" lists those that are")]
    NotStaged(String),
    /// Another update-agent is changing the same disk.
    #[error("another update-agent is at work on {0}; try again when it is done")]
    Busy(String),
    /// Health checks fail.
    #[error("{failing} of {of} health checks fail; each says above what it saw")]
    Unhealthy {
        /// How many.
        failing: usize,
        /// Of how many.
        of: usize,
    },
    /// The command line contradicts itself.
    #[error("{0}")]
    Usage(String),
    /// A path that somebody named leads to no regular file.
    #[error("{name} is {what}; name a regular file, for example a copy of it")]
    NotAFile {
        /// What was named.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// The appliance's own key went bad.
    #[error(
        "the key of this appliance in \"{}\" is damaged: {why}. To go on as another appliance, remove the file; a depot that knows this one \
         by its key has to be told", .path.display()
    )]
    IdentityDamaged {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody is not let in, or may not do something.
    #[error(transparent)]
    Account(#[from] crate::account::Refusal),
    /// The audit log is not as it was written.
    #[error(
        "line {line} of the audit log is not as it was written: {why}; what stands before it holds. Keep a copy of /data/bulkhead/audit \
         and find out who had the rights of the agent"
    )]
    AuditBroken {
        /// The first line that is wrong.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// About depots and what they offer.
    #[error(transparent)]
    Depot(Box<crate::depot::Trouble>),
    /// About backups.
    #[error(transparent)]
    Backup(Box<crate::backup::Trouble>),
    /// About uploads.
    #[error(transparent)]
    Upload(Box<crate::upload::Trouble>),
    /// About certificates.
    #[error(transparent)]
    Certificate(Box<crate::certificates::Trouble>),
    /// Something failed while the clock of this machine is wrong, or looks so.
    #[error("{cause}; {clock}")]
    WithThisClock {
        /// What failed.
        cause: Box<Error>,
        /// What is to be said about the clock.
        clock: String,
    },
    /// This should be impossible.
    #[error("bug: {0}; nothing was changed")]
    Bug(String),
}

/// Result with this program's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The exit code of a command that failed so.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.reason().exit())
    }

    /// The word for programs, for example `wrong-key`; see `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        self.reason().word()
    }

    /// The code of this failure.
    pub fn reason(&self) -> Code {
        match self {
            Self::System { cause, .. } => Code::of_system(cause.kind()),
            Self::Content { cause, .. } => Code::of_content(cause),
            Self::Refused(_) => Code::BootStateRefuses,
            Self::NotKept(_) => Code::NotKept,
            Self::WrongRootHash(_) => Code::WrongRootHash,
            Self::Rotten(_) => Code::SlotDamaged,
            Self::NotNow(refusal) => refusal.code(),
            Self::Unfit(unfit) => unfit.misfit.code(),
            Self::NotConfirmed { .. } => Code::NotConfirmed,
            Self::NoResetPending => Code::NoResetPending,
            Self::SiteNotSwitched(_) => Code::SiteNotSwitched,
            Self::SiteDown(_) => Code::SiteDown,
            Self::NoSiteHook(_) => Code::NoSiteHook,
            Self::Source(_) | Self::Changed { .. } => Code::PackageChanged,
            Self::Reader(_) => Code::ReaderFailed,
            Self::NoAgent { .. } | Self::JobLost { .. } => Code::NoAgent,
            Self::Told { code, .. } => *code,
            Self::StillAtWork { .. } => Code::StillAtWork,
            Self::TermsNotAccepted { .. } => Code::EulaNotAccepted,
            Self::NoRoom { .. } => Code::NoSpace,
            Self::TooManyStaged { .. } => Code::TooManyStaged,
            Self::Kept(_) => Code::Malformed,
            Self::UpgradeUnderWay(_) => Code::UpgradeUnderWay,
            Self::NoUpgrade => Code::NoUpgrade,
            Self::NotStaged(_) => Code::NotFound,
            Self::Busy(_) | Self::AtWork { .. } | Self::GaveWay => Code::Busy,
            Self::Unhealthy { .. } => Code::Unhealthy,
            Self::Usage(_) => Code::Usage,
            Self::NotAFile { .. } => Code::NotAFile,
            Self::IdentityDamaged { .. } => Code::IdentityDamaged,
            Self::Account(refusal) => refusal.code(),
            Self::AuditBroken { .. } => Code::AuditBroken,
            Self::Depot(trouble) => trouble.code(),
            Self::Backup(trouble) => trouble.code(),
            Self::Upload(trouble) => trouble.code(),
            Self::Certificate(trouble) => trouble.code(),
            Self::WithThisClock { cause, .. } => cause.reason(),
            Self::Bug(_) => Code::Bug,
        }
    }
}

impl Error {
    /// The same with what is to be said about the clock, unless it is said already.
    #[must_use]
    pub fn with(self, clock: Clock) -> Self {
        match (clock.doubt(), self) {
            (None, cause) => cause,
            (_, said @ Self::WithThisClock { .. }) => said,
            (_, Self::Depot(trouble)) if trouble.tells_the_clock() => Self::Depot(trouble),
            (Some(clock), cause) => Self::WithThisClock { cause: Box::new(cause), clock },
        }
    }
}

impl From<crate::depot::Trouble> for Error {
    fn from(trouble: crate::depot::Trouble) -> Self {
        Self::Depot(Box::new(trouble))
    }
}

impl From<crate::backup::Trouble> for Error {
    fn from(trouble: crate::backup::Trouble) -> Self {
        Self::Backup(Box::new(trouble))
    }
}

impl From<crate::upload::Trouble> for Error {
    fn from(trouble: crate::upload::Trouble) -> Self {
        Self::Upload(Box::new(trouble))
    }
}

impl From<crate::certificates::Trouble> for Error {
    fn from(trouble: crate::certificates::Trouble) -> Self {
        Self::Certificate(Box::new(trouble))
    }
}

impl From<crate::api::Problem> for Error {
    /// A failure that was told by somebody else.
    fn from(problem: crate::api::Problem) -> Self {
        let code = Code::ALL.iter().copied().find(|code| code.word() == problem.code).unwrap_or(Code::Io);
        Self::Told { message: problem.message, code }
    }
}

/// Adds what was being done to a system's answer.
pub trait Doing<T> {
    /// `action` completes the sentence "cannot …" and names its object.
    fn doing(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::System { action: action(), cause: cause.into() })
    }
}

/// Adds where the bytes are to what is wrong with them.
pub trait At<T> {
    /// `place` names the bytes for people.
    fn at(self, place: impl FnOnce() -> String) -> Result<T>;
}

impl<T> At<T> for formats::Result<T> {
    fn at(self, place: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::Content { place: place(), cause })
    }
}
