//! What goes wrong with depots, each with its code and its way out.

use std::path::PathBuf;

use formats::catalogue::{Availability, PackageId};
use formats::manifest::Date;
use formats::tuf::{Refusal, Why};

use super::clock::Clock;
use super::window::Shut;
use crate::code::Code;

/// Why nothing came of asking a depot, or of what it offers.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody said which depot to ask.
    #[error(
        "this appliance knows no depot: neither \"{}\" nor \"{}\" names one; write {{\"format\": 1, \"url\": \"http://…\"}} into the \
         latter", .shipped.display(), .own.display()
    )]
    NoDepot {
        /// What the base says.
        shipped: PathBuf,
        /// What the operator says.
        own: PathBuf,
    },
    /// The base does not say whom to believe about depots.
    #[error(
        "this base has no root of trust for depots (\"{}\"); it takes packages from files only, until a base with one is installed",
        .0.display()
    )]
    NoRoot(PathBuf),
    /// No depot has said anything yet.
    #[error("nothing is known of the depot yet; ask it with \"update-agent check\"")]
    NotChecked,
    /// A server does not answer, or not with what was asked for.
    #[error("cannot fetch \"{url}\": {why}; check the network and the address in depot.json, and try again")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What came instead.
        why: String,
    },
    /// The process that fetches died, lied or hung.
    #[error("the process that fetches failed: {0}; what was known before still is; try again")]
    Fetcher(String),
    /// What a depot says is not believed.
    #[error("{place} is not believed: {refusal}; {}", way_out(.refusal.why))]
    Refused {
        /// What was refused.
        refusal: Refusal,
        /// The depot.
        place: String,
    },
    /// The last day of what a depot says has passed, if the clock is right.
    #[error(
        "{place} is not believed: {refusal}, and the clock of this appliance says {}; the newest thing known here to be signed is of \
         {}. If the clock is wrong, it is off by about {}, last known good {}: set it; if it is right, nobody keeps the depot up to date, \
         or somebody holds news back: {}",
        Date::shown(.clock.says), Date::shown(.clock.signed), .clock.off(), Date::shown(.clock.signed), way_out(Why::Expired)
    )]
    Expired {
        /// The depot.
        place: String,
        /// What was refused.
        refusal: Refusal,
        /// The time.
        clock: Clock,
    },
    /// The same of a path bundle, about which an operator may decide.
    #[error(
        "{place} is not believed: {refusal}, and the clock of this appliance says {}. The list in it is of {made}; the newest thing known \
         here to be signed is of {}. If the clock is wrong, it is off by about {}, last known good {}: set it. If it is right, have a new \
         bundle made; where none can be had and you know where this one comes from, take it with --accept-expired --reason TEXT: signatures \
         are checked all the same, and what it does not know is whether something in it was withdrawn since",
        Date::shown(.clock.says), Date::shown(.clock.signed), .clock.off(), Date::shown(.clock.signed)
    )]
    BundleExpired {
        /// The bundle.
        place: String,
        /// What was refused.
        refusal: Refusal,
        /// The day of the list in it.
        made: String,
        /// The time; the newest signature is that list's, if nothing newer is known.
        clock: Clock,
    },
    /// What was kept of a depot cannot be used.
    #[error(
        "what is kept of the depot in \"{}\" is damaged: {cause}. Ask the depot again (\"update-agent check\"), or install a path bundle, \
         and it is made anew; only where neither can be had, remove the file: keys that the depot took away are then believed again, as \
         far as the base knows them", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// There is no way to a package.
    #[error(transparent)]
    Blocked(Box<formats::plan::Blocked>),
    /// Some of it is not staged, and the depot is not to be asked.
    #[error(
        "the way needs what is not staged: {0}; stage it with \"update-agent stage\", or with a path bundle that carries it, or upgrade \
         without --offline"
    )]
    NotAllStaged(String),
    /// The same, with the reason in words.
    #[error("{0}")]
    NotYet(String),
    /// The depot does not offer a package here and now.
    #[error("{package} is {why}; \"update-agent list\" shows what is")]
    NotOffered {
        /// Which.
        package: PackageId,
        /// Why.
        why: Availability,
    },
    /// The depot does not list a package in the appliance's channel.
    #[error("the depot has no package \"{0}\" in this appliance's channel; \"update-agent list\" shows those it has")]
    NotInDepot(PackageId),
    /// A text of the depot was not fetched.
    #[error("\"{0}\" was not fetched from the depot yet; \"update-agent notes\" does so")]
    NotFetched(String),
    /// The keys a base was built with do not know a package that newer keys signed.
    #[error(
        "{release} is signed with keys that the base running here does not know ({cause}), so it could not start it; install a base that \
         knows them first"
    )]
    UnknownToBase {
        /// Which.
        release: String,
        /// What its keys say.
        cause: formats::Error,
    },
    /// What disturbs people may not begin now.
    #[error(transparent)]
    Window(#[from] Shut),
    /// Nobody gets mail.
    #[error("nobody gets mail from this appliance: \"mail\" is not set; set it in \"{}\"", .0.display())]
    NoMail(PathBuf),
    /// A mail server does not take a letter.
    #[error(
        "the mail server \"{server}\" does not take the mail: {why}; check \"mail\" in depot.json and try again with \"update-agent \
         mail --test\""
    )]
    MailNotSent {
        /// Name and port.
        server: String,
        /// Its words, or what came instead.
        why: String,
    },
}

