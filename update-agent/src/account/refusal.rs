//! Why somebody is not let in, or may not do something.

use std::path::PathBuf;
use std::time::Duration;

use super::Role;
use super::session::IDLE;
use crate::code::Code;

/// The reason, with the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody is signed in, or not any more.
    #[error(
        "nobody is signed in here; sign in first: a session ends {} minutes after it was last used and whenever the appliance restarts",
        IDLE.as_secs() / 60
    )]
    NotSignedIn,
    /// Name or password is wrong. Which is not said.
    #[error(
        "name or password is wrong; whoever is at the machine can set a new password with \"update-agent account password\""
    )]
    WrongPassword,
    /// Too many wrong ones before.
    #[error("too many wrong passwords; try again in {} s", .0.as_secs().saturating_add(1))]
    TooManyTries(Duration),
    /// The role does not include it.
    #[error("this needs the role {needed}, and {account} is {role}; an administrator can do it, or change the role")]
    NotAllowed {
        /// What is needed.
        needed: Role,
        /// Who asked.
        account: String,
        /// What it is.
        role: Role,
    },
    /// Nobody has an account yet.
    #[error(
        "this appliance has no account yet; make the first one with the claim code its own screen shows, or \"update-agent claim-code\""
    )]
    NotClaimed,
    /// Somebody has.
    #[error("this appliance has accounts already; an administrator can add one")]
    Claimed,
    /// The claim code is another one.
    #[error(
        "this is not the claim code; the appliance's own screen shows it, and \"update-agent claim-code\" prints it"
    )]
    WrongClaimCode,
    /// The password breaks a rule.
    #[error("{0}")]
    WeakPassword(String),
    /// The name is taken.
    #[error("the name \"{0}\" is taken; choose another one, or remove that one first")]
    Exists(String),
    /// There is no such account or token.
    #[error("there is no \"{0}\"; \"update-agent account list\" lists those there are")]
    Unknown(String),
    /// There are too many.
    #[error("there are {most} {what} already, and more are not kept; remove one first")]
    Full {
        /// How many there may be.
        most: usize,
        /// Of what.
        what: &'static str,
    },
    /// Nobody else could administer.
    #[error("\"{0}\" is the only administrator; make another one first")]
    LastAdministrator(String),
    /// The file of accounts went bad.
    #[error(
        "the accounts in \"{}\" are damaged: {why}; nobody can sign in. At the machine \"update-agent account forget-all\" sets the file \
         aside, and the appliance is claimed anew", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What somebody far away may not name.
    #[error("only who is at the machine can name a file of the appliance; upload it instead")]
    FileOfAppliance,
}

impl Refusal {
    /// The word for programs.
    pub const fn code(&self) -> Code {
        match self {
            Self::NotSignedIn => Code::NotSignedIn,
            Self::WrongPassword => Code::WrongPassword,
            Self::TooManyTries(_) => Code::TooManyTries,
            Self::NotAllowed { .. } | Self::FileOfAppliance => Code::NotAllowed,
            Self::NotClaimed => Code::NotClaimed,
            Self::Claimed => Code::Claimed,
            Self::WrongClaimCode => Code::WrongClaimCode,
            Self::WeakPassword(_) => Code::WeakPassword,
            Self::Exists(_) => Code::NameTaken,
            Self::Unknown(_) => Code::NoAccount,
            Self::Full { .. } => Code::AccountsFull,
            Self::LastAdministrator(_) => Code::LastAdministrator,
            Self::Damaged { .. } => Code::AccountsDamaged,
        }
    }
}
