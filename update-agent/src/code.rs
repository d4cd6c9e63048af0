//! The codes of failures: one word for programs, where the message is for people.
//!
//! A code never changes its meaning and is never used for a second one; `docs/errors.md` says of each what it means and what to do,
//! and a test compares the two lists. The exit code of a command follows from the code, so one table holds both.

use std::io;

/// Declares the codes: variant, word, exit code.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $exit:literal;)*) => {
        /// Why something failed or was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code, in the order of `docs/errors.md`.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word, in kebab-case.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The exit code of a command that failed so (design section 8).
            pub const fn exit(self) -> u8 {
                match self { $(Self::$name => $exit,)* }
            }
        }
    };
}

codes! {
    /// The command line contradicts itself.
    Usage = "usage", 2;
    /// What was named is no regular file.
    NotAFile = "not-a-file", 2;

    /// The bytes break a rule of their format.
    Malformed = "malformed", 3;
    /// The bytes end too early.
    Truncated = "truncated", 3;
    /// Something follows the end, or hides in a padding.
    TrailingData = "trailing-data", 3;
    /// A member is not the one whose digest was signed.
    DigestMismatch = "digest-mismatch", 3;
    /// A member is missing, comes twice, or is out of order.
    WrongMember = "wrong-member", 3;
    /// A member is above its limit, or unpacks to another length than was signed.
    TooLong = "too-long", 3;
    /// Made for a newer reader.
    TooNew = "too-new", 3;
    /// Well-formed, and cannot be used for this.
    Unusable = "unusable", 3;
    /// No certificate or key can be read from it.
    CertificateUnreadable = "certificate-unreadable", 3;
    /// No server could use the key.
    KeyUnusable = "key-unusable", 3;
    /// The package file was another one when it was read the second time.
    PackageChanged = "package-changed", 3;

    /// Nobody signed.
    Unsigned = "unsigned", 4;
    /// What a depot says is not signed as it must be.
    DepotUntrusted = "depot-untrusted", 4;
    /// What a depot says is older than what was seen before.
    DepotRollback = "depot-rollback", 4;
    /// What a depot says was good until a day that has passed.
    DepotExpired = "depot-expired", 4;
    /// What is kept of a depot was changed, or went bad.
    DepotDamaged = "depot-damaged", 4;
    /// Signed by keys that are not known.
    WrongKey = "wrong-key", 4;
    /// The signature of a known key does not hold.
    BadSignature = "bad-signature", 4;
    /// Signed by a key for another kind of package.
    WrongRole = "wrong-role", 4;
    /// Signed, by too few keys.
    ThresholdNotMet = "threshold-not-met", 4;
    /// Signed by a key whose last day has passed.
    ExpiredKey = "expired-key", 4;
    /// Signed by a development key.
    DevelopmentKey = "development-key", 4;
    /// A development build.
    DevelopmentBuild = "development-build", 4;
    /// For another product.
    OtherProduct = "other-product", 4;
    /// Packages of this kind are not accepted.
    KindNotAccepted = "kind-not-accepted", 4;
    /// The signed root hash is not that of the signed image.
    WrongRootHash = "wrong-root-hash", 4;
    /// Key and certificate do not belong together.
    KeyMismatch = "key-mismatch", 4;
    /// It cannot be unlocked without a passphrase, or not with this one.
    WrongPassphrase = "wrong-passphrase", 4;
    /// A slot is not what was signed any more.
    SlotDamaged = "slot-damaged", 4;
    /// The audit log is not as it was written.
    AuditBroken = "audit-broken", 4;

    /// Below the sequence floor.
    BelowFloor = "below-floor", 5;
    /// Another build under a committed sequence number.
    OtherBuild = "other-build", 5;
    /// For other hardware.
    OtherHardware = "other-hardware", 5;
    /// Needs another base.
    NeedsBase = "needs-base", 5;
    /// Needs another site.
    NeedsSite = "needs-site", 5;
    /// The present site could not run on it.
    LeavesSiteBehind = "leaves-site-behind", 5;
    /// The base accepts only other sites.
    RefusedByBase = "refused-by-base", 5;
    /// For a site with another host name.
    OtherHostname = "other-hostname", 5;
    /// A licence whose last day has passed.
    LicenceExpired = "licence-expired", 5;
    /// Has no image for a slot.
    NoSlot = "no-slot", 5;
    /// The image is longer than the slot.
    TooBig = "too-big", 5;
    /// A release is on trial.
    OnTrial = "on-trial", 5;
    /// A site is on trial.
    SiteOnTrial = "site-on-trial", 5;
    /// The running slot was given up.
    RestartFirst = "restart-first", 5;
    /// Nothing to commit before a restart.
    NotStarted = "not-started", 5;
    /// No base to go back to.
    NoWayBack = "no-way-back", 5;
    /// No site to go back to.
    NoSiteToGoBackTo = "no-site-to-go-back-to", 5;
    /// The base cannot switch its site while it runs.
    NoSiteHook = "no-site-hook", 5;
    /// Nothing is on trial.
    NothingOnTrial = "nothing-on-trial", 5;
    /// No slot is marked good.
    NoGoodSlot = "no-good-slot", 5;
    /// The boot state is lost.
    BootStateLost = "boot-state-lost", 5;
    /// The boot state forbids the change.
    BootStateRefuses = "boot-state-refuses", 5;
    /// A factory reset waits for the restart.
    ResetPending = "reset-pending", 5;
    /// No factory reset is pending.
    NoResetPending = "no-reset-pending", 5;
    /// Something dangerous was not confirmed.
    NotConfirmed = "not-confirmed", 5;
    /// Nobody accepted the licence terms that come with it.
    EulaNotAccepted = "eula-not-accepted", 5;
    /// Another agent, or another job, is at work.
    Busy = "busy", 5;
    /// Health checks fail.
    Unhealthy = "unhealthy", 5;

    /// No more packages are staged.
    TooManyStaged = "too-many-staged", 5;
    /// An upgrade goes no further by itself.
    UpgradeStopped = "upgrade-stopped", 5;
    /// An upgrade is under way already.
    UpgradeUnderWay = "upgrade-under-way", 5;
    /// No upgrade is under way.
    NoUpgrade = "no-upgrade", 5;
    /// No depot to ask, or nobody to believe about one.
    NoDepot = "no-depot", 5;
    /// The depot was not asked yet.
    NotChecked = "not-checked", 5;
    /// There is no way to the package.
    Blocked = "blocked", 5;
    /// The depot does not offer the package to this appliance now.
    NotOffered = "not-offered", 5;
    /// Signed with keys the running base does not know.
    UnknownToBase = "unknown-to-base", 5;
    /// The maintenance window is closed, or closes too soon.
    OutsideWindow = "outside-window", 5;
    /// The maintenance window is never open for long enough.
    WindowTooShort = "window-too-short", 5;
    /// Nobody is told anything by mail.
    NoMail = "no-mail", 5;
    /// The certificate is not good any more.
    CertificateExpired = "certificate-expired", 5;
    /// The certificate is here already.
    CertificateKnown = "certificate-known", 5;
    /// The certificate is shown to clients.
    CertificateInUse = "certificate-in-use", 5;
    /// The certificate has no key here.
    KeyMissing = "key-missing", 5;
    /// Nobody is signed in.
    NotSignedIn = "not-signed-in", 5;
    /// Name or password is wrong.
    WrongPassword = "wrong-password", 5;
    /// Too many wrong passwords.
    TooManyTries = "too-many-tries", 5;
    /// The role does not include it.
    NotAllowed = "not-allowed", 5;
    /// Nobody has an account yet.
    NotClaimed = "not-claimed", 5;
    /// There are accounts already.
    Claimed = "claimed", 5;
    /// The claim code is another one.
    WrongClaimCode = "wrong-claim-code", 5;
    /// A password breaks a rule.
    WeakPassword = "weak-password", 5;
    /// An account or token has this name.
    NameTaken = "name-taken", 5;
    /// There is no such account or token.
    NoAccount = "no-account", 5;
    /// There are as many accounts or tokens as are kept.
    AccountsFull = "accounts-full", 5;
    /// Nobody else could administer.
    LastAdministrator = "last-administrator", 5;
    /// Nothing is installed without a backup, and none can be made.
    BackupRequired = "backup-required", 5;
    /// A piece of an upload is not the one that comes next.
    WrongOffset = "wrong-offset", 5;
    /// No more files are uploaded at the same time.
    TooManyUploads = "too-many-uploads", 5;
    /// No file of ours is so long.
    UploadTooLong = "upload-too-long", 5;
    /// Something does not exist.
    NotFound = "not-found", 6;
    /// Something is not permitted.
    NotPermitted = "not-permitted", 6;
    /// A device is in use.
    InUse = "in-use", 6;
    /// No space is left.
    NoSpace = "no-space", 6;
    /// Another answer of the operating system.
    Io = "io", 6;
    /// The update agent does not answer.
    NoAgent = "no-agent", 6;
    /// Nobody waits for the job any more; it goes on.
    StillAtWork = "still-at-work", 6;
    /// The process that reads packages died, lied or hung.
    ReaderFailed = "reader-failed", 6;
    /// A depot's server does not answer.
    DepotUnreachable = "depot-unreachable", 6;
    /// A depot does not have what it says it has.
    DepotIncomplete = "depot-incomplete", 6;
    /// The process that fetches died, lied or hung.
    FetcherFailed = "fetcher-failed", 6;
    /// A mail server does not take a letter.
    MailNotSent = "mail-not-sent", 6;
    /// The site could not be switched, and the one before runs again.
    SiteNotSwitched = "site-not-switched", 6;
    /// The site could not be switched, and the one before does not run either.
    SiteDown = "site-down", 6;
    /// The appliance's own key went bad.
    IdentityDamaged = "identity-damaged", 6;
    /// A file with certificates went bad.
    CertificateDamaged = "certificate-damaged", 6;
    /// The file of accounts went bad.
    AccountsDamaged = "accounts-damaged", 6;
    /// A restore failed and was taken back.
    NotRestored = "not-restored", 6;
    /// A restore is neither completed nor taken back.
    RestoreHalfway = "restore-halfway", 6;
    /// The disk does not keep what is written.
    NotKept = "not-kept", 6;

    /// A mistake in this program.
    Bug = "bug", 70;
}

