//! Forms about backups. Pure.

use std::collections::BTreeSet;

use formats::backup::Scope;
use serde_json::json;

use super::typed;
use crate::api::{BackupSource, CreateBackup, Request, Restore, TestBackup};
use crate::secret::Secret;
use crate::web::form::Form;
use crate::web::route::Page;

/// What a form asks for; nothing when it is not about backups.
pub(super) fn made(name: &str, form: &Form) -> Result<Option<(Request, Page)>, String> {
    let id = || form.text("id").ok_or_else(|| "no backup is named".to_owned());
    let source =
        || form.text("uploaded").map_or_else(|| id().map(BackupSource::Kept), |id| Ok(BackupSource::Uploaded(id)));
    let (passphrase, identity) = (secret(form, "passphrase"), secret(form, "identity"));
    let request = match name {
        "create-backup" => Request::CreateBackup(CreateBackup {
            scopes: scopes(form),
            no_history: !form.ticked("history"),
            passphrase: twice(form)?,
            ..CreateBackup::default()
        }),
        "delete-backup" if form.ticked("sure") => Request::DeleteBackup(id()?),
        "delete-backup" => return Err("nothing was deleted: tick that it is to be for good".into()),
        "test-backup" => Request::TestBackup(TestBackup { backup: source()?, passphrase, identity }),
        "restore" => {
            let dry_run = form.ticked("preview");
            if !dry_run && !form.ticked("sure") {
                return Err("nothing was restored: look at what would change, and tick that you have seen it".into());
            }
            let only: BTreeSet<String> = words(form, "only").into_iter().collect();
            Request::Restore(Restore {
                backup: source()?,
                passphrase,
                identity,
                scopes: scopes(form),
                only: Some(only).filter(|only| !only.is_empty()),
                dry_run,
            })
        }
        "set-backups" => setting(form)?,
        _ => return Ok(None),
    };
    Ok(Some((request, Page::Backups)))
}

/// The setting as it was filled in: all of it, as the request wants it.
fn setting(form: &Form) -> Result<Request, String> {
    let number = |field: &str| -> Result<u64, String> {
        form.text(field).unwrap_or_default().parse().map_err(|_| format!("the field \"{field}\" is no number"))
    };
    let passphrase = twice(form)?;
    let recipients = words(form, "recipients");
    let kept = form.text("passphrase-file").filter(|_| recipients.is_empty() && !form.ticked("forget"));
    let schedule = form.text("at").map(|at| {
        let clock = form.text("clock").unwrap_or_else(|| "+00:00".into());
        json!({ "at": at, "days": words(form, "days"), "utc-offset": clock })
    });
    let setting = json!({
        "format": formats::backup::setting::FORMAT,
        "recipients": recipients,
        "passphrase-file": kept.filter(|_| passphrase.is_none()),
        "schedule": schedule,
        "keep": number("keep")?,
        "history": form.ticked("history"),
        "limits": { "file-bytes": number("file-bytes")?, "files": number("files")? },
        "before-updates": form.text("before").unwrap_or_else(|| "make".into()),
    });
    let passphrase = passphrase.as_ref().map(Secret::reveal);
    typed(json!({ "request": "set-backups", "body": { "setting": setting, "passphrase": passphrase } }))
}

/// A passphrase that was typed twice; nothing when none was.
fn twice(form: &Form) -> Result<Option<Secret>, String> {
    let passphrase = secret(form, "passphrase");
    if passphrase == secret(form, "again") {
        Ok(passphrase)
    } else {
        Err("the passphrase was typed differently the second time".into())
    }
}

fn secret(form: &Form, field: &str) -> Option<Secret> {
    super::certificates::passphrase(form, field)
}

/// What was chosen; nothing for both.
fn scopes(form: &Form) -> Option<BTreeSet<Scope>> {
    let chosen = form.get("scope")?;
    Scope::ALL.into_iter().find(|scope| scope.word() == chosen).map(|scope| BTreeSet::from([scope]))
}

fn words(form: &Form, field: &str) -> Vec<String> {
    super::certificates::words(form, field)
}

#[cfg(test)]
mod tests {
    use formats::backup::setting::BeforeUpdates;

    use super::*;
    use crate::api::SetBackups;

    fn asked(name: &str, form: &str) -> Result<Request, String> {
        made(name, &Form::parse(form.as_bytes()).unwrap()).map(|made| made.unwrap().0)
    }

    fn set(form: &str) -> Result<SetBackups, String> {
        let usual = "keep=7&file-bytes=200000&files=50&before=make&history=on";
        match asked("set-backups", &format!("{form}&{usual}"))? {
            Request::SetBackups(order) => Ok(order),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_backup_is_made_as_its_form_says_and_never_with_a_passphrase_that_was_mistyped() {
        let Ok(Request::CreateBackup(order)) = asked("create-backup", "scope=site&passphrase=+a+b&again=+a+b") else {
            panic!()
        };
        assert_eq!(order.scopes, Some(BTreeSet::from([Scope::Site])));
        assert!(order.no_history && order.to.is_none() && order.passphrase.unwrap().reveal() == " a b");
        assert_eq!(
            asked("create-backup", "scope=both&history=on&passphrase=&again="),
            Ok(Request::CreateBackup(CreateBackup::default()))
        );
        assert!(asked("create-backup", "passphrase=a&again=b").is_err());
        assert!(asked("delete-backup", "id=x").is_err() && asked("delete-backup", "sure=on").is_err());
    }

    #[test]
    fn nothing_is_restored_before_somebody_said_to_have_seen_what_changes() {
        let restore = |form: &str| asked("restore", &format!("id=x&passphrase=p&{form}"));
        assert!(restore("scope=both").unwrap_err().contains("nothing was restored"));
        let Ok(Request::Restore(order)) = restore("preview=yes&only=network,+licences") else { panic!() };
        assert!(order.dry_run && order.only.unwrap().len() == 2 && order.backup == BackupSource::Kept("x".into()));
        let Ok(Request::Restore(order)) = restore("sure=on&scope=appliance&only=+") else { panic!() };
        assert!(!order.dry_run && order.only.is_none() && order.scopes == Some(BTreeSet::from([Scope::Appliance])));
    }

    #[test]
    fn a_setting_says_all_and_keeps_the_passphrase_only_where_nothing_else_is_said() {
        let order = set("at=02:30&days=sun+mon&clock=%2B01:00&passphrase-file=backup-passphrase").unwrap();
        assert!(order.setting.schedule.is_some() && order.setting.passphrase_file.is_some());
        assert_eq!((order.setting.kept(), order.setting.before_updates), (7, BeforeUpdates::Make));
        for other in ["forget=on", "recipients=age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"] {
            assert_eq!(
                set(&format!("passphrase-file=backup-passphrase&{other}")).unwrap().setting.passphrase_file,
                None
            );
        }
        let order = set("passphrase=a+long+phrase&again=a+long+phrase").unwrap();
        assert_eq!(order.passphrase.unwrap().reveal(), "a long phrase");
        for wrong in ["at=25:00", "at=02:30&days=someday", "recipients=age1", "passphrase=a&again=b", "keep=many"] {
            assert!(set(wrong).is_err(), "{wrong}");
        }
    }
}
