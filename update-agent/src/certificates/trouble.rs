//! What can be wrong with certificates, and what to do about it.

use formats::Digest;

use super::binding::Place;
use super::entry::MAX_CHAIN;
use super::finding::{Finding, Kind};
use super::read::Unread;
use super::store::LIMIT;
use crate::code::Code;

/// Why something about certificates is refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The bytes are nothing that is known.
    #[error("the file cannot be read: {0}; certificates and keys are taken as PEM, DER or PKCS#12 (.pfx, .p12)")]
    Unreadable(String),
    /// It is locked with a passphrase that was not given, or with another one.
    #[error("{0}")]
    Passphrase(String),
    /// Nothing to import is in it.
    #[error(
        "the file has no certificate, and its key belongs to none that is here; import the certificate with its key"
    )]
    NoCertificate,
    /// A key that no server can use.
    #[error("{0}")]
    UnusableKey(String),
    /// Something that is wrong with it forbids it.
    #[error("the certificate is not imported: {}", .0.words())]
    Refused(Box<Finding>),
    /// Several certificates that did not sign each other.
    #[error(
        "the file has {0} certificates none of which signed another one; import one server's certificate at a time, with its chain"
    )]
    Several(usize),
    /// Too many to be one chain.
    #[error(
        "the file has more than {MAX_CHAIN} certificates above that of the server; leave out those that signed nothing in it"
    )]
    LongChain,
    /// There is no such certificate.
    #[error("there is no certificate {0} here; \"update-agent cert list\" shows those that are")]
    None(String),
    /// There is no such signing request.
    #[error("there is no signing request \"{0}\" here")]
    NoRequest(String),
    /// A few digits that fit several.
    #[error("several certificates here begin with {0}; say more digits of the fingerprint")]
    Ambiguous(String),
    /// It is in use.
    #[error("the certificate {certificate} is shown to {}; bind another one there first", places(.bound))]
    Bound {
        /// Which.
        certificate: Digest,
        /// Where.
        bound: Vec<Place>,
    },
    /// It has no key.
    #[error("the certificate {0} has no private key here, so no server can use it; import its key")]
    NoKey(Digest),
    /// The appliance makes it.
    #[error(
        "the self-signed certificate is the appliance's own: it is made when it is needed, and used where nothing is bound"
    )]
    OwnCertificate,
    /// A key may not leave like this.
    #[error(
        "the private key would leave the appliance unencrypted; give a passphrase, or type \"{wanted}\" as the confirmation that it may"
    )]
    KeyInClear {
        /// What is to be typed.
        wanted: String,
    },
    /// No room.
    #[error("there are {LIMIT} certificates and signing requests here; delete one that is not used")]
    Full,
    /// What is kept went bad.
    #[error("\"{file}\" in the folder of certificates is damaged: {why}; {cure}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
        /// What to do.
        cure: &'static str,
    },
}

impl Trouble {
    /// Its code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unreadable(_) | Self::NoCertificate | Self::Several(_) | Self::LongChain => {
                Code::CertificateUnreadable
            }
            Self::Passphrase(_) => Code::WrongPassphrase,
            Self::UnusableKey(_) => Code::KeyUnusable,
            Self::Refused(finding) => match finding.code {
                Kind::KeyMismatch => Code::KeyMismatch,
                Kind::Expired => Code::CertificateExpired,
                Kind::Duplicate => Code::CertificateKnown,
                // Nothing else refuses, see [`Kind::severity`].
                _ => Code::Unusable,
            },
            Self::None(_) | Self::NoRequest(_) | Self::Ambiguous(_) => Code::NotFound,
            Self::Bound { .. } | Self::OwnCertificate => Code::CertificateInUse,
            Self::NoKey(_) => Code::KeyMissing,
            Self::KeyInClear { .. } => Code::NotConfirmed,
            Self::Full => Code::NoSpace,
            Self::Damaged { .. } => Code::CertificateDamaged,
        }
    }
}

impl From<Unread> for Trouble {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Unreadable(why) => Self::Unreadable(why),
            Unread::Locked(why) => Self::Passphrase(why),
            Unread::UnusableKey(why) => Self::UnusableKey(why),
        }
    }
}

fn places(bound: &[Place]) -> String {
    bound.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
