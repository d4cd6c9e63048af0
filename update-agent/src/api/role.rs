//! What may be asked for with which role, and what of it is written into the audit log. One table; a request that is not in it does not
//! compile.

use super::people::Change;
use super::{BackupSource, ExportCertificate, Install, Network, Package, Request, Stage, UploadKind};
use crate::account::Role;
use crate::account::Role::{Administrator, Operator, Viewer};

/// A request in words, and who may ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The least role.
    pub role: Role,
    /// What it is called in the audit log; nothing for what changes nothing.
    pub action: Option<&'static str>,
    /// With what, without secrets.
    pub about: String,
}

/// The rule for a request.
pub fn rule(request: &Request) -> Rule {
    let look = || (Viewer, None, String::new());
    let (role, action, about) = match request {
        Request::Status
        | Request::History
        | Request::Reports
        | Request::Job
        | Request::Licences
        | Request::Staged
        | Request::Eula(_)
        | Request::Updates
        | Request::Plan(_)
        | Request::Preflight(_)
        | Request::Notes(_)
        | Request::UpgradeOutlook
        | Request::Health
        | Request::Certificates
        | Request::Mail
        | Request::Backups
        | Request::Uploads
        | Request::Upload(_)
        | Request::Network => look(),
        Request::CreateSupport => (Operator, Some("support-bundle"), String::new()),
        Request::Check => (Operator, Some("check"), String::new()),
        Request::DownloadKey => (Operator, Some("download-key"), String::new()),
        Request::Texts(_) => (Operator, Some("fetch-texts"), String::new()),
        Request::Upgrade(order) => {
            let to = order.to.as_ref().map(|to| format!("to {to}")).unwrap_or_default();
            (Operator, Some("upgrade"), to)
        }
        Request::CancelUpgrade => (Operator, Some("cancel-upgrade"), String::new()),
        Request::Install(Install { package, accept_eula, .. }) => {
            let terms = if *accept_eula { ", licence terms accepted" } else { "" };
            (Operator, Some("install"), format!("{}{terms}", named(package)))
        }
        Request::Stage(Stage::File(path)) => (Operator, Some("stage"), path.display().to_string()),
        Request::Stage(Stage::Depot(id)) => (Operator, Some("stage"), id.to_string()),
        Request::Stage(Stage::Expired(bundle)) => {
            (Operator, Some("stage-expired"), format!("{}: {}", bundle.file.display(), bundle.reason))
        }
        Request::Discard(id) => (Operator, Some("discard"), id.clone()),
        Request::Commit => (Operator, Some("commit"), String::new()),
        Request::Rollback(order) => {
            (Operator, Some("rollback"), if order.site { "site".into() } else { "base".into() })
        }
        Request::Restart => (Operator, Some("restart"), String::new()),
        Request::Shutdown => (Operator, Some("shutdown"), String::new()),
        Request::TestMail => (Operator, Some("test-mail"), String::new()),
        Request::FactoryReset(_) => (Administrator, Some("factory-reset"), String::new()),
        Request::CancelReset => (Administrator, Some("cancel-factory-reset"), String::new()),
        Request::SetNetwork(network) => (Administrator, Some("network"), network_words(network)),
        Request::ImportCertificate(order) if order.check_only => (Administrator, None, String::new()),
        Request::ImportCertificate(_) => (Administrator, Some("import-certificate"), String::new()),
        Request::ExportCertificate(wanted) => (Administrator, Some("export-certificate"), exported(wanted)),
        Request::DeleteCertificate(id) => (Administrator, Some("delete-certificate"), id.clone()),
        Request::BindCertificate(order) => (Administrator, Some("bind-certificate"), order.certificate.clone()),
        Request::UnbindCertificate(_) => (Administrator, Some("unbind-certificate"), String::new()),
        Request::SigningRequest(order) => (Administrator, Some("signing-request"), order.names.join(" ")),
        Request::DeleteSigningRequest(id) => (Administrator, Some("delete-signing-request"), id.clone()),
        // Only who restores has a use for a backup.
        Request::BeginUpload(order) if order.kind == UploadKind::Backup => {
            (Administrator, Some("upload-backup"), order.name.clone())
        }
        Request::BeginUpload(order) => (Operator, Some("upload"), order.name.clone()),
        Request::FinishUpload(order) => (Operator, Some("finish-upload"), order.id.clone()),
        Request::DiscardUpload(id) => (Operator, Some("discard-upload"), id.clone()),
        // Who began an upload, which the store knows, is who goes on.
        // A support bundle has nothing an operator may not see when it is for one.
        Request::UploadPiece(_) | Request::Backup(_) | Request::Support => (Operator, None, String::new()),
        // Whoever makes one says who opens it, and every key and password of the appliance is inside.
        Request::CreateBackup(_) => (Administrator, Some("backup"), String::new()),
        // Without its first bytes nobody opens an encrypted file; who leaves some of them out is written down as who fetches all of it.
        Request::BackupPiece(piece) if piece.offset < HEADER => (Administrator, Some("fetch-backup"), piece.id.clone()),
        Request::TestBackup(_) => (Administrator, Some("test-backup"), String::new()),
        Request::DeleteBackup(id) => (Administrator, Some("delete-backup"), id.clone()),
        Request::Restore(order) if order.dry_run => (Administrator, Some("try-restore"), source(&order.backup)),
        Request::Restore(order) => (Administrator, Some("restore"), source(&order.backup)),
        Request::SetBackups(_) => (Administrator, Some("backup-setting"), String::new()),
        Request::BackupPiece(_) | Request::ClaimCode | Request::Accounts | Request::Audit => {
            (Administrator, None, String::new())
        }
        // Whose password it is decides; see "crate::serve::guard".
        Request::ChangeAccounts(change @ Change::SetPassword { .. }) => (Viewer, Some("accounts"), change.about()),
        Request::ChangeAccounts(change) => (Administrator, Some("accounts"), change.about()),
        Request::ForgetAccounts => (Administrator, Some("forget-accounts"), String::new()),
    };
    Rule { role, action, about }
}