impl Trouble {
    /// Whether its words say already how far the clock is off.
    pub const fn tells_the_clock(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::BundleExpired { .. })
    }

    /// The code of this trouble.
    pub fn code(&self) -> Code {
        match self {
            Self::NoDepot { .. } | Self::NoRoot(_) => Code::NoDepot,
            Self::NotChecked | Self::NotFetched(_) => Code::NotChecked,
            Self::Unreachable { .. } => Code::DepotUnreachable,
            Self::Fetcher(_) => Code::FetcherFailed,
            Self::Refused { refusal, .. } | Self::Expired { refusal, .. } | Self::BundleExpired { refusal, .. } => {
                depot_code(refusal.why)
            }
            Self::Damaged { .. } => Code::DepotDamaged,
            Self::Blocked(_) | Self::NotYet(_) | Self::NotAllStaged(_) => Code::Blocked,
            Self::NotOffered { .. } => Code::NotOffered,
            Self::NotInDepot(_) => Code::NotFound,
            Self::UnknownToBase { .. } => Code::UnknownToBase,
            Self::Window(shut) => shut.code(),
            Self::NoMail(_) => Code::NoMail,
            Self::MailNotSent { .. } => Code::MailNotSent,
        }
    }
}

const fn depot_code(why: Why) -> Code {
    match why {
        Why::Signatures | Why::Mismatch => Code::DepotUntrusted,
        Why::Rollback => Code::DepotRollback,
        Why::Expired => Code::DepotExpired,
        Why::Missing => Code::DepotIncomplete,
        Why::TooLong => Code::TooLong,
        Why::Malformed => Code::Malformed,
    }
}

/// What to do about metadata that is not believed.
const fn way_out(why: Why) -> &'static str {
    match why {
        Why::Signatures => {
            "this is another depot than the one of this appliance's makers, or somebody changed it: check the address"
        }
        Why::Rollback => {
            "it is older than what this appliance has seen: its operator restored an old copy, or somebody replays one"
        }
        Why::Expired => "ask its operator for a fresh copy",
        Why::Mismatch => {
            "it was changed on the way, or is being published right now: try again in a minute, then ask its operator"
        }
        Why::Missing => "its copy is not complete: ask its operator",
        Why::TooLong | Why::Malformed => "it is damaged, or made for a newer agent: ask its operator",
    }
}