impl Code {
    /// The code of a system's answer.
    pub(crate) fn of_system(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            io::ErrorKind::ResourceBusy => Self::InUse,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Io,
        }
    }

    /// The code of what is wrong with bytes.
    pub(crate) fn of_content(cause: &formats::Error) -> Self {
        use formats::{Damage, Distrust};
        match cause {
            formats::Error::Unsupported { .. } => Self::TooNew,
            formats::Error::Invalid { .. } => Self::Unusable,
            formats::Error::Corrupt { why, .. } => match why {
                Damage::Malformed => Self::Malformed,
                Damage::Truncated => Self::Truncated,
                Damage::TrailingData => Self::TrailingData,
                Damage::DigestMismatch => Self::DigestMismatch,
                Damage::WrongMember => Self::WrongMember,
                Damage::TooLong => Self::TooLong,
            },
            formats::Error::Untrusted { why, .. } => match why {
                Distrust::Unsigned => Self::Unsigned,
                Distrust::WrongKey => Self::WrongKey,
                Distrust::BadSignature => Self::BadSignature,
                Distrust::WrongRole => Self::WrongRole,
                Distrust::ThresholdNotMet => Self::ThresholdNotMet,
                Distrust::ExpiredKey => Self::ExpiredKey,
                Distrust::DevelopmentKey => Self::DevelopmentKey,
                Distrust::DevelopmentBuild => Self::DevelopmentBuild,
                Distrust::OtherProduct => Self::OtherProduct,
                Distrust::KindNotAccepted => Self::KindNotAccepted,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_word_of_its_own() {
        let words: BTreeSet<&str> = Code::ALL.iter().map(|code| code.word()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for word in words {
            assert!(word.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase()), "{word}");
        }
    }
}