/// Which parts were given out, and whether the key was readable.
fn exported(wanted: &ExportCertificate) -> String {
    let key = match (wanted.key, &wanted.passphrase) {
        (false, _) => "",
        (true, Some(_)) => " with its key, encrypted",
        (true, None) => " with its key, not encrypted",
    };
    format!("{}{key}", wanted.of)
}

fn network_words(network: &Network) -> String {
    match network {
        Network::Dhcp {} => "DHCP".into(),
        Network::Static { interface, address, .. } => {
            format!("{address} on {}", interface.as_deref().unwrap_or("the first interface"))
        }
    }
}

fn source(backup: &BackupSource) -> String {
    match backup {
        BackupSource::Kept(id) => id.clone(),
        BackupSource::Uploaded(id) => format!("uploaded {id}"),
        BackupSource::File(path) => path.display().to_string(),
    }
}

fn named(package: &Package) -> String {
    match package {
        Package::File(path) => path.display().to_string(),
        Package::Staged(id) => format!("staged {id}"),
        Package::Depot(id) => id.to_string(),
    }
}

/// Where the part of a backup begins that is of no use without what is before it, in bytes.
const HEADER: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::password::Password;
    use crate::api::{FactoryReset, Rollback};

    #[test]
    fn looking_is_for_everybody_and_what_destroys_is_for_administrators() {
        assert_eq!(rule(&Request::Status), Rule { role: Viewer, action: None, about: String::new() });
        let reset = FactoryReset { confirm: "demo".into(), power_off: false };
        assert_eq!(rule(&Request::FactoryReset(reset)).role, Administrator);
        assert_eq!(rule(&Request::Rollback(Rollback { site: true })).about, "site");
    }

    #[test]
    fn no_secret_is_in_what_is_written_down() {
        let password = Password::new("correct horse battery".into());
        let change = Change::AddAccount { name: "anna".into(), role: Viewer, password };
        let rule = rule(&Request::ChangeAccounts(change));
        assert!(!rule.about.contains("horse"), "{}", rule.about);
    }
}
