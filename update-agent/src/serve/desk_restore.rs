//! The keeper's part in what is done with a backup: trying it, restoring it, and going on with a restore that was cut off.

use super::desk::Desk;
use super::desk_backup::described;
use crate::api::{BackupSource, Restore, TestBackup, backup_key};
use crate::backup::Key;
use crate::backup::prepare::{Machine, Wanted, prepare};
use crate::backup::restore::{self, Mounted, Tree as _};
use crate::backup::unpack::Archive;
use crate::command::install::firmware_model;
use crate::error::{Doing, Error, Result};
use crate::lifecycle::silent;
use crate::named_file;
use crate::network::interfaces;
use crate::serve::log;
use crate::workplace::Workplace;

impl Desk {
    fn opened_backup(&self, source: &BackupSource, key: &Key) -> Result<(Archive, String)> {
        let (file, name) = match source {
            BackupSource::Kept(id) => self.backups().open(id)?,
            BackupSource::Uploaded(id) => self.uploads().backup(id)?,
            BackupSource::File(path) => {
                let name = format!("backup \"{}\"", path.display());
                if !path.is_absolute() {
                    return Err(Error::Usage(format!("{name}: the path has to be absolute")));
                }
                (named_file::open(path, &name)?, name)
            }
        };
        Ok((Archive::open(file, &name, key)?, name))
    }

    pub(super) fn test_backup(&self, order: TestBackup) -> Result<Vec<String>> {
        let key = backup_key(order.passphrase, order.identity.as_ref())?;
        let (archive, name) = self.opened_backup(&order.backup, &key)?;
        let contents = archive.test()?;
        let mut steps = vec![format!("{name} is whole and can be restored")];
        steps.extend(described(&contents));
        Ok(steps)
    }

    pub(super) fn restore(&self, order: Restore, by: String) -> Result<Vec<String>> {
        let key = backup_key(order.passphrase, order.identity.as_ref())?;
        let (archive, name) = self.opened_backup(&order.backup, &key)?;
        let wanted = Wanted { scopes: order.scopes, only: order.only };
        let workplace = self.change(by)?;
        let prepared = prepare(&self.data, archive, &wanted, &machine(&workplace)?);
        let tree = Mounted::new(&self.data);
        let prepared = match prepared {
            Ok(prepared) if !order.dry_run && !prepared.plan.steps.is_empty() => prepared,
            other => {
                // What lies beside was never in use. An earlier restore that waits is not ours to remove.
                if !matches!(restore::unfinished(&tree), Ok(Some(_)) | Err(_)) {
                    tree.clear().doing(|| "remove what was unpacked".into())?;
                }
                let mut steps = other?.preview;
                if order.dry_run {
                    steps.push("nothing was changed; without --dry-run it is".into());
                }
                return Ok(steps);
            }
        };
        let agent = workplace.agent(&silent);
        agent.journal.decide(
            format!("settings and data replaced by those of {name}"),
            format!("restored: {}", prepared.preview.join("; ")).chars().take(1000).collect(),
        )?;
        let carried_out = with_site_at_rest(&workplace, prepared.site, || restore::carry_out(&tree, &prepared.plan));
        // Also when it failed: it may have come as far as the accounts.
        self.people.end_sessions();
        carried_out?;
        let mut steps = prepared.preview;
        if let BackupSource::Uploaded(id) = &order.backup {
            self.uploads().discard(id, None)?;
        }
        if let Err(problem) = self.settle_licences_of(&workplace) {
            steps.push(problem.to_string());
        }
        steps.push(
            "restored; restart the appliance so that all of it takes effect, the network setting first of all".into(),
        );
        Ok(steps)
    }

    fn settle_licences_of(&self, workplace: &Workplace) -> Result<()> {
        workplace.agent(&silent).settle_licences(&self.licence_store())?.iter().for_each(|step| log(step));
        Ok(())
    }

    /// Completes or takes back a restore that was cut off. To be called before clients are answered.
    pub(super) fn finish_restore(&self) -> Result<()> {
        let tree = Mounted::new(&self.data);
        let doing = || "complete a restore that was cut off".to_owned();
        let waits = restore::unfinished(&tree).doing(doing)?;
        let site = waits.iter().flat_map(|plan| &plan.steps).any(|step| step.path.starts_with("site"));
        let finish = || {
            restore::finish(&tree).doing(doing)?.into_iter().for_each(log);
            Ok(())
        };
        if waits.is_none() { finish() } else { with_site_at_rest(&self.change("update-agent".into())?, site, finish) }
    }
}

/// What is asked about it before a restore, and kept with a backup.
pub(super) fn machine(workplace: &Workplace) -> Result<Machine> {
    let facts = workplace.agent(&silent).facts()?;
    Ok(Machine {
        product: workplace.trust().product().to_owned(),
        hostname: facts.site_info().map(|site| site.hostname.clone()),
        model: if workplace.is_image() { None } else { firmware_model() },
        interfaces: interfaces(),
    })
}

/// Does something while nothing of the site runs, if there is one and it matters.
fn with_site_at_rest(workplace: &Workplace, matters: bool, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let agent = workplace.agent(&silent);
    let Some(site) = agent.site.filter(|_| matters) else { return work() };
    if site.now()?.slot.is_none() {
        return work();
    }
    site.check()?;
    site.stop()?;
    let done = work();
    // Whatever came of it: what runs again finds all of the old or all of the new.
    let started = site.start();
    done.and(started)
}
