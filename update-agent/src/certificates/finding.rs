//! What is to be said about a certificate, each with a code, a sentence and what to do about it.
//!
//! Pure: the same certificate, key and time give the same findings, whether it is about to be imported, lies there, or is shown.

use formats::Digest;
use formats::window::local;
use serde::Serialize;

use super::certificate::{Certificate, covers};
use super::entry::Entry;

/// What is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Key and certificate do not belong together.
    KeyMismatch,
    /// There is no key.
    KeyMissing,
    /// Its last second has passed.
    Expired,
    /// That is near.
    ExpiresSoon,
    /// Its first second is to come.
    NotYetValid,
    /// Nobody knows who issued the last one of the chain.
    ChainIncomplete,
    /// The key could be found out.
    WeakKey,
    /// The signature could be forged.
    WeakSignature,
    /// It vouches for itself.
    SelfSigned,
    /// It is made to sign others.
    Authority,
    /// It says that it is for other purposes than servers.
    NotForServers,
    /// It is not for a name clients ask for.
    NameMismatch,
    /// It is here already.
    Duplicate,
    /// It was never exported as it is now, so there may be no copy of it.
    NotExported,
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It is not imported.
    Refused,
    /// Clients refuse it, or warn.
    Warning,
    /// Good to know.
    Note,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// For programs; see [`Kind::code`].
    #[serde(serialize_with = "code")]
    pub code: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// What is the matter.
    pub text: String,
    /// What to do.
    pub cure: String,
}

/// What a certificate is looked at with.
#[derive(Debug, Clone, Default)]
pub struct Light<'a> {
    /// Seconds since 1970, as far as they are known.
    pub now: i64,
    /// What is to be said about the clock, when it is doubted.
    pub clock: Option<String>,
    /// Names and addresses clients ask for.
    pub wanted: &'a [String],
}

/// How far the chain goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Chain {
    /// It vouches for itself.
    SelfSigned,
    /// Up to an authority everybody knows, or one that vouches for itself.
    Complete,
    /// Up to one that is not here.
    Incomplete {
        /// Who issued the last certificate that is here.
        missing: String,
    },
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::KeyMismatch,
        Self::KeyMissing,
        Self::Expired,
        Self::ExpiresSoon,
        Self::NotYetValid,
        Self::ChainIncomplete,
        Self::WeakKey,
        Self::WeakSignature,
        Self::SelfSigned,
        Self::Authority,
        Self::NotForServers,
        Self::NameMismatch,
        Self::Duplicate,
        Self::NotExported,
    ];

    /// The word for programs. Where it stands for a refusal it is the one of `docs/errors.md`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::KeyMismatch => "key-mismatch",
            Self::KeyMissing => "key-missing",
            Self::Expired => "certificate-expired",
            Self::ExpiresSoon => "expires-soon",
            Self::NotYetValid => "not-yet-valid",
            Self::ChainIncomplete => "chain-incomplete",
            Self::WeakKey => "weak-key",
            Self::WeakSignature => "weak-signature",
            Self::SelfSigned => "self-signed",
            Self::Authority => "authority",
            Self::NotForServers => "not-for-servers",
            Self::NameMismatch => "name-mismatch",
            Self::Duplicate => "certificate-known",
            Self::NotExported => "not-exported",
        }
    }

    /// How much it matters.
    pub const fn severity(self) -> Severity {
        match self {
            Self::KeyMismatch | Self::Expired | Self::Duplicate => Severity::Refused,
            Self::ExpiresSoon | Self::NotExported => Severity::Note,
            _ => Severity::Warning,
        }
    }

    /// What to do about it.
    pub const fn cure(self) -> &'static str {
        match self {
            Self::KeyMismatch => "import the key that was made for it, or the certificate that was issued for the key",
            Self::KeyMissing => "import its private key; where it was requested from here, import the certificate here",
            Self::Expired => "get a new one and import it; if the clock is wrong, set it",
            Self::ExpiresSoon => "renew it: \"update-agent cert csr --renew\" makes the request",
            Self::NotYetValid => "wait until then; if the clock is wrong, set it",
            Self::ChainIncomplete => {
                "import it again with the certificates of its authority; clients of an authority of your own that know it need nothing"
            }
            Self::WeakKey => "have it issued anew for a new key: \"update-agent cert csr\" makes one",
            Self::WeakSignature => "have it issued anew; authorities sign with SHA-256 today",
            Self::SelfSigned => {
                "compare its fingerprint with the one \"update-agent cert show self-signed\" prints at the machine, or import one from an authority your clients know"
            }
            Self::Authority => "have the authority issue a certificate for the server, and import that one",
            Self::NotForServers => "have it issued anew for server authentication",
            Self::NameMismatch => "have it issued for this name, or bind another certificate",
            Self::Duplicate => "nothing has to be done",
            Self::NotExported => "export it with its key, and keep the file in a safe place",
        }
    }
}

impl Finding {
    /// About this, with this sentence.
    pub fn new(kind: Kind, text: String) -> Self {
        Self { code: kind, severity: kind.severity(), text, cure: kind.cure().into() }
    }

    /// Both sentences in one.
    pub fn words(&self) -> String {
        format!("{}: {}", self.text, self.cure)
    }
}

/// What is to be said about a certificate with its chain and key, the worst first.
pub fn findings(entry: &Entry, light: &Light<'_>) -> Vec<Finding> {
    let facts = entry.certificate.facts();
    let mut found = validity(&entry.certificate, light);
    let mut say = |kind, text: String| found.push(Finding::new(kind, text));
    if entry.key.is_none() {
        say(Kind::KeyMissing, "its private key is not here, so no server can use it".into());
    }
    if facts.authority {
        say(
            Kind::Authority,
            "it is made to sign others, and many clients refuse it as the certificate of a server".into(),
        );
    }
    if !facts.for_servers {
        say(Kind::NotForServers, "it says that it is for other purposes than servers, and clients refuse it".into());
    }
    match chain(entry) {
        Chain::Complete => {}
        Chain::SelfSigned => say(Kind::SelfSigned, "it vouches for itself, and clients warn of it".into()),
        Chain::Incomplete { missing } => say(
            Kind::ChainIncomplete,
            format!(
                "the certificate of \"{missing}\" is missing, and clients that do not have it refuse the connection"
            ),
        ),
    }
    for one in std::iter::once(&entry.certificate).chain(&entry.chain) {
        let facts = one.facts();
        if (1..STRONG_RSA).contains(&facts.rsa_bits) {
            say(
                Kind::WeakKey,
                format!("the key of \"{}\" has {} bits, and clients want {STRONG_RSA}", facts.subject, facts.rsa_bits),
            );
        }
        // What vouches for itself is believed for other reasons than its signature.
        if facts.weak_signature && !facts.self_signed {
            say(
                Kind::WeakSignature,
                format!("\"{}\" is signed with {}, which can be forged", facts.subject, facts.signature),
            );
        }
    }
    found.extend(
        light.wanted.iter().filter(|name| !covers(facts, name)).map(|name| name_mismatch(&entry.certificate, name)),
    );
    found
}

/// Said about a name that a certificate is not for.
pub fn name_mismatch(certificate: &Certificate, wanted: &str) -> Finding {
    let facts = certificate.facts();
    let names = facts.names.iter().cloned().chain(facts.addresses.iter().map(ToString::to_string));
    let names: Vec<String> = names.take(SHOWN).collect();
    let told = if names.is_empty() {
        "no name at all; the one in its subject does not count".into()
    } else {
        names.join(", ")
    };
    Finding::new(Kind::NameMismatch, format!("it is not for \"{wanted}\", only for {told}"))
}

/// Said about a key of another certificate.
pub fn key_mismatch(certificate: &Certificate) -> Finding {
    let subject = &certificate.facts().subject;
    Finding::new(Kind::KeyMismatch, format!("the private key is not that of the certificate for \"{subject}\""))
}

/// Said about what is here already.
pub fn duplicate(certificate: Digest) -> Finding {
    Finding::new(Kind::Duplicate, format!("the certificate {certificate} is here already, with the same chain and key"))
}

fn validity(certificate: &Certificate, light: &Light<'_>) -> Vec<Finding> {
    let facts = certificate.facts();
    let day = |seconds| local(seconds, 0);
    let clock = match &light.clock {
        Some(doubt) => format!("the clock of this appliance says {}; {doubt}", day(light.now)),
        None => format!("the clock of this appliance says {}", day(light.now)),
    };
    let left = facts.not_after.saturating_sub(light.now);
    if left < 0 {
        return vec![Finding::new(Kind::Expired, format!("it was good until {}, and {clock}", day(facts.not_after)))];
    }
    if light.now < facts.not_before {
        return vec![Finding::new(
            Kind::NotYetValid,
            format!("it is good from {} on, and {clock}", day(facts.not_before)),
        )];
    }
    if left < SOON {
        let days = left / DAY;
        return vec![Finding::new(Kind::ExpiresSoon, format!("it ends on {}, in {days} days", day(facts.not_after)))];
    }
    Vec::new()
}

/// How far the chain goes.
pub fn chain(entry: &Entry) -> Chain {
    if entry.certificate.facts().self_signed && entry.chain.is_empty() {
        return Chain::SelfSigned;
    }
    let last = entry.chain.last().unwrap_or(&entry.certificate);
    let facts = last.facts();
    if facts.self_signed || is_known(last) {
        Chain::Complete
    } else {
        Chain::Incomplete { missing: facts.issuer.clone() }
    }
}

/// Whether an authority everybody knows issued it.
fn is_known(certificate: &Certificate) -> bool {
    let mut roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    // Only one that has the name is worth the work.
    roots.any(|root| {
        root.windows(certificate.issuer().len()).any(|name| name == certificate.issuer())
            && Certificate::parse(root).is_ok_and(|root| certificate.is_issued_by(&root))
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
fn code<S: serde::Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.code())
}

const DAY: i64 = 86_400;
/// From so long before its end on, it is said that it ends.
pub const SOON: i64 = 30 * DAY;
const STRONG_RSA: usize = 2048;
/// Names that are told.
const SHOWN: usize = 8;
